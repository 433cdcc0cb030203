//! Whether the kernel and everything below it can do without `std`.
//!
//! `#![no_std]` at the top of a crate says nothing of what it depends on. So a static library
//! is built that has a panic handler of its own and uses all of these crates: if any package
//! in the graph brings `std`, there are two panic handlers and the build fails. It is a package
//! outside the workspace, so that features which others ask for do not reach it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::task::Task;
use crate::tree::Tree;

/// Packages that need no operating system.
const NO_STD: &[&str] = &["dirql-abi", "dirql-chips", "dirql-rules", "dirql-kernel"];

/// # Errors
/// If one of the packages brings `std`.
pub(crate) fn check(tree: &Tree) -> Result<()> {
    let directory = write_package(tree)?;
    build(tree, &directory, "")?;
    // The same with `std` in it has to fail, or the check above proves nothing.
    if build(tree, &directory, "extern crate std;").is_ok() {
        bail!(
            "a library with std and a panic handler of its own was accepted: the check is broken"
        );
    }
    Ok(())
}

fn write_package(tree: &Tree) -> Result<PathBuf> {
    let directory = tree.target().join("xtask").join("no-std");
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    fs::write(directory.join("Cargo.toml"), manifest(tree))?;
    // The versions of the workspace; what is not used is taken out of the copy.
    fs::copy(tree.path("Cargo.lock"), directory.join("Cargo.lock"))?;
    Ok(directory)
}

fn manifest(tree: &Tree) -> String {
    let mut manifest = String::from(
        "[package]\nname = \"no-std\"\nedition = \"2024\"\n\n\
         [lib]\npath = \"lib.rs\"\ncrate-type = [\"staticlib\"]\n\n\
         [profile.dev]\npanic = \"abort\"\n\n[workspace]\n\n[dependencies]\n",
    );
    for name in NO_STD {
        let path = tree.path("crates").join(name);
        let _ = writeln!(
            manifest,
            "{name} = {{ path = {:?} }}",
            path.display().to_string()
        );
    }
    manifest
}

fn build(tree: &Tree, directory: &Path, extra: &str) -> Result<()> {
    fs::write(directory.join("lib.rs"), library(extra))?;
    let task = Task::cargo(directory)
        .args(["build", "--target-dir"])
        .arg(tree.target().join("no-std"));
    if extra.is_empty() {
        return task.run();
    }
    if task.succeeds() {
        Ok(())
    } else {
        bail!("refused")
    }
}

fn library(extra: &str) -> String {
    let mut library = format!("#![no_std]\n{extra}\n");
    for name in NO_STD {
        let _ = writeln!(library, "extern crate {};", name.replace('-', "_"));
    }
    library.push_str(
        "
use core::alloc::{GlobalAlloc, Layout};

struct Nothing;

unsafe impl GlobalAlloc for Nothing {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }
    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ALLOCATOR: Nothing = Nothing;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
",
    );
    library
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_uses_each_crate() {
        let (manifest, library) = (manifest(&Tree::here()), library(""));
        for name in NO_STD {
            assert!(manifest.contains(&format!("{name} = {{ path = ")));
            assert!(library.contains(&format!("extern crate {};", name.replace('-', "_"))));
        }
    }
}
