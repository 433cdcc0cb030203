//! Hardware resources: what a device was given and what it asks for.
//!
//! Lists are packed to 4 bytes: the first descriptor of a `CM_RESOURCE_LIST` is at byte 20, the
//! next at 40, and 8-byte members lie unaligned.
//!
//! Structures that end in an array are given without it; the elements follow in memory.
//!
//! Source: WDK reference, wdm.CM_RESOURCE_LIST, wdm.CM_PARTIAL_RESOURCE_DESCRIPTOR,
//! wdm.IO_RESOURCE_DESCRIPTOR, "Using Interrupt Resource Descriptors"; wdm.h.

use core::mem::size_of;

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

use crate::layout::{layouts, named_values};

layouts! {
    /// A resource that was assigned. `Type` and `Flags` tell which arm of `u` holds.
    struct CmPartialResourceDescriptor = "CM_PARTIAL_RESOURCE_DESCRIPTOR", size 20, packed(4) {
        /// One of [`resource_type`].
        0 type_: u8 = "Type",
        /// One of [`share_disposition`].
        1 share_disposition: u8 = "ShareDisposition",
        /// [`interrupt_flags`], [`port_flags`], [`memory_flags`] or [`dma_flags`] by type.
        2 flags: u16 = "Flags",
        /// See [`CmPartialResourceDescriptor::arm`].
        4 u: [u8; 16] = "u",
    }

    /// Arm of a port range ([`resource_type::CmResourceTypePort`]), also of
    /// [`resource_type::CmResourceTypeMemory`].
    struct CmRange = "CM_PARTIAL_RESOURCE_DESCRIPTOR.u.Port", size 12, packed(4) {
        0 start: u64 = "Start",
        8 length: u32 = "Length",
    }

    /// Arm of an interrupt line, and of a translated message
    /// ([`resource_type::CmResourceTypeInterrupt`]).
    ///
    /// Raw: bus level and bus vector. Translated: DIRQL and system vector. Drivers built
    /// without processor groups read `level` and `group` as one 32-bit level.
    struct CmInterrupt = "CM_PARTIAL_RESOURCE_DESCRIPTOR.u.Interrupt", size 16, packed(4) {
        0 level: u16 = "Level",
        2 group: u16 = "Group",
        4 vector: u32 = "Vector",
        8 affinity: u64 = "Affinity",
    }

    /// Arm of a raw message ([`interrupt_flags::CM_RESOURCE_INTERRUPT_MESSAGE`]).
    struct CmMessageRaw = "CM_PARTIAL_RESOURCE_DESCRIPTOR.u.MessageInterrupt.Raw", size 16, packed(4) {
        0 group: u16 = "Group",
        2 message_count: u16 = "MessageCount",
        4 vector: u32 = "Vector",
        8 affinity: u64 = "Affinity",
    }

    /// Arm of a DMA channel ([`resource_type::CmResourceTypeDma`]).
    struct CmDma = "CM_PARTIAL_RESOURCE_DESCRIPTOR.u.Dma", size 12, packed(4) {
        0 channel: u32 = "Channel",
        4 port: u32 = "Port",
        8 reserved1: u32 = "Reserved1",
    }

    /// Arm of [`resource_type::CmResourceTypeDevicePrivate`].
    struct CmDevicePrivate = "CM_PARTIAL_RESOURCE_DESCRIPTOR.u.DevicePrivate", size 12, packed(4) {
        0 data: [u32; 3] = "Data",
    }

    /// Arm of [`resource_type::CmResourceTypeBusNumber`].
    struct CmBusNumber = "CM_PARTIAL_RESOURCE_DESCRIPTOR.u.BusNumber", size 12, packed(4) {
        0 start: u32 = "Start",
        4 length: u32 = "Length",
        8 reserved: u32 = "Reserved",
    }

    /// Arm of [`resource_type::CmResourceTypeDeviceSpecific`]; the data follows the descriptor.
    struct CmDeviceSpecificData = "CM_PARTIAL_RESOURCE_DESCRIPTOR.u.DeviceSpecificData", size 12, packed(4) {
        0 data_size: u32 = "DataSize",
        4 reserved1: u32 = "Reserved1",
        8 reserved2: u32 = "Reserved2",
    }

    /// Head of a list of `count` descriptors.
    struct CmPartialResourceList = "CM_PARTIAL_RESOURCE_LIST", size 8 {
        0 version: u16 = "Version",
        2 revision: u16 = "Revision",
        4 count: u32 = "Count",
    }

    /// Head of one bus's descriptors, up to the first descriptor.
    struct CmFullResourceDescriptor = "CM_FULL_RESOURCE_DESCRIPTOR", size 16 {
        /// One of [`interface_type`].
        0 interface_type: i32 = "InterfaceType",
        4 bus_number: u32 = "BusNumber",
        8 partial_resource_list: CmPartialResourceList = "PartialResourceList",
    }

    /// Head of `count` full descriptors, 1 for plug and play.
    struct CmResourceList = "CM_RESOURCE_LIST", size 4 {
        0 count: u32 = "Count",
    }

    /// A resource that a device asks for. `Type` tells which arm of `u` holds.
    struct IoResourceDescriptor = "IO_RESOURCE_DESCRIPTOR", size 32 {
        /// [`resource_option`].
        0 option: u8 = "Option",
        /// One of [`resource_type`].
        1 type_: u8 = "Type",
        /// One of [`share_disposition`].
        2 share_disposition: u8 = "ShareDisposition",
        3 spare1: u8 = "Spare1",
        4 flags: u16 = "Flags",
        6 spare2: u16 = "Spare2",
        /// See [`IoResourceDescriptor::arm`].
        8 u: [u64; 3] = "u",
    }

    /// Arm of a port or memory range that is asked for.
    struct IoRange = "IO_RESOURCE_DESCRIPTOR.u.Port", size 24 {
        0 length: u32 = "Length",
        4 alignment: u32 = "Alignment",
        8 minimum_address: u64 = "MinimumAddress",
        16 maximum_address: u64 = "MaximumAddress",
    }

    /// Arm of an interrupt that is asked for.
    ///
    /// The policy members count only with
    /// [`interrupt_flags::CM_RESOURCE_INTERRUPT_POLICY_INCLUDED`].
    struct IoInterrupt = "IO_RESOURCE_DESCRIPTOR.u.Interrupt", size 24 {
        0 minimum_vector: u32 = "MinimumVector",
        4 maximum_vector: u32 = "MaximumVector",
        /// One of [`crate::interrupt::irq_device_policy`].
        8 affinity_policy: u16 = "AffinityPolicy",
        10 group: u16 = "Group",
        /// One of [`crate::interrupt::irq_priority`].
        12 priority_policy: u32 = "PriorityPolicy",
        16 targeted_processors: u64 = "TargetedProcessors",
    }

    /// Arm of a DMA channel that is asked for.
    struct IoDma = "IO_RESOURCE_DESCRIPTOR.u.Dma", size 8 {
        0 minimum_channel: u32 = "MinimumChannel",
        4 maximum_channel: u32 = "MaximumChannel",
    }

    /// Arm of a bus number that is asked for.
    struct IoBusNumber = "IO_RESOURCE_DESCRIPTOR.u.BusNumber", size 16 {
        0 length: u32 = "Length",
        4 min_bus_number: u32 = "MinBusNumber",
        8 max_bus_number: u32 = "MaxBusNumber",
        12 reserved: u32 = "Reserved",
    }

    /// Arm of private data.
    struct IoDevicePrivate = "IO_RESOURCE_DESCRIPTOR.u.DevicePrivate", size 12 {
        0 data: [u32; 3] = "Data",
    }

    /// Head of one alternative: `count` descriptors follow.
    struct IoResourceList = "IO_RESOURCE_LIST", size 8 {
        0 version: u16 = "Version",
        2 revision: u16 = "Revision",
        4 count: u32 = "Count",
    }

    /// Head of `alternative_lists` resource lists, best first.
    struct IoResourceRequirementsList = "IO_RESOURCE_REQUIREMENTS_LIST", size 32 {
        /// Bytes of the whole list.
        0 list_size: u32 = "ListSize",
        /// One of [`interface_type`].
        4 interface_type: i32 = "InterfaceType",
        8 bus_number: u32 = "BusNumber",
        12 slot_number: u32 = "SlotNumber",
        16 reserved: [u32; 3] = "Reserved",
        28 alternative_lists: u32 = "AlternativeLists",
    }
}

