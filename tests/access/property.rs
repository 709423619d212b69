//! No sequence of operations through one grant changes or reveals a byte outside it.
//!
//! Random operations run through an access key, with ids of its own, of others', and of nobody's. Before and after, everything
//! outside of what the key opens is read as trusted code reads it, and every answer is searched for what stands there.

use parlor::page::MessageQuery;
use parlor::{
    Access, AgentHandle, Engine, ErrorKind, NewAgent, NewKey, NewMessage, NewSession, Policy, Result, Scopes, Workspace,
};
use proptest::prelude::*;
use uuid::Uuid;

/// Stands in every text outside, and in none within.
const OUTSIDE: &str = "not-yours";

/// An operation, and of what: the numbers choose among what is known.
#[derive(Debug, Clone, Copy)]
struct Step {
    act: u8,
    of: usize,
    with: usize,
}

fn step() -> impl Strategy<Value = Step> {
    (0..35_u8, 0..64_usize, 0..64_usize).prop_map(|(act, of, with)| Step { act, of, with })
}

/// What the caller knows: ids of all kinds, of its own and of others'.
struct Known {
    agents: Vec<Uuid>,
    sessions: Vec<Uuid>,
    /// Of messages, threads, turns and keys.
    others: Vec<Uuid>,
}

impl Known {
    fn pick(all: &[Uuid], nth: usize) -> Uuid {
        // Now and then one that nothing has.
        all.get(nth % (all.len() + 1)).copied().unwrap_or(Uuid::from_u128(0xdead))
    }
}

/// Everything that an agent holds, as trusted code reads it.
fn agent_text(agent: &AgentHandle) -> String {
    let mut text = format!("{:?} {:?}", agent.get(), agent.keys(100).unwrap().items);
    for record in agent.sessions(100).unwrap().items {
        let session = agent.session(record.id).unwrap();
        text.push_str(&format!("{record:?} {:?}", session.context_mark()));
        text.push_str(&format!("{:?}", session.messages(MessageQuery::all()).iter().collect::<Vec<_>>()));
        text.push_str(&format!("{:?} {:?}", session.turns(100).unwrap().items, session.changes(0, 1000)));
    }
    text
}

/// Everything of a workspace but these agents.
fn workspace_text(workspace: &Workspace, but: &[&str]) -> String {
    let masters = workspace.keys(100).unwrap().items.into_iter().filter(|key| key.is_master());
    let mut text = format!("{} {:?}", workspace.id(), masters.collect::<Vec<_>>());
    for record in workspace.agents(100).unwrap().items {
        if !but.contains(&record.name.as_str()) {
            text.push_str(&agent_text(&workspace.agent_by_id(record.id).unwrap()));
        }
    }
    text
}

/// A little of everything below an agent.
fn fill(agent: &AgentHandle, text: &str, known: &mut Known) {
    known.agents.push(*agent.id().as_uuid());
    known.others.push(*agent.create_key(Scopes::ALL, NewKey::default().label(text)).unwrap().record.id.as_uuid());
    for _ in 0..2 {
        let new = NewSession::default().key(format!("{text} {}", known.sessions.len())).label(text);
        let (session, turn) = agent.start_session(new, text).unwrap();
        let report = turn.wait().unwrap();
        known.sessions.push(*session.id().as_uuid());
        let reply = report.reply.unwrap();
        known.others.extend([*reply.id.as_uuid(), *turn.id().as_uuid(), *turn.thread_id().as_uuid()]);
    }
}

