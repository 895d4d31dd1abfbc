//! Saved trees: the bytes of a tree file as a tree that can be searched, without copying and without a heap.
//!
//! # Format, version 1
//! Everything is little-endian.
//!
//! | bytes | content |
//! | --- | --- |
//! | 128 | a [`FileHeader`] |
//! | 32 each | table of sections: a [`FileSection`] each |
//! | | the sections in the order of the table, each at the next multiple of [`ALIGN`], zeros between them |
//! | 16 | XXH3 (128 bits, low half first) of all bytes before |
//!
//! The first sections have the [`NAMES`]; others may follow, [`SCALING`] and [`PROJECTION`] among them.
//!
//! # Trust
//! The checksum is not looked at here (the program that writes the files verifies it; so does the C library). All that a
//! search relies on is: whatever the bytes are, they are refused or can be searched, and never make a kernel panic.
//! Levels, parents, reaches and distances are taken on trust: where they are wrong, answers are.

mod points;

pub use points::{StoredPoints, StoredProjection};

use bytemuck::{Pod, Zeroable};

use super::{Boxes, Group, TreeParts, TreeView};
use crate::error::{KernelError, want};
use crate::index::{Idx, at, idx_len};
use crate::simd::Real;
use crate::view::{Panels, panels_len};

/// The first eight bytes. The first one is no text, and the line ends break when the file is sent as text.
pub const MAGIC: [u8; 8] = *b"\x89ctree\r\n";
/// The version of the format.
pub const VERSION: u32 = 1;
/// Reads otherwise in the other order of bytes.
pub const BYTE_ORDER: u32 = 0x0102_0304;
/// Sections begin at multiples of this, so that every type of value is aligned if the file is.
pub const ALIGN: usize = 64;
/// The order of storage in which groups are bounded by balls around the nodes that they belong to.
pub const ORDER_BALLS: u32 = 1;
/// The order of storage in which groups are bounded by boxes.
pub const ORDER_BOXES: u32 = 2;
/// Bytes of the checksum at the end.
pub const CHECKSUM: usize = 16;
/// Most sections of a file.
pub const SECTIONS_MAX: usize = 1 << 10;
/// Bytes of the name of a section; shorter names are padded with zeros.
pub const NAME: usize = 16;
/// Sections that every file has, in their order.
pub const NAMES: [&str; 9] = ["metric", "config", "ids", "levels", "parents", "reaches", "groups", "points", "corners"];
/// The optional section that holds the `i32` exponent of the power of two by which coordinates are scaled.
pub const SCALING: &str = "scaling";
/// The optional section that says that points are [projected](crate::projection): all `f64`, see [`StoredProjection::read`].
pub const PROJECTION: &str = "projection";
/// Least alignment of the bytes that [`StoredTree::new`] takes: that of the widest value.
pub const LEAST_ALIGN: usize = align_of::<u64>();

/// What stands at the beginning of a tree file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct FileHeader {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`VERSION`].
    pub version: u32,
    /// [`BYTE_ORDER`].
    pub byte_order: u32,
    /// Bytes of the whole file.
    pub file_bytes: u64,
    /// Entries of the table of sections, which follows the header.
    pub sections: u32,
    /// 0 without packed points, else the bytes of a coordinate: 4 or 8.
    pub dtype: u32,
    /// The order of storage: [`ORDER_BALLS`] or [`ORDER_BOXES`].
    pub order: u32,
    /// Coordinates of a packed point.
    pub dim: u32,
    /// Number of points.
    pub len: Idx,
    /// Number of groups.
    pub groups: Idx,
    /// The first number that is not yet the id of a row.
    pub next_id: Idx,
    /// Zero.
    pub unused: u32,
    /// Base of the radii of the levels.
    pub base: f64,
    /// Radius of level 0.
    pub scale: f64,
    /// Seed of the builder.
    pub seed: u64,
    /// Zeros.
    pub reserved: [u64; 6],
}

/// One entry of the table of sections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct FileSection {
    /// Padded with zeros.
    pub name: [u8; NAME],
    /// Where it begins.
    pub offset: u64,
    /// Its length.
    pub bytes: u64,
}

/// The header has no padding, and it leaves the table aligned; aligned sections are aligned for each type of value.
const _: () = assert!(size_of::<FileHeader>() == 2 * ALIGN && size_of::<FileSection>() == 32);
const _: () = assert!(ALIGN.is_multiple_of(size_of::<Group>()) && ALIGN.is_multiple_of(LEAST_ALIGN));

