//! A line per event, for people.
//!
//! Columns: step, virtual time in microseconds, processor, IRQL, what was running, what happened.

use std::io::{self, Write};

use dirql_chips::Level;
use dirql_kernel::{Event, Stamp};

use crate::names::{Names, Shown, context};

pub(crate) fn begin(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "    step     time us cpu irql running           event")
}

pub(crate) fn event(
    out: &mut impl Write,
    stamp: Stamp,
    event: &Event,
    names: &dyn Names,
) -> io::Result<()> {
    let Stamp {
        step,
        time_100ns,
        processor,
        irql,
        ..
    } = stamp;
    let (whole, tenth) = (time_100ns / 10, time_100ns % 10);
    let running = context(stamp.context);
    write!(
        out,
        "{step:>8} {whole:>9}.{tenth} {processor:>3} {irql:>4} {running:<16}  "
    )?;
    let address = |address| Shown(address, names);
    match event {
        Event::Landmark(text) => writeln!(out, "== {}", line(text)),
        Event::DdiEnter { name, caller } => {
            writeln!(out, "{name} called from {}", address(*caller))
        }
        Event::DdiLeave { name, result } => writeln!(out, "{name} returned {result:#x}"),
        Event::Irql { from, to } => writeln!(out, "IRQL {} -> {}", from.0, to.0),
        Event::Line { gsi, level } => writeln!(out, "line {gsi} {}", level_name(*level)),
        Event::Message(message) => {
            writeln!(out, "message {:#x} to {:#x}", message.data, message.address)
        }
        Event::Pending { target, vector } => {
            writeln!(out, "vector {:#x} pending at processor {target}", vector.0)
        }
        Event::Delivered(vector) => writeln!(out, "vector {:#x} taken", vector.0),
        Event::EndOfInterrupt(vector) => writeln!(out, "vector {:#x} ended", vector.0),
        Event::IsrEnter {
            vector, routine, ..
        } => {
            writeln!(
                out,
                "ISR {} called for vector {:#x}",
                address(*routine),
                vector.0
            )
        }
        Event::IsrLeave { vector, claimed } => {
            let claimed = if *claimed { "TRUE" } else { "FALSE" };
            writeln!(out, "ISR for vector {:#x} returned {claimed}", vector.0)
        }
        Event::DpcQueued { dpc, target } => {
            writeln!(out, "DPC {dpc:#x} queued to processor {target}")
        }
        Event::DpcEnter { dpc, routine } => {
            writeln!(out, "DPC {dpc:#x} runs {}", address(*routine))
        }
        Event::DpcLeave { dpc } => writeln!(out, "DPC {dpc:#x} returned"),
        Event::LockWanted(lock) => {
            writeln!(out, "lock {lock:#x} wanted, held by another processor")
        }
        Event::LockTaken(lock) => writeln!(out, "lock {lock:#x} taken"),
        Event::LockReleased(lock) => writeln!(out, "lock {lock:#x} released"),
        Event::ThreadSwitch(Some(thread)) => writeln!(out, "to thread {thread}"),
        Event::ThreadSwitch(None) => writeln!(out, "to the idle loop"),
        Event::WaitBegin(object) => writeln!(out, "waits for {object:#x}"),
        Event::WaitEnd(status) => writeln!(out, "wait ended: {status}"),
        Event::RoutineEnter { kind, routine } => {
            writeln!(out, "{kind} {} called", address(*routine))
        }
        Event::RoutineLeave { kind, result } => writeln!(out, "{kind} returned {result:#x}"),
        Event::DeviceRead {
            address,
            port,
            width,
            value,
        } => {
            let (place, digits) = (place(*port), width.bytes() as usize * 2);
            writeln!(out, "{place} {address:#x} read: 0x{value:0digits$x}")
        }
        Event::DeviceWrite {
            address,
            port,
            width,
            value,
        } => {
            let (place, digits) = (place(*port), width.bytes() as usize * 2);
            writeln!(out, "{place} {address:#x} written: 0x{value:0digits$x}")
        }
        Event::Connection {
            object,
            vector,
            connected,
        } => {
            let what = if *connected {
                "connected to"
            } else {
                "disconnected from"
            };
            writeln!(
                out,
                "interrupt object {object:#x} {what} vector {:#x}",
                vector.0
            )
        }
        Event::DebugPrint(text) => writeln!(out, "prints: {}", line(text)),
        Event::Finding(finding) => {
            writeln!(out, "FINDING {}: {}", finding.rule, line(&finding.message))
        }
    }
}

pub(crate) fn level_name(level: Level) -> &'static str {
    match level {
        Level::Low => "low",
        Level::High => "high",
    }
}

fn place(port: bool) -> &'static str {
    if port { "port" } else { "register" }
}

/// Text that stays on its line, whatever a driver put into it.
fn line(text: &str) -> String {
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
