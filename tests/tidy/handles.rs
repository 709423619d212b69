//! Nothing is reachable around the grant of an access key: the handles and the one table of what they need.

use std::collections::BTreeSet;

use crate::source::Source;

const TABLE: &str = "src/grant/act.rs";
/// The rooms in which handles stand.
const ROOMS: [&str; 4] = ["src/scope/", "src/follow/", "src/wait/", "src/watch"];
/// The one way from a handle to the store.
const DOOR: &str = "src/scope/door.rs";
/// What makes a value a handle: it holds one of these.
const HOLDS: [&str; 5] = ["Door", "Pass", "Arc<Core>", "Arc<Shared>", "Follow"];
/// What traits ask of a handle that does nothing.
const HARMLESS: [&str; 5] = ["fmt", "clone", "drop", "into_iter", "deref"];

fn rooms(sources: &[Source]) -> impl Iterator<Item = &Source> {
    sources.iter().filter(|source| source.is_library() && ROOMS.iter().any(|room| source.path.starts_with(room)))
}

/// The name after a keyword at the beginning of what is left of a line.
fn name_after<'a>(line: &'a str, keyword: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(keyword)?;
    Some(rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default())
}

/// The public types that hold the engine, or a way to it.
fn handles(sources: &[Source]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for source in rooms(sources) {
        let mut open = None;
        for line in source.code.lines() {
            open = match (name_after(line, "pub struct "), line) {
                (Some(name), _) => Some(name.to_owned()),
                (None, "}") => None,
                _ => open,
            };
            if let Some(name) = &open
                && HOLDS.iter().any(|held| line.contains(&format!(": {held}")))
            {
                found.insert(name.clone());
            }
        }
    }
    found
}

/// What can be called on handles from outside, each as `Type::method`, with its file.
fn methods(sources: &[Source]) -> Vec<(String, String)> {
    let handles = handles(sources);
    let mut found = Vec::new();
    for source in rooms(sources) {
        // The type, and whether it is a trait's.
        let mut block: Option<(String, bool)> = None;
        for line in source.code.lines() {
            if line.starts_with("impl") {
                let of = line.split(" for ").last().unwrap_or_default();
                let of = of.strip_prefix("impl ").unwrap_or(of);
                let name = of.trim_start_matches('&').split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
                block = handles.contains(name).then(|| (name.to_owned(), line.contains(" for ")));
            } else if line == "}" {
                block = None;
            }
            let Some((of, is_trait)) = &block else { continue };
            let keyword = if *is_trait { "    fn " } else { "    pub fn " };
            if let Some(method) = name_after(line, keyword).filter(|method| !HARMLESS.contains(method)) {
                found.push((format!("{of}::{method}"), source.path.clone()));
            }
        }
    }
    found
}

/// The texts of the table that name methods, and the acts.
fn table(sources: &[Source]) -> (BTreeSet<String>, Vec<String>) {
    let Some(table) = sources.iter().find(|source| source.path == TABLE) else { return Default::default() };
    let (mut named, mut acts) = (BTreeSet::new(), Vec::new());
    for line in table.text.lines().filter(|line| !line.trim_start().starts_with("//")) {
        let Some((before, rest)) = line.split_once('"') else { continue };
        let Some((methods, _)) = rest.split_once('"').filter(|(methods, _)| methods.contains("::")) else { continue };
        named.extend(methods.split(", ").map(str::to_owned));
        acts.extend(before.trim().strip_suffix(':').map(str::to_owned));
    }
    (named, acts)
}

/// Every method of a handle has its row, every row its method and somebody who asks for it, and no handle has another way to the store.
pub fn handles_are_checked_by_the_table(sources: &[Source]) -> Vec<String> {
    let (named, acts) = table(sources);
    let methods = methods(sources);
    let without = methods.iter().filter(|(method, _)| !named.contains(method));
    let mut breaches: Vec<_> = without.map(|(method, path)| format!("{path}:1: {method} is not in {TABLE}")).collect();
    let is_there = |row: &&String| methods.iter().any(|(method, _)| method == *row);
    breaches.extend(named.iter().filter(|row| !is_there(row)).map(|row| format!("{TABLE}:1: there is no {row}")));
    for act in acts {
        let asks = format!("Act::{act}");
        let asked = |source: &Source| {
            source
                .code
                .match_indices(&asks)
                .any(|(at, _)| !source.code[at + asks.len()..].starts_with(|c: char| c.is_alphanumeric()))
        };
        if !rooms(sources).any(asked) {
            breaches.push(format!("{TABLE}:1: nobody asks for {asks}"));
        }
    }
    for source in sources.iter().filter(|source| source.path.starts_with("src/scope/") && source.path != DOOR) {
        for (line, text) in (1..).zip(source.code.lines()) {
            if text.contains("shared.open(") || text.contains("shared.store(") || text.contains("shared().store(") {
                breaches.push(format!("{}:{line}: goes to the store past {DOOR}", source.path));
            }
        }
    }
    breaches
}
