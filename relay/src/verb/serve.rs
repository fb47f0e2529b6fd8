//! What the relay does without a verb: it serves.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;

use anyhow::{Context, Result};
use relay::config::{Admission, Config, KeyFile, LogFormat};
use relay::server::Server;
use tokio::net::TcpListener;

pub(super) fn run(config: &Config) -> Result<()> {
    log_to_stderr(config);
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(config))
}

fn log_to_stderr(config: &Config) {
    let log = tracing_subscriber::fmt()
        .with_max_level(config.log)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match config.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

async fn serve(config: &Config) -> Result<()> {
    let stopped = stopped()?;
    let server = Server::open(config)?;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("can't listen on {}", config.listen))?;
    let address = listener.local_addr()?;
    // A relay serves whether or not anyone reads what it says: a closed pipe is no reason to end.
    io::stdout().write_all(greeting(config, address).as_bytes()).ok();
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
    format!(
        "relay        ws://{address}\n\
         status       http://{address}/v1/status\n\
         health       http://{address}/healthz  http://{address}/readyz\n\
         data         {data}\n\
         try it       curl http://{address}/v1/status{header}\n\
         \n\
         {notice}\n"
    )
}

/// Completes when the process is asked to end. From the call on, such a request ends nothing by itself.
fn stopped() -> Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
