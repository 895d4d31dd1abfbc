//! Writing.

use std::io::{self, Write};
use std::path::Path;

use covertree_kernels::index::idx_len;
use covertree_kernels::simd::Real;
use xxhash_rust::xxh3::Xxh3;

use super::header::{BYTE_ORDER, Header, MAGIC, SECTIONS_MAX, Section, VERSION, name_bytes, order_code, places};
use super::{Contents, NAMES, PackedRef, corners_fit};
use crate::error::{Error, shown};
use crate::formats::output::Outputs;
use crate::space::PackedPoints;

/// Writes a tree file: whole, or not at all.
///
/// # Errors
/// As [`stage`] and [`Outputs::commit`].
pub fn write(path: &Path, contents: &Contents<'_>) -> Result<(), Error> {
    let mut outputs = Outputs::new();
    stage(&mut outputs, path, contents)?;
    outputs.commit()
}

/// Writes a tree file under a temporary name, as one of several that are to appear together.
///
/// # Errors
/// As [`Outputs::add`]; [`Error::Usage`] for contents that do not fit together, for names of sections that are not
/// distinct or not legal, and on a big-endian machine.
///
/// # Cost
/// Reads the contents once; no copy is made.
pub fn stage(outputs: &mut Outputs, path: &Path, contents: &Contents<'_>) -> Result<(), Error> {
    let refused = |problem: &str| Error::Usage(format!("{}: cannot hold this tree: {problem}", shown(path)));
    if cfg!(target_endian = "big") {
        return Err(refused("tree files are written on little-endian machines only; build the tree on one"));
    }
    let sections = sections(contents).map_err(|problem| refused(&problem))?;
    let lengths: Vec<u64> = sections.iter().map(|(_, bytes)| bytes.len() as u64).collect(); // usize has at most 64 bits
    let too_long = || refused("it is larger than any file; leave out sections");
    let (places, file_bytes) = places(&lengths).ok_or_else(too_long)?;
    let header = header(contents, sections.len(), file_bytes).map_err(|problem| refused(&problem))?;
    outputs.add(path, |out| {
        let mut out = Summed { out, sum: Xxh3::new(), written: 0 };
        out.put(bytemuck::bytes_of(&header))?;
        for ((name, _), place) in sections.iter().zip(&places) {
            let entry = Section { name: *name, offset: place.start, bytes: place.end - place.start };
            out.put(bytemuck::bytes_of(&entry))?;
        }
        for ((_, bytes), place) in sections.iter().zip(&places) {
            out.pad(place.start)?;
            out.put(bytes)?;
        }
        let sum = out.sum.digest128();
        out.out.write_all(&sum.to_le_bytes())
    })
}

/// A writer that sums up what goes through it.
struct Summed<'a> {
    out: &'a mut dyn Write,
    sum: Xxh3,
    written: u64,
}

impl Summed<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.written += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// Writes zeros up to an offset, which is less than an alignment away.
    fn pad(&mut self, offset: u64) -> io::Result<()> {
        let zeros = [0; super::header::ALIGN];
        self.put(&zeros[..(offset - self.written) as usize])
    }
}

/// The name of a section, and its bytes.
type Named<'a> = ([u8; super::header::NAME], &'a [u8]);

fn sections<'a>(contents: &Contents<'a>) -> Result<Vec<Named<'a>>, String> {
    let tree = contents.tree;
    let (points, corners): (&[u8], &[u8]) = match contents.points {
        PackedRef::None => (&[], &[]),
        PackedRef::F32(points) => coordinates(contents, points)?,
        PackedRef::F64(points) => coordinates(contents, points)?,
    };
    let own: [&[u8]; NAMES.len()] = [
        contents.metric.as_bytes(),
        contents.config.as_bytes(),
        bytemuck::cast_slice(&tree.ids),
        bytemuck::cast_slice(&tree.levels),
        bytemuck::cast_slice(&tree.parents),
        bytemuck::cast_slice(&tree.reaches),
        bytemuck::cast_slice(&tree.groups),
        points,
        corners,
    ];
    let mut sections: Vec<Named<'a>> = Vec::with_capacity(own.len() + contents.extra.len());
    for (name, bytes) in NAMES.into_iter().zip(own).chain(contents.extra.iter().copied()) {
        let Some(padded) = name_bytes(name) else {
            return Err(format!("{name:?} is no name of a section; use 1 to 16 of a-z 0-9 . - _"));
        };
        if sections.iter().any(|(known, _)| *known == padded) {
            return Err(format!("it would have two sections {name:?}; rename one"));
        }
        sections.push((padded, bytes));
    }
    match sections.len() {
        0..=SECTIONS_MAX => Ok(sections),
        len => Err(format!("it would have {len} sections, but at most {SECTIONS_MAX} are allowed; join some")),
    }
}

fn coordinates<'a, T: Real>(
    contents: &Contents<'a>,
    points: &'a PackedPoints<T>,
) -> Result<(&'a [u8], &'a [u8]), String> {
    let (len, groups) = (contents.tree.len(), contents.tree.groups.len());
    let (panels, corners) = (points.panels(), points.corners());
    if panels.len() != len || !corners_fit::<T>(corners.len(), groups, panels.dim()) {
        return Err(format!("{} points were packed for a tree of {len} points; pack them for it", panels.len()));
    }
    Ok((bytemuck::cast_slice(panels.data()), bytemuck::cast_slice(corners)))
}

fn header(contents: &Contents<'_>, sections: usize, file_bytes: u64) -> Result<Header, String> {
    let tree = contents.tree;
    let (dtype, dim) = match contents.points {
        PackedRef::None => (0, 0),
        PackedRef::F32(points) => (4, points.panels().dim()),
        PackedRef::F64(points) => (8, points.panels().dim()),
    };
    let counted = |what, len| idx_len(len).map_err(|_| format!("{len} {what} are too many; use fewer"));
    Ok(Header {
        magic: MAGIC,
        version: VERSION,
        byte_order: BYTE_ORDER,
        file_bytes,
        sections: sections as u32, // bounded by SECTIONS_MAX
        dtype,
        order: order_code(tree.order),
        dim: counted("coordinates", dim)?.unsigned_abs(),
        len: counted("points", tree.len())?,
        groups: counted("groups", tree.groups.len())?,
        next_id: contents.next_id,
        base: tree.ladder.base(),
        scale: tree.ladder.scale(),
        seed: contents.seed,
        ..Header::default()
    })
}
