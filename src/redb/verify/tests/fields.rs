//! Every field of every row is altered, under a right checksum: what another row says as well is named, and the rest is said to
//! be free, with the reason.

use super::planted::{Planted, Row};
use super::scene;
use crate::redb::codec::*;

/// What becomes of an alteration.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Named,
    /// No other row says it: the reason. One that is named in every case is free no more.
    Free(&'static str),
}

use Fate::{Free, Named};

const SAID_ONCE: Fate = Free("what somebody said of it, once");
const TOLD_ONCE: Fate = Free("a time that nothing else is held to");

/// The fields of a form, and what is done to each: all of them, or it does not compile.
macro_rules! fields {
    ($sweep:expr, $what:literal, $row:ident $(<$life:lifetime>)?, {
        $($field:ident($of:ident) { $($fate:expr => $alter:expr;)+ })+
    }) => {
        let _ = |row: $row $(<$life>)?| { let $row { $($field: _),+ } = row; };
        for row in $sweep.of($what) {
            let sound: $row $(<$life>)? = decode(row.table, &row.key, &row.value).expect("it is sound");
            $($({
                let mut altered = sound.clone();
                let $of = &mut altered.$field;
                $alter;
                if altered != sound {
                    let value = encode(row.table, &row.key, &altered).expect("it encodes");
                    $sweep.verify(concat!($what, ": ", stringify!($field), ": ", stringify!($alter)), $fate, &row, value);
                }
            })+)+
        }
    };
}

struct Sweep {
    planted: Planted,
    /// What was not named though it must be, and what is called free, with how often it was not named.
    unnamed: Vec<String>,
    free: std::collections::BTreeMap<&'static str, (&'static str, u32)>,
    forms: std::collections::BTreeSet<&'static str>,
}

impl Sweep {
    fn of(&mut self, what: &'static str) -> Vec<Row> {
        self.forms.insert(what);
        let rows: Vec<Row> = self.planted.rows().into_iter().filter(|row| row.what() == what).collect();
        assert!(!rows.is_empty(), "there is no {what}");
        rows.into_iter().filter(|row| !self.planted.is_left(row)).collect()
    }

    fn verify(&mut self, what: &'static str, fate: Fate, row: &Row, value: Vec<u8>) {
        self.planted.put(&Row { value, ..row.clone() });
        let things = row.things();
        let is_named = self.planted.names(row.table, &things);
        match fate {
            Free(why) => self.free.entry(what).or_insert((why, 0)).1 += u32::from(!is_named),
            Named if is_named => {}
            Named => {
                let breaches = self.planted.breaches();
                self.unnamed.push(format!("{what} of {}: {things:?} in {breaches:?}", hex(&row.key)));
            }
        }
        self.planted.put(row);
    }
}

#[test]
fn every_altered_field_is_named_or_free() {
    let planted = scene::planted();
    let mut sweep = Sweep { planted, unnamed: Vec::new(), free: Default::default(), forms: Default::default() };
    of_the_file(&mut sweep);
    of_access(&mut sweep);
    of_sessions(&mut sweep);
    of_records(&mut sweep);
    of_turns(&mut sweep);
    of_positions(&mut sweep);
    of_archives(&mut sweep);
    let unnamed = sweep.unnamed.len();
    assert!(unnamed == 0, "{unnamed} alterations are not named:\n{}", sweep.unnamed[..unnamed.min(60)].join("\n"));
    for (what, (why, times)) in &sweep.free {
        assert!(*times > 0, "{what}: it is named in every case, and is not free: {why}");
    }
    let forms: Vec<&str> = super::FORMS.iter().map(|form| form.what).filter(|what| *what != "format").collect();
    let missing: Vec<&&str> = forms.iter().filter(|what| !sweep.forms.contains(**what)).collect();
    assert_eq!(missing, Vec::<&&str>::new(), "forms whose fields nobody alters");
}

fn flip(id: &mut Id) {
    id[15] ^= 1;
}

fn flip_option(id: &mut Option<Id>) {
    *id = match id {
        Some(_) => None,
        None => Some([1; 16]),
    };
}

