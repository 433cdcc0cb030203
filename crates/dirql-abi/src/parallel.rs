//! The parallel port's function driver as its clients see it.
//!
//! All requests are `IRP_MJ_INTERNAL_DEVICE_CONTROL` with one buffer for input and output.
//!
//! Source: WDK reference, parallel.h (structures, callbacks and `IOCTL_INTERNAL_` codes);
//! "Connecting an Interrupt Service Routine to a Parallel Port".

use crate::layout::{layouts, named_values};

layouts! {
    /// Input of [`ioctl::IOCTL_INTERNAL_PARALLEL_CONNECT_INTERRUPT`] and its counterpart.
    struct ParallelInterruptServiceRoutine = "PARALLEL_INTERRUPT_SERVICE_ROUTINE", size 32 {
        /// Optional.
        0 interrupt_service_routine: u64 = "InterruptServiceRoutine",
        8 interrupt_service_context: u64 = "InterruptServiceContext",
        /// Optional.
        16 deferred_port_check_routine: u64 = "DeferredPortCheckRoutine",
        24 deferred_port_check_context: u64 = "DeferredPortCheckContext",
    }

    /// Output of [`ioctl::IOCTL_INTERNAL_PARALLEL_CONNECT_INTERRUPT`], in the input's place.
    struct ParallelInterruptInformation = "PARALLEL_INTERRUPT_INFORMATION", size 32 {
        0 interrupt_object: u64 = "InterruptObject",
        8 try_allocate_port_at_interrupt_level: u64 = "TryAllocatePortAtInterruptLevel",
        16 free_port_from_interrupt_level: u64 = "FreePortFromInterruptLevel",
        /// Argument of both routines.
        24 context: u64 = "Context",
    }

    /// Output of [`ioctl::IOCTL_INTERNAL_GET_PARALLEL_PORT_INFO`].
    struct ParallelPortInformation = "PARALLEL_PORT_INFORMATION", size 56 {
        /// Physical address.
        0 original_controller: u64 = "OriginalController",
        /// Mapped address.
        8 controller: u64 = "Controller",
        16 span_of_controller: u32 = "SpanOfController",
        20 padding20: u32,
        24 try_allocate_port: u64 = "TryAllocatePort",
        32 free_port: u64 = "FreePort",
        40 query_num_waiters: u64 = "QueryNumWaiters",
        /// Argument of the routines.
        48 context: u64 = "Context",
    }

    /// Output of [`ioctl::IOCTL_INTERNAL_GET_MORE_PARALLEL_PORT_INFO`].
    struct MoreParallelPortInformation = "MORE_PARALLEL_PORT_INFORMATION", size 32 {
        /// One of [`crate::resource::interface_type`].
        0 interface_type: i32 = "InterfaceType",
        4 bus_number: u32 = "BusNumber",
        8 interrupt_level: u32 = "InterruptLevel",
        12 interrupt_vector: u32 = "InterruptVector",
        16 interrupt_affinity: u64 = "InterruptAffinity",
        /// One of [`crate::interrupt::interrupt_mode`].
        24 interrupt_mode: u32 = "InterruptMode",
        28 padding28: u32,
    }

    /// Output of [`ioctl::IOCTL_INTERNAL_GET_PARALLEL_PNP_INFO`].
    struct ParallelPnpInformation = "PARALLEL_PNP_INFORMATION", size 112 {
        0 original_ecp_controller: u64 = "OriginalEcpController",
        8 ecp_controller: u64 = "EcpController",
        16 span_of_ecp_controller: u32 = "SpanOfEcpController",
        20 port_number: u32 = "PortNumber",
        /// [`hardware_capabilities`].
        24 hardware_capabilities: u32 = "HardwareCapabilities",
        28 padding28: u32,
        32 try_set_chip_mode: u64 = "TrySetChipMode",
        40 clear_chip_mode: u64 = "ClearChipMode",
        48 fifo_depth: u32 = "FifoDepth",
        52 fifo_width: u32 = "FifoWidth",
        56 epp_controller_physical_address: u64 = "EppControllerPhysicalAddress",
        64 span_of_epp_controller: u32 = "SpanOfEppController",
        68 ieee1284_3_device_count: u32 = "Ieee1284_3DeviceCount",
        72 try_select_device: u64 = "TrySelectDevice",
        80 deselect_device: u64 = "DeselectDevice",
        /// Argument of the routines.
        88 context: u64 = "Context",
        96 current_mode: u32 = "CurrentMode",
        100 padding100: u32,
        104 port_name: u64 = "PortName",
    }

    /// Input of select and deselect.
    struct Parallel1284Command = "PARALLEL_1284_COMMAND", size 8 {
        /// 0 to 3 in a daisy chain, 4 at the end of the chain, 5 an old Zip drive.
        0 id: u8 = "ID",
        /// Reserved.
        1 port: u8 = "Port",
        2 padding2: u16,
        /// [`command_flags`].
        4 command_flags: u32 = "CommandFlags",
    }

    /// Input of set and clear chip mode.
    struct ParallelChipMode = "PARALLEL_CHIP_MODE", size 2 {
        /// [`chip_mode`].
        0 mode_flags: u8 = "ModeFlags",
        1 success: u8 = "success",
    }

    /// Input of the removal-relations requests.
    struct ParPortRemovalRelations = "PARPORT_REMOVAL_RELATIONS", size 24 {
        0 device_object: u64 = "DeviceObject",
        /// 0.
        8 flags: u32 = "Flags",
        12 padding12: u32,
        /// Points at a counted string.
        16 device_name: u64 = "DeviceName",
    }

    /// Output of [`ioctl::IOCTL_INTERNAL_PARCLASS_CONNECT`].
    struct ParClassInformation = "PARCLASS_INFORMATION", size 120 {
        0 controller: u64 = "Controller",
        8 ecr_controller: u64 = "EcrController",
        16 span_of_controller: u32 = "SpanOfController",
        20 padding20: u32,
        24 determine_ieee_modes: u64 = "DetermineIeeeModes",
        32 negotiate_ieee_mode: u64 = "NegotiateIeeeMode",
        40 terminate_ieee_mode: u64 = "TerminateIeeeMode",
        48 ieee_fwd_to_rev_mode: u64 = "IeeeFwdToRevMode",
        56 ieee_rev_to_fwd_mode: u64 = "IeeeRevToFwdMode",
        64 parallel_read: u64 = "ParallelRead",
        72 parallel_write: u64 = "ParallelWrite",
        80 parclass_context: u64 = "ParclassContext",
        88 hardware_capabilities: u32 = "HardwareCapabilities",
        92 fifo_depth: u32 = "FifoDepth",
        96 fifo_width: u32 = "FifoWidth",
        100 padding100: u32,
        104 parallel_tryselect: u64 = "ParallelTryselect",
        112 parallel_de_select: u64 = "ParallelDeSelect",
    }
}

