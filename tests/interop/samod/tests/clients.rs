//! Unmodified samod clients do with the relay's binary what they do with a samod server.

use std::time::Duration;

use futures_util::StreamExt as _;
use pannier_interop_samod::{Client, Facts as _, eventually};
use pannier_tests::process::{RelayProcess, run_to_end};
use tempfile::TempDir;
use tokio::time::timeout;

/// A relay with a disk of its own.
struct Relay {
    process: RelayProcess,
    data: TempDir,
}

impl Relay {
    fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        Self { process: RelayProcess::start(data.path()), data }
    }

    async fn join(&self, name: &str) -> Client {
        Client::join(name, self.process.address()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_client_creates_another_finds() {
    let relay = Relay::start();
    let (phone, laptop) = (relay.join("phone").await, relay.join("laptop").await);
    let created = phone.create("milk").await;
    let found = laptop.await_document(created.document_id()).await;
    eventually("the laptop has it", || found.facts() == ["milk"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_created_is_found_when_its_author_is_gone() {
    let relay = Relay::start();
    let phone = relay.join("phone").await;
    let created = phone.create("milk").await;
    let (id, laptop) = (created.document_id().clone(), relay.join("laptop").await);
    laptop.await_document(&id).await;
    phone.stop().await;
    laptop.stop().await;
    let tablet = relay.join("tablet").await;
    let found = tablet.await_document(&id).await;
    eventually("the relay had it", || found.facts() == ["milk"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_edits_meet() {
    let relay = Relay::start();
    let (phone, laptop) = (relay.join("phone").await, relay.join("laptop").await);
    let created = phone.create("milk").await;
    let found = laptop.await_document(created.document_id()).await;
    for n in 0..20 {
        created.write(&format!("phone-{n}"));
        found.write(&format!("laptop-{n}"));
    }
    for handle in [&created, &found] {
        eventually("all edits are there", || handle.facts().len() == 41).await;
    }
    assert_eq!(created.facts(), found.facts());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_nobody_has_is_unavailable_and_arrives_later() {
    let relay = Relay::start();
    let mut phone = Client::offline("phone", relay.process.address()).await;
    let laptop = relay.join("laptop").await;
    let created = phone.create("milk").await;
    let answer = timeout(Duration::from_secs(10), laptop.find(created.document_id())).await;
    assert!(answer.expect("the answer is no, not silence").is_none());
    phone.connect().await;
    let found = laptop.await_document(created.document_id()).await;
    eventually("with its content", || found.facts() == ["milk"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ephemeral_messages_reach_the_others_once_and_in_order() {
    let relay = Relay::start();
    let (phone, laptop, tablet) =
        (relay.join("phone").await, relay.join("laptop").await, relay.join("tablet").await);
    let created = phone.create("milk").await;
    let mut heard = Vec::new();
    for client in [&laptop, &tablet] {
        let found = client.await_document(created.document_id()).await;
        eventually("it follows the document", || found.facts() == ["milk"]).await;
        heard.push(found.ephemera());
    }
    for n in 0..3 {
        created.broadcast(vec![n]);
    }
    for stream in &mut heard {
        for n in 0..3 {
            let message = timeout(Duration::from_secs(20), stream.next()).await;
            assert_eq!(message.expect("it is passed on"), Some(vec![n]));
        }
        let more = timeout(Duration::from_millis(300), stream.next()).await;
        assert!(more.is_err(), "{more:?} was said once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_offline_arrives_when_the_relay_is_back() {
    let mut relay = Relay::start();
    let (phone, laptop) = (relay.join("phone").await, relay.join("laptop").await);
    let created = phone.create("milk").await;
    let found = laptop.await_document(created.document_id()).await;
    for (round, is_killed) in [("stopped", false), ("killed", true)] {
        if is_killed {
            relay.process.kill();
        } else {
            assert!(relay.process.terminate().success());
        }
        eventually("both notice", || !phone.is_connected() && !laptop.is_connected()).await;
        created.write(&format!("phone-{round}"));
        found.write(&format!("laptop-{round}"));
        relay.process = RelayProcess::start(relay.data.path());
        for client in [&phone, &laptop] {
            client.lead_to(relay.process.address());
        }
        for handle in [&created, &found] {
            let expected = [format!("laptop-{round}"), format!("phone-{round}")];
            eventually("they meet again", || {
                let facts = handle.facts();
                expected.iter().all(|key| facts.contains(key))
            })
            .await;
        }
    }
    assert_eq!(created.facts(), found.facts());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_bears_a_token_syncs_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (data, secret) = (path("data"), path("secret"));
    std::fs::write(&secret, "thirty-two bytes that nobody guesses").unwrap();
    let minted = run_to_end(&["token", "student-7", "--token-secret", &secret]);
    let token = String::from_utf8(minted.stdout).unwrap();
    let relay = RelayProcess::start_with(&["--data", &data, "--token-secret", &secret, "--log", "warn"]);
    let join = |name| Client::bearing(name, relay.address(), token.trim());
    let (phone, laptop) = (join("phone").await, join("laptop").await);
    let created = phone.create("milk").await;
    let found = laptop.await_document(created.document_id()).await;
    found.write("bread");
    eventually("the phone has it", || created.facts() == ["bread", "milk"]).await;
}
