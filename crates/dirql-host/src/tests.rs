//! Driver calls, from the kernel into driver code and back.

use std::arch::asm;
use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use dirql_kernel::ke::{RunState, ThreadBody};
use dirql_kernel::mm::layout::STACKS;
use dirql_kernel::{Access, Config, Kernel, Outcome, Platform};
use dirql_rules::ids;

use crate::run::{self, LinuxPlatform, MissingImport};
use crate::{Host, HostError, memory};

/// Runs `body` on a thread of a computer.
fn on_thread(host: &Host, body: impl FnOnce(&Kernel) + 'static) -> RunState {
    let body = move |kernel: &Kernel| {
        body(kernel);
        Ok(())
    };
    host.kernel()
        .spawn_thread("test", 8, ThreadBody::Native(Box::new(body)));
    host.run_until_idle()
}

/// Runs `body` on a thread of a computer of its own and returns what it returned.
fn run<R: 'static>(body: impl FnOnce(&LinuxPlatform) -> R + 'static) -> R {
    let host = Host::new(Config::default()).unwrap();
    let result = Rc::new(RefCell::new(None));
    let slot = result.clone();
    on_thread(&host, move |_| {
        let value = body(run::platform());
        *slot.borrow_mut() = Some(value);
    });
    result.take().expect("the thread came to its end")
}

/// Puts code into an image of its own.
fn code(host: &Host, code: &[u8]) -> u64 {
    let base = host.kernel().allocate_image(0x1000);
    host.kernel().write_bytes(base, code).unwrap();
    run::platform().protect(base..base + 0x1000, Access::ReadExecute);
    base
}

#[test]
fn arguments_arrive_in_registers_and_on_the_stack() {
    extern "win64" fn six(a: u64, b: u64, c: u64, d: u64, e: u64, f: u64) -> u64 {
        a | b << 8 | c << 16 | d << 24 | e << 32 | f << 40
    }
    extern "win64" fn twelve(
        a: u64,
        b: u64,
        c: u64,
        d: u64,
        e: u64,
        f: u64,
        g: u64,
        h: u64,
        i: u64,
        j: u64,
        k: u64,
        l: u64,
    ) -> u64 {
        [a, b, c, d, e, f, g, h, i, j, k, l]
            .into_iter()
            .fold(0, |value, argument| value * 16 + argument)
    }
    extern "win64" fn none() -> u64 {
        7
    }
    run(|platform| {
        assert_eq!(
            platform.call(six as *const () as u64, &[1, 2, 3, 4, 5, 6]),
            0x0605_0403_0201
        );
        let all: Vec<u64> = (1..=12).collect();
        assert_eq!(
            platform.call(twelve as *const () as u64, &all),
            0x1234_5678_9ABC
        );
        assert_eq!(
            platform.call(twelve as *const () as u64, &all[..5]),
            0x1234_5000_0000
        );
        assert_eq!(platform.call(none as *const () as u64, &[]), 7);
    });
}

#[test]
fn driver_code_runs_on_an_aligned_guarded_stack() {
    #[unsafe(naked)]
    extern "win64" fn stack_pointer() -> u64 {
        std::arch::naked_asm!("mov rax, rsp", "ret")
    }
    run(|platform| {
        for arguments in [&[][..], &[1, 2, 3, 4], &[1, 2, 3, 4, 5], &[0; 12]] {
            let rsp = platform.call(stack_pointer as *const () as u64, arguments);
            assert_eq!(
                rsp % 16,
                8,
                "aligned before the call of {} arguments",
                arguments.len()
            );
            let (guard, usable) = platform.strands.stack().unwrap();
            assert!(usable.contains(&rsp) && STACKS.contains(&rsp));
            assert_eq!(guard.end, usable.start);
            assert_eq!(platform.space.access(usable.start), Access::ReadWrite);
            assert_eq!(platform.space.access(usable.start - 1), Access::None);
        }
    });
}

#[test]
fn what_a_driver_does_to_control_bits_stays_with_it() {
    extern "win64" fn spoil() {
        let word = 0x9FC0_u32;
        // SAFETY: rounding and flush bits change the results of floating point, which this
        // test does not compute; the caller puts them and the direction flag right.
        unsafe { asm!("ldmxcsr [{}]", "std", in(reg) &raw const word) };
    }
    run(|platform| {
        platform.call(spoil as *const () as u64, &[]);
        let (mut word, flags): (u32, u64);
        word = 0;
        // SAFETY: stores to `word` and reads the flags.
        unsafe {
            asm!("stmxcsr [{0}]", "pushfq", "pop {1}", in(reg) &raw mut word, out(reg) flags)
        };
        assert_eq!(word, 0x1F80);
        assert_eq!(flags & 0x400, 0);
    });
}

