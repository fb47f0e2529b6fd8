//! What configurations come to.

use clap::{CommandFactory, Parser};

use super::*;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    settings: Settings,
}

fn settings(flags: &[&str]) -> Settings {
    Flags::parse_from(std::iter::once("relay").chain(flags.iter().copied())).settings
}

fn resolve(flags: &[&str]) -> Result<Config, ConfigError> {
    Config::resolve(settings(flags))
}

#[test]
fn the_flags_make_sense() {
    Flags::command().debug_assert();
}

#[test]
fn nothing_said_is_a_relay_for_this_machine() {
    let config = resolve(&[]).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:3030");
    assert_eq!(config.data, Some("relay-data".into()));
    assert_eq!((config.admission, config.origins), (Admission::Everyone, Origins::Loopback));
}

#[test]
fn other_machines_are_let_in_only_on_purpose() {
    let error = resolve(&["--listen", "0.0.0.0:3030"]).unwrap_err();
    assert!(error.to_string().contains("--open-to-everyone"), "{error}");
    assert!(resolve(&["--listen", "0.0.0.0:3030", "--open-to-everyone"]).is_ok());
    assert!(resolve(&["--listen", "0.0.0.0:3030", "--token-secret", "secret"]).is_ok());
    assert!(resolve(&["--listen", "[::1]:0"]).is_ok());
}

#[test]
fn what_contradicts_itself_is_refused() {
    let error = |flags: &[&str]| resolve(flags).unwrap_err();
    let (secret, open) = (["--token-secret", "secret"], "--open-to-everyone");
    assert!(matches!(error(&[secret[0], secret[1], open]), ConfigError::OpenAndGuarded));
    assert!(matches!(error(&[secret[0], secret[1], "--token-key", "key"]), ConfigError::SeveralKeys));
    assert!(matches!(error(&["--token-issuer", "login"]), ConfigError::RulesWithoutKeys));
    let tenant = error(&[secret[0], secret[1], "--tenant", ""]);
    assert!(tenant.to_string().contains("tenant"), "{tenant}");
}

#[test]
fn limits_are_what_was_said_and_the_others_stay() {
    let config =
        resolve(&["--tenant-mib-max", "7", "--subject-frames", "3", "--connection-mib", "1"]).unwrap();
    let limits = config.limits;
    assert_eq!(limits.tenant_bytes_max, 7 << 20);
    assert_eq!(limits.frames_of_subject, Rate { per_second: 3, burst: 30 });
    assert_eq!(limits.bytes.per_second, 1 << 20);
    assert_eq!(limits.bytes.burst, Limits::default().bytes.burst, "the largest frame has to pass");
    let unsaid = (limits.frames, limits.document_bytes_max);
    assert_eq!(unsaid, (Limits::default().frames, Limits::default().document_bytes_max));
    assert!(
        config.to_string().contains("a tenant         5000 requests/s, 100000 frames/s, 7 MiB"),
        "{config}"
    );
}

#[test]
fn half_of_what_tls_needs_is_refused() {
    assert!(matches!(resolve(&["--tls-key", "key"]), Err(ConfigError::HalfOfTls)));
    let config = resolve(&["--tls-key", "key", "--tls-certificate", "certificate"]).unwrap();
    assert!(config.to_string().contains("with certificate"), "{config}");
}

#[test]
fn flags_outrank_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.toml");
    std::fs::write(
        &path,
        "listen = \"[::1]:4000\"\ncache-mib = 8\nlog = \"debug\"\nallow-origin = [\"https://shop.example\"]\n",
    )
    .unwrap();
    let merged = settings(&["--cache-mib", "16"]).or(Settings::read(&path).unwrap());
    let config = Config::resolve(merged).unwrap();
    assert_eq!((config.cache_bytes, config.log), (16 << 20, tracing::Level::DEBUG));
    assert_eq!(config.listen.to_string(), "[::1]:4000");
    assert_eq!(config.origins, Origins::These(vec!["https://shop.example".to_owned()]));
    assert!(config.to_string().contains("from https://shop.example"), "{config}");

    std::fs::write(&path, "lisen = \"[::1]:4000\"\n").unwrap();
    let error = Settings::read(&path).unwrap_err().to_string();
    assert!(error.contains("relay.toml") && error.contains("lisen") && error.contains("line 1"), "{error}");
    let missing = Settings::read(&folder.path().join("nowhere")).unwrap_err().to_string();
    assert!(missing.contains("nowhere can't be read"), "{missing}");
}

#[test]
fn origins_are_compared_whole() {
    for (origin, is_loopback) in [
        ("http://localhost:5173", true),
        ("http://127.0.0.1", true),
        ("https://[::1]:8080", true),
        ("http://localhost.evil.example", false),
        ("http://127.0.0.1.evil.example", false),
        ("null", false),
        ("", false),
    ] {
        assert_eq!(Origins::Loopback.allow(origin), is_loopback, "{origin}");
    }
    let these = Origins::These(vec!["https://shop.example".to_owned()]);
    assert!(these.allow("https://shop.example"));
    assert!(!these.allow("https://shop.example.evil.example"));
    assert!(!these.allow("http://shop.example"));
}
