//! Registers and bits of the local APIC.
//!
//! Source: Intel SDM volume 3, chapter "Advanced Programmable Interrupt Controller (APIC)",
//! "Local APIC Register Address Map" and the figures of each register's section.

use bitfield_struct::bitfield;

use crate::message::{DeliveryMode, DestinationMode};
use crate::wire::Trigger;

/// Where the registers are after reset.
pub const BASE: u64 = 0xFEE0_0000;
/// How many bytes of addresses they take.
pub const SIZE: u64 = 0x1000;

/// Version register: an integrated APIC, version 0x14, six LVT entries, broadcasts of ends can be
/// suppressed (bit 24).
pub const VERSION: u32 = 0x0105_0014;

/// Register offsets from [`BASE`]; each register is 32 bits at a multiple of 16 bytes.
pub mod register {
    /// Local APIC ID, bits 31:24.
    pub const ID: u64 = 0x020;
    /// Version.
    pub const VERSION: u64 = 0x030;
    /// Task priority (TPR); its bits 7:4 are CR8.
    pub const TPR: u64 = 0x080;
    /// Arbitration priority (APR), read only.
    pub const APR: u64 = 0x090;
    /// Processor priority (PPR), read only.
    pub const PPR: u64 = 0x0A0;
    /// End of interrupt, write only.
    pub const EOI: u64 = 0x0B0;
    /// Logical destination (LDR), bits 31:24.
    pub const LDR: u64 = 0x0D0;
    /// Destination format (DFR), bits 31:28.
    pub const DFR: u64 = 0x0E0;
    /// Spurious interrupt vector (SVR).
    pub const SVR: u64 = 0x0F0;
    /// In-service (ISR), first of eight.
    pub const ISR: u64 = 0x100;
    /// Trigger mode (TMR), first of eight.
    pub const TMR: u64 = 0x180;
    /// Interrupt request (IRR), first of eight.
    pub const IRR: u64 = 0x200;
    /// Error status (ESR).
    pub const ESR: u64 = 0x280;
    /// Interrupt command (ICR), bits 31:0; writing it sends.
    pub const ICR_LOW: u64 = 0x300;
    /// Interrupt command (ICR), bits 63:32.
    pub const ICR_HIGH: u64 = 0x310;
    /// First LVT entry, the timer's.
    pub const LVT_TIMER: u64 = 0x320;
    /// Last LVT entry, the error entry.
    pub const LVT_ERROR: u64 = 0x370;
    /// Initial count of the timer.
    pub const INITIAL_COUNT: u64 = 0x380;
    /// Current count of the timer, read only.
    pub const CURRENT_COUNT: u64 = 0x390;
    /// Divide configuration of the timer.
    pub const DIVIDE: u64 = 0x3E0;
}

/// Model-specific registers ("x2APIC Register Address Space").
pub mod msr {
    /// IA32_APIC_BASE.
    pub const BASE: u32 = 0x1B;
    /// The first of the registers in x2APIC mode: this plus a sixteenth of the offset in memory.
    pub const FIRST: u32 = 0x800;
    /// The last of them.
    pub const LAST: u32 = 0x8FF;
    /// Interrupt command, 64 bits.
    pub const ICR: u32 = 0x830;
    /// Sends a vector to this processor, write only.
    pub const SELF_IPI: u32 = 0x83F;
}

/// Bits of IA32_APIC_BASE.
pub mod base {
    /// This is the processor that started the machine; read only here.
    pub const BOOT_PROCESSOR: u64 = 1 << 8;
    /// x2APIC mode.
    pub const X2APIC: u64 = 1 << 10;
    /// The local APIC is there.
    pub const ENABLED: u64 = 1 << 11;
}

/// Bits of the error status register ("Error Handling").
pub mod error {
    /// A message to be sent had a vector below 16.
    pub const SEND_ILLEGAL_VECTOR: u8 = 1 << 5;
    /// A message that was received, or an LVT entry that fired, had a vector below 16.
    pub const RECEIVE_ILLEGAL_VECTOR: u8 = 1 << 6;
    /// An access to a register that does not exist.
    pub const ILLEGAL_REGISTER: u8 = 1 << 7;
}

