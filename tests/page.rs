//! Listings as values: the cursor's text, the query of a URL, pages, links, and ids.

use std::collections::BTreeSet;

use parlor::id::{MessageId, SessionId, Stamp, ThreadId, TurnId};
use parlor::page::{Damaged, Direction, Form, Link, Matched, MessagePage, MessageQuery, Meta, PageAt, Roles, Types};
use parlor::{ErrorKind, Message, MessageType, Role, Timestamp, Ts, limit};
use proptest::prelude::*;
use uuid::Uuid;

const SESSION: &str = "a196cec6-49cb-4c48-8e4c-2707fb5d6709";
const THREAD: &str = "71562cd0-1f63-41b2-8382-10f2fdb1ac8b";

fn session() -> SessionId {
    SESSION.parse().expect("a UUID")
}

fn thread() -> ThreadId {
    THREAD.parse().expect("a UUID")
}

fn ts(micros: u64) -> Ts {
    Ts::from_micros(micros).expect("in range")
}

fn any_ts() -> impl Strategy<Value = Ts> {
    let edges = [0, 1, 999_999, 1_000_000, 1 << 51, limit::CALLER_TS_MICROS, limit::TS_MICROS_MAX];
    prop_oneof![
        4 => 0..=limit::TS_MICROS_MAX,
        1 => (0..edges.len(), 0..3_u64).prop_map(move |(at, less)| edges[at].saturating_sub(less)),
        1 => (0..=limit::TS_MICROS_MAX / 1_000_000).prop_map(|seconds| seconds * 1_000_000),
    ]
    .prop_map(ts)
}

fn any_query() -> impl Strategy<Value = MessageQuery> {
    let types = prop::option::of(prop::sample::subsequence(MessageType::ALL.to_vec(), 1..=3));
    let roles = prop::option::of(prop::sample::subsequence(Role::ALL.to_vec(), 1..=4));
    let thread = prop::option::of(any::<u128>().prop_map(|bits| ThreadId::from_uuid(Uuid::from_u128(bits))));
    let direction = prop::option::of(prop::sample::select(Direction::ALL.to_vec()));
    let numbers = (prop::option::of(any_ts()), prop::option::of(any::<u64>()), prop::option::of(any::<u32>()));
    (types, roles, thread, numbers, direction).prop_map(|(types, roles, thread, (gts, page, limit), direction)| {
        let mut query = MessageQuery::default();
        query.types = types.map(Types::from_iter);
        query.roles = roles.map(Roles::from_iter);
        (query.thread, query.gts, query.page, query.limit, query.direction) = (thread, gts, page, limit, direction);
        query
    })
}

/// Microseconds of a decimal number by moving its point through the text; `None` past the bound.
fn micros_by_text(whole: &str, fraction: &str, exponent: i32) -> Option<u64> {
    let digits = format!("{whole}{fraction}");
    let before_point = whole.len() as i32 + exponent + 6;
    let text: String = (0..before_point.max(0)).map(|at| digits.chars().nth(at as usize).unwrap_or('0')).collect();
    let text = text.trim_start_matches('0');
    let micros = if text.is_empty() { 0 } else { text.parse::<u128>().unwrap_or(u128::MAX) };
    u64::try_from(micros).ok().filter(|micros| *micros <= limit::TS_MICROS_MAX)
}

