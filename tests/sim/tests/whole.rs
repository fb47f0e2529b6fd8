//! Whole worlds: real replicas and real hubs, tormented, healed, and held to account.

use pannier_sim::plant::Plant;
use pannier_sim::run;

/// How many worlds a test run looks at. `cargo xtask sim` looks at others, and at more.
const SEEDS: u64 = 300;

/// In so many worlds every planted bug must have shown.
const PLANT_SEEDS: u64 = 200;

#[test]
fn nothing_is_lost_and_nobody_is_told_what_is_not_theirs() {
    let sum = run::run_many(0..SEEDS, None, run::threads(), |failure| println!("\n{failure}"));
    let failed: Vec<_> = sum.failures.iter().map(|failure| (failure.seed, &failure.violation)).collect();
    assert!(failed.is_empty(), "{failed:#?}\nto see one: cargo xtask sim --seed {} --aloud", failed[0].0);
    assert!(sum.promises > 10_000 && sum.commands > 1_000, "the worlds are empty: {sum:?}");
}

/// Followers of a document larger than the relay's cache: what one of them waited for was forgotten while the rest was read.
#[test]
fn everyone_is_served_where_little_may_be_kept() {
    let verdict = run::run(20_170, None, false);
    assert!(verdict.is_ok(), "{}", verdict.unwrap_err());
}

#[test]
fn a_seed_replays_to_the_bit() {
    for seed in 0..20 {
        let [one, again] = [run::run(seed, None, false), run::run(seed, None, false)].map(Result::unwrap);
        assert_eq!(one, again);
    }
}

#[test]
fn every_planted_bug_is_found_and_nothing_else() {
    for plant in Plant::ALL {
        let found = (0..PLANT_SEEDS).find_map(|seed| run::run(seed, Some(plant), false).err());
        let failure = found.unwrap_or_else(|| panic!("{plant:?} was not found in {PLANT_SEEDS} worlds"));
        println!("{plant:?} is found by seed {}: {}", failure.seed, failure.violation);
        assert!(run::run(failure.seed, None, false).is_ok(), "seed {} fails by itself", failure.seed);
    }
}