fn toggle(time: &mut Option<u64>) {
    *time = time.map_or(Some(1), |_| None);
}

fn other(text: &mut Option<&str>) {
    *text = text.map_or(Some("other"), |_| None);
}

fn consumed(usage: &mut Option<UsageRow>, add: impl FnOnce(&mut UsageRow)) {
    let none = UsageRow { input: 0, output: 0, cached: 0, reasoning: 0, cost_micros: 0 };
    add(usage.get_or_insert(none));
}

/// Bytes with one changed.
fn changed(bytes: &[u8], at: usize, by: u8) -> &'static [u8] {
    let mut bytes = bytes.to_vec();
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= by;
    }
    bytes.leak()
}

/// Bytes without the last.
fn cut(bytes: &[u8]) -> &'static [u8] {
    bytes.split_last().map_or(Vec::new(), |(_, rest)| rest.to_vec()).leak()
}

fn of_the_file(sweep: &mut Sweep) {
    fields!(sweep, "counters", CounterRow, {
        scopes(f) { Named => *f = 0; Free("a number that was given may be of what went") => *f += 1; }
        sessions(f) { Named => *f += 1; Named => *f = 0; }
        removed(f) { Named => *f += 1; Named => *f = 0; }
    });
    fields!(sweep, "group number", GroupRow, {
        number(f) { Free("the log alone is held to it") => *f += 1; }
        log(f) { Free("the log alone is held to it") => flip_option(f); }
    });
    fields!(sweep, "remnant", RemnantRow, { deleted_at(f) { TOLD_ONCE => *f += 1; } });
    fields!(sweep, "remnant of an archived session", RemnantRow, { deleted_at(f) { TOLD_ONCE => *f += 1; } });
    fields!(sweep, "remnant of an archive", RemnantRow, { deleted_at(f) { TOLD_ONCE => *f += 1; } });
    fields!(sweep, "queued turn", QueuedRow, { bytes(f) { Named => *f += 1; } });
    fields!(sweep, "waiting", WaitingRow, {
        turns(f) { Named => *f += 1; }
        bytes(f) { Named => *f += 1; }
    });
    fields!(sweep, "archives begun", NumberRow, {
        number(f) { Named => *f = 0; Free("one that was begun may have been broken off") => *f += 1; }
    });
    fields!(sweep, "pause", PausedRow, { since(f) { TOLD_ONCE => *f += 1; } });
    fields!(sweep, "workspace by name", NumberRow, { number(f) { Named => *f += 1; Named => *f = 0; } });
    fields!(sweep, "workspace by id", NumberRow, { number(f) { Named => *f += 1; Named => *f = 0; } });
    fields!(sweep, "agent by name", NumberRow, { number(f) { Named => *f += 1; Named => *f = 0; } });
    fields!(sweep, "agent by id", NumberRow, { number(f) { Named => *f += 1; Named => *f = 0; } });
    fields!(sweep, "session by key", NumberRow, { number(f) { Named => *f += 1; Named => *f = 0; } });
    fields!(sweep, "session by id", NumberRow, { number(f) { Named => *f += 1; Named => *f = 0; } });
    fields!(sweep, "workspace or agent", ScopeRow<'_>, {
        id(f) { Named => flip(f); }
        name(f) { Named => *f = "other name"; }
        created_at(f) { TOLD_ONCE => *f += 1; }
    });
    fields!(sweep, "session count", CountRow, { sessions(f) { Named => *f += 1; } });
}

