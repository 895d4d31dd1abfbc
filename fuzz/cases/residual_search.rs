//! A whole search of one leaf among itself, as the runner does it: tiles of both precisions, short lists, and the formula.

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::covariance::Exponential;
use covertree_kernels::index::{Idx, at};
use covertree_kernels::oracle::residual::Residual;
use covertree_kernels::residual::{
    Counting, ListedPairs, Members, Offered, PointRow, ResidualCounters, ResidualPoints, ResidualRows, RhoTile,
    Shortlists, block_where, block_where_blocks, condense, listed_pairs, offer_columns, offer_listed, offer_rows,
    pack_listed, pack_queries, pack_queries_blocks, residual_distance, residual_variances, scalar, settle_positions,
    unpack_rows, wanted_pairs, widen_tile,
};
use covertree_kernels::simd::Tier;

use super::Bytes;
use super::residual::{Packed, Published, metric};

pub fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (k, counting) = (1 + bytes.below(9), [Counting::Earlier, Counting::Others][bytes.below(2)]);
    let metric = metric(&mut bytes);
    let packed = Packed::<f64>::new(&metric);
    let mut p = vec![f64::NAN; metric.len()];
    residual_variances(&packed.model, metric.covariance.variance(), &packed.wide, &mut p).expect("the shapes fit");
    assert_eq!(p, metric.p, "the oracle makes the same variances");
    let published = Published::new(&metric);
    let ranks: Vec<f64> = (0..metric.len().next_multiple_of(8)).map(|i| (i * 13 % 64) as f64).collect();
    for tier in Tier::all() {
        for single in [false, true] {
            let (rho, margins) = if single { narrow(&metric, tier) } else { wide(&metric, &packed, tier) };
            let search =
                Search { metric: &metric, published: &published, packed: &packed, tier, k, counting, ranks: &ranks };
            search.check(&rho, &margins);
        }
    }
}

/// The tile of all pairs in single precision, `[len][lanes]`, and its margins.
fn narrow(metric: &Residual, tier: Tier) -> (Vec<f64>, Vec<f64>) {
    let (packed, len) = (Packed::<f32>::new(metric), metric.len());
    let tile = whole_tile(&packed.points(len), tier);
    let lanes = len.next_multiple_of(8);
    let mut rho = vec![f64::NAN; len * lanes];
    widen_tile(&tile[..len * len.next_multiple_of(16)], len, &mut rho).expect("the shapes fit");
    let margins: Vec<f64> = packed.margins.iter().map(|&margin| f64::from(margin)).collect();
    listed(metric, &packed, tier, &tile);
    (rho, margins[..lanes].to_vec())
}

/// Pairs one by one are within the margins of the tile.
fn listed(metric: &Residual, packed: &Packed<f32>, tier: Tier, tile: &[f32]) {
    let (len, columns) = (metric.len(), metric.columns);
    let points = packed.points(len);
    let mut rows = vec![f32::NAN; len * columns];
    unpack_rows(&packed.v, columns, &mut rows).expect("the shapes fit");
    let margin = points.scale_and_margin(0).1;
    let places: Vec<Idx> = (0..len as Idx).collect();
    let mut starts = vec![len as Idx; len + 1];
    starts[0] = 0;
    let mut panels = vec![f32::NAN; packed.v.len()];
    pack_listed(tier, &rows, columns, &places, &mut panels).expect("the shapes fit");
    for (place, &row) in places.iter().enumerate() {
        for column in 0..columns {
            let lane = (place / 16 * columns + column) * 16 + place % 16;
            assert_eq!(panels[lane], rows[at(row) * columns + column], "{tier} {row} {column}");
        }
    }
    let side = ResidualRows::new(packed.model, points.coordinates(), &rows, &packed.scales).expect("the shapes fit");
    let mut out = vec![f32::NAN; len];
    listed_pairs(tier, &side, &side, &starts, &places, &mut out, &mut ResidualCounters::default())
        .expect("the shapes fit");
    let mut plain = vec![f32::NAN; len];
    scalar::listed_pairs(&side, &side, &starts, &places, &mut plain);
    for (place, (&r, &plain)) in out.iter().zip(&plain).enumerate() {
        let (one, other) = (f64::from(r).clamp(-1.0, 1.0), f64::from(plain).clamp(-1.0, 1.0));
        let most = f64::from(margin) * f64::from(packed.margins[place]);
        assert!((one - other).abs() <= most, "{tier} {place}: {one} {other} {most}");
    }
    for (&place, &r) in places.iter().zip(&out).filter(|pair| *pair.0 > 0) {
        let most = 2.0 * f64::from(margin) * f64::from(packed.margins[at(place)]);
        let (one, other) = (f64::from(r).clamp(-1.0, 1.0), f64::from(tile[at(place)]).clamp(-1.0, 1.0));
        assert!((one - other).abs() <= most, "{tier} {place}: {one} {other} {most}");
    }
    offered(packed, &places, &out);
}