/// A test export by name, with its types.
macro_rules! export {
    ($name:literal, fn($($type:ty),*) -> $result:ty) => {
        crate::native::routine::<extern "win64" fn($($type),*) -> $result>($name)
    };
}

#[test]
fn an_export_gets_its_arguments_whatever_their_width() {
    run(|_| {
        let sum = export!("dirql:TestSum", fn(u64, u64, u64, u64, u64, u64) -> u64);
        // Rubbish above the small ones is ignored, as the convention says.
        let high = 0xDEAD_BEEF_0000_0000;
        assert_eq!(
            sum(1, high | 2, high | 0xF_0003, high | 0x104, 5, high | 6),
            21
        );
    });
}

#[test]
fn an_export_knows_who_called_it() {
    #[unsafe(naked)]
    extern "win64" fn caller(_export: u64) -> u64 {
        // rax: what the export saw; the label after the call is what it should have seen.
        std::arch::naked_asm!(
            "sub rsp, 40",
            "call rcx",
            "2:",
            "lea rcx, [rip + 2b]",
            "sub rax, rcx",
            "add rsp, 40",
            "ret"
        )
    }
    run(|platform| {
        let site = platform.routine("dirql:TestCallSite").unwrap();
        assert_ne!(
            platform.call(caller as *const () as u64, &[site]),
            0,
            "no driver is in this process"
        );
        platform.allow_native();
        assert_eq!(platform.call(caller as *const () as u64, &[site]), 0);
        // Through another export that calls back.
        let call = export!("dirql:TestCall", fn(u64, u64) -> u64);
        assert_eq!(call(caller as *const () as u64, site), 0);
    });
}

#[test]
fn nobody_called_before_there_was_a_driver() {
    let host = Host::new(Config::default()).unwrap();
    assert_eq!(
        run::platform().call_site(),
        dirql_kernel::CallSite::default()
    );
    drop(host);
}

#[test]
fn variable_arguments_are_one_array() {
    run(|_| {
        for name in [
            "TestVariadic1",
            "TestVariadic2",
            "TestVariadic3",
            "TestVariadic4",
        ] {
            let routine = crate::native::routine::<
                extern "win64" fn(u64, u64, u64, u64, u64, u64, u64, u64) -> u64,
            >(name);
            assert_eq!(routine(1, 2, 3, 4, 5, 6, 7, 8), 12_345_678, "{name}");
        }
    });
}

#[test]
fn preserved_registers_survive_an_export() {
    // Puts the marker into what a callee must preserve; returns 0 if it is there afterwards.
    #[unsafe(naked)]
    extern "win64" fn check(export: u64, marker: u64) -> u64 {
        std::arch::naked_asm!(
            "push rbx",
            "push rsi",
            "push rdi",
            "push r12",
            "push r15",
            "sub rsp, 96",
            "movups [rsp + 64], xmm6",
            "movups [rsp + 80], xmm15",
            "mov [rsp + 48], rdx",
            "mov [rsp + 32], rdx",
            "mov [rsp + 40], rdx",
            "mov rbx, rdx",
            "mov rsi, rdx",
            "mov rdi, rdx",
            "mov r12, rdx",
            "mov r15, rdx",
            "movq xmm6, rdx",
            "movq xmm15, rdx",
            "call rcx",
            "mov rdx, [rsp + 48]",
            "movq rax, xmm6",
            "movq rcx, xmm15",
            "xor rax, rdx",
            "xor rcx, rdx",
            "xor rbx, rdx",
            "xor rsi, rdx",
            "xor rdi, rdx",
            "xor r12, rdx",
            "xor r15, rdx",
            "or rax, rcx",
            "or rax, rbx",
            "or rax, rsi",
            "or rax, rdi",
            "or rax, r12",
            "or rax, r15",
            "movups xmm6, [rsp + 64]",
            "movups xmm15, [rsp + 80]",
            "add rsp, 96",
            "pop r15",
            "pop r12",
            "pop rdi",
            "pop rsi",
            "pop rbx",
            "ret",
        )
    }
    run(|platform| {
        let sum = platform.routine("dirql:TestSum").unwrap();
        assert_eq!(
            platform.call(check as *const () as u64, &[sum, 0x1234_5678]),
            0
        );
    });
}

