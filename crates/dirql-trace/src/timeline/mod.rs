//! A run as pictures need it: every event in words, packed, with the places of its findings.

mod locate;
mod pack;

use std::collections::BTreeMap;

use dirql_kernel::Stamp;
use dirql_rules::ids;
use serde::{Deserialize, Serialize};

use crate::code::{Code, SourceText};
use crate::json_lines::Trace;
use crate::names::Names;
use crate::record::{PlaceRecord, Record};
use crate::recorder::Recording;
use crate::stream::note_code;

pub(crate) use locate::Places;
pub(crate) use pack::short;
pub use pack::{KINDS, kind};

/// The events of a run in the form that [`crate::page`] draws.
///
/// It is plain data, so that the process that ran a driver can send it to the one that reports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// Events.
    count: u64,
    /// Events before them that were not kept.
    dropped: u64,
    /// Processors; at least those that an event names.
    processors: u16,
    /// The events, packed and in base64.
    events: String,
    /// What events say, each text once.
    strings: Vec<String>,
    /// The code at a place, by the place's number among the strings.
    codes: BTreeMap<u32, Code>,
    /// The locks, as events number them.
    locks: Vec<String>,
    /// What was found, in order.
    findings: Vec<Mark>,
}

/// Where a finding is among the events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The rule's ID.
    pub rule: String,
    /// What the driver did.
    pub message: String,
    /// The event at which it did.
    pub event: u64,
    /// The event that is the other half, and what happened there.
    pub earlier: Option<(u64, String)>,
    /// The driver's code at the two places, as texts of the timeline are numbered, from 1; 0 where
    /// it is unknown.
    pub code: [u32; 2],
}

impl Timeline {
    /// The timeline of a trace that was read.
    #[must_use]
    pub fn of_trace(trace: &Trace) -> Self {
        let mut builder = Builder::default();
        for (stamp, record) in &trace.events {
            builder.add(*stamp, record);
        }
        builder.finish(&trace.codes)
    }

    /// The timeline of a run that was recorded, with addresses as `names` says them.
    #[must_use]
    pub fn of_recording(recording: &Recording, names: &dyn Names) -> Self {
        let mut builder = Builder::default();
        let mut codes = BTreeMap::new();
        recording.each(|stamp, event| {
            let record = Record::new(&event, names);
            note_code(&mut codes, &event, &record, names);
            builder.add(stamp, &record);
        });
        builder.timeline.dropped = recording.dropped();
        builder.finish(&codes)
    }

    /// Says how many processors there were, of which some may have done nothing.
    #[must_use]
    pub fn with_processors(mut self, processors: u16) -> Self {
        self.processors = self.processors.max(processors);
        self
    }

    /// Adds lines of source around each place, from files that `read` gives by the names that
    /// symbols have for them; `None` where a file is not at hand.
    pub fn add_sources(&mut self, read: &mut dyn FnMut(&str) -> Option<String>) {
        let mut files: BTreeMap<String, Option<String>> = BTreeMap::new();
        for code in self.codes.values_mut() {
            let (Some(file), Some(line)) = (&code.file, code.line) else {
                continue;
            };
            let text = files.entry(file.clone()).or_insert_with(|| read(file));
            if let Some(text) = text {
                code.source = lines_around(text, line);
            }
        }
    }

    /// How many events there are.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.count
    }

    /// Whether nothing happened.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Where the findings are.
    #[must_use]
    pub fn findings(&self) -> &[Mark] {
        &self.findings
    }
}

/// Lines of source before and after the one of interest.
const SOURCE_AROUND: u32 = 12;

fn lines_around(text: &str, line: u32) -> Vec<SourceText> {
    let first = line.saturating_sub(SOURCE_AROUND).max(1);
    let numbered = (1..).zip(text.lines());
    let wanted = numbered.skip(first as usize - 1);
    wanted
        .take_while(|(number, _)| *number <= line.saturating_add(SOURCE_AROUND))
        .map(|(line, text)| SourceText {
            line,
            text: text.trim_end().into(),
        })
        .collect()
}

/// Makes a timeline, event by event.
#[derive(Default)]
struct Builder {
    timeline: Timeline,
    packer: pack::Packer,
    places: locate::Places,
    found: Vec<Found>,
}

/// A finding that is to be located.
struct Found {
    /// The event that says it.
    event: u64,
    rule: String,
    message: String,
    place: Option<PlaceRecord>,
    earlier: Option<PlaceRecord>,
}

impl Builder {
    fn add(&mut self, stamp: Stamp, record: &Record<'_>) {
        let number = self.timeline.count;
        self.timeline.count += 1;
        let mut highest = stamp.processor;
        if let Record::Pending { target, .. } | Record::DpcQueued { target, .. } = record {
            highest = highest.max(*target);
        }
        self.timeline.processors = self.timeline.processors.max(highest.saturating_add(1));
        self.packer.add(stamp, record);
        self.places.add(number, stamp, record);
        if let Record::Finding {
            rule,
            message,
            place,
            earlier,
        } = record
        {
            self.found.push(Found {
                event: number,
                rule: rule.clone(),
                message: message.clone().into_owned(),
                place: place.clone(),
                earlier: earlier.clone(),
            });
        }
        if let Record::BugCheck { text, place } = record {
            self.found.push(Found {
                event: number,
                rule: ids::BUG_CHECK.to_string(),
                message: format!("the system stopped: {text}"),
                place: Some(place.clone()),
                earlier: None,
            });
        }
    }

    fn finish(mut self, codes: &BTreeMap<String, Code>) -> Timeline {
        let (places, packer) = (&self.places, &mut self.packer);
        let marks = self.found.into_iter().map(|found| {
            let mut code = |place: &Option<PlaceRecord>| {
                let at = place.as_ref().and_then(|place| place.at.as_ref());
                at.map_or(0, |at| packer.string(at) + 1)
            };
            let code = [code(&found.place), code(&found.earlier)];
            let locate = |place: &PlaceRecord| places.locate(place, found.event);
            let earlier = found.earlier.as_ref().and_then(|place| {
                let what = place.what.clone().unwrap_or_default();
                Some((locate(place)?, what))
            });
            Mark {
                event: found.place.as_ref().and_then(locate).unwrap_or(found.event),
                earlier,
                rule: found.rule,
                message: found.message,
                code,
            }
        });
        self.timeline.findings = marks.collect();
        self.packer.finish(&mut self.timeline, codes);
        self.timeline
    }
}
