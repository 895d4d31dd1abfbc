//! Sets and graphs: grouping, conflicts, independent sets, selection.

use covertree_kernels::conflict::{self, ConflictCounters, Scope, Which};
use covertree_kernels::dist::{Chebyshev, Form, Manhattan, SquaredEuclidean};
use covertree_kernels::error::KernelError;
use covertree_kernels::group;
use covertree_kernels::mis::{self, MisCounters, mis_blocks};
use covertree_kernels::select::{self, SelectCounters};
use covertree_kernels::simd::Tier;
use covertree_kernels::view::{Csr, Panels};

use crate::boundary::{Call, covertree_block, tier_of};
use crate::points::{COVERTREE_FORM_CHEBYSHEV, COVERTREE_FORM_MANHATTAN, COVERTREE_FORM_SQUARED_EUCLIDEAN};
use crate::status::{Fault, covertree_error, covertree_status, finish};

/// A vertex that is not decided.
pub const COVERTREE_MIS_OPEN: i32 = 0;
/// A vertex of the independent set.
pub const COVERTREE_MIS_IN: i32 = 1;
/// A vertex beside one of the set.
pub const COVERTREE_MIS_OUT: i32 = 2;
/// A vertex that does not take part.
pub const COVERTREE_MIS_INACTIVE: i32 = 3;

// Written out, because a header has no paths.
const _: () = assert!(COVERTREE_MIS_OPEN == mis::OPEN && COVERTREE_MIS_IN == mis::IN);
const _: () = assert!(COVERTREE_MIS_OUT == mis::OUT && COVERTREE_MIS_INACTIVE == mis::INACTIVE);

/// Stable counting sort: the rows of key `g` become `rows[starts[g]..starts[g + 1]]`, in their order. `starts` has
/// `groups + 1` elements, `rows` as many as `keys`; keys lie in `0..groups`.
///
/// # Safety
/// Each pointer points to as many elements as the length after it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_group_by_key(
    keys: *const i32,
    keys_len: usize,
    groups: i32,
    starts: *mut i32,
    starts_len: usize,
    rows: *mut i32,
    rows_len: usize,
    error: *mut covertree_error,
) -> covertree_status {
    let run = || {
        let mut call = Call::new();
        // SAFETY: the caller's promise is the same.
        let (keys, starts, rows) = unsafe {
            (
                call.read("keys", keys, keys_len)?,
                call.write("starts", starts, starts_len)?,
                call.write("rows", rows, rows_len)?,
            )
        };
        Ok(group::group_by_key(keys, groups, starts, rows)?)
    };
    // SAFETY: the caller's promise is the same.
    unsafe { finish(run(), error) }
}

/// Rows of packed points, each with its own radius, against a range of columns of the same points.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct covertree_scope {
    /// One of the `COVERTREE_FORM_` numbers, except the dot product.
    pub form: u32,
    /// 0: all pairs; 1: only columns above the row, each pair once.
    pub above: u32,
    /// Position of the first row; there are as many rows as radii.
    pub first: i32,
    /// First column.
    pub columns: i32,
    /// One past the last column.
    pub columns_end: i32,
}

/// A call about conflicts, checked.
struct Conflicts<'a> {
    tier: Tier,
    panels: Panels<'a, f64>,
    scope: Scope<'a>,
    form: u32,
}

impl<'a> Conflicts<'a> {
    /// # Safety
    /// Each pointer points to as many elements as the length after it says.
    unsafe fn new(
        call: &mut Call,
        tier: u32,
        scope: covertree_scope,
        panels: (*const f64, usize),
        shape: (usize, usize),
        radius: (*const f64, usize),
    ) -> Result<Self, Fault> {
        // SAFETY: the caller's promise is the same.
        let (data, radius) =
            unsafe { (call.read("panels", panels.0, panels.1)?, call.read("radius", radius.0, radius.1)?) };
        let which = match scope.above {
            0 => Which::All,
            1 => Which::Above,
            other => return Err(Fault::choice("above", other)),
        };
        let columns = scope.columns..scope.columns_end;
        let panels = Panels::new(data, shape.0, shape.1)?;
        let tier = tier_of(tier)?;
        Ok(Self { tier, panels, scope: Scope { first: scope.first, radius, columns, which }, form: scope.form })
    }

