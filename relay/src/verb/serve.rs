//! What the relay does without a verb: it serves.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;

use anyhow::{Context, Result};
use relay::config::{Admission, Config, KeyFile, LogFormat};
use relay::server::Server;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

use super::Configuration;

/// Connections that may wait to be accepted: a restarted relay is met by everyone at once, and whoever finds no room in the
/// queue comes back a second later.
const BACKLOG: u32 = 4096;

pub(super) fn run(configuration: &Configuration) -> Result<()> {
    let config = configuration.resolve()?;
    let log = log_to_stderr(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(&config, configuration.clone(), log))
}

/// How much is logged, which can change.
type LogFilter = reload::Handle<LevelFilter, Registry>;

fn log_to_stderr(config: &Config) -> LogFilter {
    let (filter, handle) = reload::Layer::new(LevelFilter::from_level(config.log));
    let layer = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let log = tracing_subscriber::registry().with(filter);
    match config.log_format {
        LogFormat::Text => log.with(layer).init(),
        LogFormat::Json => log.with(layer.json()).init(),
    }
    handle
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // What an earlier relay left in the system does not keep the address from the next one.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn serve(config: &Config, configuration: Configuration, log: LogFilter) -> Result<()> {
    let stopped = stopped()?;
    let mut hangups = signal(SignalKind::hangup())?;
    let server = Server::open(config)?;
    let reloader = server.reloader();
    let listener = listen(config.listen).with_context(|| format!("can't listen on {}", config.listen))?;
    let address = listener.local_addr()?;
    // A relay serves whether or not anyone reads what it says: a closed pipe is no reason to end.
    io::stdout().write_all(greeting(config, address).as_bytes()).ok();
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            match configuration.resolve() {
                Ok(config) => {
                    log.modify(|filter| *filter = LevelFilter::from_level(config.log)).ok();
                    reloader.reload(&config);
                }
                Err(error) => {
                    tracing::error!(error = format!("{error:#}"), "the configuration stays as it was");
                }
            }
        }
    });
    server.run(listener, stopped).await
}

/// Where everything is, and who is let in.
fn greeting(config: &Config, address: SocketAddr) -> String {
    let data = match &config.data {
        Some(data) => data.display().to_string(),
        None => "in memory: forgotten when the relay ends".to_owned(),
    };
    let (header, notice) = match &config.admission {
        Admission::Everyone => (
            String::new(),
            "NOBODY IS ASKED WHO THEY ARE: whoever reaches this address reads and writes every document.",
        ),
        Admission::Bearers(files) => {
            let token = match &files.keys {
                KeyFile::Secret(path) => {
                    format!("$(relay token admin --role admin --token-secret {})", path.display())
                }
                KeyFile::Pem(_) | KeyFile::Jwks(_) => "TOKEN".to_owned(),
            };
            (format!(" -H \"authorization: Bearer {token}\""), "Only bearers of a token are let in.")
        }
    };
    let (ws, http) = if config.tls.is_some() { ("wss", "https") } else { ("ws", "http") };
    format!(
        "relay        {ws}://{address}\n\
         status       {http}://{address}/  {http}://{address}/v1/status\n\
         health       {http}://{address}/healthz  {http}://{address}/readyz\n\
         data         {data}\n\
         try it       curl {http}://{address}/v1/status{header}\n\
         \n\
         {notice}\n"
    )
}

/// Completes when the process is asked to end. From the call on, such a request ends nothing by itself.
fn stopped() -> Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