/// A tree file in memory: checked once, then searched in place.
///
/// ```
/// use covertree_kernels::arena::{Arena, Block};
/// use covertree_kernels::dist::SquaredEuclidean;
/// use covertree_kernels::error::KernelError;
/// use covertree_kernels::index::{Idx, NONE};
/// use covertree_kernels::simd::Tier;
/// use covertree_kernels::tree::stored::StoredTree;
/// use covertree_kernels::tree::knn;
///
/// /// The nearest point to a row, by its id: of a tree that was built over few columns of `f32`, under the Euclidean metric.
/// fn nearest(file: &[u8], row: &[f32]) -> Result<(Idx, f64), KernelError> {
///     let stored = StoredTree::new(file)?;
///     let refused = |what| KernelError::Value { what, at: 0 };
///     if stored.metric() != "euclidean" || stored.scaling() != 0 {
///         return Err(refused("metric")); // were it scaled, the row had to be, and the distance
///     }
///     let points = stored.points::<f32>().ok_or(refused("points"))?;
///     let metric = points.coordinates::<SquaredEuclidean>()?;
///     let mut memory = [Block::default(); 64]; // `search_blocks` tells how many; with too few, `knn` says how many it needs
///     let (mut distances, mut ids) = ([0.0], [NONE]);
///     let arena = &mut Arena::new(&mut memory);
///     knn(Tier::detect(), stored.view(), &metric, row, NONE, &mut distances, &mut ids, arena)?;
///     Ok((ids[0], distances[0]))
/// }
/// # assert!(nearest(&[], &[0.0]).is_err());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct StoredTree<'a> {
    bytes: &'a [u8],
    header: FileHeader,
    view: TreeView<'a>,
}

impl<'a> StoredTree<'a> {
    /// Checks a tree file. `bytes` is the whole file, aligned to [`LEAST_ALIGN`] or better.
    ///
    /// # Errors
    /// - [`KernelError::Least`] naming `alignment of the file`, or `file` for one that ends within its header;
    /// - [`KernelError::Shape`] naming `file` when its length is not what the header promises, or a section that has
    ///   another length, in bytes, than the numbers in the header imply;
    /// - [`KernelError::Value`] naming `signature`, `version`, `byte order`, `header` or `sections`, with the offset of
    ///   what is wrong; naming `ids` or `points` or `corners`, with the first element that is not allowed; and those of
    ///   [`TreeView::new`].
    ///
    /// # Cost
    /// Reads the groups, ids, points and corners once; no scratch.
    pub fn new(bytes: &'a [u8]) -> Result<Self, KernelError> {
        let address = bytes.as_ptr().addr();
        if !address.is_multiple_of(LEAST_ALIGN) {
            let got = 1 << address.trailing_zeros();
            return Err(KernelError::Least { what: "alignment of the file", least: LEAST_ALIGN, got });
        }
        let header = read_header(bytes)?;
        check_table(bytes, &header)?;
        let len = count(header.len, core::mem::offset_of!(FileHeader, len))?;
        let groups = count(header.groups, core::mem::offset_of!(FileHeader, groups))?;
        let parts = TreeParts {
            ids: array(bytes, 2, len)?,
            levels: array(bytes, 3, len)?,
            groups: array(bytes, 6, groups)?,
            waiting: 0,
        };
        array::<Idx>(bytes, 4, len)?;
        array::<f32>(bytes, 5, len)?;
        let view = TreeView::new(parts)?;
        if let Some(place) = parts.ids.iter().position(|id| !(0..header.next_id).contains(id)) {
            return Err(KernelError::Value { what: "ids", at: place });
        }
        let view = TreeView { parts: TreeParts { waiting: view.waiting_bound(), ..parts } };
        let stored = Self { bytes, header, view };
        match header.dtype {
            0 => {
                want("points", 0, stored.part(7).len())?;
                want("corners", 0, stored.part(8).len())?;
            }
            4 => stored.read_points::<f32>()?.check()?,
            8 => stored.read_points::<f64>()?.check()?,
            _ => return Err(KernelError::Value { what: "header", at: core::mem::offset_of!(FileHeader, dtype) }),
        }
        stored.check_bounds()?;
        Ok(stored)
    }

    /// The whole file.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What stands at the beginning of the file.
    pub fn header(&self) -> &FileHeader {
        &self.header
    }

