//! Values that have names in commands and files.

use crate::error::Error;

/// The value of a name; `what` says in a message what an unknown name is not.
pub(crate) fn parse<T: Copy>(name: &str, what: &str, all: &[T], name_of: fn(T) -> &'static str) -> Result<T, Error> {
    all.iter().copied().find(|&known| name_of(known) == name).ok_or_else(|| {
        let known: Vec<&str> = all.iter().map(|&known| name_of(known)).collect();
        Error::Usage(format!("{name:?} is no {what}; choose one of {}", known.join(", ")))
    })
}