named_values! {
    /// `CM_RESOURCE_TYPE`: `Type` of a descriptor.
    #[expect(non_upper_case_globals, reason = "spelled as in the headers")]
    mod resource_type: u8 {
        CmResourceTypeNull = 0,
        CmResourceTypePort = 1,
        CmResourceTypeInterrupt = 2,
        CmResourceTypeMemory = 3,
        CmResourceTypeDma = 4,
        CmResourceTypeDeviceSpecific = 5,
        CmResourceTypeBusNumber = 6,
        CmResourceTypeMemoryLarge = 7,
        CmResourceTypeConfigData = 128,
        CmResourceTypeDevicePrivate = 129,
        CmResourceTypePcCardConfig = 130,
        CmResourceTypeMfCardConfig = 131,
    }

    /// `CM_SHARE_DISPOSITION`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod share_disposition: u8 {
        CmResourceShareUndetermined = 0,
        CmResourceShareDeviceExclusive = 1,
        /// Not for WDM drivers.
        CmResourceShareDriverExclusive = 2,
        CmResourceShareShared = 3,
    }

    /// Bits of `Flags` of an interrupt. No bit: level-sensitive line.
    mod interrupt_flags: u16 {
        CM_RESOURCE_INTERRUPT_LATCHED = 0x0001,
        CM_RESOURCE_INTERRUPT_MESSAGE = 0x0002,
        /// Requirements only.
        CM_RESOURCE_INTERRUPT_POLICY_INCLUDED = 0x0004,
        CM_RESOURCE_INTERRUPT_ALLOW_RESERVED_IDT = 0x0008,
        /// Since Windows 8.
        CM_RESOURCE_INTERRUPT_SECONDARY_INTERRUPT = 0x0010,
        /// Since Windows 8.
        CM_RESOURCE_INTERRUPT_WAKE_HINT = 0x0020,
    }

    /// Bits of `Flags` of a port range. No bit: in memory space.
    mod port_flags: u16 {
        CM_RESOURCE_PORT_IO = 0x0001,
        CM_RESOURCE_PORT_10_BIT_DECODE = 0x0004,
        CM_RESOURCE_PORT_12_BIT_DECODE = 0x0008,
        CM_RESOURCE_PORT_16_BIT_DECODE = 0x0010,
        CM_RESOURCE_PORT_POSITIVE_DECODE = 0x0020,
        CM_RESOURCE_PORT_PASSIVE_DECODE = 0x0040,
        CM_RESOURCE_PORT_WINDOW_DECODE = 0x0080,
        CM_RESOURCE_PORT_BAR = 0x0100,
    }

    /// Bits of `Flags` of a memory range. No bit: readable and writable.
    mod memory_flags: u16 {
        CM_RESOURCE_MEMORY_READ_ONLY = 0x0001,
        CM_RESOURCE_MEMORY_WRITE_ONLY = 0x0002,
        CM_RESOURCE_MEMORY_PREFETCHABLE = 0x0004,
        CM_RESOURCE_MEMORY_COMBINEDWRITE = 0x0008,
        CM_RESOURCE_MEMORY_24 = 0x0010,
        CM_RESOURCE_MEMORY_CACHEABLE = 0x0020,
        CM_RESOURCE_MEMORY_WINDOW_DECODE = 0x0040,
        CM_RESOURCE_MEMORY_BAR = 0x0080,
        CM_RESOURCE_MEMORY_COMPAT_FOR_INACCESSIBLE_RANGE = 0x0100,
        CM_RESOURCE_MEMORY_LARGE_40 = 0x0200,
        CM_RESOURCE_MEMORY_LARGE_48 = 0x0400,
        CM_RESOURCE_MEMORY_LARGE_64 = 0x0800,
    }

    /// Bits of `Flags` of a DMA channel. No bit: 8 bits wide.
    mod dma_flags: u16 {
        CM_RESOURCE_DMA_16 = 0x0001,
        CM_RESOURCE_DMA_32 = 0x0002,
        CM_RESOURCE_DMA_8_AND_16 = 0x0004,
        CM_RESOURCE_DMA_BUS_MASTER = 0x0008,
        CM_RESOURCE_DMA_TYPE_A = 0x0010,
        CM_RESOURCE_DMA_TYPE_B = 0x0020,
        CM_RESOURCE_DMA_TYPE_F = 0x0040,
    }

    /// Bits of `Option` of a requirement. No bit: mandatory.
    mod resource_option: u8 {
        IO_RESOURCE_PREFERRED = 0x01,
        IO_RESOURCE_DEFAULT = 0x02,
        /// May stand in for the descriptor before it.
        IO_RESOURCE_ALTERNATIVE = 0x08,
    }

    /// `CONFIGURATION_TYPE`: controllers and peripherals of the hardware description.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod configuration_type: u32 {
        ArcSystem = 0,
        CentralProcessor = 1,
        FloatingPointProcessor = 2,
        PrimaryIcache = 3,
        PrimaryDcache = 4,
        SecondaryIcache = 5,
        SecondaryDcache = 6,
        SecondaryCache = 7,
        EisaAdapter = 8,
        TcAdapter = 9,
        ScsiAdapter = 10,
        DtiAdapter = 11,
        MultiFunctionAdapter = 12,
        DiskController = 13,
        TapeController = 14,
        CdromController = 15,
        WormController = 16,
        SerialController = 17,
        NetworkController = 18,
        DisplayController = 19,
        ParallelController = 20,
        PointerController = 21,
        KeyboardController = 22,
        AudioController = 23,
        OtherController = 24,
        DiskPeripheral = 25,
        FloppyDiskPeripheral = 26,
        TapePeripheral = 27,
        ModemPeripheral = 28,
        MonitorPeripheral = 29,
        PrinterPeripheral = 30,
        PointerPeripheral = 31,
        KeyboardPeripheral = 32,
        TerminalPeripheral = 33,
        OtherPeripheral = 34,
        LinePeripheral = 35,
        NetworkPeripheral = 36,
        SystemMemory = 37,
    }

    /// `IO_QUERY_DEVICE_DATA_FORMAT`: index of the values that `IoQueryDeviceDescription` gives.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod query_device_format: u32 {
        IoQueryDeviceIdentifier = 0,
        IoQueryDeviceConfigurationData = 1,
        IoQueryDeviceComponentInformation = 2,
    }

    /// `INTERFACE_TYPE`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod interface_type: i32 {
        InterfaceTypeUndefined = -1,
        Internal = 0,
        Isa = 1,
        Eisa = 2,
        MicroChannel = 3,
        TurboChannel = 4,
        PCIBus = 5,
        VMEBus = 6,
        NuBus = 7,
        PCMCIABus = 8,
        CBus = 9,
        MPIBus = 10,
        MPSABus = 11,
        ProcessorInternal = 12,
        InternalPowerBus = 13,
        PNPISABus = 14,
        PNPBus = 15,
        Vmcs = 16,
        ACPIBus = 17,
    }
}

