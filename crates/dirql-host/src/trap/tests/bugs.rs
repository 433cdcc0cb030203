//! Faults that are not a driver's.

use std::io::Read;
use std::os::fd::FromRawFd;

use dirql_kernel::mm::layout;

use super::runner::Runner;

/// Runs `body` in a child process. Returns how it ended and what it wrote to standard error.
fn in_child(body: impl FnOnce()) -> (i32, String) {
    let mut pipe = [0; 2];
    // SAFETY: the array has room for both ends.
    assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0);
    // SAFETY: the child only runs `body`, which needs no other thread, and ends.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        // SAFETY: both are open.
        unsafe { libc::dup2(pipe[1], 2) };
        body();
        // SAFETY: ends this process at once.
        unsafe { libc::_exit(0) };
    }
    // SAFETY: it is open and this process's own.
    unsafe { libc::close(pipe[1]) };
    // SAFETY: as above; nothing else closes it.
    let mut output = unsafe { std::fs::File::from_raw_fd(pipe[0]) };
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    let mut status = 0;
    // SAFETY: the pointer is valid.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    (status, text)
}

#[test]
fn a_fault_of_our_own_code_ends_the_process_and_says_so() {
    let _runner = Runner::new();
    let (status, text) = in_child(|| {
        let nowhere = std::hint::black_box(std::ptr::without_provenance::<u64>(0x10));
        // SAFETY: none; this is the bug.
        std::hint::black_box(unsafe { nowhere.read_volatile() });
    });
    assert!(libc::WIFSIGNALED(status), "{status}");
    assert_eq!(libc::WTERMSIG(status), libc::SIGSEGV);
    assert!(
        text.starts_with("dirql: its own code got signal 0xb at 0x"),
        "{text}"
    );
    assert!(text.contains(", address 0x10, stack pointer 0x"), "{text}");
}

#[test]
fn a_signal_that_somebody_sent_has_its_usual_effect() {
    let _runner = Runner::new();
    for signal in [libc::SIGSEGV, libc::SIGILL, libc::SIGTRAP] {
        // SAFETY: raises a signal in the child.
        let (status, text) = in_child(|| unsafe {
            libc::raise(signal);
        });
        assert!(
            libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == signal,
            "{status}"
        );
        assert_eq!(text, "");
    }
}

#[test]
fn a_checked_copy_goes_on_with_the_faulting_address() {
    let runner = Runner::new();
    let start = runner.code_address();
    runner.twin.copy.set((start, start + 3));
    // mov rbx, [rcx]; at 3: the landing
    let code = [0x48, 0x8B, 0x19];
    let wild = 0x1234_5678_9ABC_DEF0;
    // Device memory is no memory to a copy, and neither is shared data.
    let shared = layout::SHARED_DATA;
    for (address, expected) in [
        (0x10, 0x10),
        (layout::DEVICE.start, layout::DEVICE.start),
        (shared, shared),
        (wild, u64::MAX),
    ] {
        let mut registers = runner.registers();
        registers.general[1] = address;
        runner.run(&code, &mut registers);
        assert_eq!(registers.general[0], expected);
        assert_eq!(
            (runner.twin.take_fault(), runner.twin.take_asked().len()),
            (None, 0)
        );
    }
}
