//! `covertree doctor`: what there is of the machine, and what will be used of it.

use clap::Args;
use covertree::summary::memory_bytes;
use covertree_kernels::index::LEN_MAX;
use covertree_kernels::simd::Tier;

use super::record::{MachineRecord, Outcome, Record};
use super::session::{Session, available_threads};

/// Show the processor's tiers, the threads and the memory, and what will be used
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  covertree doctor --threads 4")]
pub(crate) struct DoctorArgs {}

impl DoctorArgs {
    pub fn run(self, session: &Session) -> Outcome {
        let memory = memory_bytes();
        let machine = MachineRecord {
            tiers: Tier::all().map(Tier::name).collect(),
            threads_available: available_threads(),
            memory_total_bytes: memory.map(|memory| memory.total),
            memory_available_bytes: memory.map(|memory| memory.available),
            rows_max: LEN_MAX,
        };
        let mib = |bytes: Option<u64>| bytes.map_or("unknown".to_owned(), |bytes| format!("{} MiB", bytes >> 20));
        let lines = [
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("system", format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)),
            ("tiers of this machine", machine.tiers.join(", ")),
            ("tier in use", session.tier.to_string()),
            ("threads of this machine", machine.threads_available.to_string()),
            ("threads in use", session.threads().to_string()),
            ("memory", mib(machine.memory_total_bytes)),
            ("memory available", mib(machine.memory_available_bytes)),
            ("rows at most", LEN_MAX.to_string()),
        ];
        let text = lines.map(|(name, value)| format!("{name:<24} {value}")).join("\n");
        let record = Record { command: "doctor", machine: Some(machine), ..Record::default() };
        Outcome { record, text, ..Outcome::default() }
    }
}