/// The spurious interrupt vector register ("Spurious Interrupt").
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct SpuriousVector {
    /// Delivered when an interrupt went away between request and acknowledgement.
    pub vector: u8,
    /// The APIC software enable flag.
    pub enabled: bool,
    /// Set: lowest-priority arbitration does not look for a focus processor.
    pub focus_disabled: bool,
    #[bits(2)]
    __: u8,
    /// Ends of level-triggered interrupts are not told to the IO-APICs; software tells the one
    /// that it means by that one's EOI register ("End-Of-Interrupt (EOI)").
    pub broadcasts_suppressed: bool,
    #[bits(19)]
    __: u32,
}

/// The interrupt command register ("Interrupt Command Register (ICR)").
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Command {
    /// The vector to send.
    pub vector: u8,
    /// What is to happen at the destination.
    #[bits(3)]
    pub delivery: DeliveryMode,
    /// How the destination field is read.
    #[bits(1)]
    pub destination_mode: DestinationMode,
    /// Send pending; always 0 here, since sending takes no time.
    pub send_pending: bool,
    __: bool,
    /// 0 only for the INIT level de-assert.
    pub assert: bool,
    /// Used for the INIT level de-assert only.
    #[bits(1)]
    pub trigger: Trigger,
    #[bits(2)]
    __: u8,
    /// In place of a destination.
    #[bits(2)]
    pub shorthand: Shorthand,
    #[bits(36)]
    __: u64,
    /// Destination field.
    pub destination: u8,
}

/// The destination shorthand of the ICR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Shorthand {
    /// The destination field counts.
    #[default]
    None = 0,
    /// The sender alone.
    Itself = 1,
    /// Every local APIC.
    All = 2,
    /// Every local APIC but the sender.
    Others = 3,
}

impl Shorthand {
    const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::None,
            1 => Self::Itself,
            2 => Self::All,
            _ => Self::Others,
        }
    }

    const fn into_bits(self) -> u8 {
        self as u8
    }
}

/// An entry of the local vector table ("Local Vector Table").
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct LvtEntry {
    /// The vector to deliver.
    pub vector: u8,
    /// What is to happen; not present in the timer and error entries.
    #[bits(3)]
    pub delivery: DeliveryMode,
    __: bool,
    /// Read only; always 0 here.
    pub send_pending: bool,
    /// LINT0 and LINT1 only: 0 is active high.
    pub active_low: bool,
    /// LINT0 and LINT1 only, read only: a level interrupt awaits its EOI.
    pub remote_irr: bool,
    /// LINT0 and LINT1 only.
    #[bits(1)]
    pub trigger: Trigger,
    /// Masked.
    pub masked: bool,
    /// Timer only: starts again by itself.
    pub periodic: bool,
    #[bits(14)]
    __: u16,
}

/// The six LVT entries, in the order of their registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Lvt {
    /// The timer reached zero.
    Timer = 0,
    /// The thermal sensor.
    Thermal = 1,
    /// Performance counter overflow.
    Performance = 2,
    /// Pin LINT0, where an 8259 pair is attached on a PC.
    Lint0 = 3,
    /// Pin LINT1, where NMI is attached on a PC.
    Lint1 = 4,
    /// An error was recorded.
    Error = 5,
}

/// Which bits of each LVT entry can be written.
pub(super) const LVT_WRITABLE: [u32; 6] = [
    // Timer mode has a second bit, for TSC deadlines, which this version lacks.
    0x0003_00FF,
    0x0001_07FF,
    0x0001_07FF,
    0x0001_A7FF,
    0x0001_A7FF,
    0x0001_00FF,
];

/// Which bits of the ICR's lower half can be written.
pub(super) const COMMAND_WRITABLE: u32 = 0x000C_CFFF;
/// Which bits of the SVR can be written.
pub(super) const SPURIOUS_WRITABLE: u32 = 0x0000_13FF;

/// How many bus clocks one count of the timer takes ("Divide Configuration Register").
pub(super) const fn divisor(divide: u32) -> u64 {
    match divide & 3 | divide >> 1 & 4 {
        7 => 1,
        encoded => 2 << encoded,
    }
}
