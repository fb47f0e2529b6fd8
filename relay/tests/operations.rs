//! The binary in operation: TLS, proxies, limits, reloading, and how it ends.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crdt_core::id::DocumentId;
use pannier_tests::client::Client;
use pannier_tests::device::Device;
use pannier_tests::process::{RelayProcess, run_to_end};
use tempfile::TempDir;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const CART: DocumentId = DocumentId::from_bytes([7; 16]);

/// Longer than files that have changed may go unnoticed, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);

fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name)
}

/// Files that a relay reads, and may read again.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn put(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// Puts a certificate where the relay looks for it.
    fn certify(&self, name: &str) -> [String; 2] {
        let copy = |ending: &str| {
            self.put(&format!("tls.{ending}"), fs::read(certificate(&format!("{name}.{ending}"))).unwrap())
        };
        [copy("pem"), copy("key")]
    }
}

/// The answer to a request over TLS, from a relay that shows this certificate.
fn ask_privately(address: SocketAddr, trusted: &str, request: &str) -> Result<String, String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate(trusted)).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let connection = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    let mut answer = vec![0; 4096];
    let bytes = stream.read(&mut answer).map_err(|error| error.to_string())?;
    answer.truncate(bytes);
    Ok(String::from_utf8(answer).unwrap())
}

const READY: &str = "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

#[test]
fn connections_are_private_and_a_new_certificate_is_shown_once_it_is_there() {
    let files = Files::new();
    let [pem, key] = files.certify("one");
    let relay = RelayProcess::start_with(&[
        "--in-memory",
        "--tls-certificate",
        &pem,
        "--tls-key",
        &key,
        "--log",
        "error",
    ]);
    let ready = ask_privately(relay.address(), "one.pem", READY).unwrap();
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    let upgrade = "GET /sync HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let answer = ask_privately(relay.address(), "one.pem", upgrade).unwrap();
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    let stranger = ask_privately(relay.address(), "other.pem", READY).unwrap_err();
    assert!(stranger.contains("certificate"), "{stranger}");
    assert!(Client::join(relay.address(), "phone").is_err(), "nothing is said in the open");

    files.put("tls.pem", "no certificate");
    sleep(Duration::from_secs(3));
    assert!(ask_privately(relay.address(), "one.pem", READY).is_ok(), "what can't be used changes nothing");
    files.certify("other");
    let began = Instant::now();
    while ask_privately(relay.address(), "other.pem", READY).is_err() {
        assert!(began.elapsed() < PATIENCE, "the new certificate is never shown");
        sleep(Duration::from_millis(100));
    }
}

