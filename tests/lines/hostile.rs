//! Lines of a stranger's: each is taken in whole, or refused by what is wrong with it.

use parlor::{Engine, ErrorKind, ImportOptions, NewSession, limit};

use super::scene::{agent, assert_whole, body, busy_with_tools, empty, import, lines, rich, skipping};

/// The lines of an engine with two sessions.
fn good() -> String {
    let engine = busy_with_tools();
    rich(&engine, "acme", "one");
    rich(&engine, "acme", "two");
    lines(&engine)
}

fn joined(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// What refuses these lines, into an engine of which nothing breaks.
#[track_caller]
fn refused(text: &[u8]) -> (ErrorKind, String) {
    let engine = empty();
    let error = engine.import(text, ImportOptions::default()).expect_err("they are wrong");
    assert_whole(&engine);
    (error.kind(), error.to_string())
}

#[test]
fn wherever_lines_are_cut_off_it_is_seen_and_whole_sessions_have_come() {
    let good = good();
    let all: Vec<&str> = good.lines().collect();
    let second = all.iter().rposition(|line| line.starts_with("{\"line\":\"session\"")).expect("a session");
    for count in 1..all.len() {
        let engine = empty();
        let error = import(&engine, &joined(&all[..count])).expect_err("the end is missing");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        let sessions = match count {
            0..3 => None,
            _ => Some(agent(&engine, "acme", "worker").sessions(()).expect("sessions").meta.total),
        };
        assert_eq!(sessions.unwrap_or_default(), u64::from(count > second), "{count} of {}", all.len());
        assert_whole(&engine);
    }
    // Within a line it is no JSON.
    let (kind, text) = refused(good.trim_end().strip_suffix('}').expect("an object").as_bytes());
    assert_eq!(kind, ErrorKind::InvalidArgument);
    assert!(text.starts_with(&format!("line {} is no JSON object", all.len())), "{text}");
    // With what came in left out, the import goes on where it ended.
    let engine = empty();
    import(&engine, &joined(&all[..all.len() - 3])).expect_err("it is cut off");
    let report = engine.import(good.as_bytes(), skipping()).expect("it goes on");
    assert_eq!((report.sessions, report.sessions_skipped), (1, 1));
    assert_eq!(body(&lines(&engine)), body(&good));
}

#[test]
fn a_line_that_is_gone_doubled_or_in_anothers_place_is_seen() {
    let good = good();
    let all: Vec<&str> = good.lines().collect();
    for at in 0..all.len() {
        let mut gone = all.clone();
        gone.remove(at);
        let mut doubled = all.clone();
        doubled.insert(at, all[at]);
        let mut swapped = all.clone();
        swapped.swap(at, (at + 1) % all.len());
        for (what, changed) in [("gone", gone), ("doubled", doubled), ("swapped", swapped)] {
            let (kind, text) = refused(joined(&changed).as_bytes());
            let known = [ErrorKind::InvalidArgument, ErrorKind::Corrupt, ErrorKind::Conflict];
            assert!(known.contains(&kind) && text.starts_with("line "), "{what} {at}: {kind:?} {text}");
        }
    }
}

/// The good lines with the first `from` replaced.
fn with(from: &str, to: &str) -> Vec<u8> {
    let good = good();
    assert!(good.contains(from), "{from} is in no line");
    good.replacen(from, to, 1).into_bytes()
}

#[test]
fn a_value_that_is_no_such_thing_is_named_with_its_line_and_its_bound() {
    let says = |from: &str, to: &str, expected: &str| {
        let (kind, text) = refused(&with(from, to));
        assert_eq!(text, expected);
        assert_eq!(kind, ErrorKind::InvalidArgument, "{text}");
    };
    says("\"name\":\"acme\"", "\"name\":7", "line 2: name is \"7\"; it must be a string");
    says("\"name\":\"acme\"", "\"name\":\"\"", "line 2: name has 0 characters; it must have 1 to 255");
    says("\"name\":\"acme\"", "\"nam\":\"acme\"", "line 2: name is missing; it must be a string");
    says("\"key\":\"one\"", "\"key\":null", "line 4: key is missing; it must be a string");
    says("\"epoch\":2", "\"epoch\":-2", "line 4: epoch is \"-2\"; it must be an integer of 0 to 2^64 - 1");
    says("\"failed\":true", "\"failed\":1", "line 4: failed is \"1\"; it must be true or false");
    says("\"input\":14", "\"input\":1.5", "line 4: usage.input is \"1.5\"; it must be an integer of 0 to 2^64 - 1");
    says(
        "\"role\":\"system\"",
        "\"role\":\"robot\"",
        "line 7: role is \"\\\"robot\\\"\"; it must be user, assistant, system or tool",
    );
    says("\"data\":\"AP8D\"", "\"data\":\"A\"", "line 12: images.data is \"\\\"A\\\"\"; it must be base64");
    says(
        "\"what\":\"deleted\"",
        "\"what\":\"gone\"",
        "line 42: what is \"gone\"; it must be one of created, message, deleted, purged, turn, context_mark, updated, archived, restored",
    );
    says(
        "{\"line\":\"thread\",\"number\":1,",
        "{\"line\":\"thread\",\"number\":2,",
        "line 5: number is 2, where 1 is due",
    );
    says(
        "\"metadata_json\":\"null\"",
        "\"metadata_json\":\"nul\"",
        "line 4: metadata_json is \"nul\"; it must be JSON",
    );
    says(
        "\"metadata_json\":\"null\"",
        "\"metadata_json\":\"1\",\"metadata\":2",
        "line 4: metadata is \"2\"; it must be none beside metadata_json",
    );
    let (kind, text) = refused(&with("\"created_at_micros\":1", "\"created_at_micros\":991"));
    assert_eq!(kind, ErrorKind::InvalidArgument);
    assert!(text.starts_with("line 2: created_at_micros is \"991") && text.contains("253402300799999999"), "{text}");
    let (kind, text) = refused(&with("\"parlor\":1", "\"parlor\":2"));
    let newer = "line 1: the export has format 2; this library reads up to 1";
    assert_eq!((kind, &*text), (ErrorKind::NewerFormat, newer));
    let (kind, text) = refused(&with("\"parlor\":1", "\"parlor\":0"));
    assert_eq!((kind, &*text), (ErrorKind::Corrupt, "line 1: the export has format 0; this library reads 1"));
}

#[test]
fn what_does_not_fit_the_rest_of_its_session_is_corrupt_and_named_with_its_line() {
    let cases = [
        (
            "\"messages\":13",
            "\"messages\":14",
            "line 43: a session that is loaded is wrong: messages: 14 where 13 is so",
        ),
        ("\"messages\":13", "\"messages\":12", "line 21: a session that is loaded is wrong: more than 12 messages"),
        ("\"epoch\":2", "\"epoch\":3", "line 43: a session that is loaded is wrong: the epoch: 3 where 2 is so"),
        (
            "\"failed\":true,",
            "",
            "line 43: a session that is loaded is wrong: whether the last turn failed: 0 where 1 is so",
        ),
        (
            "\"input\":14",
            "\"input\":15",
            "line 43: a session that is loaded is wrong: its usage is not that of its turns",
        ),
        ("\"thread_number\":1", "\"thread_number\":2", "line 13: a session that is loaded is wrong: thread 2"),
        ("\"deleted\":true,", "", "line 42: a session that is loaded is wrong: event 21"),
        (
            "\"state\":\"completed\"",
            "\"state\":\"running\"",
            "line 13: a session that is loaded is wrong: turn 1: it has not ended",
        ),
        (
            "\"what\":\"deleted\",\"of\":2,\"id\":",
            "\"what\":\"archived\",\"was\":",
            "line 43: a session that is loaded is wrong: events of deletions: 1 where 0 is so",
        ),
        ("\"sessions\":2", "\"sessions\":3", "line 82: sessions is 3, where 2 lines are so"),
        ("\"messages\":26", "\"messages\":27", "line 82: messages is 27, where 26 lines are so"),
    ];
    for (from, to, expected) in cases {
        let (kind, text) = refused(&with(from, to));
        assert_eq!((kind, &*text), (ErrorKind::Corrupt, expected), "{from} as {to}");
    }
    // One that was archived is no live session.
    let archived = with("\"what\":\"deleted\",\"of\":2,\"id\":", "\"what\":\"archived\",\"was\":");
    let archived = String::from_utf8(archived).expect("text").replacen("\"deleted\":true,", "", 1);
    let (kind, text) = refused(archived.as_bytes());
    let expected = "line 43: the events before it end with an archiving";
    assert_eq!((kind, &*text), (ErrorKind::Corrupt, expected));
}

#[test]
fn what_is_too_much_is_refused_before_there_is_memory_for_it() {
    let head = good().lines().take(3).collect::<Vec<_>>().join("\n");
    let too = |line: String| refused(format!("{head}\n{line}\n").as_bytes());
    let (kind, text) = too("x".repeat(limit::LINES_LINE_BYTES + 1));
    assert_eq!((kind, &*text), (ErrorKind::TooLarge, "line 4 has more than 104857600 bytes (LINES_LINE_BYTES)"));
    let fields: Vec<String> = (0..300).map(|n| format!("\"f{n}\":0")).collect();
    let (kind, text) = too(format!("{{{}}}", fields.join(",")));
    assert_eq!(kind, ErrorKind::InvalidArgument);
    assert!(text.starts_with("line 4 is no JSON object of at most 256 fields, each once: there are more"), "{text}");
    let (_, text) = too("{\"line\":\"agent\",\"line\":\"agent\"}".into());
    assert!(text.contains("one is there twice"), "{text}");
    let calls = vec!["{\"id\":\"\",\"type\":\"\",\"function\":{\"name\":\"\",\"arguments\":\"\"}}"; 1001].join(",");
    let (_, text) = refused(&with("\"content\":\"be brief\\n\"", &format!("\"tool_calls\":[{calls}]")));
    assert!(text.ends_with("…; it must be a list of at most 1000"), "{text}");
    let large = format!("\"content\":\"{}\"", "x".repeat(limit::MESSAGE_BYTES + 1));
    let (kind, text) = refused(&with("\"content\":\"be brief\\n\"", &large));
    assert_eq!(kind, ErrorKind::Corrupt);
    assert!(text.contains("(MESSAGE_BYTES)"), "{text}");
}

#[test]
fn the_largest_message_there_is_comes_back() {
    let engine = empty();
    let session = agent(&engine, "acme", "worker").create_session(NewSession::default()).expect("a session");
    session.append(["\u{1}".repeat(limit::MESSAGE_BYTES)]).expect("it is appended");
    let other = empty();
    import(&other, &lines(&engine)).expect("it is imported");
    assert!(body(&lines(&other)) == body(&lines(&engine)));
}

#[test]
fn deep_json_is_kept_and_what_is_no_text_is_refused() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let engine = empty();
    let text = String::from_utf8(with("\"metadata\":[1,  2]", &format!("\"metadata\":{deep}"))).expect("text");
    import(&engine, &text).expect("it is imported");
    assert!(lines(&engine).contains(&deep));
    assert_whole(&engine);
    let mut bytes = good().into_bytes();
    let at = bytes.windows(8).position(|bytes| bytes == b"be brief").expect("it is there");
    bytes[at] = 0xff;
    let (kind, text) = refused(&bytes);
    assert!(kind == ErrorKind::InvalidArgument && text.starts_with("line 7 is no UTF-8 from byte "), "{text}");
}

