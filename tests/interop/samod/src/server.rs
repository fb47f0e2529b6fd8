//! A samod server with its file storage, to be put under the same load as the relay: `samod-server FOLDER` prints its address
//! once it serves.

use std::process::ExitCode;

use futures_util::{SinkExt as _, StreamExt as _, future};
use samod::storage::TokioFilesystemStorage;
use samod::{AcceptorHandle, PeerId, Repo, ShareConfig, Transport, Url};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::{Error, Message};

#[tokio::main]
async fn main() -> ExitCode {
    let Some(folder) = std::env::args().nth(1) else {
        eprintln!("usage: samod-server FOLDER");
        return ExitCode::FAILURE;
    };
    let repo = Repo::build_tokio()
        .with_peer_id(PeerId::from("samod"))
        .with_storage(TokioFilesystemStorage::new(folder))
        // Servers serve what they are asked for and announce nothing.
        .with_share_policy(ShareConfig::read_write().with_announce(false))
        .load()
        .await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
    let url = format!("ws://{}", listener.local_addr().expect("it is bound"));
    let acceptor = repo.make_acceptor(Url::parse(&url).expect("it is a URL")).expect("the repository runs");
    let mut stopped = signal(SignalKind::terminate()).expect("signals can be heard");
    println!("{url}");
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                stream.set_nodelay(true).ok();
                tokio::spawn(serve(stream, acceptor.clone()));
            }
            _ = stopped.recv() => break,
        }
    }
    // What it has acknowledged may not be on disk yet.
    repo.stop().await;
    ExitCode::SUCCESS
}

/// Hands a connection to the repository. One that fails is its peer's loss.
async fn serve(stream: TcpStream, acceptor: AcceptorHandle) {
    let Ok(socket) = accept_async(stream).await else { return };
    let (sink, stream) = socket.split();
    let frames = stream.filter_map(|message| {
        future::ready(match message {
            Ok(Message::Binary(frame)) => Some(Ok(frame.to_vec())),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        })
    });
    let sink = sink.with(|frame: Vec<u8>| future::ready(Ok::<_, Error>(Message::Binary(frame.into()))));
    acceptor.accept(Transport::new(frames, sink)).ok();
}
