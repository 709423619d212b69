//! Lines of anybody's are taken in whole, or refused; nothing of it breaks the store.

use parlor::{Engine, ErrorKind, ImportOptions, Workspace};

/// Where the bytes are lines of parlor's, and where they may be of any form.
pub fn lines(data: &[u8]) {
    let engine = Engine::in_memory().open().expect("an engine");
    let workspace = engine.workspace("fuzz").expect("a workspace");
    let any = workspace.agent("any").expect("an agent");
    let imports = [workspace.import(data, ImportOptions::default()), any.import(data, ImportOptions::default())];
    for refused in imports.iter().filter_map(|import| import.as_ref().err()) {
        let known = [
            ErrorKind::InvalidArgument,
            ErrorKind::Corrupt,
            ErrorKind::Conflict,
            ErrorKind::TooLarge,
            ErrorKind::NewerFormat,
        ];
        assert!(known.contains(&refused.kind()), "{refused:?}");
    }
    assert_eq!(engine.verify().expect("it can be read"), Vec::<String>::new());
    come_back(&workspace);
    engine.close().expect("it closes");
}

/// What is there can be exported, and comes back the same.
fn come_back(workspace: &Workspace) {
    let (engine, mut lines) = (Engine::in_memory().open().expect("an engine"), Vec::new());
    workspace.export(&mut lines).expect("it is exported");
    engine.import(&*lines, ImportOptions::default()).expect("it is imported");
    let mut again = Vec::new();
    let there = engine.workspace(workspace.name()).expect("it is there");
    there.export(&mut again).expect("it is exported");
    let body = |lines: &[u8]| lines.split(|byte| *byte == b'\n').skip(1).map(<[u8]>::to_vec).collect::<Vec<_>>();
    assert_eq!(body(&lines), body(&again));
}
