//! The binary: `relay --help`.

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
    let server = Server::open(&config)?;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("can't listen on {}", config.listen))?;
    let address = listener.local_addr()?;
    println!("relay        ws://{address}");
    println!("status       http://{address}/v1/status");
    println!("health       http://{address}/healthz  http://{address}/readyz");
    if config.in_memory {
        println!("data         in memory: forgotten when the relay ends");
    } else {
        println!("data         {}", config.data.display());
    }
    println!("try it       curl http://{address}/v1/status");
    println!();
    println!("NOBODY IS ASKED WHO THEY ARE: whoever reaches this address reads and writes every document.");
    server.run(listener, stopped()).await
}

/// Completes when the process is asked to end.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be listened for");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
