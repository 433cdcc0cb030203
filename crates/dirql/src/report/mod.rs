//! What a run says at its end: as data, as text for people, as JSON.
//!
//! A [`Report`] is a pure function of driver, scenario and settings: no addresses of the host, no
//! clock, no paths that were not given.

mod excerpt;
mod finding;
mod github;
mod human;
mod junit;
mod page;
mod results;
mod sarif;
mod search;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use dirql_kernel::WindowsVersion;
use dirql_rules::RuleId;
use serde::{Deserialize, Serialize};

pub use finding::{BugCheckReport, EarlierReport, FindingReport, FrameReport, PlaceReport};
pub use github::write_github;
pub use human::{Detail, write_finding, write_report};
pub use junit::write_junit;
pub use page::{add_run, page, page_finding, page_mark, page_outcome, page_run, page_verdict};
pub use results::{Found, Results};
pub use sarif::sarif;
pub use search::{SEARCH_SCHEMA, SearchEffort, SearchFinding, SearchResult};

pub(crate) use finding::severity as severity_name;

/// The form's name and version. The number changes when a reader of the old form could go wrong
/// with the new one; added fields do not change it.
pub const SCHEMA: &str = "dirql-report/1";

/// What came out of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing is wrong.
    Clean,
    /// Something is.
    Findings,
    /// The run was ended before anything could be said.
    NoVerdict,
}

/// What happened in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// What came out of it.
    pub verdict: Verdict,
    /// Why it ended early, in words.
    pub ended_early: Option<String>,
    /// The command that does the same again.
    pub replay: String,
    /// The Windows version that was played.
    pub windows: String,
    /// Number of processors.
    pub processors: u16,
    /// The scenario file, if there was one.
    pub scenario: Option<String>,
    /// The drivers, in order of loading.
    pub drivers: Vec<DriverReport>,
    /// What they import and nothing implements.
    #[serde(default)]
    pub missing_imports: Vec<ImportReport>,
    /// The devices, in order of plugging.
    pub devices: Vec<DeviceReport>,
    /// The steps, in the order in which they began.
    pub steps: Vec<StepReport>,
    /// The sources of interrupts.
    pub interrupts: Vec<InterruptReport>,
    /// DPC routines that were called.
    pub dpcs: u64,
    /// How often each export was called.
    pub ddi_calls: BTreeMap<String, u64>,
    /// The last lines that drivers printed.
    pub prints: Vec<String>,
    /// What could have been made to fail.
    #[serde(default)]
    pub failure_points: FailurePointsReport,
    /// What was made to fail.
    #[serde(default)]
    pub failed: Option<FailureReport>,
    /// What was found.
    pub findings: Vec<FindingReport>,
    /// Bug checks after which the run went on, because it was asked to.
    #[serde(default)]
    pub outlived: u64,
    /// Yield points that were passed.
    pub step_count: u64,
    /// Virtual time that has passed, in 100 ns units.
    pub time_100ns: u64,
}

/// A driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverReport {
    /// Its file's name.
    pub name: String,
    /// Whether its DriverEntry succeeded.
    pub loaded: bool,
    /// What its DriverEntry returned, if that is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Whether it was unloaded at the end.
    pub unloaded: bool,
}

/// An import that nothing implements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportReport {
    /// The driver that imports it.
    pub importer: String,
    /// The module that should have it.
    pub module: String,
    /// Its name, or its ordinal.
    pub name: String,
}

/// How many things could have been made to fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailurePointsReport {
    /// Allocations.
    pub allocations: u64,
    /// Calls of routines that can fail.
    pub calls: u64,
    /// Connects of interrupts, each once for every status that its page has.
    #[serde(default)]
    pub connects: u64,
}