/// Does it, and answers with all that it was told.
fn run(access: &Access, known: &mut Known, step: Step) -> Result<String> {
    let Step { act, of, with } = step;
    let (agent_id, session_id) = (Known::pick(&known.agents, of), Known::pick(&known.sessions, of));
    let other = Known::pick(&known.others, with);
    let agent = || access.agent(agent_id.into());
    let session = || access.session(session_id.into());
    // Where the workspace is open, by way of it.
    let around = || access.workspace()?.session(session_id.into());
    fn told(answer: &impl std::fmt::Debug) -> Result<String> {
        Ok(format!("{answer:?}"))
    }
    match act {
        0 => told(&agent()?.get()?),
        1 => {
            let made = agent()?.create_session(NewSession::default())?;
            known.sessions.push(*made.id().as_uuid());
            told(&made.get()?)
        }
        2 => {
            let made = agent()?.create_session(NewSession::default().id(other).key("mine"))?;
            known.sessions.push(*made.id().as_uuid());
            told(&made)
        }
        3 => told(&agent()?.sessions(100)?),
        4 => told(&agent()?.session(session_id.into())?),
        5 => told(&agent()?.session_by_key(&format!("{OUTSIDE} {with}"))?),
        6 => told(&session()?.get()?),
        7 => told(&session()?.append(["hello"])?),
        8 => told(&session()?.append([NewMessage::text("hello").id(other)])?),
        9 => told(&session()?.append_to(other.into(), ["hello"])?),
        10 => told(&session()?.history(100)?),
        11 => told(&session()?.messages(MessageQuery::all()).iter().collect::<Vec<_>>()),
        12 => told(&session()?.message(other.into())?),
        13 => told(&session()?.delete_message(other.into())?),
        14 => told(&session()?.thread(other.into())?),
        15 => told(&session()?.turn(other.into())?.wait()?),
        16 => told(&session()?.turns(100)?),
        17 => told(&session()?.changes(0, 1000)?),
        18 => {
            let turn = session()?.send_with([Policy::Reject, Policy::Interrupt, Policy::Enqueue][with % 3], "hello")?;
            known.others.push(*turn.id().as_uuid());
            told(&turn.wait()?)
        }
        19 => told(&session()?.send(NewMessage::text("hello").id(other))?.wait()?),
        20 => told(&session()?.interrupt()?),
        21 => told(&session()?.stop()?),
        22 => told(&session()?.cancel(other.into())?),
        23 => told(&session()?.transcript()?),
        24 => told(&session()?.follow(0).try_next()),
        25 => told(&session()?.delete()?),
        26 => told(&agent()?.keys(100)?),
        27 => told(&agent()?.create_key(Scopes::ALL, NewKey::default())?.record),
        28 => told(&access.workspace()?.revoke_key(other.into())?),
        29 => told(&access.workspace()?.sessions(100)?),
        30 => told(&access.workspace()?.agents(100)?),
        31 => told(&access.workspace()?.create_agent(NewAgent::new("echo").id(agent_id))?),
        32 => told(&agent()?.delete()?),
        33 => told(&session()?.rename(Some("renamed"))?),
        _ => told(&around()?.history(100)?),
    }
}

/// What the key opens.
#[derive(Debug, Clone, Copy)]
enum Grant {
    Agent(Scopes),
    Master,
}

fn grants() -> impl Strategy<Value = Grant> {
    prop_oneof![
        Just(Grant::Agent(Scopes::READ)),
        Just(Grant::Agent(Scopes::CHAT)),
        Just(Grant::Agent(Scopes::MANAGE)),
        Just(Grant::Agent(Scopes::ALL)),
        Just(Grant::Master),
    ]
}

/// What stands outside of the grant, in full.
fn outside(engine: &Engine, grant: Grant) -> String {
    let names = engine.workspaces(100).unwrap().items;
    let mut text = format!("{names:?}");
    for record in names {
        let workspace = engine.workspace(&record.name).unwrap();
        match (record.name.as_str(), grant) {
            ("acme", Grant::Master) => {}
            ("acme", Grant::Agent(_)) => text.push_str(&workspace_text(&workspace, &["echo"])),
            _ => text.push_str(&workspace_text(&workspace, &[])),
        }
    }
    text
}

