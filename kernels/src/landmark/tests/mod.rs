//! The bounds against the truth, and the parts against their twins and the oracle.

mod between;
mod floor;
mod parts;
mod truth;
mod twins;

use std::vec;
use std::vec::Vec;

use super::*;
use crate::arena::{Arena, Block};
use crate::covariance::{Covariance, CovarianceKind};
use crate::index::at;
use crate::oracle::residual::Residual;
use crate::residual::tests::{Packed, floored, hard_metric, metrics, published};
use crate::residual::{ResidualCounters, block_to_run, pack_queries, pack_queries_blocks};

/// A metric with the correlations that the `f64` tiles compute, not cut, and the error factors of its points.
struct Setup {
    metric: Residual,
    /// `[len][lanes]`.
    rho: Vec<f64>,
    lanes: usize,
    errors: Vec<f64>,
}

impl Setup {
    fn new(metric: Residual, tier: Tier, defect: f64) -> Self {
        let packed = Packed::<f64>::new(&metric);
        let run = packed.all();
        let lanes = run.panels() * 8;
        let mut memory = vec![Block::default(); pack_queries_blocks::<f64>(run.panels(), metric.columns)];
        let queries = pack_queries(tier, &run, &mut Arena::new(&mut memory)).unwrap();
        let (mut rho, mut masks) = (vec![0.0; lanes * lanes], vec![0; lanes * lanes / 8]);
        let mut counters = ResidualCounters::default();
        block_to_run(&queries, &run, &vec![0.0; lanes], &mut rho, &mut masks, &mut counters).unwrap();
        for i in 0..metric.len() {
            rho[i * lanes + i] = 1.0;
        }
        let errors = (0..metric.len()).map(|i| point_error(packed.margins[i], defect, metric.p[i])).collect();
        Self { metric, rho, lanes, errors }
    }

    fn rho(&self, i: usize, j: usize) -> f64 {
        self.rho[i * self.lanes + j]
    }

    /// Landmarks for the points `members`.
    fn cluster(&self, members: &[usize], limits: Limits<'_>) -> Cluster {
        let (len, stride) = (members.len(), limits.count);
        let errors: Vec<f64> = members.iter().map(|&i| self.errors[i]).collect();
        let mut cluster = Cluster {
            members: members.to_vec(),
            frame: None,
            landmarks: vec![-5; stride],
            factor: vec![-5.0; stride * stride],
            coordinates: vec![-5.0; len * stride],
            extents: vec![Extent { span: -5.0, tail: -5.0, slack: -5.0 }; len],
        };
        let column = |member, out: &mut [f64]| {
            for (out, &other) in out.iter_mut().zip(members) {
                *out = self.rho(members[at(member)], other);
            }
            Ok(())
        };
        let chosen = Chosen {
            landmarks: &mut cluster.landmarks,
            factor: &mut cluster.factor,
            coordinates: &mut cluster.coordinates,
            extents: &mut cluster.extents,
        };
        let mut memory = vec![Block::splat(0xffff_ffff); choose_blocks(len, stride)];
        let (mut arena, mut counters) = (Arena::new(&mut memory), LandmarkCounters::default());
        let frame = choose(limits, &errors, column, chosen, &mut arena, &mut counters).unwrap();
        let passed_over = counters.members_passed_over;
        assert!(frame.count() as u64 + passed_over <= len as u64, "{frame:?}: {passed_over} passed over");
        assert_eq!(counters, LandmarkCounters { members_passed_over: passed_over, ..LandmarkCounters::default() });
        cluster.frame = Some(frame);
        cluster
    }

    /// The points `who` in the frame of a cluster.
    fn project(&self, tier: Tier, cluster: &Cluster, who: &[usize]) -> Owned<f64> {
        let (frame, lanes) = (cluster.frame(), who.len().next_multiple_of(8));
        let mut rho = vec![f64::NAN; frame.count() * lanes];
        let mut errors = vec![f64::NAN; lanes];
        for (place, &i) in who.iter().enumerate() {
            errors[place] = self.errors[i];
            for (k, &landmark) in cluster.landmarks[..frame.count()].iter().enumerate() {
                rho[k * lanes + place] = self.rho(cluster.members[at(landmark)], i);
            }
        }
        let mut owned = Owned::new(who.len(), frame.count());
        let len = owned.len;
        project(tier, frame, &cluster.factor, &rho, &errors, len, &mut owned.memory()).unwrap();
        let mut twin = Owned::new(len, frame.count());
        scalar::project(frame, &cluster.factor, &rho, &errors, len, &mut twin.memory());
        twins::check_projection(tier, frame, &owned, &twin, &errors, false);
        owned
    }
}

