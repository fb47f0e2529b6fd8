//! The binary: `relay --help`.

use std::io::Write;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use clap::Parser;
use relay::config::Config;
use relay::server::Server;
use tokio::net::TcpListener;

fn main() -> Result<()> {
    let config = Config::parse();
    tracing_subscriber::fmt().with_max_level(config.log).with_writer(std::io::stderr).init();
    config.check()?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(config))
}

async fn run(config: Config) -> Result<()> {
    let stopped = stopped()?;
    let server = Server::open(&config)?;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("can't listen on {}", config.listen))?;
    let address = listener.local_addr()?;
    // A relay serves whether or not anyone reads what it says: a closed pipe is no reason to end.
    std::io::stdout().write_all(greeting(&config, address).as_bytes()).ok();
    server.run(listener, stopped).await
}

/// Where everything is, and who is let in.
fn greeting(config: &Config, address: SocketAddr) -> String {
    let data = if config.in_memory {
        "in memory: forgotten when the relay ends".to_owned()
    } else {
        config.data.display().to_string()
    };
    format!(
        "relay        ws://{address}\n\
         status       http://{address}/v1/status\n\
         health       http://{address}/healthz  http://{address}/readyz\n\
         data         {data}\n\
         try it       curl http://{address}/v1/status\n\
         \n\
         NOBODY IS ASKED WHO THEY ARE: whoever reaches this address reads and writes every document.\n"
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
