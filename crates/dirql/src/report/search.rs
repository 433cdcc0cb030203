//! What comes out of a search, whole or in shards, and the file that keeps it.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::{Deserialize, Serialize};

use super::{Detail, FindingReport, Found, Results, Verdict, write_finding};
use crate::{Discovery, Schedule};

/// The name and version of the form of a search's result; see [`super::SCHEMA`].
pub const SEARCH_SCHEMA: &str = "dirql-explore/1";

const BOLD: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const UNSURE: Style = AnsiColor::Yellow.on_default().bold();

/// A finding with how to see it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchFinding {
    /// What.
    pub finding: FindingReport,
    /// The run that shows it, as [`Schedule`] prints it.
    pub schedule: String,
    /// Where the run differs from what happens by itself.
    pub switches: usize,
    /// The seed of that run, if it had one.
    pub seed: Option<u64>,
    /// The command that shows it.
    pub replay: String,
}

/// The result of a search.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchResult {
    /// [`SEARCH_SCHEMA`].
    pub schema: String,
    /// What came out of it.
    pub verdict: Verdict,
    /// The driver, as it was named.
    pub driver: String,
    /// Fingerprints of driver and scenario.
    pub subject: String,
    /// The strategy, in words.
    pub strategy: String,
    /// Where something else may happen first.
    pub granularity: String,
    /// Number of processors.
    pub processors: u16,
    /// How many shards there are, and which these are, counted from 1.
    pub shards: (u64, Vec<u64>),
    /// How much was tried.
    #[serde(flatten)]
    pub tried: SearchEffort,
    /// What was found, each rule and place once.
    pub discoveries: Vec<SearchFinding>,
}

/// How much a search, or a part of one, has tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchEffort {
    /// Runs that came to their end.
    pub runs: u64,
    /// Runs that added nothing.
    pub redundant: u64,
    /// Runs that ended without a verdict.
    pub no_verdict: u64,
    /// Runs known to be left, at least.
    pub left: u64,
    /// Everything that the strategy could try was tried.
    pub complete: bool,
    /// A limit was reached before what was asked for was done.
    pub limited: bool,
}

impl SearchEffort {
    /// That of no part: complete, as each part that is added may say that it is not.
    pub const NONE: Self = Self {
        runs: 0,
        redundant: 0,
        no_verdict: 0,
        left: 0,
        complete: true,
        limited: false,
    };

    /// That of both. Counts end at the largest number: they may come from a file.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            runs: self.runs.saturating_add(other.runs),
            redundant: self.redundant.saturating_add(other.redundant),
            no_verdict: self.no_verdict.saturating_add(other.no_verdict),
            left: self.left.saturating_add(other.left),
            complete: self.complete && other.complete,
            limited: self.limited || other.limited,
        }
    }
}

impl SearchResult {
    /// The result in a file's text.
    ///
    /// # Errors
    /// It is no such file, of a form that is not known, or says what no search says: in words.
    pub fn from_json(text: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Form {
            schema: String,
        }
        let form: Form = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if form.schema != SEARCH_SCHEMA {
            let found = form.schema;
            return Err(format!(
                "its form is {found}, and this dirql reads {SEARCH_SCHEMA}"
            ));
        }
        let result: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let (of, shards) = &result.shards;
        if let Some(shard) = shards.iter().find(|shard| !(1..=*of).contains(shard)) {
            return Err(format!("it has shard {shard} of {of}"));
        }
        if !shards.is_sorted_by(|one, other| one < other) {
            return Err("its shards are not in order, each once".into());
        }
        Ok(result)
    }

