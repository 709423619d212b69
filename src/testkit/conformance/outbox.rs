//! Ends that are to be announced: a row in the commit that ends the turn.

use super::scene::{Factory, Scene, claim_of, first_of, ok};
use crate::error::ErrorKind::{Conflict, Fenced, InvalidArgument, NotFound};
use crate::limit::REASON_BYTES;
use crate::record::{
    ChangeKind, NewMessage, NewSession, NewTurn, Reason, Role, TurnState, Webhook, WebhookRow, WebhookSecrets,
    WebhookState,
};
use crate::store::{
    CreateSession, OutboxDelivered, OutboxFailed, OutboxKey, OutboxQuery, OutboxRows, Outcome, Redrive, SessionRef,
    Submit,
};
use crate::time::Timestamp;

super::subject! {
    every_end_of_a_turn_with_a_webhook_has_a_row,
    a_turn_without_a_webhook_has_no_row,
    rows_come_oldest_session_first,
    a_refused_end_announces_nothing,
    only_the_first_pending_row_of_a_session_is_a_head,
    what_was_announced_is_gone,
    a_failed_try_is_kept_with_its_error_and_the_next_time,
    after_the_last_try_a_row_is_dead_and_its_secrets_are_gone,
    a_dead_row_holds_up_no_later_one,
    dead_rows_are_driven_again_where_they_stood,
    dead_rows_need_their_secrets_again,
    pages_of_the_outbox_lose_and_repeat_nothing,
    what_became_of_an_announcement_changes_nothing_else,
    a_row_of_a_session_made_anew_is_another_one,
}

fn webhook(tag: &str) -> Webhook {
    Webhook {
        url: format!("https://example.org/{tag}"),
        token: Some(format!("token {tag}")),
        secret: tag.len().is_multiple_of(2).then(|| format!("secret {tag}")),
        include_messages: tag.len().is_multiple_of(3),
    }
}

fn with_hook(tag: &str) -> NewTurn {
    NewTurn::from("hello").webhook(webhook(tag))
}

/// The number of the event of a session that tells this.
#[track_caller]
fn number_of(scene: &Scene, at: SessionRef, kind: ChangeKind) -> u64 {
    let told = scene.changes(at, 0).iter().position(|told| *told == kind);
    told.map_or_else(|| panic!("{kind:?} is told"), |index| index as u64 + 1)
}

#[track_caller]
fn rows(scene: &Scene) -> Vec<WebhookRow> {
    ok(scene.store.outbox(1000))
}

fn every_end_of_a_turn_with_a_webhook_has_a_row(factory: Factory<'_>) {
    use TurnState::{Completed, Failed, Interrupted};
    let scene = Scene::new(factory);
    let at = scene.session();
    let mut expected = Vec::new();
    for (tag, outcome, status) in [
        ("a", Some(Outcome::Completed(None)), Completed),
        ("bb", Some(Outcome::Completed(Some(Box::new("done".into())))), Completed),
        ("ccc", Some(Outcome::Interrupted(Reason::Closed)), Interrupted),
        ("dddd", Some(Outcome::Failed(Reason::Error, Some("why".into()))), Failed),
        ("followed up", None, Interrupted),
        ("crashed", None, Failed),
    ] {
        let sent = scene.send(at, with_hook(tag));
        assert_eq!(rows(&scene), expected, "{tag}: nothing is announced before the end");
        match (outcome, status) {
            (Some(outcome), _) => drop(scene.finish(at, claim_of(&sent), outcome)),
            (None, Interrupted) => {
                let next = scene.follow_up(at, "without a webhook");
                scene.complete(at, claim_of(&next));
            }
            (None, _) => drop(scene.end_orphans(99, 10)),
        }
        let told = number_of(&scene, at, ChangeKind::Turn(sent.turn.id, status));
        let row = WebhookRow::new(at.workspace, at.session, sent.turn.id, status, webhook(tag), told);
        expected.push(row);
        assert_eq!(rows(&scene), expected, "{tag}: in the order of the ends");
    }
    let first = Some((with_hook("first"), scene.runner));
    let created = ok(scene.store.create_session(CreateSession { first, ..scene.creation(NewSession::default()) }));
    let session = created.session.id;
    let first = first_of(created);
    let at = crate::store::SessionRef { session, ..at };
    scene.complete(at, claim_of(&first));
    let told = number_of(&scene, at, ChangeKind::Turn(first.turn.id, Completed));
    expected.push(WebhookRow::new(at.workspace, session, first.turn.id, Completed, webhook("first"), told));
    assert_eq!(rows(&scene), expected, "of the first turn of a session");
}

