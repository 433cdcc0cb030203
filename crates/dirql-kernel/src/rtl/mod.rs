//! The run-time library: strings, memory, bitmaps, versions, formatting.
//!
//! Source: WDK reference, the `Rtl` routines; the page of each is named at its method. The C
//! routines that the kernel exports are as the C run-time library's reference has them.

mod ace;
mod bitmap;
mod code_page;
mod convert;
mod crt;
mod format;
mod generic_table;
mod image;
mod memory;
mod message;
mod numbers;
mod oem;
mod own_string;
mod path;
mod print;
mod run_once;
mod scan;
mod security;
mod string;
mod text;
mod time;
mod tree;
mod utf8;
mod version;

use core::cell::Cell;

pub use bitmap::RtlBitmap;
pub use crt::{Change, Span};
pub use format::Width;
pub use generic_table::{Table, TableKind};
pub use print::Room;
pub use security::{Acl, Part, SecurityDescriptor};
pub use string::CountedString;

pub(crate) use code_page::upcase as upcase_unit;

/// The state of the run-time library.
pub(crate) struct Rtl {
    printed: print::Printed,
    /// What `rand` goes on from.
    random: Cell<u32>,
    run_once: run_once::RunOnceWaiters,
    /// Where the last `strtok` stopped.
    token: Cell<u64>,
}

impl Default for Rtl {
    fn default() -> Self {
        Self {
            printed: print::Printed::default(),
            random: Cell::new(1),
            run_once: run_once::RunOnceWaiters::default(),
            token: Cell::new(0),
        }
    }
}
