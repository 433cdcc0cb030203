//! Direct memory access.
//!
//! Source: WDK reference, "Adapter Objects and DMA", wdm.DMA_OPERATIONS,
//! wdm.DEVICE_DESCRIPTION; wdm.h.

use crate::layout::{layouts, named_values};

layouts! {
    /// What `IoGetDmaAdapter` returns.
    struct DmaAdapter = "DMA_ADAPTER", size 16 {
        0 version: u16 = "Version",
        2 size: u16 = "Size",
        4 padding4: u32,
        8 dma_operations: u64 = "DmaOperations",
    }

    /// The adapter's routines, versions 1 and 2.
    struct DmaOperations = "DMA_OPERATIONS", size 128 {
        0 size: u32 = "Size",
        4 padding4: u32,
        8 put_dma_adapter: u64 = "PutDmaAdapter",
        16 allocate_common_buffer: u64 = "AllocateCommonBuffer",
        24 free_common_buffer: u64 = "FreeCommonBuffer",
        32 allocate_adapter_channel: u64 = "AllocateAdapterChannel",
        40 flush_adapter_buffers: u64 = "FlushAdapterBuffers",
        48 free_adapter_channel: u64 = "FreeAdapterChannel",
        56 free_map_registers: u64 = "FreeMapRegisters",
        64 map_transfer: u64 = "MapTransfer",
        72 get_dma_alignment: u64 = "GetDmaAlignment",
        80 read_dma_counter: u64 = "ReadDmaCounter",
        88 get_scatter_gather_list: u64 = "GetScatterGatherList",
        96 put_scatter_gather_list: u64 = "PutScatterGatherList",
        /// This and what follows: version 2.
        104 calculate_scatter_gather_list: u64 = "CalculateScatterGatherList",
        112 build_scatter_gather_list: u64 = "BuildScatterGatherList",
        120 build_mdl_from_scatter_gather_list: u64 = "BuildMdlFromScatterGatherList",
    }

    /// What a device can do, for `IoGetDmaAdapter`; versions 0 to 2.
    struct DeviceDescription = "DEVICE_DESCRIPTION", size 40 {
        0 version: u32 = "Version",
        4 master: u8 = "Master",
        5 scatter_gather: u8 = "ScatterGather",
        6 demand_mode: u8 = "DemandMode",
        7 auto_initialize: u8 = "AutoInitialize",
        8 dma32_bit_addresses: u8 = "Dma32BitAddresses",
        9 ignore_count: u8 = "IgnoreCount",
        10 reserved1: u8 = "Reserved1",
        11 dma64_bit_addresses: u8 = "Dma64BitAddresses",
        12 bus_number: u32 = "BusNumber",
        16 dma_channel: u32 = "DmaChannel",
        /// One of [`crate::resource::interface_type`].
        20 interface_type: i32 = "InterfaceType",
        /// One of [`dma_width`].
        24 dma_width: u32 = "DmaWidth",
        /// One of [`dma_speed`].
        28 dma_speed: u32 = "DmaSpeed",
        32 maximum_length: u32 = "MaximumLength",
        36 dma_port: u32 = "DmaPort",
    }

    /// Head of `number_of_elements` of [`ScatterGatherElement`].
    struct ScatterGatherList = "SCATTER_GATHER_LIST", size 16 {
        0 number_of_elements: u32 = "NumberOfElements",
        4 padding4: u32,
        8 reserved: u64 = "Reserved",
    }

    /// One piece of a transfer.
    struct ScatterGatherElement = "SCATTER_GATHER_ELEMENT", size 24 {
        0 address: u64 = "Address",
        8 length: u32 = "Length",
        12 padding12: u32,
        16 reserved: u64 = "Reserved",
    }
}

named_values! {
    /// `Version` of a device description.
    mod description_version: u32 {
        DEVICE_DESCRIPTION_VERSION = 0,
        DEVICE_DESCRIPTION_VERSION1 = 1,
        DEVICE_DESCRIPTION_VERSION2 = 2,
    }

    /// `DMA_WIDTH`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod dma_width: u32 {
        Width8Bits = 0,
        Width16Bits = 1,
        Width32Bits = 2,
        Width64Bits = 3,
        WidthNoWrap = 4,
    }

    /// `DMA_SPEED`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod dma_speed: u32 {
        Compatible = 0,
        TypeA = 1,
        TypeB = 2,
        TypeC = 3,
        TypeF = 4,
    }
}