#[test]
fn what_is_unknown_is_counted_by_its_name() {
    let text = String::from_utf8(with("\"key\":\"one\"", "\"key\":\"one\",\"mood\":{\"a\":[]}")).expect("text");
    let text = text.replace("\"input\":", "\"air\":null,\"input\":").replacen(
        "{\"line\":\"agent\"",
        "{\"line\":\"poem\"}\n{\"line\":\"agent\"",
        1,
    );
    let engine = empty();
    let report = import(&engine, &text).expect("it is imported");
    let unknown: Vec<_> = report.unknown.iter().map(|(name, count)| (&**name, *count)).collect();
    assert_eq!(unknown, [("line: poem", 1), ("mood", 1), ("usage.air", 6)]);
    assert_eq!(body(&lines(&engine)), body(&good_like(&engine)));
}

/// What an engine says once more.
fn good_like(engine: &Engine) -> String {
    let other = empty();
    import(&other, &lines(engine)).expect("it is imported");
    lines(&other)
}

#[test]
fn a_session_that_is_there_stops_an_import_or_is_left_out() {
    let text = good();
    let engine = empty();
    let taken = agent(&engine, "acme", "worker").create_session(NewSession::default().key("one")).expect("a session");
    let error = import(&engine, &text).expect_err("its key is taken");
    assert!(error.is_conflict());
    assert_eq!(error.to_string(), "line 4: session key \"one\" is in use by another session of the agent");
    let report = engine.import(text.as_bytes(), skipping()).expect("it is left out");
    assert_eq!((report.sessions, report.sessions_skipped, report.messages), (1, 1, 13));
    taken.delete().expect("it is deleted");
    // Archived, its id is not free either.
    let two = agent(&engine, "acme", "worker").session_by_key("two").expect("it is there");
    let id = two.id();
    two.archive().expect("it is archived");
    let report = engine.import(text.as_bytes(), skipping()).expect("it is left out");
    assert_eq!((report.sessions, report.sessions_skipped), (1, 1));
    assert!(engine.workspace("acme").and_then(|acme| acme.session(id)).expect_err("it is archived").is_not_found());
    assert_whole(&engine);
}

