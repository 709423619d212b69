//! Archives through a stream: what comes back is what went out, or nothing.

use std::ops::ControlFlow;

use super::archive::{archives, go_on};
use super::delete_session::worked_session;
use super::inputs::full_session;
use super::scene::{Factory, Scene, ok};
use crate::error::ErrorKind::{Cancelled, Conflict, Corrupt, NotFound, Storage};
use crate::progress::Progress;
use crate::record::NewSession;
use crate::store::{ArchiveRef, DeleteArchive, ImportArchive, ImportIds, SessionRef};
use crate::testkit::snapshot::SessionSnapshot;

super::subject! {
    what_was_exported_is_imported_as_it_was,
    a_session_that_is_there_refuses_the_import,
    an_import_with_new_ids_is_another_session,
    an_import_belongs_to_the_agent_that_asks,
    a_stream_that_is_no_archive_changes_nothing,
    who_breaks_off_an_import_has_changed_nothing,
}

impl Scene {
    #[track_caller]
    pub(super) fn export(&self, archive: &ArchiveRef) -> Vec<u8> {
        let mut stream = Vec::new();
        self.unchanged("an export", |store| ok(store.export_archive(archive, &mut stream, &mut go_on)));
        stream
    }

    pub(super) fn importing(&self, ids: ImportIds) -> ImportArchive {
        ImportArchive { stamp: self.stamp(), workspace: self.workspace, agent: self.agent, ids }
    }

    #[track_caller]
    pub(super) fn discard(&self, archive: &ArchiveRef) {
        ok(self.store.delete_archive(DeleteArchive { stamp: self.stamp(), archive: archive.clone() }));
    }
}

fn what_was_exported_is_imported_as_it_was(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, _) = worked_session(&scene, full_session(&scene));
    let archive = scene.archive(at);
    let before = ok(scene.store.archive(&archive));
    let stream = scene.export(&archive);
    // To know how it reads without the way through the stream.
    scene.restore(&archive);
    let mut due = ok(SessionSnapshot::of(&*scene.store, at));
    let archive = scene.archive(at);
    scene.discard(&archive);
    let longer = [&stream[..], b"more"].concat();
    let mut rest = &longer[..];
    let op = scene.importing(ImportIds::Keep);
    let record = ok(scene.store.import_archive(op, &mut rest, &mut go_on));
    assert_eq!(rest, b"more", "it reads no further than the archive");
    assert_eq!(record.filename, op.filename(at.session));
    assert_eq!(crate::record::ArchiveRecord { filename: before.filename.clone(), ..record.clone() }, before);
    assert_eq!(archives(&scene), std::slice::from_ref(&record));
    scene.restore(&scene.reference(&record));
    let after = ok(SessionSnapshot::of(&*scene.store, at));
    due.record.updated_at = after.record.updated_at;
    assert!(after == due, "{after:#?}\n{due:#?}");
    assert_eq!(ok(scene.store.outbox(100)), [], "nothing of it is announced again");
}

fn a_session_that_is_there_refuses_the_import(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, _) = worked_session(&scene, NewSession::default());
    let archive = scene.archive(at);
    let stream = scene.export(&archive);
    let import = || scene.store.import_archive(scene.importing(ImportIds::Keep), &mut &stream[..], &mut go_on);
    scene.refused(Conflict, "one that is archived", |_| import());
    scene.restore(&archive);
    scene.refused(Conflict, "one that is live", |_| import());
    // Made while it is being imported.
    scene.delete_session(at);
    let answer =
        scene.store.import_archive(scene.importing(ImportIds::Keep), &mut &stream[..], &mut |progress: Progress| {
            if progress.is_last() {
                scene.create(NewSession::default().id(*at.session.as_uuid()));
            }
            ControlFlow::Continue(())
        });
    assert_eq!(answer.map_err(|error| error.kind()), Err(Conflict));
    scene.delete_session(at);
    ok(import());
}

fn an_import_with_new_ids_is_another_session(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, _) = worked_session(&scene, NewSession::default().id(scene.uuid()).key("k"));
    let archive = scene.archive(at);
    let stream = scene.export(&archive);
    scene.restore(&archive);
    let op = scene.importing(ImportIds::New);
    let record = ok(scene.store.import_archive(op, &mut &stream[..], &mut go_on));
    assert_eq!(record.session_id, op.stamp.uuid(1).into());
    scene.refused(Conflict, "its key is taken", |store| {
        store.restore_archive(scene.restoring(&scene.reference(&record)), &mut go_on)
    });
    let original = ok(SessionSnapshot::of(&*scene.store, at));
    scene.delete_session(at);
    scene.restore(&scene.reference(&record));
    let there = SessionRef { session: record.session_id, ..at };
    let copy = ok(SessionSnapshot::of(&*scene.store, there));
    assert_eq!(copy.changes, original.changes);
    let ids = |snapshot: &SessionSnapshot| snapshot.messages.iter().map(|message| message.id).collect::<Vec<_>>();
    assert_eq!(ids(&copy), ids(&original));
    assert!(copy.messages.iter().all(|message| message.session_id == there.session));
    scene.append(there, ["it goes on".into()]);
}

fn an_import_belongs_to_the_agent_that_asks(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let beta = scene.workspace_named("beta");
    let booker = scene.agent_named(beta, "booker");
    let (at, _) = worked_session(&scene, NewSession::default());
    let stream = scene.export(&scene.archive(at));
    let elsewhere = ImportArchive { workspace: beta, ..scene.importing(ImportIds::Keep) };
    scene.refused(NotFound, "an agent of another workspace", |store| {
        store.import_archive(elsewhere, &mut &stream[..], &mut go_on)
    });
    let op = ImportArchive { workspace: beta, agent: booker, ..scene.importing(ImportIds::Keep) };
    let record = ok(scene.store.import_archive(op, &mut &stream[..], &mut go_on));
    assert_eq!((record.workspace_id, record.agent_id, record.session_id), (beta, booker, at.session));
    scene.restore(&scene.reference(&record));
    assert_eq!(scene.record(SessionRef { workspace: beta, ..at }).agent_name, "booker");
    assert_eq!(archives(&scene).len(), 1, "the original is where it was");
}

/// A stream that fails.
struct Broken;

impl std::io::Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("broken"))
    }
}

impl std::io::Write for Broken {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("broken"))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn a_stream_that_is_no_archive_changes_nothing(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let archive = scene.archive(worked_session(&scene, NewSession::default()).0);
    let stream = scene.export(&archive);
    scene.discard(&archive);
    let cut = &stream[..stream.len() - 1];
    for wrong in [
        &b""[..],
        b"parlorxx",
        b"a stream of any bytes that is longer than a header, and no archive at all, is none",
        cut,
    ] {
        scene.refused(Corrupt, "no archive", |store| {
            store.import_archive(scene.importing(ImportIds::Keep), &mut &wrong[..], &mut go_on)
        });
    }
    let archive = scene.archive(scene.session());
    scene.refused(Storage, "a stream that cannot be written", |store| {
        store.export_archive(&archive, &mut Broken, &mut go_on)
    });
}

fn who_breaks_off_an_import_has_changed_nothing(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let archive = scene.archive(worked_session(&scene, NewSession::default()).0);
    let stream = scene.export(&archive);
    scene.discard(&archive);
    let mut stop = |_: Progress| ControlFlow::Break(());
    let import = |on: &mut crate::progress::OnProgress<'_>| {
        scene.store.import_archive(scene.importing(ImportIds::Keep), &mut &stream[..], on)
    };
    scene.refused(Cancelled, "an import", |_| import(&mut stop));
    ok(import(&mut go_on));
}
