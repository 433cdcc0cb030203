//! A finding with everything that a reader wants to know about it.

use dirql_abi::Irql;
use dirql_rules::{Context, Finding, Place, Severity, rule};
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
        }
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
