//! Exact nearest-neighbour libraries side by side: the same points and queries for all, repeats taken in turn, answers
//! checked against a brute force.

mod contender;
mod kd;
mod method;
mod metric;
mod ours;
mod plot;
mod python;
mod report;
mod truth;
mod workload;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::Parser;
use covertree::points::{Dtype, Points};
use covertree::summary::peak_rss_bytes;
use rayon::{ThreadPool, ThreadPoolBuilder};

use contender::{Contender, Surroundings};
use python::{Ask, Python};
use report::Report;
use truth::Truth;
use workload::{ByPrecision, Workload};

/// Anything that stops a measurement; only told to the user.
type Failure = Box<dyn std::error::Error>;

/// Queries whose answers are checked.
const CHECKED: usize = 100;
/// An index that takes longer is built once, not at each repeat.
const SLOW_BUILD: f64 = 2.0;
/// Longest graph of all points that is tried, in seconds, judged by single queries.
const SLOW_GRAPH: f64 = 20.0;

/// Compares nearest-neighbour libraries on this machine.
#[derive(Parser, Debug)]
struct Options {
    /// Folder for the tables, plots and measurements.
    #[arg(long, default_value = "peers")]
    output: PathBuf,
    /// A part that takes about a minute.
    #[arg(long)]
    quick: bool,
    /// A file of points to add, in f32 or f64; may be given again.
    #[arg(long)]
    file: Vec<PathBuf>,
    /// Only workloads whose name contains this, for example "gaussian 32768 x 3".
    #[arg(long)]
    only: Option<String>,
    /// Repeats, of which the median is taken.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// Queries at most.
    #[arg(long, default_value_t = 10_000)]
    queries: usize,
    /// Seconds that a library may take for its queries; it is asked fewer if it needs more.
    #[arg(long)]
    seconds: Option<f64>,
    /// The Python interpreter with the Python libraries.
    #[arg(long)]
    python: Option<PathBuf>,
    /// Builds this one library on one workload, in a process of its own, and prints how far its memory grew.
    #[arg(long, hide = true, num_args = 2, value_names = ["WORKLOAD", "LIBRARY"])]
    grow: Option<Vec<String>>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("peers: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    let workloads = Workload::all(options.quick, &options.file);
    if let Some([number, library]) = options.grow.as_deref() {
        let workload = workloads.get(number.parse::<usize>()?).ok_or("there is no such workload")?;
        return grow(workload, library);
    }
    let mut python = match options.python.as_deref().filter(|path| path.exists()).map(Python::start) {
        Some(Ok(python)) => Some(python),
        Some(Err(failure)) => {
            eprintln!("peers: Python libraries are skipped: {failure}");
            None
        }
        None => {
            eprintln!("peers: Python libraries are skipped: no interpreter was given");
            None
        }
    };
    let pool = |threads| ThreadPoolBuilder::new().num_threads(threads).build();
    let pools = [pool(1)?, pool(2)?];
    let mut report = Report::create(&options.output)?;
    for (number, workload) in workloads.iter().enumerate() {
        let (points, queries) = workload.data(options.queries)?;
        let title = format!("{} {} x {} {}", workload.name(), points.len(), points.dim(), workload.kind.name());
        if options.only.as_ref().is_some_and(|only| !title.contains(only.as_str())) {
            continue;
        }
        eprintln!("{title}");
        let session = Session { options, number, workload, points: &points, queries: &queries, pools: &pools };
        match points.dtype() {
            Dtype::F32 => session.compare::<f32>(python.as_mut(), &mut report)?,
            Dtype::F64 => session.compare::<f64>(python.as_mut(), &mut report)?,
        }
        report.write()?;
    }
    Ok(())
}

/// Prints the bytes by which the largest resident memory grows when a library builds its index.
fn grow(workload: &Workload, library: &str) -> Result<(), Failure> {
    fn build<T: ByPrecision>(workload: &Workload, points: &Points, library: &str) -> Result<u64, Failure> {
        let methods = workload::methods::<T>(workload.kind, points.dim());
        let method = methods.iter().find(|method| method.name == library).ok_or("there is no such library")?;
        let peak = || peak_rss_bytes().ok_or("the system does not tell the memory");
        std::fs::write("/proc/self/clear_refs", "5")?; // the peak begins anew: Linux, proc(5)
        let before = peak()?;
        let built = (method.build)(T::of(points), points.dim());
        let after = peak()?;
        drop(built);
        Ok(after.saturating_sub(before))
    }
    let (points, _) = workload.data(1)?;
    let bytes = match points.dtype() {
        Dtype::F32 => build::<f32>(workload, &points, library)?,
        Dtype::F64 => build::<f64>(workload, &points, library)?,
    };
    println!("{bytes}");
    Ok(())
}

/// One workload.
struct Session<'a> {
    options: &'a Options,
    number: usize,
    workload: &'a Workload,
    points: &'a Points,
    queries: &'a Points,
    pools: &'a [ThreadPool; 2],
}

