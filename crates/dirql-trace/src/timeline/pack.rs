//! Events in few bytes, as the page's script unpacks them.
//!
//! Each event: its kind, a byte; the step and the virtual time since the event before; the
//! processor; the IRQL, a byte; what runs; the number of its text; the number of its place and
//! one, 0 without; two numbers whose meaning depends on the kind. Numbers take as many bytes as
//! they need, seven bits in each, the lowest first.

use std::collections::BTreeMap;

use dirql_kernel::Stamp;

use super::Timeline;
use crate::code::Code;
use crate::record::Record;
use crate::tape::context_number;

/// Kinds of events by number, for whoever draws them.
pub const KINDS: &[&str] = &[
    "landmark",
    "ddi_enter",
    "ddi_leave",
    "irql",
    "line",
    "line_masked",
    "entry_masked",
    "message",
    "pending",
    "delivered",
    "end_of_interrupt",
    "isr_enter",
    "isr_leave",
    "dpc_queued",
    "dpc_enter",
    "dpc_leave",
    "lock_wanted",
    "lock_taken",
    "lock_released",
    "thread_switch",
    "thread_begin",
    "thread_end",
    "switch",
    "delay_over",
    "wait_begin",
    "wait_end",
    "routine_enter",
    "routine_leave",
    "device_read",
    "device_write",
    "connection",
    "debug_print",
    "finding",
    "bug_check",
];

/// The kind of an event, one of [`KINDS`].
#[must_use]
pub const fn kind(record: &Record<'_>) -> u8 {
    match record {
        Record::Landmark { .. } => 0,
        Record::DdiEnter { .. } => 1,
        Record::DdiLeave { .. } => 2,
        Record::Irql { .. } => 3,
        Record::Line { .. } => 4,
        Record::LineMasked { .. } => 5,
        Record::EntryMasked { .. } => 6,
        Record::Message { .. } => 7,
        Record::Pending { .. } => 8,
        Record::Delivered { .. } => 9,
        Record::EndOfInterrupt { .. } => 10,
        Record::IsrEnter { .. } => 11,
        Record::IsrLeave { .. } => 12,
        Record::DpcQueued { .. } => 13,
        Record::DpcEnter { .. } => 14,
        Record::DpcLeave { .. } => 15,
        Record::LockWanted { .. } => 16,
        Record::LockTaken { .. } => 17,
        Record::LockReleased { .. } => 18,
        Record::ThreadSwitch { .. } => 19,
        Record::ThreadBegin { .. } => 20,
        Record::ThreadEnd { .. } => 21,
        Record::Switch { .. } => 22,
        Record::DelayOver { .. } => 23,
        Record::WaitBegin { .. } => 24,
        Record::WaitEnd { .. } => 25,
        Record::RoutineEnter { .. } => 26,
        Record::RoutineLeave { .. } => 27,
        Record::DeviceRead { .. } => 28,
        Record::DeviceWrite { .. } => 29,
        Record::Connection { .. } => 30,
        Record::DebugPrint { .. } => 31,
        Record::Finding { .. } => 32,
        Record::BugCheck { .. } => 33,
    }
}

#[derive(Debug, Default)]
pub(super) struct Packer {
    bytes: Vec<u8>,
    last: Stamp,
    strings: Vec<String>,
    numbers: BTreeMap<String, u32>,
    locks: Vec<String>,
    lock_numbers: BTreeMap<String, u32>,
    switches: u64,
    findings: u64,
}

impl Packer {
    pub(super) fn add(&mut self, stamp: Stamp, record: &Record<'_>) {
        let text = self.string(&record.to_string());
        let place = match record.place() {
            Some(place) => self.string(place) + 1,
            None => 0,
        };
        let (first, second) = self.arguments(record);
        let last = std::mem::replace(&mut self.last, stamp);
        self.bytes.push(kind(record));
        self.put(stamp.step.saturating_sub(last.step));
        self.put(stamp.time_100ns.saturating_sub(last.time_100ns));
        self.put(stamp.processor.into());
        self.bytes.push(stamp.irql);
        self.put(context_number(stamp.context));
        self.put(text.into());
        self.put(place.into());
        self.put(first);
        self.put(second);
    }

