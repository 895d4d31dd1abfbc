//! Reading: nothing of a file is used before all of it was checked.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytemuck::Pod;
use covertree_kernels::index::{Idx, LEN_MAX, at};
use covertree_kernels::simd::Real;
use covertree_kernels::tree::Group;
use covertree_kernels::view::panels_len;
use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_128;

use super::header::{ALIGN, BYTE_ORDER, CHECKSUM, Header, MAGIC, SECTIONS_MAX, Section, VERSION};
use super::header::{name_of, order_of, places};
use super::{Contents, Mapping, NAMES, Packed, corners_fit};
use crate::error::{Error, quoted, shown};
use crate::formats::npy::open_regular;
use crate::space::PackedPoints;
use crate::summary::fits_memory;
use crate::tree::storage::FileBytes;
use crate::tree::validate::{Findings, structure};
use crate::tree::{Ladder, Order, Storage, Tree};

/// How a tree file gets into memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadMode {
    /// It is read once, and the arrays share that memory.
    #[default]
    Memory,
    /// It is mapped: pages are loaded when they are needed, and may be dropped again. Made by [`mapped`](Self::mapped).
    Mapped(Unchanging),
}

/// Somebody's promise that files keep their bytes while they are mapped; see [`ReadMode::mapped`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unchanging(());

impl ReadMode {
    /// [`Mapped`](Self::Mapped), for trees larger than memory.
    ///
    /// # Safety
    /// Every file that is read in this mode, by this value or a copy of it, must keep its bytes for as long as anything that was read
    /// from it is there, clones of an index included. The program and [`write`](super::write) only ever replace tree files as a whole, which does a mapping no harm. A file that another program cuts
    /// ends this one (by a signal); one that it changes makes answers unspecified, and a search may panic or go on for ever. Choose
    /// [`Memory`](Self::Memory) where others may write to it.
    #[allow(unsafe_code)]
    pub const unsafe fn mapped() -> Self {
        Self::Mapped(Unchanging(()))
    }
}

/// A tree from a file, with everything that was saved with it. Its arrays share the file's memory until they are changed.
#[derive(Debug)]
#[non_exhaustive]
pub struct SavedTree {
    /// Name of the metric.
    pub metric: String,
    /// How the tree was built, as the caller of [`write`](super::write) put it.
    pub config: String,
    /// Seed of the builder.
    pub seed: u64,
    /// The first number that is not yet the id of a row.
    pub next_id: Idx,
    /// The tree.
    pub tree: Tree,
    /// Its points.
    pub points: Packed,
    /// The other sections: name and bytes; see [`Storage::typed`].
    pub extra: Vec<(String, Storage<u8>)>,
}

impl SavedTree {
    /// The bytes of another section.
    pub fn extra(&self, name: &str) -> Option<&Storage<u8>> {
        self.extra.iter().find_map(|(known, bytes)| (known == name).then_some(bytes))
    }

    /// The contents as they would be written again; `extra` is what [`extra_refs`](Self::extra_refs) gives.
    pub fn contents<'a>(&'a self, extra: &'a [(&'a str, &'a [u8])]) -> Contents<'a> {
        Contents {
            metric: &self.metric,
            config: &self.config,
            seed: self.seed,
            next_id: self.next_id,
            tree: &self.tree,
            points: self.points.by_ref(),
            extra,
        }
    }

    /// The other sections, borrowed.
    pub fn extra_refs(&self) -> Vec<(&str, &[u8])> {
        self.extra.iter().map(|(name, bytes)| (name.as_str(), &**bytes)).collect()
    }
}

