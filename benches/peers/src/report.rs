//! Tables in Markdown, all measurements as lines of JSON, and plots.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use covertree::points::Points;
use serde_json::json;

use super::Failure;
use super::contender::{Contender, Task};
use super::method::Scalar;
use super::plot;
use super::workload::Workload;

/// What was found out about one library on one workload, for one number of neighbours.
#[derive(Clone)]
pub struct Line {
    /// Distribution or file.
    pub set: String,
    /// Rows and columns.
    pub shape: (usize, usize),
    /// Metric.
    pub metric: &'static str,
    /// Precision, as numpy spells it.
    pub precision: &'static str,
    /// Neighbours.
    pub k: usize,
    /// Library.
    pub peer: &'static str,
    /// Median seconds of a build.
    pub build: f64,
    /// Median seconds per query on one and on two threads.
    pub query: [Option<f64>; 2],
    /// Median seconds of the graph of all points, likewise.
    pub graph: [Option<f64>; 2],
    /// Bytes.
    pub bytes: Option<u64>,
    /// Least recall of all answers that were checked.
    pub recall: f64,
    /// Queries that were timed.
    pub count: usize,
    /// Median and 99th percentile of single queries, in seconds.
    pub latency: Option<(f64, f64)>,
}

impl Line {
    /// Whether it is the library that the others are compared with.
    pub fn is_ours(&self) -> bool {
        self.peer.starts_with("covertree")
    }

    fn workload(&self) -> String {
        let Self { set, shape: (rows, dim), metric, precision, k, .. } = self;
        format!("{set} {rows} x {dim}, {metric}, {precision}, k = {k}")
    }
}

/// The output folder and what goes into it.
pub struct Report {
    folder: PathBuf,
    lines: Vec<Line>,
    measurements: String,
    failures: Vec<String>,
}

impl Report {
    /// Makes the folder.
    pub fn create(folder: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(folder)?;
        let folder = folder.to_owned();
        Ok(Self { folder, lines: Vec::new(), measurements: String::new(), failures: Vec::new() })
    }

    /// Adds a workload.
    pub fn add<T: Scalar>(
        &mut self,
        workload: &Workload,
        points: &Points,
        contenders: &[Contender<T>],
    ) -> Result<(), Failure> {
        for contender in contenders {
            if let Some(failure) = &contender.failure {
                self.failures.push(format!("{} on {}: {failure}", contender.name, workload.name()));
            }
            for &k in &workload.ks {
                let query = [1, 2].map(|threads| middle_of(contender, (false, k, threads)));
                let Some(build) = median(&contender.builds).filter(|_| query[0].is_some()) else {
                    continue;
                };
                let rows = points.len() as f64;
                let recalls = contender.recalls.iter().filter(|((_, of, _), _)| *of == k);
                let line = Line {
                    set: workload.name(),
                    shape: (points.len(), points.dim()),
                    metric: workload.kind.name(),
                    precision: T::NUMPY,
                    k,
                    peer: contender.name,
                    build,
                    query,
                    graph: [1, 2].map(|threads| Some(middle_of(contender, (true, k, threads))? * rows)),
                    bytes: contender.bytes,
                    recall: recalls.map(|(_, &recall)| recall).fold(1.0, f64::min),
                    count: contender.counts.get(&(false, k, 1)).copied().unwrap_or(0),
                    latency: contender.latency.filter(|_| k == workload.ks[0]),
                };
                self.measure(&line, contender)?;
                self.lines.push(line);
            }
        }
        Ok(())
    }

    fn measure<T: Scalar>(&mut self, line: &Line, contender: &Contender<T>) -> Result<(), Failure> {
        let times = |all: bool, threads| contender.times.get(&(all, line.k, threads));
        let measurement = json!({
            "set": line.set, "rows": line.shape.0, "dim": line.shape.1, "metric": line.metric,
            "precision": line.precision, "k": line.k, "peer": line.peer, "queries": line.count,
            "build_seconds": contender.builds, "bytes": line.bytes, "recall": line.recall,
            "query_seconds_1": times(false, 1), "query_seconds_2": times(false, 2),
            "graph_seconds_per_point_1": times(true, 1), "graph_seconds_per_point_2": times(true, 2),
            "latency_seconds": line.latency.map(|(middle, late)| json!({"p50": middle, "p99": late})),
        });
        writeln!(self.measurements, "{measurement}")?;
        Ok(())
    }

    /// Writes everything that is there so far.
    pub fn write(&self) -> Result<(), Failure> {
        fs::write(self.folder.join("measurements.jsonl"), &self.measurements)?;
        let summary = self.summary()?;
        println!("{}", summary.lines().last().unwrap_or_default());
        let text =
            format!("{summary}\n{}\n{}\n{}\n{}", self.graphs()?, self.latencies()?, self.details()?, self.left_out());
        fs::write(self.folder.join("tables.md"), text)?;
        plot::draw(&self.folder, &self.lines)
    }

