//! The binary on disks that fail: it says so, loses nothing that it acknowledged, and serves what it can.

use std::path::Path;

use crdt_core::id::DocumentId;
use pannier_tests::client::Client;
use pannier_tests::device::{Device, Refused};
use pannier_tests::disk::Disk;
use pannier_tests::process::{RelayProcess, run_to_end};

const CART: DocumentId = DocumentId::from_bytes([7; 16]);
const NOTES: DocumentId = DocumentId::from_bytes([8; 16]);

fn join(relay: &RelayProcess, name: &str) -> Client {
    Client::join(relay.address(), name).unwrap()
}

fn status(relay: &RelayProcess, path: &str) -> (u16, String) {
    let answer = relay.get(path);
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

/// What a device that has nothing is given.
fn fetched(relay: &RelayProcess, id: DocumentId) -> Device {
    let mut device = Device::new("auditor", id);
    device.fetch(&mut join(relay, "auditor")).unwrap();
    device
}

fn check(data: &Path) -> (i32, String) {
    let output = run_to_end(&["store", "check", "--data", data.to_str().unwrap()]);
    (output.status.code().unwrap(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[test]
fn a_full_disk_is_told_and_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(folder.path(), 24) else { return };
    let data = folder.path().join("data");
    let mut relay = RelayProcess::start(&data);
    let mut notes = Device::new("laptop", NOTES);
    notes.put("n/0", "written while there was space");
    notes.bring(&mut join(&relay, "laptop")).unwrap();

    disk.fill(1024);
    let mut cart = Device::new("phone", CART);
    let mut client = join(&relay, "phone");
    let (mut acknowledged, mut refusal) = (Vec::new(), None);
    // Changes that go into the log, and, every now and then, one that is a file by itself.
    for number in 0..4_000 {
        let bytes = if number % 10 == 0 { 20_000 } else { 3_000 };
        cart.put(&format!("n/{number}"), &noise(number, bytes));
        match cart.bring(&mut client) {
            Ok(()) => acknowledged = cart.document.heads(),
            Err(error) => {
                refusal = Some(error);
                break;
            }
        }
    }
    let Some(Refused::Denied(reason)) = refusal else { panic!("{refusal:?} on a full disk") };
    assert!(reason.contains("could not be stored"), "{reason}");
    assert!(!acknowledged.is_empty(), "there was some space");
    let (code, answer) = status(&relay, "/readyz");
    assert!(code == 503 && answer.contains("storage fails"), "{answer}");
    assert_eq!(status(&relay, "/healthz").0, 200, "there is nothing to gain from a restart");
    assert_eq!(fetched(&relay, NOTES).document.heads(), notes.document.heads(), "what is stored is served");
    relay.kill();

    disk.clear();
    let mut relay = RelayProcess::start(&data);
    assert_eq!(status(&relay, "/readyz").0, 200);
    let stored = fetched(&relay, CART);
    assert!(acknowledged.iter().all(|head| stored.document.contains(head)), "what was acknowledged is there");
    assert_eq!(fetched(&relay, NOTES).document.heads(), notes.document.heads());
    cart.bring(&mut join(&relay, "phone")).unwrap();
    assert!(relay.terminate().success());
    let (code, text) = check(&data);
    assert_eq!(code, 0, "{text}");
}

/// Text that does not shrink when it is packed.
fn noise(seed: u32, bytes: usize) -> String {
    let mut state = u64::from(seed) + 1;
    let letters = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'!' + u8::try_from(state >> 58).unwrap())
    });
    letters.take(bytes).collect()
}

#[test]
fn a_disk_that_refuses_writing_is_named_before_anyone_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(folder.path(), 24) else { return };
    let data = folder.path().join("data");
    let mut relay = RelayProcess::start(&data);
    let mut cart = Device::new("phone", CART);
    cart.put("n/0", "ring twice");
    cart.bring(&mut join(&relay, "phone")).unwrap();
    assert!(relay.terminate().success());

    disk.freeze();
    let output = run_to_end(&["--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{error}");
    assert!(error.contains(data.to_str().unwrap()) && error.contains("Read-only"), "{error}");
    disk.thaw();
    let relay = RelayProcess::start(&data);
    assert_eq!(fetched(&relay, CART).document.heads(), cart.document.heads());
}