fn a_turn_without_a_webhook_has_no_row(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = scene.busy_session();
    scene.complete(at, claim_of(&first));
    scene.send(at, "hello");
    let next = scene.follow_up(at, "no");
    scene.finish(at, claim_of(&next), Outcome::Failed(Reason::Error, None));
    scene.send(at, "hello");
    scene.end_orphans(99, 10);
    assert_eq!(rows(&scene), []);
}

fn rows_come_oldest_session_first(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let sessions = [scene.session(), scene.session(), scene.session()];
    let mut ended = Vec::new();
    for index in [2, 0, 1, 0, 2] {
        let sent = scene.send(sessions[index], with_hook("x"));
        scene.tick();
        scene.complete(sessions[index], claim_of(&sent));
        ended.push((index, sent.turn.id));
    }
    ended.sort_by_key(|(index, _)| *index);
    let expected: Vec<_> = ended.into_iter().map(|(_, turn)| turn).collect();
    for limit in [1, 2, 4, 5, 100] {
        let found: Vec<_> = ok(scene.store.outbox(limit)).into_iter().map(|row| row.turn_id).collect();
        let some: Vec<_> = expected.iter().copied().take(limit as usize).collect();
        assert_eq!(found, some, "at most {limit}");
    }
}

fn a_refused_end_announces_nothing(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let sent = scene.send(at, with_hook("x"));
    let answer = NewMessage::text("a").role(Role::User);
    let ending = scene.ending(at, claim_of(&sent), Outcome::Completed(Some(Box::new(answer))));
    scene.refused(InvalidArgument, "an answer of the user's", |store| store.finish(ending));
    scene.refused(Conflict, "a send while busy", |store| store.submit(scene.submission(at, with_hook("y"))));
    let next = scene.follow_up(at, with_hook("z"));
    let late = scene.ending(at, claim_of(&sent), Outcome::Completed(None));
    scene.refused(Fenced, "a late end", |store| store.finish(late));
    let repeated =
        Submit { new: NewTurn::from("unknown thread").thread(scene.uuid().into()), ..scene.submission(at, "") };
    let repeated = Submit { policy: crate::store::Policy::FollowUp, ..repeated };
    scene.refused(crate::ErrorKind::NotFound, "a follow-up elsewhere", |store| store.submit(repeated));
    scene.complete(at, claim_of(&next));
    let turns: Vec<_> = rows(&scene).into_iter().map(|row| row.turn_id).collect();
    assert_eq!(turns, [sent.turn.id, next.turn.id], "each end once");
}

/// So many ends in a session, each to be announced.
#[track_caller]
fn ended(scene: &Scene, at: SessionRef, tags: &[&str]) -> Vec<WebhookRow> {
    for tag in tags {
        let sent = scene.send(at, with_hook(tag));
        scene.complete(at, claim_of(&sent));
    }
    rows(scene).into_iter().filter(|row| row.session_id == at.session).collect()
}

#[track_caller]
fn delivered(scene: &Scene, row: &WebhookRow) {
    ok(scene.store.outbox_delivered(OutboxDelivered { stamp: scene.stamp(), row: row.into() }));
}

fn failure(scene: &Scene, row: &WebhookRow, next: Option<Timestamp>) -> OutboxFailed {
    OutboxFailed { stamp: scene.stamp(), row: row.into(), error: "no answer".into(), next }
}

#[track_caller]
fn kill(scene: &Scene, row: &WebhookRow) -> WebhookRow {
    ok(scene.store.outbox_failed(failure(scene, row, None)))
}

fn driving(scene: &Scene, at: SessionRef) -> Redrive {
    let (token, secret) = (Some("new token".into()), Some("new secret".into()));
    Redrive { stamp: scene.stamp(), at, turn: None, secrets: WebhookSecrets { token, secret }, limit: 100 }
}

/// All rows, by pages of so many.
#[track_caller]
fn paged(scene: &Scene, rows: OutboxRows, limit: u32) -> Vec<WebhookRow> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = ok(scene.store.outbox_page(OutboxQuery { rows, after, limit }));
        assert!(page.rows.len() <= limit as usize, "a page has at most {limit}");
        all.extend(page.rows);
        after = page.next;
        if after.is_none() {
            return all;
        }
    }
}

