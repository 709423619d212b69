//! Sessions that are forked at the middle of their conversations, and played on in the forks.

use oracle::Oracle;
use parlor::{Message, MessageType};

use super::*;

impl Stage {
    fn forking(&self, conversations: &[(&str, Vec<Value>)]) -> Arc<Script> {
        let read = data::read(&[self.write(file_of(conversations))]).unwrap();
        Arc::new(Script::new(read).with(Between::Forked))
    }
}

/// One conversation whose middle is amid a turn, with a call that is answered in the fork.
fn amid_a_turn() -> Vec<(&'static str, Vec<Value>)> {
    let lines = vec![
        system(),
        user("a"),
        calls(json!(null), &["c1", "c2"]),
        result(json!("1"), "c1"),
        result(json!("2"), "c2"),
        answer("b"),
        user("c"),
    ];
    vec![("a", lines)]
}

fn fork_of(engine: &Engine, name: &str) -> Session {
    let source = session_of(engine, name);
    engine.workspace(WORKSPACE).unwrap().agent(AGENT).unwrap().session(fork::id(source.id())).unwrap()
}

#[test]
fn hostile_conversations_go_on_in_forks() {
    let stage = Stage::new();
    let script = stage.forking(&hostile());
    assert!(stage.play(&script).unwrap() > 0);
    stage.check(&script).unwrap();
    assert_eq!(stage.play(&script).unwrap(), 0, "nothing is left to play");
    stage.check(&script).unwrap();
}

#[test]
fn a_fork_has_what_stands_up_to_the_middle_and_appends_the_rest_of_that_turn() {
    let stage = Stage::new();
    let script = stage.forking(&amid_a_turn());
    let told = &script.conversations()[0];
    assert_eq!((script.size(), told.before_fork().messages.len()), ((2, 6 + 7), 6));
    let steps = told.forked().steps();
    let turn = Step::Turn(Exchange { range: 6..7, reply: None });
    assert_eq!(steps, [Step::Copied(0..4), Step::Append(4..6), turn]);

    assert_eq!(stage.play(&script).unwrap(), 2, "one in the source, one in the fork");
    stage.check(&script).unwrap();
    let engine = stage.open(&script);
    let fork = fork_of(&engine, "a");
    let stored = compare::stored(&fork).unwrap();
    let in_threads: Vec<_> = stored.iter().map(|message| message.thread_id.is_some()).collect();
    assert_eq!(in_threads, [false, true, true, true, false, false, true]);
    let last = compare::stored(&session_of(&engine, "a")).unwrap().remove(3);
    let from = fork.get().unwrap().forked_from.unwrap();
    assert_eq!((from.message, from.number), (last.id, 4));
    engine.close().unwrap();
}

#[test]
fn a_fork_is_told_to_a_model_as_a_session_is_that_never_was_one() {
    let (plain, forked) = (Stage::new(), Stage::new());
    let scripts = [plain.script(&hostile()), forked.forking(&hostile())];
    plain.play(&scripts[0]).unwrap();
    forked.play(&scripts[1]).unwrap();
    let engines = [plain.open(&scripts[0]), forked.open(&scripts[1])];
    let mut compared = 0;
    for conversation in scripts[0].conversations() {
        let name = &conversation.session;
        let [one, other] = [session_of(&engines[0], name), fork_of(&engines[1], name)].map(|session| {
            let mut told = session.transcript().unwrap();
            told.iter_mut().for_each(|message| message.message = None);
            told
        });
        assert_eq!(one, other, "{name:?}");
        compared += one.len();
    }
    assert!(compared > 150, "{compared} messages");
    engines.into_iter().for_each(|engine| engine.close().unwrap());
}

#[test]
fn what_a_dead_turn_left_on_either_side_of_the_fork_is_deleted_and_sent_again() {
    let stage = Stage::new();
    let lines = vec![user("a"), answer("b"), user("c"), answer("d"), user("e"), answer("f")];
    let script = stage.forking(&[("a", lines)]);
    for (dies_at, left) in [("c", [1, 0]), ("e", [0, 1])] {
        let engine = Engine::builder(stage.file())
            .agent_fn(AGENT, move |turn| {
                let reply = match turn.input().text().as_str() {
                    "a" => "b",
                    "c" => "d",
                    _ => "f",
                };
                if turn.input().text() == dies_at { Err("lost".into()) } else { Ok(reply) }
            })
            .open()
            .unwrap();
        let failure = play::play(&engine, &script, 1, &Acks::none(), &ProgressBar::hidden()).unwrap_err();
        let failed = difference(Err(failure));
        assert_eq!(&*failed.field, "turn.state", "{failed}");
        let uncleared = |session: Session| {
            let turns = compare::turns(&session).unwrap();
            turns.iter().filter(|turn| turn.state == TurnState::Failed).count()
                - Feed::read(&session).unwrap().deleted.len()
        };
        let source = uncleared(session_of(&engine, "a"));
        let fork = if dies_at == "e" { uncleared(fork_of(&engine, "a")) } else { 0 };
        assert_eq!([source, fork], left, "{dies_at}");
        engine.close().unwrap();
    }
    assert_eq!(stage.play(&script).unwrap(), 1);
    stage.check(&script).unwrap();
    let engine = stage.open(&script);
    // The dead turn of the source is not in the fork, whose numbers have no gap for it.
    let numbers = |session: Session| -> Vec<_> {
        compare::stored(&session).unwrap().iter().map(|message| message.number).collect()
    };
    assert_eq!(numbers(session_of(&engine, "a")), [1, 2, 4, 5]);
    assert_eq!(numbers(fork_of(&engine, "a")), [1, 2, 3, 4, 6, 7]);
    engine.close().unwrap();
}

