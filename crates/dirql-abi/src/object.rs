//! Named objects, handles and identities.
//!
//! Source: WDK reference, "Object Management", wdm.OBJECT_ATTRIBUTES; ntdef.h, wdm.h.

use crate::layout::{layouts, named_values};

layouts! {
    /// How to open or create an object.
    struct ObjectAttributes = "OBJECT_ATTRIBUTES", size 48 {
        0 length: u32 = "Length",
        4 padding4: u32,
        /// Handle that the name is relative to, or null.
        8 root_directory: u64 = "RootDirectory",
        /// Points at a counted string.
        16 object_name: u64 = "ObjectName",
        /// [`object_flags`].
        24 attributes: u32 = "Attributes",
        28 padding28: u32,
        32 security_descriptor: u64 = "SecurityDescriptor",
        40 security_quality_of_service: u64 = "SecurityQualityOfService",
    }

    /// Process and thread identifiers.
    struct ClientId = "CLIENT_ID", size 16 {
        0 unique_process: u64 = "UniqueProcess",
        8 unique_thread: u64 = "UniqueThread",
    }

    /// What an object handle refers to, besides the object.
    struct ObjectHandleInformation = "OBJECT_HANDLE_INFORMATION", size 8 {
        0 handle_attributes: u32 = "HandleAttributes",
        4 granted_access: u32 = "GrantedAccess",
    }
}

named_values! {
    /// Bits of `Attributes`.
    mod object_flags: u32 {
        OBJ_INHERIT = 0x0002,
        OBJ_PERMANENT = 0x0010,
        OBJ_EXCLUSIVE = 0x0020,
        OBJ_CASE_INSENSITIVE = 0x0040,
        OBJ_OPENIF = 0x0080,
        OBJ_OPENLINK = 0x0100,
        /// The handle is good in every process.
        OBJ_KERNEL_HANDLE = 0x0200,
        OBJ_FORCE_ACCESS_CHECK = 0x0400,
    }

    /// Access rights common to all objects.
    mod access_rights: u32 {
        DELETE = 0x0001_0000,
        READ_CONTROL = 0x0002_0000,
        WRITE_DAC = 0x0004_0000,
        WRITE_OWNER = 0x0008_0000,
        SYNCHRONIZE = 0x0010_0000,
        MAXIMUM_ALLOWED = 0x0200_0000,
        GENERIC_ALL = 0x1000_0000,
        GENERIC_EXECUTE = 0x2000_0000,
        GENERIC_WRITE = 0x4000_0000,
        GENERIC_READ = 0x8000_0000,
    }
}