proptest! {
    #[test]
    fn a_ts_goes_there_and_back_as_text_as_json_and_as_a_double(at in any_ts()) {
        let text = at.to_string();
        prop_assert_eq!(text.parse::<Ts>().unwrap(), at);
        let json = serde_json::to_string(&at).unwrap();
        prop_assert_eq!(serde_json::from_str::<Ts>(&json).unwrap(), at);
        let double: f64 = json.parse().unwrap();
        prop_assert_eq!(double, at.as_seconds());
        prop_assert_eq!(Ts::from_seconds(double).unwrap(), at);
        let value = serde_json::to_value(at).unwrap();
        prop_assert!(value.is_number());
        prop_assert_eq!(serde_json::from_value::<Ts>(value).unwrap(), at);
    }

    #[test]
    fn digits_past_the_sixth_are_dropped_and_not_rounded(at in any_ts(), finer in "[0-9]{0,30}") {
        let text = format!("{}.{:06}{finer}", at.as_micros() / 1_000_000, at.as_micros() % 1_000_000);
        prop_assert_eq!(text.parse::<Ts>().unwrap(), at);
        prop_assert_eq!(serde_json::from_str::<Ts>(&text).unwrap(), at);
    }

    #[test]
    fn a_decimal_text_is_read_exactly_or_refused(
        whole in "[0-9]{0,25}", fraction in "[0-9]{0,25}", exponent in -60..60_i32, mark in "e|E|e\\+|",
    ) {
        let tail = match (&*mark, exponent) {
            ("", _) => String::new(),
            ("e+", ..0) => format!("e{exponent}"),
            _ => format!("{mark}{exponent}"),
        };
        let exponent = if tail.is_empty() { 0 } else { exponent };
        let read = format!("{whole}.{fraction}{tail}").parse::<Ts>().ok().map(Ts::as_micros);
        let known = if whole.is_empty() && fraction.is_empty() { None } else { micros_by_text(&whole, &fraction, exponent) };
        prop_assert_eq!(read, known);
    }

    #[test]
    fn hostile_text_is_refused_and_never_panics(text in prop_oneof![".{0,80}", "[-+0-9.eE_ ]{0,60}", "[0-9]{0,400}e[-+]?[0-9]{0,14}"]) {
        if let Ok(read) = text.parse::<Ts>() {
            prop_assert!(read <= Ts::MAX);
            prop_assert_eq!(read.to_string().parse::<Ts>().unwrap(), read);
        }
        let _ = serde_json::from_str::<Ts>(&text);
        let as_pair: String = form_urlencoded::Serializer::new(String::new()).append_pair("gts", &text).finish();
        let from_url = MessageQuery::from_query_string(&as_pair).ok().and_then(|query| query.gts);
        prop_assert_eq!(from_url, text.parse().ok());
    }

    #[test]
    fn any_double_is_read_or_refused(bits in any::<u64>()) {
        let seconds = f64::from_bits(bits);
        match Ts::from_seconds(seconds) {
            Ok(read) => prop_assert!((read.as_seconds() - seconds).abs() <= 1e-6),
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::InvalidArgument);
                prop_assert!(!(0.0..4e9).contains(&seconds) || seconds.is_sign_negative());
            }
        }
    }

    #[test]
    fn a_query_goes_into_a_url_and_back(query in any_query()) {
        prop_assert_eq!(MessageQuery::from_query_string(&query.to_query_string()).unwrap(), query);
    }

    #[test]
    fn any_url_query_is_read_or_refused(text in prop_oneof![
        ".{0,120}",
        "(&?(type|role|thread_id|gts|page|limit|direction|x)=(message|user|asc|desc|[0-9]{1,22}|%[0-9A-F]{2}|\\+|.{0,6})){0,6}",
    ]) {
        match MessageQuery::from_query_string(&text) {
            Ok(read) => prop_assert_eq!(MessageQuery::from_query_string(&read.to_query_string()).unwrap(), read),
            Err(error) => prop_assert_eq!(error.kind(), ErrorKind::InvalidArgument),
        }
    }

    #[test]
    fn pages_cover_what_there_is_without_gap_or_overlap(total in 0..2000_u64, limit in 1..=100_u32) {
        let pages = Meta::new(total, PageAt::new(None, Some(limit)).unwrap()).total_pages;
        let mut covered = 0;
        for page in 1..=pages {
            let at = PageAt::new(Some(page), Some(limit)).unwrap();
            prop_assert_eq!(at.offset(), covered);
            covered += u64::from(limit).min(total - covered);
        }
        prop_assert_eq!(covered, total);
        prop_assert!(PageAt::new(Some(pages + 1), Some(limit)).unwrap().offset() >= total);
    }

    #[test]
    fn ids_of_one_operation_are_v7_rising_and_unique(
        micros in any::<u64>(),
        seed in prop_oneof![any::<u64>(), (0..1000_u64).prop_map(|less| (u64::MAX >> 2) - less)],
        (a, b) in (0..10_000_u32, any::<u32>()),
    ) {
        let at = Timestamp::from_micros(micros);
        let stamp = Stamp::new(at, seed);
        for n in [a, b] {
            let id = stamp.uuid(n);
            prop_assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
            prop_assert_eq!((id.as_u128() >> 80) as u64, at.as_millis());
        }
        prop_assert_eq!(stamp.uuid(a).cmp(&stamp.uuid(b)), a.cmp(&b));
    }
}

