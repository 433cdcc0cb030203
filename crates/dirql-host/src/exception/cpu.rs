//! The registers of driver code: saving them, showing them to handlers, going on with them.

use std::arch::naked_asm;
use std::mem::offset_of;

use dirql_abi::exception::{self, JumpBuffer, M128A, context_flags};
use dirql_image::unwind::{Gpr, Registers, Xmm};
use zerocopy::FromZeros;

use crate::trap;

/// Trap flag and nested-task flag, with which nothing goes on.
const NEVER_RESTORED: u64 = 0x4100;

/// Registers of driver code. General registers are in the order of their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Cpu {
    general: [u64; 16],
    /// The next instruction.
    pub(crate) rip: u64,
    flags: u64,
    xmm: [u128; 16],
}

const RAX: usize = 0;
const RSP: usize = 4;

const _: () = {
    // What the assembly code below relies on.
    assert!(offset_of!(Cpu, general) == 0);
    assert!(offset_of!(Cpu, rip) == 128);
    assert!(offset_of!(Cpu, flags) == 136);
    assert!(offset_of!(Cpu, xmm) == 144);
    assert!(size_of::<Cpu>() == 400);
};

impl Cpu {
    /// The stack pointer.
    pub(crate) const fn rsp(&self) -> u64 {
        self.general[RSP]
    }

    /// Sets what a function returns, or an `__except` block finds.
    pub(crate) const fn set_rax(&mut self, value: u64) {
        self.general[RAX] = value;
    }

    /// The registers of trapped code.
    pub(super) fn from_trap(context: &trap::Context) -> Self {
        Self {
            general: context.general,
            rip: context.rip,
            flags: context.flags,
            xmm: std::array::from_fn(|number| context.xmm(number as u8)),
        }
    }

    /// Has trapped code go on with these registers.
    pub(super) fn go_on_from_trap(&self, context: &mut trap::Context) {
        context.general = self.general;
        context.rip = self.rip;
        context.flags = self.flags;
        for (number, value) in (0..16).zip(self.xmm) {
            context.set_xmm(number, value);
        }
    }

    /// What unwinding works on.
    pub(super) fn registers(&self) -> Registers {
        let mut registers = Registers::at(self.rip);
        for number in 0..16 {
            registers.set_gpr(Gpr::new(number), self.general[usize::from(number)]);
            registers.set_xmm(Xmm::new(number), self.xmm[usize::from(number)]);
        }
        registers
    }

    /// Registers that unwinding has come to, and flags as a routine may leave them.
    pub(super) fn from_registers(registers: &Registers) -> Self {
        let mut cpu = Self {
            flags: 0x202,
            ..Self::default()
        };
        cpu.set_registers(registers);
        cpu
    }

    /// What unwinding has come to.
    pub(super) fn set_registers(&mut self, registers: &Registers) {
        self.rip = registers.rip;
        for number in 0..16 {
            self.general[usize::from(number)] = registers.gpr(Gpr::new(number));
            self.xmm[usize::from(number)] = registers.xmm(Xmm::new(number));
        }
    }

    /// A CONTEXT of these registers.
    pub(super) fn to_context(self) -> exception::Context {
        let mut context = exception::Context::new_zeroed();
        context.context_flags = context_flags::CONTEXT_FULL;
        context.mx_csr = 0x1F80;
        context.flt_save.mx_csr = 0x1F80;
        context.flt_save.control_word = 0x27F;
        // The selectors of a 64-bit kernel.
        (context.seg_cs, context.seg_ss) = (0x10, 0x18);
        context.e_flags = self.flags as u32;
        context.rip = self.rip;
        for (place, value) in general(&mut context).into_iter().zip(self.general) {
            *place = value;
        }
        for (place, value) in context.flt_save.xmm_registers.iter_mut().zip(self.xmm) {
            *place = M128A {
                low: value as u64,
                high: (value >> 64) as i64,
            };
        }
        context
    }

    /// The registers in a CONTEXT, as a handler left it.
    pub(super) fn from_context(context: &exception::Context) -> Self {
        let mut copy = *context;
        let general = general(&mut copy).map(|place| *place);
        Self {
            general,
            rip: context.rip,
            flags: u64::from(context.e_flags),
            xmm: context
                .flt_save
                .xmm_registers
                .map(|value| u128::from(value.low) | u128::from(value.high as u64) << 64),
        }
    }

