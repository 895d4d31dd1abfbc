//! Residual correlations, and their bounds from landmarks.

use covertree_kernels::arena::Arena;
use covertree_kernels::error::KernelError;
use covertree_kernels::index::at;
use covertree_kernels::landmark::{
    self, Chosen, Extent, FrameMemory, FramePoints, FrameSlices, LandmarkCounters, Limits, choose, choose_blocks,
    pack_members,
};
use covertree_kernels::residual::{
    self, PointRow, ResidualCounters, ResidualModel, ResidualPoints, ResidualQuery, rho_of_rows, row_norms,
    scales_and_margins,
};
use covertree_kernels::simd::LANES_F64;
use covertree_kernels::view::{Panels, panels_len};

use crate::boundary::{Call, covertree_block, tier_of};
use crate::points::covariance;
use crate::status::{Fault, covertree_error, covertree_status, finish, wide};

/// A residual correlation `(K - V.V) / sqrt(p p)`: its covariance and its shape.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct covertree_residual_model {
    /// One of the `COVERTREE_COVARIANCE_` numbers.
    pub kind: u32,
    /// The prior variance.
    pub variance: f64,
    /// Scaled coordinates of a point.
    pub dim: usize,
    /// Columns of `V`; 0 for the prior correlation.
    pub columns: usize,
}

impl covertree_residual_model {
    fn checked(&self) -> Result<ResidualModel, Fault> {
        Ok(ResidualModel::new(covariance(self.kind, self.variance)?, self.dim, self.columns)?)
    }
}

/// The published residual correlation of two points, to `rho`: `x`, `y` have `dim` scaled coordinates, `v_x`, `v_y` their
/// rows of `V`, `p_x`, `p_y` their residual variances.
///
/// # Safety
/// `x` and `y` point to `model.dim` elements, `v_x` and `v_y` to `model.columns`, `rho` to one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_residual_rho(
    model: covertree_residual_model,
    x: *const f64,
    v_x: *const f64,
    p_x: f64,
    y: *const f64,
    v_y: *const f64,
    p_y: f64,
    rho: *mut f64,
    error: *mut covertree_error,
) -> covertree_status {
    let run = || {
        let (mut call, checked) = (Call::new(), model.checked()?);
        // SAFETY: the caller's promise is the same.
        let (x, v_x, y, v_y, rho) = unsafe {
            (
                call.read("x", x, model.dim)?,
                call.read("v_x", v_x, model.columns)?,
                call.read("y", y, model.dim)?,
                call.read("v_y", v_y, model.columns)?,
                call.one("rho", rho)?,
            )
        };
        let (x, y) = (PointRow { coordinates: x, v: v_x, p: p_x }, PointRow { coordinates: y, v: v_y, p: p_y });
        *rho = rho_of_rows(checked.covariance(), x, y);
        Ok(())
    };
    // SAFETY: the caller's promise is the same.
    unsafe { finish(run(), error) }
}

/// Refuses what [`row_norms`] and [`scales_and_margins`] would. The second needs the norms, so each panel goes through both
/// of them here, in memory of its own, before anything of the caller is written.
fn check_prepare(model: &ResidualModel, v: &[f64], p: &[f64], scales_len: usize) -> Result<(), Fault> {
    let (columns, lanes) = (model.columns(), panels_len::<f64>(p.len(), 1));
    let lengths = [("v", panels_len::<f64>(p.len(), columns), v.len()), ("scales", lanes, scales_len)];
    if let Some((what, need, have)) = lengths.into_iter().find(|(_, need, have)| need != have) {
        return Err(Fault::new(covertree_status::Shape, what, wide(need), wide(have)));
    }
    let [mut norms, mut scales, mut margins] = [[0.0; LANES_F64]; 3];
    for (panel, p) in p.chunks(LANES_F64).enumerate() {
        let norms = &mut norms[..p.len()];
        row_norms(model, &v[panel * columns * LANES_F64..][..columns * LANES_F64], norms)?;
        scales_and_margins(model, 0.0, norms, p, &mut scales, &mut margins).map_err(|error| match error {
            KernelError::Value { what, at } => KernelError::Value { what, at: panel * LANES_F64 + at },
            error => error,
        })?;
    }
    Ok(())
}

/// What the tiles need once per set of parameters: `norms` (at least the norms of the rows of `V`), `scales` and `margins`.
///
/// `v` is packed with `model.columns` columns, `p` and `norms` have one element per point, `scales` and `margins`
/// `covertree_panels_len_f64(points, 1)`. `v` is read twice: once to see that all is well, once to write.
///
/// # Safety
/// Each pointer points to as many elements as the length after it says; `p` and `norms` to `points`, `scales` and
/// `margins` to `scales_len`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_residual_prepare_f64(
    model: covertree_residual_model,
    v: *const f64,
    v_len: usize,
    p: *const f64,
    norms: *mut f64,
    points: usize,
    scales: *mut f64,
    margins: *mut f64,
    scales_len: usize,
    error: *mut covertree_error,
) -> covertree_status {
    let run = || {
        let (mut call, model) = (Call::new(), model.checked()?);
        // SAFETY: the caller's promise is the same.
        let (v, p, norms, scales, margins) = unsafe {
            (
                call.read("v", v, v_len)?,
                call.read("p", p, points)?,
                call.write("norms", norms, points)?,
                call.write("scales", scales, scales_len)?,
                call.write("margins", margins, scales_len)?,
            )
        };
        check_prepare(&model, v, p, scales_len)?;
        row_norms(&model, v, norms)?;
        Ok(scales_and_margins(&model, 0.0, norms, p, scales, margins)?)
    };
    // SAFETY: the caller's promise is the same.
    unsafe { finish(run(), error) }
}

