//! Access keys: what they open, what they do not, and when they stop.

mod agents;
mod grants;
mod long;
mod matrix;
mod property;
#[path = "../support/mod.rs"]
mod support;

use parlor::testkit::ManualClock;
use parlor::time::Duration;
use parlor::{Clock, Engine, ErrorKind, IssuedKey, NewKey, Scopes, Timestamp};

/// An engine in memory with an agent that repeats what it is told, and the clock it goes by.
fn engine() -> (Engine, ManualClock) {
    let clock = ManualClock::new();
    let builder = Engine::in_memory().clock(clock.clone()).agent_fn("echo", |turn| Ok(turn.input().text()));
    (builder.open().expect("an engine"), clock)
}

/// A key of the agent `echo` of the workspace `acme`.
fn key(engine: &Engine, scopes: Scopes, new: NewKey) -> IssuedKey {
    engine.workspace("acme").unwrap().agent("echo").unwrap().create_key(scopes, new).unwrap()
}

#[test]
fn whatever_is_the_matter_with_a_key_the_answer_is_the_same() {
    let (engine, clock) = engine();
    let acme = engine.workspace("acme").unwrap();
    let master = acme.create_master_key(NewKey::default()).unwrap();
    let [sound, revoked] = [(); 2].map(|()| key(&engine, Scopes::CHAT, NewKey::default()));
    let soon = Timestamp::from_micros(clock.now().as_micros() + 1_000_000);
    let expiring = key(&engine, Scopes::CHAT, NewKey::default().expires_at(soon));
    acme.revoke_key(revoked.record.id).unwrap();
    engine.open_key(expiring.secret.expose()).unwrap();
    clock.advance(Duration::from_secs(1));

    let text = sound.secret.expose();
    // The id of one and the randomness of another, and the other kind, each with a wrong checksum; and no key at all.
    let mixed = format!("{}{}", &master.secret.expose()[..37], &text[37..]);
    let other_kind = text.replacen("pak_", "pmk_", 1);
    let [revoked, expiring] = [revoked, expiring].map(|key| key.secret.expose().to_owned());
    for secret in [&revoked, &expiring, &mixed, &other_kind, "", "pak_", &text[1..], &text[..text.len() - 1]] {
        let error = engine.open_key(secret).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
        assert_eq!(error.to_string(), "the access key opens nothing");
    }
    assert_eq!(engine.open_key(text).unwrap().key(), &sound.record);
    assert_eq!(engine.open_key(master.secret.expose()).unwrap().key(), &master.record);
}

#[test]
fn a_secret_stands_nowhere_in_the_file_or_in_what_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parlor");
    let engine = Engine::builder(&path).open().unwrap();
    let acme = engine.workspace("acme").unwrap();
    let keys = [
        acme.create_master_key(NewKey::default().label("a label that is found")).unwrap(),
        acme.agent("echo").unwrap().create_key(Scopes::ALL, NewKey::default()).unwrap(),
    ];
    let secrets = keys.each_ref().map(|key| key.secret.expose().to_owned());
    let access = engine.open_key(&secrets[0]).unwrap();
    let printed = format!("{keys:?} {access:?} {:?} {:?}", access.workspace().unwrap(), acme.keys(()).unwrap());
    engine.close().unwrap();
    let mut stored = std::fs::read(&path).unwrap();
    stored.extend(printed.into_bytes());
    let stands = |text: &[u8]| stored.windows(text.len()).any(|window| window == text);
    assert!(stands(b"a label that is found"), "the file was searched");
    for secret in secrets {
        let random = &secret[37..101];
        let bytes: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&random[2 * at..2 * at + 2], 16).unwrap()).collect();
        assert!(!stands(random.as_bytes()) && !stands(&bytes));
    }
    // It opens the file that was closed, all the same.
    let engine = Engine::builder(&path).open().unwrap();
    assert!(engine.open_key(keys[1].secret.expose()).is_ok());
    engine.close().unwrap();
}

#[test]
fn keys_are_listed_without_their_secrets_and_revoked_by_their_ids() {
    let (engine, _clock) = engine();
    let (acme, beta) = (engine.workspace("acme").unwrap(), engine.workspace("beta").unwrap());
    let (echo, booker) = (acme.agent("echo").unwrap(), acme.agent("booker").unwrap());
    let master = acme.create_master_key(NewKey::default()).unwrap().record;
    let [one, other] = [&echo, &booker].map(|agent| agent.create_key(Scopes::ALL, NewKey::default()).unwrap().record);
    assert_eq!(acme.keys(()).unwrap().meta.total, 3);
    assert_eq!((echo.keys(()).unwrap().items, booker.keys(()).unwrap().items), (vec![one.clone()], vec![other]));
    assert!(beta.revoke_key(one.id).unwrap_err().is_not_found());
    acme.revoke_key(one.id).unwrap();
    acme.revoke_key(master.id).unwrap();
    assert_eq!((acme.keys(()).unwrap().meta.total, echo.keys(()).unwrap().items), (1, vec![]));
    assert!(acme.create_master_key(NewKey::default().label("a".repeat(256))).is_err());
}

#[test]
fn replacing_the_master_key_revokes_every_key_of_the_workspace() {
    let (engine, _clock) = engine();
    let acme = engine.workspace("acme").unwrap();
    let old = acme.create_master_key(NewKey::default()).unwrap();
    assert!(acme.create_master_key(NewKey::default()).unwrap_err().is_conflict());
    let of_agent = key(&engine, Scopes::ALL, NewKey::default());
    let there = engine.workspace("beta").unwrap().create_master_key(NewKey::default()).unwrap();
    let held = engine.open_key(of_agent.secret.expose()).unwrap();
    let new = acme.replace_master_key(NewKey::default()).unwrap();
    for gone in [&old, &of_agent] {
        assert_eq!(engine.open_key(gone.secret.expose()).unwrap_err().kind(), ErrorKind::Unauthorized);
    }
    let id = of_agent.record.agent_id.unwrap();
    assert_eq!(held.agent(id).unwrap_err().kind(), ErrorKind::Unauthorized);
    for stands in [&new, &there] {
        engine.open_key(stands.secret.expose()).unwrap().workspace().unwrap();
    }
    assert_eq!(acme.keys(()).unwrap().items, [new.record]);
}
