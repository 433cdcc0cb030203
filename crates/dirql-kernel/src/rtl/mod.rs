//! The run-time library: strings, memory, bitmaps, versions, formatting.
//!
//! Source: WDK reference, the `Rtl` routines; the page of each is named at its method. The C
//! routines that the kernel exports are as the C run-time library's reference has them.

mod code_page;
mod format;
mod own_string;
mod text;

pub(crate) use format::Width;
