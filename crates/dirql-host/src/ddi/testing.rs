//! Exports for tests of the way in and out.

use dirql_abi::NtStatus;
use dirql_kernel::{BadAddress, Ddi, DriverPtr, Kernel, Stop};

use crate::ddi::routines;
use crate::ddi::variadic::variadic_exports;
use crate::run;

routines! {
    fn TestSum(a: u64, b: u32, c: u16, d: u8, e: u64, f: u32) -> u64
        = |_k| Ok(a + u64::from(b) + u64::from(c) + u64::from(d) + e + u64::from(f));
    fn TestCallSite() -> u64 = |_k| Ok(site());
    fn TestCall(routine: u64, argument: u64) -> u64 = |_k| Ok(call(routine, argument));
    fn TestSuspend() -> u64 = |_k| { suspend(); Ok(1) };
    fn TestPanic() -> u64 = |_k| panic!("a defect of ours");
    fn TestBadAddress(address: u64) -> u64 = |k| k.read(DriverPtr::<u64>::new(address)).map_err(Stop::from);
    fn TestRaise(address: u64) -> u64 = |_k| Err(Stop::BadAddress(BadAddress { address, write: true }));
}

variadic_exports! {
    fn TestVariadic1(1, a: u64; rest) -> u64 = |k| digits(k, &[a], rest);
    fn TestVariadic2(2, a: u64, b: u64; rest) -> u64 = |k| digits(k, &[a, b], rest);
    fn TestVariadic3(3, a: u64, b: u64, c: u64; rest) -> u64 = |k| digits(k, &[a, b, c], rest);
    fn TestVariadic4(4, a: u64, b: u64, c: u64, d: u64; rest) -> NtStatus
        = |k| digits(k, &[a, b, c, d], rest).map(|value| NtStatus(value as i32));
}

/// One decimal digit per argument, eight in all.
fn digits(kernel: &Kernel, fixed: &[u64], rest: DriverPtr<u64>) -> Ddi<u64> {
    let mut all = fixed.to_vec();
    for index in 0..8 - fixed.len() {
        all.push(kernel.read(rest.element(index))?);
    }
    Ok(all.iter().fold(0, |value, digit| value * 10 + digit))
}

fn site() -> u64 {
    use dirql_kernel::Platform;
    run::platform().call_site().return_address
}

fn call(routine: u64, argument: u64) -> u64 {
    use dirql_kernel::Platform;
    run::platform().call(routine, &[argument])
}

fn suspend() {
    use dirql_kernel::Platform;
    run::platform().suspend();
}
