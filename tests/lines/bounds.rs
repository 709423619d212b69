//! What has to be remembered of a stranger's session while it comes is bounded, and what is held of an export before it is written.

use std::fmt::Write as _;

use parlor::limit::{ARCHIVE_CHUNK_BYTES, LOAD_TURNS_AT_WORK};
use parlor::{ErrorKind, ImportOptions, NewAgent};

use super::scene::{Pieces, agent, assert_whole, empty, import};

const TIME: u64 = 1_777_573_302_000_000;

fn id(kind: u32, number: usize) -> String {
    format!("0190{kind:04x}-0000-7000-8000-{number:012x}")
}

/// A session whose turns all wait at once before each is cancelled, and say that they wrote so many messages.
fn waiting(turns: usize, wrote: u32) -> String {
    let mut text = String::new();
    let mut line = |line: String| writeln!(text, "{line}").expect("there is memory");
    let (at, records) = (format!("\"created_at_micros\":{TIME}"), turns * 6 + 1);
    line(format!("{{\"parlor\":1,\"whole\":\"engine\",\"exported_at_micros\":{TIME},\"records\":{records}}}"));
    line(format!("{{\"line\":\"workspace\",\"id\":\"{}\",\"name\":\"acme\",{at}}}", id(1, 1)));
    line(format!("{{\"line\":\"agent\",\"id\":\"{}\",\"name\":\"worker\",{at}}}", id(2, 1)));
    let stands = format!("\"threads\":{turns},\"turns\":{turns},\"messages\":{turns},\"changes\":{}", 3 * turns + 1);
    let last = format!("\"last_ts_micros\":{turns},\"last_created_at_micros\":{TIME},\"updated_at_micros\":{TIME}");
    let session = format!("\"id\":\"{}\",\"key\":\"k\",{at},{stands},{last},\"epoch\":0", id(3, 1));
    line(format!("{{\"line\":\"session\",{session}}}"));
    for number in 1..=turns {
        line(format!("{{\"line\":\"thread\",\"number\":{number},\"id\":\"{}\",{at}}}", id(4, number)));
    }
    for number in 1..=turns {
        let (turn, thread, message) = (id(5, number), id(4, number), id(6, number));
        let place = format!("\"thread\":\"{thread}\",\"thread_number\":{number}");
        let first = format!("\"message\":\"{message}\",\"message_number\":{number}");
        let end = format!("\"state\":\"interrupted\",\"reason\":\"cancelled\",\"ended_at_micros\":{TIME}");
        let counts = format!("\"messages\":{wrote},\"attempt\":1");
        line(format!(
            "{{\"line\":\"turn\",\"number\":{number},\"id\":\"{turn}\",{place},{first},{end},{counts},{at}}}"
        ));
        let says = format!("\"role\":\"user\",\"type\":\"message\",\"content\":\"x\",\"ts_micros\":{number}");
        line(format!(
            "{{\"line\":\"message\",\"number\":{number},\"id\":\"{message}\",{place},\"turn\":\"{turn}\",{says},{at}}}"
        ));
    }
    let mut number = 0;
    let mut change = |what: String| {
        number += 1;
        line(format!("{{\"line\":\"change\",\"number\":{number},{what}}}"));
    };
    let turn = |of, state| {
        let id = id(5, of);
        format!("\"what\":\"turn\",\"of\":{of},\"id\":\"{id}\",\"state\":\"{state}\"")
    };
    change("\"what\":\"created\"".into());
    for of in 1..=turns {
        change(format!("\"what\":\"message\",\"of\":{of},\"id\":\"{}\"", id(6, of)));
        change(turn(of, "queued"));
    }
    (1..=turns).for_each(|of| change(turn(of, "interrupted")));
    let counts = format!("\"threads\":{turns},\"turns\":{turns},\"messages\":{turns},\"changes\":{}", 3 * turns + 1);
    let left = "\"ended\":0,\"outbox_left_out\":0,\"archives_left_out\":0,\"access_keys_left_out\":0";
    line(format!("{{\"line\":\"end\",\"workspaces\":1,\"agents\":1,\"sessions\":1,{counts},{left}}}"));
    text
}

#[test]
fn as_many_turns_as_may_be_at_work_come_in() {
    let engine = empty();
    let report = import(&engine, &waiting(LOAD_TURNS_AT_WORK, 0)).expect("it is within the bound");
    assert_eq!((report.sessions, report.turns), (1, LOAD_TURNS_AT_WORK as u64));
    assert_whole(&engine);
}

#[test]
fn a_turn_more_is_refused_and_nothing_shows() {
    let turns = LOAD_TURNS_AT_WORK + 1;
    for (wrote, text) in [
        (0, format!("{turns} turns wait; at most {LOAD_TURNS_AT_WORK}")),
        (1, format!("{turns} turns at work; at most {LOAD_TURNS_AT_WORK}")),
    ] {
        let engine = empty();
        let lines = waiting(turns, wrote);
        let error = engine.import(lines.as_bytes(), ImportOptions::default()).expect_err("it is over the bound");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().ends_with(&text), "{error}");
        assert_eq!(agent(&engine, "acme", "worker").sessions(()).expect("sessions").meta.total, 0);
        assert_whole(&engine);
    }
}

#[test]
fn the_lines_of_many_agents_are_written_piece_by_piece() {
    let engine = empty();
    let acme = engine.workspace("acme").expect("a workspace");
    let label = "\u{1}".repeat(255);
    for number in 0..500 {
        acme.create_agent(NewAgent::new(format!("agent {number}")).label(&*label)).expect("an agent");
    }
    let mut pieces = Pieces::default();
    let report = engine.export(&mut pieces).expect("it is exported");
    let (all, most) = (
        pieces.0.iter().map(Vec::len).sum::<usize>(),
        pieces.0.iter().map(Vec::len).max().expect("something is written"),
    );
    assert!(report.bytes as usize == all && all > 2 * ARCHIVE_CHUNK_BYTES, "{all} bytes");
    assert!(most < ARCHIVE_CHUNK_BYTES + (8 << 10), "{most} bytes at once");
}
