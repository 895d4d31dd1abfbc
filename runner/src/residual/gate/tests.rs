//! What gates drop, how that is measured, and which profiles they refuse.

use covertree_kernels::covariance::CovarianceKind;

use super::*;
use crate::generate::GenerateConfig;
use crate::points::Points;
use crate::residual::{CovarianceConfig, FitOptions, Inducing, Landmarks, ProfileConfig, Work, reference};

const ROWS: usize = 1400;

fn points(rows: usize, seed: u64) -> Points {
    GenerateConfig { rows, dim: 3, seed, ..GenerateConfig::default() }.generate().unwrap()
}

fn index(inducing: usize) -> ResidualIndex {
    let config = CovarianceConfig { kind: CovarianceKind::Matern52, ..CovarianceConfig::default() };
    ResidualIndex::fit(&points(ROWS, 5), &config, &Inducing::Random(inducing), 1).unwrap()
}

fn calibrated(index: &ResidualIndex, feature: Feature) -> GateProfile {
    let config = ProfileConfig { feature, bins: 64, tree_points: 200, ..ProfileConfig::default() };
    index.profile(&config).unwrap()
}

fn vecchia(index: &ResidualIndex) -> (Answers, Work) {
    let order: Vec<Idx> = (0..ROWS as Idx).collect();
    index.vecchia(&order, 8).unwrap()
}

#[test]
fn a_profile_is_written_and_read() {
    let index = index(30);
    for feature in [Feature::Coordinates, Feature::Whitened] {
        let profile = calibrated(&index, feature);
        assert_eq!(profile.pairs, 200 * (ROWS as u64 - 1));
        assert_eq!((profile.table.len(), profile.metric.inducing), (64, 30));
        assert!(profile.slope > 0.0);
        let known: Vec<f64> = profile.table.iter().flatten().copied().collect();
        assert!(known.len() > 10 && known.is_sorted(), "thresholds grow with the radius: {known:?}");
        assert_eq!(GateProfile::from_json("p.json", &profile.to_json()).unwrap(), profile);
    }
}

#[test]
fn text_that_is_no_profile_is_refused_in_one_line() {
    let good = calibrated(&index(30), Feature::Coordinates);
    let text = good.to_json();
    let other = |field: &str, value: &str| text.replacen(field, value, 1);
    for (text, telling) in [
        (String::new(), "is no profile"),
        ("{\"schema\": 3}".into(), "is no profile"),
        (other("gate-profile.v1", "gate-profile.v9"), "covertree.gate-profile.v9"),
        (GateProfile { slope: -1.0, ..good.clone() }.to_json(), "negative"),
        (GateProfile { table: vec![], ..good.clone() }.to_json(), "no thresholds"),
        (GateProfile { columns: 0, ..good.clone() }.to_json(), "no thresholds"),
    ] {
        let message = GateProfile::from_json("p.json", &text).unwrap_err().to_string();
        assert!(message.starts_with("p.json: ") && message.contains(telling), "{message}");
        assert!(message.contains("covertree gate-profile") && !message.contains('\n'), "{message}");
    }
}

#[test]
fn a_profile_of_other_parameters_is_refused() {
    let profile = calibrated(&index(30), Feature::Coordinates);
    let gate = GateConfig::new(GateName::Lookup);
    let points = points(ROWS, 5);
    let base = CovarianceConfig { kind: CovarianceKind::Matern52, ..CovarianceConfig::default() };
    let refused = |config: &CovarianceConfig, inducing: &Inducing, seed: u64| {
        let mut index = ResidualIndex::fit(&points, config, inducing, seed).unwrap();
        index.set_gate("p.json", &profile, gate).err().map(|error| error.to_string()).unwrap_or_default()
    };
    let drawn = Inducing::Random(30);
    assert_eq!(refused(&base, &drawn, 1), "");
    assert!(refused(&base, &drawn, 2).contains("other inducing points"));
    assert!(refused(&base, &Inducing::Random(31), 1).contains("30 inducing points, and these are 31"));
    assert!(
        refused(&CovarianceConfig { kind: CovarianceKind::Rbf, ..base.clone() }, &drawn, 1).contains("and this is rbf")
    );
    let long = CovarianceConfig { lengthscales: vec![2.0], ..base.clone() };
    assert!(refused(&long, &drawn, 1).contains("lengthscales [1.0], and these are [2.0]"));
    assert!(refused(&CovarianceConfig { nugget: 0.5, ..base }, &drawn, 1).contains("nugget"));
}

#[test]
fn an_open_gate_and_one_that_was_taken_off_are_exact() {
    let mut index = index(30);
    let exact = vecchia(&index).0;
    let profile = calibrated(&index, Feature::Coordinates);
    let open = GateProfile { table: vec![None; 4], slope: 1e9, ..profile.clone() };
    for name in [GateName::Lookup, GateName::Whitened] {
        index.set_gate("p.json", &open, GateConfig::new(name)).unwrap();
        let (answers, work) = vecchia(&index);
        assert_eq!((&answers, work.gate.residual_pruned_by_gate1), (&exact, 0));
        assert!(work.gate.gate1_candidates > 0);
        let tiny = GateConfig { radius_cap: 1e-9, ..GateConfig::new(name) };
        index.set_gate("p.json", &profile, tiny).unwrap();
        assert_eq!(vecchia(&index).0, exact, "every radius is above the cap");
    }
    index.remove_gate();
    assert_eq!((vecchia(&index).0, vecchia(&index).1.gate), (exact, Default::default()));
}