#[test]
fn a_source_that_changes_after_it_was_forked_is_a_difference() {
    let stage = Stage::new();
    let script = stage.forking(&amid_a_turn());
    stage.play(&script).unwrap();
    let engine = stage.open(&script);
    let (session, told) = (session_of(&engine, "a"), &script.conversations()[0]);
    let before = fork::State::of(&session).unwrap();
    before.compare(&session, told).unwrap();
    session.append(["too much"]).unwrap();
    let changed = difference(before.compare(&session, told));
    assert_eq!(&*changed.field, "record, after it was forked", "{changed}");
    engine.close().unwrap();
    let more = difference(stage.check(&script).map(|_| ()));
    assert_eq!((&*more.field, more.seq), ("message", Some(6)), "{more}");
}

/// What is made wrong of the copies and their originals, at which message, and the field that must be named.
type Wrong = (&'static str, Option<usize>, fn(&mut [Message], &mut [Message]));

#[test]
fn a_copy_that_differs_from_its_original_is_found_and_named() {
    let wrongs: Vec<Wrong> = vec![
        ("copy", Some(1), |originals, _| originals[1].content = None),
        ("copy", Some(1), |originals, _| originals[1].created_at = parlor::Timestamp::default()),
        ("copy", Some(2), |originals, _| originals[2].kind = MessageType::Message),
        ("copy", Some(3), |originals, _| originals[3].thread_id = None),
        ("copy", Some(3), |_, copies| copies[3].thread_id = None),
        ("copy", Some(0), |originals, copies| copies[0].thread_id = originals[1].thread_id),
        ("copy", Some(2), |originals, copies| copies[2].turn_id = originals[1].turn_id),
        ("copy", Some(2), |_, copies| copies[2].number += 1),
        ("copy", Some(0), |originals, copies| copies[0].session_id = originals[0].session_id),
        ("copy", Some(2), |_, copies| copies[2].ts = "1".parse().unwrap()),
        ("id of the copy, of its own", Some(1), |originals, copies| copies[1].id = originals[1].id),
        ("original in the fork", Some(2), |originals, copies| originals[2].id = copies[3].id),
        ("forked_from", None, |originals, _| originals.swap(2, 3)),
        ("message to fork at", Some(3), |originals, _| originals.rotate_left(1)),
    ];
    let stage = Stage::new();
    let script = stage.forking(&amid_a_turn());
    stage.play(&script).unwrap();
    let engine = stage.open(&script);
    let (source, fork, told) = (session_of(&engine, "a"), fork_of(&engine, "a"), script.conversations()[0].forked());
    let (originals, copies) = (compare::stored(&source).unwrap(), compare::stored(&fork).unwrap());
    fork::copies((&source, &originals), (&fork, &copies), &told).unwrap();
    for (field, seq, wrong) in wrongs {
        let (mut originals, mut copies) = (originals.clone(), copies.clone());
        wrong(&mut originals, &mut copies);
        if field == "message to fork at" {
            originals.truncate(3);
        }
        let found = difference(fork::copies((&source, &originals), (&fork, &copies), &told));
        assert_eq!((&*found.field, found.seq), (field, seq), "{found}");
    }
    engine.close().unwrap();
}

#[test]
fn the_reference_store_forks_its_own_and_tells_a_copy_by_what_it_says() {
    let stage = Stage::new();
    let script = stage.forking(&amid_a_turn());
    stage.play(&script).unwrap();
    let engine = stage.open(&script);
    let told = &script.conversations()[0];
    let (before, forked) = (told.before_fork(), told.forked());
    let originals = compare::stored(&session_of(&engine, "a")).unwrap();
    let copies = compare::stored(&fork_of(&engine, "a")).unwrap();
    Oracle::of_fork((&before, &originals), (&forked, &copies)).unwrap();
    for seq in [0, 3, 6] {
        let mut wrong = copies.clone();
        wrong[seq].name = Some("nobody".into());
        let found = difference(Oracle::of_fork((&before, &originals), (&forked, &wrong)).map(|_| ()));
        assert_eq!((&*found.field, found.seq), ("reference store", Some(seq)), "{found}");
    }
    engine.close().unwrap();
}

#[test]
fn the_example_forks_when_it_is_told_to_and_not_beside_archiving() {
    let replay = example::replay();
    let stage = Stage::new();
    let recorded = stage.write(file_of(&amid_a_turn()));
    let run = |modes: &[&str]| {
        let mut command = Command::new(&replay);
        let run = command.args(modes).arg("--file").arg(stage.file()).arg(&recorded).output().unwrap();
        (run.status.code(), String::from_utf8(run.stdout).unwrap(), String::from_utf8(run.stderr).unwrap())
    };
    for turns in [2, 0] {
        let (code, out, error) = run(&["--fork"]);
        assert_eq!(code, Some(0), "{error}");
        assert!(out.starts_with(&format!("2 sessions, 13 messages\nplayed {turns} turns in ")), "{out}");
        assert!(out.ends_with(" pages compared, 0 differences\n"), "{out}");
    }
    let (code, _, error) = run(&["--fork", "--archive"]);
    assert_eq!(code, Some(1));
    assert!(error.starts_with("replay: usage: "), "{error}");
}
