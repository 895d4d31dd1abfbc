//! One library on one data set: built, asked and timed.

use std::collections::BTreeMap;
use std::time::Instant;

use rayon::ThreadPool;
use rayon::prelude::*;

use super::Failure;
use super::method::{Built, Method, Scalar};
use super::python::{Ask, Python};

/// Queries that one task answers on several threads.
const CHUNK: usize = 128;

/// What surrounds a measurement.
pub struct Surroundings<'a, T> {
    /// `[rows][dim]`.
    pub points: &'a [T],
    /// `[asked][dim]`.
    pub queries: &'a [T],
    /// Columns.
    pub dim: usize,
    /// Pools of one and of two threads.
    pub pools: &'a [ThreadPool; 2],
    /// The Python process, if there is one.
    pub python: Option<&'a mut Python>,
}

/// A kind of question: whether all points are asked for, the neighbours, the threads.
pub type Task = (bool, usize, usize);

/// A library on a data set, with its measurements.
pub struct Contender<T> {
    /// Name in tables.
    pub name: &'static str,
    method: Option<Method<T>>,
    built: Option<Box<dyn Built<T>>>,
    /// Seconds of each build.
    pub builds: Vec<f64>,
    /// Memory of the index.
    pub bytes: Option<u64>,
    /// Seconds per query, one for each repeat.
    pub times: BTreeMap<Task, Vec<f64>>,
    /// Queries that were timed.
    pub counts: BTreeMap<Task, usize>,
    /// Recall of the answers that were checked.
    pub recalls: BTreeMap<Task, f64>,
    /// Median and 99th percentile of the seconds of single queries.
    pub latency: Option<(f64, f64)>,
    /// Why it was left out, if it was.
    pub failure: Option<String>,
}

impl<T: Scalar> Contender<T> {
    fn new(name: &'static str, method: Option<Method<T>>) -> Self {
        Self {
            name,
            method,
            built: None,
            builds: Vec::new(),
            bytes: None,
            times: BTreeMap::new(),
            counts: BTreeMap::new(),
            recalls: BTreeMap::new(),
            latency: None,
            failure: None,
        }
    }

    /// A Rust library.
    pub fn rust(method: Method<T>) -> Self {
        Self::new(method.name, Some(method))
    }

    /// A Python library.
    pub fn python(name: &'static str) -> Self {
        Self::new(name, None)
    }

    /// Whether it runs in the Python process.
    pub fn is_python(&self) -> bool {
        self.method.is_none()
    }

    /// Builds the index anew. Each library does it as its users would, on both threads if it can.
    pub fn build(&mut self, around: &mut Surroundings<'_, T>) -> Result<(), Failure> {
        self.forget(around)?;
        let seconds = match &self.method {
            Some(method) => {
                let start = Instant::now();
                let built = around.pools[1].install(|| (method.build)(around.points, around.dim));
                let seconds = start.elapsed().as_secs_f64();
                self.built = Some(built);
                seconds
            }
            None => {
                let python = around.python.as_mut().ok_or("there is no Python")?;
                let (seconds, bytes) = python.build(self.name)?;
                self.bytes.get_or_insert(bytes);
                seconds
            }
        };
        self.builds.push(seconds);
        Ok(())
    }

    /// Frees the index.
    pub fn forget(&mut self, around: &mut Surroundings<'_, T>) -> Result<(), Failure> {
        self.built = None;
        match (&self.method, around.python.as_mut()) {
            (None, Some(python)) => python.forget(self.name),
            _ => Ok(()),
        }
    }

    /// Asks; returns the seconds and the ids of at least the first `rows` answers, `[rows][k]`.
    pub fn knn(&self, around: &mut Surroundings<'_, T>, ask: Ask, rows: usize) -> Result<(f64, Vec<i32>), Failure> {
        let Some(built) = &self.built else {
            let python = around.python.as_mut().ok_or("there is no Python")?;
            return python.knn(self.name, ask, rows);
        };
        let (dim, k) = (around.dim, ask.k);
        let set = if ask.of_points { around.points } else { around.queries };
        let queries = &set[..ask.count * dim];
        let pool = &around.pools[ask.threads - 1];
        let start = Instant::now();
        if let Some(ids) = pool.install(|| built.batch(queries, k)) {
            return Ok((start.elapsed().as_secs_f64(), ids));
        }
        let answer = |queries: &[T]| {
            let mut searcher = built.searcher().expect("a library has one entrance or the other");
            let mut ids = Vec::with_capacity(queries.len() / dim * k);
            queries.chunks_exact(dim).for_each(|query| searcher.knn(query, k, &mut ids));
            ids
        };
        let start = Instant::now();
        let ids = if ask.threads == 1 {
            answer(queries)
        } else {
            let parts: Vec<Vec<i32>> = pool.install(|| queries.par_chunks(CHUNK * dim).map(answer).collect());
            parts.concat()
        };
        Ok((start.elapsed().as_secs_f64(), ids))
    }

    /// Finds the `k` nearest other points of all points; `[rows][k]`, as [`knn`](Self::knn).
    pub fn graph(
        &self,
        around: &mut Surroundings<'_, T>,
        k: usize,
        threads: usize,
        rows: usize,
    ) -> Result<(f64, Vec<i32>), Failure> {
        let start = Instant::now();
        let own = self.built.as_ref().and_then(|built| around.pools[threads - 1].install(|| built.graph(k)));
        if let Some(ids) = own {
            return Ok((start.elapsed().as_secs_f64(), ids));
        }
        let ask = Ask { of_points: true, count: around.points.len() / around.dim, k: k + 1, threads };
        let (seconds, ids) = self.knn(around, ask, rows)?;
        let others = ids.chunks_exact(k + 1).take(rows).zip(0..).flat_map(|(ids, row)| {
            // A point need not be the first among its twins.
            let own = ids.iter().position(|&id| id == row).unwrap_or(k);
            ids.iter().enumerate().filter(move |&(place, _)| place != own).map(|(_, &id)| id)
        });
        Ok((seconds, others.collect()))
    }

    /// Queries that take about `seconds` on one thread, found by asking more and more.
    pub fn affordable(&self, around: &mut Surroundings<'_, T>, k: usize, seconds: f64) -> Result<usize, Failure> {
        let most = around.queries.len() / around.dim;
        let mut count = 16.min(most);
        for _ in 0..2 {
            let (spent, _) = self.knn(around, Ask { of_points: false, count, k, threads: 1 }, 0)?;
            let affordable = (seconds / spent * count as f64) as usize;
            count = affordable.clamp(16, count * 32).min(most);
        }
        Ok(count)
    }

    /// Times single queries, one by one.
    pub fn measure_latency(&mut self, around: &Surroundings<'_, T>, k: usize, count: usize) {
        let Some(mut searcher) = self.built.as_ref().and_then(|built| built.searcher()) else {
            return;
        };
        let mut ids = Vec::with_capacity(k);
        let mut times = Vec::with_capacity(count);
        for query in around.queries.chunks_exact(around.dim).take(count) {
            ids.clear();
            let start = Instant::now();
            searcher.knn(query, k, &mut ids);
            times.push(start.elapsed().as_secs_f64());
        }
        times.sort_unstable_by(f64::total_cmp);
        if let (Some(&middle), Some(&late)) = (times.get(times.len() / 2), times.get(times.len() * 99 / 100)) {
            self.latency = Some((middle, late));
        }
    }
}
