//! An access key for a web page: what it may, what it may not, and that it is revoked at once.

use parlor::{Engine, ErrorKind, NewKey, NewSession, Scopes};

fn main() -> parlor::Result<()> {
    let engine =
        Engine::in_memory().agent_fn("greeter", |turn| Ok(format!("Hello, {}!", turn.input().text()))).open()?;
    let acme = engine.workspace("acme")?;
    let greeter = acme.agent("greeter")?;

    // The secret is to be had now and never again: the file has its hash.
    let key = greeter.create_key(Scopes::CHAT, NewKey::default().label("the web page"))?;
    println!("the page is given a key that begins with {}", &key.secret.expose()[..4]);

    // A request comes with the secret. What it opens is one agent, for what its scopes allow.
    let access = engine.open_key(key.secret.expose())?;
    let session = access.agent(greeter.id())?.create_session(NewSession::default())?;
    println!("{}", session.send("Ada")?.wait()?.text());

    let refused = session.history(10).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden);
    println!("a history: {refused}");
    let hidden = acme.agent("bookkeeper")?;
    println!("another agent: {}", access.agent(hidden.id()).unwrap_err());

    // A follower of the page's is told at once.
    let mut follow = session.follow(session.get()?.last_change);
    let told = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| follow.next());
        acme.revoke_key(key.record.id).map(|()| waiting.join())
    })?;
    if let Ok(Some(Err(error))) = told {
        println!("once it is revoked: {error}");
    }
    assert_eq!(engine.open_key(key.secret.expose()).unwrap_err().kind(), ErrorKind::Unauthorized);
    engine.close()
}