fn of_access(sweep: &mut Sweep) {
    fields!(sweep, "deleted agent", HiddenRow, { deleted_at(f) { TOLD_ONCE => *f += 1; } });
    fields!(sweep, "count of agents", ScopeCountRow, { scopes(f) { Named => *f += 1; } });
    fields!(sweep, "label", LabelRow<'_>, { label(f) { SAID_ONCE => *f = "other"; } });
    fields!(sweep, "listed access key", NumberRow, { number(f) { Named => *f += 1; } });
    fields!(sweep, "access key", KeyRow<'_>, {
        workspace(f) { Named => flip(f); }
        agent(f) { Named => flip_option(f); Named => f.iter_mut().for_each(flip); }
        workspace_number(f) { Named => *f ^= 1; }
        agent_number(f) { Named => *f += 1; }
        scopes(f) { Named => *f = 0x80; Free("an agent's key opens what it was made for") => *f ^= 2; }
        hash(f) { Free("the secret is not kept") => f[0] ^= 1; }
        label(f) { SAID_ONCE => other(f); }
        created_at(f) { TOLD_ONCE => *f += 1; }
        expires_at(f) { TOLD_ONCE => toggle(f); }
    });
}

fn of_sessions(sweep: &mut Sweep) {
    fields!(sweep, "session", SessionRow<'_>, {
        id(f) { Named => flip(f); }
        workspace(f) { Named => *f ^= 1; Named => *f = 0; }
        agent(f) { Named => *f ^= 1; Named => *f = 99; }
        agent_id(f) { Named => flip(f); }
        agent_name(f) { Named => *f = "other"; }
        key(f) { Named => *f = "other"; }
        label(f) { SAID_ONCE => other(f); }
        chat_type(f) { SAID_ONCE => other(f); }
        last_channel(f) { SAID_ONCE => other(f); }
        origin(f) { SAID_ONCE => other(f); }
        metadata(f) { SAID_ONCE => other(f); }
        profile(f) { SAID_ONCE => other(f); }
        created_at(f) { Named => *f = u64::MAX; TOLD_ONCE => *f -= 1; }
        fingerprint(f) { Free("the inputs that it is made of are not all kept") => flip_option(f); }
        forked(f) {
            Free("the session that it was made from may have gone") => *f = match f {
                Some(_) => None,
                None => Some(ForkRow { session: [1; 16], message: [2; 16], number: 3 }),
            };
        }
    });
    fields!(sweep, "head", HeadRow, {
        messages(f) { Named => *f += 1; }
        threads(f) { Named => *f += 1; }
        turns(f) { Named => *f += 1; }
        changes(f) { Named => *f += 1; }
        last_ts(f) { Named => *f += 1; }
        last_created_at(f) { Named => *f += 1; }
        updated_at(f) { Named => *f += 1; Named => *f -= 1; }
        epoch(f) { Named => *f += 1; }
        running(f) { Named => *f += 1; }
        running_id(f) { Named => flip_option(f); Named => f.iter_mut().for_each(flip); }
        failed(f) { Named => *f = !*f; }
        queued(f) { Named => *f += 1; }
        queued_bytes(f) { Named => *f += 1; }
        usage(f) {
            Named => consumed(f, |usage| usage.input += 1);
            Named => consumed(f, |usage| usage.output += 1);
            Named => consumed(f, |usage| usage.cached += 1);
            Named => consumed(f, |usage| usage.reasoning += 1);
            Named => consumed(f, |usage| usage.cost_micros += 1);
        }
        mark(f) { Named => *f += 1; }
        body(f) { Named => *f += 1; }
    });
    fields!(sweep, "context mark", MarkRow<'_>, {
        message(f) { Named => *f += 1; }
        summary(f) { SAID_ONCE => *f = "other"; }
    });
    fields!(sweep, "listed session", ListedRow, {
        number(f) { Named => *f += 1; }
        messages(f) { Named => *f += 1; }
        changes(f) { Named => *f += 1; }
        running_id(f) { Named => flip_option(f); Named => f.iter_mut().for_each(flip); }
        failed(f) { Named => *f = !*f; }
        queued(f) { Named => *f += 1; }
        usage(f) { Named => consumed(f, |usage| usage.input += 1); }
        mark(f) { Named => *f += 1; }
        body(f) { Named => *f += 1; }
    });
    fields!(sweep, "claim", ClaimRow, {
        turn(f) { Named => flip(f); }
        number(f) { Named => *f += 1; }
        owner(f) { Free("the process that runs it is known to no other row") => flip(f); }
        epoch(f) { Named => *f += 1; }
        lease(f) { Free("nothing else says until when it holds") => toggle(f); }
    });
}

