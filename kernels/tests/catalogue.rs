//! `catalogue.csv` is the machine-readable list of the kernels: this test fails if a kernel is not in it, or if one that
//! is lacks its twin, its counters, its oracle test, its benchmark, its fuzz target or its row in `README.md`.
//!
//! # What is a kernel
//! A kernel is a `pub fn` that
//!
//! - stands in a family, which is a folder of `kernels/src` (but not `simd`, which holds no kernel, nor `oracle`) or the file
//!   `view.rs`, outside of its tests and of its plain twin `scalar.rs`; and
//! - checks its arguments: `KernelError` occurs in its return type; and
//! - works on memory of the caller: it takes a `Tier`, an `Arena`, a `&mut [..]` or a `&mut self`.
//!
//! So neither the check of a view (`Csr::new` writes nothing) nor a size (`_blocks` returns no error) is one, nor is what
//! merely cuts its own fields from an arena (it returns `Self`), and what is `pub(crate)` is none either. The row of a kernel is named `family::kernel`, or with the modules between them; a method
//! may be listed as `family::Type::method`, or the whole type as `family::Type`. A row may also name what the rule does not
//! find, such as a kernel that cannot fail.
//!
//! # What a row says
//! `twin` is `file::function` below `kernels/src`: the same by plain loops, which the tests and the benchmark of the family
//! call beside the lanes; that of a search is brute force. A kernel that takes neither a `Tier` nor `QueryTiles`, which were
//! packed for one, has no lanes: it is `plain` itself, and the oracle is what it is compared with.
//!
//! `counters` is the type of the counters that the kernel adds to. Counters say what the arguments do not: how much of the
//! work the data decided. Where the shapes of the arguments tell the work it is `shape`, and where the result tells it,
//! such as a count that is returned, `returned`; then the kernel takes none.
//!
//! `oracle_test` is `file::test` below `kernels/src`. `bench` and `fuzz` are the stems of a benchmark and of a fuzz target
//! that call the kernel by its name (a benchmark that merely imports it does not); a step of a larger kernel, and what is nothing beside it, name that one: `stem:kernel`.
//! The row in the README stands in the section whose heading ends in the family, in backticks and parentheses.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const HEADER: &str = "kernel,family,twin,counters,oracle_test,bench,fuzz";

/// The root of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace").to_path_buf()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A file's text, or nothing when there is no such file.
fn read_or_empty(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// One row of the catalogue.
struct Row {
    kernel: String,
    family: String,
    twin: String,
    counters: String,
    oracle_test: String,
    bench: String,
    fuzz: String,
}

impl Row {
    fn parse(line: &str) -> Self {
        let fields: Vec<String> = line.split(',').map(|field| field.trim().to_owned()).collect();
        let Ok([kernel, family, twin, counters, oracle_test, bench, fuzz]) = <[String; 7]>::try_from(fields) else {
            panic!("not seven fields: {line}");
        };
        Self { kernel, family, twin, counters, oracle_test, bench, fuzz }
    }

    /// The kernel as a caller names it: `function`, `Type` or `Type::method`.
    fn short(&self) -> &str {
        let (front, last) = self.kernel.rsplit_once("::").expect("a kernel is named with its family");
        let owner = front.rsplit("::").next().unwrap_or_default();
        if owner.starts_with(char::is_uppercase) { &self.kernel[front.len() - owner.len()..] } else { last }
    }

    /// The last part of the name.
    fn last(&self) -> &str {
        self.kernel.rsplit("::").next().unwrap_or_default()
    }

    /// The file that `field` names, and the kernel that this file must call: this one, or the one it is a step of.
    fn place<'a>(&'a self, field: &'a str) -> (&'a str, &'a str) {
        field.split_once(':').unwrap_or((field, self.last()))
    }
}

fn rows() -> Vec<Row> {
    let text = read(&root().join("kernels/catalogue.csv"));
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(HEADER));
    lines.map(Row::parse).collect()
}

