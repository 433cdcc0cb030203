//! Registry values as drivers read them, and the version block.
//!
//! Structures that end in a name or data are given without it; it follows in memory, at the
//! offset that equals the structure's size.
//!
//! Source: WDK reference, wdm.KEY_VALUE_FULL_INFORMATION and its kin,
//! wdm.RTL_QUERY_REGISTRY_TABLE, wdm.RtlGetVersion; wdm.h.

use crate::layout::{layouts, named_values};

layouts! {
    /// A value's type and name.
    struct KeyValueBasicInformation = "KEY_VALUE_BASIC_INFORMATION", size 12 {
        0 title_index: u32 = "TitleIndex",
        4 type_: u32 = "Type",
        8 name_length: u32 = "NameLength",
    }

    /// A value's type, name and data; the data is at `data_offset`.
    struct KeyValueFullInformation = "KEY_VALUE_FULL_INFORMATION", size 20 {
        0 title_index: u32 = "TitleIndex",
        4 type_: u32 = "Type",
        8 data_offset: u32 = "DataOffset",
        12 data_length: u32 = "DataLength",
        16 name_length: u32 = "NameLength",
    }

    /// A value's type and data.
    struct KeyValuePartialInformation = "KEY_VALUE_PARTIAL_INFORMATION", size 12 {
        0 title_index: u32 = "TitleIndex",
        4 type_: u32 = "Type",
        8 data_length: u32 = "DataLength",
    }

    /// A value's type and data, the data 8-byte aligned.
    struct KeyValuePartialInformationAlign64 = "KEY_VALUE_PARTIAL_INFORMATION_ALIGN64", size 8 {
        0 type_: u32 = "Type",
        4 data_length: u32 = "DataLength",
    }

    /// A key's name.
    struct KeyBasicInformation = "KEY_BASIC_INFORMATION", size 16 {
        0 last_write_time: i64 = "LastWriteTime",
        8 title_index: u32 = "TitleIndex",
        12 name_length: u32 = "NameLength",
    }

    /// A key's name and class.
    struct KeyNodeInformation = "KEY_NODE_INFORMATION", size 24 {
        0 last_write_time: i64 = "LastWriteTime",
        8 title_index: u32 = "TitleIndex",
        12 class_offset: u32 = "ClassOffset",
        16 class_length: u32 = "ClassLength",
        20 name_length: u32 = "NameLength",
    }

    /// A key's class and counts. Packed only to end where the class begins.
    struct KeyFullInformation = "KEY_FULL_INFORMATION", size 44, packed(4) {
        0 last_write_time: i64 = "LastWriteTime",
        8 title_index: u32 = "TitleIndex",
        12 class_offset: u32 = "ClassOffset",
        16 class_length: u32 = "ClassLength",
        20 sub_keys: u32 = "SubKeys",
        24 max_name_len: u32 = "MaxNameLen",
        28 max_class_len: u32 = "MaxClassLen",
        32 values: u32 = "Values",
        36 max_value_name_len: u32 = "MaxValueNameLen",
        40 max_value_data_len: u32 = "MaxValueDataLen",
    }

    /// One row of `RtlQueryRegistryValues`. A row of zeros ends the table.
    struct RtlQueryRegistryTable = "RTL_QUERY_REGISTRY_TABLE", size 56 {
        0 query_routine: u64 = "QueryRoutine",
        /// [`query_registry_flags`].
        8 flags: u32 = "Flags",
        12 padding12: u32,
        16 name: u64 = "Name",
        24 entry_context: u64 = "EntryContext",
        /// One of [`value_type`]; its top byte may hold the expected type.
        32 default_type: u32 = "DefaultType",
        36 padding36: u32,
        40 default_data: u64 = "DefaultData",
        48 default_length: u32 = "DefaultLength",
        52 padding52: u32,
    }

    /// The short form of [`RtlOsVersionInfoExW`], told by its size.
    struct RtlOsVersionInfoW = "RTL_OSVERSIONINFOW", size 276 {
        0 os_version_info_size: u32 = "dwOSVersionInfoSize",
        4 major_version: u32 = "dwMajorVersion",
        8 minor_version: u32 = "dwMinorVersion",
        12 build_number: u32 = "dwBuildNumber",
        16 platform_id: u32 = "dwPlatformId",
        20 csd_version: [u16; 128] = "szCSDVersion",
    }

    /// The version of the system.
    struct RtlOsVersionInfoExW = "RTL_OSVERSIONINFOEXW", size 284 {
        0 os_version_info_size: u32 = "dwOSVersionInfoSize",
        4 major_version: u32 = "dwMajorVersion",
        8 minor_version: u32 = "dwMinorVersion",
        12 build_number: u32 = "dwBuildNumber",
        /// 2: NT.
        16 platform_id: u32 = "dwPlatformId",
        20 csd_version: [u16; 128] = "szCSDVersion",
        276 service_pack_major: u16 = "wServicePackMajor",
        278 service_pack_minor: u16 = "wServicePackMinor",
        280 suite_mask: u16 = "wSuiteMask",
        /// 1 workstation, 2 domain controller, 3 server.
        282 product_type: u8 = "wProductType",
        283 reserved: u8 = "wReserved",
    }
}

