//! A finding with everything that a reader wants to know about it.

use dirql_abi::Irql;
use dirql_abi::bugcheck::BugCheckCode;
use dirql_rules::{BugCheck, Context, Finding, Place, Severity, rule};
use serde::{Deserialize, Serialize};

use crate::bench::{Addresses, CodePlace};

/// A finding with its rule and its places in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingReport {
    /// The rule's ID, for example `DQ0104`.
    pub rule: String,
    /// `error`, `warning` or `advice`.
    pub severity: String,
    /// What a driver must do.
    pub headline: String,
    /// What this driver did.
    pub message: String,
    /// Where.
    pub place: PlaceReport,
    /// The other half.
    pub earlier: Option<EarlierReport>,
    /// What to do about it.
    pub help: String,
    /// Who says so.
    pub source: String,
    /// How Windows would have reported it; may be empty.
    pub windows: String,
    /// The bug check, if it is one.
    #[serde(default)]
    pub bug_check: Option<BugCheckReport>,
    /// The drivers' functions that were being executed, from the inside out, if that is known.
    #[serde(default)]
    pub stack: Vec<FrameReport>,
}

/// A bug check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BugCheckReport {
    /// Its number.
    pub code: u32,
    /// Its symbolic name; `None` for a number that Windows does not document.
    pub name: Option<String>,
    /// Its four parameters, in hexadecimal.
    pub parameters: [String; 4],
}

/// A function of a driver that was being executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameReport {
    /// The code in words.
    pub code: String,
    /// The image that it is in.
    pub image: String,
    /// The source line.
    pub source: Option<String>,
    /// It did not call what is above it, but was interrupted.
    pub interrupted: bool,
}

impl FrameReport {
    /// The file and the line.
    #[must_use]
    pub fn source_line(&self) -> Option<(&str, u32)> {
        source_line(self.source.as_deref()?)
    }
}

