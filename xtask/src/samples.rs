//! `cargo xtask samples`: the drivers and the library that are bundled as files, built again
//! from source and required to be the same bytes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::task::Task;
use crate::tree::Tree;

/// What may build what is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compilers {
    /// The versions that built the bundled files, nothing else.
    Bundled,
    /// Others may build too, and then the bytes are not compared.
    Any,
}

/// The versions that built the bundled files: Debian 12's.
const BUNDLED: &[(&str, &[&str], &str)] = &[
    ("x86_64-w64-mingw32-gcc", &["-dumpversion"], "12"),
    (
        "x86_64-w64-mingw32-ld",
        &["--version"],
        "(GNU Binutils) 2.40",
    ),
    ("/usr/bin/rustc", &["--version"], "rustc 1.63.0"),
    ("clang", &["--version"], "clang version 14.0.6"),
    ("lld-link", &["--version"], "LLD 14.0.6"),
];

/// Builds and takes what comes out.
///
/// # Errors
/// If the build fails.
pub(crate) fn update(tree: &Tree) -> Result<()> {
    for (built, bundled) in build(tree)? {
        if !same(&built, &bundled)? {
            fs::copy(&built, &bundled)
                .with_context(|| format!("cannot write {}", bundled.display()))?;
            println!("updated {}", shown(tree, &bundled));
        }
    }
    Ok(())
}

/// Builds and compares.
///
/// # Errors
/// If the build fails, a file differs, or, for [`Compilers::Bundled`], a compiler is another
/// one than that of the bundled files.
pub(crate) fn check(tree: &Tree, compilers: Compilers) -> Result<()> {
    let others = other_compilers();
    if compilers == Compilers::Bundled && !others.is_empty() {
        bail!(
            "these did not build the bundled files: {}",
            others.join("; ")
        );
    }
    let files = build(tree)?;
    if !others.is_empty() {
        println!(
            "samples: built, not compared with the bundled files, which come from others than {}",
            others.join("; ")
        );
        return Ok(());
    }
    let mut different = Vec::new();
    for (built, bundled) in &files {
        if !same(built, bundled)? {
            different.push(shown(tree, bundled));
        }
    }
    if !different.is_empty() {
        bail!(
            "differ from what their sources give: {}; `cargo xtask samples` updates them",
            different.join(", ")
        );
    }
    println!(
        "samples: {} bundled files are what their sources give",
        files.len()
    );
    Ok(())
}

/// Directories with a script `build` that takes a directory for what it builds.
const BUILDS: &[&str] = &[
    "iointex",
    "samples",
    "zoo",
    "crates/dirql-host/tests/drivers",
    "tests/contract",
    "crates/dirql/tests/drivers",
    "crates/dirql/tests/rules",
    "crates/dirql/tests/tricky",
];

/// Builds everything and pairs each file with its bundled twin.
fn build(tree: &Tree) -> Result<Vec<(PathBuf, PathBuf)>> {
    let mut files = Vec::new();
    for directory in BUILDS {
        let output = tree.target().join("xtask").join("built").join(directory);
        if output.exists() {
            fs::remove_dir_all(&output)?;
        }
        fs::create_dir_all(&output)?;
        Task::new(tree.path(directory).join("build"))
            .arg(&output)
            .run()?;
        let bundled = bundled(tree, directory)?;
        let built = fs::read_dir(&output)?.count();
        if built != bundled.len() {
            bail!(
                "{directory}/build made {built} files; {} are bundled",
                bundled.len()
            );
        }
        files.extend(
            bundled
                .into_iter()
                .map(|(name, path)| (output.join(name), path)),
        );
    }
    Ok(files)
}

/// The files of a directory that are built: by name, where they are.
fn bundled(tree: &Tree, directory: &str) -> Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    let mut add = |name: String, from: &Path| files.push((name.clone(), from.join(name)));
    if directory == "iointex" {
        add(String::from("libiointex.a"), &tree.path(directory));
        return Ok(files);
    }
    for source in tree.sources(directory)? {
        if let (Some(stem), Some(from)) = (source.file_stem(), source.parent()) {
            add(format!("{}.sys", stem.display()), from);
        }
    }
    Ok(files)
}

fn same(built: &Path, bundled: &Path) -> Result<bool> {
    let built = fs::read(built).with_context(|| format!("{} was not built", built.display()))?;
    Ok(fs::read(bundled).is_ok_and(|bundled| bundled == built))
}

fn shown(tree: &Tree, path: &Path) -> String {
    path.strip_prefix(tree.root())
        .unwrap_or(path)
        .display()
        .to_string()
}

/// What the compilers here say of themselves, of those that did not build the bundled files.
fn other_compilers() -> Vec<String> {
    let mut others = Vec::new();
    for (program, arguments, wanted) in BUNDLED {
        let version = Task::new(program)
            .args(arguments.iter().copied())
            .output()
            .unwrap_or_default();
        let version = version.lines().next().unwrap_or("not found");
        if !is_version(version, wanted) {
            others.push(format!("{program}: {version}"));
        }
    }
    others
}

/// Whether a version line has `wanted` in it, not followed by more digits.
fn is_version(line: &str, wanted: &str) -> bool {
    let Some((_, rest)) = line.split_once(wanted) else {
        return false;
    };
    !rest.starts_with(|next: char| next.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_apart() {
        assert!(is_version("12-win32", "12"));
        assert!(is_version(
            "GNU ld (GNU Binutils) 2.40",
            "(GNU Binutils) 2.40"
        ));
        assert!(is_version(
            "GNU ld (GNU Binutils) 2.40.20230115",
            "(GNU Binutils) 2.40"
        ));
        assert!(!is_version(
            "GNU ld (GNU Binutils) 2.401",
            "(GNU Binutils) 2.40"
        ));
        assert!(!is_version(
            "rustc 1.95.0 (59807616e 2026-04-14)",
            "rustc 1.63.0"
        ));
        assert!(!is_version("not found", "12"));
    }

    #[test]
    fn every_source_in_c_has_a_driver_beside_it() {
        let here = Tree::here();
        let samples = bundled(&here, "samples").unwrap();
        let (_, path) = samples
            .iter()
            .find(|(name, _)| name == "edu-message-based.sys")
            .unwrap();
        assert_eq!(
            *path,
            here.path("samples/edu-message-based/edu-message-based.sys")
        );
        let drivers = bundled(&here, "crates/dirql-host/tests/drivers").unwrap();
        assert!(
            drivers.iter().any(|(name, _)| name == "seh.sys"),
            "{drivers:?}"
        );
        assert_eq!(bundled(&here, "iointex").unwrap().len(), 1);
    }

    #[test]
    fn a_file_that_is_not_bundled_differs() {
        let here = Tree::here();
        let readme = here.path("README.md");
        assert!(same(&readme, &readme).unwrap());
        assert!(!same(&readme, &here.path("there-is-no-such-file")).unwrap());
        assert!(same(&here.path("there-is-no-such-file"), &readme).is_err());
    }
}
