//! Running other programs.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result, bail};

/// A program to run, with nothing on its standard input.
pub(crate) struct Task {
    command: Command,
}

impl Task {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.stdin(Stdio::null());
        Self { command }
    }

    /// The cargo that runs us, in the repository.
    pub(crate) fn cargo(root: &Path) -> Self {
        Self::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"))).dir(root)
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub(crate) fn args<'a>(mut self, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        self.command.args(arguments);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Runs it with its output where ours goes.
    ///
    /// # Errors
    /// If it cannot be started or fails.
    pub(crate) fn run(mut self) -> Result<()> {
        eprintln!("$ {self}");
        let status = self
            .command
            .status()
            .with_context(|| format!("cannot run `{self}`"))?;
        self.expect(status)
    }

    /// Runs it and shows `watch` each line that it prints, after it has been passed on.
    ///
    /// # Errors
    /// If it cannot be started or fails.
    pub(crate) fn run_watched(mut self, mut watch: impl FnMut(&str)) -> Result<()> {
        eprintln!("$ {self}");
        let (reader, writer) = std::io::pipe()?;
        self.command.stdout(writer.try_clone()?).stderr(writer);
        let mut child = self
            .command
            .spawn()
            .with_context(|| format!("cannot run `{self}`"))?;
        // The command holds the pipe's other end; it has to go for the pipe to end.
        self.command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            let text = String::from_utf8_lossy(&line);
            print!("{text}");
            watch(text.trim_end());
            line.clear();
        }
        let status = child.wait()?;
        self.expect(status)
    }

    /// What it prints on standard output; its standard error goes where ours goes.
    ///
    /// # Errors
    /// If it cannot be started or fails.
    pub(crate) fn output(mut self) -> Result<String> {
        self.command.stderr(Stdio::inherit());
        let output = self
            .command
            .output()
            .with_context(|| format!("cannot run `{self}`"))?;
        self.expect(output.status)?;
        String::from_utf8(output.stdout).with_context(|| format!("`{self}` did not print text"))
    }

    /// Its exit code, and standard output and standard error as one text.
    ///
    /// # Errors
    /// If it cannot be started, is killed by a signal, or does not print text.
    pub(crate) fn transcript(mut self) -> Result<(i32, String)> {
        let (reader, writer) = std::io::pipe()?;
        self.command.stdout(writer.try_clone()?).stderr(writer);
        let mut child = self
            .command
            .spawn()
            .with_context(|| format!("cannot run `{self}`"))?;
        self.command.stdout(Stdio::null()).stderr(Stdio::null());
        let text = std::io::read_to_string(reader)
            .with_context(|| format!("`{self}` did not print text"))?;
        let status = child.wait()?;
        let code = status
            .code()
            .with_context(|| format!("`{self}` was ended: {status}"))?;
        Ok((code, text))
    }

    /// Whether it can be started and succeeds. Nothing is shown.
    pub(crate) fn succeeds(mut self) -> bool {
        self.command.stdout(Stdio::null()).stderr(Stdio::null());
        self.command.status().is_ok_and(|status| status.success())
    }

    /// Whether it can be started, whatever comes of it. Nothing is shown.
    pub(crate) fn starts(mut self) -> bool {
        self.command.stdout(Stdio::null()).stderr(Stdio::null());
        self.command.status().is_ok()
    }

    fn expect(&self, status: ExitStatus) -> Result<()> {
        if !status.success() {
            bail!("`{self}` failed: {status}");
        }
        Ok(())
    }
}

/// As a person would type it.
impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.command.get_envs() {
            if let Some(value) = value {
                write!(f, "{}={} ", name.display(), quoted(value))?;
            }
        }
        let program = Path::new(self.command.get_program());
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
        let ours = repository.and_then(|repository| program.strip_prefix(repository).ok());
        let name = ours.map(Path::as_os_str).or(program.file_name());
        write!(f, "{}", name.unwrap_or(program.as_os_str()).display())?;
        for argument in self.command.get_args() {
            write!(f, " {}", quoted(argument))?;
        }
        Ok(())
    }
}

fn quoted(text: &OsStr) -> String {
    let text = text.to_string_lossy();
    if text.is_empty() || text.contains([' ', '"', '$', '*', ';']) {
        format!("'{text}'")
    } else {
        text.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_reads_as_it_would_be_typed() {
        let task = Task::new("/usr/bin/env").env("FLAGS", "-D warnings").args([
            "cargo",
            "doc",
            "--no-deps",
        ]);
        assert_eq!(
            task.to_string(),
            "FLAGS='-D warnings' env cargo doc --no-deps"
        );
    }

    #[test]
    fn watching_sees_both_streams_and_the_failure() {
        let mut seen = Vec::new();
        let result = Task::new("sh")
            .args(["-c", "echo one; echo two >&2; exit 3"])
            .run_watched(|line| seen.push(line.to_owned()));
        assert_eq!(seen, ["one", "two"]);
        assert!(result.unwrap_err().to_string().contains("exit status: 3"));
    }

    #[test]
    fn a_transcript_has_the_exit_code() {
        let (code, text) = Task::new("sh")
            .args(["-c", "echo out; echo err >&2; exit 4"])
            .transcript()
            .unwrap();
        assert_eq!((code, text.as_str()), (4, "out\nerr\n"));
    }

    #[test]
    fn what_does_not_exist_is_an_error() {
        assert!(!Task::new("there-is-no-such-program").succeeds());
        assert!(!Task::new("there-is-no-such-program").starts());
        assert!(Task::new("false").starts() && !Task::new("false").succeeds());
        assert!(Task::new("there-is-no-such-program").output().is_err());
    }
}
