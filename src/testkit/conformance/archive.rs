//! Archived sessions: out of the live tables as a whole, and back as they were.

use std::ops::ControlFlow;

use super::delete_session::{listed, worked_session};
use super::inputs::full_session;
use super::scene::{Factory, Scene, claim_of, ok};
use super::walls::nothing_at;
use crate::error::ErrorKind::{Cancelled, Conflict, NotFound};
use crate::id::SessionId;
use crate::page::PageAt;
use crate::progress::Progress;
use crate::record::{ArchiveRecord, ChangeKind, ContextMark, NewMessage, NewSession, Reason, SessionStatus};
use crate::store::{
    ArchiveRef, ArchiveSession, ArchivesQuery, CreateSession, DeleteArchive, OutboxDelivered, OutboxKey, Outcome,
    RestoreArchive, SessionRef, SetContextMark,
};
use crate::testkit::snapshot::{SessionSnapshot, difference};
use crate::time::{Clock, Duration};

super::subject! {
    an_archived_session_is_not_found_anywhere,
    what_was_archived_is_restored_as_it_was,
    an_archive_says_what_it_holds,
    archives_are_listed_newest_first_with_their_total,
    an_archive_is_reached_through_its_agent,
    a_busy_session_cannot_be_archived,
    a_session_in_any_idle_state_comes_back,
    a_change_while_it_is_archived_stands,
    who_breaks_off_has_changed_nothing,
    the_key_of_an_archived_session_is_free_and_its_id_is_not,
    a_taken_key_refuses_the_restoring,
    a_restored_session_goes_on_where_it_was,
    what_was_used_before_is_used_after_restoring,
    a_restored_session_may_have_a_new_label,
    a_deleted_archive_is_gone_for_good,
    announcements_wait_through_archiving_and_restoring,
    a_session_is_archived_again_and_again,
    a_long_session_comes_back,
    an_empty_session_comes_back,
}

impl Scene {
    pub(super) fn archiving(&self, at: SessionRef) -> ArchiveSession {
        ArchiveSession { stamp: self.stamp(), at, only_at: None }
    }

    #[track_caller]
    pub(super) fn archive(&self, at: SessionRef) -> ArchiveRef {
        self.reference(&ok(self.store.archive_session(self.archiving(at), &mut go_on)))
    }

    pub(super) fn reference(&self, record: &ArchiveRecord) -> ArchiveRef {
        ArchiveRef { workspace: record.workspace_id, agent: record.agent_id, filename: record.filename.clone() }
    }

    pub(super) fn restoring(&self, archive: &ArchiveRef) -> RestoreArchive {
        RestoreArchive { stamp: self.stamp(), archive: archive.clone(), label: None }
    }

    #[track_caller]
    pub(super) fn restore(&self, archive: &ArchiveRef) {
        ok(self.store.restore_archive(self.restoring(archive), &mut go_on));
    }

    pub(super) fn discarding(&self, archive: &ArchiveRef) -> DeleteArchive {
        DeleteArchive { stamp: self.stamp(), archive: archive.clone() }
    }
}

pub(super) fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

pub(super) fn archives(scene: &Scene) -> Vec<ArchiveRecord> {
    let query = ArchivesQuery { workspace: scene.workspace, agent: Some(scene.agent), page: PageAt::default() };
    ok(scene.store.archives(query)).items
}

/// The session as it must be once it was archived and restored, but for the two events that tell of it and when it changed.
#[track_caller]
fn is_as_it_was(scene: &Scene, at: SessionRef, mut before: SessionSnapshot) {
    let mut after = ok(SessionSnapshot::of(&*scene.store, at));
    let told: Vec<_> = after.changes.split_off(before.changes.len()).into_iter().map(|change| change.kind).collect();
    assert_eq!(told, [ChangeKind::Archived, ChangeKind::Restored]);
    assert_eq!(after.record.last_change, before.record.last_change + 2);
    (before.record.last_change, before.record.updated_at) = (after.record.last_change, after.record.updated_at);
    if let Some(difference) = difference(&before, &after) {
        panic!("the session is another one: {difference}");
    }
}