    fn summary(&self) -> Result<String, Failure> {
        let head = "## Time per query\n\nMicroseconds on one / two threads; medians.\n\n";
        self.table(head, 1e6, |line| line.query)
    }

    fn graphs(&self) -> Result<String, Failure> {
        let head = "## All nearest neighbours\n\nSeconds on one / two threads for all points; a point is no neighbour of itself.\n\n";
        self.table(head, 1.0, |line| line.graph)
    }

    /// A row per workload, a column per library.
    fn table(&self, head: &str, scale: f64, of: impl Fn(&Line) -> [Option<f64>; 2]) -> Result<String, Failure> {
        let names = self.names();
        let mut text = head.to_owned();
        writeln!(text, "| workload | {} | best other / ours |", names.join(" | "))?;
        writeln!(text, "| --- |{} ---: |", " ---: |".repeat(names.len()))?;
        for group in self.by_workload() {
            if group.iter().all(|line| of(line) == [None; 2]) {
                continue;
            }
            write!(text, "| {} |", group[0].workload())?;
            for name in &names {
                let line = group.iter().find(|line| line.peer == *name);
                write!(text, " {} |", line.map_or_else(String::new, |line| pair(of(line), scale)))?;
            }
            let ratios = [0, 1].map(|threads| advantage(&group, |line| of(line)[threads]));
            writeln!(text, " {} |", pair(ratios, 1.0))?;
        }
        Ok(text)
    }

    fn latencies(&self) -> Result<String, Failure> {
        let mut text = String::from("## Latency of single queries\n\n");
        writeln!(text, "| workload | library | median, us | 99 %, us | ratio |\n| --- | --- | ---: | ---: | ---: |")?;
        for line in &self.lines {
            if let Some((middle, late)) = line.latency {
                let (name, peer) = (line.workload(), line.peer);
                let (middle, late, ratio) = (number(middle * 1e6), number(late * 1e6), number(late / middle));
                writeln!(text, "| {name} | {peer} | {middle} | {late} | {ratio} |")?;
            }
        }
        Ok(text)
    }

    fn details(&self) -> Result<String, Failure> {
        let mut text = String::from("## Everything\n\n");
        writeln!(
            text,
            "| workload | library | build, s | 1 thread, us | 2 threads, us | speed-up | memory, MB | recall | queries |"
        )?;
        writeln!(text, "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")?;
        for group in self.by_workload() {
            for line in group {
                let [one, two] = line.query;
                let show = |value: Option<f64>| value.map_or_else(String::new, number);
                writeln!(
                    text,
                    "| {} | {} | {} | {} | {} | {} | {} | {:.4} | {} |",
                    line.workload(),
                    line.peer,
                    number(line.build),
                    show(one.map(|seconds| seconds * 1e6)),
                    show(two.map(|seconds| seconds * 1e6)),
                    show(one.zip(two).map(|(one, two)| one / two)),
                    show(line.bytes.map(|bytes| bytes as f64 / 1e6)),
                    line.recall,
                    line.count
                )?;
            }
        }
        Ok(text)
    }

    fn left_out(&self) -> String {
        match self.failures.len() {
            0 => String::new(),
            _ => format!("## Left out\n\n- {}\n", self.failures.join("\n- ")),
        }
    }

    /// Libraries in the order of their first appearance.
    fn names(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        for line in &self.lines {
            if !names.contains(&line.peer) {
                names.push(line.peer);
            }
        }
        names
    }

    /// Lines by workload and number of neighbours, in the order of their first appearance.
    fn by_workload(&self) -> Vec<Vec<&Line>> {
        let mut groups: Vec<Vec<&Line>> = Vec::new();
        for line in &self.lines {
            match groups.iter_mut().find(|group| group[0].workload() == line.workload()) {
                Some(group) => group.push(line),
                None => groups.push(vec![line]),
            }
        }
        groups
    }
}

/// How many times as long the best other library takes as the best entrance of ours.
fn advantage(group: &[&Line], of: impl Fn(&Line) -> Option<f64>) -> Option<f64> {
    let best =
        |ours: bool| group.iter().filter(|line| line.is_ours() == ours).filter_map(|line| of(line)).reduce(f64::min);
    Some(best(false)? / best(true)?)
}

fn middle_of<T>(contender: &Contender<T>, task: Task) -> Option<f64> {
    median(contender.times.get(&task)?)
}

/// The median; the mean of the middle two where there are two.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let half = sorted.len() / 2;
    let upper = *sorted.get(half)?;
    Some(if sorted.len() % 2 == 0 { f64::midpoint(sorted[half - 1], upper) } else { upper })
}

/// Three significant digits.
fn number(value: f64) -> String {
    let digits = 2 - value.abs().log10().floor().clamp(-4.0, 2.0) as i32;
    format!("{value:.*}", digits as usize)
}

fn pair(values: [Option<f64>; 2], scale: f64) -> String {
    let [one, two] = values.map(|value| value.map_or_else(|| "-".to_owned(), |value| number(value * scale)));
    if one == "-" && two == "-" { String::new() } else { format!("{one} / {two}") }
}
