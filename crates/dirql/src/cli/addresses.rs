//! Where this process lies in memory, which a driver can see.
//!
//! A driver that reads a variable before it has written it reads what was on its stack before: its
//! own values, and ours, of the kernel routines that it called. Among those are addresses of this
//! program. Linux chooses them anew for every process, so that such a driver would do something
//! else in every run; so it is asked not to.
#![expect(unsafe_code, reason = "personality has no safe interface")]

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Says to the program that it has been started again, so that it is not where the question is
/// granted and forgotten.
const STARTED_AGAIN: &str = "DIRQL_STARTED_AGAIN";

/// Asks for the personality that there is, and changes nothing.
const QUESTION: libc::c_ulong = 0xffff_ffff;

/// Starts this program again with the addresses that it always has.
///
/// Does nothing if it has them. A kernel, or a container, that does not grant them leaves it where
/// it is, and everything else works.
pub(crate) fn fix() {
    if std::env::var_os(STARTED_AGAIN).is_some() {
        return;
    }
    let fixed = libc::ADDR_NO_RANDOMIZE as libc::c_ulong;
    let Ok(before) = u64::try_from(personality(QUESTION)) else {
        return;
    };
    if before & fixed != 0 || personality(before | fixed) < 0 {
        return;
    }
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    // Comes back only if it did not work.
    let _ = Command::new("/proc/self/exe")
        .arg0(name)
        .args(arguments)
        .env(STARTED_AGAIN, "1")
        .exec();
    let _ = personality(before);
}

fn personality(persona: libc::c_ulong) -> i32 {
    // SAFETY: the call takes a number, and changes only what the next program of this process is
    // given.
    unsafe { libc::personality(persona) }
}