#[test]
fn certificates_that_can_not_be_used_are_named_before_anyone_is_served() {
    let files = Files::new();
    let [pem, _] = files.certify("one");
    let foreign = certificate("other.key");
    let check = |key: &str| {
        let output = run_to_end(&["config", "check", "--tls-certificate", &pem, "--tls-key", key]);
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (is_good, text) = check(&files.path("tls.key"));
    assert!(is_good && text.contains("TLS"), "{text}");
    let (is_good, text) = check(foreign.to_str().unwrap());
    assert!(!is_good && text.contains("are no pair"), "{text}");
    let (is_good, text) = check(&pem);
    assert!(!is_good && text.contains("not a private key"), "{text}");
    let output = run_to_end(&["config", "check", "--tls-certificate", &pem]);
    assert!(String::from_utf8(output.stderr).unwrap().contains("--tls-key"));
}

#[test]
fn an_address_that_asks_too_often_is_told_when_to_come_back() {
    let relay = RelayProcess::start_with(&[
        "--in-memory",
        "--trusted-proxy",
        "127.0.0.0/8",
        "--address-requests",
        "1",
        "--log",
        "error",
    ]);
    let ask = |address: &str| relay.ask("GET", "/healthz", &[&format!("x-forwarded-for: {address}")], "");
    let answers: Vec<_> = (0..15).map(|_| ask("198.51.100.1")).collect();
    let refused: Vec<_> = answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 429")).collect();
    assert!((1..=5).contains(&refused.len()), "a burst passes: {answers:?}");
    assert!(refused[0].contains("retry-after: 1") && refused[0].contains("problem+json"), "{}", refused[0]);
    assert!(ask("198.51.100.2").starts_with("HTTP/1.1 200"), "others are answered");
    assert!(relay.get("/healthz").starts_with("HTTP/1.1 200"), "and this machine");

    let relay = RelayProcess::start_with(&["--in-memory", "--address-requests", "1", "--log", "error"]);
    let spoofed = |_| relay.ask("GET", "/healthz", &["x-forwarded-for: 198.51.100.1"], "");
    assert!(
        (0..15).map(spoofed).all(|answer| answer.starts_with("HTTP/1.1 200")),
        "what nobody vouches for is not believed"
    );
}

#[test]
fn a_request_whose_head_never_ends_keeps_nobody_out() {
    let relay = RelayProcess::start_with(&["--in-memory", "--log", "error"]);
    let mut dawdlers: Vec<_> = (0..200).map(|_| TcpStream::connect(relay.address()).unwrap()).collect();
    for dawdler in &mut dawdlers {
        dawdler.write_all(b"GET / HTTP/1.1\r\nx-").unwrap();
    }
    assert!(relay.get("/readyz").starts_with("HTTP/1.1 200"), "others are served meanwhile");
    let dawdler = &mut dawdlers[0];
    dawdler.set_read_timeout(Some(PATIENCE)).unwrap();
    let began = Instant::now();
    let mut rest = Vec::new();
    dawdler.read_to_end(&mut rest).expect("the relay ends it");
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

#[test]
fn a_hangup_reads_the_configuration_again() {
    let files = Files::new();
    let secret = files.put("secret", "thirty-two bytes that nobody guesses");
    let config =
        files.put("relay.toml", "connections-max = 100\nallow-origin = [\"https://shop.example\"]\n");
    let relay = RelayProcess::start_with(&[
        "--in-memory",
        "--config",
        &config,
        "--token-secret",
        &secret,
        "--log-format",
        "json",
    ]);
    let token = |secret: &str| {
        let output = run_to_end(&["token", "student-7", "--token-secret", secret]);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let ask = |origin: &str, token: &str| {
        let headers = [format!("origin: {origin}"), format!("authorization: Bearer {token}")];
        let answer = relay.ask("GET", &format!("/v1/documents/{CART}"), &[&headers[0], &headers[1]], "");
        answer.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    let old = token(&secret);
    let (shop, school) = ("https://shop.example", "https://school.example");
    assert_eq!((ask(shop, &old), ask(school, &old)), (404, 403), "a page of the shop may ask");

    files.put("relay.toml", "connections-max = 1\nallow-origin = [\"https://school.example\"]\n");
    relay.hang_up();
    let began = Instant::now();
    while ask(school, &old) == 403 {
        assert!(began.elapsed() < PATIENCE, "the configuration is never read again");
        sleep(Duration::from_millis(20));
    }
    assert_eq!(ask(shop, &old), 403);
    let join = |name: &str| Client::join_at(relay.address(), &format!("/sync?token={old}"), name);
    let phone = join("phone");
    assert!(phone.is_ok() && join("laptop").is_err(), "there may be one connection now");

    files.put("relay.toml", "connections-max = \"many\"\n");
    relay.hang_up();
    sleep(Duration::from_millis(200));
    assert_eq!(ask(school, &old), 404, "what makes no sense changes nothing");
}

#[test]
fn a_relay_that_is_asked_to_end_has_everything_that_it_acknowledged() {
    let files = Files::new();
    let data = files.path("data");
    let mut relay = RelayProcess::start(Path::new(&data));
    let address = relay.address();
    let mut writers: Vec<_> = (0..4_u8)
        .map(|number| Device::new(&format!("phone-{number}"), DocumentId::from_bytes([number; 16])))
        .collect();
    std::thread::scope(|scope| {
        let writing: Vec<_> = writers
            .iter_mut()
            .map(|writer| {
                scope.spawn(move || {
                    let mut client = Client::join(address, &writer.id.to_string()).unwrap();
                    let mut acknowledged = Vec::new();
                    for number in 0.. {
                        writer.put(&format!("n/{number}"), "written while the relay ends");
                        if writer.bring(&mut client).is_err() {
                            break;
                        }
                        acknowledged = writer.document.heads();
                    }
                    acknowledged
                })
            })
            .collect();
        sleep(Duration::from_millis(300));
        assert!(relay.terminate().success());
        let acknowledged: Vec<_> = writing.into_iter().map(|writer| writer.join().unwrap()).collect();
        let relay = RelayProcess::start(Path::new(&data));
        for (number, heads) in (0..4_u8).zip(acknowledged) {
            let mut auditor = Device::new("auditor", DocumentId::from_bytes([number; 16]));
            auditor.fetch(&mut Client::join(relay.address(), "auditor").unwrap()).unwrap();
            assert!(
                !heads.is_empty() && heads.iter().all(|head| auditor.document.contains(head)),
                "phone-{number}"
            );
        }
    });
}
