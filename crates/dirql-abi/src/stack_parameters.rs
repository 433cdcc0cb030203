//! The arms of `Parameters` of a stack location.
//!
//! Which one holds is told by the major and, for plug and play and power, the minor function.
//! `ULONG` members that the headers mark as pointer-aligned are followed by padding here.
//!
//! Source: WDK reference, wdm.IO_STACK_LOCATION; wdm.h.

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::layout::layouts;

/// An arm of `Parameters`, for [`crate::irp::IoStackLocation::parameters`].
pub trait StackParameters: FromBytes + IntoBytes + Immutable {}

macro_rules! arms {
    ($($arm:ident)*) => { $( impl StackParameters for $arm {} )* };
}

arms! {
    StackParametersCreate StackParametersReadWrite StackParametersQueryFile
    StackParametersQueryDirectory StackParametersSetFile StackParametersDeviceIoControl StackParametersDeviceRelations
    StackParametersQueryInterface StackParametersDeviceCapabilities
    StackParametersFilterResourceRequirements StackParametersReadWriteConfig
    StackParametersSetLock StackParametersQueryId StackParametersQueryDeviceText
    StackParametersUsageNotification StackParametersWaitWake StackParametersPowerSequence
    StackParametersPower StackParametersStartDevice StackParametersWmi StackParametersScsi
    StackParametersOthers
}

