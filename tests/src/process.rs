//! The relay's binary as a process of its own: started, asked, stopped and killed as an operator or a crash would.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// How long a relay may take for what takes it milliseconds, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running relay. It is killed when dropped.
#[derive(Debug)]
pub struct RelayProcess {
    child: Child,
    address: SocketAddr,
}

impl RelayProcess {
    /// Starts a relay over the data in `folder`, on a port that is free, and returns when it serves.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn start(folder: &Path) -> Self {
        let folder = folder.to_str().expect("folders of tests are UTF-8");
        Self::start_with(&["--data", folder, "--log", "warn"])
    }

    /// As [`RelayProcess::start`], at this address: where an earlier one was.
    pub fn start_at(address: SocketAddr, folder: &Path) -> Self {
        let folder = folder.to_str().expect("folders of tests are UTF-8");
        Self::spawn(&address.to_string(), &["--data", folder, "--log", "warn"])
    }

    /// As [`RelayProcess::start`], with these flags besides the address.
    pub fn start_with(flags: &[&str]) -> Self {
        Self::spawn("127.0.0.1:0", flags)
    }

    fn spawn(address: &str, flags: &[&str]) -> Self {
        let mut child = command()
            .args(["--listen", address])
            .args(flags)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the relay's binary starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped above"));
        let mut lines = stdout.lines().map_while(Result::ok);
        let address = lines.find_map(|line| line.split_once("://")?.1.parse().ok());
        let Some(address) = address else {
            panic!("the relay ended with {:?} before it served", child.wait());
        };
        Self { child, address }
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What its WebSocket is called.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// The whole answer to an HTTP request for `path`.
    pub fn get(&self, path: &str) -> String {
        self.ask("GET", path, &[], "")
    }

    /// The whole answer to an HTTP request.
    pub fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("the relay listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeouts can be set");
        let headers = headers.iter().fold(String::new(), |all, header| all + header + "\r\n");
        let bytes = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: relay\r\nconnection: close\r\ncontent-length: {bytes}\r\n{headers}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).expect("the relay reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the relay answers");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Asks it to end, as a service manager does, and waits until it has.
    ///
    /// # Panics
    /// If it goes on for longer than anyone waits.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "the relay does not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Bytes of memory that it takes.
    ///
    /// # Panics
    /// Where the system does not tell.
    pub fn memory_bytes(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("this system tells of processes under /proc");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it is running");
        let kib = line.trim().trim_end_matches(" kB");
        kib.parse::<usize>().expect("a number") * 1024
    }

    /// Asks it to read its configuration again, as a service manager does.
    pub fn hang_up(&self) {
        self.signal("HUP");
    }

    fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &command]).status().expect("there is a shell");
        assert!(sent.success(), "{command}: {sent}");
    }

    /// Ends it without a warning, as a crash or a lack of memory does.
    pub fn kill(&mut self) {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it is our child");
    }
}

impl Drop for RelayProcess {
    fn drop(&mut self) {
        // It may be gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Runs a relay that is not expected to serve, until it ends by itself.
///
/// # Panics
/// If it serves instead.
pub fn run_to_end(flags: &[&str]) -> Output {
    let mut child = command()
        .args(flags)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the relay's binary starts");
    let began = Instant::now();
    while child.try_wait().expect("it is our child").is_none() {
        if began.elapsed() > PATIENCE {
            child.kill().expect("it is our child");
            panic!("the relay does not end: {flags:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().expect("it has ended")
}

/// The binary, with nothing of this process's environment that would change what it does.
fn command() -> Command {
    let mut command = Command::new(binary());
    command.stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RELAY_") {
            command.env_remove(name);
        }
    }
    command
}

/// The relay as `cargo test --workspace` builds it: beside the folder of the test that runs.
///
/// # Panics
/// If it was not built.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("tests know where they are");
    let folder = test.parent().and_then(Path::parent).expect("tests are below the profile's folder");
    let binary = folder.join(format!("relay{}", std::env::consts::EXE_SUFFIX));
    assert!(binary.is_file(), "{} is missing: run `cargo test --workspace`", binary.display());
    binary
}