named_values! {
    /// Type of a registry value.
    mod value_type: u32 {
        REG_NONE = 0,
        REG_SZ = 1,
        REG_EXPAND_SZ = 2,
        REG_BINARY = 3,
        REG_DWORD = 4,
        REG_DWORD_BIG_ENDIAN = 5,
        REG_LINK = 6,
        REG_MULTI_SZ = 7,
        REG_RESOURCE_LIST = 8,
        REG_FULL_RESOURCE_DESCRIPTOR = 9,
        REG_RESOURCE_REQUIREMENTS_LIST = 10,
        REG_QWORD = 11,
    }

    /// `KEY_VALUE_INFORMATION_CLASS`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod key_value_information_class: u32 {
        KeyValueBasicInformation = 0,
        KeyValueFullInformation = 1,
        KeyValuePartialInformation = 2,
        KeyValueFullInformationAlign64 = 3,
        KeyValuePartialInformationAlign64 = 4,
    }

    /// `KEY_INFORMATION_CLASS`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod key_information_class: u32 {
        KeyBasicInformation = 0,
        KeyNodeInformation = 1,
        KeyFullInformation = 2,
        KeyNameInformation = 3,
        KeyCachedInformation = 4,
        KeyFlagsInformation = 5,
    }

    /// Bits of `Flags` of a query table's row.
    mod query_registry_flags: u32 {
        RTL_QUERY_REGISTRY_SUBKEY = 0x0001,
        RTL_QUERY_REGISTRY_TOPKEY = 0x0002,
        RTL_QUERY_REGISTRY_REQUIRED = 0x0004,
        RTL_QUERY_REGISTRY_NOVALUE = 0x0008,
        RTL_QUERY_REGISTRY_NOEXPAND = 0x0010,
        /// Store the value at `EntryContext`.
        RTL_QUERY_REGISTRY_DIRECT = 0x0020,
        RTL_QUERY_REGISTRY_DELETE = 0x0040,
        /// With `DIRECT`: compare the type with the top byte of `DefaultType`.
        RTL_QUERY_REGISTRY_TYPECHECK = 0x0100,
    }

    /// `RelativeTo` of the `Rtl` registry routines.
    mod relative_to: u32 {
        RTL_REGISTRY_ABSOLUTE = 0,
        RTL_REGISTRY_SERVICES = 1,
        RTL_REGISTRY_CONTROL = 2,
        RTL_REGISTRY_WINDOWS_NT = 3,
        RTL_REGISTRY_DEVICEMAP = 4,
        RTL_REGISTRY_USER = 5,
        /// A bit: the path is a handle.
        RTL_REGISTRY_HANDLE = 0x4000_0000,
        /// A bit: the key need not exist.
        RTL_REGISTRY_OPTIONAL = 0x8000_0000,
    }

    /// Disposition that creating a key reports.
    mod key_disposition: u32 {
        REG_CREATED_NEW_KEY = 1,
        REG_OPENED_EXISTING_KEY = 2,
    }

    /// `DevInstKeyType` of `IoOpenDeviceRegistryKey`.
    mod device_key: u32 {
        PLUGPLAY_REGKEY_DEVICE = 1,
        PLUGPLAY_REGKEY_DRIVER = 2,
        /// A bit: relative to the current hardware profile.
        PLUGPLAY_REGKEY_CURRENT_HWPROFILE = 4,
    }
}