/// All pairs of the first point but that with itself enter a list without a threshold.
fn offered(packed: &Packed<f32>, places: &[Idx], rho: &[f32]) {
    let len = places.len();
    let margins: Vec<f64> = packed.margins.iter().map(|&margin| f64::from(margin)).collect();
    let ranks = vec![0.0; len];
    let members = |len| Members { first: 0, len, ranks: &ranks, margins: &margins };
    let pairs = ListedPairs { starts: &[0, len as Idx], places, rho, rows: members(1), columns: members(len) };
    let (mut lowers, mut uppers, mut positions) = (vec![f32::NAN; len], vec![f32::NAN; len], vec![-9; len]);
    let (mut counts, mut least) = ([0], [0.0]);
    let mut lists = Shortlists {
        k: 1,
        room: len,
        lowers: &mut lowers,
        uppers: &mut uppers,
        positions: &mut positions,
        counts: &mut counts,
        least: &mut least,
    };
    let taken = offer_listed(&pairs, Counting::Others, Offered::ToRows, &mut lists).expect("there is room");
    assert_eq!(taken, len as u64 - 1);
    assert!(positions[..len - 1].iter().copied().eq(1..len as Idx));
}

/// The tile of all pairs, `[lanes][lanes]`.
fn whole_tile<T: Exponential>(points: &ResidualPoints<'_, T>, tier: Tier) -> Vec<T> {
    let run = points.run(0, points.panels()).expect("all panels");
    let (panels, lanes) = (run.panels(), run.panels() * T::LANES);
    let columns = points.model().columns();
    let blocks = pack_queries_blocks::<T>(panels, columns) + block_where_blocks::<T>(panels, panels);
    let mut memory = vec![Block::splat(u32::MAX); blocks];
    let mut arena = Arena::new(&mut memory);
    let queries = pack_queries(tier, &run, &mut arena).expect("the memory is enough");
    let mut rho = vec![T::from_f64(f64::NAN); lanes * lanes];
    let (all, mut counters) = (vec![u32::MAX; lanes * panels], ResidualCounters::default());
    block_where(&queries, &run, &all, &mut rho, &mut arena, &mut counters).expect("the shapes fit");
    let filtered = std::mem::take(&mut counters.filtered);
    assert_eq!((filtered, counters), ((lanes * lanes) as u64, ResidualCounters::default()));
    rho
}

/// The tile of all pairs in double precision, and its margins.
fn wide(metric: &Residual, packed: &Packed<f64>, tier: Tier) -> (Vec<f64>, Vec<f64>) {
    let mut rho = whole_tile(&packed.points(metric.len()), tier);
    rho.truncate(metric.len() * metric.len().next_multiple_of(8));
    (rho, packed.margins.clone())
}

struct Search<'a> {
    metric: &'a Residual,
    published: &'a Published,
    packed: &'a Packed<f64>,
    tier: Tier,
    k: usize,
    counting: Counting,
    ranks: &'a [f64],
}

