//! Events written as they happen.

use std::io::{self, Write};
use std::rc::Rc;

use dirql_kernel::{Event, EventSink, Stamp};

use crate::names::Names;
use crate::recorder::Entry;
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
}

impl Form {
    /// The form that a file of this name is in: `.json` is the Chrome trace format, `.jsonl`
    /// JSON lines, everything else text.
    #[must_use]
    pub fn of_file(name: &str) -> Self {
        match name.rsplit_once('.') {
            Some((_, "json")) => Self::Chrome,
            Some((_, "jsonl")) => Self::JsonLines,
            _ => Self::Text,
        }
    }
}

/// Writes each event as it happens.
///
/// The first error of the writer ends the writing; [`Stream::finish`] returns it. Dropping a
/// stream ends the form as far as that is still possible.
pub struct Stream<W: Write> {
    out: W,
    form: Form,
    names: Rc<dyn Names>,
    written: u64,
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
            error: None,
            finished: false,
        };
        let begun = match form {
            Form::Text => text::begin(&mut stream.out),
            Form::JsonLines => json_lines::begin(&mut stream.out),
            Form::Chrome => chrome::begin(&mut stream.out),
        };
        stream.error = begun.err();
        stream
    }

    /// Writes one event.
    ///
    /// # Errors
    /// The writer's.
    fn write(&mut self, stamp: Stamp, event: &Event) -> io::Result<()> {
        let names = &*self.names;
        match self.form {
            Form::Text => text::event(&mut self.out, stamp, event, names),
            Form::JsonLines => json_lines::event(&mut self.out, stamp, event, names),
            Form::Chrome => chrome::event(&mut self.out, self.written, stamp, event, names),
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
        if self.form == Form::Chrome {
            chrome::end(&mut self.out)?;
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
