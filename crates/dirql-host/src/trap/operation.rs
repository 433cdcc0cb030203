//! What a trapped instruction is, in the form in which it is carried out.

use dirql_chips::Width;

use super::registers::Registers;

/// One instruction, decoded.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operation {
    /// One memory operand; everything else about it is the processor's business.
    Memory(MemoryOperation),
    /// `movs`, `stos`, `lods`, `cmps`, `scas`, `ins`, `outs`.
    String(StringOperation),
    /// `xlatb`.
    Translate(Address),
    /// `push` of memory, and how many bytes.
    Push(Address, Width),
    /// `pop` to memory.
    Pop(Address, Width),
    /// `in` to al, ax or eax.
    In(Port, Width),
    /// `out` from al, ax or eax.
    Out(Port, Width),
    /// `mov` from a control register.
    ReadControl {
        /// Number of the control register.
        control: u8,
        /// Number of the general register.
        register: u8,
    },
    /// `mov` to a control register.
    WriteControl {
        /// Number of the control register.
        control: u8,
        /// Number of the general register.
        register: u8,
    },
    /// `mov` from a debug register.
    ReadDebug {
        /// Number of the debug register.
        debug: u8,
        /// Number of the general register.
        register: u8,
    },
    /// `cli`.
    ClearInterruptFlag,
    /// `sti`.
    SetInterruptFlag,
    /// `pushfq`.
    PushFlags,
    /// `popfq`.
    PopFlags,
    /// `iretq`.
    ReturnFromInterrupt,
    /// `ret`, and how many bytes of arguments it drops.
    Return(u16),
    /// `jmp` to where an operand says.
    Jump(Operand),
    /// `call` of where an operand says.
    Call(Operand),
    /// `hlt`.
    Halt,
    /// `rdmsr`.
    ReadMsr,
    /// `wrmsr`.
    WriteMsr,
    /// `rdtsc`.
    ReadTsc,
    /// `rdtscp`.
    ReadTscAndProcessor,
    /// `rdpmc`.
    ReadPerformanceCounter,
    /// `int n`.
    Interrupt(u8),
    /// Something whose effect cannot be seen here: caches, translations, hints.
    Nothing,
    /// Privileged, and without a meaning here; or a memory access of a kind that is not
    /// carried out.
    Unsupported,
    /// Not privileged: if it faults, that is its fault.
    Ordinary,
}

/// Where a port's number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    /// In the instruction.
    Fixed(u8),
    /// In dx.
    Dx,
}

/// A 64-bit operand.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operand {
    /// A general register.
    Register(u8),
    /// Memory.
    Memory(Address),
}

/// A segment with a base of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// Base 0.
    Flat,
    /// `fs`.
    Fs,
    /// `gs`.
    Gs,
}

impl Segment {
    /// The address at which the segment starts.
    pub(super) fn base(self) -> u64 {
        let question: libc::c_long = match self {
            Self::Flat => return 0,
            Self::Fs => 0x1003, // ARCH_GET_FS
            Self::Gs => 0x1004, // ARCH_GET_GS
        };
        let mut base = 0_u64;
        // SAFETY: the call writes one word where it is told to.
        unsafe { libc::syscall(libc::SYS_arch_prctl, question, &raw mut base) };
        base
    }
}

/// How an operand's address is computed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address {
    pub(super) base: Option<u8>,
    pub(super) index: Option<u8>,
    /// Binary logarithm of what the index is multiplied with.
    pub(super) scale: u8,
    /// The sum is cut to 32 bits.
    pub(super) short: bool,
    pub(super) segment: Segment,
    pub(super) displacement: u64,
}

impl Address {
    pub(super) fn evaluate(&self, registers: &Registers<'_>) -> u64 {
        let base = self.base.map_or(0, |base| registers.get(base));
        let index = self
            .index
            .map_or(0, |index| registers.get(index) << self.scale);
        let mut offset = self.displacement.wrapping_add(base).wrapping_add(index);
        if self.short {
            offset &= 0xFFFF_FFFF;
        }
        match self.segment {
            Segment::Flat => offset,
            segment => segment.base().wrapping_add(offset),
        }
    }
}

/// An instruction that is run again with its memory operand in a buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct MemoryOperation {
    pub(super) address: Address,
    /// Bytes of the operand, 1..=64.
    pub(super) size: u8,
    pub(super) reads: bool,
    pub(super) writes: bool,
    /// Whether it uses x87, MMX, SSE, AVX or AVX-512 registers.
    pub(super) vector: bool,
    /// The register that stands in for `rsp`, which cannot be loaded.
    pub(super) stand_in: Option<u8>,
    /// The bit string instructions' register operand, which also selects the address.
    pub(super) bit_index: Option<u8>,
    /// Its place in [`super::stub::Stubs`].
    pub(super) stub: u32,
}

/// A string instruction.
#[derive(Clone, Copy, Debug)]
pub(super) struct StringOperation {
    pub(super) kind: StringKind,
    pub(super) width: Width,
    pub(super) repeat: Repeat,
    /// Of the source; the destination is always flat.
    pub(super) segment: Segment,
    /// Addresses and the count are 32-bit registers.
    pub(super) short: bool,
}

/// Which string instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StringKind {
    Move,
    Store,
    Load,
    Compare,
    Scan,
    In,
    Out,
}

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    Once,
    /// Count in rcx; comparisons stop when they find a difference.
    WhileEqual,
    /// Count in rcx; comparisons stop when they find no difference.
    WhileUnequal,
}
