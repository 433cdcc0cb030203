//! Exceptions that a driver may handle, and bug checks for those that it does not.

use dirql_abi::NtStatus;
use dirql_kernel::{CallSite, Kernel, Stop};
use dirql_rules::{BugCheck, Context};

use crate::run;

/// A routine that the driver called at `site` does not return: `stop` says why.
///
/// # Errors
/// The reason for which the run ends.
pub(crate) fn raise_at_call(kernel: &Kernel, site: CallSite, stop: Stop) -> Result<(), Stop> {
    let stop = match stop {
        Stop::BadAddress(bad) => run::bad_claim(kernel, bad, site),
        other => other,
    };
    match stop {
        Stop::Exception { code, parameters } => {
            Err(unhandled(kernel, code, parameters, site.return_address).into())
        }
        other => Err(other),
    }
}

/// The bug check for an exception that nobody handled.
///
/// A system thread has a handler of Windows' own around it, which stops the system with
/// 0x7E; an interrupt or a DPC has none. Source: Bug Check Code Reference, 0x1E and 0x7E.
pub(crate) fn unhandled(kernel: &Kernel, code: NtStatus, parameters: [u64; 4], address: u64) -> BugCheck {
    const KMODE_EXCEPTION_NOT_HANDLED: u32 = 0x1E;
    const SYSTEM_THREAD_EXCEPTION_NOT_HANDLED: u32 = 0x7E;
    let code = u64::from(code.0 as u32);
    match kernel.context() {
        Context::Thread(_) => BugCheck::new(SYSTEM_THREAD_EXCEPTION_NOT_HANDLED, [code, address, 0, 0]),
        _ => BugCheck::new(KMODE_EXCEPTION_NOT_HANDLED, [code, address, parameters[0], parameters[1]]),
    }
}