/// Filtered correlations of one point, in rows, with packed points, to `out`: within `margin` times the margin of the
/// point of the published one. Bit `l` of `masks[b]` is set where `abs(rho) >= least` is possible for point `8 b + l`.
///
/// `scale` and `margin` of the point are what `covertree_residual_prepare_f64` gives. `coordinates` is packed (`dim`
/// columns), `v` too (`columns`); `scales`, `margins` and `out` have `covertree_panels_len_f64(points, 1)` elements.
///
/// # Safety
/// Each pointer points to as many elements as the length after it says; `x` to `model.dim`, `v_x` to `model.columns`,
/// `scales`, `margins` and `out` to `out_len`, `masks` to `out_len / 8`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_residual_to_run_f64(
    tier: u32,
    model: covertree_residual_model,
    x: *const f64,
    v_x: *const f64,
    scale: f64,
    margin: f64,
    coordinates: *const f64,
    coordinates_len: usize,
    v: *const f64,
    v_len: usize,
    points: usize,
    scales: *const f64,
    margins: *const f64,
    least: f64,
    out: *mut f64,
    out_len: usize,
    masks: *mut u32,
    error: *mut covertree_error,
) -> covertree_status {
    let run = || {
        let (mut call, checked) = (Call::new(), model.checked()?);
        // SAFETY: the caller's promise is the same.
        let (x, v_x, coordinates, v) = unsafe {
            (
                call.read("x", x, model.dim)?,
                call.read("v_x", v_x, model.columns)?,
                call.read("coordinates", coordinates, coordinates_len)?,
                call.read("v", v, v_len)?,
            )
        };
        // SAFETY: the caller's promise is the same.
        let (scales, margins, out, masks) = unsafe {
            (
                call.read("scales", scales, out_len)?,
                call.read("margins", margins, out_len)?,
                call.write("out", out, out_len)?,
                call.write("masks", masks, out_len / 8)?,
            )
        };
        let coordinates = Panels::new(coordinates, model.dim, points)?;
        let points = ResidualPoints::new(checked, coordinates, v, scales, margins)?;
        let run = points.run(0, points.panels())?;
        let query = ResidualQuery { coordinates: x, v: v_x, scale, margin };
        let counters = &mut ResidualCounters::default();
        Ok(residual::one_to_run(tier_of(tier)?, &query, &run, least, out, masks, counters)?)
    };
    // SAFETY: the caller's promise is the same.
    unsafe { finish(run(), error) }
}

/// Memory of a cluster in the frame of its landmarks, `most` of them: what `covertree_landmarks_f64` fills.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct covertree_frame_memory {
    /// `[most]`: the members that are landmarks.
    pub landmarks: *mut i32,
    /// `[most][most]`: the lower triangular factor.
    pub factor: *mut f64,
    /// `[members][most]`: coordinates of every member.
    pub rows: *mut f64,
    /// `[members][3]`: span, tail and slack of every member.
    pub extents: *mut f64,
    /// `covertree_panels_len_f64(members, most)` elements: the coordinates packed, as many of them as there are landmarks.
    pub coordinates: *mut f64,
    /// `covertree_panels_len_f64(members, 1)` elements.
    pub spans: *mut f64,
    /// As `spans`.
    pub tails: *mut f64,
    /// As `spans`.
    pub slacks: *mut f64,
}

/// Blocks of scratch that `covertree_landmarks_f64` takes.
#[unsafe(no_mangle)]
pub extern "C" fn covertree_landmarks_blocks(members: usize, most: usize) -> usize {
    choose_blocks(members, most)
}

