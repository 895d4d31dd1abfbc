//! The Python libraries, in one process that answers JSON requests.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::Failure;
use super::method::Scalar;

/// A running Python process.
pub struct Python {
    child: Child,
    requests: Option<ChildStdin>,
    replies: BufReader<ChildStdout>,
    /// The libraries that it has.
    pub peers: Vec<String>,
}

impl Python {
    /// Starts the interpreter with the server; says which libraries it lacks.
    pub fn start(interpreter: &Path) -> Result<Self, Failure> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers.py");
        let mut child = Command::new(interpreter).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let requests = child.stdin.take();
        let replies = BufReader::new(child.stdout.take().ok_or("no output of Python")?);
        let mut python = Self { child, requests, replies, peers: Vec::new() };
        let hello = python.reply()?;
        let names = |key: &str| -> Vec<String> {
            let names = hello[key].as_array().into_iter().flatten();
            names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
        };
        for missing in names("missing") {
            eprintln!("peers: {missing} is not installed: skipped");
        }
        python.peers = names("peers");
        Ok(python)
    }

    fn reply(&mut self) -> Result<Value, Failure> {
        let mut line = String::new();
        if self.replies.read_line(&mut line)? == 0 {
            return Err("Python ended early".into());
        }
        let reply: Value = serde_json::from_str(&line)?;
        match reply["error"].as_str() {
            Some(error) => Err(error.into()),
            None => Ok(reply),
        }
    }

    fn ask(&mut self, request: &Value) -> Result<Value, Failure> {
        let requests = self.requests.as_mut().ok_or("Python was stopped")?;
        writeln!(requests, "{request}")?;
        requests.flush()?;
        self.reply()
    }

    /// Gives it points and queries, through files.
    pub fn load<T: Scalar>(&mut self, points: &[T], queries: &[T], dim: usize) -> Result<(), Failure> {
        let folder = tempfile::tempdir()?;
        let write = |name: &str, values: &[T]| -> Result<_, Failure> {
            let path = folder.path().join(name);
            std::fs::write(&path, bytemuck::cast_slice(values))?;
            Ok(path)
        };
        let (points, queries) = (write("points", points)?, write("queries", queries)?);
        let request = json!({"do": "load", "points": points, "queries": queries, "dim": dim, "dtype": T::NUMPY});
        self.ask(&request).map(|_| ())
    }

    /// Builds an index; returns the seconds, and the bytes by which the process grew.
    pub fn build(&mut self, peer: &str) -> Result<(f64, u64), Failure> {
        let reply = self.ask(&json!({"do": "build", "peer": peer}))?;
        Ok((seconds(&reply)?, reply["bytes"].as_u64().unwrap_or(0)))
    }

    /// Frees an index.
    pub fn forget(&mut self, peer: &str) -> Result<(), Failure> {
        self.ask(&json!({"do": "drop", "peer": peer})).map(|_| ())
    }

    /// Asks for the `k` nearest to the first `count` rows of a set; returns the seconds and the ids of the first `rows`.
    pub fn knn(&mut self, peer: &str, ask: Ask, rows: usize) -> Result<(f64, Vec<i32>), Failure> {
        let Ask { of_points, count, k, threads } = ask;
        let set = if of_points { "points" } else { "queries" };
        let request = json!({
            "do": "knn", "peer": peer, "set": set, "count": count, "k": k, "threads": threads, "rows": rows
        });
        let reply = self.ask(&request)?;
        let ids = reply["ids"].as_array().into_iter().flatten();
        Ok((seconds(&reply)?, ids.map(|id| id.as_i64().map_or(-1, |id| id as i32)).collect()))
    }
}

/// A request for neighbours.
#[derive(Clone, Copy)]
pub struct Ask {
    /// Of the points themselves, else of the queries.
    pub of_points: bool,
    /// Of so many of them.
    pub count: usize,
    /// Neighbours for each.
    pub k: usize,
    /// On so many threads.
    pub threads: usize,
}

fn seconds(reply: &Value) -> Result<f64, Failure> {
    reply["seconds"].as_f64().ok_or_else(|| "a reply of Python holds no time".into())
}

impl Drop for Python {
    fn drop(&mut self) {
        drop(self.requests.take()); // the server ends with its input
        if let Err(error) = self.child.wait() {
            eprintln!("peers: Python: {error}");
        }
    }
}