#[test]
fn a_stub_ends_the_run_and_says_what_is_missing() {
    let host = Host::new(Config::default()).unwrap();
    let platform = run::platform();
    let import = |name: &str| MissingImport {
        module: "ndis.sys".into(),
        name: name.into(),
        importer: "x.sys".into(),
    };
    platform.add_stub(import("NdisFirst")).unwrap();
    let second = platform.add_stub(import("NdisSecond")).unwrap();
    // sub rsp, 40; mov rax, second; call rax; ud2
    let mut bytes = vec![0x48, 0x83, 0xEC, 0x28, 0x48, 0xB8];
    bytes.extend(second.to_le_bytes());
    bytes.extend([0xFF, 0xD0, 0x0F, 0x0B]);
    let driver = code(&host, &bytes);
    let state = on_thread(&host, move |_| {
        run::platform().call(driver, &[]);
        unreachable!("the stub does not return");
    });
    assert_eq!(
        (state, host.kernel().outcome()),
        (RunState::Ended, Some(Outcome::Finding))
    );
    let findings = host.kernel().findings();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].rule, ids::UNIMPLEMENTED_IMPORT);
    assert_eq!(
        findings[0].message,
        "x.sys called ndis.sys!NdisSecond, which is not implemented"
    );
    assert_eq!(
        findings[0].place.address,
        driver + 16,
        "the instruction after the call"
    );
}

#[test]
fn a_panic_of_ours_goes_past_the_driver() {
    let host = Host::new(Config::default()).unwrap();
    let panics = host.routine("dirql:TestPanic").unwrap();
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
        on_thread(&host, move |_| {
            run::platform().call(panics, &[]);
        })
    }));
    let payload = outcome.expect_err("the panic arrives where the run was started");
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"a defect of ours"));
    drop(host);
    Host::new(Config::default()).expect("and the next computer is not affected");
}

#[test]
fn a_loop_that_does_nothing_is_ended() {
    let host = Host::new(Config::default()).unwrap();
    let driver = code(&host, &[0xEB, 0xFE]); // jmp $
    let state = on_thread(&host, move |_| {
        run::platform().call(driver, &[]);
    });
    assert_eq!(
        (state, host.kernel().outcome()),
        (RunState::Ended, Some(Outcome::Finding))
    );
    let findings = host.kernel().findings();
    assert_eq!(
        (findings.len(), findings[0].rule, findings[0].place.address),
        (1, ids::HANG, driver)
    );
}

#[test]
fn a_computer_starts_from_nothing() {
    let first = Host::new(Config::default()).unwrap();
    assert!(matches!(
        Host::new(Config::default()),
        Err(HostError::Memory(memory::MemoryError::Busy))
    ));
    let place = first.kernel().allocate_system(64);
    first.kernel().write_bytes(place, &[1; 64]).unwrap();
    drop(first);
    let second = Host::new(Config::default()).unwrap();
    assert_eq!(
        second.kernel().allocate_system(64),
        place,
        "the same addresses"
    );
    assert_eq!(second.kernel().read_bytes(place, 64).unwrap(), [0; 64]);
}

#[test]
fn strands_can_be_left_in_the_middle_of_a_driver() {
    thread_local!(static CALLS: Cell<u32> = const { Cell::new(0) });
    extern "win64" fn driver() -> u64 {
        CALLS.set(CALLS.get() + 1);
        export!("dirql:TestSuspend", fn() -> u64)();
        CALLS.set(CALLS.get() + 1);
        0
    }
    for round in 1..100 {
        let host = Host::new(Config::default()).unwrap();
        host.kernel().spawn_thread(
            "test",
            8,
            ThreadBody::Native(Box::new(|_| {
                run::platform().call(driver as *const () as u64, &[]);
                Ok(())
            })),
        );
        run::platform().resume(dirql_kernel::StrandId(last_strand(&host)));
        assert_eq!(
            CALLS.get(),
            round,
            "suspended in the export, and dropped there"
        );
    }
}

/// The number of the strand that was made last.
fn last_strand(_host: &Host) -> u32 {
    run::platform().strands.count() - 1
}
