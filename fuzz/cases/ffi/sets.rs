//! Points, keys, groups, graphs, independent sets and selection.

use covertree::*;
use covertree_kernels::hash::mix64;
use covertree_kernels::oracle::select as oracle;

use super::hostile::Hostile;

pub(super) fn distances(call: &mut Hostile<'_>) {
    let (points, dim) = (call.below(40), 1 + call.below(6));
    let rows: Vec<f32> = (0..points * dim).map(|i| (i * i % 19) as f32).collect();
    let order: Vec<i32> = (0..points as i32).collect();
    let (rows_len, order_len) = (call.len(rows.len()), call.len(points));
    // Rows may have any number that fits the dimension, and the order any length; then the panels decide.
    let panels_len = call.len(covertree_panels_len_f32(points, dim));
    let (rows, order) = (call.input(&rows, rows_len), call.input(&order, order_len));
    let (panels, dim_given) = (call.output::<f32>(panels_len), call.number(dim));
    let error = &raw mut call.error;
    // SAFETY: every pointer that is not to be refused has its length.
    let status =
        unsafe { covertree_pack_rows_f32(rows, rows_len, dim_given, order, order_len, panels, panels_len, error) };
    call.settle(status);

    let mut call = Hostile::new(call.data);
    let (tier, form) = (call.tier(), call.choice(4));
    let (query_len, panels_len) = (call.number(dim).min(64), call.len(covertree_panels_len_f64(points, dim)));
    let out_len = call.len(covertree_panels_len_f64(points, 1));
    let (query, panels) = (call.input(&[1.0; 8], query_len), call.input(&[0.5; 512], panels_len));
    let (out, points) = (call.output(out_len), call.number(points));
    let error = &raw mut call.error;
    // SAFETY: as above.
    let status = unsafe {
        covertree_distances_f64(tier, form, query, query_len, panels, panels_len, points, out, out_len, error)
    };
    call.settle(status);
}

pub(super) fn keys(call: &mut Hostile<'_>) {
    let (points, dim) = (call.below(40), 1 + call.below(4));
    let rows: Vec<f64> = (0..points * dim).map(|i| (i * i % 19) as f64).collect();
    let (rows_len, keys_len, tier) = (call.len(rows.len()), call.len(points), call.tier());
    let rows = call.input(&rows, rows_len);
    let (low, high) = (call.input(&[-1.0; 4], dim), call.input(&[20.0; 4], dim));
    let keys = call.output(keys_len);
    let error = &raw mut call.error;
    // SAFETY: every pointer that is not to be refused has its length.
    let status = unsafe { covertree_hilbert_keys_f64(tier, rows, rows_len, dim, low, high, keys, keys_len, error) };
    call.settle(status);

    let mut call = Hostile::new(call.data);
    let (low, high, tier) = (call.output(dim), call.output(dim), call.tier());
    let rows = call.input(&[3.0; 200], points * dim);
    let error = &raw mut call.error;
    // SAFETY: as above.
    let status = unsafe { covertree_bounds_f64(tier, rows, points * dim, dim, low, high, error) };
    call.settle(status);

    let mut call = Hostile::new(call.data);
    let ids: Vec<i32> = (0..points as i32).rev().collect();
    let (rows, ids) = (call.input(&[3.0; 200], points * dim), call.input(&ids, points));
    let (keys_len, offsets) = (call.len(points), call.input(&[0.5; 4], dim));
    let (keys, error) = (call.output(keys_len), &raw mut call.error);
    // SAFETY: as above.
    let status = unsafe {
        covertree_cell_keys_f64(rows, points * dim, dim, ids, points, 1.5, offsets, -2, 1, keys, keys_len, error)
    };
    call.settle(status);
}

pub(super) fn group(call: &mut Hostile<'_>) {
    let (len, groups) = (call.below(60), 1 + call.below(20));
    let keys: Vec<i32> = (0..len).map(|_| i32::from(call.u8()) % (groups as i32 + 1)).collect();
    call.honest &= keys.iter().all(|key| *key < groups as i32);
    let (keys_len, starts_len, rows_len) = (call.len(len), call.len(groups + 1), call.len(len));
    let keys = call.input(&keys, keys_len);
    let (starts, rows) = (call.output(starts_len), call.output(rows_len));
    let groups = call.number(groups) as i32; // any bits
    let error = &raw mut call.error;
    // SAFETY: every pointer that is not to be refused has its length.
    let status = unsafe { covertree_group_by_key(keys, keys_len, groups, starts, starts_len, rows, rows_len, error) };
    call.settle(status);
}