    /// Name of the metric; empty if it is no text.
    pub fn metric(&self) -> &'a str {
        core::str::from_utf8(self.part(0)).unwrap_or_default()
    }

    /// The tree.
    pub fn view(&self) -> TreeView<'a> {
        self.view
    }

    /// The points, if their coordinates are `T`s.
    pub fn points<T: Real>(&self) -> Option<StoredPoints<'a, T>> {
        if self.header.dtype as usize == size_of::<T>() { self.read_points().ok() } else { None }
    }

    /// The bytes of a section.
    pub fn section(&self, name: &str) -> Option<&'a [u8]> {
        let entries = table(self.bytes, self.header.sections as usize); // checked to be within the file
        let place = entries.iter().position(|entry| is_named(entry, name))?;
        Some(self.part(place))
    }

    /// Coordinates are those of the input over two to this power, and so must those of a query be; times it, distances
    /// are those of the input. Zero where the file does not say.
    pub fn scaling(&self) -> i32 {
        let bytes = self.section(SCALING).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
        bytes.map_or(0, i32::from_le_bytes)
    }

    /// Checks that each group has what bounds it: a box, or a ball around a point of the block before it.
    fn check_bounds(&self) -> Result<(), KernelError> {
        let groups = self.view.parts().groups;
        if self.header.order == ORDER_BOXES {
            let bounded = groups.is_empty() || !self.part(8).is_empty();
            let wrong = KernelError::Value { what: "header", at: core::mem::offset_of!(FileHeader, order) };
            return if bounded { Ok(()) } else { Err(wrong) };
        }
        want("corners", 0, self.part(8).len())?;
        let around = |group: &Group| {
            let kids = groups[at(group.kids)..at(group.kids_end)].iter();
            kids.zip(group.first..).all(|(kid, center)| kid.center == center && center < group.block)
        };
        match groups.iter().position(|group| !around(group)) {
            Some(at) => Err(KernelError::Value { what: "groups", at }),
            None => Ok(()),
        }
    }

    /// The bytes of a section by its place in the table.
    fn part(&self, place: usize) -> &'a [u8] {
        part(self.bytes, place)
    }

    fn read_points<T: Real>(&self) -> Result<StoredPoints<'a, T>, KernelError> {
        let (dim, len, groups) = (self.header.dim as usize, self.view.len(), self.view.parts().groups.len());
        let points = Panels::new(array(self.bytes, 7, panels_len::<T>(len, dim))?, dim, len)?;
        let row = 2 * panels_len::<T>(groups, 1); // the lower and the upper corners of all boxes in one dimension
        let corners = self.part(8).len() / size_of::<T>();
        let corners: &[T] = array(self.bytes, 8, corners)?;
        let projected = match self.section(PROJECTION) {
            None => None,
            Some(bytes) => {
                want(PROJECTION, bytes.len() / size_of::<f64>() * size_of::<f64>(), bytes.len())?;
                Some(StoredProjection::read(bytemuck::cast_slice(bytes), dim)?) // sections are aligned, as the file is
            }
        };
        if corners.is_empty() {
            return Ok(StoredPoints { points, boxes: None, projected });
        }
        let axes = corners.len() / row.max(1);
        want("corners", row * axes, corners.len())?;
        let boxes = Boxes::new(Panels::new(corners, 2 * axes, groups)?)?;
        Ok(StoredPoints { points, boxes: Some(boxes), projected })
    }
}

fn read_header(bytes: &[u8]) -> Result<FileHeader, KernelError> {
    let wrong = |what, at| Err(KernelError::Value { what, at });
    let (least, got) = (size_of::<FileHeader>() + CHECKSUM, bytes.len());
    if let Some(at) = MAGIC.iter().zip(bytes).position(|(want, byte)| want != byte) {
        return wrong("signature", at);
    }
    if got < least {
        return Err(KernelError::Least { what: "file", least, got });
    }
    let header: FileHeader = bytemuck::pod_read_unaligned(&bytes[..size_of::<FileHeader>()]);
    if header.version == VERSION.swap_bytes() || (header.version == VERSION && header.byte_order != BYTE_ORDER) {
        return wrong("byte order", core::mem::offset_of!(FileHeader, byte_order));
    }
    if header.version != VERSION {
        return wrong("version", core::mem::offset_of!(FileHeader, version));
    }
    match usize::try_from(header.file_bytes) {
        Ok(promised) => want("file", promised, got)?,
        Err(_) => return Err(KernelError::Shape { what: "file", want: usize::MAX, got }),
    }
    if !matches!(header.order, ORDER_BALLS | ORDER_BOXES) {
        return wrong("header", core::mem::offset_of!(FileHeader, order));
    }
    if header.next_id < header.len {
        return wrong("header", core::mem::offset_of!(FileHeader, next_id));
    }
    Ok(header)
}

