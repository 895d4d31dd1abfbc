use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::index::NONE;
use covertree_kernels::simd::Tier;
use covertree_kernels::tree::{TWIN, knn, search_blocks};
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_128;

use super::header::Header;
use super::read::parse;
use super::*;
use crate::error::Error;
use crate::generate::Distribution;
use crate::space::{Euclidean, PanelMetric, QueryIsRow};
use crate::tree::fixtures::{built, built_on, rows};
use crate::tree::storage::FileBytes;
use crate::tree::validate::{PackedQueries, ValidateConfig, validate};
use crate::tree::{Order, Storage};

fn f32s(count: usize, dim: usize) -> (Tree, Packed) {
    let (tree, points) = built::<Euclidean<f32>>(&rows(Distribution::Duplicates, count, dim, 3), dim);
    (tree, Packed::F32(points))
}

fn f64s(count: usize, dim: usize) -> (Tree, Packed) {
    let (tree, points) = built::<Euclidean<f64>>(&rows(Distribution::Duplicates, count, dim, 3), dim);
    (tree, Packed::F64(points))
}

/// A tree of each precision and order.
fn all_kinds() -> Vec<(Tree, Packed)> {
    vec![f32s(300, 3), f64s(300, 3), f32s(300, 20), f64s(300, 20), f32s(1, 2), f64s(0, 4)]
}

const EXTRA: &[(&str, &[u8])] = &[("v", &[1, 2, 3]), ("landmarks", &[0; 64])];

fn contents<'a>(tree: &'a Tree, points: &'a Packed) -> Contents<'a> {
    let next_id = tree.len() as Idx + 7;
    Contents {
        metric: "euclidean",
        config: "{\"base\":2}",
        seed: 9,
        next_id,
        tree,
        points: points.by_ref(),
        extra: EXTRA,
    }
}

/// A folder that goes when it is dropped.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn bytes_of(contents: &Contents<'_>) -> Vec<u8> {
    let folder = Folder::new();
    let path = folder.path("tree.ct");
    write(&path, contents).unwrap();
    fs::read(&path).unwrap()
}

fn in_memory(bytes: &[u8]) -> Arc<FileBytes> {
    let Some(FileBytes::Read(mut blocks, len)) = FileBytes::zeroed(bytes.len()) else { unreachable!() };
    bytemuck::cast_slice_mut(&mut blocks)[..len].copy_from_slice(bytes);
    Arc::new(FileBytes::Read(blocks, len))
}

/// Makes the checksum fit the contents again.
fn seal(bytes: &mut [u8]) {
    let (body, sum) = bytes.split_last_chunk_mut::<16>().unwrap();
    *sum = xxh3_128(body).to_le_bytes();
}

/// The nearest three of every point; must not panic whatever was read.
fn answers(saved: &SavedTree) -> Vec<(f64, Idx)> {
    match &saved.points {
        Packed::None => Vec::new(),
        Packed::F32(points) => answers_of::<Euclidean<f32>>(&saved.tree, points),
        Packed::F64(points) => answers_of::<Euclidean<f64>>(&saved.tree, points),
    }
}

fn answers_of<M: PanelMetric>(tree: &Tree, points: &PackedPoints<M::Real>) -> Vec<(f64, Idx)> {
    let (panels, metric) = (points.panels(), points.metric::<M>());
    let mut memory = vec![Block::default(); search_blocks(tree.waiting)];
    let mut all = Vec::new();
    for position in 0..tree.len() {
        let row: Vec<M::Real> = (0..panels.dim()).map(|d| panels.coordinate(position, d)).collect();
        let query = <M::Kernel<'_> as QueryIsRow<'_, M::Real>>::from_row(&row);
        let (mut distances, mut ids) = ([0.0; 3], [0; 3]);
        let mut arena = Arena::new(&mut memory);
        knn(Tier::detect(), tree.view(), &metric, query, NONE, &mut distances, &mut ids, &mut arena).unwrap();
        all.extend(distances.into_iter().zip(ids));
    }
    all
}

