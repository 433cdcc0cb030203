//! DMA adapters: the routine that gives one, its operations, and their older names.

use dirql_abi::NtStatus;
use dirql_abi::dma::{DeviceDescription, DmaAdapter};
use dirql_abi::memory::Mdl;
use dirql_kernel::DriverPtr;
use dirql_kernel::hal::{ListRequest, TransferRequest, TransferSpan};

use super::{Nothing, exports, operations};

exports! {
    fn IoGetDmaAdapter(device: u64, description: DriverPtr<DeviceDescription>, registers: DriverPtr<u32>) -> DriverPtr<DmaAdapter>
        = |k| k.io_get_dma_adapter(device, description, registers);
    fn HalGetAdapter(description: DriverPtr<DeviceDescription>, registers: DriverPtr<u32>) -> DriverPtr<DmaAdapter>
        = |k| k.io_get_dma_adapter(0, description, registers);
    fn HalPutDmaAdapter(adapter: u64) -> Nothing = |k| k.put_dma_adapter(adapter).map(Nothing::from);
    fn HalAllocateCommonBuffer(adapter: u64, bytes: u32, logical: DriverPtr<u64>, _cached: u8) -> u64
        = |k| k.allocate_common_buffer(adapter, bytes, logical);
    fn HalFreeCommonBuffer(adapter: u64, bytes: u32, logical: u64, address: u64, _cached: u8) -> Nothing
        = |k| k.free_common_buffer(adapter, bytes, logical, address).map(Nothing::from);
    fn HalReadDmaCounter(adapter: u64) -> u32 = |k| k.read_dma_counter(adapter);
    fn IoAllocateAdapterChannel(adapter: u64, device: u64, registers: u32, routine: u64, context: u64) -> NtStatus
        = |k| k.allocate_adapter_channel(adapter, device, registers, routine, context);
    fn IoFlushAdapterBuffers(adapter: u64, _mdl: u64, base: u64, _address: u64, _length: u32, write: u8) -> u8
        = |k| k.flush_adapter_buffers(adapter, base, write);
    fn IoFreeAdapterChannel(adapter: u64) -> Nothing
        = |k| k.free_adapter_channel(adapter).map(Nothing::from);
    fn IoFreeMapRegisters(adapter: u64, base: u64, count: u32) -> Nothing
        = |k| k.free_map_registers(adapter, base, count).map(Nothing::from);
    fn IoMapTransfer(adapter: u64, mdl: DriverPtr<Mdl>, base: u64, address: u64, length: DriverPtr<u32>, write: u8) -> u64
        = |k| k.map_transfer(adapter, mdl, base, address, length, write);
}