impl Session<'_> {
    /// Runs all libraries in turn, as often as asked, and adds what was measured to the report.
    fn compare<T: ByPrecision>(&self, mut python: Option<&mut Python>, report: &mut Report) -> Result<(), Failure> {
        let (dim, rows) = (self.points.dim(), self.points.len());
        let kind = self.workload.kind;
        let mut contenders: Vec<Contender<T>> = workload::methods(kind, dim).into_iter().map(Contender::rust).collect();
        if let Some(python) = &mut python {
            python.load(T::of(self.points), T::of(self.queries), dim)?;
            let peers = self.workload.python(rows, dim).into_iter();
            contenders.extend(peers.filter(|peer| python.peers.iter().any(|has| has == peer)).map(Contender::python));
        }
        let (points, queries) = (T::of(self.points), T::of(self.queries));
        let mut around = Surroundings { points, queries, dim, pools: self.pools, python };
        let truths = self.truths::<T>()?;
        for repeat in 0..self.options.repeats {
            // Forwards and backwards in turn, so that a drift of the machine's speed favours nobody.
            let order: Vec<usize> =
                if repeat % 2 == 0 { (0..contenders.len()).collect() } else { (0..contenders.len()).rev().collect() };
            for contender in order {
                let contender = &mut contenders[contender];
                if contender.failure.is_some() {
                    continue;
                }
                if let Err(failure) = self.turn(contender, &mut around, &truths) {
                    eprintln!("  {} is left out: {failure}", contender.name);
                    contender.failure = Some(failure.to_string());
                }
            }
        }
        for contender in &mut contenders {
            if let Some(&count) = contender.counts.get(&(false, self.workload.ks[0], 1)) {
                contender.measure_latency(&around, self.workload.ks[0], count);
            }
            if !contender.is_python() {
                contender.bytes = self.memory(contender.name);
            }
            contender.forget(&mut around)?;
        }
        report.add(self.workload, self.points, &contenders)
    }

    /// Right answers for queries and, where the graph is asked for, for points.
    fn truths<T: ByPrecision>(&self) -> Result<[Option<Truth>; 2], Failure> {
        let k = self.workload.ks.iter().copied().max().ok_or("a workload has a number of neighbours")?;
        let first = |points: &Points| points.take_rows(&(0..points.rows().min(CHECKED as i32)).collect::<Vec<_>>());
        let kind = self.workload.kind;
        let queries = Truth::find::<T>(self.points, first(self.queries)?, kind, k, false)?;
        let graph = match self.workload.graph {
            true => Some(Truth::find::<T>(self.points, first(self.points)?, kind, self.workload.ks[0], true)?),
            false => None,
        };
        Ok([Some(queries), graph])
    }

    /// One turn of one library.
    fn turn<T: ByPrecision>(
        &self,
        contender: &mut Contender<T>,
        around: &mut Surroundings<'_, T>,
        truths: &[Option<Truth>; 2],
    ) -> Result<(), Failure> {
        if contender.builds.last().is_none_or(|&seconds| seconds < SLOW_BUILD) {
            contender.build(around)?;
        }
        let budget = self.options.seconds.unwrap_or(if self.options.quick { 0.25 } else { 1.0 });
        for &k in &self.workload.ks {
            for threads in [1, 2] {
                let task = (false, k, threads);
                let count = match contender.counts.get(&(false, k, 1)) {
                    Some(&count) => count,
                    None => contender.affordable(around, k, budget)?,
                };
                let ask = Ask { of_points: false, count, k, threads };
                self.record(contender, task, count, truths[0].as_ref(), &mut |contender, rows| {
                    contender.knn(around, ask, rows)
                })?;
            }
        }
        if self.workload.graph {
            let k = self.workload.ks[0];
            let rows = self.points.len();
            let single = contender.times.get(&(false, k, 1)).and_then(|times| times.first().copied());
            for threads in [1, 2] {
                if single.is_none_or(|single: f64| single * rows as f64 > SLOW_GRAPH) {
                    break;
                }
                self.record(contender, (true, k, threads), rows, truths[1].as_ref(), &mut |contender, checked| {
                    contender.graph(around, k, threads, checked)
                })?;
            }
        }
        Ok(())
    }

    /// Takes one time, and checks the answers the first time. A library that has one thread only is not asked for two.
    fn record<T: ByPrecision>(
        &self,
        contender: &mut Contender<T>,
        task: (bool, usize, usize),
        count: usize,
        truth: Option<&Truth>,
        measure: &mut dyn FnMut(&Contender<T>, usize) -> Result<(f64, Vec<i32>), Failure>,
    ) -> Result<(), Failure> {
        if contender.name.starts_with("mlpack") && task.2 > 1 {
            return Ok(());
        }
        let checked = truth.map_or(0, Truth::rows).min(count);
        let (seconds, ids) = measure(contender, checked)?;
        contender.times.entry(task).or_default().push(seconds / count as f64);
        contender.counts.insert(task, count);
        if let (Some(truth), None) = (truth, contender.recalls.get(&task)) {
            let ids = ids.get(..checked * task.1).ok_or("gave fewer neighbours than it was asked for")?;
            contender.recalls.insert(task, truth.recall::<T>(ids, task.1));
        }
        Ok(())
    }

    /// Growth of the memory of a process of its own when the library builds; `None` where that fails.
    fn memory(&self, library: &str) -> Option<u64> {
        let mut command = Command::new(std::env::current_exe().ok()?);
        command.args(["--grow", &self.number.to_string(), library]);
        if self.options.quick {
            command.arg("--quick");
        }
        for file in &self.options.file {
            command.arg("--file").arg(file);
        }
        String::from_utf8(command.output().ok()?.stdout).ok()?.trim().parse().ok()
    }
}
