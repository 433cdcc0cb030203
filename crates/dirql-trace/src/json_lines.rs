//! A JSON value per line, for programs: a head, the events, the code that they name.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};

use dirql_kernel::Stamp;
use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::names::{context, parse_context};
use crate::record::Record;

/// The form's name and version, in its first line. The number changes when a reader of the old
/// form could go wrong with the new one; added fields and kinds of events do not change it.
pub const SCHEMA: &str = "dirql-trace/1";

/// What each line of the form may be, as a JSON schema.
pub const JSON_SCHEMA: &str = include_str!("dirql-trace.schema.json");

#[derive(Serialize, Deserialize)]
struct Head {
    schema: String,
}

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    step: u64,
    time_100ns: u64,
    processor: u16,
    irql: u8,
    context: String,
    #[serde(flatten)]
    record: Record<'a>,
}

#[derive(Serialize, Deserialize)]
struct CodeLine<'a> {
    /// As events spell the place.
    place: std::borrow::Cow<'a, str>,
    code: std::borrow::Cow<'a, Code>,
}

pub(crate) fn begin(out: &mut impl Write) -> io::Result<()> {
    let schema = SCHEMA.into();
    write_line(out, &Head { schema })
}

pub(crate) fn event(out: &mut impl Write, stamp: Stamp, record: Record<'_>) -> io::Result<()> {
    let line = Line {
        step: stamp.step,
        time_100ns: stamp.time_100ns,
        processor: stamp.processor,
        irql: stamp.irql,
        context: context(stamp.context),
        record,
    };
    write_line(out, &line)
}

pub(crate) fn code(out: &mut impl Write, codes: &BTreeMap<String, Code>) -> io::Result<()> {
    for (place, code) in codes {
        let line = CodeLine {
            place: place.into(),
            code: std::borrow::Cow::Borrowed(code),
        };
        write_line(out, &line)?;
    }
    Ok(())
}

fn write_line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    // In one piece, so that a line is there whole or not at all.
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    out.write_all(&line)
}

/// Why a trace could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The first line does not say that it is a trace.
    #[error("it is not a trace in JSON lines: its first line has no schema {SCHEMA}")]
    NoTrace,
    /// It is of another version.
    #[error("its form is {0}, and this dirql reads {SCHEMA}")]
    Version(String),
    /// A line is not what the schema says.
    #[error("line {line}: {error}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        error: String,
    },
}

/// What a trace file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The events with their times and places.
    pub events: Vec<(Stamp, Record<'static>)>,
    /// The code that they name.
    pub codes: BTreeMap<String, Code>,
}

/// Reads a trace that was written in [`crate::Form::JsonLines`].
///
/// A last line that was cut off is left out: so ends the trace of a run that destroyed its
/// process. Empty lines do not count.
///
/// # Errors
/// [`ReadError`].
pub fn read(mut input: impl BufRead) -> Result<Trace, ReadError> {
    let mut text = Vec::new();
    input.read_until(b'\n', &mut text)?;
    match serde_json::from_slice::<Head>(&text) {
        Ok(head) if head.schema == SCHEMA => {}
        Ok(head) => return Err(ReadError::Version(head.schema)),
        Err(_) => return Err(ReadError::NoTrace),
    }
    let mut trace = Trace::default();
    for number in 2.. {
        text.clear();
        if input.read_until(b'\n', &mut text)? == 0 {
            break;
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        match line(&text, &mut trace) {
            Ok(()) => {}
            Err(_) if !text.ends_with(b"\n") => break,
            Err(error) => {
                return Err(ReadError::Line {
                    line: number,
                    error,
                });
            }
        }
    }
    Ok(trace)
}

fn line(text: &[u8], trace: &mut Trace) -> Result<(), String> {
    if text.starts_with(b"{\"place\"") {
        let line: CodeLine<'_> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        trace
            .codes
            .insert(line.place.into_owned(), line.code.into_owned());
        return Ok(());
    }
    let line: Line<'static> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let context = parse_context(&line.context)
        .ok_or_else(|| format!("`{}` is not a context", line.context))?;
    if line.irql > 15 {
        return Err(format!("{} is not an IRQL", line.irql));
    }
    let stamp = Stamp {
        step: line.step,
        time_100ns: line.time_100ns,
        processor: line.processor,
        irql: line.irql,
        context,
    };
    trace.events.push((stamp, line.record));
    Ok(())
}
