//! Golden bytes of every row, and what damage reads as.

use std::fmt::Debug;

use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;
use crate::record::{Image, NewMessage, ToolCall};

const KEY: &[u8] = b"key";

/// Encodes, compares the payload with its golden bytes, and decodes.
fn check<'a, R: Row<'a> + PartialEq + Debug>(row: &R, golden: &str, value: &'a mut Vec<u8>) {
    *value = encode(Table::Rows, KEY, row).expect("a row within the limits encodes");
    let payload = &value[1..value.len() - CHECKSUM_BYTES];
    assert_eq!(full_hex(payload), golden, "golden bytes of {row:?}");
    assert_eq!(&decode::<R>(Table::Rows, KEY, value).expect("it decodes"), row);
}

fn full_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn id(byte: u8) -> Id {
    [byte; 16]
}

fn body() -> BodyRow<'static> {
    BodyRow {
        form: 1,
        content: "hé",
        calls: vec![CallRow { id: "c", kind: "function", name: "f", arguments: "{}" }],
        tool_call_id: Some("c"),
        name: None,
        images: vec![ImageRow { media_type: Some("image/png"), data: &[1, 2] }],
        artifacts: vec![id(9)],
        metadata: Some("{}"),
    }
}

fn message() -> MessageRow<'static> {
    MessageRow {
        id: id(1),
        thread: Some(id(2)),
        thread_number: 3,
        turn: None,
        role: 2,
        kind: 1,
        synthetic: false,
        ts: 1_746_038_518_000_042,
        created_at: 300,
        fingerprint: None,
        body: body(),
    }
}

#[test]
fn small_rows_have_their_golden_bytes() {
    let value = &mut Vec::new();
    check(&CounterRow { scopes: 3, sessions: 300, removed: 7 }, "03fb2c0107", value);
    check(&RemnantRow { deleted_at: 251 }, "fbfb00", &mut Vec::new());
    check(&NumberRow { number: 70_000 }, "fc70110100", &mut Vec::new());
    check(&CountRow { sessions: 250 }, "fa", &mut Vec::new());
    check(&ThreadRow { id: id(1), created_at: 251 }, &format!("{}fbfb00", "01".repeat(16)), &mut Vec::new());
    check(&BlockRow { packed: &[1, 0, 0, 0] }, "01000000", &mut Vec::new());
    check(&DirectoryRow { counts: &[1, 0], firsts: &[2, 0, 0, 0] }, "0201000402000000", &mut Vec::new());
    let listed = ListedRow {
        number: 1,
        messages: 2,
        changes: 3,
        running_id: Some(id(4)),
        failed: false,
        queued: 5,
        usage: None,
        mark: 6,
        body: 7,
    };
    check(&listed, &format!("01020301{}0005000607", "04".repeat(16)), &mut Vec::new());
    check(&QueuedRow { bytes: 251 }, "fbfb00", &mut Vec::new());
    check(&WaitingRow { turns: 2, bytes: 251 }, "02fbfb00", &mut Vec::new());
    check(&MarkRow { message: 7, summary: "so far" }, &format!("0706{}", full_hex(b"so far")), &mut Vec::new());
    check(&ScopeCountRow { scopes: 251 }, "fbfb00", &mut Vec::new());
    check(&HiddenRow { deleted_at: 251 }, "fbfb00", &mut Vec::new());
    check(&LabelRow { label: "ab" }, "026162", &mut Vec::new());
    let change = ChangeRow { kind: CHANGE_TURN, number: 5, id: Some(id(6)), state: 2 };
    check(&change, &format!("040501{}02", "06".repeat(16)), &mut Vec::new());
    let claim = ClaimRow { turn: id(1), number: 2, owner: id(3), epoch: 4, lease: None };
    check(&claim, &format!("{}02{}0400", "01".repeat(16), "03".repeat(16)), &mut Vec::new());
}

