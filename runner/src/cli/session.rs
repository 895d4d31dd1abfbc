//! What a run works with: its threads, its tier, its clock and its progress bar.

use std::io::{IsTerminal, stderr};
use std::sync::Mutex;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use covertree::error::Error;
use covertree::summary::peak_rss_bytes;
use covertree_kernels::simd::Tier;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::args::Common;
use super::record::Record;

/// Most threads that may be asked for.
const THREADS_MAX: usize = 1024;

/// What a run works with.
pub(crate) struct Session {
    pub tier: Tier,
    pub seed: u64,
    pub quiet: bool,
    pub json: bool,
    pool: ThreadPool,
    started: Instant,
    progress: Option<Progress>,
}

impl Session {
    pub fn new(common: &Common) -> Result<Self, Error> {
        let started = Instant::now();
        let threads = common.threads.map_or_else(available_threads, |threads| threads.get());
        if threads > THREADS_MAX {
            return Err(Error::Usage(format!("--threads {threads}: choose a number from 1 to {THREADS_MAX}")));
        }
        let pool = ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|problem| Error::Usage(format!("--threads {threads}: {problem}; choose fewer")))?;
        let tier = common.tier.unwrap_or_else(Tier::detect);
        let progress = (!common.quiet && stderr().is_terminal()).then(Progress::start);
        Ok(Self { tier, seed: common.seed, quiet: common.quiet, json: common.json, pool, started, progress })
    }

    /// Threads that the run works on.
    pub fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// Runs work on the threads of the session.
    pub fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.pool.install(work)
    }

    /// Says how many stages are to come.
    pub fn stages(&self, count: u64) {
        if let Some(progress) = &self.progress {
            progress.bar.set_length(count);
        }
    }

    /// Runs a stage; gives its seconds too.
    pub fn stage<R>(&self, name: &str, work: impl FnOnce() -> R) -> (R, f64) {
        if let Some(progress) = &self.progress {
            progress.bar.set_message(name.to_owned());
        }
        let started = Instant::now();
        let result = work();
        let seconds = started.elapsed().as_secs_f64();
        if let Some(progress) = &self.progress {
            progress.bar.inc(1);
        }
        (result, seconds)
    }

    /// Takes the progress bar off the screen.
    pub fn clear(&self) {
        if let Some(progress) = &self.progress {
            progress.stop();
        }
    }

    /// Fills in what every record tells.
    pub fn complete(&self, record: &mut Record) {
        record.version = env!("CARGO_PKG_VERSION");
        record.tier = self.tier.name();
        record.threads = self.threads();
        record.seed = self.seed;
        record.total_s = self.started.elapsed().as_secs_f64();
        record.peak_rss_bytes = peak_rss_bytes();
        for run in &mut record.runs {
            (run.version, run.tier, run.threads, run.seed) = (record.version, record.tier, record.threads, record.seed);
            run.total_s = [run.build_s, run.covariance_s, run.query_s].into_iter().flatten().sum();
        }
    }
}

/// How the bar looks: stages done, the stage at work, and the time so far.
pub(crate) fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} ({elapsed})");
    style.expect("the template is a constant that a test parses").progress_chars("=> ")
}

/// Threads that the machine runs at once.
pub(crate) fn available_threads() -> usize {
    thread::available_parallelism().map_or(1, |threads| threads.get())
}

/// A bar that comes up once the work has lasted a second.
struct Progress {
    bar: ProgressBar,
    curtain: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
}

impl Progress {
    fn start() -> Self {
        const PATIENCE: Duration = Duration::from_secs(1);
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        bar.set_style(style());
        let (stop, stopped) = mpsc::channel();
        let shown = bar.clone();
        let waiting = thread::spawn(move || {
            if stopped.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                shown.set_draw_target(ProgressDrawTarget::stderr());
                shown.enable_steady_tick(Duration::from_millis(200));
            }
        });
        Self { bar, curtain: Mutex::new(Some((stop, waiting))) }
    }

    fn stop(&self) {
        let curtain = self.curtain.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        if let Some((stop, waiting)) = curtain {
            drop(stop); // a thread that still waits goes away without a bar
            drop(waiting.join());
        }
        self.bar.finish_and_clear();
    }
}
