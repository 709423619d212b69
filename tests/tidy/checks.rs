//! The invariants of ARCHITECTURE.md that can be read in the sources. Each check answers with its breaches.

use crate::source::{Named, Source};

const ALL_RUST: [&str; 6] = ["src", "tests", "examples", "fuzz", "benches", "crates"];
const MOST_LINES: usize = 500;

/// The rooms of the house, from the ground up. A room names only those that stand before it.
const ROOMS: [&str; 32] = [
    "error",
    "limit",
    "time",
    "sync",
    "bug",
    "id",
    "progress",
    "record",
    "page",
    "wire",
    "store",
    "lines",
    "transcript",
    "redb",
    "model",
    "bell",
    "poll",
    "tail",
    "live",
    "grant",
    "shared",
    "delivery",
    "trace",
    "here",
    "wait",
    "follow",
    "watch",
    "agent",
    "executor",
    "scope",
    "engine",
    "testkit",
];

/// Rooms that only some of those above them may name.
const ONLY_FOR: [(&str, &[&str]); 4] = [
    ("bug", &["redb", "model", "executor", "testkit"]),
    ("redb", &["engine", "testkit"]),
    ("model", &["testkit"]),
    ("wire", &[]),
];

fn breach(source: &Source, line: usize, what: impl std::fmt::Display) -> String {
    format!("{}:{line}: {what}", source.path)
}

/// Paths of the library that begin with one of these, in files where they may not.
fn named(sources: &[Source], starts: &[&str], may: fn(&str) -> bool) -> Vec<String> {
    let begins = |named: &Named, start: &str| {
        let known: Vec<&str> = start.split("::").collect();
        let whole = named.imported || named.segments.len() > known.len() || known.len() > 1;
        whole && named.segments.iter().map(String::as_str).take(known.len()).eq(known)
    };
    let mut breaches = Vec::new();
    for source in sources.iter().filter(|source| source.is_library() && !may(&source.path)) {
        for path in source.paths() {
            if let Some(start) = starts.iter().find(|start| begins(&path, start)) {
                breaches.push(breach(source, path.line, format_args!("names {start}")));
            }
        }
    }
    breaches
}

pub fn redb_stays_in_its_room(sources: &[Source]) -> Vec<String> {
    named(sources, &["redb"], |path| path.starts_with("src/redb/"))
}

pub fn bincode_stays_in_the_codec(sources: &[Source]) -> Vec<String> {
    named(sources, &["bincode"], |path| path.starts_with("src/redb/codec/") || path == "src/redb/codec.rs")
}

pub fn locks_channels_and_threads_come_through_sync(sources: &[Source]) -> Vec<String> {
    let libraries = ["parking_lot", "crossbeam_channel", "crossbeam", "shuttle"];
    let starts = [&libraries[..], &["std::thread", "std::sync", "core::sync", "alloc::sync"]].concat();
    named(sources, &starts, |path| path == "src/sync.rs")
}

pub fn clocks_come_through_time(sources: &[Source]) -> Vec<String> {
    named(sources, &["std::time", "core::time"], |path| path == "src/time.rs")
}

pub fn panics_are_caught_at_three_doors(sources: &[Source]) -> Vec<String> {
    let mut breaches = Vec::new();
    let doors = ["src/executor/run.rs", "src/delivery/worker.rs", "src/redb/fault.rs"];
    for source in sources.iter().filter(|source| source.is_library() && !source.path.starts_with("src/testkit/")) {
        let catches = |path: &&Named| path.segments.last().is_some_and(|last| last == "catch_unwind");
        if !doors.contains(&&*source.path) {
            breaches
                .extend(source.paths().iter().filter(catches).map(|path| breach(source, path.line, "catches panics")));
        }
    }
    breaches
}

/// Which room a file of the library stands in; the root of the crate stands in none.
fn room(path: &str) -> Option<&str> {
    let inner = path.strip_prefix("src/")?;
    Some(inner.split_once('/').map_or(inner, |(folder, _)| folder).trim_end_matches(".rs"))
        .filter(|name| *name != "lib")
}

