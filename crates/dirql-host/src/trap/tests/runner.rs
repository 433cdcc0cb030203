//! Runs a piece of code with every register as a test wants it.

use std::arch::naked_asm;
use std::ptr;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::twin::Twin;
use crate::trap::vector::VectorState;
use crate::trap::{Attached, attach, forget};

/// Bytes of the code, and of the stack.
const CODE: usize = 0x4000;
const STACK: usize = 0x4_0000;

/// All registers that driver code has.
#[derive(Clone, PartialEq, Eq)]
#[repr(C, align(64))]
pub(super) struct Registers {
    /// By number: rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 to r15.
    pub(super) general: [u64; 16],
    pub(super) flags: u64,
    rip: u64,
    components: u64,
    unused: [u64; 5],
    /// XSAVE, standard form.
    pub(super) vectors: [u8; 4096],
}

impl Registers {
    pub(super) fn new() -> Self {
        let state = VectorState::of_this_processor().unwrap();
        let mut vectors = [0; 4096];
        vectors[..2].copy_from_slice(&0x037F_u16.to_le_bytes());
        vectors[24..28].copy_from_slice(&0x1F80_u32.to_le_bytes());
        vectors[512..520].copy_from_slice(&state.components.to_le_bytes());
        Self {
            general: [0; 16],
            flags: 2,
            rip: 0,
            components: state.components,
            unused: [0; 5],
            vectors,
        }
    }

    /// Everything about the vector registers that does not depend on where code is.
    pub(super) fn vector_content(&self) -> Vec<u8> {
        let mut content = self.vectors.to_vec();
        // Opcode and addresses of the last x87 instruction, MXCSR's mask, Linux's words, and
        // the header, which says what is in its initial state and not what it holds.
        for range in [6..24, 28..32, 464..576] {
            content[range].fill(0);
        }
        content
    }
}

/// Code, a stack and a machine, one at a time in the process.
pub(super) struct Runner {
    pub(super) twin: &'static Twin,
    code: *mut u8,
    stack: Box<[u64]>,
    _attached: Attached,
    _turn: MutexGuard<'static, ()>,
}

static TURN: Mutex<()> = Mutex::new(());

/// The test's stack pointer, the registers' address, where to start, and `rdi`.
static SLOTS: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

impl Runner {
    pub(super) fn new() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let twin = Twin::new();
        let protection = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping touches nothing else.
        let code = unsafe { libc::mmap(ptr::null_mut(), CODE, protection, flags, -1, 0) };
        assert_ne!(code, libc::MAP_FAILED);
        let start = code.expose_provenance() as u64;
        let mut stack = vec![0_u64; STACK / 8].into_boxed_slice();
        let stack_start = stack.as_mut_ptr().expose_provenance() as u64;
        twin.code.set((start, start + CODE as u64));
        twin.stack.set((stack_start, stack_start + STACK as u64));
        twin.exit.set(exit as *const () as u64);
        let memory = [
            start..start + CODE as u64,
            stack_start..stack_start + STACK as u64,
        ];
        twin.memory.borrow_mut().extend(memory);
        Self {
            twin,
            code: code.cast(),
            stack,
            _attached: attach(twin).unwrap(),
            _turn: turn,
        }
    }

    /// Where the code is.
    pub(super) fn code_address(&self) -> u64 {
        self.code.addr() as u64
    }

    /// A stack pointer in the middle of the stack, 16-aligned.
    pub(super) fn stack_pointer(&self) -> u64 {
        (self.stack.as_ptr().addr() as u64 + STACK as u64 / 2) & !15
    }

    /// Puts `code` into place; behind it the run ends.
    pub(super) fn load(&self, code: &[u8]) {
        let mut all = code.to_vec();
        all.extend([0xFF, 0x25, 0, 0, 0, 0]); // jmp [rip]
        all.extend((exit as *const () as u64).to_le_bytes());
        assert!(all.len() <= CODE);
        forget(&(self.code_address()..self.code_address() + CODE as u64));
        // SAFETY: the mapping has that many bytes and nothing refers to it.
        unsafe { ptr::copy_nonoverlapping(all.as_ptr(), self.code, all.len()) };
    }

    /// Runs what was loaded.
    pub(super) fn go(&self, registers: &mut Registers) {
        self.go_from(0, registers);
    }

    pub(super) fn go_from(&self, offset: u64, registers: &mut Registers) {
        registers.rip = self.code_address() + offset;
        // SAFETY: the code ends in `exit`, or faults and is sent there.
        unsafe { enter(registers) };
    }

    /// Runs `code` with `registers`.
    pub(super) fn run(&self, code: &[u8], registers: &mut Registers) {
        self.load(code);
        self.go(registers);
    }

    /// Registers with a usable stack.
    pub(super) fn registers(&self) -> Registers {
        let mut registers = Registers::new();
        registers.general[4] = self.stack_pointer();
        registers
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        forget(&(self.code_address()..self.code_address() + CODE as u64));
        // SAFETY: the mapping is this value's own.
        unsafe { libc::munmap(self.code.cast(), CODE) };
    }
}

#[unsafe(naked)]
unsafe extern "sysv64" fn enter(registers: *mut Registers) {
    naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rip + {slots}], rsp",
        "mov [rip + {slots} + 8], rdi",
        "mov rax, [rdi + 144]",
        "xor edx, edx",
        "xrstor64 [rdi + 192]",
        "mov rax, [rdi + 136]",
        "mov [rip + {slots} + 16], rax",
        "push qword ptr [rdi + 128]",
        "popfq",
        "mov rax, [rdi]",
        "mov rcx, [rdi + 8]",
        "mov rdx, [rdi + 16]",
        "mov rbx, [rdi + 24]",
        "mov rsp, [rdi + 32]",
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
        "jmp [rip + {slots} + 16]",
        slots = sym SLOTS,
    )
}

#[unsafe(naked)]
unsafe extern "sysv64" fn exit() {
    naked_asm!(
        "mov [rip + {slots} + 24], rdi",
        "mov rdi, [rip + {slots} + 8]",
        "mov [rdi], rax",
        "mov [rdi + 8], rcx",
        "mov [rdi + 16], rdx",
        "mov [rdi + 24], rbx",
        "mov [rdi + 32], rsp",
        "mov [rdi + 40], rbp",
        "mov [rdi + 48], rsi",
        "mov rax, [rip + {slots} + 24]",
        "mov [rdi + 56], rax",
        "mov [rdi + 64], r8",
        "mov [rdi + 72], r9",
        "mov [rdi + 80], r10",
        "mov [rdi + 88], r11",
        "mov [rdi + 96], r12",
        "mov [rdi + 104], r13",
        "mov [rdi + 112], r14",
        "mov [rdi + 120], r15",
        "mov rsp, [rip + {slots}]",
        "pushfq",
        "pop rax",
        "mov [rdi + 128], rax",
        "push 2",
        "popfq",
        "mov rax, [rdi + 144]",
        "xor edx, edx",
        "xsave64 [rdi + 192]",
        "push 0x1F80",
        "ldmxcsr [rsp]",
        "pop rax",
        "emms",
        "fninit",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
        slots = sym SLOTS,
    )
}
