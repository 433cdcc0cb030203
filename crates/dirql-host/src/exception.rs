//! Exceptions raised by a kernel routine, where a driver called it.

use dirql_kernel::{CallSite, Kernel, Stop};

/// A routine that the driver called at `site` does not return: `stop` says why.
///
/// # Errors
/// The reason for which the run ends.
pub(crate) fn raise_at_call(kernel: &Kernel, _site: CallSite, stop: Stop) -> Result<(), Stop> {
    let stop = match stop {
        Stop::BadAddress(bad) => kernel.bad_address(bad),
        other => other,
    };
    Err(stop)
}
