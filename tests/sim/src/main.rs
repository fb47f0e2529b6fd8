//! Runs seeded worlds from the command line, and says how to see a failure again.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use pannier_sim::plant::Plant;
use pannier_sim::run;

/// Torments replicas and hubs in seeded worlds, then heals them and demands that nothing was lost.
#[derive(Parser)]
struct Arguments {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Prints everything as it happens in the world of the first seed, and runs no other.
    #[arg(long)]
    aloud: bool,
    /// Plants a known bug, which is then to be found.
    #[arg(long)]
    plant: Option<Plant>,
    /// How many worlds run at once.
    #[arg(long, default_value_t = run::threads())]
    threads: usize,
}

fn main() -> ExitCode {
    let Arguments { seed, seeds, aloud, plant, threads } = Arguments::parse();
    if aloud {
        return match run::run(seed, plant, true) {
            Ok(report) => {
                println!("seed {seed} held: {report:?}");
                ExitCode::SUCCESS
            }
            Err(failure) => {
                println!("seed {seed}: {}", failure.violation);
                ExitCode::FAILURE
            }
        };
    }
    let began = Instant::now();
    let sum = run::run_many(seed..seed + seeds, plant, threads, |failure| println!("\n{failure}"));
    println!(
        "{} worlds held: {:.1} virtual hours, {} events, {} promises, {} commands, in {} s",
        sum.held,
        sum.lasted.as_secs_f64() / 3600.0,
        sum.events,
        sum.promises,
        sum.commands,
        began.elapsed().as_secs()
    );
    for failure in &sum.failures {
        println!("seed {}: {}", failure.seed, failure.violation);
        let planted = plant.map(|plant| format!(" --plant {plant:?}")).unwrap_or_default();
        println!("    again, aloud: cargo xtask sim --seed {}{planted} --aloud", failure.seed);
    }
    if sum.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