/// A count that stands at this offset of the header, as a length.
fn count(value: Idx, offset: usize) -> Result<usize, KernelError> {
    let count = usize::try_from(value).ok().filter(|count| idx_len(*count).is_ok());
    count.ok_or(KernelError::Value { what: "header", at: offset })
}

/// The table of sections, which is known to be within the bytes, and aligned as they are.
fn table(bytes: &[u8], count: usize) -> &[FileSection] {
    bytemuck::cast_slice(&bytes[size_of::<FileHeader>()..][..count * size_of::<FileSection>()])
}

/// Whether the padded name of a section is this one.
fn is_named(entry: &FileSection, name: &str) -> bool {
    let (front, padding) = entry.name.split_at(name.len().min(NAME));
    front == name.as_bytes() && padding.iter().all(|&byte| byte == 0)
}

/// Checks that the sections follow each other in line, fill the file, and begin with those that every file has.
fn check_table(bytes: &[u8], header: &FileHeader) -> Result<(), KernelError> {
    let count = header.sections as usize; // fits: usize has at least 32 bits
    let wrong = |place: usize| KernelError::Value {
        what: "sections",
        at: size_of::<FileHeader>() + place * size_of::<FileSection>(),
    };
    let end = size_of::<FileHeader>() + count.min(SECTIONS_MAX) * size_of::<FileSection>();
    if !(NAMES.len()..=SECTIONS_MAX).contains(&count) || end > bytes.len() - CHECKSUM {
        return Err(KernelError::Value { what: "header", at: core::mem::offset_of!(FileHeader, sections) });
    }
    let mut end = end as u64; // usize has at most 64 bits
    for (place, entry) in table(bytes, count).iter().enumerate() {
        let start = end.checked_next_multiple_of(ALIGN as u64);
        let next = entry.offset.checked_add(entry.bytes).filter(|next| *next <= (bytes.len() - CHECKSUM) as u64);
        let named = NAMES.get(place).is_none_or(|name| is_named(entry, name));
        match next {
            Some(next) if start == Some(entry.offset) && named => end = next,
            _ => return Err(wrong(place)),
        }
    }
    want("file", end as usize + CHECKSUM, bytes.len()) // fits: it is not above the length
}

/// The bytes of a section of a file whose table was checked.
fn part(bytes: &[u8], place: usize) -> &[u8] {
    let entry: FileSection = bytemuck::pod_read_unaligned(
        &bytes[size_of::<FileHeader>() + place * size_of::<FileSection>()..][..size_of::<FileSection>()],
    );
    &bytes[entry.offset as usize..][..entry.bytes as usize] // fit: both are within the file
}

/// A section of a file whose table was checked as `len` values.
fn array<T: Pod>(bytes: &[u8], place: usize, len: usize) -> Result<&[T], KernelError> {
    let bytes = part(bytes, place);
    want(NAMES[place], len.saturating_mul(size_of::<T>()), bytes.len())?;
    Ok(bytemuck::cast_slice(bytes)) // sections are aligned, as the file is
}

impl TreeView<'_> {
    /// An upper bound of the groups that a depth-first traversal ever has waiting: what [`waiting`](TreeParts::waiting) must
    /// be, and not much more than the least that will do.
    ///
    /// # Cost
    /// Reads the groups once; no scratch.
    pub fn waiting_bound(&self) -> Idx {
        let groups = self.parts().groups;
        // Groups stand in the order of their depth. Beside each group on the way down its siblings wait, at most as many
        // as any group of that depth has.
        let (mut first, mut end, mut waiting) = (0, groups.len().min(1), Idx::from(!groups.is_empty()));
        while first < end {
            let depth = groups[first..end].iter().filter(|group| group.kids < group.kids_end);
            let (most, last) = depth.fold((1, end), |(most, last), group| {
                (most.max(group.kids_end - group.kids), last.max(at(group.kids_end)))
            });
            waiting += most - 1;
            (first, end) = (end, last);
        }
        waiting
    }
}

#[cfg(test)]
mod tests;