fn check(grant: Grant, steps: &[Step]) {
    let engine = Engine::in_memory().agent_fn("echo", |turn| Ok(turn.input().text()));
    let engine = engine.agent_fn("booker", |turn| Ok(turn.input().text())).open().unwrap();
    let (acme, beta) = (engine.workspace("acme").unwrap(), engine.workspace("beta").unwrap());
    let mut known = Known { agents: Vec::new(), sessions: Vec::new(), others: Vec::new() };
    let own = acme.agent("echo").unwrap();
    fill(&own, "mine", &mut known);
    let theirs = match grant {
        Grant::Agent(_) => vec![acme.agent("booker").unwrap(), beta.agent("echo").unwrap()],
        Grant::Master => vec![beta.agent("booker").unwrap(), beta.agent("echo").unwrap()],
    };
    theirs.iter().for_each(|agent| fill(agent, OUTSIDE, &mut known));
    let key = match grant {
        Grant::Agent(scopes) => own.create_key(scopes, NewKey::default()),
        Grant::Master => acme.create_master_key(NewKey::default()),
    };
    let access = engine.open_key(key.unwrap().secret.expose()).unwrap();
    let before = outside(&engine, grant);
    assert!(before.contains(OUTSIDE));
    for step in steps {
        match run(&access, &mut known, *step) {
            Ok(told) => assert!(!told.contains(OUTSIDE), "{grant:?} {step:?} tells {told}"),
            // It repeats what was asked for, and nothing else.
            Err(error) => {
                let text = error.to_string().replace(&format!("{OUTSIDE} {}", step.with), "");
                assert!(!text.contains(OUTSIDE), "{grant:?} {step:?} tells {error}");
                assert_ne!(error.kind(), ErrorKind::Corrupt);
            }
        }
    }
    let after = outside(&engine, grant);
    assert!(before == after, "{grant:?} changed what is not its:\n{before}\n{after}");
    engine.close().unwrap();
}

/// Who it is asked of differs, the answer does not: kind and text, but for the id.
fn check_alike(grant: Grant, step: Step) {
    let engine = Engine::in_memory().agent_fn("echo", |turn| Ok(turn.input().text())).open().unwrap();
    let (acme, beta) = (engine.workspace("acme").unwrap(), engine.workspace("beta").unwrap());
    let own = acme.agent("echo").unwrap();
    let mut theirs = Known { agents: Vec::new(), sessions: Vec::new(), others: Vec::new() };
    fill(&beta.agent("echo").unwrap(), OUTSIDE, &mut theirs);
    let key = match grant {
        Grant::Agent(scopes) => own.create_key(scopes, NewKey::default()),
        Grant::Master => acme.create_master_key(NewKey::default()),
    };
    let access = engine.open_key(key.unwrap().secret.expose()).unwrap();
    let nobodys = || Known {
        agents: vec![Uuid::from_u128(1)],
        sessions: vec![Uuid::from_u128(2)],
        others: vec![Uuid::from_u128(3)],
    };
    // The first of each, and never one that nothing has.
    let step = Step { of: 0, with: 0, ..step };
    let seen = |known: &mut Known| {
        let ids = [known.agents.clone(), known.sessions.clone(), known.others.clone()].concat();
        let answer = run(&access, known, step).map_err(|error| (error.kind(), error.to_string()));
        ids.iter().fold(format!("{answer:?}"), |text, id| text.replace(&id.to_string(), "ID"))
    };
    let (foreign, absent) = (seen(&mut theirs), seen(&mut nobodys()));
    // What succeeds is about neither.
    if !foreign.starts_with("Ok") || !absent.starts_with("Ok") {
        assert_eq!(foreign, absent, "{grant:?} {step:?}");
    }
    engine.close().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn nothing_outside_of_a_grant_is_changed_or_revealed(grant in grants(), steps in prop::collection::vec(step(), 1..60)) {
        check(grant, &steps);
    }
}

fn cases() -> u32 {
    if std::env::var("PARLOR_LONG").is_ok_and(|long| long == "1") { 10_000 } else { 100 }
}

#[test]
fn what_is_foreign_and_what_is_absent_are_answered_alike() {
    for grant in [Scopes::READ, Scopes::CHAT, Scopes::MANAGE, Scopes::ALL].map(Grant::Agent) {
        (0..35).for_each(|act| check_alike(grant, Step { act, of: 0, with: 0 }));
    }
    (0..35).for_each(|act| check_alike(Grant::Master, Step { act, of: 0, with: 0 }));
}
