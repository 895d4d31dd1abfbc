//! The builder's configuration: one plain value that says everything, and what of it does not go together.

use covertree_kernels::index::LEN_MAX;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::tree::Ladder;

/// Declares an enum whose values have names on the command line, in files and in telemetry; the text says what an unknown name
/// is not.
macro_rules! named {
    ($what:literal, $(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$value_doc])* #[serde(rename = $text)] $value),+
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$value),+];

            /// The name in commands and files.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$value => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for $name {
            type Err = Error;

            fn from_str(name: &str) -> Result<Self, Error> {
                crate::named::parse(name, $what, Self::ALL, Self::name)
            }
        }
    };
}

/// Most axes with which `auto` chooses nets.
const NETS_AXES: usize = 5;

/// Conflicts that each point of a batch may have, whatever the cap on its graph.
const CONFLICTS_PER_POINT: u64 = 16;

named! {
    "way to settle conflicts",
    /// How points of a batch that want the same place are told apart.
    Conflict {
        /// The whole conflict graph of the batch, and independent sets of it level by level: the reference.
        Dense = "dense",
        /// No graph: leaders of grid cells, stitched, and repaired until nothing can be added.
        Grid = "grid",
        /// First accept what beats all of its conflicts, then the graph of the rest alone.
        TwoPhase = "two-phase",
        /// No graph: an independent set below each parent, stitched, and repaired until nothing can be added.
        Parent = "parent",
        /// All points at once, level by level upward: of near pairs that both still stand, one stays.
        Nets = "nets",
        /// `nets` where all points are taken at once; else for each batch one of the others, by the metric, the dimension and how
        /// crowded the batch is.
        #[default]
        Auto = "auto",
    }
}

named! {
    "order of batches",
    /// The order in which points are inserted.
    BatchOrder {
        /// A random permutation.
        Random = "random",
        /// Along the Hilbert curve.
        Hilbert = "hilbert",
        /// Along the Morton curve.
        Morton = "morton",
        /// By row number.
        Natural = "natural",
        /// A random permutation, and each batch along the Hilbert curve (biased randomised insertion order).
        #[default]
        Brio = "brio",
    }
}

named! {
    "plan of batches",
    /// How large the batches are.
    Prefix {
        /// `whole` where `nets` settle it, else `doubling`.
        #[default]
        Auto = "auto",
        /// Each as large as all before it.
        Doubling = "doubling",
        /// Smaller where many points of the last batch were dominated, larger where few were.
        Adaptive = "adaptive",
        /// All points behind the root are one batch.
        Whole = "whole",
    }
}

named! {
    "form of independent sets",
    /// How a maximal independent set is found in a graph.
    MisForm {
        /// Luby rounds until nothing is open.
        Luby = "luby",
        /// Two Luby rounds, then a deterministic completion.
        #[default]
        Fast = "fast",
    }
}

/// How a tree is built. Every setting gives a tree that obeys all laws; they differ in time, and in which tree it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildConfig {
    /// Ratio of the radii of neighbouring levels, above 1.
    pub base: f64,
    /// Seed of every random choice.
    pub seed: u64,
    /// The strategy of the conflict stage.
    pub conflict: Conflict,
    /// `grid`: shifted grids per round, 1 to 4.
    pub grid_shifts: u32,
    /// `parent`: groups above this size are not thinned by themselves.
    pub group_cap: usize,
    /// `dense`, `two-phase`: conflicts of one batch that are kept at most, some fifty bytes each; not less than 16 for each
    /// of its points, nor more than 2^30. What would have more is refused, or settled without its graph.
    pub graph_cap: u64,
    /// The order of insertion.
    pub batch_order: BatchOrder,
    /// The sizes of batches.
    pub prefix: Prefix,
    /// `adaptive`: a share of dominated points below this is low.
    pub rho_low: f64,
    /// `adaptive`: a share of dominated points above this is high.
    pub rho_high: f64,
    /// `adaptive`: by what factor the inserted points grow when the share is high, between, and low.
    pub growth: [f64; 3],
    /// The first traversal of a point is cut short after so many covering nodes, each nearer than the last; it is finished
    /// for points that win a place.
    pub chain_cap: Option<usize>,
    /// `dense`: most conflicts that are kept for a point, the nearest ones; what that leaves out is repaired.
    pub degree_cap: Option<usize>,
    /// `dense`, `two-phase`: shards of the conflict search are merged up to so many pairs of points below one parent.
    pub shard_pairs: Option<u64>,
    /// How independent sets are found.
    pub mis: MisForm,
}