#[test]
fn rows_of_sessions_have_their_golden_bytes() {
    let scope = ScopeRow { id: id(1), name: "ab", created_at: 1 };
    check(&scope, &format!("{}02616201", "01".repeat(16)), &mut Vec::new());
    let head = HeadRow {
        messages: 1,
        threads: 2,
        turns: 3,
        changes: 4,
        last_ts: 5,
        last_created_at: 6,
        updated_at: 7,
        epoch: 8,
        running: 9,
        running_id: Some(id(10)),
        failed: true,
        queued: 11,
        queued_bytes: 12,
        usage: Some(UsageRow { input: 13, output: 14, cached: 15, reasoning: 16, cost_micros: 17 }),
        mark: 18,
        body: 19,
    };
    check(&head, &format!("01020304050607080901{}010b0c010d0e0f10111213", "0a".repeat(16)), &mut Vec::new());
    let session = SessionRow {
        id: id(1),
        workspace: 2,
        agent: 3,
        agent_id: id(4),
        agent_name: "a",
        key: "k",
        label: Some("l"),
        chat_type: None,
        last_channel: None,
        origin: None,
        metadata: Some("[]"),
        profile: None,
        created_at: 5,
        fingerprint: Some(id(6)),
        forked: Some(ForkRow { session: id(7), message: id(8), number: 9 }),
    };
    let ids = [1, 4, 6, 7, 8].map(|byte| format!("{byte:02}").repeat(16));
    let [own, agent, fingerprint, session_id, message] = ids;
    let golden = format!("{own}0203{agent}0161016b01016c00000001025b5d000501{fingerprint}01{session_id}{message}09");
    check(&session, &golden, &mut Vec::new());
}

#[test]
fn access_keys_have_their_golden_bytes() {
    let of_agent = KeyRow {
        workspace: id(1),
        agent: Some(id(2)),
        workspace_number: 3,
        agent_number: 4,
        scopes: 5,
        hash: [6; 32],
        label: Some("l"),
        created_at: 7,
        expires_at: Some(8),
    };
    let (workspace, agent, hash) = ("01".repeat(16), "02".repeat(16), "06".repeat(32));
    check(&of_agent, &format!("{workspace}01{agent}030405{hash}01016c070108"), &mut Vec::new());
    let master = KeyRow { agent: None, agent_number: 0, label: None, expires_at: None, ..of_agent };
    check(&master, &format!("{workspace}00030005{hash}000700"), &mut Vec::new());
}

#[test]
fn rows_of_messages_and_turns_have_their_golden_bytes() {
    let rest = "016308".to_owned()
        + &full_hex(b"function")
        + "0166027b7d01016300010109"
        + &full_hex(b"image/png")
        + "02010201"
        + &"09".repeat(16)
        + "01027b7d";
    let header = |flags: &str| {
        let (id, ts) = ("01".repeat(16), full_hex(&1_746_038_518_000_042_u64.to_le_bytes()));
        format!("{flags}0201{id}{ts}2c010000000000000300000003000000")
    };
    let content = "68c3a9";
    let golden = format!("{}{}{content}01{rest}", header("31"), "02".repeat(16));
    check(&message(), &golden, &mut Vec::new());
    let only_text = BodyRow { form: 1, content: "hé", ..BodyRow::default() };
    let bare = MessageRow { thread: None, turn: Some(id(7)), synthetic: true, body: only_text, ..message() };
    check(&bare, &format!("{}{}{content}", header("2a"), "07".repeat(16)), &mut Vec::new());
    let hook = HookRow { url: "u", token: None, secret: Some("s"), include_messages: true };
    let turn = TurnRow {
        id: id(1),
        thread: id(2),
        thread_number: 3,
        message: id(4),
        message_number: 5,
        state: 1,
        reason: 0,
        detail: None,
        final_message: None,
        messages: 6,
        attempt: 2,
        chain: 5,
        usage: Some(UsageRow { input: 3, output: 4, cached: 5, reasoning: 6, cost_micros: 7 }),
        user_params: Some("{}"),
        profile: None,
        time_limit: Some(9),
        webhook: Some(hook),
        created_at: 7,
        started_at: Some(8),
        ended_at: None,
    };
    let golden = format!(
        "{}{}03{}050100000006020501030405060701027b7d0001090101750001017301070108{}",
        "01".repeat(16),
        "02".repeat(16),
        "04".repeat(16),
        "00"
    );
    check(&turn, &golden, &mut Vec::new());
    let outbox = OutboxRow {
        workspace: id(7),
        session: id(1),
        turn: id(2),
        state: 4,
        hook,
        attempts: 3,
        due_at: Some(9),
        failed_at: None,
        error: Some("e"),
        lacks: 2,
    };
    let tail = "0301090001016502";
    let golden = format!("{}{}{}0401750001017301{tail}", "07".repeat(16), "01".repeat(16), "02".repeat(16));
    check(&outbox, &golden, &mut Vec::new());
}