named_values! {
    /// The requests: `CTL_CODE(FILE_DEVICE_PARALLEL_PORT, n, METHOD_BUFFERED, FILE_ANY_ACCESS)`.
    mod ioctl: u32 {
        IOCTL_INTERNAL_PARALLEL_PORT_ALLOCATE = 0x0016_002C,
        IOCTL_INTERNAL_GET_PARALLEL_PORT_INFO = 0x0016_0030,
        IOCTL_INTERNAL_PARALLEL_CONNECT_INTERRUPT = 0x0016_0034,
        IOCTL_INTERNAL_PARALLEL_DISCONNECT_INTERRUPT = 0x0016_0038,
        IOCTL_INTERNAL_RELEASE_PARALLEL_PORT_INFO = 0x0016_003C,
        IOCTL_INTERNAL_GET_MORE_PARALLEL_PORT_INFO = 0x0016_0044,
        IOCTL_INTERNAL_PARCHIP_CONNECT = 0x0016_0048,
        IOCTL_INTERNAL_PARALLEL_SET_CHIP_MODE = 0x0016_004C,
        IOCTL_INTERNAL_PARALLEL_CLEAR_CHIP_MODE = 0x0016_0050,
        IOCTL_INTERNAL_GET_PARALLEL_PNP_INFO = 0x0016_0054,
        IOCTL_INTERNAL_INIT_1284_3_BUS = 0x0016_0058,
        IOCTL_INTERNAL_SELECT_DEVICE = 0x0016_005C,
        IOCTL_INTERNAL_DESELECT_DEVICE = 0x0016_0060,
        IOCTL_INTERNAL_GET_PARPORT_FDO = 0x0016_0074,
        IOCTL_INTERNAL_PARCLASS_CONNECT = 0x0016_0078,
        IOCTL_INTERNAL_PARCLASS_DISCONNECT = 0x0016_007C,
        IOCTL_INTERNAL_DISCONNECT_IDLE = 0x0016_0080,
        IOCTL_INTERNAL_LOCK_PORT = 0x0016_0094,
        IOCTL_INTERNAL_UNLOCK_PORT = 0x0016_0098,
        IOCTL_INTERNAL_PARALLEL_PORT_FREE = 0x0016_00A0,
        IOCTL_INTERNAL_PARDOT3_CONNECT = 0x0016_00A4,
        IOCTL_INTERNAL_PARDOT3_DISCONNECT = 0x0016_00A8,
        IOCTL_INTERNAL_PARDOT3_RESET = 0x0016_00AC,
        IOCTL_INTERNAL_PARDOT3_SIGNAL = 0x0016_00B0,
        IOCTL_INTERNAL_REGISTER_FOR_REMOVAL_RELATIONS = 0x0016_00C8,
        IOCTL_INTERNAL_UNREGISTER_FOR_REMOVAL_RELATIONS = 0x0016_00CC,
        /// Since Windows XP.
        IOCTL_INTERNAL_LOCK_PORT_NO_SELECT = 0x0016_00D0,
        /// Since Windows XP.
        IOCTL_INTERNAL_UNLOCK_PORT_NO_DESELECT = 0x0016_00D4,
        IOCTL_INTERNAL_DISABLE_END_OF_CHAIN_BUS_RESCAN = 0x0016_00D8,
        IOCTL_INTERNAL_ENABLE_END_OF_CHAIN_BUS_RESCAN = 0x0016_00DC,
    }

    /// Bits of `CommandFlags`.
    mod command_flags: u32 {
        PAR_END_OF_CHAIN_DEVICE = 1,
        /// The caller owns the port and keeps it.
        PAR_HAVE_PORT_KEEP_PORT = 2,
        PAR_LEGACY_ZIP_DEVICE = 4,
    }

    /// Bits of `HardwareCapabilities`.
    mod hardware_capabilities: u32 {
        PPT_ECP_PRESENT = 0x01,
        PPT_EPP_PRESENT = 0x02,
        PPT_EPP_32_PRESENT = 0x04,
        /// Also `PPT_BIDI_PRESENT`.
        PPT_BYTE_PRESENT = 0x08,
        PPT_1284_3_PRESENT = 0x10,
    }

    /// Modes of the extended control register; the lower five bits are masked off by 0x1F.
    mod chip_mode: u8 {
        ECR_SPP_MODE = 0x00,
        ECR_BYTE_MODE = 0x20,
        ECR_ECP_MODE = 0x60,
        ECR_EPP_MODE = 0x80,
    }
}

/// Data register, from the start of the port.
pub const DATA_OFFSET: u32 = 0;
/// Status register.
pub const STATUS_OFFSET: u32 = 1;
/// Control register.
pub const CONTROL_OFFSET: u32 = 2;
/// Bit of the control register that lets nAck interrupt.
pub const CONTROL_INTERRUPT_ENABLE: u8 = 0x10;
/// Bit of the status register that shows nAck.
pub const STATUS_NOT_ACK: u8 = 0x40;