fn coordinates(points: &Packed) -> Vec<f64> {
    match points {
        Packed::None => Vec::new(),
        Packed::F32(points) => points.panels().data().iter().chain(points.corners()).map(|&x| f64::from(x)).collect(),
        Packed::F64(points) => points.panels().data().iter().chain(points.corners()).copied().collect(),
    }
}

/// The files of these tests are replaced as a whole, if at all.
#[allow(unsafe_code)]
fn mapped() -> ReadMode {
    // SAFETY: as said.
    unsafe { ReadMode::mapped() }
}

#[test]
fn a_tree_comes_back_as_it_was() {
    let folder = Folder::new();
    for (tree, points) in all_kinds() {
        let path = folder.path("tree.ct");
        write(&path, &contents(&tree, &points)).unwrap();
        for mode in [ReadMode::Memory, mapped()] {
            let saved = read(&path, mode).unwrap();
            assert_eq!((saved.metric.as_str(), saved.config.as_str()), ("euclidean", "{\"base\":2}"));
            assert_eq!((saved.seed, saved.next_id), (9, tree.len() as Idx + 7));
            let Tree { ids, levels, parents, reaches, groups, waiting, order, ladder } = &saved.tree;
            assert_eq!((ids, levels, parents), (&tree.ids, &tree.levels, &tree.parents));
            assert_eq!((reaches, groups, order, ladder), (&tree.reaches, &tree.groups, &tree.order, &tree.ladder));
            assert!(*waiting <= tree.waiting && (*order == Order::Cells || *waiting == tree.waiting));
            assert!(ids.is_shared() && groups.is_shared());
            assert_eq!((saved.points.dtype(), saved.points.dim()), (points.dtype(), points.dim()));
            assert_eq!(coordinates(&saved.points), coordinates(&points));
            assert_eq!(saved.extra("v").map(|bytes| bytes.to_vec()), Some(vec![1, 2, 3]));
            assert_eq!(saved.extra("landmarks").and_then(Storage::typed::<f64>).unwrap().len(), 8);
            assert!(saved.extra("none").is_none());
            // The same contents make the same bytes.
            let again = folder.path("again.ct");
            write(&again, &saved.contents(&saved.extra_refs())).unwrap();
            assert_eq!(fs::read(&again).unwrap(), fs::read(&path).unwrap());
        }
    }
}

#[test]
fn every_tier_builds_the_same_file() {
    for dim in [2, 3, 20, 64] {
        let data = rows(Distribution::Clusters, 1200, dim, 8);
        let file = |tier| {
            let (tree, points) = built_on::<Euclidean<f32>>(tier, &data, dim);
            bytes_of(&contents(&tree, &Packed::F32(points)))
        };
        let plainest = file(Tier::PORTABLE);
        assert!(Tier::all().all(|tier| file(tier) == plainest), "dimension {dim}");
    }
}

#[test]
fn a_saved_tree_answers_as_before_and_is_valid() {
    for (tree, points) in all_kinds() {
        let saved = parse("x", in_memory(&bytes_of(&contents(&tree, &points)))).unwrap();
        let config = ValidateConfig::default();
        let report = match (&points, &saved.points) {
            (Packed::F32(points), Packed::F32(saved_points)) => {
                assert_eq!(answers(&saved), answers_of::<Euclidean<f32>>(&tree, points));
                validate(&saved.tree, &PackedQueries::<Euclidean<f32>>::new(saved_points), &config, Tier::detect())
            }
            (Packed::F64(points), Packed::F64(saved_points)) => {
                assert_eq!(answers(&saved), answers_of::<Euclidean<f64>>(&tree, points));
                validate(&saved.tree, &PackedQueries::<Euclidean<f64>>::new(saved_points), &config, Tier::detect())
            }
            _ => panic!("the precision changed"),
        };
        assert!(report.is_valid(), "{report} {:#?}", report.violations);
    }
}