/// Every Rust file below `folder`, in order.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("the folder can be listed").path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The sources of a family: those of its folder, or its one file.
fn sources_of(family: &str) -> Vec<PathBuf> {
    let src = root().join("kernels/src");
    let file = src.join(format!("{family}.rs"));
    if file.is_file() { vec![file] } else { sources(&src.join(family)) }
}

/// Whether `word` occurs in `text` with no letter, digit or underscore beside it.
fn has_word(text: &str, word: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(inside) && !text[at + word.len()..].starts_with(inside))
}

/// Whether `text` calls `word` or a function of the type `word`, or hands it over to be called: in a line that is no comment and no part of an import, and
/// not where it is defined.
fn calls(text: &str, word: &str) -> bool {
    let mut importing = false;
    text.lines().map(str::trim).any(|line| {
        importing |= line.starts_with("use ");
        let silent = importing || line.starts_with("//");
        importing &= !line.ends_with(';');
        !silent
            && line.match_indices(word).any(|(at, _)| {
                let (before, after) = (&line[..at], &line[at + word.len()..]);
                let whole = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_') && !before.ends_with("fn ");
                let handed_over = before.ends_with(", ") && after.starts_with(", ");
                whole && (after.starts_with('(') || after.starts_with("::") || handed_over)
            })
    })
}

/// A public function outside of tests: `function` or `Type::method`, what it takes and what it returns.
struct Function<'a> {
    name: String,
    arguments: &'a str,
    returns: &'a str,
}

impl Function<'_> {
    /// Whether the rule above finds it.
    fn is_kernel(&self) -> bool {
        let cuts = self.arguments.contains("Arena") && !self.returns.contains("Self");
        let works = cuts
            || ["Tier", "&mut [", "&mut self"].iter().any(|&word| self.arguments.contains(word))
            || (self.arguments.contains("&'") && self.arguments.contains(" mut ["));
        self.returns.contains("KernelError") && works
    }
}

/// The public functions of one source.
fn functions_of(source: &str) -> Vec<Function<'_>> {
    let mut found = Vec::new();
    let mut owner = None;
    for (at, line) in line_starts(source) {
        if line.starts_with("#[cfg(test)]") && source[at..].contains("mod tests {") {
            break;
        }
        if line.starts_with("impl") {
            owner = Some(type_of_impl(line));
        } else if line.starts_with('}') {
            owner = None;
        }
        let Some(rest) = line.trim_start().strip_prefix("pub fn ") else { continue };
        let name = rest.split(['(', '<']).next().unwrap_or_default();
        let signature = source[at..].split_once(" {").map_or("", |(signature, _)| signature);
        let (arguments, returns) = signature.rsplit_once("->").unwrap_or((signature, ""));
        let owner = owner.filter(|_| line.starts_with(' '));
        let name = owner.map_or(name.to_owned(), |owner: &str| format!("{owner}::{name}"));
        found.push(Function { name, arguments, returns });
    }
    found
}

/// Whether a kernel with this signature runs on a tier: its own, or that of what was packed for it.
fn has_lanes(signature: &str) -> bool {
    has_word(signature, "Tier") || has_word(signature, "QueryTiles")
}

/// What the kernel of a row takes and returns: the function, or all methods of the type.
fn signatures_of(families: &[(String, String)], row: &Row) -> Vec<String> {
    let mut found = Vec::new();
    for (_, source) in families.iter().filter(|(family, _)| *family == row.family) {
        for function in functions_of(source) {
            let owner = function.name.split_once("::").map(|(owner, _)| owner);
            if function.name == row.short() || owner == Some(row.short()) {
                found.push([function.arguments, function.returns].join("->"));
            }
        }
    }
    found
}

/// Whether `text` uses the twin of a row, which stands in a module `scalar`.
fn uses_twin(text: &str, row: &Row) -> bool {
    let twin = row.twin.rsplit("::").next().unwrap_or_default();
    has_word(text, &format!("scalar::{twin}"))
}

