//! Connecting, disconnecting and describing interrupts.
//!
//! Source: WDK reference, wdm.IO_CONNECT_INTERRUPT_PARAMETERS,
//! wdm.IO_DISCONNECT_INTERRUPT_PARAMETERS, wdm.IO_REPORT_INTERRUPT_ACTIVE_STATE_PARAMETERS,
//! wdm.IO_INTERRUPT_MESSAGE_INFO; wdm.h.

use core::mem::size_of;

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

use crate::irql::Irql;
use crate::layout::{layouts, named_values};
use crate::list::ListEntry;

layouts! {
    /// An interrupt object, in the layout of Windows Server 2003 for x64.
    ///
    /// Opaque by the reference; older drivers read it all the same, and `KeSynchronizeExecution`
    /// needs nothing of it but `ActualLock` and `SynchronizeIrql`.
    struct KInterrupt = "KINTERRUPT", size 128 {
        /// [`crate::dispatcher::kernel_object_type::InterruptObject`].
        0 type_: i16 = "Type",
        2 size: i16 = "Size",
        4 padding4: u32,
        /// Links the interrupt objects of one vector.
        8 interrupt_list_entry: ListEntry = "InterruptListEntry",
        24 service_routine: u64 = "ServiceRoutine",
        32 service_context: u64 = "ServiceContext",
        /// Its own lock, used when the driver gave none.
        40 spin_lock: u64 = "SpinLock",
        48 tick_count: u32 = "TickCount",
        52 padding52: u32,
        /// Address of the lock that is taken around the service routine.
        56 actual_lock: u64 = "ActualLock",
        64 dispatch_address: u64 = "DispatchAddress",
        72 vector: u32 = "Vector",
        76 irql: Irql = "Irql",
        77 synchronize_irql: Irql = "SynchronizeIrql",
        78 floating_save: u8 = "FloatingSave",
        79 connected: u8 = "Connected",
        /// Processor number.
        80 number: i8 = "Number",
        81 share_vector: u8 = "ShareVector",
        82 padding82: u16,
        /// One of [`interrupt_mode`].
        84 mode: u32 = "Mode",
        88 service_count: u32 = "ServiceCount",
        92 dispatch_count: u32 = "DispatchCount",
        96 trap_frame: u64 = "TrapFrame",
        104 reserved: u64 = "Reserved",
        112 dispatch_code: [u32; 4] = "DispatchCode",
    }

    /// What `IoConnectInterruptEx` is given.
    ///
    /// A driver built with headers of Windows Vista passes 72 bytes: read the last 8, where
    /// `Group` is, only when `version` is [`connect_version::CONNECT_FULLY_SPECIFIED_GROUP`].
    struct IoConnectInterruptParameters = "IO_CONNECT_INTERRUPT_PARAMETERS", size 80 {
        /// One of [`connect_version`]. Written back: what was in fact connected, or what is
        /// supported at most.
        0 version: u32 = "Version",
        4 padding4: u32,
        /// The block that goes with the version; see [`IoConnectInterruptParameters::block`].
        8 block_words: [u64; 9] = "FullySpecified",
    }

    /// The block of versions 1 and 4: exactly the interrupt described.
    struct FullySpecified = "IO_CONNECT_INTERRUPT_FULLY_SPECIFIED_PARAMETERS", size 72 {
        0 physical_device_object: u64 = "PhysicalDeviceObject",
        /// Address of the variable that receives the interrupt object.
        8 interrupt_object: u64 = "InterruptObject",
        16 service_routine: u64 = "ServiceRoutine",
        24 service_context: u64 = "ServiceContext",
        32 spin_lock: u64 = "SpinLock",
        40 synchronize_irql: Irql = "SynchronizeIrql",
        41 floating_save: u8 = "FloatingSave",
        42 share_vector: u8 = "ShareVector",
        43 padding43: u8,
        44 vector: u32 = "Vector",
        48 irql: Irql = "Irql",
        49 padding49: [u8; 3],
        /// One of [`interrupt_mode`].
        52 interrupt_mode: u32 = "InterruptMode",
        56 processor_enable_mask: u64 = "ProcessorEnableMask",
        /// Honoured, and present, only with version 4.
        64 group: u16 = "Group",
        66 padding66: [u8; 6],
    }

    /// The block of version 2: the lines assigned to the device.
    struct LineBased = "IO_CONNECT_INTERRUPT_LINE_BASED_PARAMETERS", size 48 {
        0 physical_device_object: u64 = "PhysicalDeviceObject",
        /// Address of the variable that receives the interrupt object.
        8 interrupt_object: u64 = "InterruptObject",
        16 service_routine: u64 = "ServiceRoutine",
        24 service_context: u64 = "ServiceContext",
        32 spin_lock: u64 = "SpinLock",
        40 synchronize_irql: Irql = "SynchronizeIrql",
        41 floating_save: u8 = "FloatingSave",
        42 padding42: [u8; 6],
    }

    /// The block of versions 3 and 5: the messages assigned to the device, else its line.
    struct MessageBased = "IO_CONNECT_INTERRUPT_MESSAGE_BASED_PARAMETERS", size 56 {
        0 physical_device_object: u64 = "PhysicalDeviceObject",
        /// Address of the variable that receives the message table, or the interrupt object
        /// after a fall back to the line.
        8 connection_context: u64 = "ConnectionContext",
        16 message_service_routine: u64 = "MessageServiceRoutine",
        24 service_context: u64 = "ServiceContext",
        32 spin_lock: u64 = "SpinLock",
        40 synchronize_irql: Irql = "SynchronizeIrql",
        41 floating_save: u8 = "FloatingSave",
        42 padding42: [u8; 6],
        48 fall_back_service_routine: u64 = "FallBackServiceRoutine",
    }

    /// What `IoDisconnectInterruptEx` is given.
    struct IoDisconnectInterruptParameters = "IO_DISCONNECT_INTERRUPT_PARAMETERS", size 16 {
        /// As returned by the connect call.
        0 version: u32 = "Version",
        4 padding4: u32,
        /// The interrupt object or message table itself, not its address.
        8 connection_context: u64 = "ConnectionContext",
    }

    /// What `IoReportInterruptActive` and `IoReportInterruptInactive` are given.
    struct IoReportInterruptActiveStateParameters = "IO_REPORT_INTERRUPT_ACTIVE_STATE_PARAMETERS", size 16 {
        /// As returned by the connect call.
        0 version: u32 = "Version",
        4 padding4: u32,
        /// The interrupt object or message table itself.
        8 connection_context: u64 = "ConnectionContext",
    }

    /// Head of the message table; `message_count` entries of [`IoInterruptMessageInfoEntry`]
    /// follow it.
    struct IoInterruptMessageInfo = "IO_INTERRUPT_MESSAGE_INFO", size 8 {
        0 unified_irql: Irql = "UnifiedIrql",
        1 padding1: [u8; 3],
        4 message_count: u32 = "MessageCount",
    }

    /// One message of a message table.
    struct IoInterruptMessageInfoEntry = "IO_INTERRUPT_MESSAGE_INFO_ENTRY", size 48 {
        /// Physical address that the device writes to.
        0 message_address: u64 = "MessageAddress",
        8 target_processor_set: u64 = "TargetProcessorSet",
        16 interrupt_object: u64 = "InterruptObject",
        /// What the device writes there.
        24 message_data: u32 = "MessageData",
        28 vector: u32 = "Vector",
        32 irql: Irql = "Irql",
        33 padding33: [u8; 3],
        /// One of [`interrupt_mode`].
        36 mode: u32 = "Mode",
        /// One of [`interrupt_polarity`].
        40 polarity: u32 = "Polarity",
        44 padding44: u32,
    }
}

