//! `cargo xtask setup`: what the tests need beside Rust.
//!
//! Where it may, it installs Debian's packages without asking: as root, or where `sudo` asks
//! for nothing. Elsewhere it says what is missing and fails.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use crate::task::Task;
use crate::tree::Tree;

/// Something that has to be on the machine.
struct Need {
    what: &'static str,
    for_what: &'static str,
    /// Debian's packages that bring it.
    packages: &'static [&'static str],
    is_there: fn() -> bool,
}

const NEEDS: &[Need] = &[
    Need {
        what: "mingw-w64's C compiler for x64, with the driver headers",
        for_what: "building the samples and comparing dirql-abi with a C compiler's view",
        packages: &["gcc-mingw-w64-x86-64"],
        is_there: has_driver_compiler,
    },
    Need {
        what: "Debian's rustc with the standard library for x86_64-pc-windows-gnu",
        for_what: "building iointex/libiointex.a",
        packages: &["rustc", "libstd-rust-dev-windows"],
        is_there: has_windows_rustc,
    },
    Need {
        what: "clang with lld and llvm-dlltool",
        for_what: "building the drivers of dirql-host's tests, which have exception handlers as Microsoft's compiler makes them",
        packages: &["clang", "lld", "llvm"],
        is_there: has_clang,
    },
    Need {
        what: "QEMU for x86",
        for_what: "comparing the chips with QEMU's",
        packages: &["qemu-system-x86"],
        is_there: has_qemu,
    },
    Need {
        what: "Chromium with its driver, and a font",
        for_what: "looking at the pages of reports as a reader does",
        packages: &["chromium", "chromium-driver", "fonts-dejavu-core"],
        is_there: has_browser,
    },
    Need {
        what: "xmllint",
        for_what: "holding reports in JUnit's form against a schema of it",
        packages: &["libxml2-utils"],
        is_there: has_xmllint,
    },
];

/// The judge of whether everybody can use a page. Its licence lets it be used, not linked: it is
/// fetched for the tests and is no part of anything that is given away.
const AXE: &str = "axe-core@4.10.3";

/// What fuzzing takes and the tests do not.
const FUZZING: &[Need] = &[Need {
    what: "a C++ compiler",
    for_what: "building libFuzzer",
    packages: &["g++"],
    is_there: has_cpp,
}];

fn has_cpp() -> bool {
    Task::new("c++").arg("--version").succeeds()
}

fn has_driver_compiler() -> bool {
    let tools = ["x86_64-w64-mingw32-objcopy", "x86_64-w64-mingw32-ar"];
    tools
        .iter()
        .all(|tool| Task::new(tool).arg("--version").succeeds())
        && Task::new("x86_64-w64-mingw32-gcc")
            .args(["-E", "-include", "ddk/wdm.h", "-x", "c", "/dev/null"])
            .succeeds()
}

fn has_qemu() -> bool {
    Task::new("qemu-system-x86_64").arg("--version").succeeds()
}

fn has_browser() -> bool {
    ["chromium", "chromedriver"]
        .iter()
        .all(|tool| Task::new(tool).arg("--version").succeeds())
}

fn has_xmllint() -> bool {
    Task::new("xmllint").arg("--version").succeeds()
}

/// Fetches the judge of pages, where npm is; without it one test says that it was left out.
fn fetch_axe(tree: &Tree) -> Result<()> {
    let directory = tree.target().join("xtask").join("axe");
    if directory.join("package").join("axe.min.js").exists() {
        return Ok(());
    }
    if !Task::new("npm").arg("--version").succeeds() {
        eprintln!("setup: without npm the test of pages for screen readers is left out");
        return Ok(());
    }
    fs::create_dir_all(&directory)?;
    let packed = Task::new("npm")
        .args(["pack", "--silent", AXE])
        .dir(&directory)
        .output()?;
    Task::new("tar")
        .args(["xzf", packed.trim()])
        .dir(&directory)
        .run()
}

