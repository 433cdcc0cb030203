//! PCI configuration space as drivers see it.
//!
//! Source: WDK reference, wdm.PCI_COMMON_CONFIG; wdm.h; PCI Local Bus Specification 3.0,
//! chapter 6.

use crate::layout::{layouts, named_values};

/// `PCI_INVALID_VENDORID`: read where no function answers.
pub const INVALID_VENDOR_ID: u16 = 0xFFFF;

layouts! {
    /// A function's configuration space, header type 0, its first 256 bytes.
    struct PciCommonConfig = "PCI_COMMON_CONFIG", size 256 {
        0 vendor_id: u16 = "VendorID",
        2 device_id: u16 = "DeviceID",
        /// [`command`].
        4 command: u16 = "Command",
        /// [`status`].
        6 status: u16 = "Status",
        8 revision_id: u8 = "RevisionID",
        9 prog_if: u8 = "ProgIf",
        10 sub_class: u8 = "SubClass",
        11 base_class: u8 = "BaseClass",
        12 cache_line_size: u8 = "CacheLineSize",
        13 latency_timer: u8 = "LatencyTimer",
        /// Bit 7: more than one function.
        14 header_type: u8 = "HeaderType",
        15 bist: u8 = "BIST",
        16 base_addresses: [u32; 6] = "u.type0.BaseAddresses",
        40 cis: u32 = "u.type0.CIS",
        44 sub_vendor_id: u16 = "u.type0.SubVendorID",
        46 sub_system_id: u16 = "u.type0.SubSystemID",
        48 rom_base_address: u32 = "u.type0.ROMBaseAddress",
        /// Offset of the first capability, if [`status::PCI_STATUS_CAPABILITIES_LIST`] is set.
        52 capabilities_ptr: u8 = "u.type0.CapabilitiesPtr",
        53 reserved1: [u8; 3] = "u.type0.Reserved1",
        56 reserved2: u32 = "u.type0.Reserved2",
        60 interrupt_line: u8 = "u.type0.InterruptLine",
        /// 0 none, 1 INTA to 4 INTD.
        61 interrupt_pin: u8 = "u.type0.InterruptPin",
        62 minimum_grant: u8 = "u.type0.MinimumGrant",
        63 maximum_latency: u8 = "u.type0.MaximumLatency",
        64 device_specific: [u8; 192] = "DeviceSpecific",
    }

    /// First part of every capability.
    struct PciCapabilitiesHeader = "PCI_CAPABILITIES_HEADER", size 2 {
        /// One of [`capability_id`].
        0 capability_id: u8 = "CapabilityID",
        /// Offset of the next capability, or 0.
        1 next: u8 = "Next",
    }

    /// The MSI-X capability.
    struct PciMsixCapability = "PCI_MSIX_CAPABILITY", size 12 {
        0 header: PciCapabilitiesHeader = "Header",
        /// Bits 10 to 0 table size less 1, 14 function mask, 15 enable.
        2 message_control: u16 = "MessageControl",
        /// Bits 2 to 0 base address register, the rest the offset.
        4 message_table: u32 = "MessageTable",
        /// The same of the pending bit array.
        8 pba_table: u32 = "PBATable",
    }

    /// Number of a device and function on a bus.
    struct PciSlotNumber = "PCI_SLOT_NUMBER", size 4 {
        /// Bits 4 to 0 device, 7 to 5 function.
        0 as_ulong: u32 = "u.AsULONG",
    }
}

impl PciSlotNumber {
    /// The slot number of a device (0 to 31) and function (0 to 7), each cut to its width.
    #[must_use]
    pub const fn new(device: u8, function: u8) -> Self {
        Self {
            as_ulong: (device & 0x1F) as u32 | ((function & 7) as u32) << 5,
        }
    }

    /// Device number.
    #[must_use]
    pub const fn device(self) -> u8 {
        self.as_ulong as u8 & 0x1F
    }

    /// Function number.
    #[must_use]
    pub const fn function(self) -> u8 {
        self.as_ulong as u8 >> 5
    }
}

named_values! {
    /// Bits of the command register.
    mod command: u16 {
        PCI_ENABLE_IO_SPACE = 0x0001,
        PCI_ENABLE_MEMORY_SPACE = 0x0002,
        PCI_ENABLE_BUS_MASTER = 0x0004,
        PCI_ENABLE_SPECIAL_CYCLES = 0x0008,
        PCI_ENABLE_WRITE_AND_INVALIDATE = 0x0010,
        PCI_ENABLE_VGA_COMPATIBLE_PALETTE = 0x0020,
        PCI_ENABLE_PARITY = 0x0040,
        PCI_ENABLE_WAIT_CYCLE = 0x0080,
        PCI_ENABLE_SERR = 0x0100,
        PCI_ENABLE_FAST_BACK_TO_BACK = 0x0200,
        /// The function may not assert its interrupt pin.
        PCI_DISABLE_LEVEL_INTERRUPT = 0x0400,
    }

    /// Bits of the status register.
    mod status: u16 {
        /// The function's interrupt is pending, asserted or not.
        PCI_STATUS_INTERRUPT_PENDING = 0x0008,
        PCI_STATUS_CAPABILITIES_LIST = 0x0010,
        PCI_STATUS_66MHZ_CAPABLE = 0x0020,
        PCI_STATUS_UDF_SUPPORTED = 0x0040,
        PCI_STATUS_FAST_BACK_TO_BACK = 0x0080,
        PCI_STATUS_DATA_PARITY_DETECTED = 0x0100,
        /// Two bits.
        PCI_STATUS_DEVSEL = 0x0600,
        PCI_STATUS_SIGNALED_TARGET_ABORT = 0x0800,
        PCI_STATUS_RECEIVED_TARGET_ABORT = 0x1000,
        PCI_STATUS_RECEIVED_MASTER_ABORT = 0x2000,
        PCI_STATUS_SIGNALED_SYSTEM_ERROR = 0x4000,
        PCI_STATUS_DETECTED_PARITY_ERROR = 0x8000,
    }

    /// Capability identifiers.
    mod capability_id: u8 {
        PCI_CAPABILITY_ID_POWER_MANAGEMENT = 0x01,
        PCI_CAPABILITY_ID_AGP = 0x02,
        PCI_CAPABILITY_ID_VPD = 0x03,
        PCI_CAPABILITY_ID_SLOT_ID = 0x04,
        PCI_CAPABILITY_ID_MSI = 0x05,
        PCI_CAPABILITY_ID_CPCI_HOTSWAP = 0x06,
        PCI_CAPABILITY_ID_PCIX = 0x07,
        PCI_CAPABILITY_ID_VENDOR_SPECIFIC = 0x09,
        PCI_CAPABILITY_ID_PCI_EXPRESS = 0x10,
        PCI_CAPABILITY_ID_MSIX = 0x11,
    }

    /// `WhichSpace` of the configuration requests.
    mod which_space: u32 {
        PCI_WHICHSPACE_CONFIG = 0,
        /// `'PciR'`.
        PCI_WHICHSPACE_ROM = 0x5269_6350,
    }

    /// `BUS_DATA_TYPE` of `HalGetBusData` and its kin, as far as PC computers have them.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod bus_data_type: i32 {
        Cmos = 0,
        EisaConfiguration = 1,
        Pos = 2,
        CbusConfiguration = 3,
        PCIConfiguration = 4,
    }
}
