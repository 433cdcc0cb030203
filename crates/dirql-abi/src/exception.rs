//! Exceptions, processor contexts and unwinding.
//!
//! Source: WDK reference, wdm.EXCEPTION_RECORD; "x64 exception handling" of the C++ reference;
//! winnt.h.

use crate::layout::{layouts, named_values};
use crate::status::NtStatus;

/// `EXCEPTION_MAXIMUM_PARAMETERS`.
pub const MAXIMUM_PARAMETERS: usize = 15;

layouts! {
    /// What was raised and where.
    struct ExceptionRecord = "EXCEPTION_RECORD", size 152 {
        0 exception_code: NtStatus = "ExceptionCode",
        /// [`exception_flags`].
        4 exception_flags: u32 = "ExceptionFlags",
        8 exception_record: u64 = "ExceptionRecord",
        16 exception_address: u64 = "ExceptionAddress",
        24 number_parameters: u32 = "NumberParameters",
        28 padding28: u32,
        /// Of an access violation: 0 read, 1 write, 8 execute; then the address touched.
        32 exception_information: [u64; MAXIMUM_PARAMETERS] = "ExceptionInformation",
    }

    /// A record with its context, for filter expressions.
    struct ExceptionPointers = "EXCEPTION_POINTERS", size 16 {
        0 exception_record: u64 = "ExceptionRecord",
        8 context_record: u64 = "ContextRecord",
    }

    /// A 128-bit register.
    struct M128A = "M128A", size 16, align(16) {
        0 low: u64 = "Low",
        8 high: i64 = "High",
    }

    /// Floating-point state as `fxsave` stores it.
    struct XSaveFormat = "XSAVE_FORMAT", size 512, align(16) {
        0 control_word: u16 = "ControlWord",
        2 status_word: u16 = "StatusWord",
        4 tag_word: u8 = "TagWord",
        5 reserved1: u8 = "Reserved1",
        6 error_opcode: u16 = "ErrorOpcode",
        8 error_offset: u32 = "ErrorOffset",
        12 error_selector: u16 = "ErrorSelector",
        14 reserved2: u16 = "Reserved2",
        16 data_offset: u32 = "DataOffset",
        20 data_selector: u16 = "DataSelector",
        22 reserved3: u16 = "Reserved3",
        24 mx_csr: u32 = "MxCsr",
        28 mx_csr_mask: u32 = "MxCsr_Mask",
        32 float_registers: [M128A; 8] = "FloatRegisters",
        160 xmm_registers: [M128A; 16] = "XmmRegisters",
        416 reserved4: [u8; 96] = "Reserved4",
    }

    /// What `KeSaveExtendedProcessorState` keeps in the caller's storage.
    struct XStateContext = "XSTATE_CONTEXT", size 32 {
        0 mask: u64 = "Mask",
        8 length: u32 = "Length",
        12 reserved1: u32 = "Reserved1",
        16 area: u64 = "Area",
        24 buffer: u64 = "Buffer",
    }

    /// The state of a processor.
    struct Context = "CONTEXT", size 1232, align(16) {
        0x00 p1_home: u64 = "P1Home",
        0x08 p2_home: u64 = "P2Home",
        0x10 p3_home: u64 = "P3Home",
        0x18 p4_home: u64 = "P4Home",
        0x20 p5_home: u64 = "P5Home",
        0x28 p6_home: u64 = "P6Home",
        /// [`context_flags`].
        0x30 context_flags: u32 = "ContextFlags",
        0x34 mx_csr: u32 = "MxCsr",
        0x38 seg_cs: u16 = "SegCs",
        0x3A seg_ds: u16 = "SegDs",
        0x3C seg_es: u16 = "SegEs",
        0x3E seg_fs: u16 = "SegFs",
        0x40 seg_gs: u16 = "SegGs",
        0x42 seg_ss: u16 = "SegSs",
        0x44 e_flags: u32 = "EFlags",
        0x48 dr0: u64 = "Dr0",
        0x50 dr1: u64 = "Dr1",
        0x58 dr2: u64 = "Dr2",
        0x60 dr3: u64 = "Dr3",
        0x68 dr6: u64 = "Dr6",
        0x70 dr7: u64 = "Dr7",
        0x78 rax: u64 = "Rax",
        0x80 rcx: u64 = "Rcx",
        0x88 rdx: u64 = "Rdx",
        0x90 rbx: u64 = "Rbx",
        0x98 rsp: u64 = "Rsp",
        0xA0 rbp: u64 = "Rbp",
        0xA8 rsi: u64 = "Rsi",
        0xB0 rdi: u64 = "Rdi",
        0xB8 r8: u64 = "R8",
        0xC0 r9: u64 = "R9",
        0xC8 r10: u64 = "R10",
        0xD0 r11: u64 = "R11",
        0xD8 r12: u64 = "R12",
        0xE0 r13: u64 = "R13",
        0xE8 r14: u64 = "R14",
        0xF0 r15: u64 = "R15",
        0xF8 rip: u64 = "Rip",
        0x100 flt_save: XSaveFormat = "FltSave",
        0x300 vector_register: [M128A; 26] = "VectorRegister",
        0x4A0 vector_control: u64 = "VectorControl",
        0x4A8 debug_control: u64 = "DebugControl",
        0x4B0 last_branch_to_rip: u64 = "LastBranchToRip",
        0x4B8 last_branch_from_rip: u64 = "LastBranchFromRip",
        0x4C0 last_exception_to_rip: u64 = "LastExceptionToRip",
        0x4C8 last_exception_from_rip: u64 = "LastExceptionFromRip",
    }

    /// Where `setjmp` was called, for `longjmp`.
    struct JumpBuffer = "_JUMP_BUFFER", size 256, align(16) {
        /// The frame to unwind to, or 0 if none is to be unwound.
        0 frame: u64 = "Frame",
        8 rbx: u64 = "Rbx",
        16 rsp: u64 = "Rsp",
        24 rbp: u64 = "Rbp",
        32 rsi: u64 = "Rsi",
        40 rdi: u64 = "Rdi",
        48 r12: u64 = "R12",
        56 r13: u64 = "R13",
        64 r14: u64 = "R14",
        72 r15: u64 = "R15",
        80 rip: u64 = "Rip",
        88 mx_csr: u32 = "MxCsr",
        92 fp_csr: u16 = "FpCsr",
        94 spare: u16 = "Spare",
        96 xmm6: M128A = "Xmm6",
        112 xmm7: M128A = "Xmm7",
        128 xmm8: M128A = "Xmm8",
        144 xmm9: M128A = "Xmm9",
        160 xmm10: M128A = "Xmm10",
        176 xmm11: M128A = "Xmm11",
        192 xmm12: M128A = "Xmm12",
        208 xmm13: M128A = "Xmm13",
        224 xmm14: M128A = "Xmm14",
        240 xmm15: M128A = "Xmm15",
    }

    /// One entry of an image's exception directory; addresses are relative to the image.
    struct RuntimeFunction = "RUNTIME_FUNCTION", size 12 {
        0 begin_address: u32 = "BeginAddress",
        4 end_address: u32 = "EndAddress",
        8 unwind_data: u32 = "UnwindData",
    }

    /// What a language handler such as `__C_specific_handler` is told about its frame.
    struct DispatcherContext = "DISPATCHER_CONTEXT", size 80 {
        0 control_pc: u64 = "ControlPc",
        8 image_base: u64 = "ImageBase",
        16 function_entry: u64 = "FunctionEntry",
        24 establisher_frame: u64 = "EstablisherFrame",
        32 target_ip: u64 = "TargetIp",
        40 context_record: u64 = "ContextRecord",
        48 language_handler: u64 = "LanguageHandler",
        56 handler_data: u64 = "HandlerData",
        64 history_table: u64 = "HistoryTable",
        72 scope_index: u32 = "ScopeIndex",
        76 fill0: u32 = "Fill0",
    }

    /// Head of a frame's scope table: `count` of [`ScopeRecord`] follow.
    struct ScopeTable = "SCOPE_TABLE_AMD64", size 4 {
        0 count: u32 = "Count",
    }

    /// One `__try` of a function; addresses are relative to the image.
    struct ScopeRecord = "SCOPE_TABLE_AMD64.ScopeRecord[0]", size 16 {
        0 begin_address: u32 = "BeginAddress",
        4 end_address: u32 = "EndAddress",
        /// Filter, or 1 for `EXCEPTION_EXECUTE_HANDLER`; of a `__finally`, its handler.
        8 handler_address: u32 = "HandlerAddress",
        /// Start of the `__except` block; 0 for a `__finally`.
        12 jump_target: u32 = "JumpTarget",
    }
}

