//! The interrupted code's registers, in the place where Linux keeps them for a handler.

use std::arch::asm;

use dirql_chips::Width;

/// Numbers of general registers, as in instruction encodings.
pub(super) const RAX: u8 = 0;
pub(super) const RCX: u8 = 1;
pub(super) const RDX: u8 = 2;
pub(super) const RBX: u8 = 3;
pub(super) const RSP: u8 = 4;
pub(super) const RSI: u8 = 6;
pub(super) const RDI: u8 = 7;

/// The arithmetic flags: CF, PF, AF, ZF, SF, OF.
pub(super) const ARITHMETIC_FLAGS: u64 = 0x8D5;
/// RFLAGS.DF: string instructions go downwards.
pub(super) const DIRECTION_FLAG: u64 = 1 << 10;
/// RFLAGS.AC: accesses that are not aligned fault, at privilege level 3.
const ALIGNMENT_CHECK: u64 = 1 << 18;
/// RFLAGS.IF.
pub(super) const INTERRUPT_FLAG: u64 = 1 << 9;

/// Where Linux puts each general register, by its number.
const PLACES: [usize; 16] = {
    let mut places = [0; 16];
    let linux = [
        libc::REG_RAX,
        libc::REG_RCX,
        libc::REG_RDX,
        libc::REG_RBX,
        libc::REG_RSP,
        libc::REG_RBP,
        libc::REG_RSI,
        libc::REG_RDI,
        libc::REG_R8,
        libc::REG_R9,
        libc::REG_R10,
        libc::REG_R11,
        libc::REG_R12,
        libc::REG_R13,
        libc::REG_R14,
        libc::REG_R15,
    ];
    let mut register = 0;
    while register < 16 {
        places[register] = linux[register] as usize;
        register += 1;
    }
    places
};

/// Clears RFLAGS.AC of the code that runs, a handler, for which Linux leaves it as it was.
///
/// # Safety
/// Other flags than AC are as they were; nothing on the stack below the red zone is in use.
#[inline(always)]
pub(super) unsafe fn clear_alignment_check() {
    // SAFETY: it pushes one word and pops it; compilers expect the flag to be clear.
    unsafe { asm!("pushfq", "and dword ptr [rsp], 0xFFFBFFFF", "popfq") };
}

/// A view of the interrupted context. What is written here is what the code goes on with.
pub(super) struct Registers<'a> {
    context: &'a mut libc::mcontext_t,
}

impl<'a> Registers<'a> {
    pub(super) fn new(context: &'a mut libc::mcontext_t) -> Self {
        Self { context }
    }

    /// General register 0..=15; other numbers name register `number % 16`.
    pub(super) fn get(&self, number: u8) -> u64 {
        self.context.gregs[PLACES[usize::from(number & 15)]] as u64
    }

    pub(super) fn set(&mut self, number: u8, value: u64) {
        self.context.gregs[PLACES[usize::from(number & 15)]] = value as i64;
    }

    /// Writes the low part of a register as an instruction with that operand size does:
    /// 32 bits clear the upper half, 8 and 16 leave the rest.
    pub(super) fn set_part(&mut self, number: u8, width: Width, value: u64) {
        let keep = match width {
            Width::U8 | Width::U16 => self.get(number) & !width.ones(),
            Width::U32 | Width::U64 => 0,
        };
        self.set(number, keep | value & width.ones());
    }

    pub(super) fn rip(&self) -> u64 {
        self.context.gregs[libc::REG_RIP as usize] as u64
    }

    pub(super) fn set_rip(&mut self, value: u64) {
        self.context.gregs[libc::REG_RIP as usize] = value as i64;
    }

    pub(super) fn flags(&self) -> u64 {
        self.context.gregs[libc::REG_EFL as usize] as u64
    }

    pub(super) fn set_flags(&mut self, value: u64) {
        self.context.gregs[libc::REG_EFL as usize] = value as i64;
    }

    /// Clears EFLAGS.AC; whether it was set. It means nothing in kernel mode: alignment is checked
    /// at privilege level 3 only (Intel SDM volume 3, Interrupt 17, Alignment Check Exception),
    /// which is where driver code runs here.
    pub(super) fn forgo_alignment_check(&mut self) -> bool {
        let flags = self.flags();
        self.set_flags(flags & !ALIGNMENT_CHECK);
        flags & ALIGNMENT_CHECK != 0
    }

    /// The selectors of code and stack.
    pub(super) fn selectors(&self) -> (u64, u64) {
        let packed = self.context.gregs[libc::REG_CSGSFS as usize] as u64;
        (packed & 0xFFFF, packed >> 48)
    }

    /// Which exception it was: 0 divide ... 14 page fault.
    pub(super) fn exception(&self) -> u64 {
        self.context.gregs[libc::REG_TRAPNO as usize] as u64
    }

    /// The error code that the processor pushed.
    pub(super) fn error(&self) -> u64 {
        self.context.gregs[libc::REG_ERR as usize] as u64
    }

    /// All registers, to be put back when an instruction fails half way.
    pub(super) fn general(&self) -> [i64; 23] {
        self.context.gregs
    }

    pub(super) fn set_general(&mut self, general: [i64; 23]) {
        self.context.gregs = general;
    }

    /// Linux's own order, for the code that loads all registers at once.
    pub(super) fn linux_order(&mut self) -> *mut i64 {
        self.context.gregs.as_mut_ptr()
    }

    /// The saved vector and floating-point state, in the layout of XSAVE.
    pub(super) fn vector_state(&mut self) -> *mut u8 {
        self.context.fpregs.cast()
    }
}