/// Reads a tree file and checks everything that a search relies on; laws that take distances are left to
/// [`validate`](crate::tree::validate::validate).
///
/// # Errors
/// One line that names the file, what is wrong, and the remedy: [`Error::Read`] and the like for what cannot be opened,
/// [`Error::NotTree`] for a file of another program, [`Error::TreeVersion`] for one of another version,
/// [`Error::TreeDamaged`] where the length or the checksum is wrong, [`Error::TreeInvalid`] where the contents do not
/// fit together, [`Error::Memory`].
///
/// # Cost
/// Passes over the file twice. Memory: the file once (when mapped, as much of it as the system keeps), and a bit per id.
pub fn read(path: &Path, mode: ReadMode) -> Result<SavedTree, Error> {
    let file = shown(path);
    let not_tree = |problem: &str| Error::NotTree { file: file.clone(), problem: problem.into() };
    let (mut input, len) = match open_regular(path) {
        Err(Error::EmptyFile { .. }) => return Err(not_tree("it is empty")),
        opened => opened?,
    };
    let failed = |source| Error::Read { file: file.clone(), source };
    let mut start = Vec::with_capacity(size_of::<Header>());
    input.by_ref().take(size_of::<Header>() as u64).read_to_end(&mut start).map_err(failed)?;
    // A small part tells whether the rest is worth its memory.
    first_look(&file, &start, len)?;
    let memory = || {
        let remedy = match mode {
            ReadMode::Memory => "free some, or only search it, mapped: covertree query and within take --mmap",
            ReadMode::Mapped(_) => "use a machine with longer addresses",
        };
        Error::Memory { file: file.clone(), bytes: len, remedy }
    };
    let bytes = usize::try_from(len).map_err(|_| memory())?;
    let bytes = match mode {
        ReadMode::Memory if !fits_memory(len) => return Err(memory()),
        ReadMode::Memory => read_whole(&mut input, FileBytes::zeroed(bytes).ok_or_else(memory)?),
        ReadMode::Mapped(_) => Mapping::new(&input).map(FileBytes::Mapped),
    };
    parse(&file, Arc::new(bytes.map_err(failed)?))
}

fn read_whole(input: &mut File, mut into: FileBytes) -> io::Result<FileBytes> {
    input.rewind()?;
    if let FileBytes::Read(blocks, len) = &mut into {
        input.read_exact(&mut bytemuck::cast_slice_mut(blocks)[..*len])?;
    }
    Ok(into)
}

/// Says whether a file of `len` bytes that begins with `start` can be one of ours, and whole.
fn first_look(file: &str, start: &[u8], len: u64) -> Result<Header, Error> {
    let file = || file.to_owned();
    let not_tree = |problem: &str| Error::NotTree { file: file(), problem: problem.into() };
    if start.get(..MAGIC.len()) != Some(&MAGIC) {
        // A file of ours that was cut within its first bytes looks like one of another program, and is as useless.
        return Err(not_tree("it does not begin with the signature of a tree file"));
    }
    let Ok(header) = bytemuck::try_pod_read_unaligned::<Header>(start) else {
        return Err(Error::TreeDamaged { file: file(), problem: "it ends within its header".into() });
    };
    if header.version.swap_bytes() == VERSION || (header.version == VERSION && header.byte_order != BYTE_ORDER) {
        return Err(not_tree("its numbers are in the other order of bytes, or damaged"));
    }
    if header.version != VERSION {
        return Err(Error::TreeVersion { file: file(), found: header.version, known: VERSION });
    }
    if header.file_bytes != len {
        let problem = format!("it has {len} bytes where its header promises {}", header.file_bytes);
        return Err(Error::TreeDamaged { file: file(), problem });
    }
    Ok(header)
}

/// Takes a whole file apart.
pub(super) fn parse(file: &str, bytes: Arc<FileBytes>) -> Result<SavedTree, Error> {
    let all = bytes.as_bytes();
    let header = first_look(file, &all[..all.len().min(size_of::<Header>())], all.len() as u64)?;
    let damaged = |problem: &str| Error::TreeDamaged { file: file.to_owned(), problem: problem.into() };
    let Some((body, sum)) = all.split_last_chunk::<CHECKSUM>().filter(|(body, _)| body.len() >= size_of::<Header>())
    else {
        return Err(damaged("it ends within its header"));
    };
    if xxh3_128(body).to_le_bytes() != *sum {
        return Err(damaged("its checksum does not match its contents"));
    }
    let invalid = |problem: String| Error::TreeInvalid { file: file.to_owned(), problem };
    let sections = sections(&header, body).map_err(invalid)?;
    Sections { header, bytes: &bytes, sections }.tree().map_err(invalid)
}

