//! The repository's files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Directories that hold nothing of ours, by name.
const SKIPPED: &[&str] = &[".git", "target"];

/// A file that is text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TextFile {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl TextFile {
    #[cfg(test)]
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    /// The lines with their numbers, counted from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub(crate) fn is_markdown(&self) -> bool {
        self.path.ends_with(".md")
    }
}

/// The repository.
pub(crate) struct Tree {
    root: PathBuf,
}

impl Tree {
    /// The one that this program was built from.
    pub(crate) fn here() -> Self {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        Self {
            root: package.parent().unwrap_or(package).to_owned(),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// Where cargo puts what it builds.
    pub(crate) fn target(&self) -> PathBuf {
        match std::env::var_os("CARGO_TARGET_DIR") {
            Some(target) => self.root.join(target),
            None => self.root.join("target"),
        }
    }

    pub(crate) fn read(&self, relative: &str) -> Result<String> {
        fs::read_to_string(self.path(relative)).with_context(|| format!("cannot read {relative}"))
    }

    /// Every file that is text, in order of path.
    pub(crate) fn text_files(&self) -> Result<Vec<TextFile>> {
        let mut files = Vec::new();
        collect(&self.root, &self.root, &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// The C, C++ and Rust sources in `directory` and the directories in it, in order.
    pub(crate) fn sources(&self, directory: &str) -> Result<Vec<PathBuf>> {
        let mut sources = Vec::new();
        let mut list = |directory: &Path| -> Result<Vec<PathBuf>> {
            let mut directories = Vec::new();
            for entry in fs::read_dir(directory)
                .with_context(|| format!("cannot list {}", directory.display()))?
            {
                let path = entry?.path();
                if path.is_dir() {
                    directories.push(path);
                } else if path
                    .extension()
                    .is_some_and(|extension| extension == "c" || extension == "cpp")
                {
                    sources.push(path);
                }
            }
            Ok(directories)
        };
        for inner in list(&self.path(directory))? {
            list(&inner)?;
        }
        sources.sort();
        Ok(sources)
    }
}

fn collect(root: &Path, directory: &Path, files: &mut Vec<TextFile>) -> Result<()> {
    for entry in
        fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?
    {
        let entry = entry?;
        let path = entry.path();
        let kind = entry.file_type()?;
        // In a linked worktree `.git` is a file.
        if SKIPPED.contains(&entry.file_name().to_string_lossy().as_ref()) {
            continue;
        }
        if kind.is_dir() {
            collect(root, &path, files)?;
        } else if kind.is_file()
            && let Ok(text) = String::from_utf8(fs::read(&path)?)
            && !text.contains('\0')
        {
            let relative = path.strip_prefix(root).unwrap_or(&path);
            files.push(TextFile {
                path: relative.to_string_lossy().into_owned(),
                text,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_the_one_of_this_file() {
        let files = Tree::here().text_files().unwrap();
        let this = files
            .iter()
            .find(|file| file.path == "xtask/src/tree.rs")
            .unwrap();
        assert!(this.is_rust() && this.lines().next() == Some((1, "//! The repository's files.")));
        assert!(
            !files
                .iter()
                .any(|file| file.path.starts_with(".git/") || file.path.ends_with(".sys"))
        );
    }
}
