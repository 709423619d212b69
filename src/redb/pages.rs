//! The pages of redb's format 3, as far as they are held to their checksums here.
//!
//! redb compares the checksums of its pages only where it repairs a file. A damaged list of free pages makes it panic in
//! the midst of a commit, and once more while it unwinds: nobody can catch that, and the process ends. So the pages in which
//! it says which tables there are and which pages are free, ten or so, are checked before redb relies on them. All others are
//! checked when they are read first ([`checked`](super::checked)).
//!
//! ```text
//! header    magic (9) | flags (1) | .. (2) | page size u32 | pages of a region's header u32 | pages of a region u32
//!           at 64 and 192 a commit: 3 (1) | .. (7) | root of the tables | root of redb's own tables | .. | checksum (16)
//! root      page u64 | checksum of the page (16) | entries u64; a byte before both says which there are
//! page      its number in the region (20 bits) | region (20 bits) | .. | its size, as a power of two of page sizes (5 bits)
//! leaf      1 | .. (1) | entries u16 | ends of the keys u32 .. | ends of the values u32 .. | keys | values
//! branch    2 | .. (1) | keys u16 | .. (4) | checksums of the children (16) .. | their pages u64 .. | ends of the keys u32 ..
//! table     1 | entries u64 | is there a root (1) | root | size of the keys: is there one (1), u32 | the same of the values
//! ```
//!
//! Ends stand there only where keys or values have no size of their own. A checksum is XXH3-128 of all up to the last end.

use std::io;

use xxhash_rust::xxh3::xxh3_128;

use super::tables::Table;

const FLAGS_AT: usize = 9;
const HEADER_BYTES: usize = 320;
const COMMIT_BYTES: usize = 128;
const COMMITS_AT: [usize; 2] = [64, 192];
const FORMAT: u8 = 3;

const SECOND_IS_LAST: u8 = 1;
const UNCLEAN: u8 = 2;
const TWO_PHASE: u8 = 4;

/// More levels than a tree can have.
const DEPTH: usize = 32;

/// How wide the keys and the values of a tree are; none where each has an end.
#[derive(Clone, Copy)]
struct Widths {
    key: Option<usize>,
    value: Option<usize>,
}

/// Of names and tables, which is what both roots lead to.
const NAMES: Widths = Widths { key: None, value: None };

/// Of our tables, which have bytes under bytes.
const OURS: Widths = Widths { key: None, value: None };

/// A page, and the checksum that stands beside its number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Root {
    pub(super) page: u64,
    pub(super) checksum: u128,
}

/// Where pages stand in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Geometry {
    page_bytes: u64,
    region_header_bytes: u64,
    region_bytes: u64,
}

impl Geometry {
    /// Where the page of this number begins, and how long it is.
    pub(super) fn place(self, page: u64) -> (u64, u64) {
        let order = page >> 59;
        let (index, region) = (page & (0xf_ffff >> order), page >> 20 & 0xf_ffff);
        let bytes = self.page_bytes << order;
        let start = self.page_bytes + region.saturating_mul(self.region_bytes) + self.region_header_bytes;
        (start.saturating_add(index.saturating_mul(bytes)), bytes)
    }
}

/// Reads bytes of a file, all of them or none.
type Read<'r> = &'r dyn Fn(u64, &mut [u8]) -> io::Result<()>;

struct Pages<'r> {
    read: Read<'r>,
    length: u64,
    geometry: Geometry,
}

/// Where our tables begin.
pub(super) struct Tables {
    pub(super) geometry: Geometry,
    pub(super) roots: Vec<(Table, Root)>,
}

/// Holds the pages in which redb keeps house to their checksums, in a file of this length, and says where our tables begin; none
/// of what is no file of the one format that is known here, which is left to redb.
///
/// # Errors
///
/// A page is not what it was. Those of reading.
pub(super) fn tables(length: u64, read: Read<'_>) -> Result<Option<Tables>, Broken> {
    let mut header = [0; HEADER_BYTES];
    if length < HEADER_BYTES as u64 {
        return Ok(None);
    }
    read(0, &mut header)?;
    let Some((pages, [ours, redbs])) = parse(&header, length, read) else { return Ok(None) };
    let mut roots = Vec::new();
    pages.names(ours, &mut |name, _, root| {
        roots.extend(Table::ALL.into_iter().find(|table| table.name().as_bytes() == name).zip(root));
        Ok(())
    })?;
    pages.names(redbs, &mut |_, widths, root| match root {
        Some(root) => pages.tree(root, widths, DEPTH, &mut |_, _| {}),
        None => Ok(()),
    })?;
    Ok(Some(Tables { geometry: pages.geometry, roots }))
}

