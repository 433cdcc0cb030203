//! The table of exports: what a driver's imports are bound to.
//!
//! A file per family. Each export is a shim from the Win64 convention to the kernel
//! method of the same name; the shims hold no behaviour of their own. Effects, IRQL,
//! return values and findings are documented at the kernel method.

use std::panic::AssertUnwindSafe;

use dirql_abi::NtStatus;
use dirql_kernel::ke::{Fault, FaultAccess, FaultKind};
use dirql_kernel::{CallSite, Ddi, DriverPtr, Kernel, Outcome, Stop};
use dirql_rules::{IrqlRule, ids};

use crate::exception::raise_at_call;
use crate::run;

mod absent;
mod aliases;
mod cm;
mod compiler;
mod crt;
mod crt_numbers;
mod ex;
mod ex_lock;
mod ex_sharing;
mod exception;
mod fsrtl;
mod hal;
mod hal_dma;
mod io_bus;
mod io_device;
mod io_file;
mod io_interrupt;
mod io_irp;
mod io_legacy;
mod io_system;
mod ke_dispatcher;
mod ke_dpc;
mod ke_irql;
mod ke_query;
mod ke_queue;
mod ke_system;
mod mm;
mod mm_mdl;
mod mm_section;
mod modern;
mod ob;
mod parport;
mod po;
mod po_framework;
mod print;
mod ps;
mod ps_system;
mod recent;
mod rtl;
mod rtl_memory;
mod rtl_string;
mod rtl_table;
mod se;
mod system_routine;
#[cfg(test)]
mod testing;
mod tracing;
pub(crate) mod variadic;
mod wmilib;

/// One routine that a driver can import or look up by name.
#[derive(Clone, Copy, Debug)]
pub struct Export {
    /// The exported name.
    pub name: &'static str,
    /// At which levels it may be entered.
    pub irql: Option<&'static IrqlRule>,
    /// The shim.
    pub(crate) shim: *const (),
}

// SAFETY: the pointer is the address of a function, which never changes or goes away.
unsafe impl Sync for Export {}

// SAFETY: as above; any thread may call the function.
unsafe impl Send for Export {}

/// A type that fits in `rax`.
pub(crate) trait Answer: Copy + Into<u64> {
    /// What the register holds while an exception is on its way.
    const ZERO: Self;

    /// The answer of a routine that does nothing because of what is wrong with its arguments.
    const REFUSED: Self = Self::ZERO;

    /// The answer that the register holds.
    fn of_register(value: u64) -> Self;
}

macro_rules! answers {
    ($($type:ty = $zero:expr, |$value:ident| $of:expr;)*) => {
        $(impl Answer for $type {
            const ZERO: Self = $zero;

            fn of_register($value: u64) -> Self {
                $of
            }
        })*
    };
}

answers! {
    u8 = 0, |value| value as u8;
    u16 = 0, |value| value as u16;
    u32 = 0, |value| value as u32;
    u64 = 0, |value| value;
    Signed = Signed(0), |value| Signed(value as i32);
    Nothing = Nothing(0), |value| Nothing(value);
}

impl Answer for NtStatus {
    const ZERO: Self = Self(0);
    const REFUSED: Self = Self::UNSUCCESSFUL;

    fn of_register(value: u64) -> Self {
        Self::from_bits(value as u32)
    }
}

/// A LONG in `rax`.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct Signed(pub(crate) i32);

impl From<Signed> for u64 {
    fn from(value: Signed) -> Self {
        value.0 as u32 as u64
    }
}

/// The answer of a VOID routine. A register is written all the same.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct Nothing(u64);

impl From<Nothing> for u64 {
    fn from(value: Nothing) -> Self {
        value.0
    }
}

impl From<()> for Nothing {
    fn from((): ()) -> Self {
        Self(0)
    }
}

impl<T> Answer for DriverPtr<T> {
    const ZERO: Self = Self::NULL;

    fn of_register(value: u64) -> Self {
        Self::new(value)
    }
}