/// What was made to fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureReport {
    /// As it was asked for, for example `allocation:3`.
    pub point: String,
    /// What it was; `None` if the run has not come to it.
    pub what: Option<String>,
    /// Where.
    pub place: Option<PlaceReport>,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// Its name.
    pub name: String,
    /// Its model.
    pub model: String,
    /// How drivers know it.
    pub hardware_id: String,
    /// The resources that it was given at each start.
    pub starts: Vec<Vec<ResourceReport>>,
}

/// A resource of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ResourceReport {
    /// Ports.
    Port {
        /// The first.
        base: u64,
        /// How many.
        length: u32,
    },
    /// Registers in memory.
    Memory {
        /// Physical address.
        base: u64,
        /// Bytes.
        length: u32,
    },
    /// An interrupt.
    Interrupt {
        /// A message, not a line.
        message: bool,
        /// The line's number; meaningless for messages.
        line: u32,
        /// How many vectors: one for a line, one for each message.
        count: u32,
        /// The first vector.
        vector: u8,
        /// DIRQL.
        irql: u8,
        /// Latched, not level-sensitive.
        latched: bool,
        /// Others may be on it.
        shared: bool,
    },
}

/// A step of the scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReport {
    /// Which thread.
    pub thread: u32,
    /// The line of the scenario; 0 if there is none.
    pub line: u32,
    /// The step in words.
    pub step: String,
    /// Where the step is, for messages; empty, or ending with a colon and a space.
    #[serde(skip)]
    pub place: String,
    /// The name of the request that it sends without waiting for its end.
    #[serde(skip)]
    pub sends: Option<String>,
    /// How it ended; `None` if it did not.
    pub result: Option<String>,
    /// Whether that was as expected.
    pub met: bool,
}

/// What one vector led to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterruptReport {
    /// The lines and messages that it stands for, for example `edu0 message 0`.
    pub source: String,
    /// The vector.
    pub vector: u8,
    /// Its DIRQL.
    pub irql: u8,
    /// How often each processor took it.
    pub delivered: BTreeMap<u16, u64>,
    /// ISRs that were called for it.
    pub isr_calls: u64,
    /// Calls that returned TRUE.
    pub claimed: u64,
}

impl Report {
    /// The report of a run of which nothing is known.
    #[must_use]
    pub fn empty(windows: WindowsVersion, processors: u16) -> Self {
        Self {
            schema: SCHEMA.into(),
            verdict: Verdict::NoVerdict,
            ended_early: None,
            replay: String::new(),
            windows: windows.to_string(),
            processors,
            scenario: None,
            drivers: Vec::new(),
            missing_imports: Vec::new(),
            devices: Vec::new(),
            steps: Vec::new(),
            interrupts: Vec::new(),
            dpcs: 0,
            ddi_calls: BTreeMap::new(),
            prints: Vec::new(),
            failure_points: FailurePointsReport::default(),
            failed: None,
            findings: Vec::new(),
            outlived: 0,
            step_count: 0,
            time_100ns: 0,
        }
    }

    /// Leaves out what these rules have found, and judges anew.
    pub(crate) fn excuse(&mut self, rules: &[RuleId]) {
        self.leave_out(rules, |_| true);
    }

    /// As [`Self::excuse`], but only of what no driver did: the scenario itself.
    pub(crate) fn excuse_scenario(&mut self, rules: &[RuleId]) {
        self.leave_out(rules, |finding| {
            finding.place.code.is_none() && finding.place.ddi.is_none()
        });
    }

    fn leave_out(&mut self, rules: &[RuleId], which: impl Fn(&FindingReport) -> bool) {
        let excused = |finding: &FindingReport| {
            rules.iter().any(|rule| rule.to_string() == finding.rule) && which(finding)
        };
        self.findings.retain(|finding| !excused(finding));
        if self.verdict == Verdict::Findings && self.counts().0 == 0 {
            self.verdict = Verdict::Clean;
        }
    }

    /// Counts findings: those that are defects, and advice.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let defects = self
            .findings
            .iter()
            .filter(|finding| finding.is_defect())
            .count();
        (defects, self.findings.len() - defects)
    }
}