fn only_the_first_pending_row_of_a_session_is_a_head(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (one, other, none) = (scene.session(), scene.session(), scene.session());
    let theirs = ended(&scene, other, &["a"]);
    let ours = ended(&scene, one, &["b", "cc"]);
    assert_eq!(paged(&scene, OutboxRows::Heads, 10), [ours[0].clone(), theirs[0].clone()]);
    assert_eq!(ok(scene.store.outbox_head(one)), Some(ours[0].clone()));
    assert_eq!(ok(scene.store.outbox_head(none)), None);
    let later = Timestamp::from_micros(1);
    let failed = ok(scene.store.outbox_failed(failure(&scene, &ours[0], Some(later))));
    assert_eq!(ok(scene.store.outbox_head(one)), Some(failed), "one that failed holds up those after it");
    delivered(&scene, &ours[0]);
    assert_eq!(ok(scene.store.outbox_head(one)), Some(ours[1].clone()));
    let unknown = super::scene::unknown_session(&scene);
    scene.refused(NotFound, "of no session", |store| store.outbox_head(unknown));
}

fn what_was_announced_is_gone(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let before = ended(&scene, at, &["a", "b"]);
    delivered(&scene, &before[0]);
    assert_eq!(rows(&scene), before[1..]);
    let key = OutboxKey::from(&before[0]);
    let elsewhere = OutboxKey { at: scene.session(), ..OutboxKey::from(&before[1]) };
    for (what, row) in [("again", key), ("of another session", elsewhere)] {
        let stamp = scene.stamp();
        scene.refused(NotFound, what, |store| store.outbox_delivered(OutboxDelivered { stamp, row }));
        let late = OutboxFailed { row, ..failure(&scene, &before[0], None) };
        scene.refused(NotFound, what, |store| store.outbox_failed(late));
    }
    delivered(&scene, &before[1]);
    assert_eq!((rows(&scene), ok(scene.store.outbox_head(at))), (Vec::new(), None));
    assert_eq!(ended(&scene, at, &["c"]).len(), 1, "a later end is announced as any");
}

fn a_failed_try_is_kept_with_its_error_and_the_next_time(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let row = ended(&scene, scene.session(), &["bb"]).remove(0);
    for attempts in 1..4 {
        scene.tick();
        let due = Timestamp::from_micros(u64::from(attempts));
        let op = OutboxFailed { error: "\u{1F50A}".repeat(REASON_BYTES), ..failure(&scene, &row, Some(due)) };
        let at = op.stamp.at;
        let failed = ok(scene.store.outbox_failed(op));
        assert_eq!((failed.attempts, failed.due_at, failed.failed_at), (attempts, Some(due), Some(at)));
        assert_eq!(failed.error.as_ref().map(String::len), Some(REASON_BYTES), "the error is cut");
        assert_eq!((failed.state, &failed.webhook), (WebhookState::Pending, &row.webhook));
        assert_eq!(rows(&scene), [failed]);
    }
}

fn after_the_last_try_a_row_is_dead_and_its_secrets_are_gone(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let row = ended(&scene, scene.session(), &["bb"]).remove(0);
    let dead = kill(&scene, &row);
    assert_eq!((dead.state, dead.attempts, dead.error.as_deref()), (WebhookState::Dead, 1, Some("no answer")));
    let webhook = Webhook { token: None, secret: None, ..row.webhook.clone() };
    assert_eq!((&dead.webhook, dead.lacks_token, dead.lacks_secret), (&webhook, true, true));
    assert_eq!((rows(&scene), paged(&scene, OutboxRows::Heads, 10)), (Vec::new(), Vec::new()));
    assert_eq!(paged(&scene, OutboxRows::Dead, 10), [dead]);
    let (stamp, key) = (scene.stamp(), OutboxKey::from(&row));
    scene.refused(NotFound, "a dead one", |store| store.outbox_delivered(OutboxDelivered { stamp, row: key }));
    let late = failure(&scene, &row, None);
    scene.refused(NotFound, "a dead one", |store| store.outbox_failed(late));
}

fn a_dead_row_holds_up_no_later_one(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let all = ended(&scene, at, &["a", "b", "c"]);
    kill(&scene, &all[0]);
    assert_eq!(ok(scene.store.outbox_head(at)), Some(all[1].clone()));
    assert_eq!(rows(&scene), all[1..]);
    let later = ended(&scene, at, &["d"]);
    assert_eq!(later.len(), 3, "nor does it keep new ones out");
    assert_eq!(ok(scene.store.outbox(1)), later[..1]);
}

