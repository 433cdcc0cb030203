//! What a Windows x64 driver sees in memory: structures, constants, status codes.
//!
//! Nothing here behaves. Every structure is a table whose size and offsets the compiler checks
//! and a test compares with a C compiler's view.
//!
//! - A pointer is a `u64`: a number that the driver gave, not something to follow unchecked.
//! - A `BOOLEAN` is a `u8`: any value but 0 is true; see [`is_true`].
//! - An enumeration or a flag word is a plain number beside a module of named values, because a
//!   driver may pass any number.
//! - A union is an array of bytes or words, and each arm a structure of its own.
//! - Padding is spelled out, so a structure can be copied to driver memory byte by byte.
//!
//! Names are those of the NT headers in Rust's case. Sources are cited by module: titles of pages
//! of the WDK reference, and the header that declares a structure.
#![no_std]
#![forbid(unsafe_code)]

pub mod layout;

pub mod bugcheck;
pub mod device;
pub mod dispatcher;
pub mod dma;
pub mod dpc;
pub mod exception;
pub mod guid;
pub mod interrupt;
pub mod io;
pub mod irp;
pub mod irql;
pub mod list;
pub mod memory;
pub mod object;
pub mod parallel;
pub mod pci;
pub mod pnp;
pub mod power;
pub mod processor;
pub mod registry;
pub mod resource;
pub mod stack_parameters;
pub mod status;
pub mod string;
pub mod wmi;

pub use irql::Irql;
pub use status::NtStatus;

/// `FALSE`.
pub const FALSE: u8 = 0;
/// `TRUE`, as the kernel writes it.
pub const TRUE: u8 = 1;

/// Whether a driver's `BOOLEAN` means true.
#[must_use]
pub const fn is_true(boolean: u8) -> bool {
    boolean != 0
}

/// Every structure, by module.
pub const ALL_LAYOUTS: &[(&str, &[layout::StructLayout])] = &[
    ("device", device::LAYOUTS),
    ("dispatcher", dispatcher::LAYOUTS),
    ("dma", dma::LAYOUTS),
    ("dpc", dpc::LAYOUTS),
    ("exception", exception::LAYOUTS),
    ("guid", guid::LAYOUTS),
    ("interrupt", interrupt::LAYOUTS),
    ("io", io::LAYOUTS),
    ("irp", irp::LAYOUTS),
    ("list", list::LAYOUTS),
    ("memory", memory::LAYOUTS),
    ("object", object::LAYOUTS),
    ("parallel", parallel::LAYOUTS),
    ("pci", pci::LAYOUTS),
    ("pnp", pnp::LAYOUTS),
    ("power", power::LAYOUTS),
    ("processor", processor::LAYOUTS),
    ("registry", registry::LAYOUTS),
    ("resource", resource::LAYOUTS),
    ("stack_parameters", stack_parameters::LAYOUTS),
    ("string", string::LAYOUTS),
    ("wmi", wmi::LAYOUTS),
];

/// Every enumeration and flag word, by module.
pub const ALL_NAMED_VALUES: &[(&str, &[layout::NamedValues])] = &[
    ("bugcheck", bugcheck::NAMED_VALUES),
    ("device", device::NAMED_VALUES),
    ("dispatcher", dispatcher::NAMED_VALUES),
    ("dma", dma::NAMED_VALUES),
    ("dpc", dpc::NAMED_VALUES),
    ("exception", exception::NAMED_VALUES),
    ("interrupt", interrupt::NAMED_VALUES),
    ("io", io::NAMED_VALUES),
    ("irp", irp::NAMED_VALUES),
    ("memory", memory::NAMED_VALUES),
    ("object", object::NAMED_VALUES),
    ("parallel", parallel::NAMED_VALUES),
    ("pci", pci::NAMED_VALUES),
    ("pnp", pnp::NAMED_VALUES),
    ("power", power::NAMED_VALUES),
    ("processor", processor::NAMED_VALUES),
    ("registry", registry::NAMED_VALUES),
    ("resource", resource::NAMED_VALUES),
    ("wmi", wmi::NAMED_VALUES),
];
