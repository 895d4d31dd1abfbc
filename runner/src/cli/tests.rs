//! Parsing: pure, so it is tested without files.

use super::*;
use covertree::BuildConfig;

use crate::cli::args::HeaderArg;

fn parse(line: &str) -> Result<Cli, String> {
    let args: Vec<&str> = std::iter::once("covertree").chain(line.split_whitespace()).collect();
    let command = args.get(1).map(Into::into);
    Cli::try_parse_from(&args).map_err(|refusal| one_line(&refusal.render().to_string(), command))
}

#[test]
fn the_definition_of_the_arguments_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_explains_itself_with_an_example() {
    for command in Cli::command().get_subcommands_mut() {
        let help = command.render_long_help().to_string();
        assert!(help.contains("Example"), "{help}");
        assert!(help.contains(&format!("covertree {}", command.get_name())), "{help}");
    }
}

#[test]
fn the_template_of_the_progress_bar_is_one() {
    drop(session::style());
}

#[test]
fn shared_flags_stand_before_and_after_the_command() {
    for line in ["--threads 3 --seed 7 --quiet --json demo", "demo --json --quiet --seed 7 --threads 3"] {
        let Common { threads, seed, tier, quiet, json } = parse(line).unwrap().common;
        assert_eq!((threads.map(Into::into), seed, tier, quiet, json), (Some(3usize), 7, None, true, true));
    }
    assert_eq!(parse("doctor --tier portable").unwrap().common.tier, Some(covertree_kernels::simd::Tier::PORTABLE));
}

#[test]
fn a_build_has_defaults_for_all_but_its_files() {
    let Command::Build(args) = parse("build points.npy -o tree.ct").unwrap().command else { panic!() };
    assert_eq!(args.metric.metric.name(), "euclidean");
    assert_eq!(args.strategy.plan(42).unwrap(), BuildConfig::default());
    assert_eq!((args.points.reading.header, args.points.dtype), (HeaderArg::Detect, None));
}

#[test]
fn refusals_are_one_line_and_point_to_the_help() {
    for (line, start) in [
        ("build points.npy", "error: the following required arguments were not provided: --output <TREE.ct>; see"),
        ("demo --fast", "error: unexpected argument '--fast' found"),
        ("demo --threads 0", "error: invalid value '0' for '--threads <N>'"),
        ("knn p.npy -k -3 -o nn", "error: invalid value '-3' for '-k <K>'"),
        ("knn p.npy -k many -o nn", "error: invalid value 'many' for '-k <K>'"),
        ("knn p.npy -k 3 -o nn --metric cosine", "error: invalid value 'cosine' for '--metric <METRIC>' [possible"),
        ("demo --tier sse9", "error: invalid value 'sse9' for '--tier <TIER>': this machine offers portable"),
        ("knn p.npy -k 3 -o nn --queries q.npy --include-self", "error: the argument '--queries <FILE>' cannot be"),
        ("fly", "error: unrecognized subcommand 'fly'"),
        ("", "error: no command was given; see covertree --help"),
    ] {
        let message = parse(line).map(drop).unwrap_err();
        assert!(message.starts_with(start), "{message}");
        assert!(!message.contains('\n') && message.contains("; see covertree"), "{message}");
    }
}
