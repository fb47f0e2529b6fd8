//! Who knocks: TCP connections, made private where the relay has a certificate, until they are a request.
//!
//! Everything before a request is bounded here: how long a handshake and the head of a request may take, how many may be at it
//! at once, and how many requests may come from one address.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower_service::Service;

use super::clock::now;
use super::http::too_many_requests;
use super::throttle::Throttle;
use super::tls::Tls;
use crate::config::{Config, Network};

/// How long a handshake may take, and the head of a request: phones on slow networks need a second or two.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);

/// Connections that are not, or not yet, a WebSocket. Further ones are closed at once, so that those who dawdle keep nobody out
/// for long.
const VISITORS_MAX: usize = 8192;

/// Bytes of the head of a request. Tokens with dozens of grants fit.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// How long requests may take to end when the relay stops.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(1);

/// How long nobody is let in when the system can't have more open files.
const EXHAUSTED_TIME: Duration = Duration::from_millis(200);

/// Where a request comes from, as far as it can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientAddress(pub(super) IpAddr);

/// Whatever lets connections in.
pub(super) struct Listener {
    router: Router,
    tls: Option<Arc<Tls>>,
    proxies: Arc<[Network]>,
    throttle: Arc<Throttle<IpAddr>>,
    visitors: Arc<Semaphore>,
}

impl Listener {
    pub(super) fn new(config: &Config, router: Router, tls: Option<Arc<Tls>>) -> Self {
        Self {
            router,
            tls,
            proxies: config.trusted_proxies.clone().into(),
            throttle: Arc::new(Throttle::new(config.requests_per_address)),
            visitors: Arc::new(Semaphore::new(VISITORS_MAX)),
        }
    }

    /// Lets connections in until `stopped` says so, then waits a moment for the requests that are being answered.
    pub(super) async fn run(self, listener: TcpListener, mut stopped: watch::Receiver<bool>) {
        let mut visits = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = told(&mut stopped) => break,
                Some(_) = visits.join_next() => continue,
            };
            match accepted {
                Ok((stream, address)) => {
                    let Ok(place) = Arc::clone(&self.visitors).try_acquire_owned() else {
                        tracing::debug!(%address, "too many visitors");
                        continue;
                    };
                    visits.spawn(self.visit(stream, address, place, stopped.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(EXHAUSTED_TIME).await;
                }
            }
        }
        // From here on the system refuses whoever comes.
        drop(listener);
        let drained = timeout(DRAIN_TIME_MAX, async { while visits.join_next().await.is_some() {} });
        if drained.await.is_err() {
            tracing::debug!(requests = visits.len(), "some requests are cut short");
        }
    }

    /// Serves one connection until it ends or becomes a WebSocket.
    fn visit(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        place: OwnedSemaphorePermit,
        stopped: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let desk = Desk {
            router: self.router.clone(),
            proxies: Arc::clone(&self.proxies),
            throttle: Arc::clone(&self.throttle),
            peer: address.ip(),
        };
        let tls = self.tls.as_ref().map(|tls| tls.acceptor());
        async move {
            // Frames are small, and somebody waits for each.
            stream.set_nodelay(true).ok();
            match tls {
                None => desk.serve(stream, stopped).await,
                Some(acceptor) => match timeout(HEAD_TIME_MAX, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => desk.serve(stream, stopped).await,
                    Ok(Err(error)) => tracing::debug!(%address, %error, "no handshake"),
                    Err(_) => tracing::debug!(%address, "a handshake took too long"),
                },
            }
            drop(place);
        }
    }
}

/// Where the requests of one connection are answered.
struct Desk {
    router: Router,
    proxies: Arc<[Network]>,
    throttle: Arc<Throttle<IpAddr>>,
    /// The other end of the connection.
    peer: IpAddr,
}

impl Desk {
    async fn serve<S>(self, stream: S, mut stopped: watch::Receiver<bool>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let service = service_fn(|request| self.answer(request));
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX).max_buf_size(HEAD_BYTES_MAX);
        let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = told(&mut stopped) => {
                // The answer that is under way is the last.
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(address = %self.peer, %error, "a connection has ended badly");
        }
    }

    async fn answer(&self, request: hyper::Request<Incoming>) -> Result<Response, Infallible> {
        let mut request: Request = request.map(Body::new);
        let address = client_address(self.peer, request.headers(), &self.proxies);
        if let Some(rest) = self.throttle.take(&household(address), now()).filter(|_| !address.is_loopback())
        {
            return Ok(too_many_requests("your address", rest));
        }
        request.extensions_mut().insert(ClientAddress(address));
        self.router.clone().call(request).await
    }
}

/// Completes when the relay stops, or is no more.
async fn told(stopped: &mut watch::Receiver<bool>) {
    drop(stopped.wait_for(|stopped| *stopped).await);
}

/// Who has asked, behind the proxies that are trusted to say so. What others claim counts for nothing.
fn client_address(peer: IpAddr, headers: &HeaderMap, proxies: &[Network]) -> IpAddr {
    let is_proxy = |address: IpAddr| proxies.iter().any(|network| network.has(address));
    let mut address = peer;
    let claims = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let mut claims: Vec<_> = claims.flat_map(|value| value.split(',')).collect();
    // Each proxy adds the address that it has seen at the end.
    while is_proxy(address)
        && let Some(claim) = claims.pop()
    {
        let Some(claimed) = parse_address(claim.trim()) else { break };
        address = claimed;
    }
    address.to_canonical()
}

/// Whoever has one address of IPv6 has all that begin like it.
fn household(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 64 << 64).into(),
    }
}

/// An address, perhaps with a port.
fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_matches(['[', ']']).parse().ok();
    bare.or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_in_one_network_of_ipv6_are_one() {
        let of = |text: &str| household(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("198.51.100.1"), of("198.51.100.2"));
    }

    #[test]
    fn only_trusted_proxies_say_who_asks() {
        let proxies = ["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()];
        for (peer, headers, expected) in [
            ("203.0.113.9", &[][..], "203.0.113.9"),
            ("203.0.113.9", &["198.51.100.1"], "203.0.113.9"),
            ("10.0.0.2", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.2", &["1.1.1.1, 198.51.100.1, 10.0.0.3"], "198.51.100.1"),
            ("10.0.0.2", &["1.1.1.1", "198.51.100.1:4711"], "198.51.100.1"),
            ("::1", &["[2001:db8::7]:80"], "2001:db8::7"),
            ("10.0.0.2", &["nonsense"], "10.0.0.2"),
            ("10.0.0.2", &[], "10.0.0.2"),
            ("::ffff:10.0.0.2", &["198.51.100.1"], "198.51.100.1"),
        ] {
            let mut map = HeaderMap::new();
            for header in headers {
                map.append("x-forwarded-for", header.parse().unwrap());
            }
            let address = client_address(peer.parse().unwrap(), &map, &proxies);
            assert_eq!(address, expected.parse::<IpAddr>().unwrap(), "{peer} {headers:?}");
        }
    }
}
