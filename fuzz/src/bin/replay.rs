//! Replays files without a fuzzer: `replay TARGET FILE…`, where a folder stands for the files in it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(said) => {
            eprintln!("{said}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Vec<String>) -> Result<String, String> {
    let names: Vec<_> = parlor_fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
    let usage = || format!("replay TARGET FILE…: TARGET is one of {}", names.join(", "));
    let (target, paths) = arguments.split_first().filter(|(_, paths)| !paths.is_empty()).ok_or_else(usage)?;
    let (_, play) = parlor_fuzz::TARGETS.iter().find(|(name, _)| name == target).ok_or_else(usage)?;
    let mut files = Vec::new();
    for path in paths {
        files.extend(files_of(Path::new(path)).map_err(|error| format!("{path}: {error}"))?);
    }
    for file in &files {
        let bytes = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        // A panic names what is wrong; this, where.
        let name = file.display().to_string();
        let told = Told(&name);
        play(&bytes);
        std::mem::forget(told);
    }
    Ok(format!("{target}: {} files hold", files.len()))
}

/// Says of which file it was when it is dropped in a panic.
struct Told<'a>(&'a str);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        eprintln!("in {}", self.0);
    }
}

fn files_of(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files: Vec<_> = std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.sort();
    Ok(files)
}
