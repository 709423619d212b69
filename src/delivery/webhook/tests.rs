//! What only a resolver of the test's can show.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::*;
use crate::id::{SessionId, TurnId, WorkspaceId};
use crate::record::{TurnState, Webhook};
use crate::sync::{Arc, AtomicU64, Ordering, ThreadBuilder};
use crate::time::Timestamp;

/// Answers with these addresses at first, and with none later.
#[derive(Debug, Clone)]
struct Once {
    addresses: Vec<SocketAddr>,
    asked: Arc<AtomicU64>,
}

impl Resolver for Once {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut found = self.empty();
        if self.asked.fetch_add(1, Ordering::SeqCst) == 0 {
            self.addresses.iter().for_each(|address| found.push(*address));
        }
        Ok(found)
    }
}

fn delivery() -> Delivery {
    let id = uuid::Uuid::from_u128;
    let url = "http://receiver.example/end".to_owned();
    Delivery {
        workspace_id: WorkspaceId::from_uuid(id(1)),
        session_id: SessionId::from_uuid(id(2)),
        turn_id: TurnId::from_uuid(id(3)),
        status: TurnState::Completed,
        attempt: 1,
        at: Timestamp::from_micros(1_777_573_302_000_000),
        webhook: Webhook { url, token: None, secret: None, include_messages: false },
        body: "{}".into(),
    }
}

fn over(resolver: Once, addresses: Addresses) -> WebhookTransport {
    let transport = WebhookTransport::new().schemes(Schemes::HttpToo);
    let config = transport.agent.config().clone();
    let agent = ureq::Agent::with_parts(config, DefaultConnector::default(), Guarded::over(resolver, addresses));
    WebhookTransport { agent, ..transport }
}

#[test]
fn the_address_that_was_checked_is_the_one_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addresses = vec![listener.local_addr().expect("an address")];
    let once = Once { addresses, asked: Arc::default() };
    let server = ThreadBuilder::new().spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut head = [0; 4];
        stream.read_exact(&mut head).expect("a request");
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("an answer");
        // Until the other side has gone, so that nothing of the answer is taken back.
        let _ = stream.read_to_end(&mut Vec::new());
        head
    });
    // The name leads nowhere but through the resolver, which is asked once.
    assert_eq!(over(once.clone(), Addresses::Any).deliver(&delivery()), Ok(()));
    assert_eq!(once.asked.load(Ordering::SeqCst), 1);
    assert_eq!(server.expect("a thread").join().expect("it ends"), *b"POST");
}

#[test]
fn a_name_that_leads_to_a_private_address_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("it does not block");
    let addresses = vec![listener.local_addr().expect("an address"), "10.0.0.1:80".parse().expect("an address")];
    let once = Once { addresses, asked: Arc::default() };
    let error = over(once, Addresses::Public).deliver(&delivery()).expect_err("it is refused");
    assert!(error.to_string().contains("no public address") && !error.is_permanent(), "{error}");
    assert!(listener.accept().is_err(), "nobody connected");
}
