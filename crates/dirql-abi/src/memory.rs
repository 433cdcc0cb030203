//! Memory descriptor lists, pool, lookaside lists, protection.
//!
//! Source: WDK reference, "Using MDLs", wdm.POOL_TYPE, "Using Lookaside Lists"; wdm.h.

use crate::layout::{layouts, named_values};
use crate::list::{ListEntry, SListHeader};

/// `PAGE_SIZE`.
pub const PAGE_SIZE: u64 = 4096;
/// `PAGE_SHIFT`.
pub const PAGE_SHIFT: u32 = 12;
/// Bits of an MDL's `MdlFlags` that mean that it has a system address.
pub const MDL_HAS_SYSTEM_ADDRESS: u16 =
    mdl_flags::MDL_MAPPED_TO_SYSTEM_VA | mdl_flags::MDL_SOURCE_IS_NONPAGED_POOL;

layouts! {
    /// A memory descriptor list. One 8-byte page frame number per page follows it.
    struct Mdl = "MDL", size 48 {
        0 next: u64 = "Next",
        /// Of this structure and the page frame numbers together.
        8 size: i16 = "Size",
        /// [`mdl_flags`].
        10 mdl_flags: u16 = "MdlFlags",
        12 padding12: u32,
        16 process: u64 = "Process",
        24 mapped_system_va: u64 = "MappedSystemVa",
        /// Page-aligned.
        32 start_va: u64 = "StartVa",
        40 byte_count: u32 = "ByteCount",
        44 byte_offset: u32 = "ByteOffset",
    }

    /// The parts of a lookaside list that code inlined into drivers touches.
    struct GeneralLookaside = "GENERAL_LOOKASIDE", size 128, align(64) {
        0 list_head: SListHeader = "ListHead",
        /// Keep no more elements than this.
        16 depth: u16 = "Depth",
        18 maximum_depth: u16 = "MaximumDepth",
        20 total_allocates: u32 = "TotalAllocates",
        24 allocate_misses: u32 = "AllocateMisses",
        28 total_frees: u32 = "TotalFrees",
        32 free_misses: u32 = "FreeMisses",
        /// One of [`pool_type`].
        36 type_: u32 = "Type",
        40 tag: u32 = "Tag",
        44 size: u32 = "Size",
        48 allocate: u64 = "Allocate",
        56 free: u64 = "Free",
        64 list_entry: ListEntry = "ListEntry",
        80 last_total_allocates: u32 = "LastTotalAllocates",
        84 last_allocate_misses: u32 = "LastAllocateMisses",
        88 future: [u32; 2] = "Future",
        96 padding96: [u64; 4],
    }

    /// A run of physical memory; a run of zeros ends the table.
    struct PhysicalMemoryRange = "PHYSICAL_MEMORY_RANGE", size 16 {
        0 base_address: u64 = "BaseAddress",
        8 number_of_bytes: u64 = "NumberOfBytes",
    }
}

impl Mdl {
    /// The page frame numbers needed for `byte_count` bytes from `byte_offset` in a page.
    #[must_use]
    pub const fn pages(byte_offset: u32, byte_count: u32) -> u64 {
        (byte_offset as u64 + byte_count as u64).div_ceil(PAGE_SIZE)
    }
}

