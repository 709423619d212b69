//! Ends that are to be announced: a row in the commit that ends the turn.

use super::scene::{Factory, Scene, claim_of, first_of, ok};
use crate::error::ErrorKind::{Conflict, Fenced, InvalidArgument};
use crate::record::{NewMessage, NewSession, NewTurn, Reason, Role, TurnState, Webhook, WebhookRow};
use crate::store::{CreateSession, Outcome, Submit};

super::subject! {
    every_end_of_a_turn_with_a_webhook_has_a_row,
    a_turn_without_a_webhook_has_no_row,
    rows_come_oldest_session_first,
    a_refused_end_announces_nothing,
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
        let row = WebhookRow::new(at.workspace, at.session, sent.turn.id, status, webhook(tag));
        expected.push(row);
        assert_eq!(rows(&scene), expected, "{tag}: in the order of the ends");
    }
    let first = Some((with_hook("first"), scene.runner));
    let created = ok(scene.store.create_session(CreateSession { first, ..scene.creation(NewSession::default()) }));
    let session = created.session.id;
    let first = first_of(created);
    let at = crate::store::SessionRef { session, ..at };
    scene.complete(at, claim_of(&first));
    expected.push(WebhookRow::new(at.workspace, session, first.turn.id, Completed, webhook("first")));
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