fn an_archived_session_is_not_found_anywhere(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (other, _) = worked_session(&scene, NewSession::default());
    let (at, first) = worked_session(&scene, NewSession::default().key("k"));
    // Read before, so that a store that remembers what it read has to forget it.
    ok(SessionSnapshot::of(&*scene.store, at));
    scene.archive(at);
    nothing_at(&scene, at, &first);
    scene.refused(NotFound, "by its key", |store| store.session_by_key(scene.workspace, scene.agent, "k"));
    scene.refused(NotFound, "archived again", |store| store.archive_session(scene.archiving(at), &mut go_on));
    for agent in [Some(scene.agent), None] {
        let (records, total) = listed(&scene, agent);
        assert_eq!((records.iter().map(|record| record.id).collect::<Vec<_>>(), total), (vec![other.session], 1));
    }
}

fn what_was_archived_is_restored_as_it_was(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, _) = worked_session(&scene, full_session(&scene));
    let mark = Some(ContextMark::new(3, "so far"));
    ok(scene.store.set_context_mark(SetContextMark { stamp: scene.stamp(), at, claim: None, mark }));
    let before = ok(SessionSnapshot::of(&*scene.store, at));
    scene.tick();
    let archive = scene.archive(at);
    scene.tick();
    let restored = ok(scene.store.restore_archive(scene.restoring(&archive), &mut go_on));
    assert_eq!(restored, scene.record(at));
    assert_eq!(restored.updated_at, scene.clock.now());
    is_as_it_was(&scene, at, before);
    scene.refused(NotFound, "an archive that was restored", |store| store.archive(&archive));
    assert_eq!(archives(&scene), []);
}

fn an_archive_says_what_it_holds(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, _) = worked_session(&scene, NewSession::default().key("k").label("l"));
    let session = scene.record(at);
    scene.tick();
    let op = scene.archiving(at);
    let record = ok(scene.store.archive_session(op, &mut go_on));
    assert_eq!(record.filename, op.filename());
    assert_eq!((record.workspace_id, record.agent_id, record.session_id), (scene.workspace, scene.agent, session.id));
    assert_eq!((record.key.as_str(), record.label.as_deref()), ("k", Some("l")));
    assert_eq!((record.messages, record.turns), (session.last_message, 2));
    assert_eq!((record.last_change, record.usage), (session.last_change + 1, session.usage));
    assert_eq!((record.created_at, record.archived_at), (session.created_at, scene.clock.now()));
    assert_eq!(ok(scene.store.archive(&scene.reference(&record))), record);
    assert_eq!(archives(&scene), [record]);
}

fn archives_are_listed_newest_first_with_their_total(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let booker = scene.agent_named(scene.workspace, "booker");
    let beta = scene.workspace_named("beta");
    let theirs = scene.agent_named(beta, "greeter");
    let mut made = Vec::new();
    for (nth, agent) in [scene.agent, scene.agent, booker, scene.agent, booker, scene.agent].into_iter().enumerate() {
        let creation = CreateSession { agent, ..scene.creation(NewSession::default()) };
        let session = ok(scene.store.create_session(creation)).session.id;
        // Two at one time.
        if nth != 3 {
            scene.tick();
        }
        let at = SessionRef { workspace: scene.workspace, session };
        made.insert(0, ok(scene.store.archive_session(scene.archiving(at), &mut go_on)));
    }
    let page = |agent, page, limit| {
        let query = ArchivesQuery { workspace: scene.workspace, agent, page: PageAt { page, limit } };
        let listed = ok(scene.store.archives(query));
        assert_eq!(listed.damaged, []);
        (listed.items, listed.total)
    };
    assert_eq!(page(None, 1, 50), (made.clone(), 6));
    let of = |agent| made.iter().filter(|record| record.agent_id == agent).cloned().collect::<Vec<_>>();
    assert_eq!(page(Some(scene.agent), 1, 50), (of(scene.agent), 4));
    assert_eq!(page(Some(booker), 1, 50), (of(booker), 2));
    assert_eq!(page(Some(scene.agent), 2, 3), (of(scene.agent)[3..].to_vec(), 4));
    assert_eq!(page(None, 9, 50), (vec![], 6));
    let query = ArchivesQuery { workspace: beta, agent: None, page: PageAt::default() };
    assert_eq!(ok(scene.store.archives(query)).total, 0);
    let crossed = ArchivesQuery { workspace: scene.workspace, agent: Some(theirs), page: PageAt::default() };
    scene.refused(NotFound, "of an agent elsewhere", |store| store.archives(crossed));
}