    /// These registers with those of a jump buffer, which are those that a function preserves.
    pub(super) fn jumped(&self, jump: &JumpBuffer) -> Self {
        let mut cpu = *self;
        for (number, value) in [
            (3, jump.rbx),
            (RSP, jump.rsp),
            (5, jump.rbp),
            (6, jump.rsi),
            (7, jump.rdi),
            (12, jump.r12),
            (13, jump.r13),
            (14, jump.r14),
            (15, jump.r15),
        ] {
            cpu.general[number] = value;
        }
        let floats = [
            jump.xmm6, jump.xmm7, jump.xmm8, jump.xmm9, jump.xmm10, jump.xmm11, jump.xmm12,
            jump.xmm13, jump.xmm14, jump.xmm15,
        ];
        for (place, value) in cpu.xmm[6..].iter_mut().zip(floats) {
            *place = u128::from(value.low) | u128::from(value.high as u64) << 64;
        }
        cpu.rip = jump.rip;
        cpu
    }

    /// Goes on with these registers. The frames between here and there are abandoned.
    ///
    /// # Safety
    /// This runs on a strand, whose stack below the stack pointer in these registers is what
    /// is abandoned, with 24 bytes to spare; nothing that needs to be dropped is in it. The
    /// registers are a driver's.
    pub(super) unsafe fn go_on(mut self) -> ! {
        self.flags &= !NEVER_RESTORED;
        // SAFETY: the caller's promise; `self` is below the frames that are kept.
        unsafe { restore(&raw const self) }
    }
}

/// The general registers of a CONTEXT in the order of their numbers.
fn general(context: &mut exception::Context) -> [&mut u64; 16] {
    [
        &mut context.rax,
        &mut context.rcx,
        &mut context.rdx,
        &mut context.rbx,
        &mut context.rsp,
        &mut context.rbp,
        &mut context.rsi,
        &mut context.rdi,
        &mut context.r8,
        &mut context.r9,
        &mut context.r10,
        &mut context.r11,
        &mut context.r12,
        &mut context.r13,
        &mut context.r14,
        &mut context.r15,
    ]
}

/// Where a shim returns whose caller is to have an exception: saves the registers, which
/// are the caller's again, and goes on with what [`arrive`](super::arrive) makes of them.
///
/// The stack pointer is a multiple of 16, as it was before the call. There are 48 bytes
/// between the saved registers and the caller's stack, for what [`restore`] puts there.
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn capture() {
    naked_asm!(
        "sub rsp, 448",
        "mov [rsp], rax",
        "mov [rsp + 8], rcx",
        "mov [rsp + 16], rdx",
        "mov [rsp + 24], rbx",
        "mov [rsp + 40], rbp",
        "mov [rsp + 48], rsi",
        "mov [rsp + 56], rdi",
        "mov [rsp + 64], r8",
        "mov [rsp + 72], r9",
        "mov [rsp + 80], r10",
        "mov [rsp + 88], r11",
        "mov [rsp + 96], r12",
        "mov [rsp + 104], r13",
        "mov [rsp + 112], r14",
        "mov [rsp + 120], r15",
        "lea rax, [rsp + 448]",
        "mov [rsp + 32], rax",
        "pushfq",
        "pop qword ptr [rsp + 136]",
        "movups [rsp + 144], xmm0",
        "movups [rsp + 160], xmm1",
        "movups [rsp + 176], xmm2",
        "movups [rsp + 192], xmm3",
        "movups [rsp + 208], xmm4",
        "movups [rsp + 224], xmm5",
        "movups [rsp + 240], xmm6",
        "movups [rsp + 256], xmm7",
        "movups [rsp + 272], xmm8",
        "movups [rsp + 288], xmm9",
        "movups [rsp + 304], xmm10",
        "movups [rsp + 320], xmm11",
        "movups [rsp + 336], xmm12",
        "movups [rsp + 352], xmm13",
        "movups [rsp + 368], xmm14",
        "movups [rsp + 384], xmm15",
        "cld",
        "mov rdi, rsp",
        "call {arrive}",
        "mov rdi, rsp",
        "jmp {restore}",
        arrive = sym super::arrive,
        restore = sym restore,
    )
}

/// Goes on with the registers at `rdi`, through 24 bytes below their stack pointer.
///
/// # Safety
/// As [`Cpu::go_on`].
#[unsafe(naked)]
unsafe extern "sysv64" fn restore(cpu: *const Cpu) -> ! {
    naked_asm!(
        "movups xmm0, [rdi + 144]",
        "movups xmm1, [rdi + 160]",
        "movups xmm2, [rdi + 176]",
        "movups xmm3, [rdi + 192]",
        "movups xmm4, [rdi + 208]",
        "movups xmm5, [rdi + 224]",
        "movups xmm6, [rdi + 240]",
        "movups xmm7, [rdi + 256]",
        "movups xmm8, [rdi + 272]",
        "movups xmm9, [rdi + 288]",
        "movups xmm10, [rdi + 304]",
        "movups xmm11, [rdi + 320]",
        "movups xmm12, [rdi + 336]",
        "movups xmm13, [rdi + 352]",
        "movups xmm14, [rdi + 368]",
        "movups xmm15, [rdi + 384]",
        "mov rcx, [rdi + 32]",
        "mov rax, [rdi + 128]",
        "mov rdx, [rdi + 8]",
        "mov rbx, [rdi + 136]",
        "mov [rcx - 8], rax",
        "mov [rcx - 16], rdx",
        "mov [rcx - 24], rbx",
        "lea rsp, [rcx - 24]",
        "mov rax, [rdi]",
        "mov rdx, [rdi + 16]",
        "mov rbx, [rdi + 24]",
        "mov rbp, [rdi + 40]",
        "mov rsi, [rdi + 48]",
        "mov r8, [rdi + 64]",
        "mov r9, [rdi + 72]",
        "mov r10, [rdi + 80]",
        "mov r11, [rdi + 88]",
        "mov r12, [rdi + 96]",
        "mov r13, [rdi + 104]",
        "mov r14, [rdi + 112]",
        "mov r15, [rdi + 120]",
        "mov rdi, [rdi + 56]",
        "popfq",
        "pop rcx",
        "ret",
    )
}

