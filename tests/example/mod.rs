//! Where Cargo put the replay example, for the tests that run it as a process.

use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{env, fs};

/// The example as Cargo built it beside the tests. `cargo test --test …` alone does not build it.
///
/// # Panics
///
/// When it is missing, or older than what it is made of: an old one would pass or fail for the
/// wrong reasons.
pub fn replay() -> PathBuf {
    let test = env::current_exe().expect("the path of this test");
    let profile = test.parent().and_then(Path::parent).expect("a test stands in target/<profile>/deps");
    let replay = profile.join("examples").join(format!("replay{}", env::consts::EXE_SUFFIX));
    let cure = "`cargo build --example replay`, in the profile of the test, makes it";
    assert!(replay.exists(), "{} is missing; {cure}", replay.display());

    // Cargo writes beside it what it is made of: `path: source source …`, blanks escaped.
    let made_of = fs::read_to_string(replay.with_extension("d")).expect("the example's list of sources");
    let sources = made_of.trim_end().split_once(": ").map_or("", |(_, sources)| sources).replace("\\ ", "\0");
    for source in sources.split(' ').map(|source| source.replace('\0', " ")) {
        assert!(changed(Path::new(&source)) <= changed(&replay), "{} is older than {source}; {cure}", replay.display());
    }
    replay
}

/// When a file was last written; one that is gone counts as written just now.
fn changed(file: &Path) -> SystemTime {
    fs::metadata(file).and_then(|file| file.modified()).unwrap_or_else(|_| SystemTime::now())
}
