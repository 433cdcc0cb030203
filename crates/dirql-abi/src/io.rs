//! What drivers hold beside devices and requests: remove locks, cancel-safe queues, error log
//! packets, bug check callbacks; and the parts of a control code.
//!
//! Source: WDK reference, "Using Remove Locks", "Cancel-Safe IRP Queues", "Logging Errors",
//! "Writing a Bug Check Callback Routine", "Defining I/O Control Codes"; wdm.h.

use crate::dispatcher::KEvent;
use crate::layout::{layouts, named_values};
use crate::list::ListEntry;
use crate::status::NtStatus;

layouts! {
    /// A remove lock of a free build. Checked builds append a debug block and pass the larger
    /// size to the `...Ex` routines.
    struct IoRemoveLock = "IO_REMOVE_LOCK", size 32 {
        0 removed: u8 = "Common.Removed",
        1 reserved: [u8; 3] = "Common.Reserved",
        /// 1 when nobody but the device itself holds it.
        4 io_count: i32 = "Common.IoCount",
        8 remove_event: KEvent = "Common.RemoveEvent",
    }

    /// A cancel-safe queue: the driver's routines that keep it.
    struct IoCsq = "IO_CSQ", size 64 {
        /// One of [`csq_type`].
        0 type_: u32 = "Type",
        4 padding4: u32,
        8 csq_insert_irp: u64 = "CsqInsertIrp",
        16 csq_remove_irp: u64 = "CsqRemoveIrp",
        24 csq_peek_next_irp: u64 = "CsqPeekNextIrp",
        32 csq_acquire_lock: u64 = "CsqAcquireLock",
        40 csq_release_lock: u64 = "CsqReleaseLock",
        48 csq_complete_canceled_irp: u64 = "CsqCompleteCanceledIrp",
        56 reserve_pointer: u64 = "ReservePointer",
    }

    /// Names one request in a cancel-safe queue.
    struct IoCsqIrpContext = "IO_CSQ_IRP_CONTEXT", size 24 {
        0 type_: u32 = "Type",
        4 padding4: u32,
        8 irp: u64 = "Irp",
        16 csq: u64 = "Csq",
    }

    /// Head of an error log packet; dump data of `dump_data_size` bytes and strings follow.
    struct IoErrorLogPacket = "IO_ERROR_LOG_PACKET", size 40 {
        0 major_function_code: u8 = "MajorFunctionCode",
        1 retry_count: u8 = "RetryCount",
        2 dump_data_size: u16 = "DumpDataSize",
        4 number_of_strings: u16 = "NumberOfStrings",
        6 string_offset: u16 = "StringOffset",
        8 event_category: u16 = "EventCategory",
        10 padding10: u16,
        12 error_code: NtStatus = "ErrorCode",
        16 unique_error_value: u32 = "UniqueErrorValue",
        20 final_status: NtStatus = "FinalStatus",
        24 sequence_number: u32 = "SequenceNumber",
        28 io_control_code: u32 = "IoControlCode",
        32 device_offset: i64 = "DeviceOffset",
    }

    /// A routine to call at a bug check.
    struct KBugCheckCallbackRecord = "KBUGCHECK_CALLBACK_RECORD", size 64 {
        0 entry: ListEntry = "Entry",
        16 callback_routine: u64 = "CallbackRoutine",
        24 buffer: u64 = "Buffer",
        32 length: u32 = "Length",
        36 padding36: u32,
        40 component: u64 = "Component",
        48 checksum: u64 = "Checksum",
        /// One of [`bug_check_buffer_state`].
        56 state: u8 = "State",
        57 padding57: [u8; 7],
    }

    /// A routine to call at a bug check for one reason.
    struct KBugCheckReasonCallbackRecord = "KBUGCHECK_REASON_CALLBACK_RECORD", size 48 {
        0 entry: ListEntry = "Entry",
        16 callback_routine: u64 = "CallbackRoutine",
        24 component: u64 = "Component",
        32 checksum: u64 = "Checksum",
        40 reason: u32 = "Reason",
        /// One of [`bug_check_buffer_state`].
        44 state: u8 = "State",
        45 padding45: [u8; 3],
    }
}

