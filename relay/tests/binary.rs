//! The binary as an operator meets it: what it says, what it refuses, and how it ends.

use std::fs;
use std::net::TcpListener;
use std::process::Output;

use crdt_core::wire::Frame;
use pannier_tests::client::{Client, Gone};
use pannier_tests::process::{RelayProcess, run_to_end};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn path_of(folder: &TempDir) -> &str {
    folder.path().to_str().unwrap()
}

/// What a relay that would not serve said, and with which code it ended.
#[track_caller]
fn refusal(flags: &[&str]) -> (i32, String) {
    let Output { status, stdout, stderr } = run_to_end(flags);
    assert_eq!(String::from_utf8(stdout).unwrap(), "", "nothing is promised");
    (status.code().expect("it ended by itself"), String::from_utf8(stderr).unwrap())
}

#[test]
fn help_names_the_flags_and_what_happens_without_them() {
    let Output { status, stdout, .. } = run_to_end(&["--help"]);
    let help = String::from_utf8(stdout).unwrap();
    assert!(status.success());
    for word in ["--listen", "--data", "--in-memory", "--open-to-everyone", "RELAY_LISTEN", "127.0.0.1:3030"]
    {
        assert!(help.contains(word), "{word} is not in:\n{help}");
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let Output { status, stdout, .. } = run_to_end(&["--version"]);
    assert!(status.success());
    assert_eq!(String::from_utf8(stdout).unwrap().trim(), concat!("relay ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn flags_that_mean_nothing_are_refused_with_what_may_have_been_meant() {
    for (flags, expected) in [
        (&["--listne", "127.0.0.1:0"][..], "--listen"),
        (&["--listen", "somewhere"], "--listen <ADDRESS>"),
        (&["--cache-mib", "much"], "--cache-mib <MIB>"),
        (&["--log", "loud"], "--log <LEVEL>"),
    ] {
        let (code, error) = refusal(flags);
        assert_eq!(code, 2, "{error}");
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn other_machines_are_not_let_in_by_accident() {
    let data = folder();
    let (code, error) = refusal(&["--listen", "0.0.0.0:0", "--data", path_of(&data)]);
    assert_eq!(code, 1);
    assert!(error.contains("0.0.0.0:0") && error.contains("--open-to-everyone"), "{error}");
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0, "nothing was begun");
}

#[test]
fn data_in_use_is_not_touched_by_a_second_relay() {
    let data = folder();
    let mut first = RelayProcess::start(data.path());
    let (code, error) = refusal(&["--listen", "127.0.0.1:0", "--data", path_of(&data)]);
    assert_eq!(code, 1);
    assert!(error.contains(path_of(&data)) && error.contains("lock"), "{error}");
    assert!(first.get("/readyz").ends_with("ready\n"), "the first goes on");
    assert!(first.terminate().success());
    assert!(RelayProcess::start(data.path()).terminate().success(), "the door is open again");
}

#[test]
fn data_that_can_not_be_written_is_named() {
    let data = folder();
    let file = data.path().join("a-file");
    fs::write(&file, "not a folder").unwrap();
    let below = file.join("data");
    let (code, error) = refusal(&["--listen", "127.0.0.1:0", "--data", below.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(error.contains(below.to_str().unwrap()), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "not a folder");
}

#[test]
fn a_port_in_use_is_named() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let (code, error) = refusal(&["--listen", &address, "--in-memory"]);
    assert_eq!(code, 1);
    assert!(error.contains(&address), "{error}");
}

#[test]
fn a_relay_that_serves_tells_how_it_does() {
    let relay = RelayProcess::start_with(&["--in-memory", "--log", "warn"]);
    assert!(relay.get("/healthz").starts_with("HTTP/1.1 200"));
    assert!(relay.get("/readyz").ends_with("ready\n"));
    let status = relay.get("/v1/status");
    assert!(status.contains("\"storage\":\"ok\"") && status.contains("\"connections\":"), "{status}");
    assert!(relay.get("/").contains("This is a relay"), "somebody with a browser is told where they are");
    assert!(relay.get("/nowhere").starts_with("HTTP/1.1 404"));
}

#[test]
fn a_relay_that_is_asked_to_end_says_goodbye_and_ends_well() {
    let data = folder();
    let mut relay = RelayProcess::start(data.path());
    let mut phone = Client::join(relay.address(), "phone").unwrap();
    let mut laptop = Client::join(relay.address(), "laptop").unwrap();
    assert!(relay.terminate().success());
    for peer in [&mut phone, &mut laptop] {
        let farewell = peer.receive().unwrap();
        let Ok(Frame::GoingAway { going, .. }) = Frame::decode(&farewell) else {
            panic!("{farewell:02x?} is no farewell");
        };
        assert!(going.reconnect_after_min < going.reconnect_after_max, "not all come back at one moment");
        assert_eq!(peer.receive(), Err(Gone { goodbye: Some("the relay is stopping".to_owned()) }));
    }
    assert!(Client::join(relay.address(), "tablet").is_err(), "nobody is let in any more");
}
