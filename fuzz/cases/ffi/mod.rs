//! The C functions, called with lengths that do not fit, null and misaligned pointers, and outputs that share memory with
//! other arguments.
//!
//! Every argument is an allocation of exactly the length that is claimed for it, so that AddressSanitizer sees any access
//! beyond it. Whatever comes back, it is the status that the error holds too; on an error no output has changed; and a
//! call with nothing wrong about it is done. The answers of the kernels behind have targets of their own; searches are
//! compared with brute force here as well, and so is what a formula tells in a few lines.

mod correlation;
mod hostile;
mod points;
mod projection;
mod sets;
mod trees;

use hostile::Hostile;

/// Kinds of calls, of which the first byte of a case chooses one.
pub const KINDS: u8 = 21;

pub fn check(data: &[u8]) {
    points::version();
    let mut call = Hostile::new(data);
    match call.u8() % KINDS {
        0 => sets::distances(&mut call),
        1 => sets::keys(&mut call),
        2 => sets::group(&mut call),
        3 => sets::conflicts(&mut call),
        4 => sets::independent(&mut call),
        5 => sets::selection(&mut call),
        6 => correlation::covariance(&mut call),
        7 => correlation::residual(&mut call),
        8 => correlation::landmarks(&mut call),
        9 => trees::file::<f32>(&mut call),
        10 => trees::tree::<f32>(&mut call),
        11 => trees::file::<f64>(&mut call),
        12 => trees::tree::<f64>(&mut call),
        13 => points::packed(&mut call),
        14 => points::offsets(&mut call),
        15 => points::directions(&mut call),
        16 => sets::kth_smallest(&mut call),
        17 => correlation::rho(&mut call),
        18 => correlation::scaled(&mut call),
        19 => projection::projection::<f32>(&mut call),
        _ => projection::projection::<f64>(&mut call),
    }
}