pub(super) fn conflicts(call: &mut Hostile<'_>) {
    let points = call.below(40);
    let (panels_len, radius_len) = (call.len(covertree_panels_len_f64(points, 1)), call.len(points));
    let values: Vec<f64> = (0..panels_len).map(|i| (i * 7 % 11) as f64).collect();
    let (tier, form, above) = (call.tier(), call.choice(3), call.choice(2));
    let columns_end = call.number(points) as i32; // any bits
    let scope = covertree_scope { form, above, first: 0, columns: 0, columns_end };
    let (panels, radius) = (call.input(&values, panels_len), call.input(&[2.0; 64], radius_len));
    let (counts, points) = (call.output::<i32>(radius_len), call.number(points));
    let error = &raw mut call.error;
    // SAFETY: every pointer that is not to be refused has its length.
    let status = unsafe {
        covertree_count_within_f64(tier, scope, panels, panels_len, 1, points, radius, radius_len, counts, error)
    };
    if !call.settle(status) {
        return;
    }
    // SAFETY: an honest call filled it.
    let counts: Vec<i32> = unsafe { std::slice::from_raw_parts(counts, radius_len) }.to_vec();
    let total = counts.iter().map(|&count| count as usize).sum();
    let mut call = Hostile::new(call.data);
    let len = call.len(total);
    let (panels, radius) = (call.input(&values, panels_len), call.input(&[2.0; 64], radius_len));
    let counts = call.input(&counts, radius_len);
    let (columns, distances, error) = (call.output(len), call.output(len), &raw mut call.error);
    // SAFETY: as above.
    let status = unsafe {
        covertree_emit_within_f64(
            tier, scope, panels, panels_len, 1, points, radius, radius_len, counts, columns, distances, len, error,
        )
    };
    call.settle(status);
}

pub(super) fn independent(call: &mut Hostile<'_>) {
    // A ring.
    let vertices = 3 + call.below(30);
    let n = vertices as i32;
    let starts: Vec<i32> = (0..=n).map(|v| 2 * v).collect();
    let mut targets: Vec<i32> = (0..n).flat_map(|v| [(v + n - 1) % n, (v + 1) % n]).collect();
    if call.u8() > 240 {
        let place = call.below(targets.len());
        targets[place] = n + i32::from(call.u8());
        call.honest = false;
    }
    let (starts_len, targets_len, state_len) = (call.len(starts.len()), call.len(targets.len()), call.len(vertices));
    let (starts, targets) = (call.input(&starts, starts_len), call.input(&targets, targets_len));
    let state = call.input(&vec![COVERTREE_MIS_OPEN; vertices], state_len).cast_mut();
    let scratch_len = call.len(covertree_mis_blocks(vertices));
    let scratch = call.memory::<[u64; 8]>(scratch_len, false).cast::<covertree_block>();
    call.honest &= scratch.is_aligned();
    let error = &raw mut call.error;
    // SAFETY: every pointer that is not to be refused has its length.
    let status = unsafe {
        covertree_mis(starts, starts_len, targets, targets_len, 5, state, state_len, scratch, scratch_len, error)
    };
    if call.settle(status) {
        let mut broken = -1;
        // SAFETY: as above.
        let status = unsafe {
            covertree_verify_mis(starts, starts_len, targets, targets_len, state, state_len, &mut broken, error)
        };
        assert_eq!((status, broken), (covertree_status::Ok, 0));
    }
}

pub(super) fn selection(call: &mut Hostile<'_>) {
    let (len, k) = (1 + call.below(60), 1 + call.below(70));
    let values: Vec<f64> = (0..len).map(|_| f64::from(call.u8())).collect();
    let ids: Vec<i32> = (0..len as i32).collect();
    let (values, ids) = (call.input(&values, len), call.input(&ids, len));
    let (best, best_ids, found) = (call.output(k), call.output(k), call.output(1));
    let error = &raw mut call.error;
    // SAFETY: every pointer that is not to be refused has its length.
    let status = unsafe { covertree_k_best(values, ids, len, best, best_ids, k, found, error) };
    call.settle(status);

    let mut call = Hostile::new(call.data);
    let (tier, floats) = (call.tier(), call.input(&[1.5f32, 0.5, f32::NAN, 2.5], len));
    let (positions, found, error) = (call.output(len), call.output(1), &raw mut call.error);
    // SAFETY: as above.
    let status = unsafe { covertree_positions_at_most_f32(tier, floats, len, 1.0, 0, positions, found, error) };
    call.settle(status);
}

pub(super) fn kth_smallest(call: &mut Hostile<'_>) {
    let (len, kinds, tier) = (1 + call.below(600), 1 + u64::from(call.u8()), call.tier());
    let seed = u64::from(call.u8());
    let mut values: Vec<f64> = (0..len as u64).map(|i| (mix64(seed << 32 | i) % kinds) as f64 - 8.0).collect();
    if call.u8() > 240 {
        values[len / 2] = f64::NAN;
        call.honest = false;
    }
    let k = match call.u8() {
        251.. => usize::MAX,
        241..=250 => 0,
        _ => 1 + call.below(len + 1),
    };
    call.honest &= (1..=len).contains(&k);
    let scratch_len = call.len(covertree_kth_smallest_blocks_f64(len));
    let (given, out, scratch) = (call.input(&values, len), call.output::<f64>(1), call.scratch(scratch_len));
    let error = &raw mut call.error;
    // SAFETY: every pointer that is not to be refused has its length.
    let status = unsafe { covertree_kth_smallest_f64(tier, given, len, k, out, scratch, scratch_len, error) };
    if call.settle(status) {
        assert_eq!(call.written(out, 1)[0].to_bits(), oracle::kth_smallest(&values, k).to_bits());
    }
}