named_values! {
    /// Bits of `MdlFlags`.
    mod mdl_flags: u16 {
        /// `MappedSystemVa` is valid.
        MDL_MAPPED_TO_SYSTEM_VA = 0x0001,
        MDL_PAGES_LOCKED = 0x0002,
        /// Built by `MmBuildMdlForNonPagedPool`; `MappedSystemVa` is valid.
        MDL_SOURCE_IS_NONPAGED_POOL = 0x0004,
        MDL_ALLOCATED_FIXED_SIZE = 0x0008,
        MDL_PARTIAL = 0x0010,
        MDL_PARTIAL_HAS_BEEN_MAPPED = 0x0020,
        MDL_IO_PAGE_READ = 0x0040,
        MDL_WRITE_OPERATION = 0x0080,
        MDL_PARENT_MAPPED_SYSTEM_VA = 0x0100,
        MDL_FREE_EXTRA_PTES = 0x0200,
        MDL_DESCRIBES_AWE = 0x0400,
        MDL_IO_SPACE = 0x0800,
        MDL_NETWORK_HEADER = 0x1000,
        MDL_MAPPING_CAN_FAIL = 0x2000,
        MDL_ALLOCATED_MUST_SUCCEED = 0x4000,
        MDL_INTERNAL = 0x8000,
    }

    /// `POOL_TYPE`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod pool_type: u32 {
        /// Also `NonPagedPoolExecute`.
        NonPagedPool = 0,
        PagedPool = 1,
        NonPagedPoolMustSucceed = 2,
        DontUseThisType = 3,
        NonPagedPoolCacheAligned = 4,
        PagedPoolCacheAligned = 5,
        NonPagedPoolCacheAlignedMustS = 6,
        NonPagedPoolSession = 32,
        PagedPoolSession = 33,
        NonPagedPoolMustSucceedSession = 34,
        DontUseThisTypeSession = 35,
        NonPagedPoolCacheAlignedSession = 36,
        PagedPoolCacheAlignedSession = 37,
        NonPagedPoolCacheAlignedMustSSession = 38,
        /// Since Windows 8: not executable.
        NonPagedPoolNx = 512,
        NonPagedPoolNxCacheAligned = 516,
        NonPagedPoolSessionNx = 544,
    }

    /// Bits that may be added to a pool type.
    mod pool_flags: u32 {
        POOL_QUOTA_FAIL_INSTEAD_OF_RAISE = 0x08,
        POOL_RAISE_IF_ALLOCATION_FAILURE = 0x10,
        POOL_COLD_ALLOCATION = 0x100,
        POOL_NX_ALLOCATION = 0x200,
    }

    /// `EX_POOL_PRIORITY`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod pool_priority: u32 {
        LowPoolPriority = 0,
        LowPoolPrioritySpecialPoolOverrun = 8,
        LowPoolPrioritySpecialPoolUnderrun = 9,
        NormalPoolPriority = 16,
        NormalPoolPrioritySpecialPoolOverrun = 24,
        NormalPoolPrioritySpecialPoolUnderrun = 25,
        HighPoolPriority = 32,
        HighPoolPrioritySpecialPoolOverrun = 40,
        HighPoolPrioritySpecialPoolUnderrun = 41,
    }

    /// `MEMORY_CACHING_TYPE`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod caching_type: i32 {
        MmNonCached = 0,
        MmCached = 1,
        MmWriteCombined = 2,
        MmHardwareCoherentCached = 3,
        MmNonCachedUnordered = 4,
        MmUSWCCached = 5,
        MmNotMapped = -1,
    }

    /// `MM_PAGE_PRIORITY`. Bits 30 and 31 may be added: not writable, not executable.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod page_priority: u32 {
        LowPagePriority = 0,
        NormalPagePriority = 16,
        HighPagePriority = 32,
    }

    /// `LOCK_OPERATION`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod lock_operation: u32 {
        IoReadAccess = 0,
        IoWriteAccess = 1,
        IoModifyAccess = 2,
    }

    /// `MM_SYSTEMSIZE`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod system_size: u32 {
        MmSmallSystem = 0,
        MmMediumSystem = 1,
        MmLargeSystem = 2,
    }

    /// Page protection.
    mod protection: u32 {
        PAGE_NOACCESS = 0x001,
        PAGE_READONLY = 0x002,
        PAGE_READWRITE = 0x004,
        PAGE_WRITECOPY = 0x008,
        PAGE_EXECUTE = 0x010,
        PAGE_EXECUTE_READ = 0x020,
        PAGE_EXECUTE_READWRITE = 0x040,
        PAGE_EXECUTE_WRITECOPY = 0x080,
        PAGE_GUARD = 0x100,
        PAGE_NOCACHE = 0x200,
        PAGE_WRITECOMBINE = 0x400,
    }
}