fn an_archive_is_reached_through_its_agent(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let booker = scene.agent_named(scene.workspace, "booker");
    let beta = scene.workspace_named("beta");
    let theirs = scene.agent_named(beta, "greeter");
    let archive = scene.archive(worked_session(&scene, NewSession::default()).0);
    let wrong = [
        ArchiveRef { agent: booker, ..archive.clone() },
        ArchiveRef { workspace: beta, agent: theirs, ..archive.clone() },
        ArchiveRef { workspace: beta, ..archive.clone() },
        ArchiveRef { filename: "../../etc/passwd".into(), ..archive.clone() },
        ArchiveRef { filename: String::new(), ..archive.clone() },
    ];
    for archive in &wrong {
        scene.refused(NotFound, "archive", |store| store.archive(archive));
        scene.refused(NotFound, "restore", |store| store.restore_archive(scene.restoring(archive), &mut go_on));
        scene.refused(NotFound, "delete", |store| store.delete_archive(scene.discarding(archive)));
    }
    scene.restore(&archive);
}

fn a_busy_session_cannot_be_archived(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = scene.busy_session();
    scene.refused(Conflict, "while busy", |store| store.archive_session(scene.archiving(at), &mut go_on));
    scene.enqueue(at, "later");
    let promoted = ok(scene.store.finish(scene.ending(at, claim_of(&sent), Outcome::Completed(None)))).next;
    scene.refused(Conflict, "while busy", |store| store.archive_session(scene.archiving(at), &mut go_on));
    let claim = promoted.map(|started| started.claim).unwrap_or_else(|| panic!("the one that waits is promoted"));
    scene.complete(at, claim);
    scene.archive(at);
}

fn a_session_in_any_idle_state_comes_back(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    for outcome in [
        Outcome::Interrupted(Reason::Closed),
        Outcome::Failed(Reason::Error, Some("why".into())),
        Outcome::Completed(Some(Box::new("done".into()))),
    ] {
        let (at, sent) = scene.busy_session();
        scene.enqueue(at, "never");
        let next = ok(scene.store.interrupt(crate::store::Interrupt {
            stamp: scene.stamp(),
            at,
            turn: None,
            reason: Reason::Request,
            next: Some(scene.runner),
        }));
        let claim = next.and_then(|ended| ended.next).map_or(claim_of(&sent), |next| next.claim);
        scene.finish(at, claim, outcome);
        let before = ok(SessionSnapshot::of(&*scene.store, at));
        assert_ne!(before.record.status, SessionStatus::Running);
        let archive = scene.archive(at);
        scene.restore(&archive);
        is_as_it_was(&scene, at, before);
    }
}

fn a_change_while_it_is_archived_stands(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, _) = worked_session(&scene, NewSession::default());
    let before = scene.messages(at).len();
    let op = scene.archiving(at);
    let answer = scene.store.archive_session(op, &mut |progress: Progress| {
        if progress.is_last() {
            scene.append(at, ["meanwhile".into()]);
        }
        ControlFlow::Continue(())
    });
    assert_eq!(answer.map_err(|error| error.kind()), Err(Conflict));
    assert_eq!((scene.messages(at).len(), archives(&scene)), (before + 1, vec![]));
    // A turn that begins, and one that began and ended.
    let op = scene.archiving(at);
    let answer = scene.store.archive_session(op, &mut |progress: Progress| {
        if progress.is_last() {
            let sent = scene.send(at, "meanwhile");
            scene.complete(at, claim_of(&sent));
        }
        ControlFlow::Continue(())
    });
    assert_eq!(answer.map_err(|error| error.kind()), Err(Conflict));
    let op = scene.archiving(at);
    let answer = scene.store.archive_session(op, &mut |progress: Progress| {
        if progress.is_last() {
            scene.delete_session(at);
        }
        ControlFlow::Continue(())
    });
    assert_eq!(answer.map_err(|error| error.kind()), Err(NotFound));
    assert_eq!(archives(&scene), []);
}

fn who_breaks_off_has_changed_nothing(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, _) = worked_session(&scene, NewSession::default());
    let mut stop = |_: Progress| ControlFlow::Break(());
    scene.refused(Cancelled, "archiving", |store| store.archive_session(scene.archiving(at), &mut stop));
    let before = ok(SessionSnapshot::of(&*scene.store, at));
    let archive = scene.archive(at);
    scene.refused(Cancelled, "restoring", |store| store.restore_archive(scene.restoring(&archive), &mut stop));
    let mut at_the_end =
        |progress: Progress| if progress.is_last() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    scene.refused(Cancelled, "restoring", |store| store.restore_archive(scene.restoring(&archive), &mut at_the_end));
    scene.restore(&archive);
    is_as_it_was(&scene, at, before);
}

