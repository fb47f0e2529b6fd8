//! What a stretch of time costs the server, and the generator.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::figure::{Figure, Unit};
use crate::server::Server;
use crate::usage::Usage;

/// A stretch of time that has begun.
pub(super) struct Watch {
    began: Instant,
    server: Usage,
    own: Usage,
}

/// A stretch of time that is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) time: Duration,
    pub(super) server_cpu: Duration,
    pub(super) own_cpu: Duration,
}

impl Watch {
    pub(super) fn begin(server: &Server) -> Result<Self> {
        Ok(Self { server: server.usage()?, own: Usage::own()?, began: Instant::now() })
    }

    pub(super) fn end(self, server: &Server) -> Result<Span> {
        let time = self.began.elapsed();
        let (own, server) = (Usage::own()?, server.usage()?);
        Ok(Span {
            time,
            server_cpu: server.cpu.saturating_sub(self.server.cpu),
            own_cpu: own.cpu.saturating_sub(self.own.cpu),
        })
    }
}

impl Span {
    /// How busy both were: a generator that is always busy has measured itself.
    pub(super) fn loads(&self) -> [Figure; 2] {
        let share = |cpu: Duration| 100.0 * cpu.as_secs_f64() / self.time.as_secs_f64();
        [
            Figure::new("server, of one core", share(self.server_cpu), Unit::Percent),
            Figure::new("generator, of one core", share(self.own_cpu), Unit::Percent),
        ]
    }

    /// Server time for each of so many things.
    pub(super) fn cpu_each(&self, name: &str, count: usize) -> Figure {
        let each = self.server_cpu.div_f64(count.max(1) as f64);
        Figure::time(name, each, Unit::Micros)
    }
}
