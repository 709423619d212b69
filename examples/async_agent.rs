//! An agent that awaits its model on tokio, streams what comes, and leaves when its turn is interrupted.
//!
//! ```sh
//! cargo run --example async_agent
//! ```
//!
//! parlor's own threads run agents, so an agent that has asynchronous work to do blocks its thread on it. Beside the
//! model's answer it awaits the turn's cancel token: an interruption ends the call at once.

use std::sync::Arc;
use std::time::Duration;

use parlor::{AgentResult, Engine, NewMessage, NewSession, TurnContext, TurnState};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

/// A client of a model's, as there are many: it answers piece by piece.
struct Model;

impl Model {
    /// Begins to answer, and goes on until it is done or nobody listens.
    fn ask(&self, question: String) -> mpsc::Receiver<String> {
        let (say, said) = mpsc::channel(1);
        tokio::spawn(async move {
            // It has a lot to say about novels.
            let words = if question.contains("novel") { usize::MAX } else { 3 };
            let mut pace = tokio::time::interval(Duration::from_millis(10));
            for word in ["all", "is", "well"].into_iter().cycle().take(words) {
                pace.tick().await;
                if say.send(format!("{word} ")).await.is_err() {
                    return;
                }
            }
        });
        said
    }
}

/// One turn: asks the model, and tells followers each piece as it comes.
async fn answer(model: &Model, turn: &TurnContext) -> AgentResult<NewMessage> {
    let mut pieces = model.ask(turn.input().text());
    let mut text = String::new();
    loop {
        tokio::select! {
            piece = pieces.recv() => match piece {
                Some(piece) => {
                    turn.delta(&*piece)?;
                    text.push_str(&piece);
                }
                None => return Ok(NewMessage::text(text.trim_end())),
            },
            // Ready when the turn was interrupted: dropping `pieces` ends the call.
            () = turn.cancel_token() => {
                turn.check()?;
            }
        }
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_time().build().expect("a runtime")
}

fn main() -> parlor::Result<()> {
    let (runtime, model) = (Arc::new(runtime()), Model);
    let agent = {
        let runtime = Arc::clone(&runtime);
        move |turn: &TurnContext| runtime.block_on(answer(&model, turn))
    };
    let engine = Engine::in_memory().agent_fn("writer", agent).open()?;
    let session = engine.workspace("acme")?.agent("writer")?.create_session(NewSession::default())?;

    // Somebody follows what is said, as it is said.
    let mut live = session.stream(0);
    let novel = session.send("a novel")?;
    let mut heard = 0;
    while heard < 5 {
        let Some(item) = live.next() else { break };
        if let parlor::Live::Delta(delta) = item? {
            print!("{}", delta.text);
            heard += delta.text.split_whitespace().count();
        }
    }
    println!("…");

    // The follow-up ends the call that would never have ended. The handle is a future too.
    let poem = session.follow_up("a haiku instead")?;
    let report = runtime.block_on(poem)?;
    assert_eq!(novel.wait()?.state(), TurnState::Interrupted);
    println!("{}", report.text());
    assert_eq!(report.text(), "all is well");
    engine.close()
}
