//! Files that a failure keeps, so that they can be looked at.

use std::fs;
use std::path::{Path, PathBuf};

use parlor::testkit::SimulatedDisk;

/// Where what is kept stands.
pub fn place(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Keeps files in a directory of this name.
pub fn keep(name: &str, files: &[(String, Vec<u8>)]) -> PathBuf {
    let directory = place(name);
    fs::create_dir_all(&directory).expect("a directory");
    files.iter().for_each(|(name, content)| fs::write(directory.join(name), content).expect("it is written"));
    directory
}

/// Keeps what is on a disk, as whoever has it open sees it, and what a power loss left of it. Says where.
pub fn keep_image(name: &str, cut: &SimulatedDisk, image: &SimulatedDisk) -> String {
    let (cut, image) = (keep(&format!("{name}/cut"), &cut.files()), keep(&format!("{name}/image"), &image.files()));
    format!("the files are in {}, and as the power loss left them in {}", cut.display(), image.display())
}