#[test]
fn rows_of_archives_and_of_the_file_have_their_golden_bytes() {
    check(&PausedRow { since: 251 }, "fbfb00", &mut Vec::new());
    check(&GroupRow { number: 251, log: Some(id(1)) }, &format!("fbfb0001{}", "01".repeat(16)), &mut Vec::new());
    check(&GroupRow::default(), "0000", &mut Vec::new());
    let archive = ArchiveRow {
        id: id(1),
        workspace: 2,
        agent: 3,
        session: id(4),
        number: 5,
        filename: "f",
        key: "k",
        label: Some("l"),
        messages: 6,
        turns: 7,
        changes: 8,
        usage: Some(UsageRow { input: 9, output: 10, cached: 11, reasoning: 12, cost_micros: 13 }),
        created_at: 14,
        archived_at: 15,
        chunks: 16,
        bytes: 17,
        records: 18,
        checksum: 251,
    };
    let tail = "050166016b01016c0607080109".to_owned() + "0a0b0c0d0e0f101112fbfb00";
    check(&archive, &format!("{}0203{}{tail}", "01".repeat(16), "04".repeat(16)), &mut Vec::new());
    check(&ArchivedRow { archive: 1, session: 251 }, "01fbfb00", &mut Vec::new());
    let chunk = ChunkRow { bytes: 258, checksum: 1 << 56 | 2, packed: &[3, 4] };
    check(&chunk, "0201000002000000000000010304", &mut Vec::new());
}

/// bincode is unmaintained and its wire format frozen; another crate writes the same bytes, so
/// there is a way on. A struct's form is that of the tuple of its fields.
#[test]
fn wincode_writes_the_same_bytes() {
    let BodyRow { calls, tool_call_id, name, images, artifacts, metadata, .. } = body();
    let calls: Vec<_> = calls.iter().map(|c| (c.id, c.kind, c.name, c.arguments)).collect();
    let images: Vec<_> = images.iter().map(|i| (i.media_type, i.data)).collect();
    let fields = (calls, tool_call_id, name, images, artifacts, metadata);
    let config = wincode::config::Configuration::default().with_varint_encoding();
    let other = wincode::config::serialize(&fields, config).expect("wincode encodes it");
    let value = encode(Table::Rows, KEY, &message()).expect("it encodes");
    assert!(value[..value.len() - CHECKSUM_BYTES].ends_with(&other));

    let numbers = (0_u32, 250_u32, 251_u32, 65_535_u32, 65_536_u32, u64::from(u32::MAX), 1_u64 << 32, u64::MAX);
    let other = wincode::config::serialize(&numbers, config).expect("wincode encodes it");
    assert_eq!(bincode::encode_to_vec(numbers, CONFIG).expect("it encodes"), other);
}

#[test]
fn an_envelope_is_version_payload_and_checksum() {
    let value = encode(Table::Rows, KEY, &CountRow { sessions: 7 }).expect("it encodes");
    assert_eq!(full_hex(&value), "0107fc87b061");
}

#[test]
fn fingerprints_are_part_of_the_format() {
    let new = NewMessage::text("hello").id(uuid::Uuid::from_bytes(id(1)));
    let append = of_append(&new, None).expect("it encodes");
    let send = of_send(&new.clone().into()).expect("it encodes");
    let create = of_create(&Default::default(), Some(&new.into())).expect("it encodes");
    let golden =
        ["9147dbfca0f79830d2b72e56037e1d13", "60bc0df883491f6ee443d14ce3f7895a", "3af592bf925480ce308150b9decf2f5f"];
    assert_eq!([append, send, create].map(|id| full_hex(&id)), golden);
}

