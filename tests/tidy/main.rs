//! The house is in order: reads the project's sources and holds the invariants of ARCHITECTURE.md.

mod checks;
mod handles;
mod source;

use source::Source;

type Check = fn(&[Source]) -> Vec<String>;

fn holds(check: Check) {
    let sources = source::project();
    assert!(sources.iter().any(|source| source.path == "src/lib.rs"), "the sources were not found");
    let breaches = check(&sources);
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

macro_rules! hold {
    ($($check:ident)*) => {
        $(
            #[test]
            fn $check() {
                holds(checks::$check);
            }
        )*
    };
}

hold!(
    redb_stays_in_its_room
    bincode_stays_in_the_codec
    locks_channels_and_threads_come_through_sync
    clocks_come_through_time
    panics_are_caught_at_three_doors
    arrows_point_down
    no_file_is_too_long
    nothing_is_left_unfinished
    nobody_sleeps
    no_file_names_a_registry_or_a_machine
    the_readme_names_every_example
    the_readme_names_every_limit
    one_oldest_compiler_is_named
    every_promise_names_tests_that_are_there
);

#[test]
fn handles_are_checked_by_the_table() {
    holds(handles::handles_are_checked_by_the_table);
}

#[test]
fn unsafe_code_is_forbidden() {
    holds(checks::unsafe_code_is_forbidden);
}

#[test]
fn secrets_are_compared_in_constant_time() {
    holds(checks::secrets_are_compared_in_constant_time);
}

#[test]
fn a_secret_that_is_compared_as_it_stands_is_seen() {
    let check = checks::secrets_are_compared_in_constant_time;
    let is = |how: &str| format!("impl Presented {{\n    fn is(&self) -> bool {{\n        {how}\n    }}\n}}");
    let (right, wrong) = (is("self.hash.ct_eq(stored).into()"), is("self.hash == *stored"));
    says(check, &[("src/record/secret.rs", &right), ("src/engine/access.rs", "kind == other")], &[]);
    let place = "src/record/secret.rs";
    let breaches = [
        "src/record/secret.rs:1: Presented::is does not compare by ct_eq",
        "src/record/secret.rs:3: compares a hash as it stands",
    ];
    says(check, &[(place, &wrong)], &breaches);
    let other = [(place, right.as_str()), ("src/engine/access.rs", "let same = stored.hash == presented;")];
    says(check, &other, &["src/engine/access.rs:1: compares a hash as it stands"]);
}

#[test]
fn a_handle_that_is_reached_past_the_table_is_seen() {
    let table = ("src/grant/act.rs", "acts! {\n    A: \"Session::get\" => Chat,\n    B: \"Session::gone\" => Chat,\n}");
    let handle = "pub struct Session {\n    core: Door,\n}\nimpl Session {\n    pub fn get(&self) { self.core.store(Act::A) }\n    \
                  pub fn more(&self) { self.core.shared.open() }\n}\nimpl Iterator for Session {\n    fn next(&mut self) {}\n}";
    let breaches = [
        "src/scope/a.rs:1: Session::more is not in src/grant/act.rs",
        "src/scope/a.rs:1: Session::next is not in src/grant/act.rs",
        "src/grant/act.rs:1: there is no Session::gone",
        "src/grant/act.rs:1: nobody asks for Act::B",
        "src/scope/a.rs:6: goes to the store past src/scope/door.rs",
    ];
    says(handles::handles_are_checked_by_the_table, &[table, ("src/scope/a.rs", handle)], &breaches);
}

/// What a check says of files that are not the project's.
#[track_caller]
fn says(check: Check, files: &[(&str, &str)], expected: &[&str]) {
    let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
    assert_eq!(check(&sources), expected);
}

#[test]
fn a_foreign_name_is_seen_wherever_it_is_hidden() {
    let redb = checks::redb_stays_in_its_room;
    says(redb, &[("src/scope.rs", "//! redb\nuse redb::Database;\n")], &["src/scope.rs:2: names redb"]);
    says(redb, &[("src/scope.rs", "fn f() {\n    let x = ::redb::Key;\n}")], &["src/scope.rs:2: names redb"]);
    says(redb, &[("src/scope.rs", "use {std::fmt,\n    redb as r};")], &["src/scope.rs:2: names redb"]);
    says(
        redb,
        &[
            ("src/redb/mod.rs", "use redb::Key;"),
            ("src/engine.rs", "use crate::{fmt, redb::Redb};\nlet redb = \"redb::\";"),
        ],
        &[],
    );

    let bincode = checks::bincode_stays_in_the_codec;
    says(
        bincode,
        &[("src/redb/tables.rs", "#[derive(bincode::Encode)] struct A;")],
        &["src/redb/tables.rs:1: names bincode"],
    );
    says(
        bincode,
        &[("src/redb/codec/rows.rs", "use bincode::Encode;"), ("src/redb/codec.rs", "use bincode::Encode;")],
        &[],
    );

    let sync = checks::locks_channels_and_threads_come_through_sync;
    let uses = "use std::{fmt, sync::{Arc, mpsc}};\nuse parking_lot::Mutex;\nfn f() { std::thread::spawn(g); crossbeam_channel::bounded(1); shuttle::hint::spin_loop(); }";
    let breaches = [
        "1: names std::sync",
        "1: names std::sync",
        "2: names parking_lot",
        "3: names std::thread",
        "3: names crossbeam_channel",
        "3: names shuttle",
    ];
    let breaches = breaches.map(|breach| format!("src/wait.rs:{breach}"));
    says(
        sync,
        &[("src/wait.rs", uses), ("src/sync.rs", uses), ("tests/a.rs", uses)],
        &breaches.each_ref().map(String::as_str),
    );
    says(
        sync,
        &[("src/wait.rs", "use crate::sync::Arc; /* std::sync */ // std::thread\nlet a = r#\"std::sync::\"#;")],
        &[],
    );

    let time = checks::clocks_come_through_time;
    says(time, &[("src/id.rs", "fn f(d: std::time::Duration) {}")], &["src/id.rs:1: names std::time"]);
    says(time, &[("src/time.rs", "use std::time::Instant;"), ("src/model/tests.rs", "use std::time::Instant;")], &[]);
}

#[test]
fn a_fourth_door_for_panics_is_seen() {
    let doors = checks::panics_are_caught_at_three_doors;
    let catches = "fn f() {\n    std::panic::catch_unwind(g);\n}";
    let breaches = ["src/scope/mod.rs:2: catches panics"];
    says(doors, &[("src/scope/mod.rs", catches), ("src/redb/fault.rs", catches), ("tests/a.rs", catches)], &breaches);
}

#[test]
fn an_arrow_that_points_up_or_past_a_wall_is_seen() {
    let arrows = checks::arrows_point_down;
    says(
        arrows,
        &[("src/page/query.rs", "use crate::{error::Error,\n    store::{self, Store}};")],
        &["src/page/query.rs:2: page names store, above it", "src/page/query.rs:2: page names store, above it"],
    );
    says(
        arrows,
        &[("src/redb/mod.rs", "fn f() { crate::agent::run() }")],
        &["src/redb/mod.rs:1: redb names agent, above it"],
    );
    says(arrows, &[("src/scope.rs", "use crate::redb::Redb;")], &["src/scope.rs:1: scope names redb, not open to it"]);
    says(arrows, &[("src/store.rs", "use super::engine::Engine;")], &["src/store.rs:1: store names engine, above it"]);
    says(
        arrows,
        &[("src/time.rs", "use crate::Result;")],
        &["src/time.rs:1: time names Result, of the root: name the room it stands in"],
    );
    says(arrows, &[("src/cellar.rs", "")], &["src/cellar.rs:1: cellar is no known room: give it its place in ROOMS"]);
    let sound = [
        ("src/lib.rs", "pub use crate::engine::Engine;"),
        ("src/engine.rs", "use crate::{redb::Redb, store::Store}; use crate::scope::*;"),
        (
            "src/redb/mod.rs",
            "mod scope; use self::scope::a; use super::store::Store; mod tests { use super::scope::a; }",
        ),
        ("src/redb/scope.rs", "/// [`Engine`](crate::Engine)\nuse crate::redb::tables;"),
        ("src/testkit/conformance.rs", "use crate::model::Model; use crate::redb::Redb;"),
    ];
    says(arrows, &sound, &[]);
}

#[test]
fn what_is_long_unfinished_or_asleep_is_seen() {
    let long = "\n".repeat(501);
    says(
        checks::no_file_is_too_long,
        &[("tests/a.rs", &long), ("a.md", &long)],
        &["tests/a.rs:501: 501 lines; at most 500"],
    );
    says(checks::no_file_is_too_long, &[("src/a.rs", &long[1..])], &[]);

    let unfinished = checks::nothing_is_left_unfinished;
    says(unfinished, &[("src/a.rs", "\n// TODO: more\n")], &["src/a.rs:2: TODO"]);
    says(
        unfinished,
        &[("examples/a.rs", "/* FIXME */ fn f() { todo!() }")],
        &["examples/a.rs:1: FIXME", "examples/a.rs:1: todo!"],
    );
    says(
        unfinished,
        &[("tests/a.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() { unimplemented ! () }")],
        &["tests/a.rs:2: #[ignore", "tests/a.rs:3: unimplemented!"],
    );
    says(
        unfinished,
        &[("src/a.rs", "let a = \"TODO todo!\"; let b = '\"'; // a mastodon's todo! list\nfn ignore() {}")],
        &[],
    );

    let sleeps = checks::nobody_sleeps;
    says(sleeps, &[("tests/a.rs", "use std::thread;\nfn f() { thread::sleep(d); }")], &["tests/a.rs:2: sleeps"]);
    says(sleeps, &[("src/a.rs", "use std::thread::{spawn, sleep as nap};")], &["src/a.rs:1: sleeps"]);
    says(sleeps, &[("src/a.rs", "let sleep = asleep(); // thread::sleep")], &[]);
}

#[test]
fn a_place_that_nobody_else_can_reach_is_seen() {
    let places = checks::no_file_names_a_registry_or_a_machine;
    let home = format!("see {}a/b\nand {}", concat!("/ho", "me/"), concat!("https:/", "/crates.io/crates/redb"));
    says(places, &[("docs/a.md", &home)], &["docs/a.md:1: names /home", "docs/a.md:2: names crates.io"]);
    let run = format!("cd {}x", concat!("/wo", "rk/"));
    says(places, &[(".ci/run", &run)], &[".ci/run:1: names /work"]);
    says(
        places,
        &[("Cargo.lock", &home[30..]), ("a.rs", "\"https://a.example/work/1\" ../tmp/x $dir/tmp/ src/work/")],
        &[],
    );
}

#[test]
fn what_a_manifest_a_root_or_the_readme_forgets_is_seen() {
    let unsafe_code = checks::unsafe_code_is_forbidden;
    says(unsafe_code, &[("src/lib.rs", "// #![forbid(unsafe_code)]")], &["src/lib.rs:1: allows unsafe"]);
    says(
        unsafe_code,
        &[("crates/parlor-cli/src/main.rs", "fn main() {}")],
        &["crates/parlor-cli/src/main.rs:1: allows unsafe"],
    );
    says(unsafe_code, &[("src/lib.rs", "#![forbid(unsafe_code)]")], &[]);

    let examples =
        [("examples/a.rs", ""), ("examples/b/main.rs", ""), ("examples/b/part.rs", ""), ("examples/c.rs", "")];
    let readme = ("README.md", "cargo run --example c");
    let both = ["examples/a.rs:1: is not in README.md", "examples/b/main.rs:1: is not in README.md"];
    says(checks::the_readme_names_every_example, &[&examples[..], &[readme]].concat(), &both);

    let limits = ("src/limit.rs", "/// A.\npub const A_BYTES: usize = 1;\npub const B: u32 = 2;");
    let readme = ("README.md", "| `A_BYTES` | 1 |");
    says(checks::the_readme_names_every_limit, &[limits, readme], &["src/limit.rs:3: B is not in README.md"]);

    let promises = "# Security\n## Promises\n| promise | held by |\n|---|---|\n| one | `tests/a.rs::is_held` |\n| two | hope |\n\
                    | three | `tests/a.rs::is_not_held`, `tests/b.rs::is_held` |\n## Out of scope\n| `tests/c.rs::x` |";
    let named = ["SECURITY.md:1: names no test: | two | hope |", "SECURITY.md:1: there is no tests/a.rs::is_not_held"];
    let named = [&named[..], &["SECURITY.md:1: there is no tests/b.rs::is_held"]].concat();
    let sources = [("SECURITY.md", promises), ("tests/a.rs", "#[test]\n// It is.\n#[cfg(unix)]\nfn is_held() {}")];
    says(checks::every_promise_names_tests_that_are_there, &sources, &named);
    let named = [&["SECURITY.md:1: tests/a.rs::is_held is no test"], &named[..]].concat();
    let sources = [sources[0], ("tests/a.rs", "#[test]\nfn other() {}\n\nfn is_held() {}")];
    says(checks::every_promise_names_tests_that_are_there, &sources, &named);

    let manifest = ("Cargo.toml", "[package]\nrust-version = \"1.90\"");
    let oldest = checks::one_oldest_compiler_is_named;
    says(oldest, &[manifest, ("clippy.toml", "msrv = \"1.90\"")], &[]);
    says(
        oldest,
        &[manifest, ("clippy.toml", "msrv = \"1.91\"")],
        &[r#"clippy.toml:1: Some("1.91"), Cargo.toml has Some("1.90")"#],
    );
    says(oldest, &[manifest], &[r#"clippy.toml:1: None, Cargo.toml has Some("1.90")"#]);
}