/// Each line with where it begins.
fn line_starts(source: &str) -> impl Iterator<Item = (usize, &str)> {
    source.split_inclusive('\n').scan(0, |at, line| {
        let start = *at;
        *at += line.len();
        Some((start, line))
    })
}

/// The type of `impl<..> Type<..> {` or of `impl<..> Trait for Type<..> {`.
fn type_of_impl(line: &str) -> &str {
    let mut depth = 0;
    // The arrow of a function's type closes nothing.
    let generics = line["impl".len()..].replace("->", "  ").find(|c: char| {
        depth += i32::from(c == '<') - i32::from(c == '>');
        depth == 0 && c != '>'
    });
    let subject = line["impl".len() + generics.unwrap_or(0)..].trim();
    let subject = subject.rsplit(" for ").next().unwrap_or(subject);
    subject.split(['<', ' ', '{']).next().unwrap_or_default()
}

/// The sources in which kernels stand, each with its family.
fn families() -> Vec<(String, String)> {
    let src = root().join("kernels/src");
    let mut found = Vec::new();
    for file in sources(&src) {
        let path = file.strip_prefix(&src).expect("a file below the folder");
        let parts: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
        let [family, inner @ ..] = &parts[..] else { continue };
        let aside = inner.iter().any(|part| part.starts_with("tests") || part.starts_with("scalar"));
        let stands = !inner.is_empty() || *family == "view.rs";
        if stands && !["simd", "oracle"].contains(family) && !aside {
            found.push((family.trim_end_matches(".rs").to_owned(), read(&file)));
        }
    }
    found
}

/// Every kernel that the rule finds, as (family, name).
fn kernels() -> BTreeSet<(String, String)> {
    let of_source = |(family, source): &(String, String)| -> Vec<(String, String)> {
        let kernels = functions_of(source).into_iter().filter(Function::is_kernel);
        kernels.map(|kernel| (family.clone(), kernel.name)).collect()
    };
    families().iter().flat_map(of_source).collect()
}

/// Fails with the whole list, so that one run names everything that is missing.
fn assert_none(missing: &[String]) {
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
}

#[test]
fn every_kernel_is_in_the_catalogue() {
    let rows = rows();
    let listed = |family: &str, name: &str| {
        let owner = name.split_once("::").map(|(owner, _)| owner);
        rows.iter().any(|row| row.family == family && (row.short() == name || Some(row.short()) == owner))
    };
    let missing: Vec<String> = kernels()
        .into_iter()
        .filter(|(family, name)| !listed(family, name))
        .map(|(family, name)| format!("{family}::{name} is not in the catalogue"))
        .collect();
    assert_none(&missing);
}

#[test]
fn every_row_names_something_that_exists_once() {
    let (mut missing, mut seen) = (Vec::new(), BTreeSet::new());
    for row in rows() {
        let defined = sources_of(&row.family).iter().any(|file| {
            let text = read(file);
            ["fn", "struct", "enum"].iter().any(|kind| has_word(&text, &format!("{kind} {}", row.last())))
        });
        if !defined || row.kernel.split("::").next() != Some(&row.family) {
            missing.push(format!("{} is not defined in {}", row.kernel, row.family));
        }
        if !seen.insert(row.kernel.clone()) {
            missing.push(format!("{} is listed twice", row.kernel));
        }
    }
    assert_none(&missing);
}

