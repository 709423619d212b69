//! Delivery over HTTP, to a server of the test's that fails in every way.

mod support;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};
use parlor::{
    Addresses, DeliveryOptions, Engine, NewTurn, Schemes, Session, Turn, Webhook, WebhookRow, WebhookSecrets,
    WebhookTransport,
};
use support::session;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A request as it arrived.
#[derive(Debug)]
struct Request {
    line: String,
    headers: HashMap<String, String>,
    body: String,
}

impl Request {
    fn read(stream: &TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut headers = HashMap::new();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let Some((name, value)) = header.trim_end().split_once(':') else { break };
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
        reader.read_exact(&mut body).ok()?;
        Some(Request { line: line.trim_end().to_owned(), headers, body: String::from_utf8(body).ok()? })
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("{name} is among {:?}", self.headers))
    }
}

/// What the server does with a request.
#[derive(Clone)]
enum Answer {
    Status(&'static str),
    /// Closes the connection without a word.
    Drop,
    /// Says nothing, or this much and no more, until the other side has gone.
    Stall(&'static str),
    /// A head, or a body, that does not end.
    Endless(&'static str, &'static str),
}

/// Answers request after request as it was told, then with 200.
struct Server {
    url: String,
    requests: Receiver<Request>,
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    fn new(answers: impl Into<Vec<Answer>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/ended", listener.local_addr().expect("an address"));
        let ((tell, requests), mut answers) = (unbounded(), answers.into().into_iter());
        let over = Arc::<AtomicBool>::default();
        let is_over = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                let mut stream = stream.expect("a connection");
                let Some(request) = Request::read(&stream) else { continue };
                answer(&mut stream, answers.next().unwrap_or(Answer::Status("200 OK")));
                // The test may have gone.
                let _ = tell.send(request);
            }
        });
        Server { url, requests, over, thread: Some(thread) }
    }

    fn request(&self) -> Request {
        self.requests.recv().expect("the server runs")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let address = self.url.trim_start_matches("http://").trim_end_matches("/ended");
        // Wakes it up; it may have ended already.
        drop(TcpStream::connect(address));
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server panicked");
        }
    }
}

/// What the other side does with it is its own business: an error of the stream is no error of the test's.
fn answer(stream: &mut TcpStream, answer: Answer) {
    match answer {
        Answer::Status(status) => {
            let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
        Answer::Drop => {}
        Answer::Stall(text) => {
            let _ = stream.write_all(text.as_bytes());
            let _ = stream.read_to_end(&mut Vec::new());
        }
        Answer::Endless(head, more) => {
            let _ = stream.write_all(head.as_bytes());
            while stream.write_all(more.as_bytes()).is_ok() {}
        }
    }
}

fn transport() -> WebhookTransport {
    WebhookTransport::new().schemes(Schemes::HttpToo).addresses(Addresses::Any).time_limit(Duration::from_secs(60))
}

/// An engine that tries so often, without pauses.
fn engine(transport: WebhookTransport, tries: u32) -> Engine {
    let options = DeliveryOptions::default().pauses(Duration::from_micros(1), Duration::from_micros(1)).tries(tries);
    let builder = Engine::in_memory().agent_fn("echo", |turn| Ok(turn.input().text()));
    builder.transport(transport).delivery(options).open().expect("an engine")
}

fn ended(session: &Session, url: &str, secret: Option<&str>) -> Turn {
    let (token, secret) = (Some("a-token".into()), secret.map(str::to_owned));
    let webhook = Webhook { url: url.into(), token, secret, include_messages: false };
    session.send(NewTurn::from("hello").webhook(webhook)).expect("a turn").wait().expect("it ends").turn
}

fn dead(engine: &Engine) -> WebhookRow {
    loop {
        if let Some(row) = engine.dead_letters(None, 1).expect("a page").rows.pop() {
            return row;
        }
        std::thread::yield_now();
    }
}

fn drained(engine: &Engine) {
    while !engine.outbox(1).expect("the outbox").is_empty() {
        std::thread::yield_now();
    }
    assert_eq!(engine.dead_letters(None, 1).expect("a page").rows, [], "it was delivered");
}

/// The last error of an announcement to a server that answers so always.
fn error_of(transport: WebhookTransport, answer: Answer) -> String {
    let server = Server::new(vec![answer; 2]);
    let engine = engine(transport, 2);
    ended(&session(&engine, "echo"), &server.url, None);
    let row = dead(&engine);
    assert_eq!(row.attempts, 2);
    engine.close().expect("it closes");
    row.error.expect("why")
}

#[test]
fn a_delivery_is_a_signed_post_with_the_token() {
    let server = Server::new([]);
    let engine = engine(transport(), 1);
    let turn = ended(&session(&engine, "echo"), &server.url, Some(SECRET));
    let request = server.request();
    assert_eq!(request.line, "POST /ended HTTP/1.1");
    assert_eq!(request.header("authorization"), "Bearer a-token");
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.header("webhook-id"), turn.id.to_string());
    // As a receiver checks it.
    let theirs = standardwebhooks::Webhook::new(SECRET).expect("a secret");
    let timestamp = request.header("webhook-timestamp").parse().expect("a number");
    let due = theirs.sign(request.header("webhook-id"), timestamp, request.body.as_bytes()).expect("a signature");
    assert_eq!(request.header("webhook-signature"), due);
    let body: serde_json::Value = serde_json::from_str(&request.body).expect("JSON");
    assert_eq!((&body["turn_id"], &body["response"]), (&turn.id.to_string().into(), &"hello".into()));
    drained(&engine);
    engine.close().expect("it closes");
}

