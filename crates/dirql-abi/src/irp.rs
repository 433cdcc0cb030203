//! I/O request packets, their stack locations, and file objects.
//!
//! Source: WDK reference, wdm.IRP, wdm.IO_STACK_LOCATION, wdm.FILE_OBJECT, "IRP Major Function
//! Codes"; wdm.h.

use core::mem::size_of;

use zerocopy::IntoBytes;

use crate::dispatcher::KEvent;
use crate::irql::Irql;
use crate::layout::{layouts, named_values};
use crate::list::ListEntry;
use crate::stack_parameters::StackParameters;
use crate::status::NtStatus;
use crate::string::UnicodeString;

layouts! {
    /// The outcome of a request.
    struct IoStatusBlock = "IO_STATUS_BLOCK", size 16 {
        0 status: NtStatus = "Status",
        /// The upper half of the member's `Pointer` form.
        4 padding4: u32,
        8 information: u64 = "Information",
    }

    /// A request. Its stack locations follow it in memory.
    ///
    /// `Tail` is given in its `Overlay` form, as drivers use it; the last 8 bytes belong to
    /// the `Apc` form alone.
    struct Irp = "IRP", size 208 {
        /// [`crate::device::io_type::IO_TYPE_IRP`].
        0 type_: i16 = "Type",
        /// Of this structure and its stack locations together.
        2 size: u16 = "Size",
        4 padding4: u32,
        8 mdl_address: u64 = "MdlAddress",
        /// [`irp_flags`].
        16 flags: u32 = "Flags",
        20 padding20: u32,
        /// `SystemBuffer`, `MasterIrp`, or `IrpCount` in the low half.
        24 associated_irp: u64 = "AssociatedIrp",
        32 thread_list_entry: ListEntry = "ThreadListEntry",
        48 io_status: IoStatusBlock = "IoStatus",
        64 requestor_mode: u8 = "RequestorMode",
        65 pending_returned: u8 = "PendingReturned",
        66 stack_count: i8 = "StackCount",
        /// 1 is the lowest driver's location; `StackCount + 1` is before the first.
        67 current_location: i8 = "CurrentLocation",
        68 cancel: u8 = "Cancel",
        69 cancel_irql: Irql = "CancelIrql",
        70 apc_environment: i8 = "ApcEnvironment",
        /// [`irp_allocation_flags`].
        71 allocation_flags: u8 = "AllocationFlags",
        72 user_iosb: u64 = "UserIosb",
        80 user_event: u64 = "UserEvent",
        /// `AllocationSize` of a create request, or the two parts of an APC.
        88 user_apc_routine: u64 = "Overlay.AsynchronousParameters.UserApcRoutine",
        96 user_apc_context: u64 = "Overlay.AsynchronousParameters.UserApcContext",
        104 cancel_routine: u64 = "CancelRoutine",
        112 user_buffer: u64 = "UserBuffer",
        /// The driver's while it owns the request; overlaid by a `KDEVICE_QUEUE_ENTRY`.
        120 driver_context: [u64; 4] = "Tail.Overlay.DriverContext",
        152 thread: u64 = "Tail.Overlay.Thread",
        160 auxiliary_buffer: u64 = "Tail.Overlay.AuxiliaryBuffer",
        /// The driver's while it owns the request.
        168 list_entry: ListEntry = "Tail.Overlay.ListEntry",
        184 current_stack_location: u64 = "Tail.Overlay.CurrentStackLocation",
        192 original_file_object: u64 = "Tail.Overlay.OriginalFileObject",
        200 padding200: u64,
    }

    /// One driver's part of a request.
    struct IoStackLocation = "IO_STACK_LOCATION", size 72 {
        /// One of [`major`].
        0 major_function: u8 = "MajorFunction",
        /// One of [`minor_pnp`], [`minor_power`] or [`minor_wmi`], by major function.
        1 minor_function: u8 = "MinorFunction",
        2 flags: u8 = "Flags",
        /// [`stack_control`].
        3 control: u8 = "Control",
        4 padding4: u32,
        /// See [`IoStackLocation::parameters`] for reading an arm of it.
        8 parameter_bytes: [u64; 4] = "Parameters",
        40 device_object: u64 = "DeviceObject",
        48 file_object: u64 = "FileObject",
        /// Set by the driver above.
        56 completion_routine: u64 = "CompletionRoutine",
        /// The completion routine's argument.
        64 context: u64 = "Context",
    }

    /// An open instance of a device or file.
    struct FileObject = "FILE_OBJECT", size 216 {
        /// [`crate::device::io_type::IO_TYPE_FILE`].
        0 type_: i16 = "Type",
        2 size: i16 = "Size",
        4 padding4: u32,
        8 device_object: u64 = "DeviceObject",
        16 vpb: u64 = "Vpb",
        24 fs_context: u64 = "FsContext",
        32 fs_context2: u64 = "FsContext2",
        40 section_object_pointer: u64 = "SectionObjectPointer",
        48 private_cache_map: u64 = "PrivateCacheMap",
        56 final_status: NtStatus = "FinalStatus",
        60 padding60: u32,
        64 related_file_object: u64 = "RelatedFileObject",
        72 lock_operation: u8 = "LockOperation",
        73 delete_pending: u8 = "DeletePending",
        74 read_access: u8 = "ReadAccess",
        75 write_access: u8 = "WriteAccess",
        76 delete_access: u8 = "DeleteAccess",
        77 shared_read: u8 = "SharedRead",
        78 shared_write: u8 = "SharedWrite",
        79 shared_delete: u8 = "SharedDelete",
        /// [`file_object_flags`].
        80 flags: u32 = "Flags",
        84 padding84: u32,
        88 file_name: UnicodeString = "FileName",
        104 current_byte_offset: i64 = "CurrentByteOffset",
        112 waiters: u32 = "Waiters",
        116 busy: u32 = "Busy",
        120 last_lock: u64 = "LastLock",
        128 lock: KEvent = "Lock",
        152 event: KEvent = "Event",
        176 completion_context: u64 = "CompletionContext",
        184 irp_list_lock: u64 = "IrpListLock",
        192 irp_list: ListEntry = "IrpList",
        208 file_object_extension: u64 = "FileObjectExtension",
    }

    /// What `IRP_MJ_CREATE` asks for, by `SecurityContext`.
    struct IoSecurityContext = "IO_SECURITY_CONTEXT", size 24 {
        0 security_qos: u64 = "SecurityQos",
        8 access_state: u64 = "AccessState",
        16 desired_access: u32 = "DesiredAccess",
        20 full_create_options: u32 = "FullCreateOptions",
    }
}

