//! `cargo xtask picture`: the picture of a timeline that the README shows, from a real run.

use std::fs;

use anyhow::{Context as _, Result};

use crate::task::Task;
use crate::tree::Tree;

/// Where it is kept.
const PICTURE: &str = "docs/src/timeline.png";

/// What is explored for it.
const DRIVER: &str = "zoo/isr-takes-lock/isr-takes-lock.sys";

/// Takes the picture: explores, has the page written, and has a browser look at it.
///
/// # Errors
/// If there is no browser, or nothing is found.
pub(crate) fn take(tree: &Tree) -> Result<()> {
    let directory = tree.target().join("xtask").join("picture");
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory)?;
    let page = directory.join("page.html");
    let (code, text) = Task::cargo(tree.root())
        .args(["run", "--quiet", "--locked", "--bin", "dirql", "--"])
        .args(["explore", DRIVER, "--report"])
        .arg(&page)
        .transcript()?;
    anyhow::ensure!(code == 1, "explore exits with {code}: {text}");
    let argument = |name: &str, path: &std::path::Path| format!("--{name}={}", path.display());
    Task::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--force-device-scale-factor=1",
            "--window-size=1280,860",
            "--virtual-time-budget=2000",
        ])
        .arg(argument("user-data-dir", &directory.join("profile")))
        .arg(argument("screenshot", &tree.path(PICTURE)))
        .arg(format!("file://{}", page.display()))
        .run()
        .context("chromium takes the picture; `cargo xtask setup` installs it")?;
    eprintln!("picture: {PICTURE}");
    Ok(())
}
