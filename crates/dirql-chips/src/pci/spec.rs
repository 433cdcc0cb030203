//! Configuration space: offsets, bits and capability layouts.
//!
//! Sources: PCI Local Bus Specification 3.0, "Configuration Space Organization", "Message
//! Signaled Interrupts"; for what bus mastering means to messages: PCI Express Base
//! Specification, "Command Register", Bus Master Enable.

/// Bytes of a conventional function's configuration space.
pub const CONFIG_SIZE: u16 = 0x100;
/// Bytes of configuration space that ECAM gives each function.
pub const ECAM_SIZE: u16 = 0x1000;

/// Offsets in a type 0 header.
pub mod offset {
    /// Vendor ID, 16 bits.
    pub const VENDOR: u16 = 0x00;
    /// Device ID, 16 bits.
    pub const DEVICE: u16 = 0x02;
    /// Command, 16 bits.
    pub const COMMAND: u16 = 0x04;
    /// Status, 16 bits.
    pub const STATUS: u16 = 0x06;
    /// Revision, 8 bits.
    pub const REVISION: u16 = 0x08;
    /// Class code, 24 bits.
    pub const CLASS: u16 = 0x09;
    /// Cache line size, 8 bits, scratch.
    pub const CACHE_LINE: u16 = 0x0C;
    /// Header type, 8 bits: 0, and bit 7 if the device has several functions.
    pub const HEADER_TYPE: u16 = 0x0E;
    /// First of six base address registers, 32 bits each.
    pub const BAR: u16 = 0x10;
    /// Subsystem vendor ID, 16 bits.
    pub const SUBSYSTEM_VENDOR: u16 = 0x2C;
    /// Subsystem ID, 16 bits.
    pub const SUBSYSTEM: u16 = 0x2E;
    /// Offset of the first capability, 8 bits.
    pub const CAPABILITIES: u16 = 0x34;
    /// Interrupt line, 8 bits, scratch for whoever routes interrupts.
    pub const INTERRUPT_LINE: u16 = 0x3C;
    /// Interrupt pin, 8 bits: 0 none, 1 INTA# to 4 INTD#.
    pub const INTERRUPT_PIN: u16 = 0x3D;
    /// Where capabilities may begin.
    pub const FIRST_CAPABILITY: u16 = 0x40;
}

/// Bits of the command register.
pub mod command {
    /// Answers accesses to its I/O windows.
    pub const IO: u16 = 1 << 0;
    /// Answers accesses to its memory windows.
    pub const MEMORY: u16 = 1 << 1;
    /// May reach memory by itself; messages are such writes.
    pub const BUS_MASTER: u16 = 1 << 2;
    /// Parity error response; kept, without effect.
    pub const PARITY: u16 = 1 << 6;
    /// SERR# enable; kept, without effect.
    pub const SERR: u16 = 1 << 8;
    /// Does not assert its line.
    pub const INTX_DISABLE: u16 = 1 << 10;
    /// The bits that exist.
    pub const WRITABLE: u16 = IO | MEMORY | BUS_MASTER | PARITY | SERR | INTX_DISABLE;
}

/// Bits of the status register. Error bits are never set here, so there is nothing to clear.
pub mod status {
    /// A line interrupt is pending inside, whether or not its line is enabled.
    pub const INTERRUPT: u16 = 1 << 3;
    /// There are capabilities.
    pub const CAPABILITIES: u16 = 1 << 4;
}

/// Bits of a base address register.
pub mod bar {
    /// Bit 0: an I/O window.
    pub const IO: u32 = 1 << 0;
    /// Bits 2:1 are 2: a 64-bit memory window.
    pub const MEMORY_64: u32 = 2 << 1;
    /// Bit 3: a prefetchable memory window.
    pub const PREFETCHABLE: u32 = 1 << 3;
}

/// Capability IDs.
pub mod capability {
    /// Message signalled interrupts.
    pub const MSI: u8 = 0x05;
    /// Extended message signalled interrupts.
    pub const MSIX: u8 = 0x11;
}

/// Bits of the MSI message control register.
pub mod msi {
    /// Messages instead of the line.
    pub const ENABLE: u16 = 1 << 0;
    /// Bits 3:1, log2 of how many messages the function could use.
    pub const CAPABLE_SHIFT: u16 = 1;
    /// Bits 6:4, log2 of how many it was given.
    pub const ENABLED_SHIFT: u16 = 4;
    /// Three bits.
    pub const COUNT_MASK: u16 = 7;
    /// The address has 64 bits.
    pub const ADDRESS_64: u16 = 1 << 7;
    /// There are mask and pending bits.
    pub const PER_VECTOR_MASK: u16 = 1 << 8;
}

/// Bits of MSI-X registers.
pub mod msix {
    /// Message control: bits 10:0, number of table entries less one.
    pub const TABLE_SIZE_MASK: u16 = 0x7FF;
    /// Message control: every entry is masked.
    pub const FUNCTION_MASK: u16 = 1 << 14;
    /// Message control: messages by this table instead of the line.
    pub const ENABLE: u16 = 1 << 15;
    /// Bytes of a table entry.
    pub const ENTRY_SIZE: u64 = 16;
    /// Vector control: this entry is masked.
    pub const ENTRY_MASKED: u32 = 1 << 0;
    /// The most entries that a table may have.
    pub const MAX_ENTRIES: u16 = 2048;
}

/// Ports of configuration mechanism #1 ("Software Generation of Configuration Transactions").
pub mod port {
    /// CONFIG_ADDRESS, 32 bits.
    pub const ADDRESS: u16 = 0xCF8;
    /// CONFIG_DATA, first of four ports.
    pub const DATA: u16 = 0xCFC;
}