/// The sections as the table names and places them.
fn sections(header: &Header, body: &[u8]) -> Result<Vec<(String, Range<usize>)>, String> {
    let count = header.sections as usize; // fits: usize has at least 32 bits
    let table = body.get(size_of::<Header>()..).unwrap_or_default();
    if !(NAMES.len()..=SECTIONS_MAX).contains(&count) || table.len() < count * size_of::<Section>() {
        return Err(format!("it claims {count} sections"));
    }
    let entries = table.chunks_exact(size_of::<Section>()).take(count);
    let entries: Vec<Section> = entries.map(bytemuck::pod_read_unaligned).collect();
    let lengths: Vec<u64> = entries.iter().map(|entry| entry.bytes).collect();
    let (places, _) = places(&lengths)
        .filter(|(_, file_bytes)| *file_bytes == header.file_bytes)
        .ok_or("its sections do not fill it")?;
    let mut sections: Vec<(String, Range<usize>)> = Vec::with_capacity(count);
    for (entry, place) in entries.iter().zip(places) {
        let name = name_of(&entry.name).ok_or_else(|| format!("a section is named {}", quoted(&entry.name)))?;
        if entry.offset != place.start {
            return Err(format!("its section {name:?} is out of place"));
        }
        if sections.iter().any(|(known, _)| known == name) {
            return Err(format!("it has two sections {name:?}"));
        }
        // Within the file, whose length is a usize.
        sections.push((name.to_owned(), place.start as usize..place.end as usize));
    }
    match NAMES.iter().zip(&sections).find(|(want, (name, _))| name != *want) {
        Some((want, _)) => Err(format!("its section {want:?} is missing")),
        None => Ok(sections),
    }
}

/// A file whose checksum is right, on its way to be a tree.
struct Sections<'a> {
    header: Header,
    bytes: &'a Arc<FileBytes>,
    sections: Vec<(String, Range<usize>)>,
}