named_values! {
    /// `Version` of the connect, disconnect and report blocks.
    mod connect_version: u32 {
        /// [`super::FullySpecified`](crate::interrupt::FullySpecified), group 0.
        CONNECT_FULLY_SPECIFIED = 1,
        /// [`super::LineBased`](crate::interrupt::LineBased).
        CONNECT_LINE_BASED = 2,
        /// [`super::MessageBased`](crate::interrupt::MessageBased).
        CONNECT_MESSAGE_BASED = 3,
        /// As 1, and `Group` counts. Since Windows 7.
        CONNECT_FULLY_SPECIFIED_GROUP = 4,
        /// As 3, with the service routine at `PASSIVE_LEVEL`. Newer kits only.
        CONNECT_MESSAGE_BASED_PASSIVE = 5,
    }

    /// `KINTERRUPT_MODE`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod interrupt_mode: u32 {
        LevelSensitive = 0,
        Latched = 1,
    }

    /// `KINTERRUPT_POLARITY`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod interrupt_polarity: u32 {
        InterruptPolarityUnknown = 0,
        /// Also `InterruptRisingEdge`.
        InterruptActiveHigh = 1,
        /// Also `InterruptFallingEdge`.
        InterruptActiveLow = 2,
        /// Also `InterruptActiveBothTriggerLow`. Since Windows 8.
        InterruptActiveBoth = 3,
        /// Since Windows 8.
        InterruptActiveBothTriggerHigh = 4,
    }

    /// `IRQ_DEVICE_POLICY`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod irq_device_policy: u32 {
        IrqPolicyMachineDefault = 0,
        IrqPolicyAllCloseProcessors = 1,
        IrqPolicyOneCloseProcessor = 2,
        IrqPolicyAllProcessorsInMachine = 3,
        IrqPolicySpecifiedProcessors = 4,
        IrqPolicySpreadMessagesAcrossAllProcessors = 5,
        /// Reserved.
        IrqPolicyAllProcessorsInMachineWhenSteered = 6,
    }

    /// `IRQ_PRIORITY`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod irq_priority: u32 {
        IrqPriorityUndefined = 0,
        IrqPriorityLow = 1,
        IrqPriorityNormal = 2,
        IrqPriorityHigh = 3,
    }

    /// `IRQ_GROUP_POLICY`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod irq_group_policy: u32 {
        GroupAffinityAllGroupZero = 0,
        GroupAffinityDontCare = 1,
    }
}

