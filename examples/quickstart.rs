//! The first conversation: an agent, a turn, a follow-up that interrupts, a restart, a cursor.
//!
//! ```text
//! cargo run --example quickstart
//! ```
//!
//! It needs no key, no server and no runtime, and leaves no file behind.

use std::error::Error;
use std::path::Path;
use std::sync::{Arc, Barrier};

use parlor::page::{Direction, MessageQuery};
use parlor::{Engine, Message, NewMessage, NewSession, Session};

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("support.parlor");
    first_conversation(&file)?;
    a_follow_up_interrupts(&file)?;
    after_a_restart(&file)?;
    Ok(())
}

/// The whole way of one message.
fn first_conversation(file: &Path) -> parlor::Result<()> {
    println!("# A first conversation");
    // One file holds everything. It is made when it is missing.
    let engine = Engine::builder(file)
        .agent_fn("greeter", |turn| {
            let call = turn.tool_call("lookup", turn.input().text())?; // on disk when it returns
            turn.check()?; // leaves here when interrupted
            turn.tool_result(&call, "a new customer")?;
            Ok(NewMessage::text("How can I help?"))
        })
        .open()?;

    let new = NewSession::default().key("web:ada").label("Ada");
    let session = engine.workspace("acme")?.agent("greeter")?.create_session(new)?;

    let turn = session.send("hello")?; // durable; a busy session is a conflict
    println!("The agent answers: {}", turn.wait()?.text()); // or: turn.await, on any executor

    println!("All that was written:");
    for message in session.messages(MessageQuery::all().direction(Direction::Asc)).iter() {
        print(&message?); // bounded pages, one short read each
    }
    engine.close()
}

/// An agent that is told something else while it works. Two gates stand for its work, so that
/// this example does the same thing every time.
fn a_follow_up_interrupts(file: &Path) -> parlor::Result<()> {
    println!("\n# A follow-up interrupts");
    let begun = Arc::new(Barrier::new(2));
    let interrupted = Arc::new(Barrier::new(2));
    let gates = (Arc::clone(&begun), Arc::clone(&interrupted));
    let engine = Engine::builder(file)
        .agent_fn("greeter", move |turn| {
            if turn.input().text() == "plan a trip" {
                turn.message("Let me think …")?;
                gates.0.wait();
                gates.1.wait();
                // The follow-up took the session over: this is refused and leaves no trace.
                if let Err(error) = turn.message("Kyoto in April") {
                    println!("The old agent writes too late: {error}");
                    return Err(error.into());
                }
            }
            Ok(NewMessage::text(format!("Done: {}", turn.input().text())))
        })
        .open()?;

    let session = ada(&engine)?;
    let first = session.send("plan a trip")?;
    begun.wait();
    let busy = session.send("hello?").err();
    println!("A send while it works: {}", busy.map_or("taken".into(), |error| error.to_string()));
    let second = session.follow_up("no, book a table")?;
    println!("The first turn is {}.", first.wait()?.state().as_str());
    interrupted.wait();
    println!("The second turn answers: {}", second.wait()?.text());
    engine.close()
}

/// Everything is in the file; a cursor reads what is new, once.
fn after_a_restart(file: &Path) -> parlor::Result<()> {
    println!("\n# Opened again");
    let engine = Engine::builder(file).agent_fn("greeter", |_| Ok("Good to see you again.")).open()?;
    let session = ada(&engine)?;
    println!("The history has {} messages.", session.history(100)?.len());

    // A page links to what comes after it. Here: what the agent answered so far.
    let mut page = session.messages(()).page()?;
    println!("{} answers so far.", page.meta.total);
    for text in ["I am back", "and again"] {
        session.send(text)?.wait()?;
        page = session.messages(page.new_messages.query).page()?;
        println!("New since the last poll:");
        page.items.iter().for_each(print);
    }
    page = session.messages(page.new_messages.query).page()?;
    println!("New since then: {} messages.", page.items.len());
    engine.close()
}

/// The session that the first conversation made.
fn ada(engine: &Engine) -> parlor::Result<Session> {
    engine.workspace("acme")?.agent("greeter")?.session_by_key("web:ada")
}

fn print(message: &Message) {
    let calls: Vec<_> = message.tool_calls.iter().map(|call| format!("{}({})", call.name, call.arguments)).collect();
    let (role, kind) = (message.role.as_str(), message.kind.as_str());
    println!("  {:2} {role:9} {kind:13} {}{}", message.number, message.text(), calls.join(", "));
}