impl Sections<'_> {
    fn tree(&self) -> Result<SavedTree, String> {
        let header = &self.header;
        let order = order_of(header.order).ok_or_else(|| format!("its order of storage is {}", header.order))?;
        let count = |what: &str, value: Idx| match usize::try_from(value) {
            Ok(count) if count <= LEN_MAX => Ok(count),
            _ => Err(format!("it claims {value} {what}")),
        };
        let (len, groups) = (count("points", header.len)?, count("groups", header.groups)?);
        if header.next_id < header.len {
            return Err(format!("it has {len} points and {} ids", header.next_id));
        }
        if !Ladder::exists(header.base, header.scale) {
            return Err(format!("its levels have the base {} and the scale {}", header.base, header.scale));
        }
        if header.unused != 0 || header.reserved != [0; 6] {
            return Err("it has values where version 1 has none".into());
        }
        let mut tree = Tree {
            ids: self.array(2, len)?,
            levels: self.array(3, len)?,
            parents: self.array(4, len)?,
            reaches: self.array(5, len)?,
            groups: self.array(6, groups)?,
            waiting: 0,
            order,
            ladder: Ladder::new(header.base, header.scale),
        };
        check(&tree, header.next_id)?;
        tree.waiting = waiting(&tree.groups);
        let dim = header.dim as usize; // fits: usize has at least 32 bits
        let points = match header.dtype {
            0 => self.no_points(dim)?,
            4 => Packed::F32(self.points(dim, len, groups, order)?),
            8 => Packed::F64(self.points(dim, len, groups, order)?),
            other => return Err(format!("its coordinates have {other} bytes")),
        };
        let extra = self.sections[NAMES.len()..].iter();
        let extra = extra.map(|(name, place)| Ok((name.clone(), self.values(name, place)?)));
        Ok(SavedTree {
            metric: self.text(0)?,
            config: self.text(1)?,
            seed: header.seed,
            next_id: header.next_id,
            tree,
            points,
            extra: extra.collect::<Result<_, String>>()?,
        })
    }

    fn values<T: Pod>(&self, name: &str, place: &Range<usize>) -> Result<Storage<T>, String> {
        Storage::shared(self.bytes, place.clone()).ok_or_else(|| format!("its section {name:?} holds no whole values"))
    }

    /// The section number `section` as an array of `len` values.
    fn array<T: Pod>(&self, section: usize, len: usize) -> Result<Storage<T>, String> {
        let (name, place) = &self.sections[section];
        let values = self.values(name, place)?;
        match values.len() {
            got if got == len => Ok(values),
            got => Err(format!("its section {name:?} holds {got} values instead of {len}")),
        }
    }

    fn text(&self, section: usize) -> Result<String, String> {
        let (name, place) = &self.sections[section];
        let text = String::from_utf8(self.bytes.as_bytes()[place.clone()].to_vec());
        text.map_err(|_| format!("its section {name:?} is no text"))
    }

    fn no_points(&self, dim: usize) -> Result<Packed, String> {
        self.array::<u8>(7, 0)?;
        self.array::<u8>(8, 0)?;
        if dim == 0 { Ok(Packed::None) } else { Err(format!("it claims {dim} coordinates and has none")) }
    }

    fn points<T: Real>(&self, dim: usize, len: usize, groups: usize, order: Order) -> Result<PackedPoints<T>, String> {
        let points: Storage<T> = self.array(7, panels_len::<T>(len, dim))?;
        let boxed = order == Order::Cells && groups > 0;
        let (name, place) = &self.sections[8];
        let corners: Storage<T> = self.values(name, place)?;
        if corners.is_empty() == boxed || !corners_fit::<T>(corners.len(), groups, dim) {
            return Err(format!("its section {name:?} holds {} values, which box no {groups} groups", corners.len()));
        }
        if let Some(place) = points.par_iter().position_first(|value| !value.to_f64().is_finite()) {
            return Err(format!("value {place} of its section \"points\" is not finite"));
        }
        // The box of an empty group is infinitely far from everything.
        if let Some(place) = corners.par_iter().position_first(|value| value.to_f64().is_nan()) {
            return Err(format!("value {place} of its section {name:?} is not a number"));
        }
        PackedPoints::new(points, corners, dim, len, if boxed { groups } else { 0 }).map_err(|error| error.to_string())
    }
}

/// What a search relies on, and what inserting into the tree relies on.
fn check(tree: &Tree, next_id: Idx) -> Result<(), String> {
    let mut findings = Findings::default();
    structure::ids(tree, next_id, &mut findings);
    structure::groups(tree, &mut findings);
    let findings = findings.merge(structure::nodes(tree));
    if let Some(first) = findings.into_parts().1.first() {
        return Err(first.to_string());
    }
    match tree.reaches.par_iter().position_first(|reach| reach.is_nan() || *reach < 0.0) {
        Some(position) => Err(format!("the reach at position {position} is {}", tree.reaches[position])),
        None => Ok(()),
    }
}

/// Most groups that a depth-first traversal ever has waiting, for groups that partition the points.
fn waiting(groups: &[Group]) -> Idx {
    let mut below = vec![0 as Idx; groups.len()];
    // The groups of a group stand behind it.
    for (place, group) in groups.iter().enumerate().rev() {
        let kids = &below[at(group.kids)..at(group.kids_end)];
        // All kids wait at once; later, while one of them is searched, the others may still.
        let count = kids.len() as Idx; // a range of indices
        below[place] = kids.iter().fold(count, |most, kid| most.max(count - 1 + kid));
    }
    below.first().map_or(0, |&below| below.max(1))
}

/// The sections are aligned in memory as they are in the file, for each type of value.
const _: () = assert!(ALIGN.is_multiple_of(size_of::<Group>()) && ALIGN.is_multiple_of(size_of::<f64>()));
