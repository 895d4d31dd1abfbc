//! The library as its users call it. One program, for each would compile the same trees and searches once more.

mod generate;
mod items;
mod projected;
mod properties;
mod truth;
mod updates;
mod work;