#[test]
fn of_a_session_that_is_refused_nothing_is_left() {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = Engine::builder(dir.path().join("a")).open().expect("it opens");
    let text = String::from_utf8(with("\"epoch\":2", "\"epoch\":3")).expect("text");
    import(&engine, &text).expect_err("it is wrong");
    // It is cleared away in steps.
    let rows = || {
        let stats = engine.file_stats().expect("it can be read");
        stats.tables.iter().filter(|table| ["rows", "sessions"].contains(&table.name)).map(|t| t.values).sum::<u64>()
    };
    for _ in 0..1000 {
        engine.compact().expect("it is compacted");
        if rows() == 0 {
            break;
        }
    }
    assert_eq!(rows(), 0);
    assert_whole(&engine);
    engine.close().expect("it closes");
}

/// A number like no other.
fn mixed(seed: u64) -> u64 {
    let mixed = (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (seed >> 7)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 29)
}

#[test]
fn whatever_the_mutation_lines_are_refused_or_taken_in_whole() {
    let good = good().into_bytes();
    let (mut engine, mut taken) = (empty(), 0);
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let (first, mutations) = (number("PARLOR_FIRST").unwrap_or(0), number("PARLOR_LINES").unwrap_or(10_000));
    for seed in first..first + mutations {
        let mut bytes = good.clone();
        for n in 0..=mixed(seed) % 3 {
            let random = mixed(seed.wrapping_mul(8).wrapping_add(n + 1));
            let at = (random >> 8) as usize % bytes.len();
            let digit = b'0' + (random >> 40) as u8 % 10;
            match random % 6 {
                0 => bytes[at] ^= 1 << (random >> 50 & 7),
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, digit),
                3 => bytes.truncate(at.max(1)),
                4 => {
                    let to = (at + (random >> 48) as usize % 40).min(bytes.len());
                    let copy = bytes[at..to].to_vec();
                    let place = mixed(random) as usize % bytes.len();
                    bytes.splice(place..place, copy);
                }
                _ => {
                    let from = bytes[at..].iter().position(u8::is_ascii_digit);
                    if let Some(from) = from {
                        bytes[at + from] = digit;
                    }
                }
            }
        }
        let workspace = engine.workspace(&format!("{seed}")).expect("a workspace");
        match workspace.import(&*bytes, ImportOptions::default()) {
            Ok(_) => taken += 1,
            Err(error) => {
                let known =
                    [ErrorKind::InvalidArgument, ErrorKind::Corrupt, ErrorKind::Conflict, ErrorKind::NewerFormat];
                assert!(known.contains(&error.kind()), "seed {seed}: {error:?}");
            }
        }
        if (seed - first) % 200 == 199 || seed + 1 == first + mutations {
            assert_whole(&engine);
            // All that came in can be told again.
            let again = empty();
            import(&again, &lines(&engine)).unwrap_or_else(|error| panic!("up to seed {seed}: {error}"));
            engine = empty();
        }
    }
    println!("{mutations} hostile exports");
    let is_enough = mutations < 1000 || (mutations / 100..mutations * 9 / 10).contains(&taken);
    assert!(is_enough, "{taken} of {mutations} were taken in");
}
