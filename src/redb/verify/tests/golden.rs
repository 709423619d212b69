//! The golden files have rows of every form, and docs/format.md has all of those.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::planted::Planted;
use super::{FORMS, Row};
use crate::redb::file;
use crate::redb::tables::{FORMAT_VERSION, Table};
use crate::redb::writer::Shared;
use crate::redb::{BLOCK, Options};

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of this version's format, but for the logs.
fn files() -> Vec<PathBuf> {
    let folder = project().join(format!("tests/golden/format{FORMAT_VERSION}"));
    let found = std::fs::read_dir(folder).expect("the golden files").map(|file| file.expect("it is there").path());
    found.filter(|path| path.extension().is_some_and(|ending| ending == "parlor")).collect()
}

/// What is in a file and its log, with nothing cleared away.
fn planted(golden: &Path) -> Planted {
    let dir = tempfile::tempdir().expect("a directory");
    for ending in ["parlor", "parlor-log"] {
        let from = golden.with_extension(ending);
        if from.exists() {
            std::fs::copy(from, dir.path().join("a").with_extension(ending)).expect("a copy");
        }
    }
    let opened = file::open(&dir.path().join("a.parlor"), Options::default()).expect("it opens");
    let shared = Shared::new(opened, BLOCK).expect("it can be read");
    let planted = Planted::of(&*shared.snapshot().expect("it is open"));
    shared.close().expect("it closes");
    planted
}

#[test]
fn the_golden_files_have_no_breach_and_rows_of_every_form() {
    let mut forms = BTreeSet::new();
    for golden in files() {
        let planted = planted(&golden);
        assert_eq!(planted.breaches(), Vec::<String>::new(), "{}", golden.display());
        forms.extend(planted.rows().iter().map(Row::what));
    }
    let missing: Vec<&str> = FORMS.iter().map(|form| form.what).filter(|what| !forms.contains(what)).collect();
    assert_eq!(missing, Vec::<&str>::new(), "the golden files are to have rows of every form: see docs/format.md");
}

/// The keys of the tables that docs/format.md lists: of which table, and what tells them from its others.
fn documented() -> BTreeSet<(Table, Option<u8>)> {
    let text = std::fs::read_to_string(project().join("docs/format.md")).expect("it is there");
    let (mut table, mut keys) = (None, BTreeSet::new());
    let rows = text.lines().skip_while(|line| !line.starts_with("| table | tag |")).skip(2);
    for row in rows.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let named = |of: &Table| cells.get(1).is_some_and(|cell| *cell == format!("`{}`", of.name()));
        table = Table::ALL.into_iter().find(named).or(table);
        let tag = cells.get(3).and_then(|key| key.split('`').nth(1)).and_then(|tag| u8::from_str_radix(tag, 16).ok());
        keys.extend(table.map(|table| (table, tag)));
    }
    keys
}

#[test]
fn the_documentation_of_the_format_lists_the_keys_of_every_form() {
    let known: BTreeSet<_> = FORMS.iter().map(|form| (form.table, form.tag)).collect();
    assert_eq!(documented(), known);
}