fn has_clang() -> bool {
    let tools = ["clang", "lld-link", "llvm-dlltool"];
    // llvm-dlltool has no option that does nothing and succeeds.
    tools.iter().all(|tool| Task::new(tool).starts())
}

/// By path: an installed Rust toolchain has the same command name.
fn has_windows_rustc() -> bool {
    let libraries = Task::new("/usr/bin/rustc").args([
        "--target",
        "x86_64-pc-windows-gnu",
        "--print",
        "target-libdir",
    ]);
    Path::new("/usr/bin/rustc").exists()
        && libraries
            .output()
            .is_ok_and(|directory| has_core(directory.trim()))
}

fn has_core(directory: &str) -> bool {
    let Ok(entries) = fs::read_dir(directory) else {
        return false;
    };
    entries
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
}

/// Installs what the tests need and is missing, or says what to install.
///
/// # Errors
/// If something is missing afterwards.
pub(crate) fn run(tree: &Tree) -> Result<()> {
    if bring(NEEDS)? {
        eprintln!("setup: everything that the tests need is here");
    }
    fetch_axe(tree)
}

/// The same for fuzzing.
///
/// # Errors
/// If something is missing afterwards.
pub(crate) fn fuzzing() -> Result<()> {
    bring(FUZZING).map(|_| ())
}

/// Whether nothing was missing.
fn bring(needs: &[Need]) -> Result<bool> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !(need.is_there)()).collect();
    if missing.is_empty() {
        return Ok(true);
    }
    for need in &missing {
        eprintln!("setup: missing {}, for {}", need.what, need.for_what);
    }
    let packages: Vec<&str> = missing
        .iter()
        .flat_map(|need| need.packages.iter().copied())
        .collect();
    let Some(become_root) = how_to_become_root() else {
        bail!("{}", instructions(&packages));
    };
    if !Task::new("apt-get").arg("--version").succeeds() {
        bail!("{}", instructions(&packages));
    }
    apt_get(become_root).arg("update").run()?;
    // Without the recommended packages: Debian's rustc recommends a cargo and a debugger.
    apt_get(become_root)
        .args(["install", "--yes", "--no-install-recommends"])
        .args(packages.iter().copied())
        .run()?;
    let still: Vec<&str> = missing
        .iter()
        .filter(|need| !(need.is_there)())
        .map(|need| need.what)
        .collect();
    if !still.is_empty() {
        bail!("still missing after the installation: {}", still.join("; "));
    }
    Ok(false)
}

/// The words to put before a command, or `None` where we may not.
fn how_to_become_root() -> Option<&'static [&'static str]> {
    if Task::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|id| id.trim() == "0")
    {
        return Some(&["env"]);
    }
    let sudo: &[&str] = &["sudo", "-n"];
    Task::new("sudo")
        .args(["-n", "true"])
        .succeeds()
        .then_some(sudo)
}

fn apt_get(become_root: &[&str]) -> Task {
    let mut words =
        become_root
            .iter()
            .copied()
            .chain(["DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet"]);
    Task::new(words.next().unwrap_or("env")).args(words)
}

fn instructions(packages: &[&str]) -> String {
    format!(
        "install what is missing and run this again; on Debian or Ubuntu: \
         sudo apt-get install --no-install-recommends {}",
        packages.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_name_every_package() {
        assert_eq!(
            instructions(&["rustc", "libstd-rust-dev-windows"]),
            "install what is missing and run this again; on Debian or Ubuntu: \
             sudo apt-get install --no-install-recommends rustc libstd-rust-dev-windows"
        );
    }

    #[test]
    fn apt_get_asks_nothing() {
        let task = apt_get(&["sudo", "-n"]).arg("update");
        assert_eq!(
            task.to_string(),
            "sudo -n DEBIAN_FRONTEND=noninteractive apt-get --quiet update"
        );
    }

    #[test]
    fn a_directory_without_core_has_no_core() {
        assert!(!has_core("/dev"));
        assert!(!has_core("/there/is/no/such/directory"));
    }
}