named_values! {
    /// `Type` of a cancel-safe queue and its context.
    mod csq_type: u32 {
        IO_TYPE_CSQ_IRP_CONTEXT = 1,
        IO_TYPE_CSQ = 2,
        IO_TYPE_CSQ_EX = 3,
    }

    /// `KBUGCHECK_BUFFER_DUMP_STATE`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod bug_check_buffer_state: u8 {
        BufferEmpty = 0,
        BufferInserted = 1,
        BufferStarted = 2,
        BufferFinished = 3,
        BufferIncomplete = 4,
    }

    /// Buffering method: bits 1 and 0 of a control code.
    mod method: u32 {
        METHOD_BUFFERED = 0,
        METHOD_IN_DIRECT = 1,
        METHOD_OUT_DIRECT = 2,
        METHOD_NEITHER = 3,
    }

    /// Required access: bits 15 and 14 of a control code.
    mod access: u32 {
        FILE_ANY_ACCESS = 0,
        FILE_READ_ACCESS = 1,
        FILE_WRITE_ACCESS = 2,
    }

    /// `IO_ALLOCATION_ACTION`, what an adapter or controller routine returns.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod allocation_action: u32 {
        KeepObject = 1,
        DeallocateObject = 2,
        DeallocateObjectKeepRegisters = 3,
    }

    /// `WORK_QUEUE_TYPE`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod work_queue_type: u32 {
        CriticalWorkQueue = 0,
        DelayedWorkQueue = 1,
        HyperCriticalWorkQueue = 2,
    }

    /// Create disposition: the top byte of `Options` of a create request.
    mod create_disposition: u32 {
        FILE_SUPERSEDE = 0,
        FILE_OPEN = 1,
        FILE_CREATE = 2,
        FILE_OPEN_IF = 3,
        FILE_OVERWRITE = 4,
        FILE_OVERWRITE_IF = 5,
    }

    /// `Information` of a completed create request.
    mod create_result: u64 {
        FILE_SUPERSEDED = 0,
        FILE_OPENED = 1,
        FILE_CREATED = 2,
        FILE_OVERWRITTEN = 3,
        FILE_EXISTS = 4,
        FILE_DOES_NOT_EXIST = 5,
    }

    /// Priority boosts for `IoCompleteRequest`.
    mod io_increment: u8 {
        IO_NO_INCREMENT = 0,
        /// Also `IO_DISK_INCREMENT`, `IO_CD_ROM_INCREMENT` and `IO_VIDEO_INCREMENT`.
        IO_PARALLEL_INCREMENT = 1,
        /// Also `IO_MAILSLOT_INCREMENT`, `IO_NAMED_PIPE_INCREMENT`.
        IO_SERIAL_INCREMENT = 2,
        /// Also `IO_MOUSE_INCREMENT`.
        IO_KEYBOARD_INCREMENT = 6,
        IO_SOUND_INCREMENT = 8,
    }
}

/// `CTL_CODE`: a control code from its parts, each cut to its width.
#[must_use]
pub const fn ctl_code(device_type: u32, function: u32, method: u32, access: u32) -> u32 {
    (device_type & 0xFFFF) << 16 | (access & 3) << 14 | (function & 0xFFF) << 2 | method & 3
}

/// A control code taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlCode {
    /// Bits 31 to 16; see [`crate::device::device_type`].
    pub device_type: u16,
    /// Bits 15 and 14; see [`access`].
    pub access: u8,
    /// Bits 13 to 2. From 0x800 they belong to vendors.
    pub function: u16,
    /// Bits 1 and 0; see [`method`].
    pub method: u8,
}

impl ControlCode {
    /// The parts of `code`.
    #[must_use]
    pub const fn of(code: u32) -> Self {
        Self {
            device_type: (code >> 16) as u16,
            access: (code >> 14) as u8 & 3,
            function: (code >> 2) as u16 & 0xFFF,
            method: code as u8 & 3,
        }
    }
}
