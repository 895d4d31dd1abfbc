//! Replays the named fuzz corpora on stable Rust: each file must still agree with the oracle.

#[path = "../../fuzz/cases/mod.rs"]
mod cases;

use std::fs;
use std::path::Path;

/// Runs `check` on every file of `fuzz/corpus/<kernel>`, and on a few plain inputs that need no file.
fn replay(kernel: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(kernel);
    let mut files = 0;
    for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("the corpus can be listed").path();
        check(&fs::read(&path).expect("the corpus can be read"));
        files += 1;
    }
    assert!(files > 0, "{kernel} has no corpus");
    check(&[]);
    check(&[0xff; 64]);
    check(&std::array::from_fn::<u8, 251, _>(|i| (i * 37 % 256) as u8));
}

#[test]
fn grid_cells() {
    replay("grid_cells", cases::grid_cells::check);
}

#[test]
fn grid_table() {
    replay("grid_table", cases::grid_table::check);
}

#[test]
fn group_by_key() {
    replay("group_by_key", cases::group_by_key::check);
}

#[test]
fn order_bounds() {
    replay("order_bounds", cases::order_bounds::check);
}

#[test]
fn order_keys() {
    replay("order_keys", cases::order_keys::check);
}

#[test]
fn radix_sort_keys() {
    replay("radix_sort_keys", cases::radix_sort_keys::check);
}

#[test]
fn conflict_csr() {
    replay("conflict_csr", cases::conflict_csr::check);
}

#[test]
fn conflict_within() {
    replay("conflict_within", cases::conflict_within::check);
}

#[test]
fn kth_smallest() {
    replay("kth_smallest", cases::kth_smallest::check);
}

#[test]
fn merge_runs() {
    replay("merge_runs", cases::merge_runs::check);
}

#[test]
fn mis() {
    replay("mis", cases::mis::check);
}

#[test]
fn positions_at_most() {
    replay("positions_at_most", cases::positions_at_most::check);
}

#[test]
fn covariance() {
    replay("covariance", cases::covariance::check)
}

#[test]
fn landmark() {
    replay("landmark", cases::landmark::check)
}

#[test]
fn residual() {
    replay("residual", cases::residual::check)
}

#[test]
fn residual_search() {
    replay("residual_search", cases::residual_search::check)
}

#[test]
fn dist_block() {
    replay("dist_block", cases::dist_block::check);
}

#[test]
fn dist_by_dots() {
    replay("dist_by_dots", cases::dist_by_dots::check);
}

#[test]
fn dist_capped() {
    replay("dist_capped", cases::dist_capped::check);
}

#[test]
fn dist_one_to_run() {
    replay("dist_one_to_run", cases::dist_one_to_run::check);
}

#[test]
fn topk() {
    replay("topk", cases::topk::check);
}

#[test]
fn sphere() {
    replay("sphere", cases::sphere::check)
}

#[test]
fn tree() {
    replay("tree", cases::tree::check);
}

#[test]
fn gate_profile() {
    replay("gate_profile", cases::gate_profile::check);
}

#[test]
fn stored() {
    replay("stored", cases::stored::check);
}

#[test]
fn knn_panel() {
    replay("knn_panel", cases::knn_panel::check);
}

#[test]
fn near_pairs() {
    replay("near_pairs", cases::near_pairs::check);
}

#[test]
fn projection() {
    replay("projection", cases::projection::check);
}

#[test]
fn pivots() {
    replay("pivots", cases::pivots::check);
}

#[test]
fn scan() {
    replay("scan", cases::scan::check);
}
