//! What a call of a routine costs, one or two of each family, through the table of exports:
//! against an indirect call.

use std::hint::black_box;

use dirql_benches::{compare, each, report};
use dirql_host::Host;
use dirql_kernel::Config;
use dirql_kernel::ke::ThreadBody;

dirql_host::import! {
    fn ExAllocatePoolWithTag(pool: u32, bytes: u64, tag: u32) -> u64;
    fn ExFreePoolWithTag(address: u64, tag: u32);
    fn IoAllocateIrp(locations: i8, quota: u8) -> u64;
    fn IoAllocateMdl(address: u64, bytes: u32, secondary: u8, quota: u8, irp: u64) -> u64;
    fn IoFreeIrp(irp: u64);
    fn IoFreeMdl(mdl: u64);
    fn KeGetCurrentIrql() -> u8;
    fn KeInitializeDpc(dpc: u64, routine: u64, context: u64);
    fn KeInitializeEvent(event: u64, kind: u32, state: u8);
    fn KeQueryInterruptTime() -> u64;
    fn KeSetEvent(event: u64, increment: i32, wait: u8) -> i32;
    fn MmGetPhysicalAddress(address: u64) -> u64;
    fn ObfDereferenceObject(object: u64) -> u64;
    fn ObfReferenceObject(object: u64) -> u64;
    fn PsGetCurrentProcessId() -> u64;
    fn RtlCompareMemory(one: u64, other: u64, bytes: u64) -> u64;
    fn RtlFillMemory(to: u64, bytes: u64, value: u8);
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
    line("RtlFillMemory, 64 bytes", &mut || {
        RtlFillMemory(memory + 128, 64, 7)
    });
    line("RtlCompareMemory, 64 bytes", &mut || {
        black_box(RtlCompareMemory(memory + 128, memory + 128, 64));
    });
}
