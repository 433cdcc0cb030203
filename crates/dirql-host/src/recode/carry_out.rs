//! Instructions that would trap, carried out by a call.
//!
//! A trap costs a signal, a call some tens of nanoseconds; drivers read and set CR8, access ports
//! and device memory in their hottest paths. The instruction itself stands behind the call, for
//! what the call leaves to it: values and operands that fault, memory that is no device's, a stack
//! without room.

use std::arch::naked_asm;
use std::panic::AssertUnwindSafe;

use dirql_chips::Width;
use dirql_kernel::mm::layout::{self, PAGE, SHARED_DATA};
use dirql_kernel::{Ddi, Kernel};

use super::carried::{Deed, Port, Value};
use super::emit::Code;
use super::gate::CARRY_OUT;
use crate::run;

/// Bytes below the driver's stack pointer that the call writes to.
const ROOM: u32 = 0x800;

const RAX: usize = 0;
const RDX: usize = 2;

/// Puts the call before an instruction, `number` being that of what it does.
pub(super) fn call_before(number: u32, code: &mut Code) {
    code.store_below_stack(ROOM);
    code.push_address(number.into());
    code.call_to(CARRY_OUT);
}

/// What [`enter`] saves, and what was on the stack before.
#[derive(Debug)]
#[repr(C)]
struct Saved {
    /// In the order of their numbers; the stack pointer's place holds nothing.
    general: [u64; 16],
    flags: u64,
    /// Where the twin goes on: at the instruction, or behind it.
    next: u64,
    /// The number of what is to be carried out, [`Recoder::carried`](super::Recoder::carried).
    number: u64,
}

/// Where the gate leads: saves registers, calls [`carry_out`], goes on with what it left.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn enter() {
    naked_asm!(
        "pushfq",
        "cld",
        "push r15",
        "push r14",
        "push r13",
        "push r12",
        "push r11",
        "push r10",
        "push r9",
        "push r8",
        "push rdi",
        "push rsi",
        "push rbp",
        "push rax",
        "push rbx",
        "push rdx",
        "push rcx",
        "push rax",
        "mov rcx, rsp",
        "mov rbp, rsp",
        "sub rsp, 160",
        "and rsp, -16",
        "movaps [rsp + 32], xmm0",
        "movaps [rsp + 48], xmm1",
        "movaps [rsp + 64], xmm2",
        "movaps [rsp + 80], xmm3",
        "movaps [rsp + 96], xmm4",
        "movaps [rsp + 112], xmm5",
        "stmxcsr [rsp + 128]",
        "call {carry_out}",
        "ldmxcsr [rsp + 128]",
        "movaps xmm0, [rsp + 32]",
        "movaps xmm1, [rsp + 48]",
        "movaps xmm2, [rsp + 64]",
        "movaps xmm3, [rsp + 80]",
        "movaps xmm4, [rsp + 96]",
        "movaps xmm5, [rsp + 112]",
        "mov rsp, rbp",
        "pop rax",
        "pop rcx",
        "pop rdx",
        "pop rbx",
        "lea rsp, [rsp + 8]",
        "pop rbp",
        "pop rsi",
        "pop rdi",
        "pop r8",
        "pop r9",
        "pop r10",
        "pop r11",
        "pop r12",
        "pop r13",
        "pop r14",
        "pop r15",
        "popfq",
        "ret 8",
        carry_out = sym carry_out,
    )
}

extern "win64" fn carry_out(saved: *mut Saved) {
    let platform = run::platform();
    let stack_pointer = saved.addr() as u64 + size_of::<Saved>() as u64;
    if platform.strands.is_used_up(stack_pointer) {
        return;
    }
    // SAFETY: `enter` made it on the driver's stack and waits; nothing else refers to it.
    let saved = unsafe { &mut *saved };
    let kernel = run::current_kernel();
    platform.end_records(kernel);
    let driver = platform.leave_driver();
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| perform(kernel, saved)));
    match result {
        Ok(Ok(())) => {}
        Ok(Err(stop)) => run::stop(kernel, stop),
        Err(payload) => platform.strands.leave_with_panic(payload),
    }
    platform.enter_driver(driver);
}

fn perform(kernel: &Kernel, saved: &mut Saved) -> Ddi<()> {
    let recoder = run::platform().space.recoder();
    let Some(carried) = recoder.and_then(|recoder| recoder.carried(saved.number)) else {
        return Ok(());
    };
    kernel.come_to(carried.original);
    if !saved.carry_out(kernel, &carried.deed) {
        kernel.come_to(0);
        return Ok(());
    }
    saved.next += u64::from(carried.length);
    if kernel.needs_attention() {
        kernel.attend()
    } else {
        kernel.come_to(0);
        Ok(())
    }
}

impl Saved {
    /// `false` if nothing has happened and the instruction itself has to be executed.
    fn carry_out(&mut self, kernel: &Kernel, deed: &Deed) -> bool {
        match *deed {
            Deed::ReadCr8(register) => *self.register(register) = kernel.read_cr8(),
            Deed::WriteCr8(register) => {
                let value = *self.register(register);
                if value > 15 {
                    return false;
                }
                kernel.write_cr8(value);
            }
            Deed::In(port, width) => {
                let value = kernel.read_port(self.port(port), width);
                self.set_part(RAX as u8, width, value);
            }
            Deed::Out(port, width) => {
                let value = self.general[RAX] & width.ones();
                kernel.write_port(self.port(port), width, value);
            }
            Deed::Load {
                from,
                width,
                register,
                part,
            } => {
                let Some(value) = load(kernel, from.address(&self.general), width) else {
                    return false;
                };
                self.set_part(register, part, value);
            }
            Deed::Store { to, width, value } => {
                let value = match value {
                    Value::Register(register) => *self.register(register),
                    Value::Constant(value) => value,
                };
                let Some(physical) = device(to.address(&self.general), width) else {
                    return false;
                };
                kernel.write_device(physical, width, value & width.ones());
            }
        }
        true
    }

    fn register(&mut self, register: u8) -> &mut u64 {
        &mut self.general[usize::from(register & 15)]
    }

    fn port(&self, port: Port) -> u16 {
        match port {
            Port::Fixed(port) => port.into(),
            Port::Dx => self.general[RDX] as u16,
        }
    }

    /// As an instruction does that writes so much of a register.
    fn set_part(&mut self, register: u8, part: Width, value: u64) {
        let register = self.register(register);
        *register = match part {
            Width::U32 | Width::U64 => value,
            narrow => *register & !narrow.ones() | value & narrow.ones(),
        };
    }
}

/// Reads a device's register or KUSER_SHARED_DATA; `None` if that is not where `address` leads,
/// or if a device would see several accesses.
fn load(kernel: &Kernel, address: u64, width: Width) -> Option<u64> {
    if let Some(physical) = device(address, width) {
        return Some(kernel.read_device(physical, width));
    }
    let offset = address.wrapping_sub(SHARED_DATA);
    if offset >= PAGE || !offset.is_multiple_of(width.bytes()) {
        return None;
    }
    let mut bytes = [0; 8];
    kernel.read_shared_data(offset, &mut bytes[..width.bytes() as usize]);
    Some(u64::from_le_bytes(bytes))
}

/// The physical address of an access that a device sees as one.
fn device(address: u64, width: Width) -> Option<u64> {
    let is_one = layout::DEVICE.contains(&address) && address.is_multiple_of(width.bytes());
    is_one.then(|| layout::physical(address)).flatten()
}
