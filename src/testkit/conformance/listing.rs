//! `messages`: every filter and page against plain filtering of all messages.

use super::inputs::ts;
use super::scene::{Factory, Scene, claim_of, ok};
use crate::page::{Direction, Matching, Roles, Types};
use crate::record::{Message, MessageType, NewMessage, NewTurn, Role, Ts};
use crate::store::{Append, Matched, Outcome, SessionRef};
use crate::testkit::snapshot::EVERY;

super::subject! {
    every_filter_and_page_is_that_of_all_messages,
    every_page_of_every_size_follows_the_one_before,
    paging_past_a_number_neither_skips_nor_repeats,
    a_page_past_the_end_is_empty_with_its_total,
    a_session_without_messages_lists_none,
    a_thread_without_messages_lists_none,
    history_is_the_newest_of_everything,
}

/// What a listing is, said plainly.
fn plainly(all: &[Message], matching: Matching) -> Matched {
    let matches = |message: &&Message| {
        matching.types.contains(message.kind)
            && matching.roles.contains(message.role)
            && message.ts > matching.gts
            && matching.thread.is_none_or(|thread| message.thread_id == Some(thread))
    };
    let found: Vec<&Message> = all.iter().filter(matches).collect();
    let mut items = found.clone();
    match matching.direction {
        Direction::Asc => items.retain(|message| matching.past.is_none_or(|past| message.number > past)),
        Direction::Desc => {
            items.retain(|message| matching.past.is_none_or(|past| message.number < past));
            items.reverse();
        }
    }
    let skip = usize::try_from(matching.offset).unwrap_or(usize::MAX);
    let before = (found.len() - items.len() + skip.min(items.len())) as u64;
    Matched {
        items: items.into_iter().skip(skip).take(matching.limit as usize).cloned().collect(),
        total: found.len() as u64,
        before,
        newest: found.iter().map(|message| message.ts).max(),
        damaged: Vec::new(),
    }
}

/// A session with every type and role, in two threads and none, with gaps where messages were deleted.
fn mixed_session(scene: &Scene) -> (SessionRef, Vec<Message>) {
    let (at, first) = scene.busy_session();
    let mut made = Vec::new();
    for role in Role::ALL {
        for kind in [MessageType::Message, MessageType::ToolCall] {
            made.push(NewMessage::text("emitted").role(role).kind(kind));
        }
    }
    scene.emit(at, claim_of(&first), made);
    scene.finish(at, claim_of(&first), Outcome::Completed(Some(Box::new("answer".into()))));
    let mut appended = Vec::new();
    for kind in MessageType::ALL {
        for role in Role::ALL {
            appended.push(NewMessage::text("appended").role(role).kind(kind));
        }
    }
    scene.clock.step_back(crate::time::Duration::from_secs(5));
    scene.append(at, appended.clone());
    let second = scene.send(at, "second");
    scene.finish(at, claim_of(&second), Outcome::Completed(Some(Box::new("answer".into()))));
    let thread = Some(second.turn.thread_id);
    ok(scene.store.append(Append { thread, ..scene.appending(at, appended) }));
    let all = scene.messages(at);
    for message in all.iter().filter(|message| message.number % 5 == 0 || message.number % 7 == 3) {
        scene.delete(at, message);
    }
    (at, scene.messages(at))
}

/// Every set but the empty one.
fn all_types() -> impl Iterator<Item = Types> {
    (1..1 << MessageType::ALL.len())
        .map(|bits: u32| MessageType::ALL.into_iter().filter(|kind| bits & 1 << *kind as u32 != 0).collect())
}

/// Every set but the empty one.
fn all_roles() -> impl Iterator<Item = Roles> {
    (1..1 << Role::ALL.len())
        .map(|bits: u32| Role::ALL.into_iter().filter(|role| bits & 1 << *role as u32 != 0).collect())
}

/// Cursors before, at, between and after the messages.
fn cursors(all: &[Message]) -> Vec<Ts> {
    let middle = all.get(all.len() / 2).map_or(0, |message| message.ts.as_micros());
    let last = all.last().map_or(0, |message| message.ts.as_micros());
    vec![Ts::ZERO, ts(middle), ts(last - 1), ts(last)]
}

