//! Text of strangers: query strings, cursors, `ts`; and the arithmetic of pages.

use parlor::page::{Cursor, Damaged, Form, Link, Matched, MessagePage, MessageQuery};
use parlor::{ErrorKind, Ts, limit};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

/// Parsing never panics, what parses prints and parses to itself, and bounds hold. The first byte chooses
/// what the rest is.
pub fn pages(data: &[u8]) {
    let Some((what, rest)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    match what % 4 {
        0 => query(&text),
        1 => cursor(&text),
        2 => cursor(&sealed(rest)),
        _ => ts(&text),
    }
}

fn ts(text: &str) {
    let read = text.parse::<Ts>();
    if let Ok(ts) = read {
        assert!(ts <= Ts::MAX);
        assert_eq!(ts.to_string().parse::<Ts>().ok(), Some(ts), "as text");
        assert_eq!(Ts::from_seconds(ts.as_seconds()).ok(), Some(ts), "as seconds");
        let json = serde_json::to_string(&ts).expect("it is a number");
        assert_eq!(serde_json::from_str::<Ts>(&json).ok(), Some(ts), "as JSON");
    }
    if let (Ok(json), Ok(ts)) = (serde_json::from_str::<Ts>(text), read) {
        assert_eq!(json, ts, "JSON is read otherwise than text");
    }
}

/// Bytes in the form that a cursor has, with the checksum that it would have: so that what stands
/// behind the checksum is reached, too.
fn sealed(body: &[u8]) -> String {
    let sum = (xxh3_64(body) as u32).to_le_bytes();
    body.iter().chain(&sum).map(|byte| format!("{byte:02x}")).collect()
}

fn cursor(text: &str) {
    match text.parse::<Cursor>() {
        Ok(cursor) => {
            assert_eq!(cursor.to_string(), text, "a cursor has one text");
            assert!(text.len() <= limit::CURSOR_BYTES);
            refused_or_asked(MessageQuery::all().cursor(cursor));
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidCursor),
    }
}

fn query(text: &str) {
    let query = match MessageQuery::from_query_string(text) {
        Ok(query) => query,
        Err(error) => return assert_refused(error.kind()),
    };
    let printed = query.to_query_string();
    assert_eq!(MessageQuery::from_query_string(&printed).ok(), Some(query), "{printed}");
    refused_or_asked(query);
}

fn assert_refused(kind: ErrorKind) {
    assert!([ErrorKind::InvalidArgument, ErrorKind::InvalidCursor].contains(&kind), "refused as {kind:?}");
}

fn refused_or_asked(query: MessageQuery) {
    let session = Uuid::from_u128(7);
    for form in [Form::Session(session.into()), Form::Thread(session.into(), Uuid::from_u128(8).into())] {
        let link = Link { form, query };
        match link.ask() {
            Err(error) => assert_refused(error.kind()),
            Ok(asked) => {
                let matching = asked.matching();
                assert!((limit::PAGE_LIMIT_MIN..=limit::PAGE_LIMIT_MAX).contains(&matching.limit));
                assert!(!matching.types.is_empty() && !matching.roles.is_empty() && matching.gts <= Ts::MAX);
                assert!(query.page != Some(0) && (query.page.is_none() || query.cursor.is_none()));
                let page = asked.page(found());
                links_lead_on(&link, &page);
            }
        }
    }
}

/// A page in the midst of a listing: the numbers of its ends come from two messages that cannot be read,
/// for only a store makes messages.
fn found() -> Matched {
    let damaged = [40, 41].map(|number| Damaged::new(Some(number), Some(Ts::ZERO), "for its number"));
    Matched { items: Vec::new(), total: 100, before: 39, newest: Some(Ts::MAX), damaged: damaged.into() }
}

/// The links and cursors of a page are accepted where they belong, and nowhere else.
fn links_lead_on(link: &Link, page: &MessagePage) {
    let new = page.new_messages;
    assert!(new.form == link.form && new.query.limit == link.query.limit && new.query.page.is_none());
    assert!((new.query.types, new.query.roles) == (link.query.types, link.query.roles));
    assert!(new.ask().is_ok());
    assert!(new.query.gts.is_some_and(|gts| gts <= Ts::MAX));
    for cursor in [page.next, page.prev] {
        let cursor = cursor.expect("there is more on both sides");
        let text = cursor.to_string();
        assert_eq!(text.parse::<Cursor>().ok(), Some(cursor));
        let mut on = link.query.cursor(cursor);
        on.page = None;
        let asked = Link { query: on, ..*link }.ask().expect("it belongs to this listing");
        assert!(matches!(asked.matching().past, Some(40 | 41)) && asked.matching().offset == 0);
        let other = Link { query: on, form: Form::Session(Uuid::from_u128(9).into()) }.ask();
        assert_eq!(other.expect_err("it belongs to another session").kind(), ErrorKind::InvalidCursor);
    }
}
