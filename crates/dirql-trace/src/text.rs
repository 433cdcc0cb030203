//! A line per event, for people.
//!
//! Columns: step, virtual time in microseconds, processor, IRQL, what was running, what happened.

use std::fmt;
use std::io::{self, Write};

use dirql_chips::Level;
use dirql_kernel::Stamp;

use crate::names::context;
use crate::record::Record;

pub(crate) fn begin(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "    step     time us cpu irql running           event")
}

pub(crate) fn event(out: &mut impl Write, stamp: Stamp, record: &Record<'_>) -> io::Result<()> {
    let Stamp {
        step,
        time_100ns,
        processor,
        irql,
        ..
    } = stamp;
    let (whole, tenth) = (time_100ns / 10, time_100ns % 10);
    let running = context(stamp.context);
    writeln!(
        out,
        "{step:>8} {whole:>9}.{tenth} {processor:>3} {irql:>4} {running:<16}  {record}"
    )
}

impl fmt::Display for Record<'_> {
    /// The event in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Landmark { text } => write!(f, "== {}", line(text)),
            Self::DdiEnter { name, caller } => write!(f, "{name} called from {caller}"),
            Self::DdiLeave { name, result } => write!(f, "{name} returned {result}"),
            Self::Irql { from, to } => write!(f, "IRQL {from} -> {to}"),
            Self::Line { line, level } => write!(f, "line {line} {level}"),
            Self::LineMasked { line, masked } => write!(f, "line {line} {}", mask(*masked)),
            Self::EntryMasked {
                device,
                entry,
                masked,
            } => write!(f, "device {device} MSI-X entry {entry} {}", mask(*masked)),
            Self::Message { address, data } => write!(f, "message {data:#x} to {address}"),
            Self::Pending { target, vector } => {
                write!(f, "vector {vector:#x} pending at processor {target}")
            }
            Self::Delivered { vector } => write!(f, "vector {vector:#x} taken"),
            Self::EndOfInterrupt { vector } => write!(f, "vector {vector:#x} ended"),
            Self::IsrEnter {
                vector, routine, ..
            } => write!(f, "ISR {routine} called for vector {vector:#x}"),
            Self::IsrLeave { vector, claimed } => {
                let claimed = if *claimed { "TRUE" } else { "FALSE" };
                write!(f, "ISR for vector {vector:#x} returned {claimed}")
            }
            Self::DpcQueued { dpc, target } => write!(f, "DPC {dpc} queued to processor {target}"),
            Self::DpcEnter { dpc, routine } => write!(f, "DPC {dpc} runs {routine}"),
            Self::DpcLeave { dpc } => write!(f, "DPC {dpc} returned"),
            Self::LockWanted { lock } => write!(f, "lock {lock} wanted, and held"),
            Self::LockTaken { lock } => write!(f, "lock {lock} taken"),
            Self::LockReleased { lock } => write!(f, "lock {lock} released"),
            Self::ThreadSwitch { thread } => match thread {
                Some(thread) => write!(f, "to thread {thread}"),
                None => f.write_str("to the idle loop"),
            },
            Self::ThreadBegin { thread } => write!(f, "thread {thread} begins"),
            Self::ThreadEnd { thread } => write!(f, "thread {thread} ends"),
            Self::Switch { .. } => self.fmt_switch(f),
            Self::DelayOver { delay } => write!(f, "delay over: {delay}"),
            Self::WaitBegin { object } => write!(f, "waits for {object}"),
            Self::WaitEnd { status } => write!(f, "wait ended: {status}"),
            Self::RoutineEnter { kind, routine } => write!(f, "{kind} {routine} called"),
            Self::RoutineLeave { kind, result } => write!(f, "{kind} returned {result}"),
            Self::DeviceRead {
                address,
                port,
                bytes,
                value,
                ..
            } => {
                let (place, value) = (place(*port), padded(value, *bytes));
                write!(f, "{place} {address} read: {value}")
            }
            Self::DeviceWrite {
                address,
                port,
                bytes,
                value,
                ..
            } => {
                let (place, value) = (place(*port), padded(value, *bytes));
                write!(f, "{place} {address} written: {value}")
            }
            Self::Connection {
                object,
                vector,
                connected,
            } => {
                let what = if *connected {
                    "connected to"
                } else {
                    "disconnected from"
                };
                write!(f, "interrupt object {object} {what} vector {vector:#x}")
            }
            Self::DebugPrint { text } => write!(f, "prints: {}", line(text)),
            Self::BugCheck { text, .. } => write!(f, "THE SYSTEM STOPS: {}", line(text)),
            Self::Finding { rule, message, .. } => write!(f, "FINDING {rule}: {}", line(message)),
        }
    }
}

impl Record<'_> {
    fn fmt_switch(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Switch {
            choice,
            target,
            vector,
            delay,
            at,
            ..
        } = self
        else {
            return Ok(());
        };
        f.write_str("SWITCH: ")?;
        let target = target.unwrap_or_default();
        match (&**choice, vector, delay) {
            ("arrival", Some(vector), _) => {
                write!(f, "vector {vector:#x} arrives at processor {target} now")
            }
            ("delay", _, Some(delay)) => write!(f, "the delay of {delay} ends now"),
            ("other_thread", ..) => write!(f, "another thread of processor {target} goes first"),
            _ => write!(f, "processor {target} goes first"),
        }?;
        at.as_ref()
            .map_or(Ok(()), |at| write!(f, ", while {at} waits"))
    }
}

pub(crate) fn level_name(level: Level) -> &'static str {
    match level {
        Level::Low => "low",
        Level::High => "high",
    }
}

fn mask(masked: bool) -> &'static str {
    if masked { "masked" } else { "unmasked" }
}

fn place(port: bool) -> &'static str {
    if port { "port" } else { "register" }
}

/// A value of so many bytes with all its digits.
fn padded(value: &str, bytes: u64) -> String {
    match value.strip_prefix("0x") {
        Some(digits) => format!("0x{digits:0>width$}", width = bytes.min(8) as usize * 2),
        None => value.into(),
    }
}

/// Text that stays on its line, whatever a driver put into it.
pub(crate) fn line(text: &str) -> String {
    let text = text.trim_end_matches(['\r', '\n']);
    text.chars()
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect::<Vec<_>>()
            } else {
                vec![c]
            }
        })
        .collect()
}