fn the_key_of_an_archived_session_is_free_and_its_id_is_not(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let id = scene.uuid();
    let new = || NewSession::default().key("k").id(id);
    let (at, _) = worked_session(&scene, new());
    let archive = scene.archive(at);
    scene.refused(Conflict, "the same creation", |store| store.create_session(scene.creation(new())));
    scene.refused(Conflict, "another creation", |store| {
        store.create_session(scene.creation(NewSession::default().id(id)))
    });
    // The wall between workspaces stands.
    let beta = scene.workspace_named("beta");
    let theirs = scene.agent_named(beta, "greeter");
    ok(scene.store.create_session(CreateSession { workspace: beta, agent: theirs, ..scene.creation(new()) }));
    let other = scene.create(NewSession::default().key("k"));
    assert_eq!(ok(scene.store.session_by_key(scene.workspace, scene.agent, "k")).id, other.id);
    ok(scene.store.delete_archive(scene.discarding(&archive)));
    assert!(!ok(scene.store.create_session(scene.creation(NewSession::default().id(id)))).replayed);
}

fn a_taken_key_refuses_the_restoring(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, _) = worked_session(&scene, NewSession::default().key("k"));
    let before = ok(SessionSnapshot::of(&*scene.store, at));
    let archive = scene.archive(at);
    let other = scene.create(NewSession::default().key("k"));
    let there = SessionRef { workspace: scene.workspace, session: other.id };
    let restore = || scene.store.restore_archive(scene.restoring(&archive), &mut go_on);
    scene.refused(Conflict, "a taken key", |_| restore());
    scene.delete_session(there);
    // Taken while it is being restored.
    let answer = scene.store.restore_archive(scene.restoring(&archive), &mut |progress: Progress| {
        if progress.is_last() {
            scene.create(NewSession::default().key("k"));
        }
        ControlFlow::Continue(())
    });
    assert_eq!(answer.map_err(|error| error.kind()), Err(Conflict));
    let taken = ok(scene.store.session_by_key(scene.workspace, scene.agent, "k"));
    scene.delete_session(SessionRef { session: taken.id, ..there });
    scene.restore(&archive);
    is_as_it_was(&scene, at, before);
}

fn a_restored_session_goes_on_where_it_was(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = worked_session(&scene, NewSession::default());
    let before = scene.record(at);
    let last = scene.messages(at).pop().map(|last| (last.number, last.ts));
    scene.clock.step_back(Duration::from_secs(60));
    let archive = scene.archive(at);
    scene.restore(&archive);
    assert_eq!(scene.record(at).updated_at, before.updated_at, "it does not fall");
    let written = scene.append(at, ["next".into()]).remove(0);
    assert!(Some((written.number - 1, written.ts)) > last, "{written:?} after {last:?}");
    let sent = scene.send(at, "hello");
    assert_eq!(sent.turn.number, 3);
    assert!(claim_of(&sent).epoch > claim_of(&first).epoch);
    scene.refused(crate::error::ErrorKind::Fenced, "an old claim", |store| {
        store.emit(scene.emission(at, claim_of(&first), ["late".into()]))
    });
    scene.emit(at, claim_of(&sent), ["a".into()]);
    scene.complete(at, claim_of(&sent));
    let kinds = scene.changes(at, before.last_change);
    assert_eq!(kinds[..2], [ChangeKind::Archived, ChangeKind::Restored]);
    scene.delete(at, &written);
    scene.delete_session(at);
}

fn what_was_used_before_is_used_after_restoring(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let ids = [scene.uuid(), scene.uuid(), scene.uuid()];
    let new = || NewSession::default().id(ids[0]).key("k");
    let original = scene.create(new());
    let at = SessionRef { workspace: scene.workspace, session: original.id };
    let appended = scene.append(at, [NewMessage::text("a").id(ids[1])]);
    let sent = scene.send(at, NewMessage::text("b").id(ids[2]));
    let ended = scene.complete(at, claim_of(&sent));
    let archive = scene.archive(at);
    scene.restore(&archive);
    assert!(ok(scene.store.create_session(scene.creation(new()))).replayed);
    assert_eq!(scene.append(at, [NewMessage::text("a").id(ids[1])]), appended);
    let again = scene.send(at, NewMessage::text("b").id(ids[2]));
    assert!(again.replayed && again.turn == ended, "{again:?}");
    scene.refused(Conflict, "with other content", |store| {
        store.append(scene.appending(at, [NewMessage::text("c").id(ids[1])]))
    });
}