#[test]
fn ids_of_two_operations_in_one_millisecond_differ_as_their_seeds_do() {
    let at = Timestamp::from_micros(1_777_573_302_000_000);
    let seeds = [0, 1, 2, u64::MAX >> 3, u64::from(u32::MAX)];
    let ids: BTreeSet<Uuid> =
        seeds.iter().flat_map(|seed| [0, 1, 4095].map(|n| Stamp::new(at, *seed).uuid(n))).collect();
    assert_eq!(ids.len(), seeds.len() * 3);
    assert_ne!(Stamp::random(at), Stamp::random(at));
}

#[test]
fn what_is_no_ts_is_refused_by_name_value_and_bound() {
    let hostile =
        ["", ".", "-1", "-0", "+1", " 1", "1 ", "1,5", "1_000", "0x10", "e5", ".e5", "1e", "1e+", "1e1.5", "NaN"];
    let beyond = ["4503599627.370496", "4503599627370496e-6", "1e10", "1e999999999", "1e99999999999", "١"];
    for text in hostile.into_iter().chain(beyond) {
        let error = text.parse::<Ts>().expect_err(text);
        assert_eq!(error.to_string(), format!("ts is {text:?}; it must be epoch seconds from 0 to 4503599627.370495"));
    }
    assert_eq!("4503599627.370495".parse::<Ts>().unwrap(), Ts::MAX);
    for json in ["\"1\"", "null", "[1]", "{}", "true", "-1", "1e10"] {
        assert!(serde_json::from_str::<Ts>(json).is_err(), "{json}");
    }
    let error = Ts::from_micros(1 << 52).unwrap_err();
    assert_eq!(
        error.to_string(),
        "ts is 4503599627370496 microseconds; it must be at most 4503599627370495 (2^52 - 1)"
    );
    let long = "9".repeat(1000).parse::<Ts>().unwrap_err().to_string();
    assert!(long.starts_with(&format!("ts is {:?}…; it must be", "9".repeat(64))), "{long}");
}

#[test]
fn a_query_that_says_nothing_has_the_defaults() {
    let query = MessageQuery::from_query_string("").unwrap();
    assert_eq!(query, MessageQuery::from(()));
    assert_eq!(query.to_query_string(), "");
    let matching = query.matching().unwrap();
    assert_eq!(matching.types.iter().collect::<Vec<_>>(), [MessageType::Message, MessageType::FinalMessage]);
    assert_eq!(matching.roles.iter().collect::<Vec<_>>(), [Role::Assistant]);
    assert_eq!((matching.thread, matching.gts, matching.past), (None, Ts::ZERO, None));
    assert_eq!((matching.direction, matching.offset, matching.limit), (Direction::Desc, 0, 50));
}

#[test]
fn short_forms_and_repeated_parameters_say_the_same_as_long_ones() {
    let long = MessageQuery::default().limit(7).direction(Direction::Asc);
    assert_eq!(MessageQuery::from((7, Direction::Asc)), long);
    assert_eq!(MessageQuery::from(7).direction, None);
    assert_eq!(MessageQuery::from(Direction::Asc).limit, None);
    let read =
        MessageQuery::from_query_string("type=tool_call&role=user&type=message&role=tool&type=tool_call").unwrap();
    assert_eq!(read.types, Some(Types::only(MessageType::Message).with(MessageType::ToolCall)));
    assert_eq!(read.roles, Some(Roles::only(Role::Tool).with(Role::User)));
    assert_eq!(MessageQuery::all().matching().unwrap().roles, Roles::from_iter(Role::ALL));
}

