//! What happened in a run, and the forms in which it can be read.
//!
//! Events come from the kernel ([`dirql_kernel::Event`]) and go to an [`EventSink`]:
//!
//! - [`Recorder`] keeps the last ones in memory, up to a limit;
//! - [`Stream`] writes each one as it happens, as text ([`Form::Text`]), as a JSON value per line
//!   ([`Form::JsonLines`]), for the viewers of the Chrome trace format ([`Form::Chrome`]) or of
//!   waveforms ([`Form::Vcd`]);
//! - [`Counters`] counts, in memory that does not grow with the length of a run;
//! - [`Both`] gives every event to two of them.
//!
//! What was recorded, or read from JSON lines ([`read`]), is drawn: as text ([`staircase`]), or
//! as a [`Timeline`] on a [`page`].
//!
//! # Invariants
//! - Nothing here knows who reads a trace, or why the run went as it did.
//! - The same events give the same bytes: no clock, no addresses of the host.
//!
//! [`EventSink`]: dirql_kernel::EventSink
#![forbid(unsafe_code)]

mod chrome;
mod code;
mod counters;
mod json_lines;
mod names;
pub mod page;
mod record;
mod recorder;
mod sink;
pub mod staircase;
mod stream;
mod tape;
mod text;
mod timeline;
mod vcd;

#[cfg(test)]
mod tests;

pub use code::{Code, InstructionText, SourceText};
pub use counters::{Counters, VectorCounters};
pub use json_lines::{JSON_SCHEMA, ReadError, SCHEMA, Trace, read};
pub use names::{Names, Numbers};
pub use record::{PlaceRecord, Record};
pub use recorder::{Entry, Recorder, Recording};
pub use sink::{All, Both};
pub use stream::{Form, Stream, write_all};
pub use timeline::{KINDS, Mark, Timeline, kind};