/// Declares a family of exports:
///
/// ```text
/// exports! {
///     fn KeSetEvent(event: DriverPtr<KEvent>, increment: i32, wait: u8) -> Signed
///         = |k| k.ke_set_event(event, increment, wait).map(Signed);
///     fn KeClearEvent(event: DriverPtr<KEvent>) -> Nothing = |k| k.ke_clear_event(event).map(Nothing::from);
/// }
/// ```
///
/// Arguments are what Win64 passes in integer registers or stack slots: integers of any
/// width (the caller leaves rubbish above small ones) and [`DriverPtr`]. The body gives
/// `Ddi<Answer>`. The table is the constant `EXPORTS`.
macro_rules! exports {
    ($($(#[$attribute:meta])* fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> $answer:ty = |$k:ident| $body:expr;)*) => {
        $(
            $(#[$attribute])*
            #[allow(non_snake_case, reason = "named as drivers import it, often in other case")]
            extern "win64" fn $name($($argument: $type),*) -> u64 {
                $crate::ddi::enter::<$answer>(
                    stringify!($name),
                    const { dirql_rules::entry_irql(stringify!($name)) },
                    const { dirql_kernel::failure_of(stringify!($name)) },
                    |$k| $body,
                )
            }
        )*

        /// The family's exports.
        pub(super) const EXPORTS: &[$crate::ddi::Export] = &[
            $($crate::ddi::Export {
                name: stringify!($name),
                irql: dirql_rules::entry_irql(stringify!($name)),
                shim: $name as *const (),
            }),*
        ];
    };
}
pub(crate) use exports;

/// Declares routines of the kernel's own drivers, in the form of [`exports!`]. Drivers
/// reach them through pointers that they find in a driver object, not by name:
/// `BusDispatch` is `routine("dirql:BusDispatch")`. The table is the constant `ROUTINES`.
macro_rules! routines {
    ($($(#[$attribute:meta])* fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> $answer:ty = |$k:ident| $body:expr;)*) => {
        $(
            $(#[$attribute])*
            #[expect(non_snake_case, reason = "named as the exports are")]
            extern "win64" fn $name($($argument: $type),*) -> u64 {
                $crate::ddi::enter::<$answer>(concat!("dirql:", stringify!($name)), None, None, |$k| $body)
            }
        )*

        /// The family's routines.
        pub(super) const ROUTINES: &[$crate::ddi::Export] = &[
            $($crate::ddi::Export {
                name: concat!("dirql:", stringify!($name)),
                irql: None,
                shim: $name as *const (),
            }),*
        ];
    };
}
pub(crate) use routines;

/// Declares routines that drivers reach through a table of the documentation's, as those of a
/// DMA adapter: in the form of [`routines!`], but known by their own names, and with the
/// levels that their pages allow. The table is the constant `OPERATIONS`.
macro_rules! operations {
    ($($(#[$attribute:meta])* fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> $answer:ty = |$k:ident| $body:expr;)*) => {
        $(
            $(#[$attribute])*
            #[expect(non_snake_case, reason = "named as the exports are")]
            extern "win64" fn $name($($argument: $type),*) -> u64 {
                $crate::ddi::enter::<$answer>(
                    stringify!($name),
                    const { dirql_rules::entry_irql(stringify!($name)) },
                    const { dirql_kernel::failure_of(stringify!($name)) },
                    |$k| $body,
                )
            }
        )*

        /// The table's routines.
        pub(super) const OPERATIONS: &[$crate::ddi::Export] = &[
            $($crate::ddi::Export {
                name: concat!("dirql:", stringify!($name)),
                irql: dirql_rules::entry_irql(stringify!($name)),
                shim: $name as *const (),
            }),*
        ];
    };
}
pub(crate) use operations;

/// Every export and every routine of the kernel's own drivers.
pub fn all() -> impl Iterator<Item = &'static Export> {
    families()
        .into_iter()
        .flatten()
        .chain(aliases::EXPORTS.iter())
}

/// The families, in no order that matters.
fn families() -> Vec<&'static [Export]> {
    vec![
        absent::EXPORTS,
        compiler::DIRECT,
        exception::DIRECT,
        exception::EXPORTS,
        fsrtl::EXPORTS,
        hal::EXPORTS,
        hal_dma::EXPORTS,
        hal_dma::OPERATIONS,
        io_bus::ROUTINES,
        io_device::EXPORTS,
        io_file::EXPORTS,
        io_file::ROUTINES,
        io_interrupt::EXPORTS,
        io_irp::EXPORTS,
        io_irp::ROUTINES,
        io_legacy::EXPORTS,
        io_system::EXPORTS,
        io_system::ROUTINES,
        ke_dispatcher::EXPORTS,
        ke_dpc::EXPORTS,
        ke_irql::EXPORTS,
        ke_query::EXPORTS,
        ke_queue::EXPORTS,
        ke_system::EXPORTS,
        ob::EXPORTS,
        po::EXPORTS,
        po_framework::EXPORTS,
        po::ROUTINES,
        parport::ROUTINES,
        cm::EXPORTS,
        crt::EXPORTS,
        crt_numbers::EXPORTS,
        ex::EXPORTS,
        ex_lock::EXPORTS,
        ex_sharing::EXPORTS,
        mm::EXPORTS,
        mm_mdl::EXPORTS,
        mm_section::EXPORTS,
        modern::EXPORTS,
        modern::ROUTINES,
        print::EXPORTS,
        ps::EXPORTS,
        ps_system::EXPORTS,
        recent::EXPORTS,
        rtl::EXPORTS,
        rtl_memory::EXPORTS,
        rtl_string::EXPORTS,
        rtl_table::EXPORTS,
        se::EXPORTS,
        print::VARIADIC,
        system_routine::EXPORTS,
        tracing::EXPORTS,
        wmilib::EXPORTS,
        #[cfg(test)]
        testing::ROUTINES,
        #[cfg(test)]
        testing::VARIADIC,
    ]
}

/// The common way from a shim into the kernel. The answer fills `rax`: above a small one a driver
/// must not find what is left of ours, which differs from process to process.
#[inline]
pub(crate) fn enter<R: Answer>(
    name: &'static str,
    irql: Option<&'static IrqlRule>,
    failure: Option<u64>,
    body: impl FnOnce(&Kernel) -> Ddi<R>,
) -> u64 {
    let platform = run::platform();
    // A last call of a driver's leaves the return address of its caller, which may be ours.
    let stack_pointer = platform.entry_stack_pointer();
    let site = platform.enter_kernel();
    let kernel = run::current_kernel();
    platform.end_records(kernel);
    let driver = platform.leave_driver();
    if platform.strands.is_used_up(stack_pointer) {
        run::stop(kernel, stack_overflow(kernel, stack_pointer, site));
    }
    let body = |kernel: &Kernel| match failure {
        Some(value) => kernel.unless_it_fails(|| R::of_register(value), body),
        None => body(kernel),
    };
    // A panic is a defect of ours. It cannot go through the frames of the driver.
    let answer = match std::panic::catch_unwind(AssertUnwindSafe(|| {
        kernel.ddi_or(name, irql, Some(R::REFUSED), body)
    })) {
        Ok(Ok(answer)) => {
            kernel.return_to_pageable(site.return_address);
            platform.return_to_twin(site);
            answer
        }
        Ok(Err(stop)) => {
            leave(kernel, site, stop);
            R::ZERO
        }
        Err(payload) => platform.strands.leave_with_panic(payload),
    };
    platform.enter_driver(driver);
    answer.into()
}

/// As [`enter`], for the few exports that are about the call itself: nothing is checked or
/// recorded, and a failure ends the run.
pub(crate) fn enter_directly<R>(body: impl FnOnce(&Kernel, CallSite) -> Result<R, Stop>) -> R {
    let platform = run::platform();
    // The kernel calls a driver's language handler, which may be one of these.
    let site = platform.entry_site();
    let kernel = run::current_kernel();
    kernel.end_passing();
    let driver = platform.leave_driver();
    let answer = match std::panic::catch_unwind(AssertUnwindSafe(|| body(kernel, site))) {
        Ok(Ok(answer)) => answer,
        Ok(Err(stop)) => run::stop(kernel, stop),
        Err(payload) => platform.strands.leave_with_panic(payload),
    };
    platform.enter_driver(driver);
    answer
}

/// What running over the end of the stack comes to, at a call instead of at a store.
#[cold]
fn stack_overflow(kernel: &Kernel, stack_pointer: u64, site: CallSite) -> Stop {
    kernel.fault(&Fault {
        address: stack_pointer,
        access: FaultAccess::Write,
        instruction: site.return_address,
        caller: 0,
        kind: FaultKind::StackOverflow,
    })
}

/// Returns if an exception is to be raised where the driver called.
#[cold]
fn leave(kernel: &Kernel, site: CallSite, stop: Stop) {
    match std::panic::catch_unwind(AssertUnwindSafe(|| raise_at_call(kernel, site, stop))) {
        Ok(Ok(())) => {}
        Ok(Err(stop)) => run::stop(kernel, stop),
        Err(payload) => run::platform().strands.leave_with_panic(payload),
    }
}

/// What a reader may not know of a module of which nothing is implemented.
fn whose(module: &str) -> &'static str {
    if module.eq_ignore_ascii_case("wdfldr.sys") {
        "; it belongs to the Kernel-Mode Driver Framework, which is not there"
    } else {
        ""
    }
}

/// What the stub of an import leads to that nothing implements: the run ends, because
/// whatever we returned would be made up.
pub(crate) extern "win64" fn missing(number: u32) -> u64 {
    let platform = run::platform();
    let site = platform.enter_kernel();
    let kernel = run::current_kernel();
    let message = match platform.missing_import(number) {
        Some(import) => format!(
            "{} called {}!{}, which is not implemented{}",
            import.importer,
            import.module,
            import.name,
            whose(&import.module)
        ),
        None => format!("a driver called stub {number}, which no import is bound to"),
    };
    let _ = kernel.find_at(
        ids::UNIMPLEMENTED_IMPORT,
        message,
        kernel.here_at(site.return_address),
        None,
    );
    kernel.end(Outcome::Finding);
    run::stop(kernel, Stop::Ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_of_the_driver_framework_is_told_as_that() {
        assert!(whose("WDFLDR.SYS").contains("Kernel-Mode Driver Framework"));
        assert_eq!(whose("ndis.sys"), "");
    }

    #[test]
    fn no_two_exports_have_one_name() {
        let mut names: Vec<&str> = all().map(|export| export.name).collect();
        names.sort_unstable();
        assert_eq!(names.windows(2).find(|pair| pair[0] == pair[1]), None);
    }
}