named_values! {
    /// Bits of `ExceptionFlags`.
    mod exception_flags: u32 {
        EXCEPTION_NONCONTINUABLE = 0x01,
        EXCEPTION_UNWINDING = 0x02,
        EXCEPTION_EXIT_UNWIND = 0x04,
        EXCEPTION_STACK_INVALID = 0x08,
        EXCEPTION_NESTED_CALL = 0x10,
        EXCEPTION_TARGET_UNWIND = 0x20,
        EXCEPTION_COLLIDED_UNWIND = 0x40,
    }

    /// `EXCEPTION_DISPOSITION`, what a language handler returns.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod exception_disposition: u32 {
        ExceptionContinueExecution = 0,
        ExceptionContinueSearch = 1,
        ExceptionNestedException = 2,
        ExceptionCollidedUnwind = 3,
    }

    /// Code of a fast fail: `ecx` at `int 0x29`, first parameter of bug check 0x139.
    mod fast_fail: u32 {
        FAST_FAIL_LEGACY_GS_VIOLATION = 0,
        FAST_FAIL_VTGUARD_CHECK_FAILURE = 1,
        FAST_FAIL_STACK_COOKIE_CHECK_FAILURE = 2,
        FAST_FAIL_CORRUPT_LIST_ENTRY = 3,
        FAST_FAIL_INCORRECT_STACK = 4,
        FAST_FAIL_INVALID_ARG = 5,
        /// The loader left the compiler's own security cookie.
        FAST_FAIL_GS_COOKIE_INIT = 6,
        FAST_FAIL_FATAL_APP_EXIT = 7,
        FAST_FAIL_RANGE_CHECK_FAILURE = 8,
        FAST_FAIL_UNSAFE_REGISTRY_ACCESS = 9,
        FAST_FAIL_GUARD_ICALL_CHECK_FAILURE = 10,
        FAST_FAIL_GUARD_WRITE_CHECK_FAILURE = 11,
        FAST_FAIL_INVALID_FIBER_SWITCH = 12,
        FAST_FAIL_INVALID_SET_OF_CONTEXT = 13,
        FAST_FAIL_INVALID_REFERENCE_COUNT = 14,
        FAST_FAIL_INVALID_JUMP_BUFFER = 18,
        FAST_FAIL_MRDATA_MODIFIED = 19,
        FAST_FAIL_CERTIFICATION_FAILURE = 20,
        FAST_FAIL_INVALID_EXCEPTION_CHAIN = 21,
    }

    /// What a filter expression yields.
    mod filter_result: i32 {
        EXCEPTION_EXECUTE_HANDLER = 1,
        EXCEPTION_CONTINUE_SEARCH = 0,
        EXCEPTION_CONTINUE_EXECUTION = -1,
    }

    /// Bits of `ContextFlags`.
    mod context_flags: u32 {
        CONTEXT_AMD64 = 0x0010_0000,
        CONTEXT_CONTROL = 0x0010_0001,
        CONTEXT_INTEGER = 0x0010_0002,
        CONTEXT_SEGMENTS = 0x0010_0004,
        CONTEXT_FLOATING_POINT = 0x0010_0008,
        CONTEXT_DEBUG_REGISTERS = 0x0010_0010,
        CONTEXT_FULL = 0x0010_000B,
        CONTEXT_ALL = 0x0010_001F,
    }
}