#[test]
fn gates_drop_pairs_the_same_ones_on_any_number_of_threads() {
    let pools = [1, 3].map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap());
    for inducing in [30, 100] {
        let mut index = index(inducing);
        let exact = vecchia(&index).0;
        for feature in [Feature::Coordinates, Feature::Whitened] {
            let profile = calibrated(&index, feature);
            for name in [GateName::Lookup, GateName::Whitened] {
                index.set_gate("p.json", &profile, GateConfig::new(name)).unwrap();
                let [(one, work), (three, again)] = pools.each_ref().map(|pool| pool.install(|| vecchia(&index)));
                assert_eq!((&one, work.gate), (&three, again.gate));
                let (lost, all) = audit(&one, &exact);
                assert!(share_found(lost, all) > 0.9, "{feature:?} {name}: {lost} of {all}");
            }
        }
    }
}

#[test]
fn the_audit_finds_what_a_false_profile_loses() {
    let mut index = index(30);
    let (exact, plain) = vecchia(&index);
    let profile = calibrated(&index, Feature::Coordinates);
    let planted = GateProfile { table: vec![Some(0.0); 4], slope: 0.0, ..profile };
    for name in [GateName::Lookup, GateName::Whitened] {
        let closed = GateConfig { margin: 0.0, ..GateConfig::new(name) };
        index.set_gate("p.json", &planted, closed).unwrap();
        let (answers, work) = vecchia(&index);
        assert!(work.gate.residual_pruned_by_gate1 > 0 && work.residual.filtered < plain.residual.filtered, "{work:?}");
        let (lost, all) = audit(&answers, &exact);
        assert!(lost > 0 && all == exact.ids.iter().filter(|id| **id >= 0).count() as u64);
        let rows: Vec<Idx> = (0..ROWS as Idx).collect();
        assert_eq!(recall(&answers, &rows, &exact), share_found(lost, all));
    }
    assert_eq!(audit(&exact, &exact).0, 0);
    assert_eq!((share_found(0, 0), share_found(1, 4)), (1.0, 0.75));
}

#[test]
fn graphs_radii_and_new_points_are_gated_too() {
    let mut index = index(30);
    let queries = points(300, 9);
    let profile = calibrated(&index, Feature::Coordinates);
    let exact = (index.graph(6, false).unwrap().0, index.knn(&queries, 6).unwrap().0);
    assert_eq!(reference::graph_rows(&index, &[7, 3], 6, false).unwrap().ids[..6], exact.0.ids[42..48]);
    let within = index.graph_within(0.5).unwrap().0;
    index.set_gate("p.json", &profile, GateConfig::new(GateName::Lookup)).unwrap();
    let (graph, work) = index.graph(6, false).unwrap();
    assert!(work.gate.gate1_candidates > 0 && share_of(&graph, &exact.0) > 0.9);
    let (found, work) = index.knn(&queries, 6).unwrap();
    assert!(work.gate.gate1_candidates > 0 && share_of(&found, &exact.1) > 0.9);
    let (some, work) = index.graph_within(0.5).unwrap();
    assert!(work.gate.gate1_candidates > 0 && some.ids.len() <= within.ids.len());
    assert!(some.ids.len() as f64 > 0.9 * within.ids.len() as f64);
}

fn share_of(answers: &Answers, exact: &Answers) -> f64 {
    let (lost, all) = audit(answers, exact);
    share_found(lost, all)
}

#[test]
fn settings_out_of_range_are_refused_in_one_line() {
    let index = index(0);
    let base = ProfileConfig::default();
    for (config, telling) in [
        (ProfileConfig { bins: 0, ..base.clone() }, "0 bins"),
        (ProfileConfig { bins: 5000, ..base.clone() }, "5000 bins"),
        (ProfileConfig { tree_points: 0, ..base.clone() }, "0 points"),
        (ProfileConfig { feature_columns: 0, ..base.clone() }, "0 columns"),
        (ProfileConfig { recall: 1.5, ..base.clone() }, "recall"),
        (ProfileConfig { recall: f64::NAN, ..base.clone() }, "recall"),
        (ProfileConfig { feature: Feature::Whitened, ..base }, "inducing points"),
    ] {
        let message = index.profile(&config).unwrap_err().to_string();
        assert!(message.contains(telling) && !message.contains('\n'), "{message}");
    }
    let gate = GateConfig::new(GateName::Lookup);
    for bad in [-0.1, f64::NAN, f64::INFINITY] {
        assert!(GateConfig { margin: bad, ..gate }.check().is_err());
        assert!(GateConfig { radius_cap: bad, ..gate }.check().is_err());
    }
    assert!(GateConfig { radius_cap: 1.1, ..gate }.check().is_err() && "closed".parse::<GateName>().is_err());
}

#[test]
fn the_number_of_landmarks_changes_no_answer() {
    let (points, config) = (points(ROWS, 5), CovarianceConfig::default());
    let fit = |landmarks| {
        let options = FitOptions { landmarks, ..FitOptions::default() };
        ResidualIndex::fit_with(options, "points", &points, &config, &Inducing::Random(40), 1).unwrap()
    };
    let (exact, work) = vecchia(&fit(Landmarks::Auto));
    assert_eq!(work.landmark.landmark_bounded, 0, "too few columns");
    for count in [0, 1, 8, 64] {
        let (answers, work) = vecchia(&fit(Landmarks::Most(count)));
        assert_eq!((answers, work.landmark.landmark_bounded > 0), (exact.clone(), count > 0), "{count}");
    }
    assert_eq!("auto".parse::<Landmarks>().unwrap(), Landmarks::Auto);
    assert_eq!(("8".parse::<Landmarks>().unwrap(), Landmarks::Most(8).to_string()), (Landmarks::Most(8), "8".into()));
    assert!("65".parse::<Landmarks>().is_err() && "-1".parse::<Landmarks>().is_err());
}