layouts! {
    /// `IRP_MJ_CREATE`.
    struct StackParametersCreate = "IO_STACK_LOCATION.Parameters.Create", size 32 {
        0 security_context: u64 = "SecurityContext",
        /// Disposition in the top byte, create options below.
        8 options: u32 = "Options",
        12 padding12: u32,
        16 file_attributes: u16 = "FileAttributes",
        18 share_access: u16 = "ShareAccess",
        20 padding20: u32,
        24 ea_length: u32 = "EaLength",
        28 padding28: u32,
    }

    /// `IRP_MJ_READ` and `IRP_MJ_WRITE`.
    struct StackParametersReadWrite = "IO_STACK_LOCATION.Parameters.Read", size 24 {
        0 length: u32 = "Length",
        4 padding4: u32,
        8 key: u32 = "Key",
        12 flags: u32 = "Flags",
        16 byte_offset: i64 = "ByteOffset",
    }

    /// `IRP_MJ_QUERY_INFORMATION`.
    struct StackParametersQueryFile = "IO_STACK_LOCATION.Parameters.QueryFile", size 16 {
        0 length: u32 = "Length",
        4 padding4: u32,
        8 file_information_class: u32 = "FileInformationClass",
        12 padding12: u32,
    }

    /// `IRP_MJ_DIRECTORY_CONTROL` with `IRP_MN_QUERY_DIRECTORY`.
    struct StackParametersQueryDirectory = "IO_STACK_LOCATION.Parameters.QueryDirectory", size 32 {
        0 length: u32 = "Length",
        4 padding4: u32,
        8 file_name: u64 = "FileName",
        16 file_information_class: u32 = "FileInformationClass",
        20 padding20: u32,
        24 file_index: u32 = "FileIndex",
        28 padding28: u32,
    }

    /// `IRP_MJ_SET_INFORMATION`.
    struct StackParametersSetFile = "IO_STACK_LOCATION.Parameters.SetFile", size 32 {
        0 length: u32 = "Length",
        4 padding4: u32,
        8 file_information_class: u32 = "FileInformationClass",
        12 padding12: u32,
        16 file_object: u64 = "FileObject",
        /// Also `ReplaceIfExists`, `AdvanceOnly` and `ClusterCount`.
        24 delete_handle: u64 = "DeleteHandle",
    }

    /// `IRP_MJ_DEVICE_CONTROL` and `IRP_MJ_INTERNAL_DEVICE_CONTROL`.
    struct StackParametersDeviceIoControl = "IO_STACK_LOCATION.Parameters.DeviceIoControl", size 32 {
        0 output_buffer_length: u32 = "OutputBufferLength",
        4 padding4: u32,
        8 input_buffer_length: u32 = "InputBufferLength",
        12 padding12: u32,
        16 io_control_code: u32 = "IoControlCode",
        20 padding20: u32,
        /// The caller's input pointer, with `METHOD_NEITHER`.
        24 type3_input_buffer: u64 = "Type3InputBuffer",
    }

    /// `IRP_MN_QUERY_DEVICE_RELATIONS`.
    struct StackParametersDeviceRelations = "IO_STACK_LOCATION.Parameters.QueryDeviceRelations", size 4 {
        /// One of [`crate::pnp::device_relation_type`].
        0 type_: u32 = "Type",
    }

    /// `IRP_MN_QUERY_INTERFACE`.
    struct StackParametersQueryInterface = "IO_STACK_LOCATION.Parameters.QueryInterface", size 32 {
        0 interface_type: u64 = "InterfaceType",
        8 size: u16 = "Size",
        10 version: u16 = "Version",
        12 padding12: u32,
        16 interface: u64 = "Interface",
        24 interface_specific_data: u64 = "InterfaceSpecificData",
    }

    /// `IRP_MN_QUERY_CAPABILITIES`.
    struct StackParametersDeviceCapabilities = "IO_STACK_LOCATION.Parameters.DeviceCapabilities", size 8 {
        0 capabilities: u64 = "Capabilities",
    }

    /// `IRP_MN_FILTER_RESOURCE_REQUIREMENTS`.
    struct StackParametersFilterResourceRequirements = "IO_STACK_LOCATION.Parameters.FilterResourceRequirements", size 8 {
        0 io_resource_requirement_list: u64 = "IoResourceRequirementList",
    }

    /// `IRP_MN_READ_CONFIG` and `IRP_MN_WRITE_CONFIG`.
    struct StackParametersReadWriteConfig = "IO_STACK_LOCATION.Parameters.ReadWriteConfig", size 32 {
        0 which_space: u32 = "WhichSpace",
        4 padding4: u32,
        8 buffer: u64 = "Buffer",
        16 offset: u32 = "Offset",
        20 padding20: u32,
        24 length: u32 = "Length",
        28 padding28: u32,
    }

    /// `IRP_MN_SET_LOCK`.
    struct StackParametersSetLock = "IO_STACK_LOCATION.Parameters.SetLock", size 1 {
        0 lock: u8 = "Lock",
    }

    /// `IRP_MN_QUERY_ID`.
    struct StackParametersQueryId = "IO_STACK_LOCATION.Parameters.QueryId", size 4 {
        /// One of [`crate::pnp::bus_query_id_type`].
        0 id_type: u32 = "IdType",
    }

    /// `IRP_MN_QUERY_DEVICE_TEXT`.
    struct StackParametersQueryDeviceText = "IO_STACK_LOCATION.Parameters.QueryDeviceText", size 16 {
        /// One of [`crate::pnp::device_text_type`].
        0 device_text_type: u32 = "DeviceTextType",
        4 padding4: u32,
        8 locale_id: u32 = "LocaleId",
        12 padding12: u32,
    }

    /// `IRP_MN_DEVICE_USAGE_NOTIFICATION`.
    struct StackParametersUsageNotification = "IO_STACK_LOCATION.Parameters.UsageNotification", size 16 {
        0 in_path: u8 = "InPath",
        1 reserved: [u8; 3] = "Reserved",
        4 padding4: u32,
        8 type_: u32 = "Type",
        12 padding12: u32,
    }

    /// `IRP_MN_WAIT_WAKE`.
    struct StackParametersWaitWake = "IO_STACK_LOCATION.Parameters.WaitWake", size 4 {
        0 power_state: u32 = "PowerState",
    }

    /// `IRP_MN_POWER_SEQUENCE`.
    struct StackParametersPowerSequence = "IO_STACK_LOCATION.Parameters.PowerSequence", size 8 {
        0 power_sequence: u64 = "PowerSequence",
    }

    /// `IRP_MN_SET_POWER` and `IRP_MN_QUERY_POWER`.
    struct StackParametersPower = "IO_STACK_LOCATION.Parameters.Power", size 32 {
        0 system_context: u32 = "SystemContext",
        4 padding4: u32,
        /// One of [`crate::power::power_state_type`].
        8 type_: u32 = "Type",
        12 padding12: u32,
        /// A system or device state, as `type_` says.
        16 state: u32 = "State",
        20 padding20: u32,
        /// One of [`crate::power::power_action`].
        24 shutdown_type: u32 = "ShutdownType",
        28 padding28: u32,
    }

    /// `IRP_MN_START_DEVICE`. Either list is null for a device without resources.
    struct StackParametersStartDevice = "IO_STACK_LOCATION.Parameters.StartDevice", size 16 {
        /// Raw: as the bus sees them.
        0 allocated_resources: u64 = "AllocatedResources",
        /// Translated: as the processor sees them.
        8 allocated_resources_translated: u64 = "AllocatedResourcesTranslated",
    }

    /// `IRP_MJ_SYSTEM_CONTROL`.
    struct StackParametersWmi = "IO_STACK_LOCATION.Parameters.WMI", size 32 {
        0 provider_id: u64 = "ProviderId",
        8 data_path: u64 = "DataPath",
        16 buffer_size: u32 = "BufferSize",
        20 padding20: u32,
        24 buffer: u64 = "Buffer",
    }

    /// `IRP_MJ_SCSI`, which is `IRP_MJ_INTERNAL_DEVICE_CONTROL` to a storage device.
    struct StackParametersScsi = "IO_STACK_LOCATION.Parameters.Scsi", size 8 {
        0 srb: u64 = "Srb",
    }

    /// Requests of a driver's own.
    struct StackParametersOthers = "IO_STACK_LOCATION.Parameters.Others", size 32 {
        0 argument1: u64 = "Argument1",
        8 argument2: u64 = "Argument2",
        16 argument3: u64 = "Argument3",
        24 argument4: u64 = "Argument4",
    }
}