    /// The two numbers of an event that drawing needs.
    fn arguments(&mut self, record: &Record<'_>) -> (u64, u64) {
        match record {
            Record::DdiEnter { name, .. } | Record::DdiLeave { name, .. } => {
                (self.string(name).into(), 0)
            }
            Record::Irql { from, to } => ((*from).into(), (*to).into()),
            Record::Line { line, level } => ((*line).into(), u64::from(level == "high")),
            Record::LineMasked { line, masked } => ((*line).into(), (*masked).into()),
            Record::EntryMasked { entry, masked, .. } => ((*entry).into(), (*masked).into()),
            Record::Message { data, .. } => (u64::from(*data & 0xFF), 0),
            Record::Pending { target, vector } => ((*target).into(), (*vector).into()),
            Record::Delivered { vector } | Record::EndOfInterrupt { vector } => {
                (0, (*vector).into())
            }
            Record::IsrEnter {
                vector, routine, ..
            } => {
                let name = self.string(short(routine));
                (name.into(), (*vector).into())
            }
            Record::IsrLeave { vector, claimed } => ((*claimed).into(), (*vector).into()),
            Record::DpcQueued { dpc, target } => ((*target).into(), self.string(dpc).into()),
            Record::DpcEnter { dpc, routine } => {
                let name = self.string(short(routine));
                (name.into(), self.string(dpc).into())
            }
            Record::DpcLeave { dpc } => (0, self.string(dpc).into()),
            Record::LockWanted { lock }
            | Record::LockTaken { lock }
            | Record::LockReleased { lock } => (self.lock(lock), 0),
            // 0 stands for the idle loop.
            Record::ThreadSwitch { thread } => {
                (thread.map_or(0, |thread| u64::from(thread) + 1), 0)
            }
            Record::ThreadBegin { thread } | Record::ThreadEnd { thread } => ((*thread).into(), 0),
            Record::Switch { target, .. } => {
                self.switches += 1;
                (
                    self.switches,
                    target.map_or(0, |target| u64::from(target) + 1),
                )
            }
            Record::RoutineEnter { kind, routine } => {
                let kind = self.string(kind);
                (self.string(short(routine)).into(), kind.into())
            }
            Record::RoutineLeave { kind, .. } => (0, self.string(kind).into()),
            Record::Connection {
                vector, connected, ..
            } => ((*connected).into(), (*vector).into()),
            Record::Finding { .. } | Record::BugCheck { .. } => {
                self.findings += 1;
                (self.findings, 0)
            }
            Record::Landmark { .. }
            | Record::DelayOver { .. }
            | Record::WaitBegin { .. }
            | Record::WaitEnd { .. }
            | Record::DeviceRead { .. }
            | Record::DeviceWrite { .. }
            | Record::DebugPrint { .. } => (0, 0),
        }
    }

    fn put(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    pub(super) fn string(&mut self, text: &str) -> u32 {
        number_of(text, &mut self.strings, &mut self.numbers)
    }

    fn lock(&mut self, lock: &str) -> u64 {
        number_of(lock, &mut self.locks, &mut self.lock_numbers).into()
    }

    pub(super) fn finish(self, timeline: &mut Timeline, codes: &BTreeMap<String, Code>) {
        timeline.codes = codes
            .iter()
            .filter_map(|(place, code)| Some((*self.numbers.get(place)?, code.clone())))
            .collect();
        timeline.events = base64(&self.bytes);
        timeline.strings = self.strings;
        timeline.locks = self.locks;
    }
}

fn number_of(text: &str, all: &mut Vec<String>, numbers: &mut BTreeMap<String, u32>) -> u32 {
    if let Some(number) = numbers.get(text) {
        return *number;
    }
    let number = all.len() as u32;
    all.push(text.into());
    numbers.insert(text.into(), number);
    number
}

/// A routine's name alone: `EduIsr` of `edu.sys!EduIsr+0x12 (edu.c:52)`.
pub(crate) fn short(place: &str) -> &str {
    let name = place.split_once('!').map_or(place, |(_, name)| name);
    let end = name.find(['+', ' ']).unwrap_or(name.len());
    &name[..end]
}

/// Source: RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let value = (group >> (18 - 6 * digit) & 63) as usize;
            text.push(if digit <= three.len() {
                char::from(DIGITS[value])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_padded() {
        let text = |bytes: &str| base64(bytes.as_bytes());
        assert_eq!(text(""), "");
        assert_eq!(text("f"), "Zg==");
        assert_eq!(text("fo"), "Zm8=");
        assert_eq!(text("foo"), "Zm9v");
        assert_eq!(text("foobar"), "Zm9vYmFy");
        assert_eq!(base64(&[0xFF, 0xEF]), "/+8=");
    }

    #[test]
    fn a_routine_has_a_short_name() {
        assert_eq!(short("edu.sys!EduIsr+0x12 (edu.c:52)"), "EduIsr");
        assert_eq!(short("edu.sys!EduIsr (edu.c:52)"), "EduIsr");
        assert_eq!(short("edu.sys+0x1012"), "edu.sys");
        assert_eq!(short("0x1000"), "0x1000");
    }
}