fn of_records(sweep: &mut Sweep) {
    fields!(sweep, "message", MessageRow<'_>, {
        id(f) { Named => flip(f); }
        thread(f) { Named => flip_option(f); Named => f.iter_mut().for_each(flip); }
        thread_number(f) { Named => *f += 1; }
        turn(f) { Named => flip_option(f); Named => f.iter_mut().for_each(flip); }
        role(f) { Named => *f = *f % 4 + 1; Named => *f = 9; }
        kind(f) { Named => *f = *f % 3 + 1; Named => *f = 9; }
        synthetic(f) { SAID_ONCE => *f = !*f; }
        ts(f) { Named => *f += 1; }
        created_at(f) { Named => *f = u64::MAX; TOLD_ONCE => *f -= 1; }
        fingerprint(f) { Free("the inputs that it is made of are not all kept") => flip_option(f); }
        body(f) { SAID_ONCE => f.content = "other"; SAID_ONCE => f.form = 2; }
    });
    fields!(sweep, "thread", ThreadRow, {
        id(f) { Named => flip(f); }
        created_at(f) { Named => *f = u64::MAX; TOLD_ONCE => *f -= 1; }
    });
    fields!(sweep, "change", ChangeRow, {
        kind(f) { Named => *f = *f % 8 + 1; Named => *f = 99; }
        number(f) { Named => *f += 1; Named => *f = f.wrapping_sub(1); }
        id(f) { Named => flip_option(f); Named => f.iter_mut().for_each(flip); }
        state(f) { Named => *f = (*f + 1) % 6; Named => *f = 99; }
    });
    fields!(sweep, "message by id", NumberRow, { number(f) { Named => *f += 1; } });
    fields!(sweep, "turn by id", NumberRow, { number(f) { Named => *f += 1; } });
    fields!(sweep, "thread by id", NumberRow, { number(f) { Named => *f += 1; } });
}

fn of_turns(sweep: &mut Sweep) {
    fields!(sweep, "turn", TurnRow<'_>, {
        id(f) { Named => flip(f); }
        thread(f) { Named => flip(f); }
        thread_number(f) { Named => *f += 1; }
        message(f) { Named => flip(f); }
        message_number(f) { Named => *f += 1; Named => *f -= 1; }
        state(f) { Named => *f = *f % 5 + 1; Named => *f = 99; }
        reason(f) { Named => *f = if *f == 0 { 1 } else { 0 }; Named => *f = 99; }
        detail(f) { SAID_ONCE => other(f); }
        final_message(f) { Named => flip_option(f); Named => f.iter_mut().for_each(flip); }
        messages(f) { Named => *f += 1; Named => *f = f.saturating_sub(1); }
        attempt(f) { Named => *f += 1; Named => *f = 0; }
        chain(f) { Free("the turn that it came from is known to no other row") => *f += 1; }
        usage(f) {
            Named => consumed(f, |usage| usage.input += 1);
            Named => consumed(f, |usage| usage.output += 1);
            Named => consumed(f, |usage| usage.cached += 1);
            Named => consumed(f, |usage| usage.reasoning += 1);
            Named => consumed(f, |usage| usage.cost_micros += 1);
        }
        user_params(f) { SAID_ONCE => other(f); }
        profile(f) { SAID_ONCE => other(f); }
        time_limit(f) { SAID_ONCE => toggle(f); }
        webhook(f) { Free("until the turn ends nothing else says where its end is announced") => *f = None; }
        created_at(f) { Named => *f = u64::MAX; TOLD_ONCE => *f -= 1; }
        started_at(f) { Named => *f = Some(u64::MAX); Named => *f = Some(0); Free("an agent need not have begun") => *f = None; }
        ended_at(f) { Named => toggle(f); Named => *f = Some(u64::MAX); Named => *f = Some(0); }
    });
    let hook = HookRow { url: "u", token: Some("t"), secret: None, include_messages: false };
    fields!(sweep, "outbox row", OutboxRow<'_>, {
        workspace(f) { Named => flip(f); }
        session(f) { Named => flip(f); }
        turn(f) { Named => flip(f); }
        state(f) { Named => *f = *f % 5 + 1; }
        hook(f) {
            SAID_ONCE => f.url = "other";
            SAID_ONCE => f.include_messages = !f.include_messages;
            Free("a pending row has its secrets") => *f = hook;
        }
        attempts(f) { Named => *f = if *f == 0 { 1 } else { 0 }; Free("how often is said once") => *f += 1; }
        due_at(f) { Named => toggle(f); }
        failed_at(f) { Named => toggle(f); }
        error(f) { Named => other(f); }
        lacks(f) { Named => *f = 4; }
    });
}

