//! The files in `deploy`: what they say of the relay is true.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pannier_tests::process::run_to_end;

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    fs::read_to_string(file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn help() -> String {
    String::from_utf8(run_to_end(&["--help"]).stdout).unwrap()
}

/// The words of a file that begin like this.
fn words<'a>(text: &'a str, beginning: &'a str) -> impl Iterator<Item = &'a str> {
    let is_edge = |letter: char| !(letter.is_ascii_alphanumeric() || "-_".contains(letter));
    let is_one = move |word: &&str| {
        word.starts_with(beginning) && !word[beginning.len()..].trim_matches('-').is_empty()
    };
    text.split(is_edge).filter(is_one)
}

#[test]
fn the_flags_and_variables_are_the_relays() {
    let help = help();
    let unit = text("deploy/relay.service");
    let start = unit.lines().find(|line| line.starts_with("ExecStart=")).expect("it starts something");
    let flags: Vec<_> = words(start, "--").collect();
    assert!(flags.contains(&"--data"), "{start}");
    let container = text("deploy/Containerfile");
    let variables: Vec<_> = words(&container, "RELAY_").collect();
    assert!(variables.contains(&"RELAY_LISTEN"), "{container}");
    for word in flags.into_iter().chain(variables) {
        assert!(help.contains(word), "{word} is not in:\n{help}");
    }
}

#[test]
fn the_readme_names_only_flags_that_there_are() {
    let readme = text("README.md");
    let mut all = help();
    for verb in ["check", "stats", "export", "import", "compact", "erase"] {
        all += &String::from_utf8(run_to_end(&["store", verb, "--help"]).stdout).unwrap();
    }
    all += &String::from_utf8(run_to_end(&["token", "--help"]).stdout).unwrap();
    // Those of other programs.
    let foreign = ["--release", "--system", "--fail"];
    for flag in words(&readme, "--").filter(|flag| !foreign.contains(flag)) {
        assert!(all.contains(flag), "{flag} is in the README only");
    }
}

#[test]
fn the_container_is_built_with_the_pinned_toolchain() {
    let container = text("deploy/Containerfile");
    let toolchain = text("../rust-toolchain.toml");
    let version = toolchain.split('"').nth(1).expect("it names a version");
    let image =
        container.split("rust:").nth(1).and_then(|rest| rest.split('-').next()).expect("it names an image");
    assert!(version.starts_with(image), "{image} is not {version}");
    let user = container.lines().rfind(|line| line.starts_with("FROM ")).expect("it has stages");
    assert!(user.ends_with("nonroot"), "{user}");
    for instruction in ["ENTRYPOINT [", "VOLUME /data", "EXPOSE 3030", "STOPSIGNAL SIGTERM"] {
        assert!(container.contains(instruction), "{instruction}");
    }
}

#[test]
fn the_unit_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("relay.service");
    // The binary is not where the unit will find it; everything else is checked as it is.
    fs::write(&unit, text("deploy/relay.service").replace("/usr/local/bin/relay", "/bin/sh")).unwrap();
    match Command::new("systemd-analyze").arg("verify").arg(&unit).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && !said.contains("relay.service:"), "{said}");
        }
        Err(error) => eprintln!("LEFT OUT: systemd-analyze, which checks the unit, is not here: {error}"),
    }
}
