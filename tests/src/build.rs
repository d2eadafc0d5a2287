//! Building the programs under test. A test of one package cannot name the programs of another to
//! cargo, so it asks cargo to build them, and cargo says where they are.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The program `tallyboard`, in the profile of the running test.
///
/// # Panics
/// When it does not build.
pub fn tallyboard() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    // Of the whole workspace, so that cargo takes the features that the tests were built with.
    PROGRAM.get_or_init(|| build(&["--workspace", "--bin", "tallyboard"]))
}

/// The example `name` of this package, in the profile of the running test.
///
/// # Panics
/// When it does not build.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    build(&["--workspace", "--example", name])
}

/// The root of the workspace.
#[must_use]
pub fn root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// What the cargo that runs this test is called.
#[must_use]
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).stdin(Stdio::null());
    // What cargo told this test of its own package would be news to build scripts that look at the
    // same variables, and they and all that depends on them would be built again each time.
    for (name, _) in std::env::vars_os() {
        let of_package = ["CARGO_PKG_", "CARGO_MANIFEST_"];
        if of_package.iter().any(|start| name.to_string_lossy().starts_with(start)) {
            cargo.env_remove(name);
        }
    }
    cargo
}

fn build(what: &[&str]) -> PathBuf {
    let mut cargo = cargo();
    cargo.args(["build", "--quiet", "--message-format", "json-render-diagnostics"]).args(what);
    if let Some(target) = target_directory() {
        cargo.arg("--target-dir").arg(target);
    }
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let output = cargo.stderr(Stdio::inherit()).output().expect("cargo runs");
    assert!(output.status.success(), "cargo build {what:?}: {}", output.status);
    let messages = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
    let executable = |line: &str| -> Option<PathBuf> {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(message["executable"].as_str()?.into())
    };
    // The program that was asked for is linked last.
    messages.lines().filter_map(executable).next_back().expect("cargo names the program it built")
}

/// Where the running test was built, `TARGET/PROFILE/deps/TEST`: this is TARGET, whether it comes
/// from CARGO_TARGET_DIR, from a flag or from nothing.
fn target_directory() -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    Some(test.ancestors().nth(3)?.to_owned())
}
