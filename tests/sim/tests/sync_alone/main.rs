//! The sync core alone in the world: open documents on devices, graphs on relays, and the least that can drive them.
//!
//! What fails here is the exchange itself, not the machines around it.

mod device;
mod relay;

use pannier_sim::node::Node;
use pannier_sim::plan::{Happening, Plan};
use pannier_sim::world::{Failure, Report, World};

use self::device::Device;
use self::relay::Relay;

/// How many worlds a test run looks at. `PANNIER_SIM_SEED` and `PANNIER_SIM_SEEDS` choose others.
const SEEDS: u64 = 40;

fn run(seed: u64) -> Result<Report, Box<Failure>> {
    let mut plan = Plan::draw(seed);
    // These relays know no permits but those of the beginning.
    plan.happenings.retain(|(_, happening)| !matches!(happening, Happening::Revoke { .. }));
    let mut nodes: Vec<Box<dyn Node>> = Vec::new();
    nodes.extend((0..plan.relays).map(|n| Box::new(Relay::new(&plan, n)) as Box<dyn Node>));
    nodes.extend((0..plan.devices.len()).map(|n| Box::new(Device::new(&plan, n)) as Box<dyn Node>));
    let aloud = std::env::var_os("PANNIER_SIM_ALOUD").is_some();
    World::new(plan, nodes, aloud).run()
}

#[test]
fn everyone_agrees_in_the_end_and_nothing_advertised_is_lost() {
    let first: u64 = std::env::var("PANNIER_SIM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let count: u64 = std::env::var("PANNIER_SIM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(SEEDS);
    let mut promises = 0;
    for seed in first..first + count {
        match run(seed) {
            Ok(report) => promises += report.promises,
            Err(failure) => panic!("\n{failure}"),
        }
    }
    assert!(promises > 0, "nothing was ever promised: the worlds are empty");
}

#[test]
fn a_seed_replays_to_the_bit() {
    for seed in 0..5 {
        let [one, again] = [run(seed), run(seed)].map(Result::unwrap);
        assert_eq!(one, again);
    }
}