/// A block of [`IoConnectInterruptParameters`].
pub trait ConnectBlock: FromBytes + IntoBytes + Immutable {}
impl ConnectBlock for FullySpecified {}
impl ConnectBlock for LineBased {}
impl ConnectBlock for MessageBased {}

impl IoConnectInterruptParameters {
    /// Bytes that every driver passes, whatever headers it was built with.
    pub const SIZE_WITHOUT_GROUP: usize = 72;

    /// The block read as `T`, whatever the version says.
    #[must_use]
    pub fn block<T: ConnectBlock>(&self) -> T {
        const { assert!(size_of::<T>() <= size_of::<[u64; 9]>()) };
        let mut block = T::new_zeroed();
        let bytes = block.as_mut_bytes();
        bytes.copy_from_slice(&self.block_words.as_bytes()[..size_of::<T>()]);
        block
    }

    /// A parameter block of `version` holding `block`.
    #[must_use]
    pub fn new<T: ConnectBlock>(version: u32, block: &T) -> Self {
        const { assert!(size_of::<T>() <= size_of::<[u64; 9]>()) };
        let mut parameters = Self::new_zeroed();
        parameters.version = version;
        let bytes = parameters.block_words.as_mut_bytes();
        bytes[..size_of::<T>()].copy_from_slice(block.as_bytes());
        parameters
    }
}

impl IoInterruptMessageInfo {
    /// Offset of entry `index` from the start of the table.
    #[must_use]
    pub const fn entry_offset(index: u32) -> u64 {
        size_of::<Self>() as u64 + index as u64 * size_of::<IoInterruptMessageInfoEntry>() as u64
    }
}