operations! {
    fn PutDmaAdapter(adapter: u64) -> Nothing = |k| k.put_dma_adapter(adapter).map(Nothing::from);
    fn AllocateCommonBuffer(adapter: u64, bytes: u32, logical: DriverPtr<u64>, _cached: u8) -> u64
        = |k| k.allocate_common_buffer(adapter, bytes, logical);
    fn FreeCommonBuffer(adapter: u64, bytes: u32, logical: u64, address: u64, _cached: u8) -> Nothing
        = |k| k.free_common_buffer(adapter, bytes, logical, address).map(Nothing::from);
    fn AllocateAdapterChannel(adapter: u64, device: u64, registers: u32, routine: u64, context: u64) -> NtStatus
        = |k| k.allocate_adapter_channel(adapter, device, registers, routine, context);
    fn FlushAdapterBuffers(adapter: u64, _mdl: u64, base: u64, _address: u64, _length: u32, write: u8) -> u8
        = |k| k.flush_adapter_buffers(adapter, base, write);
    fn FreeAdapterChannel(adapter: u64) -> Nothing
        = |k| k.free_adapter_channel(adapter).map(Nothing::from);
    fn FreeMapRegisters(adapter: u64, base: u64, count: u32) -> Nothing
        = |k| k.free_map_registers(adapter, base, count).map(Nothing::from);
    fn MapTransfer(adapter: u64, mdl: DriverPtr<Mdl>, base: u64, address: u64, length: DriverPtr<u32>, write: u8) -> u64
        = |k| k.map_transfer(adapter, mdl, base, address, length, write);
    fn GetDmaAlignment(adapter: u64) -> u32 = |k| k.get_dma_alignment(adapter);
    fn ReadDmaCounter(adapter: u64) -> u32 = |k| k.read_dma_counter(adapter);
    fn GetScatterGatherList(
        adapter: u64, device: u64, mdl: DriverPtr<Mdl>, address: u64, bytes: u32,
        routine: u64, context: u64, write: u8,
    ) -> NtStatus = |k| k.get_scatter_gather_list(ListRequest {
        adapter, device, mdl, address, bytes, routine, context, write_to_device: write,
    });
    fn PutScatterGatherList(adapter: u64, list: u64, write: u8) -> Nothing
        = |k| k.put_scatter_gather_list(adapter, list, write).map(Nothing::from);
    fn CalculateScatterGatherList(
        adapter: u64, mdl: DriverPtr<Mdl>, address: u64, bytes: u32,
        size: DriverPtr<u32>, registers: DriverPtr<u32>,
    ) -> NtStatus = |k| k.calculate_scatter_gather_list(adapter, mdl, address, bytes, size, registers);
    fn BuildScatterGatherList(
        adapter: u64, device: u64, mdl: DriverPtr<Mdl>, address: u64, bytes: u32,
        routine: u64, context: u64, write: u8, buffer: u64, buffer_bytes: u32,
    ) -> NtStatus = |k| k.build_scatter_gather_list(
        ListRequest { adapter, device, mdl, address, bytes, routine, context, write_to_device: write },
        buffer,
        buffer_bytes,
    );
    fn GetDmaAdapterInfo(adapter: u64, info: DriverPtr<[u32; 6]>) -> NtStatus = |k| k.get_dma_adapter_info(adapter, info);
    fn GetDmaTransferInfo(adapter: u64, mdl: DriverPtr<Mdl>, offset: u64, bytes: u32, _write_only: u8, info: DriverPtr<[u32; 4]>) -> NtStatus
        = |k| k.get_dma_transfer_info(adapter, TransferSpan { mdl, offset, bytes }, info);
    fn InitializeDmaTransferContext(adapter: u64, context: u64) -> NtStatus
        = |k| k.initialize_dma_transfer_context(adapter, context);
    fn AllocateCommonBufferEx(adapter: u64, maximum: DriverPtr<u64>, bytes: u32, logical: DriverPtr<u64>, _cached: u8, _node: u32) -> u64
        = |k| k.allocate_common_buffer_ex(adapter, maximum, bytes, logical);
    fn AllocateAdapterChannelEx(
        adapter: u64, device: u64, transfer: u64, registers: u32, flags: u32, routine: u64, context: u64,
        out: DriverPtr<u64>,
    ) -> NtStatus = |k| k.allocate_adapter_channel_ex(
        TransferRequest { adapter, device, transfer, flags, routine, context, out },
        registers,
    );
    fn CancelAdapterChannel(adapter: u64, _device: u64, transfer: u64) -> u8
        = |k| k.cancel_adapter_channel(adapter, transfer);
    fn MapTransferEx(
        adapter: u64, mdl: DriverPtr<Mdl>, base: u64, offset: u64, _device_offset: u32, length: DriverPtr<u32>,
        write: u8, list: u64, room: u32, _completion: u64, _context: u64,
    ) -> NtStatus = |k| {
        let bytes = k.read(length)?;
        k.map_transfer_ex((adapter, base), TransferSpan { mdl, offset, bytes }, write, (list, room))
    };
    fn GetScatterGatherListEx(
        adapter: u64, device: u64, transfer: u64, mdl: DriverPtr<Mdl>, offset: u64, bytes: u32, flags: u32,
        routine: u64, context: u64, write: u8, _completion: u64, _completion_context: u64, out: DriverPtr<u64>,
    ) -> NtStatus = |k| k.scatter_gather_list_ex(
        TransferRequest { adapter, device, transfer, flags, routine, context, out },
        TransferSpan { mdl, offset, bytes },
        write,
        None,
    );
    fn BuildScatterGatherListEx(
        adapter: u64, device: u64, transfer: u64, mdl: DriverPtr<Mdl>, offset: u64, bytes: u32, flags: u32,
        routine: u64, context: u64, write: u8, buffer: u64, room: u32, _completion: u64, _completion_context: u64,
        out: DriverPtr<u64>,
    ) -> NtStatus = |k| k.scatter_gather_list_ex(
        TransferRequest { adapter, device, transfer, flags, routine, context, out },
        TransferSpan { mdl, offset, bytes },
        write,
        Some((buffer, room)),
    );
    fn FlushAdapterBuffersEx(adapter: u64, _mdl: u64, base: u64, _offset: u64, _length: u32, write: u8) -> NtStatus
        = |k| k.flush_adapter_buffers_ex(adapter, base, write);
    fn FreeAdapterObject(adapter: u64, action: u32) -> Nothing
        = |k| k.free_adapter_object(adapter, action).map(Nothing::from);
    fn DmaNotModelled() -> u64 = |k| k.dma_not_modelled();
    fn BuildMdlFromScatterGatherList(adapter: u64, list: u64, original: DriverPtr<Mdl>, target: DriverPtr<u64>) -> NtStatus
        = |k| k.build_mdl_from_scatter_gather_list(adapter, list, original, target);
}
