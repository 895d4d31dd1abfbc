//! Matrix products by the crate `gemm`; a module of the benchmarks, for the library does without that crate.

use covertree_kernels::simd::Real;

/// `out[i][j] = left row i . right row j`, rows of `width` elements, on one thread.
pub fn by_gemm<T: Real>(left: &[T], right: &[T], width: usize, out: &mut [T]) {
    let (m, n, row, one) = (left.len() / width, right.len() / width, width as isize, 1);
    assert!(out.len() == m * n && left.len() == m * width && right.len() == n * width);
    let (zero, unit, no) = (T::default(), T::from_f64(1.0), false);
    // SAFETY: each pointer is a slice of the shape that the strides describe, as was just checked.
    #[allow(unsafe_code)]
    unsafe {
        let (to, from, with) = (out.as_mut_ptr(), left.as_ptr(), right.as_ptr());
        let serial = gemm::Parallelism::None;
        gemm::gemm(
            m, n, width, to, one, n as isize, no, from, one, row, with, row, one, zero, unit, no, no, no, serial,
        );
    }
}