#[test]
fn without_a_secret_nothing_is_signed() {
    let server = Server::new([]);
    let engine = engine(transport(), 1);
    ended(&session(&engine, "echo"), &server.url, None);
    let headers = server.request().headers;
    assert!(!headers.keys().any(|name| name.starts_with("webhook-")), "{headers:?}");
    engine.close().expect("it closes");
}

#[test]
fn whatever_goes_wrong_it_is_tried_again_under_the_same_id_until_it_arrives() {
    let server = Server::new([
        Answer::Status("500 Oh No"),
        Answer::Drop,
        Answer::Stall(""),
        Answer::Stall("HTTP/1.1 200"),
        Answer::Status("302 Found\r\nlocation: /elsewhere"),
        Answer::Status("404 Not Found"),
        Answer::Endless("HTTP/1.1 200 OK\r\n", "x-more: and more\r\n"),
        Answer::Status("202 Accepted"),
    ]);
    let engine = engine(transport().time_limit(Duration::from_millis(300)), 100);
    let turn = ended(&session(&engine, "echo"), &server.url, Some(SECRET));
    drained(&engine);
    // One that stalls before the request was read whole is not among them.
    let requests: Vec<_> = server.requests.try_iter().collect();
    assert!(requests.len() >= 7, "{requests:?}");
    assert!(requests.iter().all(|request| request.header("webhook-id") == turn.id.to_string()));
    assert!(requests.iter().all(|request| request.line == "POST /ended HTTP/1.1"), "no redirect was followed");
    engine.close().expect("it closes");
}

#[test]
fn each_failure_is_told_by_what_it_was() {
    let short = || transport().time_limit(Duration::from_millis(200));
    for (transport, answer, due) in [
        (transport(), Answer::Status("500 Oh No"), "answered 500"),
        (transport(), Answer::Status("301 Moved\r\nlocation: /x"), "answered 301; redirects are not followed"),
        (transport(), Answer::Status("307 Moved\r\nlocation: /x"), "answered 307; redirects are not followed"),
        (short(), Answer::Stall(""), "timeout: global"),
        (short(), Answer::Stall("HTTP/1.1 200 OK\r\nx: "), "timeout: global"),
    ] {
        assert_eq!(error_of(transport, answer), due);
    }
    for answer in
        [Answer::Drop, Answer::Endless("HTTP/1.1 200 OK\r\n", "x-more: and more\r\n"), Answer::Stall("no HTTP\r\n\r\n")]
    {
        let text = error_of(transport(), answer);
        assert!(!text.is_empty() && !text.contains("a-token"), "{text}");
    }
}

#[test]
fn the_body_of_an_answer_is_not_waited_for() {
    for more in [
        Answer::Endless("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "4\r\nmore\r\n"),
        Answer::Stall("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"),
    ] {
        let server = Server::new([more]);
        let engine = engine(transport(), 1);
        ended(&session(&engine, "echo"), &server.url, None);
        drained(&engine);
        engine.close().expect("it closes");
    }
}

#[test]
fn only_https_and_public_addresses_are_taken_by_default() {
    let server = Server::new([]);
    let refused = |transport: WebhookTransport, url: &str| {
        let engine = engine(transport, 2);
        ended(&session(&engine, "echo"), url, None);
        let row = dead(&engine);
        engine.close().expect("it closes");
        (row.attempts, row.error.unwrap_or_default())
    };
    let http = (1, "the URL is not https, and nothing else is allowed".to_owned());
    assert_eq!(refused(WebhookTransport::new(), &server.url), http, "for good");
    let local = (2, "the host has no public address, and no other is allowed".to_owned());
    for url in
        [server.url.as_str(), &server.url.replace("127.0.0.1", "localhost"), &server.url.replace("127.0.0.1", "[::1]")]
    {
        assert_eq!(refused(WebhookTransport::new().schemes(Schemes::HttpToo), url), local, "{url}");
    }
    assert_eq!(refused(WebhookTransport::new(), "https://127.0.0.1/ended"), local);
    assert!(server.requests.is_empty(), "nobody connected");
}

#[test]
fn a_secret_that_is_none_is_dead_at_once_and_a_better_one_drives_it_again() {
    let server = Server::new([]);
    let engine = engine(transport(), 9);
    let session = session(&engine, "echo");
    let turn = ended(&session, &server.url, Some("not base64!"));
    let row = dead(&engine);
    assert_eq!((row.attempts, row.error.is_some_and(|text| !text.contains("not base64!"))), (1, true));
    let secrets = WebhookSecrets { token: Some("another".into()), secret: Some(SECRET.into()) };
    assert_eq!(session.redrive(turn.id, secrets).expect("it is driven"), 1);
    assert_eq!(server.request().header("authorization"), "Bearer another");
    drained(&engine);
    engine.close().expect("it closes");
}
