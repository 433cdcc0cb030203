//! Exceptions: those of a kernel routine, where a driver called it, and those of a driver's
//! own instructions.

use dirql_kernel::{CallSite, Kernel, Stop};

use crate::trap::Context;

/// A routine that the driver called at `site` does not return: `stop` says why.
///
/// # Errors
/// The reason for which the run ends.
pub(crate) fn raise_at_call(kernel: &Kernel, _site: CallSite, stop: Stop) -> Result<(), Stop> {
    Err(settle(kernel, stop))
}

/// The driver's instruction at which `context` stands was not carried out: `stop` says why.
/// If this returns, the driver goes on with `context`.
///
/// # Errors
/// The reason for which the run ends.
pub(crate) fn raise_in_driver(
    kernel: &Kernel,
    stop: Stop,
    _context: &mut Context,
) -> Result<(), Stop> {
    Err(settle(kernel, stop))
}

/// What a bad claim comes to.
fn settle(kernel: &Kernel, stop: Stop) -> Stop {
    match stop {
        Stop::BadAddress(bad) => kernel.bad_address(bad),
        other => other,
    }
}
