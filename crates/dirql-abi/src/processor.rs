//! Processor control region, thread and shared data: what drivers reach without a call.
//!
//! Code inlined by the compiler reads these through `gs` and at a fixed address, so their layouts
//! are fixed by the drivers that exist. Members that no driver was seen to read are left out or,
//! where they lie between others, named padding.
//!
//! Source: wdm.h and ntddk.h of the Windows 7 driver kit (`KeGetCurrentProcessorNumber`,
//! `KeGetCurrentThread`, `KUSER_SHARED_DATA`, `GROUP_AFFINITY`, `PROCESSOR_NUMBER`); the offsets
//! in [`gs`] and [`kthread`] are those found in driver binaries.

use crate::irql::Irql;
use crate::layout::{layouts, named_values};

/// `KI_USER_SHARED_DATA`: the fixed address of [`KUserSharedData`].
pub const USER_SHARED_DATA_ADDRESS: u64 = 0xFFFF_F780_0000_0000;
/// Most processors in one group.
pub const MAXIMUM_PROC_PER_GROUP: u32 = 64;
/// The compiler's own security cookie, which says that the loader supplied none.
pub const DEFAULT_SECURITY_COOKIE: u64 = 0x0000_2B99_2DDF_A232;

layouts! {
    /// A set of processors of one group.
    struct GroupAffinity = "GROUP_AFFINITY", size 16 {
        0 mask: u64 = "Mask",
        8 group: u16 = "Group",
        10 reserved: [u16; 3] = "Reserved",
    }

    /// A processor by group and number in it.
    struct ProcessorNumber = "PROCESSOR_NUMBER", size 4 {
        0 group: u16 = "Group",
        2 number: u8 = "Number",
        3 reserved: u8 = "Reserved",
    }

    /// A processor's control region up to its [`KPrcb`], which follows at 0x180. `gs` points here.
    struct KPcr = "KPCR", size 0x180 {
        0x00 gdt_base: u64 = "GdtBase",
        0x08 tss_base: u64 = "TssBase",
        0x10 user_rsp: u64 = "UserRsp",
        /// Its own address.
        0x18 self_: u64 = "Self",
        /// Address of the [`KPrcb`].
        0x20 current_prcb: u64 = "CurrentPrcb",
        0x28 lock_array: u64 = "LockArray",
        0x30 used_self: u64 = "Used_Self",
        0x38 idt_base: u64 = "IdtBase",
        0x40 unused: [u64; 2] = "Unused",
        0x50 irql: Irql = "Irql",
        0x51 second_level_cache_associativity: u8 = "SecondLevelCacheAssociativity",
        0x52 obsolete_number: u8 = "ObsoleteNumber",
        0x53 fill0: u8 = "Fill0",
        0x54 unused0: [u32; 3] = "Unused0",
        0x60 major_version: u16 = "MajorVersion",
        0x62 minor_version: u16 = "MinorVersion",
        /// Turns of a delay loop in a microsecond.
        0x64 stall_scale_factor: u32 = "StallScaleFactor",
        0x68 unused1: [u64; 3] = "Unused1",
        0x80 kernel_reserved: [u32; 15] = "KernelReserved",
        0xBC second_level_cache_size: u32 = "SecondLevelCacheSize",
        0xC0 hal_reserved: [u32; 16] = "HalReserved",
        0x100 unused2: u32 = "Unused2",
        0x104 padding104: u32,
        0x108 kd_version_block: u64 = "KdVersionBlock",
        0x110 unused3: u64 = "Unused3",
        0x118 pcr_align1: [u32; 24] = "PcrAlign1",
        0x178 padding178: u64,
    }

    /// The first part of a processor's control block.
    struct KPrcb = "KPRCB", size 0x28 {
        0x00 mx_csr: u32 = "MxCsr",
        /// Read as 32 bits by older drivers: number below 64, and zeros.
        0x04 legacy_number: u8 = "LegacyNumber",
        0x05 reserved_must_be_zero: u8 = "ReservedMustBeZero",
        0x06 interrupt_request: u8 = "InterruptRequest",
        0x07 idle_halt: u8 = "IdleHalt",
        0x08 current_thread: u64 = "CurrentThread",
        0x10 next_thread: u64 = "NextThread",
        0x18 idle_thread: u64 = "IdleThread",
        0x20 nesting_level: u8 = "NestingLevel",
        0x21 padding21: [u8; 3],
        /// Number of the processor over all groups. Since Windows 7.
        0x24 number: u32 = "Number",
    }

    /// A time or count that is written in three parts, so that a reader of both high parts
    /// sees when it changes.
    struct KSystemTime = "KSYSTEM_TIME", size 12 {
        0 low_part: u32 = "LowPart",
        4 high1_time: i32 = "High1Time",
        8 high2_time: i32 = "High2Time",
    }

    /// The page at [`USER_SHARED_DATA_ADDRESS`], as of Windows 7, without the extended state
    /// configuration that follows.
    struct KUserSharedData = "KUSER_SHARED_DATA", size 0x3E0 {
        0x000 tick_count_low_deprecated: u32 = "TickCountLowDeprecated",
        /// Milliseconds in a tick, times 2 to the 24th.
        0x004 tick_count_multiplier: u32 = "TickCountMultiplier",
        /// In 100 ns units since the start.
        0x008 interrupt_time: KSystemTime = "InterruptTime",
        /// In 100 ns units since the start of 1601.
        0x014 system_time: KSystemTime = "SystemTime",
        0x020 time_zone_bias: KSystemTime = "TimeZoneBias",
        0x02C image_number_low: u16 = "ImageNumberLow",
        0x02E image_number_high: u16 = "ImageNumberHigh",
        0x030 nt_system_root: [u16; 260] = "NtSystemRoot",
        0x238 max_stack_trace_depth: u32 = "MaxStackTraceDepth",
        0x23C crypto_exponent: u32 = "CryptoExponent",
        0x240 time_zone_id: u32 = "TimeZoneId",
        0x244 large_page_minimum: u32 = "LargePageMinimum",
        0x248 reserved2: [u32; 7] = "Reserved2",
        /// 1 workstation, 2 domain controller, 3 server.
        0x264 nt_product_type: u32 = "NtProductType",
        0x268 product_type_is_valid: u8 = "ProductTypeIsValid",
        0x269 padding269: [u8; 3],
        0x26C nt_major_version: u32 = "NtMajorVersion",
        0x270 nt_minor_version: u32 = "NtMinorVersion",
        /// Indexed by the `PF_` constants.
        0x274 processor_features: [u8; 64] = "ProcessorFeatures",
        0x2B4 reserved1: u32 = "Reserved1",
        0x2B8 reserved3: u32 = "Reserved3",
        0x2BC time_slip: u32 = "TimeSlip",
        0x2C0 alternative_architecture: u32 = "AlternativeArchitecture",
        0x2C4 alt_architecture_pad: u32 = "AltArchitecturePad",
        0x2C8 system_expiration_date: i64 = "SystemExpirationDate",
        0x2D0 suite_mask: u32 = "SuiteMask",
        0x2D4 kd_debugger_enabled: u8 = "KdDebuggerEnabled",
        0x2D5 nx_support_policy: u8 = "NXSupportPolicy",
        0x2D6 padding2d6: u16,
        0x2D8 active_console_id: u32 = "ActiveConsoleId",
        0x2DC dismount_count: u32 = "DismountCount",
        0x2E0 com_plus_package: u32 = "ComPlusPackage",
        0x2E4 last_system_rit_event_tick_count: u32 = "LastSystemRITEventTickCount",
        0x2E8 number_of_physical_pages: u32 = "NumberOfPhysicalPages",
        0x2EC safe_boot_mode: u8 = "SafeBootMode",
        0x2ED tsc_qpc_data: u8 = "TscQpcData",
        0x2EE tsc_qpc_pad: [u8; 2] = "TscQpcPad",
        0x2F0 shared_data_flags: u32 = "SharedDataFlags",
        0x2F4 data_flags_pad: u32 = "DataFlagsPad",
        0x2F8 test_ret_instruction: u64 = "TestRetInstruction",
        0x300 system_call: u32 = "SystemCall",
        0x304 system_call_return: u32 = "SystemCallReturn",
        0x308 system_call_pad: [u64; 3] = "SystemCallPad",
        /// Ticks since the start; the full 64 bits may be read at once.
        0x320 tick_count: KSystemTime = "TickCount",
        0x32C padding32c: u32,
        0x330 cookie: u32 = "Cookie",
        0x334 cookie_pad: u32 = "CookiePad",
        0x338 console_session_foreground_process_id: i64 = "ConsoleSessionForegroundProcessId",
        0x340 wow64_shared_information: [u32; 16] = "Wow64SharedInformation",
        0x380 user_mode_global_logger: [u16; 16] = "UserModeGlobalLogger",
        0x3A0 image_file_execution_options: u32 = "ImageFileExecutionOptions",
        0x3A4 lang_generation_count: u32 = "LangGenerationCount",
        0x3A8 reserved5: u64 = "Reserved5",
        0x3B0 interrupt_time_bias: u64 = "InterruptTimeBias",
        0x3B8 tsc_qpc_bias: u64 = "TscQpcBias",
        0x3C0 active_processor_count: u32 = "ActiveProcessorCount",
        0x3C4 active_group_count: u16 = "ActiveGroupCount",
        0x3C6 reserved4: u16 = "Reserved4",
        0x3C8 ait_sampling_value: u32 = "AitSamplingValue",
        0x3CC app_compat_flag: u32 = "AppCompatFlag",
        0x3D0 system_dll_native_relocation: u64 = "SystemDllNativeRelocation",
        0x3D8 system_dll_wow_relocation: u32 = "SystemDllWowRelocation",
        0x3DC xstate_pad: u32 = "XStatePad",
    }

    /// An asynchronous procedure call.
    struct KApc = "KAPC", size 88 {
        /// [`crate::dispatcher::kernel_object_type::ApcObject`].
        0 type_: u8 = "Type",
        1 spare_byte0: u8 = "SpareByte0",
        2 size: u8 = "Size",
        3 spare_byte1: u8 = "SpareByte1",
        4 spare_long0: u32 = "SpareLong0",
        8 thread: u64 = "Thread",
        16 apc_list_entry: crate::list::ListEntry = "ApcListEntry",
        32 kernel_routine: u64 = "KernelRoutine",
        40 rundown_routine: u64 = "RundownRoutine",
        48 normal_routine: u64 = "NormalRoutine",
        56 normal_context: u64 = "NormalContext",
        64 system_argument1: u64 = "SystemArgument1",
        72 system_argument2: u64 = "SystemArgument2",
        80 apc_state_index: i8 = "ApcStateIndex",
        81 apc_mode: u8 = "ApcMode",
        82 inserted: u8 = "Inserted",
        83 padding83: [u8; 5],
    }
}