#[test]
fn what_breaks_a_bound_is_refused_by_name_value_and_bound() {
    let cases = [
        ("page=0", "page is 0; it must be at least 1"),
        ("limit=0", "limit is 0; it must be 1 to 100"),
        ("limit=101", "limit is 101; it must be 1 to 100"),
        ("page=-1", r#"page is "-1"; it must be a whole number from 1 to 18446744073709551615"#),
        ("page=1.5", r#"page is "1.5"; it must be a whole number from 1 to 18446744073709551615"#),
        ("limit=4294967296", r#"limit is "4294967296"; it must be a whole number from 1 to 100"#),
        ("limit=%2B5", r#"limit is "+5"; it must be a whole number from 1 to 100"#),
        ("limit=", r#"limit is ""; it must be a whole number from 1 to 100"#),
        ("gts=-1", r#"gts is "-1"; it must be epoch seconds from 0 to 4503599627.370495"#),
        ("thread_id=7", r#"thread_id is "7"; it must be a UUID"#),
        ("type=final", r#"type is "final"; it must be one of message, final_message, tool_call"#),
        ("role=Assistant", r#"role is "Assistant"; it must be one of user, assistant, system, tool"#),
        ("direction=up", r#"direction is "up"; it must be one of asc, desc"#),
        ("limit=5&limit=6", "limit is given twice"),
        ("direction=asc&direction=asc", "direction is given twice"),
        (
            "before=1",
            r#"parameter is "before"; it must be one of type, role, thread_id, gts, page, limit, direction, cursor"#,
        ),
    ];
    for (text, message) in cases {
        let error = MessageQuery::from_query_string(text).and_then(|query| query.matching()).expect_err(text);
        assert_eq!((error.kind(), &*error.to_string()), (ErrorKind::InvalidArgument, message), "{text}");
    }
    let none = MessageQuery::default().types(Types::NONE).matching().unwrap_err();
    assert_eq!(none.to_string(), "type names none; it must name at least one");
    let none = MessageQuery::default().roles(Roles::NONE).matching().unwrap_err();
    assert_eq!(none.to_string(), "role names none; it must name at least one");
    for limit in [0, 1001] {
        let error = parlor::page::Matching::history(limit).unwrap_err();
        assert_eq!(error.to_string(), format!("limit is {limit}; it must be 1 to 1000"));
    }
}

#[test]
fn a_page_far_past_the_end_is_a_page_all_the_same() {
    let last = MessageQuery::from_query_string("page=18446744073709551615&limit=100").unwrap();
    assert_eq!(last.matching().unwrap().offset, u64::MAX);
    let meta = Meta::new(0, last.page_at().unwrap());
    assert_eq!((meta.total, meta.page, meta.limit, meta.total_pages), (0, u64::MAX, 100, 0));
    assert_eq!(Meta::new(u64::MAX, PageAt::default()).total_pages, u64::MAX.div_ceil(50));
}

#[test]
fn a_link_is_relative_without_a_base_and_absolute_behind_one() {
    let query = MessageQuery::default().types(MessageType::FinalMessage).roles(Role::Assistant);
    let path = format!("/rest/v1/sessions/{SESSION}");
    let cases = [
        (Form::Session(session()), "", format!("{path}/messages?type=final_message&role=assistant")),
        (
            Form::Thread(session(), thread()),
            "https://a.example/",
            format!("https://a.example{path}/threads/{THREAD}/messages?type=final_message&role=assistant"),
        ),
    ];
    for (form, base, href) in cases {
        assert_eq!(Link { form, query }.href(base), href);
    }
    let bare = Link { form: Form::Session(session()), query: MessageQuery::default() };
    assert_eq!(bare.href("http://localhost:80/api"), format!("http://localhost:80/api{path}/messages"));
}

/// A session of messages at these `ts`, by turns of user and assistant.
fn messages(at: &[u64]) -> Vec<Message> {
    let stamp = Stamp::new(Timestamp::default(), 1);
    let role = |n: usize| [Role::User, Role::Assistant][n % 2];
    let kind = |n: usize| MessageType::ALL[n % 3];
    at.iter()
        .enumerate()
        .map(|(n, micros)| {
            let id = MessageId::from_uuid(stamp.uuid(n as u32));
            Message::new(id, session(), n as u32 + 1, role(n), kind(n), ts(*micros), Timestamp::from_micros(*micros))
        })
        .collect()
}

/// What a store answers, by plain scanning.
fn page_of(all: &[Message], this: Link) -> MessagePage {
    let matching = this.query.matching().expect("a valid query");
    let matches =
        |m: &&Message| matching.types.contains(m.kind) && matching.roles.contains(m.role) && m.ts > matching.gts;
    let mut found: Vec<Message> = all.iter().filter(matches).cloned().collect();
    let (total, newest) = (found.len() as u64, found.last().map(|m| m.ts));
    if matching.direction == Direction::Desc {
        found.reverse();
    }
    let before = matching.offset.min(total);
    let items = found.into_iter().skip(matching.offset as usize).take(matching.limit as usize).collect();
    this.ask().expect("a valid query").page(Matched { items, total, before, newest, damaged: Vec::new() })
}

#[test]
fn new_messages_carries_the_cursor_that_its_page_reached() {
    let all = messages(&[1_000_000, 2_000_000, 3_000_000, 4_500_000]);
    let cases = [
        // Newest first: the greatest of all that match, whichever page was shown.
        ("role=user&role=assistant&type=message&type=final_message&type=tool_call&limit=1&page=3", "4.5"),
        ("role=user&type=message&type=tool_call", "3"),
        // Oldest first: the last of the items.
        ("role=user&role=assistant&type=message&type=final_message&type=tool_call&limit=2&direction=asc", "2"),
        // Nothing reached: what came in, else 0.
        ("role=system", "0"),
        ("role=system&gts=7.25", "7.25"),
        ("role=user&type=message&type=tool_call&gts=1&page=9&direction=asc", "1"),
        ("role=system&direction=asc", "0"),
    ];
    for (asked, gts) in cases {
        for form in [Form::Session(session()), Form::Thread(session(), thread())] {
            let query = MessageQuery::from_query_string(asked).unwrap().thread(thread());
            let page = page_of(&all, Link { form, query });
            assert_eq!(page.this, Link { form, query }, "{asked}");
            let next = page.new_messages;
            assert_eq!(next.form, form, "{asked}");
            let mut expected = query.gts(gts.parse().unwrap()).direction(Direction::Asc);
            expected.page = None;
            assert_eq!(next.query, expected, "{asked}");
        }
    }
}

#[test]
fn the_cursor_gets_past_a_message_that_cannot_be_read() {
    let all = messages(&[1_000_000, 3_000_000]);
    let damaged = |micros| vec![Damaged::new(Some(2), micros, "checksum")];
    let cases = [
        (Direction::Asc, None, &all[..0], damaged(Some(ts(2_000_000))), "2"),
        (Direction::Asc, None, &all[..1], damaged(Some(ts(2_000_000))), "2"),
        (Direction::Asc, None, &all[..], damaged(Some(ts(2_000_000))), "3"),
        (Direction::Asc, None, &all[..1], damaged(None), "1"),
        (Direction::Desc, Some(ts(3_000_000)), &all[1..], damaged(Some(ts(2_000_000))), "3"),
        (Direction::Desc, None, &all[..0], damaged(Some(ts(2_000_000))), "2"),
    ];
    for (direction, newest, items, damaged, gts) in cases {
        let this = Link { form: Form::Session(session()), query: MessageQuery::all().direction(direction) };
        let found = Matched { items: items.to_vec(), total: 3, before: 0, newest, damaged: damaged.clone() };
        let page = this.ask().expect("a valid query").page(found);
        assert_eq!(page.new_messages.query.gts, Some(gts.parse().unwrap()), "{damaged:?}");
        assert_eq!((page.damaged, page.meta.total), (damaged, 3));
    }
}

proptest! {
    #[test]
    fn who_follows_new_messages_reads_every_later_match_exactly_once(
        query in any_query(), steps in prop::collection::vec((1..4_usize, 0..3_usize), 1..12), before in 0..20_usize,
    ) {
        let all = messages(&(1..=60).map(|n| n * 10).collect::<Vec<_>>());
        let mut query = query;
        (query.thread, query.limit) = (None, query.limit.map(|limit| limit % 3 + 1));
        (query.page, query.gts) = (query.page.map(|page| page % 4 + 1), query.gts.map(|gts| ts(gts.as_micros() % 300)));
        let first = page_of(&all[..before], Link { form: Form::Session(session()), query });
        let reached = first.new_messages.query.gts.unwrap();
        let (mut written, mut link, mut read) = (before, first.new_messages, Vec::new());
        for (more, polls) in steps {
            written += more;
            for _ in 0..polls {
                let page = page_of(&all[..written], link);
                read.extend(page.items.iter().map(|m| m.number));
                link = page.new_messages;
            }
        }
        loop {
            let page = page_of(&all[..written], link);
            if page.items.is_empty() {
                break;
            }
            read.extend(page.items.iter().map(|m| m.number));
            link = page.new_messages;
        }
        let whole = query.matching().unwrap();
        let matches = |m: &&Message| whole.types.contains(m.kind) && whole.roles.contains(m.role) && m.ts > reached;
        prop_assert_eq!(read, all[..written].iter().filter(matches).map(|m| m.number).collect::<Vec<_>>());
        if first.this.query.direction_or_default() == Direction::Desc {
            prop_assert!(all[..before].iter().filter(matches).count() == 0);
        }
    }
}

#[test]
fn ids_are_read_as_they_are_printed_and_name_themselves_when_not() {
    let id: TurnId = SESSION.parse().unwrap();
    assert_eq!(id.to_string(), SESSION);
    assert_eq!(format!("{id:?}"), format!("TurnId({SESSION})"));
    assert_eq!(serde_json::to_string(&id).unwrap(), format!("{SESSION:?}"));
    let error = "a196cec6".parse::<TurnId>().unwrap_err();
    assert_eq!(error.to_string(), r#"turn id is "a196cec6"; it must be a UUID"#);
}