fn dead_rows_are_driven_again_where_they_stood(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, other) = (scene.session(), scene.session());
    let all = ended(&scene, at, &["bb", "c", "d"]);
    let theirs = kill(&scene, &ended(&scene, other, &["e"])[0]);
    let dead: Vec<_> = all.iter().take(2).map(|row| kill(&scene, row)).collect();
    let one = Redrive { turn: Some(dead[1].turn_id), ..driving(&scene, at) };
    assert_eq!(ok(scene.store.redrive(one.clone())), 1);
    let driven = ok(scene.store.outbox_head(at)).unwrap_or_else(|| panic!("it is pending again"));
    assert_eq!((driven.turn_id, driven.attempts, driven.due_at), (all[1].turn_id, 0, None));
    assert_eq!((driven.webhook.token.as_deref(), &driven.webhook.secret), (Some("new token"), &None));
    assert_eq!(driven.error.as_deref(), Some("no answer"), "why it died is still told");
    scene.refused(NotFound, "again", |store| store.redrive(one));
    assert_eq!(ok(scene.store.redrive(Redrive { limit: 0, ..driving(&scene, at) })), 0);
    assert_eq!(ok(scene.store.redrive(Redrive { limit: 1, ..driving(&scene, at) })), 1);
    assert_eq!(ok(scene.store.redrive(driving(&scene, at))), 0, "nothing is left");
    let order: Vec<_> = rows(&scene).into_iter().map(|row| row.turn_id).collect();
    assert_eq!(order, [all[0].turn_id, all[1].turn_id, all[2].turn_id]);
    assert_eq!(paged(&scene, OutboxRows::Dead, 1), [theirs], "another session's are left alone");
}

fn dead_rows_need_their_secrets_again(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let all = ended(&scene, at, &["a", "bb"]);
    all.iter().for_each(|row| drop(kill(&scene, row)));
    let mut no_secret = driving(&scene, at);
    no_secret.secrets.secret = None;
    scene.refused(InvalidArgument, "one had a secret", |store| store.redrive(no_secret));
    let mut no_token = driving(&scene, at);
    no_token.secrets.token = None;
    scene.refused(InvalidArgument, "all had a token", |store| store.redrive(no_token));
    assert_eq!(ok(scene.store.redrive(driving(&scene, at))), 2);
    let secrets: Vec<_> = rows(&scene).into_iter().map(|row| row.webhook.secret).collect();
    assert_eq!(secrets, [None, Some("new secret".into())], "one that had none gets none");
    let unknown = driving(&scene, super::scene::unknown_session(&scene));
    scene.refused(NotFound, "of no session", |store| store.redrive(unknown));
}

fn pages_of_the_outbox_lose_and_repeat_nothing(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let sessions = [(); 4].map(|()| scene.session());
    let (mut heads, mut dead) = (Vec::new(), Vec::new());
    for (at, killed) in sessions.into_iter().zip([0, 3, 1, 2]) {
        let all = ended(&scene, at, &["a", "bb", "c"]);
        dead.extend(all.iter().take(killed).map(|row| kill(&scene, row)));
        heads.extend(all.get(killed).cloned());
    }
    for limit in [1, 2, 3, 100] {
        assert_eq!(paged(&scene, OutboxRows::Heads, limit), heads, "heads, {limit} a page");
        assert_eq!(paged(&scene, OutboxRows::Dead, limit), dead, "dead ones, {limit} a page");
    }
    let first = ok(scene.store.outbox_page(OutboxQuery { rows: OutboxRows::Heads, after: None, limit: 1 }));
    scene.delete_session(sessions[0]);
    let rest = ok(scene.store.outbox_page(OutboxQuery { rows: OutboxRows::Heads, after: first.next, limit: 9 }));
    assert_eq!(rest.rows, heads[1..], "also when the session it goes on after is gone");
    scene.delete_session(sessions[1]);
    dead.retain(|row| row.session_id != sessions[1].session);
    assert_eq!(paged(&scene, OutboxRows::Dead, 2), dead);
}

fn what_became_of_an_announcement_changes_nothing_else(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let all = ended(&scene, at, &["a", "bb", "c"]);
    let before = ok(super::super::snapshot::SessionSnapshot::of(&*scene.store, at));
    scene.tick();
    delivered(&scene, &all[0]);
    ok(scene.store.outbox_failed(failure(&scene, &all[1], Some(Timestamp::from_micros(5)))));
    kill(&scene, &all[1]);
    ok(scene.store.redrive(driving(&scene, at)));
    assert!(before == ok(super::super::snapshot::SessionSnapshot::of(&*scene.store, at)));
}

fn a_row_of_a_session_made_anew_is_another_one(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let id = scene.uuid();
    let at = SessionRef { workspace: scene.workspace, session: id.into() };
    scene.create(NewSession::default().id(id));
    let old = ended(&scene, at, &["a"]).remove(0);
    scene.delete_session(at);
    scene.create(NewSession::default().id(id));
    let new = ended(&scene, at, &["a"]).remove(0);
    assert_eq!(new.number, old.number);
    let (stamp, row) = (scene.stamp(), OutboxKey::from(&old));
    scene.refused(NotFound, "the old one", |store| store.outbox_delivered(OutboxDelivered { stamp, row }));
}
