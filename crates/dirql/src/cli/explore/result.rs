//! What comes out of a search, whole or in parts.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use dirql::report::{self, Detail, FindingReport, Results, Verdict, write_finding};
use dirql::{Coverage, Discovery, Schedule};
use serde::{Deserialize, Serialize};

use super::super::Failure;

/// The form's name and version; see [`dirql::report::SCHEMA`].
pub(crate) const SCHEMA: &str = "dirql-explore/1";

const BOLD: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const UNSURE: Style = AnsiColor::Yellow.on_default().bold();

/// What one worker did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) discoveries: Vec<Discovery>,
    pub(crate) runs: u64,
    pub(crate) redundant: u64,
    pub(crate) left: u64,
    pub(crate) complete: bool,
    /// It stopped at a limit.
    pub(crate) limited: bool,
    /// That was a limit of real time, so that another time it may go further.
    pub(crate) stopped: bool,
    pub(crate) no_verdict: u64,
    /// Instructions that have met others in memory; where they are points.
    pub(crate) met: Vec<u32>,
    /// Why there was no search.
    pub(crate) failure: Option<Failure>,
}

impl Part {
    pub(crate) fn cover(&mut self, coverage: Coverage) {
        self.runs = coverage.runs;
        self.redundant = coverage.redundant;
        self.left = coverage.left;
        self.complete = coverage.complete;
    }
}

/// A finding with how to see it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) finding: FindingReport,
    pub(crate) schedule: String,
    pub(crate) switches: usize,
    pub(crate) seed: Option<u64>,
    /// The command that shows it.
    pub(crate) replay: String,
}

/// The result of a search.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SearchResult {
    /// [`SCHEMA`].
    pub(crate) schema: String,
    pub(crate) verdict: Verdict,
    /// The driver, as it was named.
    pub(crate) driver: String,
    /// Fingerprints of driver and scenario.
    pub(crate) subject: String,
    pub(crate) strategy: String,
    pub(crate) granularity: String,
    pub(crate) processors: u16,
    /// How many shards there are, and which these are, counted from 1.
    pub(crate) shards: (u64, Vec<u64>),
    /// Runs that came to their end.
    pub(crate) runs: u64,
    /// Runs that added nothing.
    pub(crate) redundant: u64,
    /// Runs that ended without a verdict.
    pub(crate) no_verdict: u64,
    /// Runs known to be left, at least.
    pub(crate) left: u64,
    /// Everything that the strategy could try was tried.
    pub(crate) complete: bool,
    /// A limit was reached before what was asked for was done.
    pub(crate) limited: bool,
    pub(crate) discoveries: Vec<Found>,
}

impl SearchResult {
    /// From what workers did.
    pub(crate) fn new(parts: Vec<Part>) -> Self {
        let mut result = Self {
            schema: SCHEMA.into(),
            verdict: Verdict::NoVerdict,
            driver: String::new(),
            subject: String::new(),
            strategy: String::new(),
            granularity: String::new(),
            processors: 0,
            shards: (1, Vec::new()),
            runs: 0,
            redundant: 0,
            no_verdict: 0,
            left: 0,
            complete: true,
            limited: false,
            discoveries: Vec::new(),
        };
        for part in parts {
            result.add_part(part);
        }
        result
    }

    /// Adds what one worker did.
    pub(crate) fn add_part(&mut self, part: Part) {
        self.runs += part.runs;
        self.redundant += part.redundant;
        self.no_verdict += part.no_verdict;
        self.left += part.left;
        self.complete &= part.complete;
        self.limited |= part.limited;
        for discovery in part.discoveries {
            self.add(Found {
                finding: discovery.finding,
                schedule: discovery.schedule,
                switches: discovery.switches,
                seed: discovery.seed,
                replay: String::new(),
            });
        }
    }

    /// Each rule and place once, in the run that comes first: by seed, then by switches, then by
    /// where those are.
    fn add(&mut self, found: Found) {
        let rank = |found: &Found| {
            let schedule = found.schedule.parse::<Schedule>().ok();
            (
                found.seed,
                found.switches,
                schedule.map(|schedule| schedule.deviations),
            )
        };
        let same = |other: &&mut Found| {
            let (one, other) = (&found.finding, &other.finding);
            one.rule == other.rule
                && one.place.code == other.place.code
                && one.place.ddi == other.place.ddi
        };
        match self.discoveries.iter_mut().find(same) {
            Some(other) if rank(&found) < rank(other) => *other = found,
            Some(_) => {}
            None => self.discoveries.push(found),
        }
        self.discoveries.sort_by_key(rank);
    }

    /// Adds another part of the same search.
    pub(crate) fn join(mut self, other: Self) -> Result<Self, String> {
        let same = [
            ("driver or scenario", self.subject == other.subject),
            ("strategy", self.strategy == other.strategy),
            ("granularity", self.granularity == other.granularity),
            ("number of shards", self.shards.0 == other.shards.0),
        ];
        if let Some((what, _)) = same.iter().find(|(_, same)| !same) {
            return Err(format!("it is of a search with another {what}"));
        }
        if let Some(twice) = other
            .shards
            .1
            .iter()
            .find(|shard| self.shards.1.contains(shard))
        {
            return Err(format!("it has shard {twice}, which is there already"));
        }
        self.shards.1.extend(other.shards.1);
        self.shards.1.sort_unstable();
        self.runs += other.runs;
        self.redundant += other.redundant;
        self.no_verdict += other.no_verdict;
        self.left += other.left;
        self.complete &= other.complete;
        self.limited |= other.limited;
        for found in other.discoveries {
            self.add(found);
        }
        if self.shards.1.len() as u64 == self.shards.0 {
            self.shards = (1, vec![1]);
        }
        Ok(self)
    }

