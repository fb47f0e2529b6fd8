//! A relay that is running, asked over HTTP.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::body::Bytes;
use axum::http::uri::Scheme;
use axum::http::{HeaderMap, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// Longest answer: a document as a relay keeps it may be several times as long as when it is packed.
const ANSWER_BYTES_MAX: usize = 512 << 20;

/// How often an answer is waited for that a relay has put off.
const ATTEMPTS_MAX: u32 = 5;

/// One connection to a relay.
pub(super) struct Remote {
    sender: SendRequest<Empty<Bytes>>,
    host: String,
    token: Option<String>,
}

impl Remote {
    pub(super) async fn connect(url: &str, token: Option<String>) -> Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("`{url}` is not a URL"))?;
        let is_plain = uri.scheme() == Some(&Scheme::HTTP);
        let Some(host) = uri.authority().filter(|_| is_plain).map(ToString::to_string) else {
            bail!("`{url}` is not a URL such as http://127.0.0.1:3030");
        };
        let port = uri.port_u16().unwrap_or(80);
        let name = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let stream = timeout(PATIENCE, TcpStream::connect((name, port)))
            .await
            .map_err(anyhow::Error::from)
            .and_then(|stream| Ok(stream?))
            .with_context(|| format!("no relay answers at {url}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, host, token })
    }

    /// What the relay answers, whatever it is, once it has time.
    pub(super) async fn get(&mut self, path: &str) -> Result<(StatusCode, Bytes)> {
        let mut attempt = 1;
        loop {
            let (status, headers, body) = timeout(PATIENCE, self.ask(path))
                .await
                .unwrap_or_else(|_| bail!("the relay has not answered for {PATIENCE:?}"))
                .with_context(|| format!("GET {path}"))?;
            match retry_after(status, &headers).filter(|_| attempt < ATTEMPTS_MAX) {
                Some(rest) => sleep(rest).await,
                None => return Ok((status, body)),
            }
            attempt += 1;
        }
    }

    /// What the relay answers, which has to be JSON of this form.
    pub(super) async fn get_json<T: DeserializeOwned>(&mut self, path: &str) -> Result<T> {
        let (status, body) = self.get(path).await?;
        if status != StatusCode::OK {
            bail!("GET {path}: {}", reason(status, &body));
        }
        serde_json::from_slice(&body).with_context(|| format!("GET {path} is answered with something else"))
    }

    async fn ask(&mut self, path: &str) -> Result<(StatusCode, HeaderMap, Bytes)> {
        let mut request = Request::get(path).header(header::HOST, &self.host);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        self.sender.ready().await?;
        let response = self.sender.send_request(request.body(Empty::new())?).await?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(anyhow::Error::from_boxed)?;
        Ok((parts.status, parts.headers, body.to_bytes()))
    }
}

/// How long a relay asks to be left alone, if it does.
fn retry_after(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    if status != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(PATIENCE))
}

/// Why something was not answered, as the relay says it.
pub(super) fn reason(status: StatusCode, body: &[u8]) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let detail = problem.as_ref().and_then(|problem| problem.get("detail")?.as_str());
    detail.map_or_else(|| status.to_string(), |detail| format!("{status}: {detail}"))
}