impl Search<'_> {
    fn counts(&self, i: usize, j: usize) -> bool {
        i != j && (self.counting != Counting::Earlier || self.ranks[j] < self.ranks[i])
    }

    fn nearest(&self, i: usize) -> Vec<(f64, usize)> {
        let others = (0..self.metric.len()).filter(|&j| self.counts(i, j));
        let mut all: Vec<(f64, usize)> = others.map(|j| (residual_distance(self.published.of(i, j)), j)).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        all.truncate(self.k);
        all
    }

    /// Rows and columns of the tile both give the nearest neighbours, by lanes and by their twins; so do bounds first and lists
    /// afterwards.
    fn check(&self, rho: &[f64], margins: &[f64]) {
        let (len, tier) = (self.metric.len(), self.tier);
        let places: Vec<Idx> = (0..len as Idx).collect();
        let members = Members { first: 0, len, ranks: self.ranks, margins };
        let tile = RhoTile { rho, places: &places, rows: members, columns: members };
        let room = len + 1;
        for (by_rows, plainly) in [(true, false), (false, false), (true, true), (false, true)] {
            let (mut lowers, mut uppers) = (vec![f32::NAN; len * room], vec![f32::NAN; len * room]);
            let (mut positions, mut counts, mut least) = (vec![-9; len * room], vec![0; len], vec![0.0; len]);
            let mut lists = Shortlists {
                k: self.k,
                room,
                lowers: &mut lowers,
                uppers: &mut uppers,
                positions: &mut positions,
                counts: &mut counts,
                least: &mut least,
            };
            let offered = match (by_rows, plainly) {
                (true, false) => offer_rows(tier, &tile, self.counting, &mut lists),
                (false, false) => offer_columns(tier, &tile, self.counting, &mut lists),
                (true, true) => Ok(scalar::offer_rows(&tile, self.counting, &mut lists)),
                (false, true) => Ok(scalar::offer_columns(&tile, self.counting, &mut lists)),
            };
            let (mut scratch, mut counters) = (vec![f32::NAN; room], ResidualCounters::default());
            for row in 0..len {
                condense(row, &mut lists, &mut scratch, &mut counters).expect("the shapes fit");
                if !by_rows {
                    let rho = self.settled(row, lists.wide(row).expect("there is such a row"));
                    lists.tighten(row, &rho).expect("so many are listed");
                    assert_eq!(lists.wide(row), Ok(&[][..]), "what is settled is told");
                    condense(row, &mut lists, &mut scratch, &mut counters).expect("the shapes fit");
                }
            }
            let held: u64 = counts.iter().map(|&count| at(count) as u64).sum();
            assert_eq!(offered, Ok(counters.dropped + held), "a point that was taken is held or was dropped");
            self.bounds(&tile, &least);
            for row in 0..len {
                let mut listed = positions[row * room..][..at(counts[row])].to_vec();
                listed.sort_unstable();
                let settled = self.settled(row, &listed);
                let mut found: Vec<(f64, usize)> =
                    settled.iter().zip(&listed).map(|(&rho, &j)| (residual_distance(rho), at(j))).collect();
                found.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                found.truncate(self.k);
                assert_eq!(found, self.nearest(row), "{tier} {row}");
            }
        }
    }

    /// The published correlations of a point with others at ascending positions.
    fn settled(&self, row: usize, positions: &[Idx]) -> Vec<f64> {
        let query = PointRow { coordinates: self.metric.point(row), v: self.metric.row(row), p: self.metric.p[row] };
        let coordinates = self.packed.points(self.metric.len()).coordinates();
        let points = ResidualRows::new(self.packed.model, coordinates, &self.metric.v, &self.packed.scales)
            .expect("the shapes fit");
        let mut settled = vec![f64::NAN; positions.len()];
        let mut counters = ResidualCounters::default();
        settle_positions(self.tier, query, &points, &self.metric.p, positions, &mut settled, &mut counters)
            .expect("the positions are in order");
        let mut plain = settled.clone();
        plain.fill(f64::NAN);
        scalar::settle_positions(query, &points, &self.metric.p, positions, &mut plain);
        assert_eq!(settled, plain, "{}", self.tier);
        settled
    }

    /// Upper bounds in place of the filter rule out no neighbour.
    fn bounds(&self, tile: &RhoTile<'_>, least: &[f64]) {
        let len = self.metric.len();
        let lanes = tile.rho.len() / len;
        let mut upper = tile.rho.to_vec();
        for (place, upper) in upper.iter_mut().enumerate() {
            *upper = upper.abs() + tile.rows.margins[place / lanes] * tile.rows.margins[place % lanes] * (1.0 + 1e-12);
        }
        let mut masks = vec![u32::MAX; len * lanes / 8];
        let bounded = RhoTile { rho: &upper, ..*tile };
        let count = wanted_pairs(self.tier, &bounded, self.counting, (least, None), &mut masks);
        let mut twin = vec![u32::MAX; masks.len()];
        assert_eq!(count, Ok(scalar::wanted_pairs(&bounded, self.counting, (least, None), &mut twin)), "{}", self.tier);
        assert_eq!(masks, twin, "{}", self.tier);
        for row in 0..len {
            for (_, j) in self.nearest(row) {
                assert!(masks[row * lanes / 8 + j / 8] >> (j % 8) & 1 == 1, "{} {row} {j}", self.tier);
            }
        }
    }
}