fn of_positions(sweep: &mut Sweep) {
    fields!(sweep, "times", BlockRow<'_>, {
        packed(f) {
            Named => *f = changed(f, 0, 1);
            Named => *f = changed(f, 6, 0x20);
            Named => *f = changed(f, 7, 0x80);
            Named => *f = cut(f);
            Named => *f = &[];
        }
    });
    fields!(sweep, "block of a list", BlockRow<'_>, {
        packed(f) {
            Named => *f = changed(f, 0, 1);
            Named => *f = cut(f);
            Named => *f = &[];
        }
    });
    fields!(sweep, "directory", DirectoryRow<'_>, {
        counts(f) { Named => *f = changed(f, 0, 1); Named => *f = cut(f); }
        firsts(f) { Named => *f = changed(f, 3, 1); Named => *f = cut(f); }
    });
}

fn of_archives(sweep: &mut Sweep) {
    fields!(sweep, "archived session", ArchivedRow, {
        archive(f) { Named => *f += 1; }
        session(f) { Named => *f += 1; }
    });
    fields!(sweep, "archive by filename", NumberRow, { number(f) { Named => *f += 1; } });
    fields!(sweep, "archive count", CountRow, { sessions(f) { Named => *f += 1; } });
    fields!(sweep, "chunk", ChunkRow<'_>, {
        bytes(f) { Named => *f += 1; }
        checksum(f) { Named => *f += 1; }
        packed(f) { Named => *f = changed(f, 0, 1); Named => *f = cut(f); }
    });
    archive(sweep);
    fields!(sweep, "listed archive", ArchiveRow<'_>, {
        id(f) { Named => flip(f); }
        workspace(f) { Named => *f ^= 1; }
        agent(f) { Named => *f ^= 1; }
        session(f) { Named => flip(f); }
        number(f) { Named => *f += 1; }
        filename(f) { Named => *f = "other"; }
        key(f) { Named => *f = "other"; }
        label(f) { Named => other(f); }
        messages(f) { Named => *f += 1; }
        turns(f) { Named => *f += 1; }
        changes(f) { Named => *f += 1; }
        usage(f) { Named => consumed(f, |usage| usage.input += 1); }
        created_at(f) { Named => *f += 1; }
        archived_at(f) { Named => *f += 1; }
        chunks(f) { Named => *f += 1; }
        bytes(f) { Named => *f += 1; }
        records(f) { Named => *f += 1; }
        checksum(f) { Named => *f += 1; }
    });
}

fn archive(sweep: &mut Sweep) {
    fields!(sweep, "archive", ArchiveRow<'_>, {
        id(f) { Named => flip(f); }
        workspace(f) { Named => *f ^= 1; }
        agent(f) { Named => *f ^= 1; }
        session(f) { Named => flip(f); }
        number(f) { Named => *f += 1; }
        filename(f) { Named => *f = "other"; }
        key(f) { Named => *f = "other"; }
        label(f) { Named => other(f); }
        messages(f) { Named => *f += 1; }
        turns(f) { Named => *f += 1; }
        changes(f) { Named => *f += 1; }
        usage(f) { Named => consumed(f, |usage| usage.input += 1); }
        created_at(f) { Named => *f += 1; }
        archived_at(f) { Named => *f += 1; }
        chunks(f) { Named => *f += 1; }
        bytes(f) { Named => *f += 1; }
        records(f) { Named => *f += 1; }
        checksum(f) { Named => *f += 1; }
    });
}