impl Default for BuildConfig {
    fn default() -> Self {
        Self {
            base: 2.0,
            seed: 42,
            conflict: Conflict::default(),
            grid_shifts: 3,
            group_cap: 4096,
            graph_cap: 1 << 26,
            batch_order: BatchOrder::default(),
            prefix: Prefix::default(),
            rho_low: 0.15,
            rho_high: 0.55,
            growth: [1.25, 1.75, 2.25],
            chain_cap: None,
            degree_cap: None,
            shard_pairs: None,
            mis: MisForm::default(),
        }
    }
}

impl BuildConfig {
    /// The configuration as the text that tree files and telemetry hold: one JSON object.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers and names, all finite once checked")
    }

    /// Reads [`to_json`](Self::to_json) back; what is not mentioned has its default.
    pub fn from_json(text: &str) -> Option<Self> {
        let config: Self = serde_json::from_str(text).ok()?;
        // Nets were once given settings of batches, which they did not look at: such trees can still be changed.
        match config.conflict {
            Conflict::Nets => Some(Self { batch_order: BatchOrder::default(), mis: MisForm::default(), ..config }),
            _ => Some(config),
        }
    }

    /// The most conflicts of a batch of so many points that are kept at once.
    pub(super) fn graph_limit(&self, points: usize) -> u64 {
        // In a random order a point has about one. Both directions of each are counted by an index.
        (CONFLICTS_PER_POINT * points as u64).max(self.graph_cap).min(LEN_MAX as u64 / 2) // widens
    }

    /// Refuses values out of range, and combinations that mean nothing.
    ///
    /// # Errors
    /// [`Error::Usage`] naming the flag and the remedy.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |problem: String| Err(Error::Usage(problem));
        if !Ladder::exists(self.base, 1.0) {
            return refuse(format!("base {}: choose a finite number from {} on", self.base, Ladder::BASE_MIN));
        }
        if !(1..=4).contains(&self.grid_shifts) {
            return refuse(format!("grid-shifts {}: choose 1 to 4", self.grid_shifts));
        }
        let marks = [self.rho_low, self.rho_high];
        if !(marks.iter().all(|mark| (0.0..=1.0).contains(mark)) && self.rho_low <= self.rho_high) {
            let [low, high] = marks;
            return refuse(format!("rho-low {low}, rho-high {high}: choose two rising shares from 0 to 1"));
        }
        if !self.growth.iter().all(|factor| (1.0..=1024.0).contains(factor)) || !self.growth.is_sorted() {
            return refuse(format!("growth {:?}: choose three rising factors from 1 to 1024", self.growth));
        }
        for (flag, cap) in [
            ("group-cap", Some(self.group_cap)),
            ("graph-cap", Some(usize::try_from(self.graph_cap).unwrap_or(usize::MAX))),
            ("chain-cap", self.chain_cap),
            ("degree-cap", self.degree_cap),
            ("shard-pairs", self.shard_pairs.map(|pairs| usize::try_from(pairs).unwrap_or(usize::MAX))),
        ] {
            if cap == Some(0) {
                return refuse(format!("{flag} 0: choose at least 1, or leave it away"));
            }
        }
        let graph = matches!(self.conflict, Conflict::Dense | Conflict::Auto);
        if self.degree_cap.is_some() && !graph {
            return refuse(format!(
                "degree-cap goes with conflict dense or auto: {} keeps no whole graph",
                self.conflict
            ));
        }
        let by_batches = matches!(self.prefix, Prefix::Doubling | Prefix::Adaptive);
        if self.conflict == Conflict::Nets && (by_batches || self.chain_cap.is_some()) {
            return refuse(
                "conflict nets takes all points at once: choose prefix auto or whole, and no chain-cap".into(),
            );
        }
        let plain = self.batch_order == BatchOrder::default() && self.mis == MisForm::default();
        if self.conflict == Conflict::Nets && !plain {
            return refuse("conflict nets has an order and sets of its own: leave batch-order and mis away".into());
        }
        if self.shard_pairs.is_some() && !graph && self.conflict != Conflict::TwoPhase {
            return refuse(format!("shard-pairs goes with dense, two-phase or auto: {} has no shards", self.conflict));
        }
        Ok(())
    }

    /// Whether nets settle all points at once, where the points admit it.
    pub(crate) fn asks_for_nets(&self, axes: usize) -> bool {
        let capped = self.chain_cap.is_some() || self.degree_cap.is_some() || self.shard_pairs.is_some();
        // Settings of batches ask for batches.
        let plain = !capped && self.batch_order == BatchOrder::default() && self.mis == MisForm::default();
        match (self.prefix, self.conflict) {
            (Prefix::Auto | Prefix::Whole, Conflict::Nets) => true,
            (Prefix::Auto | Prefix::Whole, Conflict::Auto) => plain && axes <= NETS_AXES,
            _ => false,
        }
    }

    /// Refuses what points without coordinates cannot have.
    pub(crate) fn check_axes(&self, axes: usize) -> Result<(), Error> {
        if axes > 0 {
            return Ok(());
        }
        let curve = matches!(self.batch_order, BatchOrder::Hilbert | BatchOrder::Morton);
        if curve {
            return Err(Error::Usage(format!(
                "batch-order {}: this metric has no coordinates; choose random, brio or natural",
                self.batch_order
            )));
        }
        if self.conflict == Conflict::Grid {
            let problem = "conflict grid: this metric has no coordinates; choose parent, dense, two-phase or auto";
            return Err(Error::Usage(problem.into()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_read_back() {
        let config = BuildConfig {
            conflict: Conflict::TwoPhase,
            chain_cap: Some(4),
            seed: u64::MAX,
            prefix: Prefix::Adaptive,
            ..BuildConfig::default()
        };
        let text = config.to_json();
        assert!(text.contains("\"conflict\":\"two-phase\"") && text.contains("\"chain_cap\":4"), "{text}");
        assert_eq!(BuildConfig::from_json(&text), Some(config));
        assert_eq!(BuildConfig::from_json("{}"), Some(BuildConfig::default()));
        assert_eq!(BuildConfig::from_json("conflict=dense"), None);
    }

    #[test]
    fn names_are_read_back_and_others_refused() {
        for conflict in Conflict::ALL {
            assert_eq!(conflict.to_string().parse::<Conflict>().unwrap(), *conflict);
        }
        let refused = "sparse".parse::<Conflict>().unwrap_err().to_string();
        assert_eq!(
            refused,
            "\"sparse\" is no way to settle conflicts; choose one of dense, grid, two-phase, parent, nets, auto"
        );
    }

    #[test]
    fn nets_of_old_with_settings_of_batches_can_be_changed() {
        let old = BuildConfig { conflict: Conflict::Nets, batch_order: BatchOrder::Morton, ..BuildConfig::default() };
        assert!(old.check().is_err());
        BuildConfig::from_json(&old.to_json()).unwrap().check().unwrap();
    }

    #[test]
    fn what_means_nothing_is_refused_in_one_line() {
        let fine = BuildConfig::default();
        fine.check().unwrap();
        for (config, word) in [
            (BuildConfig { base: 1.0, ..fine.clone() }, "base"),
            (BuildConfig { grid_shifts: 0, ..fine.clone() }, "grid-shifts"),
            (BuildConfig { grid_shifts: 5, ..fine.clone() }, "grid-shifts"),
            (BuildConfig { rho_low: 0.6, ..fine.clone() }, "rho-low"),
            (BuildConfig { rho_high: f64::NAN, ..fine.clone() }, "rho-high"),
            (BuildConfig { growth: [1.5, 1.2, 2.0], ..fine.clone() }, "growth"),
            (BuildConfig { growth: [0.5, 1.2, 2.0], ..fine.clone() }, "growth"),
            (BuildConfig { chain_cap: Some(0), ..fine.clone() }, "chain-cap"),
            (BuildConfig { group_cap: 0, ..fine.clone() }, "group-cap"),
            (BuildConfig { graph_cap: 0, ..fine.clone() }, "graph-cap"),
            (BuildConfig { degree_cap: Some(8), conflict: Conflict::Grid, ..fine.clone() }, "degree-cap"),
            (BuildConfig { shard_pairs: Some(8), conflict: Conflict::Parent, ..fine.clone() }, "shard-pairs"),
            (BuildConfig { conflict: Conflict::Nets, prefix: Prefix::Doubling, ..fine.clone() }, "nets"),
            (BuildConfig { conflict: Conflict::Nets, chain_cap: Some(2), ..fine.clone() }, "nets"),
            (BuildConfig { conflict: Conflict::Nets, mis: MisForm::Luby, ..fine.clone() }, "nets"),
            (BuildConfig { conflict: Conflict::Nets, batch_order: BatchOrder::Random, ..fine.clone() }, "nets"),
        ] {
            let problem = config.check().unwrap_err().to_string();
            assert!(problem.contains(word) && !problem.contains('\n'), "{problem}");
        }
        let grid = BuildConfig { conflict: Conflict::Grid, ..fine.clone() };
        assert!(grid.check_axes(2).is_ok() && grid.check_axes(0).is_err());
        assert!(BuildConfig { batch_order: BatchOrder::Morton, ..fine }.check_axes(0).is_err());
    }
}