pub fn arrows_point_down(sources: &[Source]) -> Vec<String> {
    let mut breaches = Vec::new();
    for source in sources.iter().filter(|source| source.is_library()) {
        let Some(here) = room(&source.path) else { continue };
        let Some(height) = ROOMS.iter().position(|name| *name == here) else {
            breaches.push(breach(source, 1, format_args!("{here} is no known room: give it its place in ROOMS")));
            continue;
        };
        // A file directly in `src`, or the head of a folder, reaches the root by one `super`.
        let is_head = source.path == format!("src/{here}.rs") || source.path == format!("src/{here}/mod.rs");
        let own_part = |name: &str| {
            sources.iter().any(|other| {
                other.path == format!("src/{here}/{name}.rs") || other.path == format!("src/{here}/{name}/mod.rs")
            })
        };
        for path in source.paths() {
            let there = match path.segments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["crate", there, ..] => there,
                ["super", there, ..] if is_head && ROOMS.contains(&there) && !own_part(there) => there,
                _ => continue,
            };
            let open_to = ONLY_FOR.iter().find(|(name, _)| *name == there).map(|(_, rooms)| rooms);
            let what = match ROOMS.iter().position(|name| *name == there) {
                // The kit is written as its users write: with the names of the root.
                None if here == "testkit" => continue,
                None => "of the root: name the room it stands in",
                Some(_) if here == there => continue,
                Some(other) if other > height => "above it",
                Some(_) if open_to.is_some_and(|rooms| !rooms.contains(&here)) => "not open to it",
                Some(_) => continue,
            };
            breaches.push(breach(source, path.line, format_args!("{here} names {there}, {what}")));
        }
    }
    breaches
}

pub fn no_file_is_too_long(sources: &[Source]) -> Vec<String> {
    let rust = sources.iter().filter(|source| source.is_rust_in(&ALL_RUST));
    let long = rust.filter_map(|source| {
        let lines = source.text.lines().count();
        (lines > MOST_LINES).then(|| breach(source, lines, format_args!("{lines} lines; at most {MOST_LINES}")))
    });
    long.collect()
}

pub fn nothing_is_left_unfinished(sources: &[Source]) -> Vec<String> {
    let mut breaches = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust_in(&ALL_RUST)) {
        for (index, line) in source.prose.lines().enumerate() {
            let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            for mark in ["TODO", "FIXME", "XXX"].into_iter().filter(|mark| words.contains(mark)) {
                breaches.push(breach(source, index + 1, mark));
            }
        }
        for (index, line) in source.code.lines().enumerate() {
            let tight: String = line.chars().filter(|c| !c.is_whitespace()).collect();
            for mark in ["todo!", "unimplemented!", "#[ignore", "dbg!"].into_iter().filter(|mark| tight.contains(mark))
            {
                breaches.push(breach(source, index + 1, mark));
            }
        }
    }
    breaches
}

pub fn nobody_sleeps(sources: &[Source]) -> Vec<String> {
    let mut breaches = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust_in(&ALL_RUST)) {
        let sleeps = |path: &&Named| {
            path.segments.len() > 1
                && path.segments.last().is_some_and(|last| ["sleep", "sleep_ms", "sleep_until"].contains(&&**last))
        };
        breaches.extend(source.paths().iter().filter(sleeps).map(|path| breach(source, path.line, "sleeps")));
    }
    breaches
}

/// Where nobody else can follow: hosts of package registries, and folders of one machine.
pub fn no_file_names_a_registry_or_a_machine(sources: &[Source]) -> Vec<String> {
    let hosts = ["crates.io", "index.crates.io", "static.crates.io", "rsproxy.cn", "pypi.org", "registry.npmjs.org"];
    let folders = ["home", "root", "Users", "tmp", "var", "work", "opt", "mnt"];
    let mut breaches = Vec::new();
    // The lock file is written by cargo, which names where packages come from.
    for source in sources.iter().filter(|source| !source.path.ends_with("Cargo.lock")) {
        for (index, line) in source.text.lines().enumerate() {
            if let Some(host) = hosts.iter().find(|host| line.contains(&format!("://{host}"))) {
                breaches.push(breach(source, index + 1, format_args!("names {host}")));
            }
            for folder in folders {
                // As the beginning of a path, and not as a part of a longer one or of a URL.
                let begins = |at: &(usize, &str)| {
                    !line[..at.0].ends_with(|c: char| c.is_alphanumeric() || "/.}*_-)".contains(c))
                };
                if line.match_indices(&format!("/{folder}/")).any(|at| begins(&at)) {
                    breaches.push(breach(source, index + 1, format_args!("names /{folder}")));
                }
            }
        }
    }
    breaches
}

pub fn unsafe_code_is_forbidden(sources: &[Source]) -> Vec<String> {
    let is_root = |source: &&Source| {
        source.path == "src/lib.rs"
            || source.is_rust_in(&["crates"])
                && (source.path.ends_with("/src/lib.rs") || source.path.ends_with("/src/main.rs"))
    };
    let roots = sources.iter().filter(is_root);
    roots
        .filter(|source| !source.code.contains("#![forbid(unsafe_code)]"))
        .map(|source| breach(source, 1, "allows unsafe"))
        .collect()
}

