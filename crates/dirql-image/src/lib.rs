//! What is in a driver file.
//!
//! [`Image::parse`] reads a Windows kernel driver for x64 (`.sys`, PE32+) and checks all of it;
//! [`Image::lay_out`] makes the bytes that belong into memory at some address. Nothing here maps
//! or runs anything: the output is bytes and descriptions.
//!
//! ```no_run
//! use dirql_image::Image;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let image = Image::parse(&std::fs::read("edu.sys")?)?;
//! let mut laid_out = image.lay_out(0x7000_0000_0000)?;
//! laid_out.bind(|import| match import.to_string().as_str() {
//!     "ntoskrnl.exe!DbgPrint" => 0x1000,
//!     _ => 0x2000,
//! });
//! laid_out.set_security_cookie(0x1234_5678_9abc);
//! // laid_out.bytes() belong at 0x7000_0000_0000, protected as image.regions() says.
//! # Ok(())
//! # }
//! ```
//!
//! Sources: Microsoft, "PE Format"; `winnt.h` of the Windows SDK; for what the kernel requires
//! beyond them, the WDK documentation of drivers.
//!
//! Not read: resources, certificates, bound imports (the ordinary import table says the same),
//! dynamic relocations (they are for the hypervisor and for retpolines).
//!
//! Invariants: no byte of a file is read unchecked, nothing panics, whatever the file says; what
//! is allocated is bounded by [`MAX_SIZE_OF_IMAGE`] and by small multiples of the file's length.

#![forbid(unsafe_code)]

pub mod blocks;
#[cfg(test)]
mod builder;
mod checksum;
mod debug;
pub mod disassembly;
mod error;
mod export;
mod extended;
mod function;
mod headers;
mod image;
mod import;
pub mod inf;
mod jump_table;
mod layout;
mod load_config;
pub mod loops;
mod names;
mod reader;
mod relocation;
mod section;
pub mod symbols;
#[cfg(test)]
mod tests;
mod text;
mod time_stamps;
pub mod unwind;

pub use debug::{CodeView, Guid};
pub use error::{Allowed, ImageError, Part, Space};
pub use export::{Export, ExportTarget, Exports};
pub use extended::{has_extended_code, uses_extended_state};
pub use function::Function;
pub use headers::{MAX_SECTIONS, MAX_SIZE_OF_IMAGE, PAGE};
pub use image::{Image, Placement};
pub use import::{Import, ImportModule, ImportRef, MAX_IMPORT_MODULES, MAX_IMPORTS, Symbol};
pub use layout::LaidOut;
pub use load_config::{DEFAULT_SECURITY_COOKIE, GuardTable, LoadConfig};
pub use section::{Region, Section};
pub use time_stamps::may_read_time_stamps;
