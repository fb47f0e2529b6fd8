//! The story of the README: two terminals, one cart, and a relay that is stopped and started again.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use pannier_tests::process::RelayProcess;

/// How long a line may take to show on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// The program in a terminal.
struct Terminal {
    child: Child,
    keys: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Terminal {
    fn open(relay: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_shared-cart"))
            .arg(relay)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        let screen = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            screen.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { keys: child.stdin.take(), child, lines }
    }

    fn type_in(&mut self, line: &str) {
        writeln!(self.keys.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits until a line like this shows.
    fn wait_for(&self, line: &str) {
        let mut shown = Vec::new();
        while shown.last().is_none_or(|last| last != line) {
            let Ok(next) = self.lines.recv_timeout(PATIENCE) else {
                panic!("not shown: {line}; but {shown:#?}")
            };
            shown.push(next);
        }
    }

    /// Closes the input, and waits for the end.
    fn close(mut self) {
        drop(self.keys.take());
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
fn two_terminals_edit_one_cart_and_a_stopped_relay_loses_nothing() {
    let data = tempfile::tempdir().unwrap();
    let mut relay = RelayProcess::start(data.path());
    let mut left = Terminal::open(&relay.url());
    let mut right = Terminal::open(&relay.url());
    left.type_in("add tea 2");
    right.wait_for("cart: 2 tea");
    right.type_in("add mug");
    left.wait_for("cart: 1 mug, 2 tea");

    relay.kill();
    left.wait_for("no relay: go on, it is tried again and again");
    left.type_in("remove tea");
    right.type_in("add tea 1");
    left.wait_for("cart: 1 mug   (1 not at the relay yet)");
    right.wait_for("cart: 1 mug, 3 tea   (1 not at the relay yet)");

    let relay = RelayProcess::start_at(relay.address(), data.path());
    for terminal in [&left, &right] {
        terminal.wait_for("cart: 1 mug, 1 tea");
    }
    left.close();
    right.close();
    let late = Terminal::open(&relay.url());
    late.wait_for("cart: 1 mug, 1 tea");
    late.close();
}

#[test]
fn what_is_typed_wrongly_is_said_and_nothing_is_lost_in_silence() {
    let data = tempfile::tempdir().unwrap();
    let relay = RelayProcess::start(data.path());
    let mut terminal = Terminal::open(&relay.url());
    terminal.type_in("add tea many");
    terminal.wait_for("N is a number: invalid digit found in string");
    terminal.type_in("eat tea");
    terminal.wait_for("`eat` is none of:");
    terminal.close();

    let refused = Command::new(env!("CARGO_BIN_EXE_shared-cart")).arg("http://127.0.0.1").output().unwrap();
    assert!(!refused.status.success());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("is no address of a relay"), "{said}");
}