    /// Runs `work` with the form.
    fn with_form<W: ConflictWork>(&self, work: W) -> Result<W::Out, Fault> {
        Ok(match self.form {
            COVERTREE_FORM_SQUARED_EUCLIDEAN => work.run::<SquaredEuclidean>(self)?,
            COVERTREE_FORM_MANHATTAN => work.run::<Manhattan>(self)?,
            COVERTREE_FORM_CHEBYSHEV => work.run::<Chebyshev>(self)?,
            other => return Err(Fault::choice("form", other)),
        })
    }
}

/// What is done with conflicts, whatever the form.
trait ConflictWork {
    type Out;
    fn run<F: Form>(self, of: &Conflicts<'_>) -> Result<Self::Out, KernelError>;
}

struct Count<'a>(&'a mut [i32]);

impl ConflictWork for Count<'_> {
    type Out = ();
    fn run<F: Form>(self, of: &Conflicts<'_>) -> Result<(), KernelError> {
        conflict::count_within::<F, f64>(of.tier, of.panels, &of.scope, self.0, &mut ConflictCounters::default())
    }
}

struct Emit<'a>(&'a [i32], &'a mut [i32], &'a mut [f64]);

impl ConflictWork for Emit<'_> {
    type Out = usize;
    fn run<F: Form>(self, of: &Conflicts<'_>) -> Result<usize, KernelError> {
        let (counts, columns, distances) = (self.0, self.1, self.2);
        let counters = &mut ConflictCounters::default();
        conflict::emit_within::<F, f64, i32>(of.tier, of.panels, &of.scope, counts, columns, distances, counters)
    }
}

/// How many columns each row has within its radius (at most), to `counts`.
///
/// # Safety
/// Each pointer points to as many elements as the length after it says; `counts` to `radius_len`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_count_within_f64(
    tier: u32,
    scope: covertree_scope,
    panels: *const f64,
    panels_len: usize,
    dim: usize,
    points: usize,
    radius: *const f64,
    radius_len: usize,
    counts: *mut i32,
    error: *mut covertree_error,
) -> covertree_status {
    let run = || {
        let (mut call, panels, radius) = (Call::new(), (panels, panels_len), (radius, radius_len));
        // SAFETY: the caller's promise is the same.
        let (of, counts) = unsafe {
            let of = Conflicts::new(&mut call, tier, scope, panels, (dim, points), radius)?;
            (of, call.write("counts", counts, radius_len)?)
        };
        of.with_form(Count(counts))
    };
    // SAFETY: the caller's promise is the same.
    unsafe { finish(run(), error) }
}

/// Those columns, row after row, ascending, with their distances. `counts` is what `covertree_count_within_f64` gave for
/// the same scope; `columns` and `distances` have as many elements as the counts sum up to.
///
/// # Safety
/// Each pointer points to as many elements as the length after it says; `counts` to `radius_len`, `distances` to
/// `columns_len`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_emit_within_f64(
    tier: u32,
    scope: covertree_scope,
    panels: *const f64,
    panels_len: usize,
    dim: usize,
    points: usize,
    radius: *const f64,
    radius_len: usize,
    counts: *const i32,
    columns: *mut i32,
    distances: *mut f64,
    columns_len: usize,
    error: *mut covertree_error,
) -> covertree_status {
    let run = || {
        let (mut call, panels, radius) = (Call::new(), (panels, panels_len), (radius, radius_len));
        // SAFETY: the caller's promise is the same.
        let (of, counts, columns, distances) = unsafe {
            let of = Conflicts::new(&mut call, tier, scope, panels, (dim, points), radius)?;
            let counts = call.read("counts", counts, radius_len)?;
            let columns = call.write("columns", columns, columns_len)?;
            (of, counts, columns, call.write("distances", distances, columns_len)?)
        };
        of.with_form(Emit(counts, columns, distances)).map(|_| ())
    };
    // SAFETY: the caller's promise is the same.
    unsafe { finish(run(), error) }
}

/// Blocks of scratch that `covertree_mis` takes.
#[unsafe(no_mangle)]
pub extern "C" fn covertree_mis_blocks(vertices: usize) -> usize {
    mis_blocks(vertices)
}

