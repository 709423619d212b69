//! Writing to a damaged file: each operation is done or refused, and nothing that was there says anything else after it.

use std::ops::ControlFlow;
use std::path::Path;

use parlor::id::{SessionId, Stamp};
use parlor::store::{
    Append, ArchiveSession, CreateSession, DeleteArchive, DeleteMessage, DeleteSession, EndOrphans, Policy, Promote,
    QueueBounds, Recovery, RestoreArchive, Runner, Runners, Store, Submit,
};
use parlor::{Engine, Error, ErrorKind, NewMessage, NewSession, NewTurn, Progress, Timestamp};
use uuid::Uuid;

use super::answers::{Item, Known, ask};
use super::victim::Victim;
use crate::suite::random::Random;

const BEGIN_MICROS: u64 = 1_787_573_302_000_000;

/// Whether this is a way in which a damaged file may refuse an operation.
pub fn refusal(what: &str, error: &Error) -> Result<(), String> {
    use ErrorKind::{BadRequest, Conflict, Corrupt, Fenced, NotFound, OutcomeUnknown, Storage};
    match error.kind() {
        // Of those that are as they should be: a busy session, an empty one, one that is archived or deleted. After an unknown outcome
        // nothing more is written.
        Corrupt | NotFound | BadRequest | Conflict | Fenced | OutcomeUnknown | Storage => Ok(()),
        _ => Err(format!("{what} is refused as {error:?}")),
    }
}

/// Does something of everything.
pub fn write(store: &dyn Store, known: &Known, random: &mut Random) -> Result<(), String> {
    let Some((workspace, agent)) = known.names else { return Ok(()) };
    let mut seed = random.next() >> 8;
    let mut stamp = || {
        seed += 1;
        Stamp::new(Timestamp::from_micros(BEGIN_MICROS + (seed & 0xffff)), seed)
    };
    let go_on = |_: Progress| ControlFlow::Continue(());
    let runner = || Runner {
        owner: parlor::id::OwnerId::from_uuid(Uuid::from_u128(2)),
        lease: None,
        behaviour: parlor::store::Behaviour::Registered,
    };
    let done = |what: &str, went: parlor::Result<()>| went.or_else(|error| refusal(what, &error));
    let orphans = EndOrphans { stamp: stamp(), owner: runner().owner, limit: 100, recovery: Recovery::End };
    done("ending orphans", store.end_orphans(orphans).map(drop))?;
    let promote = Promote {
        stamp: stamp(),
        runners: Runners { owner: runner().owner, lease: None, agents: ["greeter".into()].into() },
        limit: 100,
    };
    done("promotion", store.promote(promote).map(drop))?;
    for place in &known.sessions {
        let at = place.at;
        let text = || vec![NewMessage::text("after the damage")];
        match random.below(6) {
            0 => done("a deletion", store.delete_session(DeleteSession { stamp: stamp(), at, only_at: None }))?,
            1 => done(
                "archiving",
                store.archive_session(ArchiveSession { stamp: stamp(), at, only_at: None }, &mut { go_on }).map(drop),
            )?,
            2 => {
                let new = NewTurn::from(NewMessage::text("after the damage"));
                let (runner, queue) = (runner(), QueueBounds::default());
                let submit = Submit { stamp: stamp(), at, new, policy: Policy::FollowUp, runner, sender: None, queue };
                done("a follow-up", store.submit(submit).map(drop))?;
            }
            3 => {
                if let Some(message) = random.pick(&place.messages) {
                    done("deleting a message", store.delete_message(DeleteMessage { stamp: stamp(), at, message }))?;
                }
            }
            _ => {
                let append = Append { stamp: stamp(), at, thread: None, messages: text() };
                done("an append", store.append(append).map(drop))?;
            }
        }
    }
    for archive in &known.archives {
        let archive = archive.clone();
        match random.below(3) {
            0 => done("deleting an archive", store.delete_archive(DeleteArchive { stamp: stamp(), archive }))?,
            1 => {
                let restore = RestoreArchive { stamp: stamp(), archive, label: None };
                done("restoring", store.restore_archive(restore, &mut { go_on }).map(drop))?;
            }
            _ => {}
        }
    }
    let new = NewSession::default().id(SessionId::from_uuid(Uuid::from_u64_pair(random.next() | 1, 9)));
    done(
        "a creation",
        store.create_session(CreateSession { stamp: stamp(), workspace, agent, new, first: None }).map(drop),
    )
}

/// What is done to the file as a whole: each is done or refused.
pub fn whole(path: &Path) -> Result<(), String> {
    let done = |what: &str, went: parlor::Result<()>| went.or_else(|error| refusal(what, &error));
    if let Ok(engine) = Engine::builder(path).attach() {
        done("exporting from an attached engine", engine.export(std::io::sink()).map(drop))?;
        done("closing an attached engine", engine.close())?;
    }
    let engine = match Engine::builder(path).open() {
        Ok(engine) => engine,
        Err(error) => return refusal("an engine", &error),
    };
    done("exporting", engine.export(std::io::sink()).map(drop))?;
    done("the file in numbers", engine.file_stats().map(drop))?;
    let copy = path.with_file_name("b.parlor");
    done("a backup", engine.backup(copy))?;
    done("compaction", engine.compact())?;
    done("a workspace", engine.workspace("another").map(drop))?;
    done("closing", engine.close())
}

/// Every message says what it said, or what was written now.
pub fn check(store: &dyn Store, victim: &Victim) -> Result<(), String> {
    let answers = ask(store, &victim.known);
    for answer in &answers {
        answer.check_kind().map_err(|failure| format!("written to, {failure}"))?;
        let messages = answer.items().iter().filter_map(|item| match item {
            Item::Message(message) => Some(&**message),
            _ => None,
        });
        for message in messages.filter(|message| !message.synthetic && message.text() != "after the damage") {
            if victim.written.get(&(message.session_id, message.id)) != Some(message) {
                return Err(format!("written to, {} answers {message:#?}, which nobody wrote", answer.question));
            }
        }
    }
    store.verify().map(drop).or_else(|error| refusal("verifying", &error))
}
