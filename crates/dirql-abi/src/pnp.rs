//! Plug and play: what is asked of and told by devices and buses.
//!
//! Source: WDK reference, "Plug and Play Minor IRPs", wdm.DEVICE_CAPABILITIES, wdm.INTERFACE,
//! wdm.PCI_MSIX_TABLE_CONFIG_INTERFACE, "Using PnP Notification"; wdm.h, ntddk.h.

use crate::guid::Guid;
use crate::layout::{layouts, named_values};

layouts! {
    /// What `IRP_MN_QUERY_CAPABILITIES` asks for.
    struct DeviceCapabilities = "DEVICE_CAPABILITIES", size 64 {
        0 size: u16 = "Size",
        2 version: u16 = "Version",
        /// [`capability_flags`]; bit fields in the headers.
        4 flags: u32 = "DeviceD1",
        8 address: u32 = "Address",
        12 ui_number: u32 = "UINumber",
        /// The highest device state for each system state.
        16 device_state: [u32; 7] = "DeviceState",
        44 system_wake: u32 = "SystemWake",
        48 device_wake: u32 = "DeviceWake",
        52 d1_latency: u32 = "D1Latency",
        56 d2_latency: u32 = "D2Latency",
        60 d3_latency: u32 = "D3Latency",
    }

    /// Head of `count` device object pointers, each referenced.
    struct DeviceRelations = "DEVICE_RELATIONS", size 8 {
        0 count: u32 = "Count",
        4 padding4: u32,
    }

    /// What `IRP_MN_QUERY_BUS_INFORMATION` asks for.
    struct PnpBusInformation = "PNP_BUS_INFORMATION", size 24 {
        0 bus_type_guid: Guid = "BusTypeGuid",
        /// One of [`crate::resource::interface_type`].
        16 legacy_bus_type: i32 = "LegacyBusType",
        20 bus_number: u32 = "BusNumber",
    }

    /// First part of every interface that `IRP_MN_QUERY_INTERFACE` gives out.
    struct Interface = "INTERFACE", size 32 {
        0 size: u16 = "Size",
        2 version: u16 = "Version",
        4 padding4: u32,
        8 context: u64 = "Context",
        16 interface_reference: u64 = "InterfaceReference",
        24 interface_dereference: u64 = "InterfaceDereference",
    }

    /// [`crate::guid::GUID_BUS_INTERFACE_STANDARD`].
    struct BusInterfaceStandard = "BUS_INTERFACE_STANDARD", size 64 {
        0 size: u16 = "Size",
        2 version: u16 = "Version",
        4 padding4: u32,
        8 context: u64 = "Context",
        16 interface_reference: u64 = "InterfaceReference",
        24 interface_dereference: u64 = "InterfaceDereference",
        32 translate_bus_address: u64 = "TranslateBusAddress",
        40 get_dma_adapter: u64 = "GetDmaAdapter",
        48 set_bus_data: u64 = "SetBusData",
        56 get_bus_data: u64 = "GetBusData",
    }

    /// [`crate::guid::GUID_MSIX_TABLE_CONFIG_INTERFACE`], version 1.
    ///
    /// A caller that needs only the first three routines may pass a size of 56.
    struct PciMsixTableConfigInterface = "PCI_MSIX_TABLE_CONFIG_INTERFACE", size 72 {
        0 size: u16 = "Size",
        2 version: u16 = "Version",
        4 padding4: u32,
        8 context: u64 = "Context",
        16 interface_reference: u64 = "InterfaceReference",
        24 interface_dereference: u64 = "InterfaceDereference",
        32 set_table_entry: u64 = "SetTableEntry",
        40 mask_table_entry: u64 = "MaskTableEntry",
        48 unmask_table_entry: u64 = "UnmaskTableEntry",
        /// Reserved.
        56 get_table_entry: u64 = "GetTableEntry",
        /// Reserved.
        64 get_table_size: u64 = "GetTableSize",
    }

    /// [`crate::guid::GUID_PCI_DEVICE_PRESENT_INTERFACE`].
    struct PciDevicePresentInterface = "PCI_DEVICE_PRESENT_INTERFACE", size 48 {
        0 size: u16 = "Size",
        2 version: u16 = "Version",
        4 padding4: u32,
        8 context: u64 = "Context",
        16 interface_reference: u64 = "InterfaceReference",
        24 interface_dereference: u64 = "InterfaceDereference",
        32 is_device_present: u64 = "IsDevicePresent",
        40 is_device_present_ex: u64 = "IsDevicePresentEx",
    }

    /// [`crate::guid::GUID_PNP_LOCATION_INTERFACE`].
    struct PnpLocationInterface = "PNP_LOCATION_INTERFACE", size 40 {
        0 size: u16 = "Size",
        2 version: u16 = "Version",
        4 padding4: u32,
        8 context: u64 = "Context",
        16 interface_reference: u64 = "InterfaceReference",
        24 interface_dereference: u64 = "InterfaceDereference",
        32 get_location_string: u64 = "GetLocationString",
    }

    /// First part of every notification.
    struct PlugPlayNotificationHeader = "PLUGPLAY_NOTIFICATION_HEADER", size 20 {
        0 version: u16 = "Version",
        2 size: u16 = "Size",
        4 event: Guid = "Event",
    }

    /// A device interface came or went.
    struct DeviceInterfaceChangeNotification = "DEVICE_INTERFACE_CHANGE_NOTIFICATION", size 48 {
        0 version: u16 = "Version",
        2 size: u16 = "Size",
        4 event: Guid = "Event",
        20 interface_class_guid: Guid = "InterfaceClassGuid",
        36 padding36: u32,
        40 symbolic_link_name: u64 = "SymbolicLinkName",
    }

    /// A target device is about to go, stays, or is gone.
    struct TargetDeviceRemovalNotification = "TARGET_DEVICE_REMOVAL_NOTIFICATION", size 32 {
        0 version: u16 = "Version",
        2 size: u16 = "Size",
        4 event: Guid = "Event",
        20 padding20: u32,
        24 file_object: u64 = "FileObject",
    }

    /// What `IoGetConfigurationInformation` points at.
    struct ConfigurationInformation = "CONFIGURATION_INFORMATION", size 40 {
        0 disk_count: u32 = "DiskCount",
        4 floppy_count: u32 = "FloppyCount",
        8 cd_rom_count: u32 = "CdRomCount",
        12 tape_count: u32 = "TapeCount",
        16 scsi_port_count: u32 = "ScsiPortCount",
        20 serial_count: u32 = "SerialCount",
        24 parallel_count: u32 = "ParallelCount",
        28 at_disk_primary_address_claimed: u8 = "AtDiskPrimaryAddressClaimed",
        29 at_disk_secondary_address_claimed: u8 = "AtDiskSecondaryAddressClaimed",
        30 padding30: u16,
        32 version: u32 = "Version",
        36 medium_changer_count: u32 = "MediumChangerCount",
    }
}