/// A maximal independent set of a graph in compressed rows (both directions of each edge), by Luby rounds. `starts` has
/// one element more than there are vertices, `state` (in: open or inactive, out: decided) one for each.
///
/// # Safety
/// Each pointer points to as many elements as the length after it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_mis(
    starts: *const i32,
    starts_len: usize,
    targets: *const i32,
    targets_len: usize,
    seed: u64,
    state: *mut i32,
    state_len: usize,
    scratch: *mut covertree_block,
    scratch_len: usize,
    error: *mut covertree_error,
) -> covertree_status {
    let run = || {
        let mut call = Call::new();
        // SAFETY: the caller's promise is the same.
        let (starts, targets, state, mut arena) = unsafe {
            (
                call.read("starts", starts, starts_len)?,
                call.read("targets", targets, targets_len)?,
                call.write("state", state, state_len)?,
                call.arena(scratch, scratch_len)?,
            )
        };
        let graph = Csr::new(starts, targets)?;
        Ok(mis::mis(&graph, seed, state, &mut arena, &mut MisCounters::default())?)
    };
    // SAFETY: the caller's promise is the same.
    unsafe { finish(run(), error) }
}

/// Whether `state` is a maximal independent set of the active vertices: `broken` becomes 0 if it is, else 1.
///
/// # Safety
/// Each pointer points to as many elements as the length after it says, `broken` to one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_verify_mis(
    starts: *const i32,
    starts_len: usize,
    targets: *const i32,
    targets_len: usize,
    state: *const i32,
    state_len: usize,
    broken: *mut i32,
    error: *mut covertree_error,
) -> covertree_status {
    let run = || {
        let mut call = Call::new();
        // SAFETY: the caller's promise is the same.
        let (starts, targets, state, broken) = unsafe {
            (
                call.read("starts", starts, starts_len)?,
                call.read("targets", targets, targets_len)?,
                call.read("state", state, state_len)?,
                call.one("broken", broken)?,
            )
        };
        *broken = i32::from(mis::verify_mis(&Csr::new(starts, targets)?, state)?.is_some());
        Ok(())
    };
    // SAFETY: the caller's promise is the same.
    unsafe { finish(run(), error) }
}

/// Positions (counted from `first`) of the values up to `threshold`, ascending, to the front of `positions`, which has as
/// many elements as `values`. `found` becomes how many there are; a NaN never is.
///
/// # Safety
/// `values` and `positions` point to `len` elements each, `found` to one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_positions_at_most_f32(
    tier: u32,
    values: *const f32,
    len: usize,
    threshold: f32,
    first: i32,
    positions: *mut i32,
    found: *mut usize,
    error: *mut covertree_error,
) -> covertree_status {
    let run = || {
        let mut call = Call::new();
        // SAFETY: the caller's promise is the same.
        let (values, positions, found) = unsafe {
            (call.read("values", values, len)?, call.write("positions", positions, len)?, call.one("found", found)?)
        };
        let counters = &mut SelectCounters::default();
        *found = select::positions_at_most(tier_of(tier)?, values, threshold, first, positions, counters)?;
        Ok(())
    };
    // SAFETY: the caller's promise is the same.
    unsafe { finish(run(), error) }
}

/// Blocks of scratch that `covertree_kth_smallest_f64` takes.
#[unsafe(no_mangle)]
pub extern "C" fn covertree_kth_smallest_blocks_f64(len: usize) -> usize {
    select::kth_smallest_blocks::<f64>(len)
}

/// The `k`-th smallest of `len` values, counted from 1.
///
/// # Safety
/// `values` points to `len` elements, `scratch` to `scratch_len` blocks, `out` to one element.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_kth_smallest_f64(
    tier: u32,
    values: *const f64,
    len: usize,
    k: usize,
    out: *mut f64,
    scratch: *mut covertree_block,
    scratch_len: usize,
    error: *mut covertree_error,
) -> covertree_status {
    let run = || {
        let mut call = Call::new();
        // SAFETY: the caller's promise is the same.
        let (values, out, mut arena) =
            unsafe { (call.read("values", values, len)?, call.one("out", out)?, call.arena(scratch, scratch_len)?) };
        *out = select::kth_smallest(tier_of(tier)?, values, k, &mut arena, &mut SelectCounters::default())?;
        Ok(())
    };
    // SAFETY: the caller's promise is the same.
    unsafe { finish(run(), error) }
}
