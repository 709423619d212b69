//! Delivery over TLS, to a local server whose certificate is of an authority of the test's.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};
use parlor::{Addresses, DeliveryOptions, Engine, ErrorKind, NewTurn, Schemes, Webhook, WebhookTransport};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use support::session;

/// An authority: its certificate as PEM, and what it signs with.
fn authority() -> (String, Issuer<'static, KeyPair>) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages.push(KeyUsagePurpose::KeyCertSign);
    let key = KeyPair::generate().expect("a key");
    let pem = params.self_signed(&key).expect("a certificate").pem();
    (pem, Issuer::new(params, key))
}

/// A server with a certificate for this name, which answers every request with 200.
struct Server {
    url: String,
    bodies: Receiver<String>,
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    fn new(name: &str, issuer: &Issuer<'_, KeyPair>) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, issuer).expect("a certificate");
        let config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
            .expect("the key is the certificate's");
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("https://{}/ended", listener.local_addr().expect("an address"));
        let (tell, bodies) = unbounded();
        let over = Arc::<AtomicBool>::default();
        let is_over = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                let connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
                // Where the other side does not trust this one, there is no request.
                if let Some(body) = serve(StreamOwned::new(connection, stream.expect("a connection"))) {
                    let _ = tell.send(body);
                }
            }
        });
        Server { url, bodies, over, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes it up.
        drop(TcpStream::connect(self.url.trim_start_matches("https://").trim_end_matches("/ended")));
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server panicked");
        }
    }
}

/// Reads a request and answers it; the body of it, where one came.
fn serve(mut stream: StreamOwned<ServerConnection, TcpStream>) -> Option<String> {
    let mut request = Vec::new();
    let (head, length) = loop {
        let mut some = [0; 1024];
        match stream.read(&mut some) {
            Ok(read) if read > 0 => request.extend_from_slice(&some[..read]),
            _ => return None,
        }
        let text = String::from_utf8_lossy(&request);
        let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
        break (head.len() + 4, length.unwrap_or(0_usize));
    };
    let mut rest = vec![0; (head + length).saturating_sub(request.len())];
    stream.read_exact(&mut rest).ok()?;
    request.extend(rest);
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()?;
    stream.conn.send_close_notify();
    stream.flush().ok()?;
    Some(String::from_utf8_lossy(&request[head..]).into_owned())
}

fn transport() -> WebhookTransport {
    WebhookTransport::new().addresses(Addresses::Any).time_limit(Duration::from_secs(60))
}

/// The end of a turn, announced there by this transport in one try: what it was refused with.
fn announced(transport: WebhookTransport, url: &str) -> Result<(), String> {
    let builder = Engine::in_memory().agent_fn("echo", |turn| Ok(turn.input().text())).transport(transport);
    let engine = builder.delivery(DeliveryOptions::default().tries(1)).open().expect("an engine");
    let webhook = Webhook { url: url.into(), token: None, secret: None, include_messages: false };
    let turn = session(&engine, "echo").send(NewTurn::from("hello").webhook(webhook)).expect("a turn");
    turn.wait().expect("it ends");
    while !engine.outbox(1).expect("the outbox").is_empty() {
        std::thread::yield_now();
    }
    let refused = engine.dead_letters(None, 1).expect("a page").rows.pop();
    engine.close().expect("it closes");
    refused.map_or(Ok(()), |row| Err(row.error.expect("why")))
}

#[test]
fn a_receiver_of_an_authority_of_ones_own_is_trusted_where_that_was_said() {
    let (root, issuer) = authority();
    let server = Server::new("127.0.0.1", &issuer);
    let trusting = transport().roots(&root).expect("a certificate");
    assert_eq!(announced(trusting.schemes(Schemes::Https), &server.url), Ok(()), "whatever else is said after it");
    let body: serde_json::Value = serde_json::from_str(&server.bodies.recv().expect("a request")).expect("JSON");
    assert_eq!(body["response"], "hello");
    // Of several, each is trusted.
    let both = format!("{}{root}", authority().0);
    assert_eq!(announced(transport().roots(both).expect("two certificates"), &server.url), Ok(()));
}

#[test]
fn a_receiver_that_nobody_vouches_for_hears_nothing() {
    let (root, issuer) = authority();
    let here = Server::new("127.0.0.1", &issuer);
    let elsewhere = Server::new("receiver.example", &issuer);
    let refused = [
        (transport(), &here, "UnknownIssuer"),
        (transport().roots(authority().0).expect("a certificate"), &here, "BadSignature"),
        (transport().roots(&root).expect("a certificate"), &elsewhere, "not valid for name"),
    ];
    for (transport, server, why) in refused {
        let error = announced(transport, &server.url).expect_err("it is refused");
        assert!(error.contains(why), "{error}");
        assert!(server.bodies.is_empty());
    }
}

#[test]
fn roots_without_a_certificate_are_refused() {
    let key = KeyPair::generate().expect("a key").serialize_pem();
    for pem in ["", "no PEM at all", &key, "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
        let error = transport().roots(pem).expect_err("nobody would be trusted");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
}
