//! A short run as a drawing in text: of each processor the staircase of its IRQL with what runs
//! on each stair, above it lines and locks, below it what the numbers stand for.
//!
//! Time runs to the right, and a column is an event that changes something in the drawing:
//! virtual time stands still while code runs. Of a run that is long, what lies around findings
//! and switches is drawn.

mod draw;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use dirql_kernel::Stamp;
use dirql_rules::Context;

use crate::json_lines::Trace;
use crate::names::{Names, context};
use crate::record::{PlaceRecord, Record};
use crate::recorder::Recording;
use crate::timeline::{Places, short};

/// Columns of a run that is drawn whole.
const WHOLE: usize = 72;

/// Columns before and after one of interest.
const AROUND: usize = 9;

/// Characters of the longest label.
const LONGEST_LABEL: usize = 20;

/// Locks that are drawn: the first ones.
const MOST_LOCKS: usize = 6;

/// What a processor does.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Doing {
    irql: u8,
    label: String,
}

/// What there is to see after an event.
#[derive(Clone, Debug)]
struct Column {
    event: u64,
    /// Of each processor that has done something.
    doing: BTreeMap<u16, Doing>,
    /// Lines that are high.
    high: BTreeSet<u32>,
    /// Who holds a lock.
    holders: BTreeMap<String, u16>,
    /// What the legend says of it.
    note: Option<Note>,
}

#[derive(Clone, Debug)]
struct Note {
    step: u64,
    processor: u16,
    text: String,
    kind: NoteKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoteKind {
    Plain,
    Switch,
    Earlier,
    Finding,
}

/// Where a place is, as the end of a sentence.
fn at(place: &PlaceRecord) -> String {
    let at = place.at.as_ref();
    at.map_or(String::new(), |at| format!(", at {at}"))
}

/// Draws a trace that was read.
///
/// # Errors
/// The writer's.
pub fn draw_trace(out: &mut dyn Write, trace: &Trace, width: usize) -> io::Result<()> {
    let mut columns = Columns::default();
    for (stamp, record) in &trace.events {
        columns.add(*stamp, record);
    }
    columns.draw(out, width)
}

/// Draws what was recorded, with addresses as `names` says them, in `width` characters a line.
///
/// # Errors
/// The writer's.
pub fn draw_recording(
    out: &mut dyn Write,
    recording: &Recording,
    names: &dyn Names,
    width: usize,
) -> io::Result<()> {
    let mut columns = Columns::default();
    recording.each(|stamp, event| columns.add(stamp, &Record::new(&event, names)));
    columns.draw(out, width)
}

/// The columns of a run, and what they are made from.
#[derive(Default)]
struct Columns {
    all: Vec<Column>,
    now: Option<Column>,
    events: u64,
    places: Places,
    /// The names of routines that run, by processor, innermost last.
    routines: BTreeMap<u16, Vec<String>>,
    locks: BTreeMap<String, String>,
    /// The lock that a processor has taken since its latest interrupt.
    taken: BTreeMap<u16, String>,
    /// Locks of interrupts, with the ISR.
    of_interrupts: BTreeMap<String, String>,
}

impl Columns {
    fn add(&mut self, stamp: Stamp, record: &Record<'_>) {
        let event = self.events;
        self.events += 1;
        self.places.add(event, stamp, record);
        self.follow_routines(stamp, record);
        let doing = Doing {
            irql: stamp.irql,
            label: self.label(stamp),
        };
        let empty = || Column {
            event,
            doing: BTreeMap::new(),
            high: BTreeSet::new(),
            holders: BTreeMap::new(),
            note: None,
        };
        let mut next = self.now.clone().unwrap_or_else(empty);
        next.event = event;
        next.note = None;
        let mut changed = false;
        match record {
            Record::Line { line, level } => {
                changed |= if level == "high" {
                    next.high.insert(*line)
                } else {
                    next.high.remove(line)
                };
            }
            Record::LockTaken { lock } => {
                next.holders.insert(self.lock(lock), stamp.processor);
                changed = true;
            }
            Record::LockReleased { lock } => {
                changed |= next.holders.remove(&self.lock(lock)).is_some();
            }
            _ => {}
        }
        // The level changes on the way to something, which the next event is.
        let on_the_way = matches!(
            record,
            Record::Irql { .. } | Record::Delivered { .. } | Record::EndOfInterrupt { .. }
        );
        if !on_the_way && next.doing.get(&stamp.processor) != Some(&doing) {
            next.doing.insert(stamp.processor, doing);
            changed = true;
        }
        next.note = self.note(stamp, record);
        if let Record::Finding { place, earlier, .. } = record {
            if let Some(earlier) = earlier {
                let what = earlier.what.as_deref().unwrap_or_default();
                let text = format!("earlier: {what}{}", at(earlier));
                self.note_at(earlier, event, text, NoteKind::Earlier);
            }
            // Some are told when the run is over.
            if let Some(place) = place
                && place.step < stamp.step
                && self.note_at(
                    place,
                    event,
                    format!("{record}{}", at(place)),
                    NoteKind::Finding,
                )
            {
                next.note = None;
            }
        }
        if changed || next.note.is_some() {
            self.all.push(next.clone());
            self.now = Some(next);
        }
    }