impl KSystemTime {
    /// The three parts of a 64-bit value.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        let high = (value >> 32) as i32;
        Self {
            low_part: value as u32,
            high1_time: high,
            high2_time: high,
        }
    }

    /// The value, from its low and first high part.
    #[must_use]
    pub const fn value(self) -> u64 {
        (self.high1_time as u32 as u64) << 32 | self.low_part as u64
    }
}

/// Offsets that compiled code adds to `gs`.
pub mod gs {
    /// Address of the [`KPcr`](super::KPcr) itself, 8 bytes.
    pub const SELF: usize = 0x18;
    /// Address of the [`KPrcb`](super::KPrcb), 8 bytes.
    pub const CURRENT_PRCB: usize = 0x20;
    /// Where the [`KPrcb`](super::KPrcb) lies.
    pub const PRCB: usize = 0x180;
    /// Processor number, read as 4 bytes.
    pub const LEGACY_NUMBER: usize = 0x184;
    /// Address of the current thread, 8 bytes.
    pub const CURRENT_THREAD: usize = 0x188;
    /// Processor number over all groups, 4 bytes. Since Windows 7.
    pub const NUMBER: usize = 0x1A4;
}

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(gs::PRCB == size_of::<KPcr>());
    assert!(gs::SELF == offset_of!(KPcr, self_));
    assert!(gs::CURRENT_PRCB == offset_of!(KPcr, current_prcb));
    assert!(gs::LEGACY_NUMBER == gs::PRCB + offset_of!(KPrcb, legacy_number));
    assert!(gs::CURRENT_THREAD == gs::PRCB + offset_of!(KPrcb, current_thread));
    assert!(gs::NUMBER == gs::PRCB + offset_of!(KPrcb, number));
};