pub fn the_readme_names_every_example(sources: &[Source]) -> Vec<String> {
    let readme = sources.iter().find(|source| source.path == "README.md").map_or("", |source| &source.text);
    let unnamed = sources.iter().filter_map(|source| {
        let inner = source.path.strip_prefix("examples/")?;
        let name =
            inner.strip_suffix("/main.rs").or_else(|| inner.strip_suffix(".rs").filter(|name| !name.contains('/')))?;
        (!readme.contains(&format!("--example {name}"))).then(|| breach(source, 1, "is not in README.md"))
    });
    unnamed.collect()
}

/// Where hashes of secrets are made and compared, and where what somebody brought is held against what is kept.
const LOOKS_AT_HASHES: [&str; 2] = ["src/record/secret.rs", "src/engine/access.rs"];

/// What somebody brought is held against what is kept in one place, which takes as long whatever the answer is.
pub fn secrets_are_compared_in_constant_time(sources: &[Source]) -> Vec<String> {
    let mut breaches = Vec::new();
    let place = sources.iter().find(|source| source.path == LOOKS_AT_HASHES[0]);
    let comparing = place.and_then(|place| place.code.split_once("fn is(")).map_or("", |(_, after)| after);
    let comparing = comparing.split_once("\n    }").map_or("", |(body, _)| body);
    if !comparing.contains(".ct_eq(") {
        breaches.push(format!("{}:1: Presented::is does not compare by ct_eq", LOOKS_AT_HASHES[0]));
    }
    for source in sources.iter().filter(|source| LOOKS_AT_HASHES.contains(&source.path.as_str())) {
        let library = source.code.split_once("#[cfg(test)]").map_or(source.code.as_str(), |(library, _)| library);
        for (index, line) in library.lines().enumerate() {
            let compares = line.split_whitespace().any(|word| ["==", "!="].contains(&word));
            if compares && line.contains("hash") {
                breaches.push(breach(source, index + 1, "compares a hash as it stands"));
            }
        }
    }
    breaches
}

/// Each promise of SECURITY.md names tests, as a file and a function, and they are there, and are run.
pub fn every_promise_names_tests_that_are_there(sources: &[Source]) -> Vec<String> {
    let Some(page) = sources.iter().find(|source| source.path == "SECURITY.md") else {
        return vec!["SECURITY.md:1: it is not there".into()];
    };
    let (_, promises) = page.text.split_once("## Promises").unwrap_or_default();
    let (promises, _) = promises.split_once("## ").unwrap_or((promises, ""));
    let mut breaches = Vec::new();
    for row in promises.lines().filter(|line| line.starts_with("| ")).skip(1) {
        let named: Vec<_> = row.split('`').filter_map(|text| text.split_once(".rs::")).collect();
        if named.is_empty() {
            breaches.push(breach(page, 1, format_args!("names no test: {row}")));
        }
        for (path, name) in named {
            let path = format!("{path}.rs");
            let source = sources.iter().find(|source| source.path == path);
            let before = source.and_then(|source| source.text.split_once(&format!("fn {name}(")));
            let Some((before, _)) = before else {
                breaches.push(breach(page, 1, format_args!("there is no {path}::{name}")));
                continue;
            };
            // Between the attribute and the function there are other attributes and comments, at most.
            let (above, _) = before.rsplit_once('\n').unwrap_or_default();
            let above = above.lines().rev().map(str::trim);
            let mut above = above.take_while(|line| line.starts_with("#[") || line.starts_with("//"));
            if !above.any(|line| line == "#[test]") {
                breaches.push(breach(page, 1, format_args!("{path}::{name} is no test")));
            }
        }
    }
    breaches
}

pub fn the_readme_names_every_limit(sources: &[Source]) -> Vec<String> {
    let readme = sources.iter().find(|source| source.path == "README.md").map_or("", |source| &source.text);
    let mut breaches = Vec::new();
    for source in sources.iter().filter(|source| source.path == "src/limit.rs") {
        for (index, line) in source.code.lines().enumerate() {
            let Some((name, _)) = line.strip_prefix("pub const ").and_then(|rest| rest.split_once(':')) else {
                continue;
            };
            if !readme.contains(&format!("`{name}`")) {
                breaches.push(breach(source, index + 1, format_args!("{name} is not in README.md")));
            }
        }
    }
    breaches
}

/// The oldest compiler is named twice: for cargo, and for clippy.
pub fn one_oldest_compiler_is_named(sources: &[Source]) -> Vec<String> {
    let value = |path: &str, key: &str| {
        let text = &sources.iter().find(|source| source.path == path)?.text;
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix('='))?;
        Some(line.trim().trim_matches('"').to_owned())
    };
    let (cargo, clippy) = (value("Cargo.toml", "rust-version"), value("clippy.toml", "msrv"));
    if cargo.is_some() && cargo == clippy {
        Vec::new()
    } else {
        vec![format!("clippy.toml:1: {clippy:?}, Cargo.toml has {cargo:?}")]
    }
}
