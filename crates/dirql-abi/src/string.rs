//! Counted strings.
//!
//! Source: WDK reference, wdm.h (`UNICODE_STRING`), ntdef.h (`STRING`).

use crate::layout::layouts;

layouts! {
    /// A counted UTF-16 string, not necessarily terminated. Lengths are in bytes.
    struct UnicodeString = "UNICODE_STRING", size 16 {
        0 length: u16 = "Length",
        2 maximum_length: u16 = "MaximumLength",
        4 padding4: u32,
        8 buffer: u64 = "Buffer",
    }

    /// A counted string of 8-bit characters, not necessarily terminated.
    struct AnsiString = "STRING", size 16 {
        0 length: u16 = "Length",
        2 maximum_length: u16 = "MaximumLength",
        4 padding4: u32,
        8 buffer: u64 = "Buffer",
    }
}