fn is_corrupt<'a, R: Row<'a> + Debug>(key: &[u8], value: &'a [u8]) {
    let error = decode::<R>(Table::Rows, key, value).expect_err("damage is an error");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[test]
fn a_row_under_the_key_or_in_the_table_of_another_is_corrupt() {
    let value = encode(Table::Rows, KEY, &message()).expect("it encodes");
    is_corrupt::<MessageRow<'_>>(b"kex", &value);
    let elsewhere = decode::<MessageRow<'_>>(Table::Sessions, KEY, &value).expect_err("another table");
    assert_eq!(elsewhere.kind(), ErrorKind::Corrupt);
}

#[test]
fn every_flipped_bit_and_every_cut_is_corrupt() {
    let value = encode(Table::Rows, KEY, &message()).expect("it encodes");
    for bit in 0..value.len() * 8 {
        let mut damaged = value.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        is_corrupt::<MessageRow<'_>>(KEY, &damaged);
    }
    for length in 0..value.len() {
        is_corrupt::<MessageRow<'_>>(KEY, &value[..length]);
    }
}

/// A value whose checksum is right, whatever its body is.
fn sealed(mut body: Vec<u8>) -> Vec<u8> {
    let sum = checksum(Table::Rows, KEY, &body);
    body.extend_from_slice(&sum.to_le_bytes());
    body
}

#[test]
fn hostile_lengths_are_refused_before_memory_is_taken() {
    // A message that claims 4 GiB of content, and one that claims 2^63 tool calls, under a right checksum.
    let header = |flags: u8, length: u32| {
        let mut value = vec![1, flags, 1, 1];
        value.extend([0; 36]);
        value.extend(length.to_le_bytes());
        value
    };
    is_corrupt::<MessageRow<'_>>(KEY, &sealed(header(0x20, u32::MAX)));
    let mut calls = header(0x10, 0);
    calls.push(253);
    calls.extend((1_u64 << 63).to_le_bytes());
    is_corrupt::<MessageRow<'_>>(KEY, &sealed(calls));
}

#[test]
fn bytes_left_over_and_another_version_are_corrupt() {
    is_corrupt::<CountRow>(KEY, &sealed(vec![1, 7, 0]));
    for version in [0, 2] {
        let error = decode::<CountRow>(Table::Rows, KEY, &sealed(vec![version, 7])).expect_err("another version");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(error.to_string(), format!("session count at 6b6579 has version {version}; 1 is known"));
        let error = decode_body::<CountRow>(&[version, 7]).expect_err("another version");
        assert_eq!(error.to_string(), format!("session count has version {version}; 1 is known"));
    }
    assert_eq!(decode::<CountRow>(Table::Rows, KEY, &sealed(vec![1, 7])).expect("right"), CountRow { sessions: 7 });
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let value = sealed([vec![1], body].concat());
        let _ = decode::<MessageRow<'_>>(Table::Rows, KEY, &value);
        let _ = decode::<TurnRow<'_>>(Table::Rows, KEY, &value);
        let _ = decode::<SessionRow<'_>>(Table::Rows, KEY, &value);
        let _ = decode::<OutboxRow<'_>>(Table::Rows, KEY, &value);
        let _ = decode::<HeadRow>(Table::Rows, KEY, &value);
    }
}

/// The largest messages that the door lets in decode again: the decoder's limit is above them,
/// also where they are made of as many empty things as can be.
#[test]
fn the_largest_messages_come_back() {
    let most = |one: &NewMessage| MESSAGE_BYTES / one.size();
    let calls = |one: &NewMessage| most(one).min(crate::limit::MESSAGE_CALLS);
    let call = NewMessage::calls([ToolCall { kind: String::new(), ..ToolCall::new("", "", "") }]);
    let image = NewMessage::default().image(Image { media_type: None, data: Vec::new() });
    let artifact = NewMessage::default().artifacts([uuid::Uuid::nil()]);
    let largest = [
        NewMessage::text("x".repeat(MESSAGE_BYTES)),
        NewMessage { tool_calls: vec![call.tool_calls[0].clone(); calls(&call)], ..NewMessage::default() },
        NewMessage { images: vec![image.images[0].clone(); most(&image)], ..NewMessage::default() },
        NewMessage { artifact_ids: vec![uuid::Uuid::nil(); most(&artifact)], ..NewMessage::default() },
    ];
    for new in largest {
        new.check().expect("it is within its bounds");
        let row = MessageRow { body: BodyRow::of(&new), ..message() };
        let value = encode(Table::Rows, KEY, &row).expect("it encodes");
        assert!(decode::<MessageRow<'_>>(Table::Rows, KEY, &value).expect("it decodes") == row);
    }
}
