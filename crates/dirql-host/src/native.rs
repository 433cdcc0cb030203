//! Drivers that are Rust functions in this process.
//!
//! Such a driver follows the Win64 convention in both directions: its routines are
//! `extern "win64"`, and it calls exports through [`import!`](crate::import). Memory of
//! the process counts as the driver's own. What it does is otherwise judged like any
//! driver's; only a loop that never calls the kernel is not noticed.

use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use dirql_kernel::Platform as _;

use crate::run::{self, LinuxPlatform};

/// The entry point of an in-process driver: the addresses of its driver object and of its
/// registry path's UNICODE_STRING, and an NTSTATUS back.
pub type Entry = extern "win64" fn(driver_object: u64, registry_path: u64) -> i32;

/// Declares exports that an in-process driver calls:
///
/// ```no_run
/// dirql_host::import! {
///     /// Sets an event.
///     fn KeSetEvent(event: u64, increment: i32, wait: u8) -> i32;
///     fn KeClearEvent(event: u64);
/// }
///
/// extern "win64" fn isr(_interrupt: u64, context: u64) -> u8 {
///     KeSetEvent(context, 0, 0);
///     1
/// }
/// ```
///
/// A name that is not exported panics when it is called, by name.
#[macro_export]
macro_rules! import {
    ($($(#[$attribute:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)?;)*) => {
        $(
            $(#[$attribute])*
            #[expect(non_snake_case, reason = "named as the export is")]
            $visibility fn $name($($argument: $type),*) $(-> $result)? {
                type Routine = extern "win64" fn($($type),*) $(-> $result)?;
                static IMPORT: $crate::native::Import =
                    $crate::native::Import::new(stringify!($name));
                IMPORT.routine::<Routine>()($($argument),*)
            }
        )*
    };
}

/// An export that [`import!`](crate::import) has declared. As in an import address table, its name is
/// looked up once: the thunk of an export is where it is for the whole process.
#[doc(hidden)]
#[derive(Debug)]
pub struct Import {
    name: &'static str,
    /// The thunk's address; 0 before the first call.
    address: AtomicU64,
}

impl Import {
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            address: AtomicU64::new(0),
        }
    }

    /// As [`routine`].
    ///
    /// # Panics
    /// As there.
    #[must_use]
    pub fn routine<Routine: Copy>(&self) -> Routine {
        // Also when the address is known: without a computer there is nothing to call.
        let platform = run::platform();
        let known = self.address.load(Ordering::Relaxed);
        if known != 0 {
            return callable(known);
        }
        let address = address_of(platform, self.name);
        self.address.store(address, Ordering::Relaxed);
        callable(address)
    }
}

/// The export `name` as a function.
///
/// # Panics
/// If nothing of that name is exported, if no computer runs in this thread, or if
/// `Routine` is not as large as a function pointer.
#[doc(hidden)]
#[must_use]
pub fn routine<Routine: Copy>(name: &str) -> Routine {
    callable(address_of(run::platform(), name))
}

fn address_of(platform: &LinuxPlatform, name: &str) -> u64 {
    match platform.routine(name) {
        Some(address) => address,
        None => panic!("{name} is not exported"),
    }
}

fn callable<Routine: Copy>(address: u64) -> Routine {
    const { assert!(size_of::<Routine>() == size_of::<fn()>()) };
    let code = std::ptr::with_exposed_provenance::<()>(address as usize);
    // SAFETY: the sizes are the same. The thunk at this address is code of the Win64
    // convention; that the types are the export's is what the driver says.
    unsafe { std::mem::transmute_copy(&code) }
}

/// The part of this process that has the code at `entry`: the program or a library.
pub(crate) fn module_of(entry: u64) -> Option<Range<u64>> {
    let mut search = Search {
        address: entry,
        found: None,
    };
    // SAFETY: the callback has the signature that is wanted and gets `search`, which
    // outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut search).cast()) };
    search.found
}

struct Search {
    address: u64,
    found: Option<Range<u64>>,
}

unsafe extern "C" fn look(
    info: *mut libc::dl_phdr_info,
    _size: usize,
    search: *mut c_void,
) -> c_int {
    // SAFETY: the pointer is the one that `module_of` handed over, and it is alone in using it.
    let search = unsafe { &mut *search.cast::<Search>() };
    // SAFETY: the linker passes a valid description.
    let info = unsafe { &*info };
    // SAFETY: the linker's table has this many entries, for as long as the module is loaded.
    let segments =
        unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    let loaded = segments
        .iter()
        .filter(|segment| segment.p_type == libc::PT_LOAD)
        .map(|segment| {
            let start = info.dlpi_addr + segment.p_vaddr;
            start..start + segment.p_memsz
        });
    let all: Vec<Range<u64>> = loaded.collect();
    if !all.iter().any(|segment| segment.contains(&search.address)) {
        return 0;
    }
    let start = all.iter().map(|segment| segment.start).min();
    let end = all.iter().map(|segment| segment.end).max();
    search.found = start.zip(end).map(|(start, end)| start..end);
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    extern "win64" fn entry(_: u64, _: u64) -> i32 {
        0
    }

    #[test]
    fn code_of_this_program_is_found_and_nothing_else() {
        let address = entry as *const () as u64;
        let module = module_of(address).unwrap();
        assert!(module.contains(&address));
        assert!(module.contains(&(module_of as *const () as u64)));
        assert_eq!(module_of(0x10), None);
    }
}