/// `VOID RtlCaptureContext(PCONTEXT ContextRecord)`: the caller's registers as they are at
/// the call. `rax`, in which a routine returns nothing here, is not kept.
///
/// Source: WDK reference, RtlCaptureContext.
#[unsafe(naked)]
pub(crate) extern "win64" fn capture_context() {
    naked_asm!(
        "mov dword ptr [rcx + {flags}], {full}",
        "stmxcsr [rcx + {mxcsr}]",
        "mov [rcx + {general}], rax",
        "mov [rcx + {general} + 8], rcx",
        "mov [rcx + {general} + 16], rdx",
        "mov [rcx + {general} + 24], rbx",
        "lea rax, [rsp + 8]",
        "mov [rcx + {general} + 32], rax",
        "mov [rcx + {general} + 40], rbp",
        "mov [rcx + {general} + 48], rsi",
        "mov [rcx + {general} + 56], rdi",
        "mov [rcx + {general} + 64], r8",
        "mov [rcx + {general} + 72], r9",
        "mov [rcx + {general} + 80], r10",
        "mov [rcx + {general} + 88], r11",
        "mov [rcx + {general} + 96], r12",
        "mov [rcx + {general} + 104], r13",
        "mov [rcx + {general} + 112], r14",
        "mov [rcx + {general} + 120], r15",
        "mov rax, [rsp]",
        "mov [rcx + {rip}], rax",
        "pushfq",
        "pop rax",
        "mov [rcx + {eflags}], eax",
        "mov word ptr [rcx + {cs}], 0x10",
        "mov word ptr [rcx + {ss}], 0x18",
        "movups [rcx + {xmm}], xmm0",
        "movups [rcx + {xmm} + 16], xmm1",
        "movups [rcx + {xmm} + 32], xmm2",
        "movups [rcx + {xmm} + 48], xmm3",
        "movups [rcx + {xmm} + 64], xmm4",
        "movups [rcx + {xmm} + 80], xmm5",
        "movups [rcx + {xmm} + 96], xmm6",
        "movups [rcx + {xmm} + 112], xmm7",
        "movups [rcx + {xmm} + 128], xmm8",
        "movups [rcx + {xmm} + 144], xmm9",
        "movups [rcx + {xmm} + 160], xmm10",
        "movups [rcx + {xmm} + 176], xmm11",
        "movups [rcx + {xmm} + 192], xmm12",
        "movups [rcx + {xmm} + 208], xmm13",
        "movups [rcx + {xmm} + 224], xmm14",
        "movups [rcx + {xmm} + 240], xmm15",
        "ret",
        flags = const offset_of!(exception::Context, context_flags),
        full = const context_flags::CONTEXT_FULL,
        mxcsr = const offset_of!(exception::Context, mx_csr),
        general = const offset_of!(exception::Context, rax),
        rip = const offset_of!(exception::Context, rip),
        eflags = const offset_of!(exception::Context, e_flags),
        cs = const offset_of!(exception::Context, seg_cs),
        ss = const offset_of!(exception::Context, seg_ss),
        xmm = const offset_of!(exception::Context, flt_save.xmm_registers),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_holds_every_register() {
        let mut cpu = Cpu {
            rip: 99,
            flags: 0x246,
            ..Cpu::default()
        };
        for number in 0..16 {
            cpu.general[number] = 1 << number | 1 << 40;
            cpu.xmm[number] = u128::MAX / (number as u128 + 1);
        }
        let context = cpu.to_context();
        assert_eq!(
            (context.rax, context.rcx, context.rsp, context.r15),
            (1 | 1 << 40, 2 | 1 << 40, 16 | 1 << 40, 0x8000 | 1 << 40)
        );
        assert_eq!(Cpu::from_context(&context), cpu);
        let mut other = Cpu {
            flags: cpu.flags,
            ..Cpu::default()
        };
        other.set_registers(&cpu.registers());
        assert_eq!(other, cpu);
    }
}