/// What became of a look at a page.
#[derive(Debug)]
pub(super) enum Broken {
    Io(io::Error),
    Page(String),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Broken::Io(error)
    }
}

fn broken<T>(page: u64) -> Result<T, Broken> {
    Err(Broken::Page(format!("the checksum of page {page:#x} is wrong, which says what there is in it")))
}

/// Of the names of our tables, and of redb's own.
type Roots = [Option<Root>; 2];

/// The geometry of the file, and the roots of its last commit; none where redb will not take that one unseen.
fn parse<'r>(header: &[u8], length: u64, read: Read<'r>) -> Option<(Pages<'r>, Roots)> {
    let flags = *header.get(FLAGS_AT)?;
    // A commit of one phase that a crash cut short is compared with its checksums by redb.
    if flags & UNCLEAN != 0 && flags & TWO_PHASE == 0 {
        return None;
    }
    let at = COMMITS_AT.get(usize::from(flags & SECOND_IS_LAST))?;
    let commit = header.get(*at..at + COMMIT_BYTES)?;
    let (sealed, checksum) = commit.split_last_chunk()?;
    if xxh3_128(sealed) != u128::from_le_bytes(*checksum) || commit.first() != Some(&FORMAT) {
        return None;
    }
    let [page_bytes, region_header, region] = [12, 16, 20].map(|at| number(header, at, 4));
    let (page_bytes, region_header) = (page_bytes?, region_header?);
    let region_header_bytes = region_header.checked_mul(page_bytes)?;
    let region_bytes = region?.checked_mul(page_bytes)?.checked_add(region_header_bytes)?;
    let pages = Pages { read, length, geometry: Geometry { page_bytes, region_header_bytes, region_bytes } };
    let is_there = |at: usize| commit.get(at).is_some_and(|byte| *byte != 0);
    let ours = is_there(1).then(|| Root::at(commit, 8)).flatten();
    let redbs = is_there(2).then(|| Root::at(commit, 40)).flatten();
    Some((pages, [ours, redbs]))
}

impl Root {
    fn at(bytes: &[u8], at: usize) -> Option<Self> {
        let checksum = bytes.get(at + 8..at + 24)?.try_into().ok()?;
        Some(Root { page: number(bytes, at, 8)?, checksum: u128::from_le_bytes(checksum) })
    }
}

/// Called for each table with its name, how wide its keys and values are, and where it begins if it has rows.
type EachTable<'e> = dyn FnMut(&[u8], Widths, Option<Root>) -> Result<(), Broken> + 'e;

impl Pages<'_> {
    /// The tree of names.
    fn names(&self, root: Option<Root>, each: &mut EachTable<'_>) -> Result<(), Broken> {
        let (Some(root), mut tables) = (root, Vec::new()) else { return Ok(()) };
        self.tree(root, NAMES, DEPTH, &mut |name, table| tables.push((name.to_vec(), table.to_vec())))?;
        for (name, table) in &tables {
            let Some((first, widths)) = parse_table(table) else { return broken(root.page) };
            each(name, widths, first)?;
        }
        Ok(())
    }

    /// A page and all below it; `each` has the keys and values of the leaves.
    fn tree(&self, root: Root, widths: Widths, depth: usize, each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Broken> {
        let page = self.page(root.page)?;
        if depth == 0 || !is_sound(&page, widths, root.checksum) {
            return broken(root.page);
        }
        if is_leaf(&page) {
            for nth in 0..count(&page) {
                let Some((key, value)) = entry(&page, widths, nth) else { return broken(root.page) };
                each(key, value);
            }
            return Ok(());
        }
        for child in children(&page) {
            let Some(child) = child else { return broken(root.page) };
            self.tree(child, widths, depth - 1, each)?;
        }
        Ok(())
    }

    fn page(&self, number: u64) -> Result<Vec<u8>, Broken> {
        let (start, bytes) = self.geometry.place(number);
        if start.saturating_add(bytes) > self.length {
            return Err(Broken::Page(format!("it ends before page {number:#x}, which says what there is in it")));
        }
        let mut page = vec![0; usize::try_from(bytes).unwrap_or(0)];
        (self.read)(start, &mut page)?;
        Ok(page)
    }
}

/// Whether a page is what its checksum says.
fn is_sound(page: &[u8], widths: Widths, checksum: u128) -> bool {
    checksum_of(page, widths) == Some(checksum)
}

/// The checksum of what stands in a page; none where nothing can stand in it.
fn checksum_of(page: &[u8], widths: Widths) -> Option<u128> {
    let end = match page.first() {
        Some(1) => leaf_end(page, widths),
        Some(2) => branch_end(page, widths),
        _ => None,
    };
    end.and_then(|end| page.get(..end)).map(xxh3_128)
}

