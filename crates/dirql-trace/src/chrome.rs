//! The Chrome trace format, which the Perfetto viewer opens.
//!
//! Lanes: one per processor for what interrupts (ISRs, DPCs, the idle loop), one per thread. Spans:
//! ISRs, DPC routines, the driver's routines, DDIs. Each processor's IRQL is a counter.
//!
//! Virtual time stands still while code runs, so a viewer would show spans without length: here one
//! microsecond of the viewer is one event, and virtual time is an argument of each.
//!
//! Source: "Trace Event Format", sections "Duration Events", "Instant Events", "Counter Events",
//! "Metadata Events".

use std::io::{self, Write};

use dirql_kernel::{Event, Stamp};
use dirql_rules::Context;
use serde::Serialize;

use crate::record::Record;

/// Lanes of threads begin here, after those of at most 256 processors.
const FIRST_THREAD: u32 = 1000;

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    ph: &'static str,
    ts: u64,
    pid: u32,
    tid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<&'static str>,
    args: Arguments<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Arguments<'a> {
    Event {
        step: u64,
        time_100ns: u64,
        processor: u16,
        irql: u8,
        #[serde(flatten)]
        record: &'a Record<'a>,
    },
    Irql {
        irql: u8,
    },
}

pub(crate) fn begin(out: &mut impl Write) -> io::Result<()> {
    let head = r#"{"displayTimeUnit":"ns","otherData":{"unit":"one microsecond is one event"},"traceEvents":["#;
    writeln!(out, "{head}")?;
    write!(
        out,
        r#"{{"name":"process_name","ph":"M","pid":0,"tid":0,"args":{{"name":"dirql"}}}}"#
    )
}

pub(crate) fn end(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "\n]}}")
}

pub(crate) fn event(
    out: &mut impl Write,
    number: u64,
    stamp: Stamp,
    event: &Event,
    record: &Record<'_>,
) -> io::Result<()> {
    let name = title(event, record);
    let phase = phase(event);
    let arguments = match event {
        Event::Irql { to, .. } => Arguments::Irql { irql: to.0 },
        _ => Arguments::Event {
            step: stamp.step,
            time_100ns: stamp.time_100ns,
            processor: stamp.processor,
            irql: stamp.irql,
            record,
        },
    };
    let counter;
    let name = if phase == "C" {
        counter = format!("IRQL of processor {}", stamp.processor);
        &counter
    } else {
        &name
    };
    let instant = (phase == "i").then_some("t");
    let entry = Entry {
        name,
        ph: phase,
        ts: number,
        pid: 0,
        tid: lane(stamp, event),
        s: instant,
        args: arguments,
    };
    out.write_all(b",\n")?;
    serde_json::to_writer(&mut *out, &entry)?;
    Ok(())
}

fn phase(event: &Event) -> &'static str {
    match event {
        Event::DdiEnter { .. }
        | Event::IsrEnter { .. }
        | Event::DpcEnter { .. }
        | Event::RoutineEnter { .. } => "B",
        Event::DdiLeave { .. }
        | Event::IsrLeave { .. }
        | Event::DpcLeave { .. }
        | Event::RoutineLeave { .. } => "E",
        Event::Irql { .. } => "C",
        _ => "i",
    }
}

/// ISRs and DPCs belong to their processor even where they begin and end in what they interrupt.
fn lane(stamp: Stamp, event: &Event) -> u32 {
    let of_processor = matches!(
        event,
        Event::IsrEnter { .. }
            | Event::IsrLeave { .. }
            | Event::DpcEnter { .. }
            | Event::DpcLeave { .. }
    );
    match stamp.context {
        Context::Thread(thread) if !of_processor => FIRST_THREAD + thread,
        _ => stamp.processor.into(),
    }
}

fn title(event: &Event, record: &Record<'_>) -> String {
    match (event, record) {
        (Event::DdiEnter { name, .. } | Event::DdiLeave { name, .. }, _) => (*name).into(),
        (_, Record::IsrEnter { routine, .. }) => format!("ISR {routine}"),
        (Event::IsrLeave { .. }, _) => "ISR".into(),
        (_, Record::DpcEnter { routine, .. }) => format!("DPC {routine}"),
        (Event::DpcLeave { .. }, _) => "DPC".into(),
        (_, Record::RoutineEnter { kind, routine }) => format!("{kind} {routine}"),
        (Event::RoutineLeave { kind, .. }, _) => (*kind).into(),
        (Event::Landmark(text), _) => text.clone(),
        (_, record) => record.to_string(),
    }
}
