//! What a call of a routine costs, one or two of each family, through the table of exports:
//! against an indirect call.

use std::hint::black_box;

use dirql_benches::{compare, each, report};
use dirql_host::Host;
use dirql_kernel::Config;
use dirql_kernel::ke::ThreadBody;

dirql_host::import! {
    fn ExAcquireFastMutex(mutex: u64);
    fn ExAllocatePoolWithTag(pool: u32, bytes: u64, tag: u32) -> u64;
    fn ExFreePoolWithTag(address: u64, tag: u32);
    fn ExReleaseFastMutex(mutex: u64);
    fn IoAllocateIrp(locations: i8, quota: u8) -> u64;
    fn IoAllocateMdl(address: u64, bytes: u32, secondary: u8, quota: u8, irp: u64) -> u64;
    fn IoFreeIrp(irp: u64);
    fn IoFreeMdl(mdl: u64);
    fn KeCancelTimer(timer: u64) -> u8;
    fn KeEnterCriticalRegion();
    fn KeGetCurrentIrql() -> u8;
    fn KeInitializeDpc(dpc: u64, routine: u64, context: u64);
    fn KeInitializeEvent(event: u64, kind: u32, state: u8);
    fn KeInitializeTimer(timer: u64);
    fn KeLeaveCriticalRegion();
    fn KeQueryInterruptTime() -> u64;
    fn KeSetEvent(event: u64, increment: i32, wait: u8) -> i32;
    fn KeSetTimer(timer: u64, due: i64, dpc: u64) -> u8;
    fn KeWaitForSingleObject(object: u64, reason: u32, mode: u8, alertable: u8, timeout: u64) -> i32;
    fn MmGetPhysicalAddress(address: u64) -> u64;
    fn ObfDereferenceObject(object: u64) -> u64;
    fn ObfReferenceObject(object: u64) -> u64;
    fn PsGetCurrentProcessId() -> u64;
    fn RtlCompareMemory(one: u64, other: u64, bytes: u64) -> u64;
    fn RtlEqualUnicodeString(one: u64, other: u64, ignore_case: u8) -> u8;
    fn RtlFillMemory(to: u64, bytes: u64, value: u8);
    fn RtlInitUnicodeString(string: u64, text: u64);
    fn ZwClose(handle: u64) -> i32;
    fn strlen(text: u64) -> u64;
}

const TAG: u32 = 0x6863_6E42;

fn main() {
    let host = Host::new(Config {
        max_steps: u64::MAX,
        ..Config::default()
    })
    .expect("a computer");
    host.kernel().spawn_thread(
        "bench",
        8,
        ThreadBody::Native(Box::new(|kernel| {
            measure(kernel.current_kthread());
            Ok(())
        })),
    );
    host.run_until_idle();
}

fn measure(thread: u64) {
    let target: fn(u64) -> u64 = |value| value + 1;
    let line = |what: &str, body: &mut dyn FnMut()| {
        let call = || {
            black_box(black_box(target)(1));
        };
        let comparison = compare((2_000, each(body)), (50_000, each(call)));
        report(what, "indirect call", &comparison, "none");
    };
    let memory = ExAllocatePoolWithTag(0, 256, TAG);
    let (timer, mutex) = (
        ExAllocatePoolWithTag(0, 64, TAG),
        ExAllocatePoolWithTag(0, 64, TAG),
    );
    KeInitializeTimer(timer);
    // The count of FAST_MUTEX, and its event, which is a synchronization event: what the macro
    // ExInitializeFastMutex does.
    RtlFillMemory(mutex, 64, 0);
    RtlFillMemory(mutex, 1, 1);
    KeInitializeEvent(mutex + 24, 1, 0);
    KeInitializeEvent(memory, 0, 1);
    line("KeGetCurrentIrql", &mut || {
        black_box(KeGetCurrentIrql());
    });
    line("KeQueryInterruptTime", &mut || {
        black_box(KeQueryInterruptTime());
    });
    line("KeSetEvent, nobody waits", &mut || {
        KeSetEvent(memory, 0, 0);
    });
    line("KeWaitForSingleObject, signaled", &mut || {
        KeWaitForSingleObject(memory, 0, 0, 0, 0);
    });
    line("KeSetTimer and KeCancelTimer", &mut || {
        KeSetTimer(timer, -1_000_000, 0);
        KeCancelTimer(timer);
    });
    line(
        "KeEnterCriticalRegion and KeLeaveCriticalRegion",
        &mut || {
            KeEnterCriticalRegion();
            KeLeaveCriticalRegion();
        },
    );
    line("ExAcquireFastMutex and ExReleaseFastMutex", &mut || {
        ExAcquireFastMutex(mutex);
        ExReleaseFastMutex(mutex);
    });
    line("KeInitializeDpc", &mut || {
        KeInitializeDpc(memory + 64, 1, 0)
    });
    line(
        "ExAllocatePoolWithTag and ExFreePoolWithTag, 64 bytes",
        &mut || {
            ExFreePoolWithTag(ExAllocatePoolWithTag(0, 64, TAG), TAG);
        },
    );
    line("IoAllocateIrp and IoFreeIrp", &mut || {
        IoFreeIrp(IoAllocateIrp(2, 0))
    });
    line("IoAllocateMdl and IoFreeMdl", &mut || {
        IoFreeMdl(IoAllocateMdl(memory, 256, 0, 0, 0));
    });
    line("MmGetPhysicalAddress", &mut || {
        black_box(MmGetPhysicalAddress(memory));
    });
    line("ObfReferenceObject and ObfDereferenceObject", &mut || {
        ObfReferenceObject(thread);
        ObfDereferenceObject(thread);
    });
    line("PsGetCurrentProcessId", &mut || {
        black_box(PsGetCurrentProcessId());
    });
    // The handle of the current process, which is never closed.
    line("ZwClose", &mut || {
        ZwClose(u64::MAX);
    });
    RtlFillMemory(memory + 128, 30, b'a');
    RtlFillMemory(memory + 158, 2, 0);
    line("strlen, 30 characters", &mut || {
        black_box(strlen(memory + 128));
    });
    line(
        "RtlInitUnicodeString and RtlEqualUnicodeString, 15 characters",
        &mut || {
            RtlInitUnicodeString(memory + 96, memory + 128);
            black_box(RtlEqualUnicodeString(memory + 96, memory + 96, 1));
        },
    );
    line("RtlFillMemory, 64 bytes", &mut || {
        RtlFillMemory(memory + 128, 64, 7)
    });
    line("RtlCompareMemory, 64 bytes", &mut || {
        black_box(RtlCompareMemory(memory + 128, memory + 128, 64));
    });
}
