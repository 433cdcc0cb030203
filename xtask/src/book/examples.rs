//! The commands that README and book show, run, and compared with the output shown.
//!
//! An example is a fenced block of the language `console`: a line `$ dirql …`, optionally a
//! line `? 1` with the exit code if it is not 0, and the output of both streams. A line `...`
//! stands for any number of lines. Several commands may follow each other in a block. Blanks
//! at the end of a line do not count.
//!
//! Commands run in an empty directory that has the repository's `samples` and `zoo` in it, so that
//! what they write is not left in the tree.

use std::env::consts::EXE_SUFFIX;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::problem::{self, Problem};
use crate::task::Task;
use crate::tree::{TextFile, Tree};

/// What to do with an output that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Complain.
    Compare,
    /// Write it into the page.
    Bless,
}

/// A command and what a page says that it prints.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Example {
    /// Of the command, counted from 1.
    line: usize,
    command: String,
    code: i32,
    /// First line of the output and one past the last, counted from 0.
    output: std::ops::Range<usize>,
}

/// # Errors
/// If an output differs (in [`Mode::Compare`]), or a command cannot be run.
pub(crate) fn run(tree: &Tree, mode: Mode) -> Result<()> {
    Task::cargo(tree.root())
        .args(["build", "--quiet", "--locked", "--package", "dirql"])
        .run()?;
    let program = tree
        .target()
        .join("debug")
        .join(format!("dirql{EXE_SUFFIX}"));
    let directory = empty_directory(tree)?;
    let mut problems = Vec::new();
    let mut count = 0;
    for page in tree.text_files()?.iter().filter(|file| file.is_markdown()) {
        let examples = examples(page);
        count += examples.len();
        let mut lines: Vec<String> = page.text.lines().map(str::to_owned).collect();
        // In order: what one command has written another may read.
        let run = |example: &Example| {
            transcript(&program, &directory, &example.command)
                .with_context(|| format!("{}:{}", page.path, example.line))
        };
        let transcripts = examples.iter().map(run).collect::<Result<Vec<_>>>()?;
        // From the last to the first, so that the lines before keep their numbers.
        for (example, (code, text)) in examples.iter().zip(transcripts).rev() {
            let shown = &lines[example.output.clone()];
            if code == example.code && is_match(shown, &text.lines().collect::<Vec<_>>()) {
                continue;
            }
            problems.push(Problem::new(
                &page.path,
                example.line,
                format!("exits with {code} and prints\n{text}"),
            ));
            lines.splice(example.line..example.output.end, blessed(code, &text));
        }
        if mode == Mode::Bless {
            fs::write(tree.path(&page.path), lines.join("\n") + "\n")?;
        }
    }
    if mode == Mode::Compare {
        problem::none(Ok(problems))
            .context("`cargo xtask examples --bless` takes the output as it is")?;
    }
    eprintln!("examples: {count} commands do what the pages say");
    Ok(())
}

fn empty_directory(tree: &Tree) -> Result<PathBuf> {
    let directory = tree.target().join("xtask").join("examples");
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory)?;
    for drivers in ["samples", "zoo"] {
        symlink(tree.path(drivers), directory.join(drivers))?;
    }
    Ok(directory)
}

fn transcript(program: &Path, directory: &Path, command: &str) -> Result<(i32, String)> {
    let mut words = command.split_whitespace();
    if words.next() != Some("dirql") {
        bail!("examples of the language `console` run dirql; `sh` is for other commands");
    }
    if command.contains(['"', '\'', '|', '>', '$', '*', '\\']) {
        bail!("examples are not run by a shell: {command}");
    }
    let task = Task::new(program)
        .args(words)
        .env("NO_COLOR", "1")
        .dir(directory);
    let (code, text) = task.transcript()?;
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    Ok((code, lines.join("\n")))
}

/// What comes after the command's line.
fn blessed(code: i32, text: &str) -> Vec<String> {
    let code = (code != 0).then(|| format!("? {code}"));
    code.into_iter()
        .chain(text.lines().map(str::to_owned))
        .collect()
}

fn examples(page: &TextFile) -> Vec<Example> {
    let lines: Vec<&str> = page.text.lines().collect();
    let mut examples: Vec<Example> = Vec::new();
    let mut inside = false;
    for (index, line) in lines.iter().enumerate() {
        if line.starts_with("```") {
            end_last(&mut examples, index);
            inside = !inside && *line == "```console";
        } else if let (true, Some(command)) = (inside, line.strip_prefix("$ ")) {
            end_last(&mut examples, index);
            let code = lines
                .get(index + 1)
                .and_then(|next| next.strip_prefix("? "))
                .and_then(|code| code.parse().ok());
            let start = index + 1 + usize::from(code.is_some());
            let command = command.to_owned();
            examples.push(Example {
                line: index + 1,
                command,
                code: code.unwrap_or(0),
                output: start..usize::MAX,
            });
        }
    }
    // A block that is never closed ends with the page.
    end_last(&mut examples, lines.len());
    examples
}

/// Ends the output of the last example, if that is still open.
fn end_last(examples: &mut [Example], at: usize) {
    if let Some(last) = examples.last_mut()
        && last.output.end == usize::MAX
    {
        last.output.end = at;
    }
}

/// Whether the lines shown, in which `...` stands for any lines, are those printed.
fn is_match(shown: &[String], printed: &[&str]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first == "..." => {
            (0..=printed.len()).any(|skip| is_match(rest, &printed[skip..]))
        }
        Some((first, rest)) => {
            printed.first() == Some(&first.as_str()) && is_match(rest, &printed[1..])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
Text.

```console
$ dirql one
out
$ dirql two
? 2
error
```

```sh
$ not this
```

```console
$ dirql three
```
";

    #[test]
    fn examples_are_found_with_code_and_output() {
        let page = TextFile::new("a.md", PAGE);
        let found = examples(&page);
        let parts: Vec<_> = found
            .iter()
            .map(|example| {
                (
                    example.command.as_str(),
                    example.code,
                    example.output.clone(),
                )
            })
            .collect();
        assert_eq!(
            parts,
            [
                ("dirql one", 0, 4..5),
                ("dirql two", 2, 7..8),
                ("dirql three", 0, 16..16)
            ]
        );
    }

    #[test]
    fn dots_stand_for_any_lines() {
        let shown = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        assert!(is_match(&shown("a\n...\nd"), &["a", "b", "c", "d"]));
        assert!(is_match(&shown("a\n..."), &["a"]));
        assert!(is_match(&[], &[]));
        assert!(!is_match(&shown("a\n...\nd"), &["a", "b"]));
        assert!(!is_match(&shown("a"), &["a", "b"]));
        assert!(!is_match(&shown("a"), &[]));
    }

    #[test]
    fn what_is_blessed_is_found_again() {
        assert_eq!(blessed(0, "one\ntwo\n"), ["one", "two"]);
        assert_eq!(blessed(3, "one\n"), ["? 3", "one"]);
    }

    #[test]
    fn only_dirql_is_run() {
        let run = |command: &str| transcript(Path::new("dirql"), Path::new("."), command);
        assert!(run("rm -r x").unwrap_err().to_string().contains("console"));
        assert!(
            run("dirql run a > b")
                .unwrap_err()
                .to_string()
                .contains("shell")
        );
    }
}
