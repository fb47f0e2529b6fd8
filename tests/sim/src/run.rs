//! Running whole worlds: real replicas, real hubs and strangers, from a seed to a verdict.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::hostile::Stranger;
use crate::node::Node;
use crate::node::device::Device;
use crate::node::relay::Relay;
use crate::oracle::Violation;
use crate::plan::Plan;
use crate::plant::Plant;
use crate::world::{Failure, Report, World};

/// What a world came to.
pub type Verdict = Result<Report, Box<Failure>>;

/// What many worlds together came to.
#[derive(Debug, Default)]
pub struct Sum {
    pub held: u64,
    pub events: u64,
    pub promises: usize,
    pub commands: usize,
    /// In the worlds' own time.
    pub lasted: Duration,
    pub failures: Vec<Box<Failure>>,
}

impl Sum {
    fn add(&mut self, verdict: Verdict) {
        match verdict {
            Ok(report) => {
                self.held += 1;
                self.events += report.events;
                self.promises += report.promises;
                self.commands += report.commands;
                self.lasted += report.lasted;
            }
            Err(failure) => self.failures.push(failure),
        }
    }
}

/// Runs the world of this seed, perhaps with a bug planted in it. Aloud, everything is printed as it happens.
pub fn run(seed: u64, plant: Option<Plant>, aloud: bool) -> Verdict {
    catch_unwind(AssertUnwindSafe(|| populate(Plan::draw(seed), plant, aloud).run())).unwrap_or_else(
        |panic| {
            let violation = Violation::Panicked { what: said(&*panic) };
            Err(Box::new(Failure { seed, violation, tail: Vec::new() }))
        },
    )
}

/// Runs the worlds of these seeds on several threads, and shows each failure to `watch` as it happens.
pub fn run_many(
    seeds: Range<u64>,
    plant: Option<Plant>,
    threads: usize,
    watch: impl Fn(&Failure) + Sync,
) -> Sum {
    let (next, sum) = (AtomicU64::new(seeds.start), Mutex::new(Sum::default()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let verdict = run(seed, plant, false);
                    if let Err(failure) = &verdict {
                        watch(failure);
                    }
                    sum.lock().expect("adding does not panic").add(verdict);
                }
            });
        }
    });
    sum.into_inner().expect("adding does not panic")
}

/// How many worlds this machine can run at once.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn populate(plan: Plan, plant: Option<Plant>, aloud: bool) -> World {
    let shared = Rc::new(plan.clone());
    let mut nodes: Vec<Box<dyn Node>> = Vec::new();
    let relays = (0..plan.relays).map(|n| Box::new(Relay::new(&shared, n, plant)) as Box<dyn Node>);
    nodes.extend(relays);
    let devices = (0..plan.devices.len()).map(|n| Box::new(Device::new(&shared, n, plant)) as Box<dyn Node>);
    nodes.extend(devices);
    let strangers = (0..plan.strangers.len()).map(|n| Box::new(Stranger::new(&plan, n)) as Box<dyn Node>);
    nodes.extend(strangers);
    World::new(plan, nodes, aloud)
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given").to_owned()
}
