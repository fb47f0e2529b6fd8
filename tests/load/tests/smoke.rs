//! Every scenario, as small as it can be, with the relay's binary: so that the generator works on the day it is needed.

use std::time::Duration;

use anyhow::Result;
use pannier_load::figure::Figure;
use pannier_load::scenario::{Scenario, Size, soak};
use pannier_load::server::{Cores, Kind, Launch, Server};
use pannier_tests::process;
use tempfile::TempDir;
use tokio::task::LocalSet;

fn play(scenario: impl AsyncFnOnce(&mut Server) -> Result<Vec<Figure>>) -> Vec<Figure> {
    let data = TempDir::new().unwrap();
    let launch = Launch {
        kind: Kind::Relay,
        program: process::binary(),
        data: data.path().to_owned(),
        cores: Cores::Shared,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut server = Server::start(&launch).unwrap();
    runtime.block_on(LocalSet::new().run_until(scenario(&mut server))).unwrap()
}

#[track_caller]
fn value(figures: &[Figure], name: &str) -> f64 {
    let figure = figures.iter().find(|figure| figure.name == name);
    figure.unwrap_or_else(|| panic!("there is no `{name}` among {figures:?}")).value
}

fn scenario(scenario: Scenario) -> Vec<Figure> {
    play(async |server| scenario.play(server, Size::Tiny).await)
}

#[test]
fn edits_reach_the_other_device() {
    let figures = scenario(Scenario::Latency);
    let (p50, max) =
        (value(&figures, "edit to other device, p50"), value(&figures, "edit to other device, max"));
    assert!(p50 > 0.0 && p50 <= max, "{figures:?}");
    assert!(value(&figures, "changes") >= 6.0, "three pairs write at least two changes each: {figures:?}");
}

#[test]
fn many_documents_become_durable() {
    let figures = scenario(Scenario::Many);
    assert!(value(&figures, "changes acknowledged") > 0.0, "{figures:?}");
    assert!(value(&figures, "server CPU, each change") > 0.0, "{figures:?}");
}

#[test]
fn every_follower_hears_of_every_change() {
    let figures = scenario(Scenario::FanOut100);
    assert!(value(&figures, "server CPU, each delivery") > 0.0, "{figures:?}");
}

#[test]
fn those_who_wait_take_memory() {
    let figures = scenario(Scenario::Idle);
    assert!(value(&figures, "server memory, each connection") > 0.0, "{figures:?}");
}

#[test]
fn all_get_their_documents_after_a_start() {
    let figures = scenario(Scenario::Cold);
    assert!(value(&figures, "server CPU, together") > 0.0, "{figures:?}");
}

#[test]
fn a_long_document_arrives_whole() {
    let figures = scenario(Scenario::Big);
    assert!(value(&figures, "bytes on the way") > 1.0, "{figures:?}");
}

#[test]
fn nothing_acknowledged_is_lost_in_a_storm() {
    let figures = scenario(Scenario::Storm);
    assert!(value(&figures, "acknowledged changes lost") < 1.0, "{figures:?}");
}

#[test]
fn a_start_over_many_documents_is_timed() {
    let figures = scenario(Scenario::Stored);
    assert!(value(&figures, "start") > 0.0, "{figures:?}");
}

#[test]
fn a_soak_finds_everything_again() {
    let figures =
        play(async |server| soak::play(server, Duration::from_secs(2), Duration::from_secs(1)).await);
    assert!(value(&figures, "changes acknowledged, all found again") > 200.0, "{figures:?}");
}
