//! What devices do together, a file each. A scenario is given a server that has nothing, and returns figures.

#![expect(clippy::cast_precision_loss, reason = "what is counted here is small")]

mod big;
mod cold;
mod crowd;
mod fan_out;
mod idle;
mod latency;
mod many;
pub mod soak;
mod stored;
mod storm;
mod watch;

use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;

use self::crowd::Crowd;
use self::watch::Watch;
use crate::device::{Device, document};
use crate::figure::Figure;
use crate::history::History;
use crate::server::Server;

/// How much of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// What is reported.
    Full,
    /// Enough to see that a change has an effect.
    Quick,
    /// Enough to see that the scenario works.
    Tiny,
}

impl Size {
    fn choose<T>(self, full: T, quick: T, tiny: T) -> T {
        match self {
            Self::Full => full,
            Self::Quick => quick,
            Self::Tiny => tiny,
        }
    }

    /// So many seconds, or fewer.
    fn seconds(self, full: u64) -> Duration {
        self.choose(Duration::from_secs(full), Duration::from_secs(full.min(3)), Duration::from_millis(300))
    }
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// From one device's edit to another device, at a gentle rate
    Latency,
    /// One device writes, 100 follow
    FanOut100,
    /// One device writes, 1,000 follow
    FanOut1000,
    /// How many changes are acknowledged, of 5,000 documents over 50 connections
    Many,
    /// What 10,000 connections take that say nothing
    Idle,
    /// 1,000 devices come to a server that has just been started
    Cold,
    /// A document of 10,000 changes
    Big,
    /// 1,000 devices come back to a server that was killed
    Storm,
    /// A start over 100,000 documents
    Stored,
}

impl Scenario {
    pub const ALL: [Self; 9] = [
        Self::Latency,
        Self::FanOut100,
        Self::FanOut1000,
        Self::Many,
        Self::Idle,
        Self::Cold,
        Self::Big,
        Self::Storm,
        Self::Stored,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::FanOut100 => "fan-out to 100",
            Self::FanOut1000 => "fan-out to 1,000",
            Self::Many => "many documents",
            Self::Idle => "idle connections",
            Self::Cold => "cold start",
            Self::Big => "big document",
            Self::Storm => "reconnect storm",
            Self::Stored => "stored documents",
        }
    }

    /// Plays it.
    pub async fn play(self, server: &mut Server, size: Size) -> Result<Vec<Figure>> {
        match self {
            Self::Latency => latency::play(server, size).await,
            Self::FanOut100 => fan_out::play(server, size, 100).await,
            Self::FanOut1000 => fan_out::play(server, size, 1000).await,
            Self::Many => many::play(server, size).await,
            Self::Idle => idle::play(server, size).await,
            Self::Cold => cold::play(server, size).await,
            Self::Big => big::play(server, size).await,
            Self::Storm => storm::play(server, size).await,
            Self::Stored => stored::play(server, size).await,
        }
    }
}

/// Gives the server so many documents, which so many devices bring and then leave.
async fn bring_all(
    server: &Server,
    history: &Rc<History>,
    documents: usize,
    changes: usize,
    bringers: usize,
) -> Result<()> {
    let mut bringing = Crowd::new();
    for number in 0..bringers {
        let (target, history) = (server.target().clone(), Rc::clone(history));
        bringing.add(async move {
            let own: Vec<_> = (number..documents).step_by(bringers).map(document).collect();
            let mut device = Device::join(&target, number, &history).await?;
            device.bring(&own, changes).await?;
            device.leave().await;
            Ok(())
        });
    }
    bringing.all("bringing the documents").await?;
    Ok(())
}