fn a_restored_session_may_have_a_new_label(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = SessionRef { workspace: scene.workspace, session: scene.create(NewSession::default().label("old")).id };
    let archive = scene.archive(at);
    let op = RestoreArchive { label: Some("new".into()), ..scene.restoring(&archive) };
    assert_eq!(ok(scene.store.restore_archive(op, &mut go_on)).label.as_deref(), Some("new"));
    assert_eq!(scene.record(at).label.as_deref(), Some("new"));
    let archive = scene.archive(at);
    assert_eq!(ok(scene.store.archive(&archive)).label.as_deref(), Some("new"));
}

fn a_deleted_archive_is_gone_for_good(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let before = scene.snapshot();
    let (at, first) = worked_session(&scene, NewSession::default());
    let archive = scene.archive(at);
    ok(scene.store.delete_archive(scene.discarding(&archive)));
    scene.refused(NotFound, "restore", |store| store.restore_archive(scene.restoring(&archive), &mut go_on));
    scene.refused(NotFound, "delete", |store| store.delete_archive(scene.discarding(&archive)));
    nothing_at(&scene, at, &first);
    assert!(scene.snapshot() == before, "nothing is left of it, the outbox included");
}

fn announcements_wait_through_archiving_and_restoring(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, _) = worked_session(&scene, NewSession::default());
    let (other, _) = worked_session(&scene, NewSession::default());
    let rows = ok(scene.store.outbox(100));
    assert_eq!(rows.len(), 4);
    let archive = scene.archive(at);
    assert_eq!(ok(scene.store.outbox(100)), rows, "they stand where they stood");
    assert_eq!(ok(scene.store.outbox_head(at)).as_ref(), rows.first());
    let row = OutboxKey::from(&rows[0]);
    ok(scene.store.outbox_delivered(OutboxDelivered { stamp: scene.stamp(), row }));
    assert_eq!(ok(scene.store.outbox(100)), rows[1..]);
    scene.restore(&archive);
    let mut left = ok(scene.store.outbox(100));
    // It is the youngest session now.
    assert_eq!(
        left.iter().map(|row| row.session_id).collect::<Vec<SessionId>>(),
        [other.session, other.session, at.session]
    );
    left.rotate_right(1);
    assert_eq!(left, rows[1..]);
    scene.delete_session(at);
    assert_eq!(ok(scene.store.outbox(100)), rows[2..]);
}

fn a_session_is_archived_again_and_again(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, _) = worked_session(&scene, NewSession::default().key("k"));
    let mut names = Vec::new();
    for n in 0..10 {
        let archive = scene.archive(at);
        assert!(!names.contains(&archive.filename), "a name is given once");
        names.push(archive.filename.clone());
        scene.restore(&archive);
        assert_eq!(scene.append(at, [NewMessage::text(n.to_string())])[0].text(), n.to_string());
    }
    assert_eq!(archives(&scene), []);
    let said: Vec<_> = scene.messages(at).iter().rev().take(10).map(|message| message.text()).collect();
    assert_eq!(said, ["9", "8", "7", "6", "5", "4", "3", "2", "1", "0"]);
}

fn a_long_session_comes_back(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    for n in 0..6 {
        let batch = (0..400).map(|m| NewMessage::text(format!("{n} {m} {}", "long ".repeat(m))));
        scene.append(at, batch);
        let sent = scene.send(at, "go on");
        scene.finish(at, claim_of(&sent), Outcome::Completed(Some(Box::new(format!("answer {n}").as_str().into()))));
    }
    let gone: Vec<_> = scene.messages(at).into_iter().step_by(7).collect();
    gone.iter().for_each(|message| scene.delete(at, message));
    let before = ok(SessionSnapshot::of(&*scene.store, at));
    let mut told = Vec::new();
    let mut tell = |progress: Progress| {
        told.push(progress);
        ControlFlow::Continue(())
    };
    let archive = ok(scene.store.archive_session(scene.archiving(at), &mut tell));
    ok(scene.store.restore_archive(scene.restoring(&scene.reference(&archive)), &mut tell));
    assert_eq!(
        told.iter().filter(|progress| progress.is_last()).count(),
        2,
        "each says once that it is about to be done"
    );
    is_as_it_was(&scene, at, before);
}

fn an_empty_session_comes_back(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let before = ok(SessionSnapshot::of(&*scene.store, at));
    let archive = scene.archive(at);
    scene.restore(&archive);
    is_as_it_was(&scene, at, before);
}
