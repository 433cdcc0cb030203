//! Accesses to devices, which trap at first and are carried out by calls then.

use super::*;
use dirql_kernel::mm::layout::{DEVICE, SHARED_DATA};
use dirql_kernel::{Event, EventSink, Stamp};
use iced_x86::IcedError;

type Write<'a> = &'a dyn Fn(&mut CodeAssembler) -> Result<(), IcedError>;

/// What devices were asked for, at which of the driver's instructions.
#[derive(Clone, Default)]
struct Accesses(Rc<RefCell<Vec<(u64, String)>>>);

impl EventSink for Accesses {
    fn record(&mut self, stamp: Stamp, event: &Event) {
        let instruction = match event {
            Event::DeviceRead { instruction, .. } | Event::DeviceWrite { instruction, .. } => {
                *instruction
            }
            _ => return,
        };
        let seen = (instruction, format!("{} {event:?}", stamp.step));
        self.0.borrow_mut().push(seen);
    }
}

/// Runs `body` four times with `rbp` at memory, `rbx` at a device's, which nobody claims and reads
/// as ones, and 1 in `rsi`; what is left, and what devices were asked for.
fn turns(watch: Option<Watch>, body: Write<'_>) -> (Left, Vec<(u64, String)>) {
    let accesses = Accesses::default();
    let sink = accesses.clone();
    let left = play_with(watch, None, Some(Box::new(sink)), &|a| {
        let mut again = a.create_label();
        let mut write = || {
            a.push(rbx)?;
            a.push(rbp)?;
            a.push(rsi)?;
            a.push(rdi)?;
            a.mov(rbp, rcx)?;
            a.mov(rbx, DEVICE.start + 0x1000)?;
            a.mov(esi, 1)?;
            a.mov(edi, 4)?;
            a.set_label(&mut again)?;
            a.mov(rax, 0x1111_2222_3333_4444_u64)?;
            a.mov(rcx, 0x5555_6666_7777_8888_u64)?;
            body(a)?;
            a.add(qword_ptr(rbp), rax)?;
            a.add(qword_ptr(rbp + 8), rcx)?;
            a.dec(edi)?;
            a.jne(again)?;
            a.pop(rdi)?;
            a.pop(rsi)?;
            a.pop(rbp)?;
            a.pop(rbx)?;
            a.ret()
        };
        write().unwrap();
    });
    let seen = accesses.0.take();
    (left, seen)
}

fn does_the_same(name: &str, body: Write<'_>) -> Vec<(u64, String)> {
    let (plain, asked) = turns(None, body);
    for watch in [Watch::default(), record(), everywhere()] {
        let counts = watch.stops == Stops::Nowhere;
        let (twin, asked_twin) = turns(Some(watch), body);
        assert_eq!(twin.memory, plain.memory, "{name}");
        if counts {
            assert_eq!(asked_twin, asked, "{name}");
            assert_eq!(twin.steps, plain.steps, "{name}");
        } else {
            assert_eq!(asked_twin.len(), asked.len(), "{name}");
        }
    }
    asked
}

#[test]
fn moves_from_and_to_devices_do_the_same() {
    let forms: &[(&str, Write<'_>)] = &[
        ("load 8", &|a| a.mov(al, byte_ptr(rbx + 1))),
        ("load 16", &|a| a.mov(cx, word_ptr(rbx + rsi * 2))),
        ("load 32", &|a| a.mov(eax, dword_ptr(rbx + 4))),
        ("load 64", &|a| a.mov(rcx, qword_ptr(rbx + 8))),
        ("load high", &|a| a.mov(ah, byte_ptr(rbx + 1))),
        ("extend 8 to 16", &|a| a.movzx(ax, byte_ptr(rbx))),
        ("extend 8 to 32", &|a| a.movzx(eax, byte_ptr(rbx))),
        ("extend 8 to 64", &|a| a.movzx(rax, byte_ptr(rbx))),
        ("extend 16 to 64", &|a| a.movzx(rcx, word_ptr(rbx))),
        ("extend with sign", &|a| a.movsx(eax, byte_ptr(rbx))),
        ("store 8", &|a| a.mov(byte_ptr(rbx + 3), cl)),
        ("store high", &|a| a.mov(byte_ptr(rbx + 3), ch)),
        ("store 16", &|a| a.mov(word_ptr(rbx + 2), ax)),
        ("store 32", &|a| a.mov(dword_ptr(rbx + rsi * 4), ecx)),
        ("store 64", &|a| a.mov(qword_ptr(rbx), rax)),
        ("store a constant 8", &|a| a.mov(byte_ptr(rbx), 0x12)),
        ("store a constant 16", &|a| a.mov(word_ptr(rbx), 0x1234)),
        ("store a constant 32", &|a| {
            a.mov(dword_ptr(rbx), 0x1234_5678)
        }),
        ("store a constant with sign", &|a| a.mov(qword_ptr(rbx), -5)),
        ("not aligned", &|a| a.mov(eax, dword_ptr(rbx + 2))),
        ("read and write", &|a| a.lock().or(dword_ptr(rbx), ecx)),
        ("exchange", &|a| a.xchg(dword_ptr(rbx), ecx)),
        ("compare", &|a| {
            a.test(dword_ptr(rbx), esi)?;
            a.setne(al)
        }),
    ];
    for (name, body) in forms {
        let asked = does_the_same(name, *body);
        assert!(asked.len() >= 4, "{name}: {asked:?}");
    }
}

#[test]
fn an_instruction_that_is_remembered_reaches_memory_and_no_device_too() {
    // In turns: a device, memory, memory, a device.
    let asked = does_the_same("in turns", &|a| {
        let mut device = a.create_label();
        a.mov(rdx, rbx)?;
        a.test(edi, 2)?;
        a.jp(device)?; // 4 and 1: neither bit is set in the result
        a.lea(rdx, rbp + 0x40)?;
        a.set_label(&mut device)?;
        a.mov(dword_ptr(rdx), ecx)?;
        a.mov(eax, dword_ptr(rdx))
    });
    assert_eq!(asked.len(), 4, "{asked:?}");
}

#[test]
fn shared_data_is_read_by_a_call_and_not_written() {
    does_the_same("tick count", &|a| {
        a.mov(rdx, SHARED_DATA)?;
        a.mov(eax, dword_ptr(rdx + 0x26C))?;
        a.mov(rcx, qword_ptr(rdx + 0x14))
    });
}

#[test]
fn ports_are_told_with_the_drivers_instruction() {
    let asked = does_the_same("ports", &|a| {
        a.mov(edx, 0x3F8)?;
        a.in_(al, dx)?;
        a.out(0x80, al)
    });
    assert_eq!(asked.len(), 8);
}

#[test]
fn what_has_met_a_device_does_not_trap_again() {
    let body: Write<'_> = &|a| a.mov(eax, dword_ptr(rbx + 4));
    let (first, _) = turns(Some(Watch::default()), body);
    let (second, _) = turns(Some(Watch::default()), body);
    // The first computer learns it; the others know it from the start.
    assert_eq!((first.trapped, second.trapped), (1, 0));
}