/// `CM_RESOURCE_INTERRUPT_LEVEL_LATCHED_BITS`: the bits of `Flags` that tell the mode.
pub const INTERRUPT_LEVEL_LATCHED_BITS: u16 = 0x0001;
/// `CM_RESOURCE_INTERRUPT_MESSAGE_TOKEN`: a message's `MaximumVector` in requirements.
pub const INTERRUPT_MESSAGE_TOKEN: u32 = 0xFFFF_FFFE;
/// `ALL_PROCESSOR_GROUPS`.
pub const ALL_PROCESSOR_GROUPS: u16 = 0xFFFF;

/// An arm of [`CmPartialResourceDescriptor`].
pub trait CmArm: FromBytes + IntoBytes + Immutable {}
/// An arm of [`IoResourceDescriptor`].
pub trait IoArm: FromBytes + IntoBytes + Immutable {}

macro_rules! arms {
    ($of:ident: $($arm:ident)*) => { $( impl $of for $arm {} )* };
}

arms! { CmArm: CmRange CmInterrupt CmMessageRaw CmDma CmDevicePrivate CmBusNumber CmDeviceSpecificData }
arms! { IoArm: IoRange IoInterrupt IoDma IoBusNumber IoDevicePrivate }

impl CmPartialResourceDescriptor {
    /// A descriptor holding `arm`.
    #[must_use]
    pub fn new<T: CmArm>(type_: u8, share_disposition: u8, flags: u16, arm: &T) -> Self {
        const { assert!(size_of::<T>() <= 16) };
        let mut u = [0; 16];
        u[..size_of::<T>()].copy_from_slice(arm.as_bytes());
        Self {
            type_,
            share_disposition,
            flags,
            u,
        }
    }

