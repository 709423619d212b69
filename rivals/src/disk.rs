//! Where files are made, how large they are, and what the kernel counts.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::peer::Result;

/// The type of the file system that a directory is on, where the system tells.
fn file_system(directory: &Path) -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((PathBuf::from(fields.next()?), fields.next()?.to_owned()))
    });
    let holding = mounts.filter(|(point, _)| directory.starts_with(point));
    holding.max_by_key(|(point, _)| point.components().count()).map(|(_, kind)| kind)
}

/// A file system in memory, where a sync costs nothing.
fn in_memory(directory: &Path) -> bool {
    matches!(file_system(directory).as_deref(), Some("tmpfs" | "ramfs"))
}

/// A new directory for this run, removed when it is dropped: below the one that was asked for, else
/// the system's temporary one, else, where that is in memory, the one that cargo builds in.
pub fn directory(asked: Option<&Path>) -> Result<tempfile::TempDir> {
    let parent = match asked {
        Some(asked) => asked.to_owned(),
        None => {
            let temporary = std::env::temp_dir();
            if in_memory(&temporary) { Path::new(env!("CARGO_MANIFEST_DIR")).join("target") } else { temporary }
        }
    };
    fs::create_dir_all(&parent)?;
    let parent = parent.canonicalize()?;
    if in_memory(&parent) {
        return Err(format!("{} is in memory, where nothing is synced: give --dir on a disk", parent.display()).into());
    }
    Ok(tempfile::Builder::new().prefix("rivals-").tempdir_in(parent)?)
}

/// The size of files.
#[derive(Debug, Clone, Copy, Default)]
pub struct Size {
    /// As their lengths say.
    pub length: u64,
    /// As the disk has them.
    pub allocated: u64,
}

/// The size of all files in a directory and below.
pub fn size(directory: &Path) -> Result<Size> {
    let mut sum = Size::default();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            let below = size(&entry.path())?;
            sum.length += below.length;
            sum.allocated += below.allocated;
        } else {
            sum.length += metadata.len();
            sum.allocated += metadata.blocks() * 512;
        }
    }
    Ok(sum)
}

/// What the kernel counts of this process's writing.
#[derive(Debug, Clone, Copy)]
pub struct Written {
    /// Bytes that were to go to the disk.
    pub to_disk: u64,
    /// Bytes given to write calls.
    pub to_calls: u64,
    /// Write calls.
    pub calls: u64,
}

/// The counts so far.
pub fn written() -> Result<Written> {
    let text = fs::read_to_string("/proc/self/io")?;
    let field = |name: &str| field(&text, name).ok_or_else(|| format!("the kernel does not count {name}"));
    Ok(Written { to_disk: field("write_bytes")?, to_calls: field("wchar")?, calls: field("syscw")? })
}

/// Resident memory of this process in bytes: now, and at the most so far.
pub fn memory() -> Result<(u64, u64)> {
    let text = fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| field(&text, name).ok_or_else(|| format!("the kernel does not count {name}"));
    Ok((field("VmRSS")? << 10, field("VmHWM")? << 10))
}

/// How long this process has run so far, in the kernel's ticks of a hundredth of a second.
pub fn ticks() -> Result<u64> {
    let text = fs::read_to_string("/proc/self/stat")?;
    // Behind the program's name, which may have blanks: the 12th is the time of its own code, the 13th the kernel's.
    let fields = text.rsplit_once(") ").map(|(_, fields)| fields).ok_or("the kernel tells of no process")?;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u64>);
    Ok(ticks.sum::<std::result::Result<u64, _>>()?)
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}