/// Chooses at most `most` landmarks of a cluster by a pivoted partial Cholesky factorisation, and packs its members for
/// `covertree_landmark_bounds_f64`. `count` becomes the number of landmarks.
///
/// `rho` holds the correlations of all pairs, not cut to [-1, 1], row after row; `errors` the error factors of the members.
/// No landmark is chosen when the largest squared tail is at or below `pivot`.
///
/// # Safety
/// `rho` points to `members * members` elements, `errors` to `members`, the memory to what its fields say, `scratch` to
/// `scratch_len` blocks, `count` to one element.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_landmarks_f64(
    rho: *const f64,
    errors: *const f64,
    members: usize,
    most: usize,
    pivot: f64,
    memory: covertree_frame_memory,
    count: *mut usize,
    scratch: *mut covertree_block,
    scratch_len: usize,
    error: *mut covertree_error,
) -> covertree_status {
    let run = || {
        let (mut call, lanes) = (Call::new(), panels_len::<f64>(members, 1));
        // SAFETY: the caller's promise is the same. Products that do not fit saturate, and are refused for their length.
        let (rho, errors, chosen) = unsafe {
            let rho = call.read("rho", rho, members.saturating_mul(members))?;
            let errors = call.read("errors", errors, members)?;
            let landmarks = call.write("landmarks", memory.landmarks, most)?;
            let factor = call.write("factor", memory.factor, most.saturating_mul(most))?;
            let coordinates = call.write("rows", memory.rows, members.saturating_mul(most))?;
            let extents = call.write("extents", memory.extents, members.saturating_mul(3))?;
            let extents: &mut [Extent] = bytemuck::cast_slice_mut(extents);
            (rho, errors, Chosen { landmarks, factor, coordinates, extents })
        };
        // SAFETY: as above.
        let (coordinates, spans, tails, slacks) = unsafe {
            (
                call.write("coordinates", memory.coordinates, panels_len::<f64>(members, most))?,
                call.write("spans", memory.spans, lanes)?,
                call.write("tails", memory.tails, lanes)?,
                call.write("slacks", memory.slacks, lanes)?,
            )
        };
        // SAFETY: as above.
        let (count, mut arena) = unsafe { (call.one("count", count)?, call.arena(scratch, scratch_len)?) };
        *count = landmarks(rho, errors, Limits { count: most, pivot, weights: &[] }, chosen, &mut arena, |found| {
            FrameMemory { coordinates: &mut coordinates[..panels_len::<f64>(members, found)], spans, tails, slacks }
        })?;
        Ok(())
    };
    // SAFETY: the caller's promise is the same.
    unsafe { finish(run(), error) }
}

/// Chooses, then packs into what `memory` gives for the number of landmarks; returns that number.
fn landmarks<'o>(
    rho: &[f64],
    errors: &[f64],
    limits: Limits<'_>,
    chosen: Chosen<'_>,
    arena: &mut Arena<'_>,
    memory: impl FnOnce(usize) -> FrameMemory<'o, f64>,
) -> Result<usize, Fault> {
    let members = errors.len();
    let Chosen { landmarks, factor, coordinates, extents } = chosen;
    let column = |member, out: &mut [f64]| {
        out.copy_from_slice(&rho[at(member) * members..][..members]);
        Ok(())
    };
    let chosen = Chosen { landmarks, factor, coordinates: &mut *coordinates, extents: &mut *extents };
    let frame = choose(limits, errors, column, chosen, arena, &mut LandmarkCounters::default())?;
    pack_members(&frame, coordinates, extents, &mut memory(frame.count()))?;
    Ok(frame.count())
}

/// Upper bounds of `abs(rho)` of all pairs of members of a cluster, never below the truth, to `out` (`[lanes][lanes]`,
/// `lanes = covertree_panels_len_f64(members, 1)`). Bit `l` of `masks[i * lanes / 8 + b]` is set where the bound of member
/// `i` with member `8 b + l` is not below `least[i]`; `least` has `lanes` elements.
///
/// `coordinates`, `spans`, `tails`, `slacks` are what `covertree_landmarks_f64` packed.
///
/// # Safety
/// `coordinates` points to `covertree_panels_len_f64(members, count)` elements, `spans`, `tails`, `slacks` and `least` to
/// `lanes`, `out` to `lanes * lanes`, `masks` to `lanes * lanes / 8`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_landmark_bounds_f64(
    tier: u32,
    count: usize,
    members: usize,
    coordinates: *const f64,
    spans: *const f64,
    tails: *const f64,
    slacks: *const f64,
    least: *const f64,
    out: *mut f64,
    masks: *mut u32,
    error: *mut covertree_error,
) -> covertree_status {
    let run = || {
        let (mut call, lanes) = (Call::new(), panels_len::<f64>(members, 1));
        // SAFETY: the caller's promise is the same. Products that do not fit saturate, and are refused for their length.
        let slices = unsafe {
            FrameSlices {
                coordinates: call.read("coordinates", coordinates, panels_len::<f64>(members, count))?,
                spans: call.read("spans", spans, lanes)?,
                tails: call.read("tails", tails, lanes)?,
                slacks: call.read("slacks", slacks, lanes)?,
            }
        };
        // SAFETY: as above.
        let (least, out, masks) = unsafe {
            (
                call.read("least", least, lanes)?,
                call.write("out", out, lanes.saturating_mul(lanes))?,
                call.write("masks", masks, lanes.saturating_mul(lanes / 8))?,
            )
        };
        let points = FramePoints::new(slices, members, count)?;
        let (queries, counters) = (points.queries(), &mut LandmarkCounters::default());
        Ok(landmark::bounds(tier_of(tier)?, &queries, &points, least, out, masks, counters)?)
    };
    // SAFETY: the caller's promise is the same.
    unsafe { finish(run(), error) }
}