    /// The union read as `T`, whatever the type says.
    #[must_use]
    pub fn arm<T: CmArm>(&self) -> T {
        const { assert!(size_of::<T>() <= 16) };
        let mut arm = T::new_zeroed();
        let bytes = arm.as_mut_bytes();
        bytes.copy_from_slice(&self.u[..size_of::<T>()]);
        arm
    }
}

impl IoResourceDescriptor {
    /// A descriptor holding `arm`.
    #[must_use]
    pub fn new<T: IoArm>(
        option: u8,
        type_: u8,
        share_disposition: u8,
        flags: u16,
        arm: &T,
    ) -> Self {
        let mut descriptor = Self::new_zeroed();
        descriptor.option = option;
        descriptor.type_ = type_;
        descriptor.share_disposition = share_disposition;
        descriptor.flags = flags;
        descriptor.set_arm(arm);
        descriptor
    }

    /// The union read as `T`, whatever the type says.
    #[must_use]
    pub fn arm<T: IoArm>(&self) -> T {
        const { assert!(size_of::<T>() <= 24) };
        let mut arm = T::new_zeroed();
        let bytes = arm.as_mut_bytes();
        bytes.copy_from_slice(&self.u.as_bytes()[..size_of::<T>()]);
        arm
    }

    /// Overwrites the union's first bytes with `arm`; what lies beyond it is kept.
    pub fn set_arm<T: IoArm>(&mut self, arm: &T) {
        const { assert!(size_of::<T>() <= 24) };
        let bytes = self.u.as_mut_bytes();
        bytes[..size_of::<T>()].copy_from_slice(arm.as_bytes());
    }
}
