//! The law of the cursor: who follows the link to new messages sees each later one exactly once.

use super::super::reader::{Reader, Step};
use super::super::rng::Rng;
use super::inputs::ts;
use super::scene::{Factory, Scene, claim_of, ok};
use crate::limit::CALLER_TS_MICROS;
use crate::page::{Direction, Form, Link, MessageQuery, Roles, Types};
use crate::record::{Message, MessageType, NewMessage, Role};
use crate::store::{Outcome, SessionRef};
use crate::time::{Duration, Timestamp};

super::subject! {
    a_reader_that_follows_the_link_sees_every_later_message_once,
    a_reader_with_a_page_of_one_sees_every_later_message_once,
    a_reader_of_a_thread_sees_every_later_message_of_it_once,
    a_reader_of_an_empty_session_begins_at_its_first_message,
}

fn begin(scene: &Scene, at: SessionRef, query: MessageQuery) -> Reader {
    ok(Reader::begin(&[&*scene.store], at, Link { form: Form::Session(at.session), query }))
}

fn follow(reader: &mut Reader, scene: &Scene) -> Vec<Message> {
    reader.go(&[&*scene.store], Step::New, None).to_vec()
}

/// Moves the clock somewhere, as clocks of machines do.
fn disturb(scene: &Scene, rng: &mut Rng) {
    match rng.below(8) {
        0 => scene.clock.step_back(Duration::from_micros(rng.below(10_000_000))),
        1 => scene.clock.advance(Duration::from_micros(rng.below(10_000_000))),
        2 => scene.clock.advance(Duration::from_micros(1)),
        3 if rng.percent(10) => scene.clock.set(Timestamp::from_micros(rng.below(CALLER_TS_MICROS))),
        _ => {}
    }
}

fn any_message(scene: &Scene, rng: &mut Rng) -> NewMessage {
    let kind = rng.one([MessageType::Message, MessageType::ToolCall]);
    let mut new = NewMessage::text("a").role(rng.one(Role::ALL)).kind(kind);
    let now = crate::Clock::now(&scene.clock).as_micros().min(CALLER_TS_MICROS - 1_000_000);
    match rng.below(5) {
        0 => new.ts = Some(ts(now.saturating_sub(rng.below(5_000_000)))),
        1 => new.ts = Some(ts(now + rng.below(1_000_000))),
        _ => {}
    }
    new
}

/// Some of all that writes and deletes.
fn write_something(scene: &Scene, at: SessionRef, rng: &mut Rng) {
    disturb(scene, rng);
    let batch: Vec<_> = (0..=rng.below(4)).map(|_| any_message(scene, rng)).collect();
    match rng.below(4) {
        0 => drop(scene.append(at, batch)),
        1 => {
            let all = scene.messages(at);
            if let Some(message) = rng.pick(&all) {
                scene.delete(at, message);
            }
        }
        _ => {
            let sent = scene.send(at, "a");
            scene.emit(at, claim_of(&sent), batch);
            scene.finish(at, claim_of(&sent), Outcome::Completed(Some(Box::new("done".into()))));
        }
    }
}

/// Readers that begin at any time and read now and then, while all kinds of things are written.
fn walk(factory: Factory<'_>, seed: u64, limit: u32) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let mut rng = Rng::new(seed);
    let mut readers: Vec<Reader> = Vec::new();
    for round in 0..40 {
        write_something(&scene, at, &mut rng);
        if round % 5 == 0 {
            let direction = rng.one(Direction::ALL);
            let types =
                rng.one([Types::ALL, Types::only(MessageType::Message), Types::only(MessageType::FinalMessage)]);
            let roles = rng.one([Roles::ALL, Roles::only(Role::Assistant), Roles::only(Role::User).with(Role::Tool)]);
            let query = MessageQuery::default().types(types).roles(roles).limit(limit).direction(direction);
            readers.push(begin(&scene, at, query));
        }
        for reader in &mut readers {
            if rng.percent(40) {
                follow(reader, &scene);
            }
        }
    }
    readers.into_iter().for_each(|reader| reader.finish(&[&*scene.store]));
}

fn a_reader_that_follows_the_link_sees_every_later_message_once(factory: Factory<'_>) {
    (0..8).for_each(|seed| walk(factory, seed, 5));
}

fn a_reader_with_a_page_of_one_sees_every_later_message_once(factory: Factory<'_>) {
    (100..103).for_each(|seed| walk(factory, seed, 1));
}

fn a_reader_of_a_thread_sees_every_later_message_of_it_once(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = scene.busy_session();
    scene.complete(at, claim_of(&first));
    let query = MessageQuery::all().thread(first.turn.thread_id).limit(2);
    let mut reader = begin(&scene, at, query);
    let mut rng = Rng::new(7);
    for _ in 0..20 {
        write_something(&scene, at, &mut rng);
        let sent = scene.send(at, crate::NewTurn::from("again").thread(first.turn.thread_id));
        scene.complete(at, claim_of(&sent));
        if rng.percent(50) {
            follow(&mut reader, &scene);
        }
    }
    reader.finish(&[&*scene.store]);
}

fn a_reader_of_an_empty_session_begins_at_its_first_message(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    scene.clock.set(Timestamp::default());
    let at = scene.session();
    let mut reader = begin(&scene, at, MessageQuery::all());
    let written = scene.append(at, [NewMessage::text("a").ts(ts(0)), "b".into()]);
    assert_eq!(follow(&mut reader, &scene), written);
}