fn every_filter_and_page_is_that_of_all_messages(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, all) = mixed_session(&scene);
    let mut threads: Vec<_> = all.iter().filter_map(|message| message.thread_id).map(Some).collect();
    threads.dedup();
    threads.push(None);
    let last = all.last().map_or(0, |message| message.number);
    let pasts = [None, Some(0), Some(5), Some(last / 2), Some(last), Some(u32::MAX)];
    let pages = [(0, 100), (0, 3), (2, 4), (30, 100), (u64::MAX, 1)];
    let mut pick = 0;
    for types in all_types() {
        for roles in all_roles() {
            for direction in Direction::ALL {
                for thread in &threads {
                    for gts in cursors(&all) {
                        // Each combination of filters meets another past and another page.
                        pick += 1;
                        let (past, (offset, limit)) = (pasts[pick % pasts.len()], pages[pick % pages.len()]);
                        let matching = Matching { thread: *thread, types, roles, gts, past, direction, offset, limit };
                        assert_eq!(ok(scene.store.messages(at, matching)), plainly(&all, matching), "{matching:?}");
                    }
                }
            }
        }
    }
    for past in pasts {
        for (offset, limit) in pages {
            for direction in Direction::ALL {
                let roles = Roles::only(Role::Assistant).with(Role::Tool);
                let matching = Matching { past, offset, limit, direction, roles, ..EVERY };
                assert_eq!(ok(scene.store.messages(at, matching)), plainly(&all, matching), "{matching:?}");
            }
        }
    }
}

fn every_page_of_every_size_follows_the_one_before(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, all) = mixed_session(&scene);
    for roles in [Roles::ALL, Roles::only(Role::Assistant)] {
        for direction in Direction::ALL {
            let whole = plainly(&all, Matching { roles, direction, ..EVERY });
            for limit in [1, 2, 7, 100, 1000] {
                let mut items = Vec::new();
                let mut offset = 0;
                while offset < whole.total {
                    let found = ok(scene.store.messages(at, Matching { roles, direction, offset, limit, ..EVERY }));
                    assert_eq!((found.total, found.newest), (whole.total, whole.newest), "offset {offset} of {limit}");
                    items.extend(found.items);
                    offset += u64::from(limit);
                }
                assert_eq!(items, whole.items, "{roles:?} {direction:?} by {limit}");
            }
        }
    }
}

fn paging_past_a_number_neither_skips_nor_repeats(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, all) = mixed_session(&scene);
    for direction in Direction::ALL {
        let types = Types::only(MessageType::ToolCall).with(MessageType::Message);
        let expected = plainly(&all, Matching { types, direction, ..EVERY }).items;
        let (mut items, mut past, mut meanwhile): (Vec<Message>, _, _) = (Vec::new(), None, 0);
        loop {
            let matching = Matching { types, direction, past, limit: 3, ..EVERY };
            let found = ok(scene.store.messages(at, matching));
            assert_eq!(found.total, expected.len() as u64 + meanwhile, "totals do not mind it");
            let Some(last) = found.items.last() else { break };
            past = Some(last.number);
            items.extend(found.items);
            // Newest first, what is written meanwhile counts and does not come.
            if direction == Direction::Desc && items.len() == 6 {
                scene.append(at, ["meanwhile".into()]);
                meanwhile += 1;
            }
        }
        assert_eq!(items, expected, "{direction:?}");
    }
}

fn a_page_past_the_end_is_empty_with_its_total(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, all) = mixed_session(&scene);
    let newest = all.last().map(|message| message.ts);
    for direction in Direction::ALL {
        for offset in [all.len() as u64, 1 << 33, u64::MAX] {
            let found = ok(scene.store.messages(at, Matching { direction, offset, ..EVERY }));
            assert_eq!((found.items, found.total, found.newest), (Vec::new(), all.len() as u64, newest));
        }
    }
}

fn a_session_without_messages_lists_none(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let nothing = Matched { items: Vec::new(), total: 0, before: 0, newest: None, damaged: Vec::new() };
    let empty = scene.session();
    let deleted = scene.session();
    for message in scene.append(deleted, ["a".into(), "b".into()]) {
        scene.delete(deleted, &message);
    }
    for at in [empty, deleted] {
        for direction in Direction::ALL {
            assert_eq!(ok(scene.store.messages(at, Matching { direction, ..EVERY })), nothing);
        }
    }
}

fn a_thread_without_messages_lists_none(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = scene.busy_session();
    scene.complete(at, claim_of(&sent));
    let other = scene.send(at, NewTurn::from("another thread"));
    scene.delete(at, &sent.message);
    let matching = Matching { thread: Some(sent.turn.thread_id), ..EVERY };
    let found = ok(scene.store.messages(at, matching));
    assert_eq!(
        found,
        Matched { items: Vec::new(), total: 0, before: 0, newest: None, damaged: Vec::new() },
        "the thread is there all the same"
    );
    let matching = Matching { thread: Some(other.turn.thread_id), ..EVERY };
    assert_eq!(ok(scene.store.messages(at, matching)).items, [other.message]);
}

fn history_is_the_newest_of_everything(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, _) = mixed_session(&scene);
    scene.append(at, std::iter::repeat_with(|| "more".into()).take(1000));
    let all = scene.messages(at);
    for limit in [1, 10, 1000] {
        let found = ok(scene.store.messages(at, ok(Matching::history(limit))));
        let newest: Vec<_> = all.iter().rev().take(limit as usize).cloned().collect();
        assert_eq!(found.items, newest, "the newest {limit}");
        assert_eq!(found.total, all.len() as u64);
    }
}