impl Setup {
    /// The points `who` in the frame of a cluster, from correlations with errors of `rough` times that of the landmarks or
    /// more, and the weights of the members.
    fn project_rough(&self, tier: Tier, cluster: &Cluster, who: &[usize], rough: f64) -> (Owned<f64>, Vec<f64>) {
        let (lanes, count) = (who.len().next_multiple_of(8), cluster.frame().count());
        let error = |i: usize| self.errors[i].max(rough);
        let landmarks: Vec<usize> = cluster.landmarks[..count].iter().map(|&k| cluster.members[at(k)]).collect();
        let mut rho = vec![f64::NAN; count * lanes];
        let mut errors = vec![f64::NAN; lanes];
        for (place, &i) in who.iter().enumerate() {
            errors[place] = error(i);
            for (k, &landmark) in landmarks.iter().enumerate() {
                let more = error(landmark) * error(i) - self.errors[landmark] * self.errors[i];
                let sign = if (i * 31 + k * 17) % 3 == 0 { -0.999 } else { 0.999 };
                let moved = if landmark == i { 0.0 } else { more * sign };
                rho[k * lanes + place] = self.rho(landmark, i) + moved;
            }
        }
        let own: Vec<f64> = landmarks.iter().map(|&landmark| error(landmark)).collect();
        let frame = cluster.frame().with_error(libm::sqrt(own.iter().map(|error| error * error).sum()));
        let mut owned = Owned::new(who.len(), count);
        let len = owned.len;
        project_weighted(tier, &frame, &cluster.factor, &rho, &errors, len, &mut owned.memory()).unwrap();
        let mut twin = Owned::new(len, count);
        scalar::project_weighted(&frame, &cluster.factor, &rho, &errors, len, &mut twin.memory());
        twins::check_projection(tier, &frame, &owned, &twin, &errors, true);
        let mut weights = vec![-7.0; cluster.members.len().next_multiple_of(8)];
        cluster.pack::<f64>().view(|members| {
            member_weights(&frame, &cluster.factor, &members, &own, &mut weights).unwrap();
            let short = member_weights(&frame, &cluster.factor, &members, &own, &mut vec![0.0; weights.len() + 1]);
            assert!(matches!(short, Err(KernelError::Shape { what: "weights", .. })));
        });
        (owned, weights)
    }
}

struct Cluster {
    members: Vec<usize>,
    frame: Option<Frame>,
    landmarks: Vec<i32>,
    factor: Vec<f64>,
    coordinates: Vec<f64>,
    extents: Vec<Extent>,
}

impl Cluster {
    fn frame(&self) -> &Frame {
        self.frame.as_ref().unwrap()
    }

    fn pack<T: Real>(&self) -> Owned<T> {
        let mut owned = Owned::new(self.members.len(), self.frame().count());
        pack_members(self.frame(), &self.coordinates, &self.extents, &mut owned.memory()).unwrap();
        owned
    }
}

/// Memory for points in a frame.
struct Owned<T> {
    len: usize,
    count: usize,
    arrays: [Vec<T>; 4],
}

impl<T: Real> Owned<T> {
    fn new(len: usize, count: usize) -> Self {
        let (lanes, dirt) = (panels_len::<T>(len, 1), T::from_f64(-7.0));
        let arrays = [panels_len::<T>(len, count), lanes, lanes, lanes].map(|len| vec![dirt; len]);
        Self { len, count, arrays }
    }

    fn memory(&mut self) -> FrameMemory<'_, T> {
        let [coordinates, spans, tails, slacks] = &mut self.arrays;
        FrameMemory { coordinates, spans, tails, slacks }
    }

    fn view<R>(&mut self, see: impl FnOnce(FramePoints<'_, T>) -> R) -> R {
        let (len, count) = (self.len, self.count);
        see(FramePoints::new(self.memory().slices(), len, count).unwrap())
    }
}
