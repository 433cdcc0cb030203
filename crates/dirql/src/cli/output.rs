//! Standard output and standard error.

use std::io::{self, IsTerminal, Write};

use anstream::{AutoStream, StripStream};
use anstyle::AnsiColor;
use dirql::report::Detail;
use indicatif::{ProgressBar, ProgressStyle};

use super::Failure;
use super::isolate::Tried;

/// Where a command writes.
pub(crate) struct Output {
    out: io::BufWriter<AutoStream<io::Stdout>>,
    err: AutoStream<io::Stderr>,
    quiet: bool,
    verbose: bool,
}

impl Output {
    pub(crate) fn new(quiet: bool, verbose: bool) -> Self {
        let out = io::BufWriter::new(AutoStream::auto(io::stdout()));
        Self {
            out,
            err: AutoStream::auto(io::stderr()),
            quiet,
            verbose,
        }
    }

    /// How much is to be said.
    pub(crate) const fn detail(&self) -> Detail {
        match (self.quiet, self.verbose) {
            (true, _) => Detail::Quiet,
            (false, true) => Detail::Everything,
            (false, false) => Detail::Summary,
        }
    }

    /// Standard output; styles are stripped if it does not show them.
    pub(crate) fn results(&mut self) -> &mut dyn Write {
        &mut self.out
    }

    /// Whether standard error shows styles.
    pub(crate) fn is_styled(&self) -> bool {
        !matches!(self.err.current_choice(), anstream::ColorChoice::Never)
    }

    /// A line on standard error that one may want to see, unless the command is to be quiet.
    pub(crate) fn note(&mut self, text: &str) {
        if !self.quiet {
            // Nobody is left to be told that standard error is closed.
            let _ = writeln!(self.err, "{text}");
        }
    }

    /// A line on standard error for who asked to hear more.
    pub(crate) fn detail_note(&mut self, text: &str) {
        if self.verbose {
            self.note(text);
        }
    }

    /// Says why the command failed.
    pub(crate) fn fail(&mut self, failure: &Failure) {
        if failure.message.is_empty() {
            return;
        }
        // What belongs before it comes before it.
        let _ = self.out.flush();
        let style = AnsiColor::Red.on_default().bold();
        // Problems of a scenario bring their own heads.
        let head = if failure.message.contains("error") && failure.message.contains("-->") {
            String::new()
        } else {
            format!("{style}error{style:#}: ")
        };
        let _ = writeln!(self.err, "{head}{}", failure.message);
        if let Some(help) = &failure.help {
            let style = AnsiColor::Cyan.on_default().bold();
            let _ = writeln!(self.err, "{style}help{style:#}: {help}");
        }
    }

    /// How far a search is, on a terminal only.
    pub(crate) fn progress(&self, workers: usize) -> Progress {
        let bar = if self.quiet || !io::stderr().is_terminal() {
            ProgressBar::hidden()
        } else {
            ProgressBar::new_spinner()
        };
        let style = ProgressStyle::with_template("{spinner} {human_pos} runs, {per_sec}{msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Progress {
            bar,
            tried: vec![Tried::default(); workers],
        }
    }

    /// How many of so many cases are done, on a terminal only.
    pub(crate) fn bar(&self, cases: usize) -> CaseBar {
        let bar = if self.quiet || !io::stderr().is_terminal() {
            ProgressBar::hidden()
        } else {
            ProgressBar::new(cases as u64)
        };
        let style = ProgressStyle::with_template("{wide_bar} {pos} of {len} cases, {msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        CaseBar { bar, runs: 0 }
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// How far a search is.
pub(crate) struct Progress {
    bar: ProgressBar,
    tried: Vec<Tried>,
}

impl Progress {
    /// How far a worker is.
    pub(crate) fn tried(&mut self, worker: usize, tried: Tried) {
        if let Some(known) = self.tried.get_mut(worker) {
            *known = tried;
        }
        let sum = |part: fn(&Tried) -> u64| self.tried.iter().map(part).sum::<u64>();
        let (runs, left) = (sum(|tried| tried.runs), sum(|tried| tried.left));
        let mut message = String::new();
        if left > 0 {
            let share = runs.saturating_mul(100) / (runs + left);
            message = format!(", at least {left} left (at most {share} % done)");
        }
        let findings = sum(|tried| tried.findings);
        if findings > 0 {
            message.push_str(&format!(", found: {findings}"));
        }
        self.bar.set_message(message);
        self.bar.set_position(runs);
    }

    /// The search is over.
    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
    }
}

/// How many cases are done.
pub(crate) struct CaseBar {
    bar: ProgressBar,
    runs: u64,
}

impl CaseBar {
    /// So many more runs.
    pub(crate) fn runs(&mut self, runs: u64) {
        self.runs += runs;
        self.bar.set_message(format!("{} runs", self.runs));
    }

    /// A case is done.
    pub(crate) fn done(&mut self, runs: u64) {
        self.runs(runs);
        self.bar.inc(1);
    }

    /// All are.
    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
    }
}

/// Text for a file, without styles.
pub(crate) fn plain(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Vec<u8>> {
    let mut stripped = StripStream::new(Vec::new());
    write(&mut stripped)?;
    Ok(stripped.into_inner())
}
