//! A client of a running relay's HTTP: whole answers, and streams of events.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// How long an answer may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names are lower-case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub id: Option<String>,
    pub kind: String,
    pub data: String,
}

/// A stream of events, as it comes.
#[derive(Debug)]
pub struct EventStream {
    lines: BufReader<Chunks>,
}

/// A body that is sent in chunks.
#[derive(Debug)]
struct Chunks {
    stream: BufReader<TcpStream>,
    left: usize,
}

impl Answer {
    /// The value of a header; empty without it.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Sends a request and waits for its whole answer.
///
/// # Panics
/// If there is none.
pub fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut stream = send(address, method, path, headers, body).expect("the relay reads");
    let (status, headers) = head(&mut stream).expect("the relay answers");
    let mut body = Vec::new();
    stream.read_to_end(&mut body).expect("the answer ends");
    Answer { status, headers, body }
}

fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n"
    )?;
    for (name, value) in headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    stream.write_all(b"\r\n")?;
    // A relay that refuses does not wait for the rest.
    stream.write_all(body).ok();
    Ok(BufReader::new(stream))
}

/// The status and the headers of an answer.
fn head(stream: &mut impl BufRead) -> io::Result<(u16, Vec<(String, String)>)> {
    let malformed = || io::Error::other("this is no answer");
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or_else(malformed)?;
    let mut headers = Vec::new();
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { return Ok((status, headers)) };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

impl EventStream {
    /// Opens a stream; the answer if it is none.
    ///
    /// # Panics
    /// If there is no answer.
    pub fn open(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Self, Answer> {
        let accept = ("accept", "text/event-stream");
        let headers: Vec<_> = headers.iter().copied().chain([accept]).collect();
        let mut stream = send(address, "GET", path, &headers, b"").expect("the relay reads");
        let (status, headers) = head(&mut stream).expect("the relay answers");
        let is_stream = headers.iter().any(|(_, value)| value.starts_with("text/event-stream"));
        if status == 200 && is_stream {
            return Ok(Self { lines: BufReader::new(Chunks { stream, left: 0 }) });
        }
        let mut body = Vec::new();
        stream.read_to_end(&mut body).expect("the answer ends");
        Err(Answer { status, headers, body })
    }
}

impl Iterator for EventStream {
    type Item = Event;

    /// The next event, unless the stream ends before, or nothing comes for long.
    fn next(&mut self) -> Option<Event> {
        let mut event = Event::default();
        let mut line = String::new();
        loop {
            line.clear();
            if self.lines.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim_end_matches('\n').split_once(": ") {
                Some(("id", value)) => event.id = Some(value.to_owned()),
                Some(("event", value)) => value.clone_into(&mut event.kind),
                Some(("data", value)) => value.clone_into(&mut event.data),
                _ if line == "\n" && !event.kind.is_empty() => return Some(event),
                _ => {}
            }
        }
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            if line == "\r\n" {
                line.clear();
                self.stream.read_line(&mut line)?;
            }
            self.left = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
        }
        if self.left == 0 {
            return Ok(0);
        }
        let wanted = buffer.len().min(self.left);
        let read = self.stream.read(&mut buffer[..wanted])?;
        self.left -= read;
        Ok(read)
    }
}

impl Event {
    /// What the event tells.
    ///
    /// # Panics
    /// If it is no JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
