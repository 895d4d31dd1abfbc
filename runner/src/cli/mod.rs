//! The command line: parsing (pure), then a plan (checks everything that can be checked before work), then the run.
//!
//! Messages go to the standard error, results to files or the standard output. Exit codes: 0 done, 1 a check failed, 2
//! wrong usage or input that cannot be used.

mod args;
mod bench;
mod build;
mod check;
mod covariance;
mod demo;
mod doctor;
mod gate;
mod gate_profile;
mod generate;
mod knn;
mod query;
mod record;
mod session;
#[cfg(test)]
mod tests;
mod update;
mod vecchia;
mod within;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use covertree::error::Error;

use args::Common;
use record::Outcome;
use session::Session;

/// Exact nearest neighbours in any metric space.
#[derive(Debug, Parser)]
#[command(name = "covertree", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "Try this first:\n  covertree demo")]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    Generate(generate::GenerateArgs),
    Build(build::BuildArgs),
    Insert(update::InsertArgs),
    Delete(update::DeleteArgs),
    Query(query::QueryArgs),
    Within(within::WithinArgs),
    Knn(knn::KnnArgs),
    Vecchia(vecchia::VecchiaArgs),
    GateProfile(gate_profile::GateProfileArgs),
    Check(check::CheckArgs),
    Bench(bench::BenchArgs),
    Doctor(doctor::DoctorArgs),
}

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    match Cli::try_parse_from(std::env::args_os()) {
        Ok(cli) => finish(run(cli)),
        Err(refusal) => refuse(&refusal),
    }
}

/// Help and version are answers; anything else is refused, in one line.
fn refuse(refusal: &clap::Error) -> ExitCode {
    match refusal.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Nobody is left to be told when the output is closed.
            drop(refusal.print());
            ExitCode::SUCCESS
        }
        _ => {
            tell(&one_line(&refusal.render().to_string(), std::env::args_os().nth(1)));
            ExitCode::from(2)
        }
    }
}

/// What is wrong, from the several lines that the parser of arguments writes, and where to look for help.
fn one_line(rendered: &str, command: Option<OsString>) -> String {
    // The first paragraph says what is wrong; tips follow; then comes the usage.
    let paragraphs = rendered.split("\n\n").enumerate();
    let telling = paragraphs.filter(|(place, text)| *place == 0 || text.trim_start().starts_with("tip:"));
    let words: Vec<&str> = telling.flat_map(|(_, text)| text.split_whitespace()).collect();
    let program = Cli::command();
    let command = command.and_then(|name| program.find_subcommand(name));
    let help = command.map_or("covertree --help".into(), |known| format!("covertree {} --help", known.get_name()));
    // Usage without an error in it: no command was given.
    match words.first() {
        Some(&"error:") => format!("{}; see {help}", words.join(" ")),
        _ => format!("error: no command was given; see {help}"),
    }
}

/// Plans and runs a command on a thread pool of its own.
fn run(cli: Cli) -> Result<(Outcome, bool), Error> {
    let session = Session::new(&cli.common)?;
    let outcome = session.install(|| match cli.command {
        Command::Demo(args) => args.plan(&session)?.run(&session),
        Command::Generate(args) => args.plan(&session)?.run(&session),
        Command::Build(args) => args.plan(&session)?.run(&session),
        Command::Insert(args) => args.plan()?.run(&session),
        Command::Delete(args) => args.plan()?.run(&session),
        Command::Query(args) => args.plan()?.run(&session),
        Command::Within(args) => args.plan()?.run(&session),
        Command::Knn(args) => args.plan(&session)?.run(&session),
        Command::Vecchia(args) => args.plan(&session)?.run(&session),
        Command::GateProfile(args) => args.plan(&session)?.run(&session),
        Command::Check(args) => args.plan()?.run(&session),
        Command::Bench(args) => args.plan(&session)?.run(&session),
        Command::Doctor(args) => Ok(args.run(&session)),
    });
    session.clear();
    let mut outcome = outcome?;
    session.complete(&mut outcome.record);
    if !outcome.message.is_empty() && !session.quiet {
        tell(&outcome.message);
    }
    Ok((outcome, session.json))
}

/// Prints the results; says what went wrong, if anything did.
fn finish(result: Result<(Outcome, bool), Error>) -> ExitCode {
    let failed = match result {
        Err(error) => Some(error),
        Ok((outcome, json)) => {
            let text = if json { outcome.record.to_json() } else { outcome.text };
            match print(&text) {
                Ok(()) => outcome.failed.map(Error::Check),
                // A reader that has seen enough, such as `head`, is no failure.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => outcome.failed.map(Error::Check),
                Err(source) => Some(Error::Write { file: "standard output".into(), source }),
            }
        }
    };
    match failed {
        None => ExitCode::SUCCESS,
        Some(error) => {
            tell(&format!("error: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}

/// Writes a line to the standard error. Where nobody reads that, the work is done all the same.
pub(crate) fn tell(line: &str) {
    drop(writeln!(io::stderr(), "{line}"));
}

fn print(text: &str) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{}", text.trim_end())?;
    out.flush()
}