    /// Adds what was found in a part.
    pub fn add_discoveries(&mut self, discoveries: Vec<Discovery>) {
        for discovery in discoveries {
            self.add(SearchFinding {
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
    fn add(&mut self, found: SearchFinding) {
        let rank = |found: &SearchFinding| {
            let schedule = found.schedule.parse::<Schedule>().ok();
            (
                found.seed,
                found.switches,
                schedule.map(|schedule| schedule.deviations),
            )
        };
        let same = |other: &&mut SearchFinding| {
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

    /// This and other shards of the same search.
    ///
    /// # Errors
    /// They are of another search, or some are there already: in words.
    pub fn join(mut self, other: Self) -> Result<Self, String> {
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
        self.tried = self.tried.and(other.tried);
        for found in other.discoveries {
            self.add(found);
        }
        if self.shards.1.len() as u64 == self.shards.0 {
            self.shards = (1, vec![1]);
        }
        Ok(self)
    }

    /// Says what all this means.
    pub fn judge(&mut self) {
        self.verdict = if !self.discoveries.is_empty() {
            Verdict::Findings
        } else if self.tried.limited || self.tried.no_verdict > 0 {
            Verdict::NoVerdict
        } else {
            Verdict::Clean
        };
    }

    /// What other programs are told.
    pub fn results(&self) -> Results<'_> {
        let found = self.discoveries.iter().map(|found| Found {
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
    pub fn write(&self, out: &mut dyn Write, detail: Detail) -> io::Result<()> {
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
        let runs = count(self.tried.runs, "interleaving", "interleavings");
        let findings = count(self.discoveries.len() as u64, "finding", "findings");
        if self.tried.redundant > 0 {
            let redundant = count(self.tried.redundant, "run", "runs");
            writeln!(out, "{redundant} repeated what others had done")?;
        }
        match self.verdict {
            Verdict::Findings => {
                let left = match self.tried.left {
                    0 => String::new(),
                    left => format!(", at least {} left", grouped(left)),
                };
                let all = if self.tried.complete { "all " } else { "" };
                writeln!(out, "{BAD}{findings}{BAD:#} in {all}{runs}{left}")
            }
            Verdict::Clean if self.tried.complete => {
                writeln!(out, "{GOOD}clean{GOOD:#}: all {runs}, no finding")
            }
            Verdict::Clean => writeln!(out, "{GOOD}clean{GOOD:#}: {runs}, no finding"),
            Verdict::NoVerdict => {
                if self.tried.no_verdict > 0 {
                    let runs = count(self.tried.no_verdict, "run was", "runs were");
                    writeln!(out, "{runs} not long enough")?;
                }
                let left = if self.tried.limited {
                    format!(", and at least {} left", grouped(self.tried.left))
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
        SearchResult {
            schema: SEARCH_SCHEMA.into(),
            verdict: Verdict::Clean,
            driver: "a.sys".into(),
            subject: "1-2".into(),
            strategy: "exhaustive".into(),
            granularity: "ddi".into(),
            processors: 1,
            shards: (2, vec![part]),
            tried: SearchEffort {
                runs: 10,
                ..SearchEffort::NONE
            },
            discoveries: Vec::new(),
        }
    }

    #[test]
    fn shards_that_are_all_there_are_the_whole() {
        let whole = shard(2).join(shard(1)).unwrap();
        assert_eq!((whole.tried.runs, &whole.shards), (20, &(1, vec![1])));
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

    #[test]
    fn counts_that_are_too_large_together_stay_the_largest() {
        let (mut one, mut two) = (shard(1), shard(2));
        one.tried.runs = u64::MAX;
        two.tried.left = u64::MAX;
        one.tried.left = 1;
        let whole = one.join(two).unwrap();
        assert_eq!((whole.tried.runs, whole.tried.left), (u64::MAX, u64::MAX));
    }

    #[test]
    fn a_file_says_what_was_written_to_it() {
        let text = serde_json::to_vec(&shard(2)).unwrap();
        assert_eq!(SearchResult::from_json(&text), Ok(shard(2)));
    }

    #[test]
    fn a_file_that_says_what_no_search_says_is_refused() {
        let mut outside = shard(3);
        let refusal = |result: &SearchResult| {
            let text = serde_json::to_vec(result).unwrap();
            SearchResult::from_json(&text).unwrap_err()
        };
        assert_eq!(refusal(&outside), "it has shard 3 of 2");
        outside.shards.1 = vec![0];
        assert_eq!(refusal(&outside), "it has shard 0 of 2");
        outside.shards.1 = vec![2, 2];
        assert_eq!(refusal(&outside), "its shards are not in order, each once");
        outside.schema = "dirql-explore/9".into();
        assert_eq!(
            refusal(&outside),
            "its form is dirql-explore/9, and this dirql reads dirql-explore/1"
        );
        assert!(SearchResult::from_json(b"{").is_err());
    }
}