    /// Notes something of an earlier place, told by `event`. Whether the place is known.
    fn note_at(&mut self, place: &PlaceRecord, event: u64, text: String, kind: NoteKind) -> bool {
        let Some(event) = self.places.locate(place, event) else {
            return false;
        };
        let Some(number) = self.all.iter().rposition(|column| column.event <= event) else {
            return false;
        };
        let note = Some(Note {
            step: place.step,
            processor: place.processor,
            text,
            kind,
        });
        let column = &mut self.all[number];
        // A note of that event says less.
        if column.event == event || column.note.is_none() {
            column.note = note;
        } else {
            let column = Column {
                note,
                ..column.clone()
            };
            self.all.insert(number + 1, column);
        }
        true
    }

    fn note(&mut self, stamp: Stamp, record: &Record<'_>) -> Option<Note> {
        let kind = match record {
            Record::Switch { .. } => NoteKind::Switch,
            Record::Finding { .. } | Record::BugCheck { .. } => NoteKind::Finding,
            Record::Landmark { .. }
            | Record::LockTaken { .. }
            | Record::LockWanted { .. }
            | Record::Pending { .. }
            | Record::IsrEnter { .. }
            | Record::IsrLeave { .. }
            | Record::DpcQueued { .. }
            | Record::DpcEnter { .. }
            | Record::Connection { .. }
            | Record::Message { .. } => NoteKind::Plain,
            _ => return None,
        };
        let text = match record {
            Record::LockTaken { lock } => format!("lock {} taken", self.lock(lock)),
            Record::LockWanted { lock } => {
                format!("lock {} wanted, and held", self.lock(lock))
            }
            Record::Finding {
                place: Some(place), ..
            }
            | Record::BugCheck { place, .. } => format!("{record}{}", at(place)),
            _ => record.to_string(),
        };
        Some(Note {
            step: stamp.step,
            processor: stamp.processor,
            text,
            kind,
        })
    }

    /// The letter of a lock; locks without one are called as they are.
    fn lock(&mut self, lock: &str) -> String {
        let next = self.locks.len();
        let letter = |next: usize| {
            if next < MOST_LOCKS {
                char::from(b'a' + next as u8).to_string()
            } else {
                lock.to_owned()
            }
        };
        self.locks
            .entry(lock.to_owned())
            .or_insert_with(|| letter(next))
            .clone()
    }

    fn follow_routines(&mut self, stamp: Stamp, record: &Record<'_>) {
        let running = self.routines.entry(stamp.processor).or_default();
        match record {
            Record::LockTaken { lock } => {
                self.taken.insert(stamp.processor, lock.clone());
            }
            Record::IsrEnter { routine, .. } => {
                running.push(short(routine).to_owned());
                // An interrupt's lock is taken for its ISR, and by nobody else in between.
                if let Some(lock) = self.taken.remove(&stamp.processor) {
                    self.of_interrupts.insert(lock, short(routine).to_owned());
                }
            }
            Record::DpcEnter { routine, .. } => running.push(short(routine).to_owned()),
            Record::IsrLeave { .. } | Record::DpcLeave { .. } => {
                running.pop();
            }
            Record::Delivered { .. } => {
                self.taken.remove(&stamp.processor);
            }
            _ => {}
        }
    }

    fn label(&self, stamp: Stamp) -> String {
        let routine = || {
            let running = self.routines.get(&stamp.processor);
            running.and_then(|running| running.last()).cloned()
        };
        // Between the routine and the end of its interrupt nothing new runs.
        let before = || {
            let doing = self.now.as_ref()?.doing.get(&stamp.processor);
            doing.map(|doing| doing.label.clone())
        };
        let label = match stamp.context {
            Context::Isr(_) => routine().map(|name| format!("ISR {name}")).or_else(before),
            Context::Dpc => routine().map(|name| format!("DPC {name}")).or_else(before),
            _ => None,
        };
        let mut label = label.unwrap_or_else(|| context(stamp.context));
        if label.chars().count() > LONGEST_LABEL {
            label = label.chars().take(LONGEST_LABEL - 1).collect();
            label.push('…');
        }
        label
    }

    /// Which columns are drawn.
    fn shown(&self) -> Vec<bool> {
        if self.all.len() <= WHOLE {
            return vec![true; self.all.len()];
        }
        let mut shown = vec![false; self.all.len()];
        let of_interest = |column: &Column| {
            column
                .note
                .as_ref()
                .is_some_and(|note| note.kind != NoteKind::Plain)
        };
        for (at, _) in self
            .all
            .iter()
            .enumerate()
            .filter(|(_, column)| of_interest(column))
        {
            let last = (at + AROUND).min(shown.len() - 1);
            shown[at.saturating_sub(AROUND)..=last].fill(true);
        }
        if !shown.contains(&true) {
            shown[..WHOLE].fill(true);
        }
        shown
    }

    fn draw(&self, out: &mut dyn Write, width: usize) -> io::Result<()> {
        draw::draw(out, self, &self.shown(), width)
    }
}

#[cfg(test)]
mod tests;
