//! How a samod client reaches a relay.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _, future};
use samod::{DialError, Dialer, Transport, Url};
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Dials whatever address the relay has at the moment.
#[derive(Clone, Debug)]
pub(crate) struct Socket {
    address: Arc<Mutex<SocketAddr>>,
    /// What it says of itself in the URL.
    query: Arc<str>,
}

impl Socket {
    pub(crate) fn new(address: SocketAddr, query: &str) -> Self {
        Self { address: Arc::new(Mutex::new(address)), query: query.into() }
    }

    /// From now on the relay is there.
    pub(crate) fn lead_to(&self, address: SocketAddr) {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }

    fn address(&self) -> SocketAddr {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dialer for Socket {
    type Error = Error;

    fn url(&self) -> Url {
        Url::parse(&format!("ws://{}/{}", self.address(), self.query)).expect("an address makes a URL")
    }

    fn connect(&self) -> BoxFuture<'static, Result<Transport, DialError<Error>>> {
        let (address, url) = (self.address(), self.url());
        async move {
            let stream = TcpStream::connect(address).await.map_err(DialError::transient)?;
            let socket = client_async(url.as_str(), stream).await;
            let (socket, _) = socket.map_err(DialError::transient)?;
            let (sink, stream) = socket.split();
            let frames = stream.filter_map(|message| {
                future::ready(match message {
                    Ok(Message::Binary(frame)) => Some(Ok(frame.to_vec())),
                    Ok(_) => None,
                    Err(error) => Some(Err(error)),
                })
            });
            let sink =
                sink.with(|frame: Vec<u8>| future::ready(Ok::<_, Error>(Message::Binary(frame.into()))));
            Ok(Transport::new(frames, sink))
        }
        .boxed()
    }
}