/// That of a page of one of our tables.
pub(super) fn checksum_of_ours(page: &[u8]) -> Option<u128> {
    checksum_of(page, OURS)
}

/// Whether a page has rows; else it leads to others.
pub(super) fn is_leaf(page: &[u8]) -> bool {
    page.first() == Some(&1)
}

/// The rows of a page of one of our tables; none where it is no such page.
pub(super) fn rows(page: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    (is_leaf(page) && count(page) > 0).then(|| (0..count(page)).map(|nth| entry(page, OURS, nth)).collect())?
}

/// A number of so many bytes.
fn number(bytes: &[u8], at: usize, count: usize) -> Option<u64> {
    let mut number = [0; 8];
    number.get_mut(..count)?.copy_from_slice(bytes.get(at..at.checked_add(count)?)?);
    Some(u64::from_le_bytes(number))
}

/// An end that stands in a page.
fn end(page: &[u8], at: usize) -> Option<usize> {
    number(page, at, 4).and_then(|end| usize::try_from(end).ok())
}

/// Entries of a leaf, keys of a branch.
fn count(page: &[u8]) -> usize {
    number(page, 2, 2).and_then(|count| usize::try_from(count).ok()).unwrap_or(0)
}

fn leaf_key_end(page: &[u8], widths: Widths, nth: usize) -> Option<usize> {
    let ends = usize::from(widths.key.is_none()) + usize::from(widths.value.is_none());
    match widths.key {
        Some(width) => width.checked_mul(nth + 1)?.checked_add(4 + 4 * ends * count(page)),
        None => end(page, 4 + 4 * nth),
    }
}

fn leaf_value_end(page: &[u8], widths: Widths, nth: usize) -> Option<usize> {
    match widths.value {
        Some(width) => {
            let keys = leaf_key_end(page, widths, count(page).checked_sub(1)?)?;
            width.checked_mul(nth + 1)?.checked_add(keys)
        }
        None => end(page, 4 + 4 * (nth + if widths.key.is_none() { count(page) } else { 0 })),
    }
}

fn leaf_end(page: &[u8], widths: Widths) -> Option<usize> {
    leaf_value_end(page, widths, count(page).checked_sub(1)?)
}

/// A key and its value.
fn entry(page: &[u8], widths: Widths, nth: usize) -> Option<(&[u8], &[u8])> {
    let ends = usize::from(widths.key.is_none()) + usize::from(widths.value.is_none());
    let (first, keys) = (4 + 4 * ends * count(page), leaf_key_end(page, widths, count(page).checked_sub(1)?)?);
    let from = |end: fn(&[u8], Widths, usize) -> Option<usize>, first| match nth.checked_sub(1) {
        Some(before) => end(page, widths, before),
        None => Some(first),
    };
    let key = page.get(from(leaf_key_end, first)?..leaf_key_end(page, widths, nth)?)?;
    Some((key, page.get(from(leaf_value_end, keys)?..leaf_value_end(page, widths, nth)?)?))
}

fn branch_end(page: &[u8], widths: Widths) -> Option<usize> {
    let keys = count(page);
    let children = 8 + 24 * (keys + 1);
    match widths.key {
        Some(width) => width.checked_mul(keys)?.checked_add(children),
        None => end(page, children + 4 * keys.checked_sub(1)?),
    }
}

/// The pages that a page leads to; none in the place of one that does not stand there whole.
pub(super) fn children(page: &[u8]) -> impl Iterator<Item = Option<Root>> {
    (0..=count(page)).map(|nth| child(page, nth))
}

fn child(page: &[u8], nth: usize) -> Option<Root> {
    let children = count(page) + 1;
    let checksum = page.get(8 + 16 * nth..24 + 16 * nth)?.try_into().ok()?;
    Some(Root { page: number(page, 8 + 16 * children + 8 * nth, 8)?, checksum: u128::from_le_bytes(checksum) })
}

/// What stands under a table's name: its root, where it has rows, and their widths.
fn parse_table(table: &[u8]) -> Option<(Option<Root>, Widths)> {
    let is_there = |at: usize| table.get(at).map(|byte| *byte != 0);
    let width = |at: usize| match is_there(at)? {
        true => Some(Some(end(table, at + 1)?)),
        false => Some(None),
    };
    let root = match is_there(9)? {
        true => Some(Root::at(table, 10)?),
        false => None,
    };
    Some((root, Widths { key: width(42)?, value: width(47)? }))
}

#[cfg(test)]
mod tests;