#[test]
fn every_kernel_with_lanes_has_a_plain_twin_that_is_tested_and_timed() {
    let src = root().join("kernels/src");
    let families = families();
    let mut missing = Vec::new();
    for row in rows() {
        let lanes = signatures_of(&families, &row).iter().any(|signature| has_lanes(signature));
        if row.twin == "plain" {
            if lanes {
                missing.push(format!("{} has lanes, and no twin", row.kernel));
            }
            continue;
        }
        let (file, twin) = row.twin.rsplit_once("::").unwrap_or((&row.twin, ""));
        let tests = sources_of(&row.family).into_iter().filter(|file| file.to_string_lossy().contains("tests"));
        let (stem, kernel) = row.place(&row.bench);
        let bench = read_or_empty(&root().join(format!("benches/benches/{stem}.rs")));
        let checks = [
            (has_word(&read_or_empty(&src.join(file)), &format!("fn {twin}")), "there"),
            (tests.map(|file| read(&file)).any(|text| uses_twin(&text, &row)), "tested"),
            (uses_twin(&bench, &row) || kernel != row.last(), "timed"),
        ];
        missing.extend(
            checks
                .iter()
                .filter(|(ok, _)| !ok)
                .map(|(_, what)| format!("{}: twin {} is not {what}", row.kernel, row.twin)),
        );
    }
    assert_none(&missing);
}

#[test]
fn every_kernel_counts_the_work_that_its_data_decides() {
    let families = families();
    let mut missing = Vec::new();
    for row in rows() {
        let signatures = signatures_of(&families, &row);
        let takes = |counters: &str| signatures.iter().any(|signature| has_word(signature, counters));
        let counts = signatures.iter().any(|signature| signature.contains("Counters"));
        if ["shape", "returned"].contains(&row.counters.as_str()) {
            if counts {
                missing.push(format!("{} takes counters, and says {}", row.kernel, row.counters));
            }
        } else if !takes(&row.counters) {
            missing.push(format!("{} does not take {}", row.kernel, row.counters));
        }
    }
    assert_none(&missing);
}

#[test]
fn every_kernel_has_an_oracle_test() {
    let src = root().join("kernels/src");
    let mut missing = Vec::new();
    for row in rows() {
        let (file, test) = row.oracle_test.rsplit_once("::").unwrap_or((&row.oracle_test, ""));
        let text = read_or_empty(&src.join(file));
        let is_test = text.split(&format!("fn {test}(")).next().is_some_and(|before| {
            // Attributes stand directly above the function.
            before.len() < text.len()
                && before
                    .lines()
                    .rev()
                    .skip_while(|line| line.trim() == "")
                    .take(3)
                    .any(|line| line.trim() == "#[test]")
        });
        if !is_test {
            missing.push(format!("{}: no test {}", row.kernel, row.oracle_test));
        }
    }
    assert_none(&missing);
}

#[test]
fn every_kernel_has_a_benchmark() {
    let benches = root().join("benches");
    let manifest = read(&benches.join("Cargo.toml"));
    let mut missing = Vec::new();
    for row in rows() {
        let (stem, kernel) = row.place(&row.bench);
        let text = read_or_empty(&benches.join(format!("benches/{stem}.rs")));
        if !calls(&text, kernel) || !manifest.contains(&format!("name = \"{stem}\"")) {
            missing.push(format!("{}: not called in benchmark {}", row.kernel, row.bench));
        }
    }
    assert_none(&missing);
}

#[test]
fn every_kernel_has_a_fuzz_target_with_a_corpus_that_is_replayed() {
    let fuzz = root().join("fuzz");
    let (manifest, replay) = (read(&fuzz.join("Cargo.toml")), read(&root().join("kernels/tests/replay.rs")));
    let mut missing = Vec::new();
    for row in rows() {
        let (stem, kernel) = row.place(&row.fuzz);
        let target = read_or_empty(&fuzz.join(format!("targets/{stem}.rs")));
        let case = read_or_empty(&fuzz.join(format!("cases/{stem}.rs")));
        let corpus = fs::read_dir(fuzz.join("corpus").join(stem)).map_or(0, Iterator::count);
        let checks = [
            (target.contains(&format!("cases::{stem}::check")), "target"),
            (manifest.contains(&format!("path = \"targets/{stem}.rs\"")), "[[bin]]"),
            (has_word(&case, kernel), "call in case"),
            (corpus > 0, "corpus"),
            (replay.contains(&format!("replay(\"{stem}\"")), "replay"),
        ];
        missing.extend(
            checks
                .iter()
                .filter(|(there, _)| !there)
                .map(|(_, what)| format!("{}: no {what} {}", row.kernel, row.fuzz)),
        );
    }
    assert_none(&missing);
}

