//! Events written as they happen.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::rc::Rc;

use dirql_kernel::{Event, EventSink, Stamp};

use crate::code::Code;
use crate::names::Names;
use crate::record::Record;
use crate::recorder::Entry;
use crate::vcd::Waves;
use crate::{chrome, json_lines, text};

/// A form in which a trace is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A line per event, for people.
    Text,
    /// A JSON value per line, for programs; the first says which version of the form it is.
    JsonLines,
    /// The Chrome trace format, which the Perfetto viewer opens.
    Chrome,
    /// Value change dump, which viewers of waveforms open.
    Vcd,
}

impl Form {
    /// The form that a file of this name is in: `.json` is the Chrome trace format, `.jsonl`
    /// JSON lines, `.vcd` a value change dump, everything else text.
    #[must_use]
    pub fn of_file(name: &str) -> Self {
        match name.rsplit_once('.') {
            Some((_, "json")) => Self::Chrome,
            Some((_, "jsonl")) => Self::JsonLines,
            Some((_, "vcd")) => Self::Vcd,
            _ => Self::Text,
        }
    }
}

/// Writes each event as it happens.
///
/// The first error of the writer ends the writing; [`Stream::finish`] returns it. Dropping a
/// stream ends the form as far as that is still possible. A value change dump begins with the
/// list of what changes in it, so that its changes are kept in memory until the end.
pub struct Stream<W: Write> {
    out: W,
    form: Form,
    names: Rc<dyn Names>,
    written: u64,
    /// The code that has been named, in JSON lines.
    codes: BTreeMap<String, Code>,
    waves: Waves,
    error: Option<io::Error>,
    finished: bool,
}

impl<W: Write> std::fmt::Debug for Stream<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("form", &self.form)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

impl<W: Write> Stream<W> {
    /// A stream to `out`, with addresses as `names` says them.
    pub fn new(out: W, form: Form, names: Rc<dyn Names>) -> Self {
        let mut stream = Self {
            out,
            form,
            names,
            written: 0,
            codes: BTreeMap::new(),
            waves: Waves::default(),
            error: None,
            finished: false,
        };
        let begun = match form {
            Form::Text => text::begin(&mut stream.out),
            Form::JsonLines => json_lines::begin(&mut stream.out),
            Form::Chrome => chrome::begin(&mut stream.out),
            Form::Vcd => Ok(()),
        };
        stream.error = begun.err();
        stream
    }

    /// Writes one event.
    ///
    /// # Errors
    /// The writer's.
    fn write(&mut self, stamp: Stamp, event: &Event) -> io::Result<()> {
        let record = Record::new(event, &*self.names);
        match self.form {
            Form::Text => text::event(&mut self.out, stamp, &record),
            Form::JsonLines => {
                note_code(&mut self.codes, event, &record, &*self.names);
                json_lines::event(&mut self.out, stamp, record)
            }
            Form::Chrome => chrome::event(&mut self.out, self.written, stamp, event, &record),
            Form::Vcd => {
                self.waves.event(stamp, &record);
                Ok(())
            }
        }?;
        self.written += 1;
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.finished, true) {
            return Ok(());
        }
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        match self.form {
            Form::Text => {}
            Form::JsonLines => json_lines::code(&mut self.out, &self.codes)?,
            Form::Chrome => chrome::end(&mut self.out)?,
            Form::Vcd => self.waves.write(&mut self.out)?,
        }
        self.out.flush()
    }

    /// Ends the form and flushes the writer.
    ///
    /// # Errors
    /// The first error of the writer.
    pub fn finish(mut self) -> io::Result<()> {
        self.end()
    }
}

/// Looks up the code at the place that an event names, once for each place.
pub(crate) fn note_code(
    codes: &mut BTreeMap<String, Code>,
    event: &Event,
    record: &Record<'_>,
    names: &dyn Names,
) {
    let Some(place) = record.place() else { return };
    let (address, call) = match event {
        Event::DdiEnter { caller, .. } => (*caller, true),
        Event::Switch {
            address,
            after_call,
            ..
        } => (*address, *after_call),
        Event::IsrEnter { routine, .. }
        | Event::DpcEnter { routine, .. }
        | Event::RoutineEnter { routine, .. } => (*routine, false),
        Event::DeviceRead { instruction, .. } | Event::DeviceWrite { instruction, .. } => {
            (*instruction, false)
        }
        Event::Finding(finding) => (finding.place.address, finding.place.ddi.is_some()),
        Event::BugCheck { place, .. } => (place.address, place.ddi.is_some()),
        _ => return,
    };
    if !codes.contains_key(place)
        && let Some(code) = names.code(address, call)
    {
        codes.insert(place.into(), code);
    }
    if let (Event::Finding(finding), Record::Finding { earlier, .. }) = (event, record)
        && let (Some((_, earlier)), Some(at)) = (
            &finding.earlier,
            earlier.as_ref().and_then(|place| place.at.as_ref()),
        )
        && !codes.contains_key(at)
        && let Some(code) = names.code(earlier.address, earlier.ddi.is_some())
    {
        codes.insert(at.clone(), code);
    }
}

impl<W: Write> EventSink for Stream<W> {
    fn record(&mut self, stamp: Stamp, event: &Event) {
        if self.error.is_none()
            && let Err(error) = self.write(stamp, event)
        {
            self.error = Some(error);
        }
    }
}

impl<W: Write> Drop for Stream<W> {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = self.end();
    }
}

/// Writes events that were recorded.
///
/// # Errors
/// The writer's.
pub fn write_all(
    out: impl Write,
    form: Form,
    names: Rc<dyn Names>,
    entries: &[Entry],
) -> io::Result<()> {
    let mut stream = Stream::new(out, form, names);
    for entry in entries {
        stream.record(entry.stamp, &entry.event);
    }
    stream.finish()
}