    /// Says what all this means.
    pub(crate) fn judge(&mut self) {
        self.verdict = if !self.discoveries.is_empty() {
            Verdict::Findings
        } else if self.limited || self.no_verdict > 0 {
            Verdict::NoVerdict
        } else {
            Verdict::Clean
        };
    }

    /// What other programs are told.
    pub(crate) fn results(&self) -> Results<'_> {
        let found = self.discoveries.iter().map(|found| report::Found {
            finding: &found.finding,
            replay: &found.replay,
        });
        Results {
            name: format!("explore {}", self.driver),
            driver: self.driver.clone(),
            verdict: self.verdict,
            incomplete: (self.verdict == Verdict::NoVerdict)
                .then_some("the limit was reached before all that was asked for was tried"),
            found: found.collect(),
        }
    }

    /// Writes it for people.
    pub(crate) fn write(&self, out: &mut dyn Write, detail: Detail) -> io::Result<()> {
        if detail > Detail::Quiet {
            writeln!(
                out,
                "{BOLD}{}{BOLD:#}: {}, granularity {}, {}",
                self.driver,
                self.strategy,
                self.granularity,
                count(u64::from(self.processors), "processor", "processors")
            )?;
            if self.shards.0 > 1 {
                let shards: Vec<String> = self.shards.1.iter().map(ToString::to_string).collect();
                writeln!(out, "  shard {} of {}", shards.join(", "), self.shards.0)?;
            }
            writeln!(out)?;
        }
        for found in &self.discoveries {
            write_finding(out, &found.finding, detail)?;
            let switches = match found.switches {
                0 => "needs no switch: it happens by itself".into(),
                switches => format!("needs {}", count(switches as u64, "switch", "switches")),
            };
            writeln!(out, "  {switches}")?;
            writeln!(out, "  again: {}\n", found.replay)?;
        }
        if detail > Detail::Quiet || self.verdict != Verdict::Clean {
            self.write_verdict(out)?;
        }
        Ok(())
    }

    fn write_verdict(&self, out: &mut dyn Write) -> io::Result<()> {
        let runs = count(self.runs, "interleaving", "interleavings");
        let findings = count(self.discoveries.len() as u64, "finding", "findings");
        if self.redundant > 0 {
            let redundant = count(self.redundant, "run", "runs");
            writeln!(out, "{redundant} repeated what others had done")?;
        }
        match self.verdict {
            Verdict::Findings => {
                let left = match self.left {
                    0 => String::new(),
                    left => format!(", at least {} left", grouped(left)),
                };
                let all = if self.complete { "all " } else { "" };
                writeln!(out, "{BAD}{findings}{BAD:#} in {all}{runs}{left}")
            }
            Verdict::Clean if self.complete => {
                writeln!(out, "{GOOD}clean{GOOD:#}: all {runs}, no finding")
            }
            Verdict::Clean => writeln!(out, "{GOOD}clean{GOOD:#}: {runs}, no finding"),
            Verdict::NoVerdict => {
                if self.no_verdict > 0 {
                    let runs = count(self.no_verdict, "run was", "runs were");
                    writeln!(out, "{runs} not long enough")?;
                }
                let left = if self.limited {
                    format!(", and at least {} left", grouped(self.left))
                } else {
                    String::new()
                };
                writeln!(
                    out,
                    "{UNSURE}no verdict{UNSURE:#}: {runs}, no finding{left}"
                )
            }
        }
    }
}

fn count(number: u64, one: &str, several: &str) -> String {
    format!(
        "{} {}",
        grouped(number),
        if number == 1 { one } else { several }
    )
}

/// 4211 as 4,211.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(4211), "4,211");
        assert_eq!(grouped(1_000_000), "1,000,000");
    }

    fn shard(part: u64) -> SearchResult {
        let part_done = Part {
            runs: 10,
            complete: true,
            ..Part::default()
        };
        let mut result = SearchResult::new(vec![part_done]);
        result.shards = (2, vec![part]);
        result
    }

    #[test]
    fn shards_that_are_all_there_are_the_whole() {
        let whole = shard(2).join(shard(1)).unwrap();
        assert_eq!((whole.runs, &whole.shards), (20, &(1, vec![1])));
        assert_eq!(
            shard(1).join(shard(1)).unwrap_err(),
            "it has shard 1, which is there already"
        );
    }

    #[test]
    fn parts_of_different_searches_are_not_joined() {
        let mut other = shard(2);
        other.subject = "another".into();
        assert_eq!(
            shard(1).join(other).unwrap_err(),
            "it is of a search with another driver or scenario"
        );
    }
}
