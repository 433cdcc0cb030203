//! The table of exports: what a driver's imports are bound to.
//!
//! A file per family. Each export is a shim from the Win64 convention to the kernel
//! method of the same name; the shims hold no behaviour of their own. Effects, IRQL,
//! return values and findings are documented at the kernel method.

use dirql_abi::NtStatus;
use dirql_kernel::{Ddi, DriverPtr, Kernel};
use dirql_rules::IrqlRule;

use crate::run;

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

/// A type that fits in `rax`.
pub(crate) trait Answer: Copy + Into<u64> {
    /// What the register holds while an exception is on its way.
    const ZERO: Self;
}

macro_rules! answers {
    ($($type:ty = $zero:expr),* $(,)?) => { $(impl Answer for $type { const ZERO: Self = $zero; })* };
}

answers!(u8 = 0, u16 = 0, u32 = 0, u64 = 0, NtStatus = NtStatus(0), Signed = Signed(0), Nothing = Nothing(0));

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
/// `Ddi<Answer>`.
macro_rules! exports {
    ($($(#[$attribute:meta])* fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> $answer:ty = |$k:ident| $body:expr;)*) => {
        $(
            $(#[$attribute])*
            #[expect(non_snake_case, reason = "named as drivers import it")]
            extern "win64" fn $name($($argument: $type),*) -> $answer {
                $crate::ddi::enter(
                    stringify!($name),
                    const { dirql_rules::entry_irql(stringify!($name)) },
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

/// The common way from a shim into the kernel.
#[inline]
pub(crate) fn enter<R: Answer>(
    name: &'static str,
    irql: Option<&'static IrqlRule>,
    body: impl FnOnce(&Kernel) -> Ddi<R>,
) -> R {
    let kernel = run::current_kernel();
    match kernel.ddi(name, irql, body) {
        Ok(answer) => answer,
        Err(stop) => {
            run::stop(kernel, stop);
            R::ZERO
        }
    }
}