named_values! {
    /// `MajorFunction`.
    mod major: u8 {
        IRP_MJ_CREATE = 0x00,
        IRP_MJ_CREATE_NAMED_PIPE = 0x01,
        IRP_MJ_CLOSE = 0x02,
        IRP_MJ_READ = 0x03,
        IRP_MJ_WRITE = 0x04,
        IRP_MJ_QUERY_INFORMATION = 0x05,
        IRP_MJ_SET_INFORMATION = 0x06,
        IRP_MJ_QUERY_EA = 0x07,
        IRP_MJ_SET_EA = 0x08,
        IRP_MJ_FLUSH_BUFFERS = 0x09,
        IRP_MJ_QUERY_VOLUME_INFORMATION = 0x0A,
        IRP_MJ_SET_VOLUME_INFORMATION = 0x0B,
        IRP_MJ_DIRECTORY_CONTROL = 0x0C,
        IRP_MJ_FILE_SYSTEM_CONTROL = 0x0D,
        IRP_MJ_DEVICE_CONTROL = 0x0E,
        /// Also `IRP_MJ_SCSI`.
        IRP_MJ_INTERNAL_DEVICE_CONTROL = 0x0F,
        IRP_MJ_SHUTDOWN = 0x10,
        IRP_MJ_LOCK_CONTROL = 0x11,
        IRP_MJ_CLEANUP = 0x12,
        IRP_MJ_CREATE_MAILSLOT = 0x13,
        IRP_MJ_QUERY_SECURITY = 0x14,
        IRP_MJ_SET_SECURITY = 0x15,
        IRP_MJ_POWER = 0x16,
        IRP_MJ_SYSTEM_CONTROL = 0x17,
        IRP_MJ_DEVICE_CHANGE = 0x18,
        IRP_MJ_QUERY_QUOTA = 0x19,
        IRP_MJ_SET_QUOTA = 0x1A,
        IRP_MJ_PNP = 0x1B,
    }

    /// `MinorFunction` of `IRP_MJ_PNP`.
    mod minor_pnp: u8 {
        IRP_MN_START_DEVICE = 0x00,
        IRP_MN_QUERY_REMOVE_DEVICE = 0x01,
        IRP_MN_REMOVE_DEVICE = 0x02,
        IRP_MN_CANCEL_REMOVE_DEVICE = 0x03,
        IRP_MN_STOP_DEVICE = 0x04,
        IRP_MN_QUERY_STOP_DEVICE = 0x05,
        IRP_MN_CANCEL_STOP_DEVICE = 0x06,
        IRP_MN_QUERY_DEVICE_RELATIONS = 0x07,
        IRP_MN_QUERY_INTERFACE = 0x08,
        IRP_MN_QUERY_CAPABILITIES = 0x09,
        IRP_MN_QUERY_RESOURCES = 0x0A,
        IRP_MN_QUERY_RESOURCE_REQUIREMENTS = 0x0B,
        IRP_MN_QUERY_DEVICE_TEXT = 0x0C,
        IRP_MN_FILTER_RESOURCE_REQUIREMENTS = 0x0D,
        IRP_MN_READ_CONFIG = 0x0F,
        IRP_MN_WRITE_CONFIG = 0x10,
        IRP_MN_EJECT = 0x11,
        IRP_MN_SET_LOCK = 0x12,
        IRP_MN_QUERY_ID = 0x13,
        IRP_MN_QUERY_PNP_DEVICE_STATE = 0x14,
        IRP_MN_QUERY_BUS_INFORMATION = 0x15,
        IRP_MN_DEVICE_USAGE_NOTIFICATION = 0x16,
        IRP_MN_SURPRISE_REMOVAL = 0x17,
        IRP_MN_DEVICE_ENUMERATED = 0x19,
    }

    /// `MinorFunction` of `IRP_MJ_POWER`.
    mod minor_power: u8 {
        IRP_MN_WAIT_WAKE = 0x00,
        IRP_MN_POWER_SEQUENCE = 0x01,
        IRP_MN_SET_POWER = 0x02,
        IRP_MN_QUERY_POWER = 0x03,
    }

    /// `MinorFunction` of `IRP_MJ_SYSTEM_CONTROL`.
    mod minor_wmi: u8 {
        IRP_MN_QUERY_ALL_DATA = 0x00,
        IRP_MN_QUERY_SINGLE_INSTANCE = 0x01,
        IRP_MN_CHANGE_SINGLE_INSTANCE = 0x02,
        IRP_MN_CHANGE_SINGLE_ITEM = 0x03,
        IRP_MN_ENABLE_EVENTS = 0x04,
        IRP_MN_DISABLE_EVENTS = 0x05,
        IRP_MN_ENABLE_COLLECTION = 0x06,
        IRP_MN_DISABLE_COLLECTION = 0x07,
        IRP_MN_REGINFO = 0x08,
        IRP_MN_EXECUTE_METHOD = 0x09,
        IRP_MN_REGINFO_EX = 0x0B,
    }

    /// Bits of `Flags` of a request.
    mod irp_flags: u32 {
        IRP_NOCACHE = 0x0000_0001,
        IRP_PAGING_IO = 0x0000_0002,
        IRP_SYNCHRONOUS_API = 0x0000_0004,
        IRP_ASSOCIATED_IRP = 0x0000_0008,
        /// The request has a system buffer.
        IRP_BUFFERED_IO = 0x0000_0010,
        /// Free the system buffer at completion.
        IRP_DEALLOCATE_BUFFER = 0x0000_0020,
        /// Copy the system buffer to `UserBuffer` at completion.
        IRP_INPUT_OPERATION = 0x0000_0040,
        IRP_CREATE_OPERATION = 0x0000_0080,
        IRP_READ_OPERATION = 0x0000_0100,
        IRP_WRITE_OPERATION = 0x0000_0200,
        IRP_CLOSE_OPERATION = 0x0000_0400,
        IRP_DEFER_IO_COMPLETION = 0x0000_0800,
        IRP_OB_QUERY_NAME = 0x0000_1000,
        IRP_HOLD_DEVICE_QUEUE = 0x0000_2000,
        IRP_RETRY_IO_COMPLETION = 0x0000_4000,
        IRP_CLASS_CACHE_OPERATION = 0x0000_8000,
    }

    /// Bits of `AllocationFlags` of a request.
    mod irp_allocation_flags: u8 {
        IRP_QUOTA_CHARGED = 0x01,
        IRP_ALLOCATED_MUST_SUCCEED = 0x02,
        IRP_ALLOCATED_FIXED_SIZE = 0x04,
        IRP_LOOKASIDE_ALLOCATION = 0x08,
    }

    /// Bits of `Control` of a stack location.
    mod stack_control: u8 {
        SL_PENDING_RETURNED = 0x01,
        SL_ERROR_RETURNED = 0x02,
        SL_INVOKE_ON_CANCEL = 0x20,
        SL_INVOKE_ON_SUCCESS = 0x40,
        SL_INVOKE_ON_ERROR = 0x80,
    }

    /// Bits of `Flags` of a file object.
    mod file_object_flags: u32 {
        FO_FILE_OPEN = 0x0000_0001,
        FO_SYNCHRONOUS_IO = 0x0000_0002,
        FO_ALERTABLE_IO = 0x0000_0004,
        FO_NO_INTERMEDIATE_BUFFERING = 0x0000_0008,
        FO_WRITE_THROUGH = 0x0000_0010,
        FO_SEQUENTIAL_ONLY = 0x0000_0020,
        FO_CACHE_SUPPORTED = 0x0000_0040,
        FO_NAMED_PIPE = 0x0000_0080,
        FO_STREAM_FILE = 0x0000_0100,
        FO_MAILSLOT = 0x0000_0200,
        FO_GENERATE_AUDIT_ON_CLOSE = 0x0000_0400,
        FO_DIRECT_DEVICE_OPEN = 0x0000_0800,
        FO_FILE_MODIFIED = 0x0000_1000,
        FO_FILE_SIZE_CHANGED = 0x0000_2000,
        FO_CLEANUP_COMPLETE = 0x0000_4000,
        FO_TEMPORARY_FILE = 0x0000_8000,
        FO_DELETE_ON_CLOSE = 0x0001_0000,
        FO_OPENED_CASE_SENSITIVE = 0x0002_0000,
        FO_HANDLE_CREATED = 0x0004_0000,
        FO_FILE_FAST_IO_READ = 0x0008_0000,
        FO_RANDOM_ACCESS = 0x0010_0000,
        FO_FILE_OPEN_CANCELLED = 0x0020_0000,
        FO_VOLUME_OPEN = 0x0040_0000,
        FO_REMOTE_ORIGIN = 0x0100_0000,
        FO_SKIP_COMPLETION_PORT = 0x0200_0000,
        FO_SKIP_SET_EVENT = 0x0400_0000,
        FO_SKIP_SET_FAST_IO = 0x0800_0000,
    }
}

impl IoStackLocation {
    /// The parameters read as `T`, the arm that goes with the major and minor function.
    #[must_use]
    pub fn parameters<T: StackParameters>(&self) -> T {
        const { assert!(size_of::<T>() <= size_of::<[u64; 4]>()) };
        let mut arm = T::new_zeroed();
        let bytes = arm.as_mut_bytes();
        bytes.copy_from_slice(&self.parameter_bytes.as_bytes()[..size_of::<T>()]);
        arm
    }

    /// Overwrites the bytes of arm `T`; what lies beyond the arm is kept.
    pub fn set_parameters<T: StackParameters>(&mut self, arm: &T) {
        const { assert!(size_of::<T>() <= size_of::<[u64; 4]>()) };
        let bytes = self.parameter_bytes.as_mut_bytes();
        bytes[..size_of::<T>()].copy_from_slice(arm.as_bytes());
    }
}