/// Offsets in a thread object, in the layout of Windows Server 2003 for x64.
///
/// Only these were seen in drivers; the rest of the thread is the kernel's own.
pub mod kthread {
    /// `MutantListHead`, a list of the mutants that it owns.
    pub const MUTANT_LIST_HEAD: usize = 0x18;
    /// `WaitBlockList`, address of the first block of its wait.
    pub const WAIT_BLOCK_LIST: usize = 0x88;
    /// `Priority`, 1 byte.
    pub const PRIORITY: usize = 147;
    /// `WaitBlock`, four of them with other members in what each leaves free at its end.
    pub const WAIT_BLOCK: usize = 0xF8;
    /// `KernelApcDisable`, 2 bytes: negative while normal kernel APCs are disabled.
    pub const KERNEL_APC_DISABLE: usize = 436;
    /// `SpecialApcDisable`, 2 bytes: negative while all kernel APCs are disabled.
    pub const SPECIAL_APC_DISABLE: usize = 438;
}

named_values! {
    /// Indices of `ProcessorFeatures`, argument of `ExIsProcessorFeaturePresent`.
    mod processor_feature: u32 {
        PF_COMPARE_EXCHANGE_DOUBLE = 2,
        PF_MMX_INSTRUCTIONS_AVAILABLE = 3,
        PF_XMMI_INSTRUCTIONS_AVAILABLE = 6,
        PF_RDTSC_INSTRUCTION_AVAILABLE = 8,
        PF_PAE_ENABLED = 9,
        PF_XMMI64_INSTRUCTIONS_AVAILABLE = 10,
        PF_NX_ENABLED = 12,
        PF_SSE3_INSTRUCTIONS_AVAILABLE = 13,
        PF_COMPARE_EXCHANGE128 = 14,
        PF_XSAVE_ENABLED = 17,
    }

    /// `NT_PRODUCT_TYPE`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod product_type: u32 {
        NtProductWinNt = 1,
        NtProductLanManNt = 2,
        NtProductServer = 3,
    }
}