named_values! {
    /// The bit fields of [`DeviceCapabilities`], from bit 0, in the order of the headers.
    #[expect(non_upper_case_globals, reason = "spelled as the members of the headers")]
    mod capability_flags: u32 {
        DeviceD1 = 0x0_0001,
        DeviceD2 = 0x0_0002,
        LockSupported = 0x0_0004,
        EjectSupported = 0x0_0008,
        Removable = 0x0_0010,
        DockDevice = 0x0_0020,
        UniqueID = 0x0_0040,
        SilentInstall = 0x0_0080,
        RawDeviceOK = 0x0_0100,
        SurpriseRemovalOK = 0x0_0200,
        WakeFromD0 = 0x0_0400,
        WakeFromD1 = 0x0_0800,
        WakeFromD2 = 0x0_1000,
        WakeFromD3 = 0x0_2000,
        HardwareDisabled = 0x0_4000,
        NonDynamic = 0x0_8000,
        WarmEjectSupported = 0x1_0000,
        NoDisplayInUI = 0x2_0000,
    }

    /// `PNP_DEVICE_STATE`, the answer to `IRP_MN_QUERY_PNP_DEVICE_STATE`.
    mod pnp_device_state: u32 {
        PNP_DEVICE_DISABLED = 0x01,
        PNP_DEVICE_DONT_DISPLAY_IN_UI = 0x02,
        PNP_DEVICE_FAILED = 0x04,
        PNP_DEVICE_REMOVED = 0x08,
        PNP_DEVICE_RESOURCE_REQUIREMENTS_CHANGED = 0x10,
        PNP_DEVICE_NOT_DISABLEABLE = 0x20,
    }

    /// `DEVICE_RELATION_TYPE`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod device_relation_type: u32 {
        BusRelations = 0,
        EjectionRelations = 1,
        PowerRelations = 2,
        RemovalRelations = 3,
        TargetDeviceRelation = 4,
        SingleBusRelations = 5,
        TransportRelations = 6,
    }

    /// `BUS_QUERY_ID_TYPE`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod bus_query_id_type: u32 {
        BusQueryDeviceID = 0,
        BusQueryHardwareIDs = 1,
        BusQueryCompatibleIDs = 2,
        BusQueryInstanceID = 3,
        BusQueryDeviceSerialNumber = 4,
        BusQueryContainerID = 5,
    }

    /// `DEVICE_TEXT_TYPE`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod device_text_type: u32 {
        DeviceTextDescription = 0,
        DeviceTextLocationInformation = 1,
    }

    /// `DEVICE_USAGE_NOTIFICATION_TYPE`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod device_usage_type: u32 {
        DeviceUsageTypeUndefined = 0,
        DeviceUsageTypePaging = 1,
        DeviceUsageTypeHibernation = 2,
        DeviceUsageTypeDumpFile = 3,
        DeviceUsageTypeBoot = 4,
        DeviceUsageTypePostDisplay = 5,
        DeviceUsageTypeGuestAssigned = 6,
    }

    /// `IO_NOTIFICATION_EVENT_CATEGORY`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod notification_category: u32 {
        EventCategoryReserved = 0,
        EventCategoryHardwareProfileChange = 1,
        EventCategoryDeviceInterfaceChange = 2,
        EventCategoryTargetDeviceChange = 3,
    }

    /// Flags of `IoRegisterPlugPlayNotification`.
    mod notification_flags: u32 {
        PNPNOTIFY_DEVICE_INTERFACE_INCLUDE_EXISTING_INTERFACES = 0x01,
    }
}
