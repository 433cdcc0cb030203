//! How driver code runs here: natively, in this process, on Linux x86-64.
//!
//! - [`memory`](mod@memory): the simulated computer's address space, and checked access to it.
//! - `loader`: driver images in that space, bound to the table of exports.
//! - `thunk`: the generated code between a driver's import and the shim behind it.
//! - `strand`: coroutines on guarded stacks.
//! - `trap`: privileged instructions and accesses that are not to memory.
//! - `checkpoint`: putting a computer back to where it was.
//! - `run`: the kernel's [`dirql_kernel::Platform`] on top of these.
//! - [`ddi`]: the table of exports, a file per family.
//!
//! # Invariants
//! - Nothing here knows a rule, or why one thing runs before another.
//! - One simulated computer exists per process at a time ([`memory`](mod@memory) says why).
#![expect(unsafe_code, reason = "running driver code is what this crate is for")]

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!("driver code runs natively, and what is implemented is Linux on x86-64");

pub mod ddi;
pub mod memory;
pub mod native;

mod checkpoint;
mod data_exports;
mod driver_state;
mod enter;
mod exception;
mod hang;
mod host;
mod loader;
mod machine;
mod real_time;
mod recode;
mod registers;
mod run;
mod strand;
mod system_image;
mod thunk;
mod trap;

#[cfg(test)]
mod tests;

pub use checkpoint::{Arena, Life, Stopped, ask, outside, pause};
pub use host::{
    DriverSource, Host, HostError, LoadedDriver, intercept_system_calls, is_driver_running,
};
pub use loader::{
    ImageLocation, ImportState, LoadError, LoadedImage, MissingEntryPoint, import_state,
};
pub use real_time::real_time;
pub use recode::{Footprints, MemoryAccess, Role, Stops, Watch, twins_are_many};
pub use run::MissingImport;