/// A path without detours, as programs compare them.
pub(super) fn normal_path(path: &str) -> String {
    let path = path.replace('\\', "/");
    let mut parts: Vec<&str> = Vec::new();
    for (index, part) in path.split('/').enumerate() {
        match part {
            "." => {}
            "" if index > 0 => {}
            ".." if parts.last().is_some_and(|last| !["..", ""].contains(last)) => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// File and line of a text such as `edu.c:52`.
fn source_line(source: &str) -> Option<(&str, u32)> {
    let (file, line) = source.rsplit_once(':')?;
    Some((file, line.parse().ok()?))
}

/// The other half of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierReport {
    /// What happened there.
    pub what: String,
    /// Where.
    pub place: PlaceReport,
}

/// Where and when something happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceReport {
    /// Yield points passed before.
    pub step: u64,
    /// Virtual time, 100 ns units.
    pub time_100ns: u64,
    /// Processor.
    pub processor: u16,
    /// IRQL, 0..=15.
    pub irql: u8,
    /// What the processor was running.
    pub context: String,
    /// The export that was called.
    pub ddi: Option<String>,
    /// The driver's code in words, if it is known.
    pub code: Option<String>,
    /// The image that the code is in.
    pub image: Option<String>,
    /// The source line.
    pub source: Option<String>,
}

impl PlaceReport {
    /// The name of the function in [`PlaceReport::code`], where symbols give it one.
    #[must_use]
    pub fn function(&self) -> Option<&str> {
        let (_, name) = self.code.as_deref()?.split_once('!')?;
        name.split(['+', ' ']).next()
    }
}

impl FindingReport {
    pub(crate) fn new(finding: &Finding, addresses: &Addresses) -> Self {
        let rule = rule(finding.rule);
        let text = |text: Option<&'static str>| text.unwrap_or_default().to_owned();
        Self {
            rule: finding.rule.to_string(),
            severity: severity(rule.map_or(Severity::Error, |rule| rule.severity)).into(),
            headline: text(rule.map(|rule| rule.headline)),
            message: finding.message.clone(),
            place: PlaceReport::new(&finding.place, addresses),
            earlier: finding.earlier.as_ref().map(|(what, place)| EarlierReport {
                what: what.clone(),
                place: PlaceReport::new(place, addresses),
            }),
            help: text(rule.map(|rule| rule.help)),
            source: text(rule.map(|rule| rule.source)),
            windows: text(rule.map(|rule| rule.windows)),
            bug_check: None,
            stack: Vec::new(),
        }
    }

    /// Whether this is the bug check that comes of what another finding of the same run tells: the
    /// system stops where that happened, and says less about it.
    #[must_use]
    pub fn follows_from_one_of(&self, others: &[Self]) -> bool {
        let is_reason = |other: &Self| {
            other.severity == self.severity
                && other.bug_check.is_none()
                && (other.place.step, &other.place.code) == (self.place.step, &self.place.code)
        };
        self.bug_check.is_some() && self.place.code.is_some() && others.iter().any(is_reason)
    }

    /// With how the system stopped, and where drivers were then: addresses from the inside out, 0
    /// before what was interrupted.
    pub(crate) fn stopped(
        mut self,
        bug_check: &BugCheck,
        stack: &[u64],
        addresses: &Addresses,
    ) -> Self {
        self.bug_check = Some(BugCheckReport {
            code: bug_check.code,
            name: BugCheckCode(bug_check.code).name().map(Into::into),
            parameters: bug_check.parameters.map(|value| format!("{value:#x}")),
        });
        if let Some(meaning) = bug_check.meaning() {
            self.help = format!("the parameters are {meaning}");
        }
        let (mut calls, mut interrupted) = (false, false);
        for address in stack {
            if *address == 0 {
                (calls, interrupted) = (false, true);
                continue;
            }
            // All but the first are where calls return to.
            if let Some(code) = addresses.describe(*address, calls) {
                self.stack.push(FrameReport {
                    code: code.to_string(),
                    image: code.image,
                    source: code.source,
                    interrupted: std::mem::take(&mut interrupted),
                });
            }
            calls = true;
        }
        self
    }

    /// Whether it says that something is wrong, and does not only give advice.
    #[must_use]
    pub fn is_defect(&self) -> bool {
        self.severity != "advice"
    }
}

/// A severity as reports spell it.
pub(crate) const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Advice => "advice",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

impl PlaceReport {
    pub(crate) fn new(place: &Place, addresses: &Addresses) -> Self {
        // For a DDI the address is where the call returns to; the call is before it.
        let code = addresses.describe(place.address, place.ddi.is_some());
        Self {
            step: place.step,
            time_100ns: place.time_100ns,
            processor: place.processor,
            irql: place.irql,
            context: context(place.context),
            ddi: place.ddi.map(Into::into),
            image: code.as_ref().map(|code| code.image.clone()),
            source: code.as_ref().and_then(|code| code.source.clone()),
            code: code.as_ref().map(CodePlace::to_string),
        }
    }

    /// The file and the line.
    #[must_use]
    pub fn source_line(&self) -> Option<(&str, u32)> {
        source_line(self.source.as_deref()?)
    }

    /// The IRQL by name.
    #[must_use]
    pub fn irql_name(&self) -> String {
        Irql(self.irql).to_string()
    }
}

fn context(context: Context) -> String {
    match context {
        Context::Bench => "between driver calls".into(),
        Context::Thread(thread) => format!("thread {thread}"),
        Context::Isr(vector) => format!("ISR of vector {vector:#x}"),
        Context::Dpc => "DPC".into(),
        Context::CriticalSection => "critical section of an interrupt".into(),
        Context::Idle => "idle".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::normal_path;

    #[test]
    fn a_path_has_no_detours() {
        for (path, normal) in [
            ("./a/b.c", "a/b.c"),
            ("a/x/../b.c", "a/b.c"),
            ("../a.c", "../a.c"),
            ("a/../../b.c", "../b.c"),
            ("/a//b.c", "/a/b.c"),
            (r"C:\d\a.c", "C:/d/a.c"),
        ] {
            assert_eq!(normal_path(path), normal, "{path}");
        }
    }
}
