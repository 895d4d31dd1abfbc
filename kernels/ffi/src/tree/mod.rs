//! Search over a tree file that `covertree build` wrote.

mod ask;
mod handle;
mod search;

pub use handle::*;
pub use search::*;