#[test]
fn every_kernel_has_a_row_in_the_readme() {
    let readme = read(&root().join("kernels/README.md"));
    let (mut family, mut cells) = ("", Vec::new());
    for line in readme.lines() {
        if line.starts_with('#') {
            family = line.split("(`").nth(1).and_then(|rest| rest.strip_suffix("`)")).unwrap_or_default();
        } else if let Some(row) = line.strip_prefix("| ") {
            cells.push((family, row.split('|').next().unwrap_or_default()));
        }
    }
    let described = |row: &Row| {
        // Without the family, or without some of the modules between.
        let ends = row.kernel.match_indices("::").map(|(at, _)| format!("`{}`", &row.kernel[at + 2..]));
        let names: Vec<String> = ends.collect();
        cells.iter().any(|(family, cell)| *family == row.family && names.iter().any(|name| cell.contains(name)))
    };
    let missing: Vec<String> = rows()
        .iter()
        .filter(|row| !described(row))
        .map(|row| format!("{}: no row `{}` in its section of kernels/README.md", row.kernel, row.short()))
        .collect();
    assert_none(&missing);
}

#[test]
fn the_rule_finds_kernels_and_nothing_else() {
    let source = "
pub fn entrance<T: Real>(tier: Tier, data: &[T]) -> Result<(), KernelError> {
}
pub fn split(out: &mut [f64]) -> Result<Idx, KernelError> {
}
pub fn pure(value: f64) -> f64 {
}
pub const fn entrance_blocks(len: usize) -> usize {
}
pub(crate) fn body(tier: Tier) -> Result<(), KernelError> {
}
impl<'a, T: Into<Vec<T>>> Heap<'a, T> {
    pub fn new(memory: &'a mut [f64]) -> Result<Self, KernelError> {
    }
    pub fn view(data: &'a [f64]) -> Result<Self, KernelError> {
    }
    pub fn take(len: usize, arena: &mut Arena<'a>) -> Result<Self, KernelError> {
    }
}
impl Iterator for Walk<'_> {
}
#[cfg(test)]
mod tests {
    pub fn helper(tier: Tier) -> Result<(), KernelError> {
    }
}
";
    let functions = functions_of(source);
    let kernels: Vec<&str> = functions.iter().filter(|it| it.is_kernel()).map(|it| it.name.as_str()).collect();
    assert_eq!(kernels, ["entrance", "split", "Heap::new"]);
    assert!(functions.iter().any(|it| it.name == "pure" && it.arguments.contains("value") && it.returns == " f64"));
    assert!(functions.iter().all(|it| has_lanes(it.arguments) == (it.name == "entrance")));
    assert!(has_lanes("queries: &QueryTiles<'_, T>, out: &mut [T]") && !has_lanes("out: &mut [Tiers]"));
    assert_eq!(type_of_impl("impl Iterator for Walk<'_> {"), "Walk");
    assert_eq!(type_of_impl("impl<X, D: Fn(&X) -> f64> Items<'_, X, D> {"), "Items");
    assert!(has_word("call(mis)", "mis") && !has_word("mis_fast", "mis"));
    assert!(calls("use mis::complete;\nlet x = 2 * mis(graph);", "mis") && calls("KBest::new(&mut ids)", "KBest"));
    assert!(calls("time(group, mis, plain)", "mis"));
    for idle in ["use a::{\n    mis::b,\n    mis,\n};", "// mis(graph)", "fn mis(graph) {", "\"mis\"", "mis_fast(mis)"]
    {
        assert!(!calls(idle, "mis"), "{idle}");
    }
}
