//! The memory that reading everything takes.

use std::path::Path;
use std::process::Command;

use parlor::page::MessageQuery;
use parlor::{Engine, limit};

use crate::args::Size;
use crate::disk;
use crate::line::{Better, Line};
use crate::peer::Result;
use crate::peer::parlor::Parlor;
use crate::run::{A_MILLION, Run};

const MEBIBYTE: f64 = (1 << 20) as f64;

/// Lets a process of its own read every message, and asks how much memory it had at the most.
pub fn of_everything(run: &mut Run<'_>, directory: &Path) -> Result {
    let cache = limit::CACHE_BYTES_DEFAULT as f64 / MEBIBYTE;
    let work = "memory of a scan of a million messages";
    if run.wants(work) {
        let line = Line::new(work, "MiB", Better::Less);
        let line = line.on("the most resident, beyond what was before opening", "32 MiB, the default");
        let line = if run.size == Size::Quick {
            line.skipped(A_MILLION)
        } else {
            let child = Command::new(std::env::current_exe()?).arg("child-scan").arg(directory).output()?;
            let said = String::from_utf8(child.stdout)?;
            let bytes: f64 = said.trim().parse().map_err(|_| format!("the child said {said:?}"))?;
            line.measured([("parlor".to_owned(), bytes / MEBIBYTE)])
        };
        run.push(line.at_most(cache + 64.0, cache + 16.0))?;
    }
    Ok(())
}

/// The child: reads every message of every session, and prints the bytes it took.
pub fn scan(directory: &Path) -> Result {
    let (before, _) = disk::memory()?;
    let engine = Engine::builder(Parlor::file(directory)).open()?;
    let workspace = engine.workspace("rivals")?;
    let (mut page, mut messages) = (1, 0u64);
    loop {
        let found = workspace.sessions((page, limit::PAGE_LIMIT_MAX))?;
        for session in &found.items {
            for message in workspace.session(session.id)?.messages(MessageQuery::all().limit(100)).iter() {
                message?;
                messages += 1;
            }
        }
        if page >= found.meta.total_pages {
            break;
        }
        page += 1;
    }
    let (_, most) = disk::memory()?;
    if messages == 0 {
        return Err("there is nothing to read".into());
    }
    println!("{}", most.saturating_sub(before));
    Ok(engine.close()?)
}
