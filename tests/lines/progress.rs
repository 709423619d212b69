//! How far an import is, and what there is of it then.

use std::ops::ControlFlow;

use parlor::{Engine, ErrorKind, ImportOptions, ImportReport, Progress, Result};

use super::scene::{agent, assert_whole, busy_with_tools, empty, lines, rich};

/// Sessions of an engine, and workspaces.
fn there(engine: &Engine) -> (u64, u64) {
    let workspaces = engine.workspaces(()).expect("workspaces").items;
    let sessions = |name: &str| {
        let workspace = engine.find_workspace(name).expect("it can be read").expect("it is there");
        workspace.sessions(()).expect("sessions").meta.total
    };
    (workspaces.iter().map(|workspace| sessions(&workspace.name)).sum(), workspaces.len() as u64)
}

/// Imports lines, breaking off at the call of this number: what there was at each call, and what came of it.
fn broken_off(text: &str, at: usize) -> (Engine, Vec<(u64, u64)>, Result<ImportReport>) {
    let (engine, mut seen) = (empty(), Vec::new());
    let imported = engine.import_with(text.as_bytes(), ImportOptions::default(), |_: Progress| {
        seen.push(there(&engine));
        if seen.len() > at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_whole(&engine);
    (engine, seen, imported)
}

#[test]
fn whoever_imports_is_asked_before_anything_shows() {
    let engine = busy_with_tools();
    for (workspace, key) in [("acme", "one"), ("acme", "two"), ("acme", "three"), ("globex", "one")] {
        rich(&engine, workspace, key);
    }
    agent(&engine, "a nobody", "nothing");
    let text = lines(&engine);
    let (_, seen, imported) = broken_off(&text, usize::MAX);
    assert_eq!(imported.expect("it is imported").sessions, 4);
    assert_eq!((seen.first(), seen.last()), (Some(&(0, 0)), Some(&(4, 3))), "{seen:?}");
    let steps = seen.windows(2).map(|pair| (pair[1].0 - pair[0].0, pair[1].1 - pair[0].1));
    assert!(steps.into_iter().all(|(sessions, workspaces)| sessions <= 1 && workspaces <= 1), "{seen:?}");
    // The last call is made once all is there: nothing can be broken off any more.
    let calls = seen.len();
    for at in 0..calls - 1 {
        let (engine, seen, imported) = broken_off(&text, at);
        assert_eq!(imported.expect_err("it is broken off").kind(), ErrorKind::Cancelled);
        assert_eq!(seen.last(), Some(&there(&engine)), "nothing has come since call {at}");
        assert!(there(&engine).0 < 4, "call {at} comes before the last session shows");
    }
    broken_off(&text, calls - 1).2.expect("all is there");
}
