//! Kernels of an exact nearest-neighbour engine: distance tiles, the search of a compressed cover tree, grouping, graphs
//! and independent sets, residual correlations and their bounds. No heap, no thread, no clock, no I/O, no std.
//!
//! # Layers
//! Each module uses only those of the rows above its own, and those before it there; [`index`] and [`error`] name each
//! other.
//!
//! | layer | modules | what they are |
//! | --- | --- | --- |
//! | ground | [`index`], [`error`], [`arena`], [`hash`] | 32-bit indices, one error type, memory of the caller, seeded mixing |
//! | vectors | [`simd`] | one lane trait, its tiers, the choice between them at run time; the only `unsafe` |
//! | views | [`view`] | rows, panels as wide as the lanes, sparse rows: checked once, borrowed |
//! | loops over points | [`dist`], [`order`], [`projection`], [`covariance`], [`residual`] | tiles, keys, principal axes, correlations |
//! | sets and graphs | [`group`], [`grid`], [`conflict`], [`mis`], [`topk`], [`select`], [`landmark`] | counting sort, cells, conflicts, Luby rounds, the best few, bounds |
//! | search | [`tree`] | the compressed cover tree as borrowed slices, and the traversals over it |
//!
//! # How a kernel is called
//! A kernel is a function that checks everything and then runs without branches on errors. Inputs come first, then
//! outputs, then scratch, then counters. Wrong arguments give a [`KernelError`](error::KernelError) with both numbers, and
//! nothing has been written then; no kernel panics on input, and none reads or writes outside of what it was handed.
//! One that needs scratch takes an [`Arena`](arena::Arena), and a `const fn ..._blocks` above it says exactly how much.
//! Contents of scratch and outputs are never assumed to be zero.
//!
//! Counters say what the arguments do not: how much of the work the data decided. There is one plain struct per family, to
//! which a call adds once, without atomics. A kernel whose work the shapes of its arguments tell, or its result, takes none;
//! `catalogue.csv` says which is which, and a test compares it with the signatures.
//!
//! A kernel with lanes has a *plain twin*, the same by simple loops, in the module `scalar` of its family (feature `oracle`):
//! what a port to another language begins with, and what the lanes are tested and timed against.
//!
//! Kernels start no threads. They read whole inputs and write one disjoint range of outputs, so that a caller splits
//! them as it likes; random choices are hashes of (seed, round, vertex), never a stream, so that any split gives the
//! same bits.
//!
//! ```
//! use covertree_kernels::{dist, simd::Tier, topk::KBest};
//!
//! let best_tier = Tier::detect(); // a few nanoseconds, no std
//! assert!(Tier::all().any(|tier| tier == best_tier));
//!
//! let (mut distances, mut ids) = ([0.0; 2], [0; 2]);
//! let mut best = KBest::new(&mut distances, &mut ids)?;
//! for (id, distance) in [3.0, 1.0, 2.0].into_iter().enumerate() {
//!     best.offer(distance, id as i32);
//! }
//! assert_eq!((best.finish(), ids), (2, [1, 2]));
//! # let _ = dist::SquaredEuclidean;
//! # Ok::<(), covertree_kernels::error::KernelError>(())
//! ```
//!
//! # Embedding
//! An engine without std hands in all memory, and needs nothing but this crate: [`tree::stored`] makes a tree of the bytes of
//! a file that the program `covertree` wrote, where they lie, and [`tree::knn`], [`tree::knn_before`] and [`tree::search`]
//! search it. From C the same is done through the library in `kernels/ffi`.
//!
//! # Numeric policy
//! - *One formula decides.* Each metric has one published formula: `f64`, unfused, sums in order of the dimension, square
//!   roots correctly rounded, every transcendental from the `libm` crate. It gives the same bits on every tier and
//!   machine, because IEEE addition, multiplication, division and square root do.
//! - *Filters only exclude.* Single precision, fused arithmetic and squared forms are filters. Each carries a bound on its
//!   error, `gamma_n = n u / (1 - n u)` for `n` roundings of unit roundoff `u` (Higham, *Accuracy and Stability of
//!   Numerical Algorithms*, chapter 3), derived where the filter is documented. What lies within the margin is settled by
//!   the formula.
//! - *Underflow is counted.* Where a product may underflow, the bound has an absolute part as well.
//! - *The triangle inequality has slack.* Computed distances break it in the last bits; each metric declares by how much,
//!   and every bound that uses it subtracts that much ([`tree::Metric::beyond`]).
//! - *Ties have one order.* Equal distances go to the lower id, everywhere.
//!
//! Every bound on an error, and where it is derived; `u` is the unit roundoff, `2^-24` or `2^-53`:
//!
//! | what is computed | how far it may be off | derived in |
//! | --- | --- | --- |
//! | sums over the dimensions, `f32` or `f64`, fused or not | relative `gamma(dim + 3)` for squares, `gamma(dim + 1)` for magnitudes and products, and an absolute part for underflow | [`dist`] |
//! | squared distances from dot products | `2 gamma(dim + 2)` of the squared lengths | [`dist::dots_error`] |
//! | pairs within a radius, in `f32` | decided outside of `cap (1 -+ 2 e) -+ 2 a` | [`conflict`] |
//! | lane exponential | `5 u` | [`covariance::EXP_ERROR`] |
//! | lane covariances | `32 u` of the variance, and the rounding of the sum and of coordinates | [`covariance`] |
//! | residual tiles | `m_i m_j`, one factor per point, made from its `p` | [`residual`] |
//! | correlations of listed pairs | the same as the tiles' | [`residual::listed_pairs`] |
//! | a loop over columns that is left early | the tail norms that were not looked at, and the margin | [`residual::one_to_run_cut`] |
//! | the least correlation within a distance | exact; a bound for the price of a product is at most `2^-49` below, never above | [`residual::least_correlation`], [`residual::correlation_floor`] |
//! | feature distances of a gate, in `f32` | the sum a relative `(columns + 3) 2^-24`, and the rounding of the threshold's square; the gate itself is not proven | [`residual::gate_run`] |
//! | landmark bounds | a slack per point, made from its `p` and the smallest pivot; by weights, a product per pair | [`landmark`] |
//! | bounds between clusters | products of one number per point, and `gamma` of the landmarks of both times weights | [`landmark::bounds_between`] |
//! | `K - V V'` against a positive semidefinite matrix | a backward error times the weights | [`landmark::solve_defect`] |
//! | distances of stored projections | a relative `4 e` and `8 e` of the spread, `e = gamma(dim + 3) + 2 u` | [`projection`] |
//! | residual distances in `f64`, `V` and `p` included, against exact ones | a backward error times the weights, over `p` | [`residual`](residual#how-far-f64-can-be-trusted) |
//! | surrogates of a search, and the triangle inequality | twice the bounds of their sums; the slack of three of them | [`tree::Coordinates`], [`tree::Angular`], [`tree::Haversine`] |
//! | distances by pivots | the slack `s (D + C) + a` of the distance function, and two roundings to `f32` of `D + 2 C` | [`tree::PivotItems`] |
//! | the squared length of a unit vector | `gamma(dim + 5)` | [`tree::unit_row`] |
//! | the vector of a place on the sphere | a relative `6 u` | [`tree::haversine_row`] |
//! | neighbouring cells of a grid | `(c + 2) 2^-51` of a cell's width | [`grid`] |
//!
//! # Features
//! None is on by default, and none changes a result. `oracle` adds the slow, obvious answers that tests, benchmarks and
//! fuzz targets compare with (it uses std). `instances` compiles the usual kernels in this crate, which makes the tests of others
//! compile faster. `std` forwards to `wide`.
#![no_std]

#[cfg(any(test, feature = "oracle"))]
extern crate std;

pub mod arena;
pub mod conflict;
pub mod covariance;
pub mod dist;
pub mod error;
pub mod grid;
pub mod group;
pub mod hash;
pub mod index;
// Nothing is shared where code is optimised, nor with this crate's own tests.
#[cfg(all(feature = "instances", debug_assertions, not(test)))]
pub mod instances;
pub mod landmark;
pub mod mis;
#[cfg(any(test, feature = "oracle"))]
pub mod oracle;
pub mod order;
pub mod projection;
pub mod residual;
pub mod select;
pub mod simd;
pub mod topk;
pub mod tree;
#[cfg(test)]
mod trials;
pub mod view;
