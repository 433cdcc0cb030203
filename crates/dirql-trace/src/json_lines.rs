//! A JSON value per line, for programs.

use std::io::{self, Write};

use dirql_kernel::{Event, Stamp};
use serde::Serialize;

use crate::names::{Names, context};
use crate::record::Record;

/// The form's name and version, in its first line. The number changes when a reader of the old
/// form could go wrong with the new one; added fields do not change it.
pub const SCHEMA: &str = "dirql-trace/1";

#[derive(Serialize)]
struct Head {
    schema: &'static str,
}

#[derive(Serialize)]
struct Line<'a> {
    step: u64,
    time_100ns: u64,
    processor: u16,
    irql: u8,
    context: String,
    #[serde(flatten)]
    record: Record<'a>,
}

pub(crate) fn begin(out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &Head { schema: SCHEMA })?;
    out.write_all(b"\n")
}

pub(crate) fn event(
    out: &mut impl Write,
    stamp: Stamp,
    event: &Event,
    names: &dyn Names,
) -> io::Result<()> {
    let line = Line {
        step: stamp.step,
        time_100ns: stamp.time_100ns,
        processor: stamp.processor,
        irql: stamp.irql,
        context: context(stamp.context),
        record: Record::new(event, names),
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}
