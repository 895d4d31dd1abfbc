//! How much the tests try: everything natively, a little of everything under Miri, which interprets code some thousand
//! times slower than the machine runs it. No test leaves out an assertion there; it only makes fewer of them.

use std::iter::StepBy;

use proptest::prelude::ProptestConfig;

/// Longest array of a test under Miri: beyond a panel and a register tile.
const LEN: usize = 20;

/// Settings of a property test of so many cases, or of `PROPTEST_CASES` if that is fewer. Under Miri there is one, and nothing is written to disk when it fails.
pub(crate) fn cases(full: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    if cfg!(miri) {
        ProptestConfig { cases: 1, failure_persistence: None, max_shrink_iters: 0, ..config }
    } else {
        ProptestConfig { cases: full.min(config.cases), ..config }
    }
}

/// All of them, but under Miri only the first of every `step`.
pub(crate) fn thin<I: IntoIterator>(step: usize, all: I) -> StepBy<I::IntoIter> {
    all.into_iter().step_by(if cfg!(miri) { step } else { 1 })
}

/// A length, or what Miri can afford of it.
pub(crate) fn up_to<T: Copy + PartialOrd + TryFrom<usize>>(full: T) -> T {
    match T::try_from(LEN) {
        Ok(most) if cfg!(miri) && full > most => most,
        _ => full,
    }
}

/// The lengths, or those of them that Miri can afford.
pub(crate) fn lengths<const N: usize>(all: [usize; N]) -> impl Iterator<Item = usize> {
    all.into_iter().filter(|&len| up_to(len) == len)
}
