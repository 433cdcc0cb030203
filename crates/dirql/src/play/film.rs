//! A run on record, for pictures of it.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use dirql_kernel::EventSink;
use dirql_trace::{All, Names, Numbers, Recorder, Recording, Timeline, staircase};

use super::MakeSink;

/// Events that are kept: the last ones of a run.
const EVENTS: usize = 1_000_000;

/// Keeps what happens in one run, so that it can be looked at when the run is over.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let scenario = dirql::scenario::Scenario::of_driver("edu.sys", None, Vec::new());
/// let film = dirql::Film::default();
/// let mut settings = dirql::Settings::default();
/// settings.sink = Some(film.sink(None));
/// let report = dirql::play(&scenario, settings)?;
/// film.draw(&mut std::io::stdout(), 100)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Film(Rc<RefCell<Option<Kept>>>);

struct Kept {
    recording: Recording,
    names: Rc<dyn Names>,
}

impl std::fmt::Debug for Film {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Film")
            .field(&self.0.borrow().is_some())
            .finish()
    }
}

impl Film {
    /// What [`crate::Settings::sink`] has to be. `other` is told every event as well.
    #[must_use]
    pub fn sink(&self, other: Option<MakeSink>) -> MakeSink {
        let slot = self.0.clone();
        Box::new(move |names| {
            let (recorder, recording) = Recorder::new(EVENTS);
            *slot.borrow_mut() = Some(Kept {
                recording,
                names: names.clone(),
            });
            match other {
                None => Box::new(recorder) as Box<dyn EventSink>,
                Some(other) => Box::new(All(vec![Box::new(recorder), other(names)])),
            }
        })
    }

    /// What happened, for a page. Without source lines: [`Timeline::add_sources`].
    #[must_use]
    pub fn timeline(&self) -> Timeline {
        match &*self.0.borrow() {
            Some(Kept { recording, names }) => Timeline::of_recording(recording, &**names),
            None => Timeline::default(),
        }
    }

    /// Draws it as text, in `width` characters a line.
    ///
    /// # Errors
    /// The writer's.
    pub fn draw(&self, out: &mut dyn Write, width: usize) -> io::Result<()> {
        match &*self.0.borrow() {
            Some(Kept { recording, names }) => {
                staircase::draw_recording(out, recording, &**names, width)
            }
            None => staircase::draw_recording(out, &Recorder::new(0).1, &Numbers, width),
        }
    }
}
