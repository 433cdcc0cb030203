//! The run-time library: strings, memory, bitmaps, versions, formatting.
//!
//! Source: WDK reference, the `Rtl` routines; the page of each is named at its method.

mod own_string;