#[test]
fn a_tree_without_coordinates_is_saved_too() {
    let (tree, _) = f32s(30, 2);
    let saved = parse("x", in_memory(&bytes_of(&contents(&tree, &Packed::None)))).unwrap();
    assert!(matches!(saved.points, Packed::None) && saved.points.dtype().is_none());
    assert_eq!((saved.points.dim(), saved.tree.ids), (0, tree.ids));
}

#[test]
fn a_read_tree_can_be_changed_and_leaves_the_file_alone() {
    let folder = Folder::new();
    let (tree, points) = f32s(30, 2);
    let path = folder.path("tree.ct");
    write(&path, &contents(&tree, &points)).unwrap();
    let before = fs::read(&path).unwrap();
    for mode in [ReadMode::Memory, mapped()] {
        let mut saved = read(&path, mode).unwrap();
        saved.tree.levels[3] = -99;
        assert!(!saved.tree.levels.is_shared() && saved.tree.ids.is_shared());
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_mapped_tree_outlives_the_file_that_replaces_it() {
    let folder = Folder::new();
    let path = folder.path("tree.ct");
    let ((first, first_points), (second, second_points)) = (f32s(200, 3), f64s(5, 3));
    write(&path, &contents(&first, &first_points)).unwrap();
    let saved = read(&path, mapped()).unwrap();
    write(&path, &contents(&second, &second_points)).unwrap();
    assert_eq!((&saved.tree.ids, saved.tree.len()), (&first.ids, 200));
    assert_eq!(read(&path, mapped()).unwrap().tree.len(), 5);
}

/// The message of a refusal: one line that names the file and a remedy.
#[track_caller]
fn refusal(result: Result<SavedTree, Error>) -> String {
    let Err(error) = result else { panic!("this must be refused") };
    assert_eq!(error.exit_code(), 2);
    let message = error.to_string();
    assert!(!message.chars().any(char::is_control) && message.len() < 400, "{message:?}");
    assert!(message.contains(';') && message.contains(": "), "no remedy: {message}");
    message
}

#[test]
fn every_damaged_byte_is_refused() {
    for (tree, points) in [f32s(30, 2), f64s(30, 17)] {
        let bytes = bytes_of(&contents(&tree, &points));
        assert!(parse("x", in_memory(&bytes)).is_ok());
        for place in 0..bytes.len() {
            for mask in [0x01, 0x80, 0xff] {
                let mut bytes = bytes.clone();
                bytes[place] ^= mask;
                refusal(parse("x", in_memory(&bytes)));
            }
        }
    }
}

#[test]
fn every_cut_and_every_addition_is_refused() {
    let folder = Folder::new();
    let path = folder.path("tree.ct");
    let (tree, points) = f32s(20, 2);
    let bytes = bytes_of(&contents(&tree, &points));
    for len in 0..bytes.len() {
        refusal(parse("x", in_memory(&bytes[..len])));
    }
    for len in [0, 1, 8, 100, 200, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&path, &bytes[..len]).unwrap();
        for mode in [ReadMode::Memory, mapped()] {
            let message = refusal(read(&path, mode));
            assert!(message.starts_with(&*path.to_string_lossy()), "{message}");
        }
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    let message = refusal(parse("x", in_memory(&longer)));
    let (got, want) = (longer.len(), bytes.len());
    let expected = format!(
        "x: is damaged (it has {got} bytes where its header promises {want}); copy it again, or build the tree again"
    );
    assert_eq!(message, expected);
}

#[test]
fn foreign_files_are_refused() {
    let folder = Folder::new();
    let path = folder.path("tree.ct");
    for bytes in [b"\x93NUMPY\x01\x00".as_slice(), b"x,y\n1,2\n", &[0; 4096], &[0xff; 4096], b"\x89ctree\n"] {
        fs::write(&path, bytes).unwrap();
        for mode in [ReadMode::Memory, mapped()] {
            let message = refusal(read(&path, mode));
            assert!(message.contains("is no tree file of covertree"), "{message}");
        }
    }
    fs::write(&path, "").unwrap();
    assert!(refusal(read(&path, mapped())).contains("(it is empty); make one with covertree build"));
    assert!(refusal(read(&folder.path("none.ct"), ReadMode::Memory)).contains("cannot be read"));
    assert!(refusal(read(folder.0.path(), ReadMode::Memory)).contains("is a folder"));
}

/// A file whose header was changed and sealed again.
fn with_header(change: impl Fn(&mut Header)) -> Arc<FileBytes> {
    let (tree, points) = f32s(20, 2);
    let mut bytes = bytes_of(&contents(&tree, &points));
    change(bytemuck::from_bytes_mut(&mut in_line(&mut bytes)[..size_of::<Header>()]));
    seal(&mut bytes);
    in_memory(&bytes)
}

/// The bytes, at an address that suits the header.
fn in_line(bytes: &mut Vec<u8>) -> &mut [u8] {
    assert_eq!(bytes.as_ptr().align_offset(align_of::<Header>()), 0, "large allocations are aligned to 16 bytes");
    bytes
}

#[test]
fn other_versions_and_orders_of_bytes_are_named() {
    let message = refusal(parse("x", with_header(|header| header.version += 1)));
    assert!(message.starts_with("x: is a tree file of version 2, and this program reads version 1; "), "{message}");
    let message = refusal(parse("x", with_header(|header| header.version = header.version.swap_bytes())));
    assert!(message.contains("the other order of bytes"), "{message}");
    let message = refusal(parse("x", with_header(|header| header.byte_order = header.byte_order.swap_bytes())));
    assert!(message.contains("the other order of bytes"), "{message}");
}

#[test]
fn headers_that_make_no_sense_are_refused() {
    type Change = fn(&mut Header);
    let cases: [(Change, &str); 20] = [
        (|header| header.order = 3, "its order of storage is 3"),
        (|header| header.order = 1, "its section \"corners\" holds 64 values, which box no 1 groups"),
        (|header| header.len = -1, "it claims -1 points"),
        (|header| header.len = i32::MAX, "it claims 2147483647 points"),
        (|header| header.len += 1, "its section \"ids\" holds 20 values instead of 21"),
        (|header| header.groups += 1, "its section \"groups\" holds "),
        (|header| header.groups = -5, "it claims -5 groups"),
        (|header| header.next_id = 19, "it has 20 points and 19 ids"),
        (|header| header.base = 1.0, "its levels have the base 1 and"),
        (|header| header.base = f64::NAN, "its levels have the base NaN"),
        (|header| header.scale = 0.0, "and the scale 0"),
        (|header| header.scale = f64::INFINITY, "and the scale inf"),
        (|header| header.dtype = 8, "its section \"points\" holds "),
        (|header| header.dtype = 0, "its section \"points\" holds "),
        (|header| header.dtype = 5, "its coordinates have 5 bytes"),
        (|header| header.dim = 0, "its section \"points\" holds "),
        (|header| header.dim = u32::MAX, "its section \"points\" holds "),
        (|header| header.sections = u32::MAX, "it claims 4294967295 sections"),
        (|header| header.sections -= 1, "its sections do not fill it"),
        (|header| header.reserved[5] = 1, "it has values where version 1 has none"),
    ];
    for (change, want) in cases {
        let message = refusal(parse("x", with_header(change)));
        assert!(message.contains(want) && message.contains("build it again"), "{want:?}: {message}");
    }
}

/// Writes a tree that was tampered with, and reads it.
fn tampered(tamper: impl Fn(&mut Tree)) -> Result<SavedTree, Error> {
    let (mut tree, points) = f32s(90, 2);
    tamper(&mut tree);
    parse("x", in_memory(&bytes_of(&contents(&tree, &points))))
}

#[test]
fn trees_that_no_search_could_trust_are_refused() {
    type Tamper = fn(&mut Tree);
    let cases: [(Tamper, &str); 12] = [
        (|tree| tree.ids[4] = -1, "ids: position 4 holds -1, outside 0..97"),
        (|tree| tree.ids[4] = 97, "ids: position 4 holds 97"),
        (|tree| tree.ids[4] = tree.ids[5], "stands twice"),
        (|tree| tree.parents[4] = NONE, "has no parent either"),
        (|tree| tree.parents[4] = 4, "cannot hang"),
        (|tree| tree.levels[4] = 0, "which is not higher"),
        (|tree| tree.levels[0] = TWIN, "is a twin"),
        (|tree| tree.reaches[4] = f32::NAN, "the reach at position 4 is NaN"),
        (|tree| tree.reaches[4] = -1.0, "the reach at position 4 is -1"),
        (|tree| tree.groups[1].end += 1, "breaks the order of the groups"),
        (|tree| tree.groups[0].kids_end = i32::MAX, "breaks the order of the groups"),
        (|tree| tree.groups[1].center = 0, "centred elsewhere"),
    ];
    for (tamper, want) in cases {
        let message = refusal(tampered(tamper));
        assert!(message.starts_with("x: holds no valid tree (") && message.contains(want), "{want:?}: {message}");
    }
}

#[test]
fn points_that_are_not_finite_are_refused() {
    let (tree, points) = f64s(40, 2);
    let Packed::F64(points) = points else { unreachable!() };
    let (panels, groups) = (points.panels(), tree.groups.len());
    for (section, place, want) in [("points", 17, "is not finite"), ("corners", 3, "is not a number")] {
        let (mut data, mut corners) = (panels.data().to_vec(), points.corners().to_vec());
        if section == "points" {
            data[place] = f64::NAN
        } else {
            corners[place] = f64::NAN
        }
        let points = PackedPoints::new(data.into(), corners.into(), 2, 40, groups).unwrap();
        let message = refusal(parse("x", in_memory(&bytes_of(&contents(&tree, &Packed::F64(points))))));
        assert!(message.contains(&format!("value {place} of its section \"{section}\" {want}")), "{message}");
    }
}

/// Whoever makes the checksum fit can make wrong answers, but no crash.
#[test]
fn forged_files_are_refused_or_answer_without_a_crash() {
    for (tree, points) in [f64s(60, 2), f32s(60, 17)] {
        let whole = bytes_of(&contents(&tree, &points));
        let (mut refused, mut answered) = (0, 0);
        for place in 0..whole.len() - 16 {
            for mask in [0x01, 0xc0] {
                let mut bytes = whole.clone();
                bytes[place] ^= mask;
                seal(&mut bytes);
                match parse("x", in_memory(&bytes)) {
                    Ok(saved) => {
                        answers(&saved);
                        answered += 1;
                    }
                    Err(_) => refused += 1,
                }
            }
        }
        assert!(refused > 1000 && answered > 1000, "{refused} refused, {answered} answered");
    }
}

#[test]
fn contents_that_do_not_fit_together_are_not_written() {
    let folder = Folder::new();
    let path = folder.path("tree.ct");
    let (tree, points) = f32s(30, 2);
    let (_, others) = f64s(29, 2);
    let good = contents(&tree, &points);
    let cases: [(Contents<'_>, &str); 4] = [
        (Contents { points: others.by_ref(), ..good }, "29 points were packed for a tree of 30"),
        (Contents { extra: &[("V", &[])], ..good }, "\"V\" is no name of a section"),
        (Contents { extra: &[("ids", &[])], ..good }, "it would have two sections \"ids\"; rename one"),
        (Contents { extra: &[("v", &[]), ("v", &[])], ..good }, "it would have two sections \"v\"; rename one"),
    ];
    for (contents, want) in cases {
        let message = write(&path, &contents).unwrap_err().to_string();
        assert!(message.contains("tree.ct: cannot hold this tree: ") && message.contains(want), "{message}");
    }
    let many: Vec<String> = (0..2000).map(|number| format!("s{number}")).collect();
    let extra: Vec<(&str, &[u8])> = many.iter().map(|name| (name.as_str(), [].as_slice())).collect();
    assert!(write(&path, &Contents { extra: &extra, ..good }).unwrap_err().to_string().contains("join some"));
    assert!(fs::read_dir(folder.0.path()).unwrap().next().is_none(), "nothing was left behind");
    assert!(matches!(write(Path::new("none/tree.ct"), &good), Err(Error::NoFolder { .. })));
}
