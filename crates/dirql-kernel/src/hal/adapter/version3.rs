//! Version 3 of the interface: transfers with a context, that can be cancelled, and that give their
//! results without calling a routine.
//!
//! Not modelled: what only the system's DMA controller has, DMA domains, common buffers with bounds
//! or in vectors. Calling one of those ends the run.
//!
//! Source: WDK reference, wdm.DMA_OPERATIONS, wdm.PGET_DMA_ADAPTER_INFO,
//! wdm.PGET_DMA_TRANSFER_INFO, wdm.PINITIALIZE_DMA_TRANSFER_CONTEXT,
//! wdm.PALLOCATE_COMMON_BUFFER_EX, wdm.PALLOCATE_ADAPTER_CHANNEL_EX, wdm.PCANCEL_ADAPTER_CHANNEL,
//! wdm.PMAP_TRANSFER_EX, wdm.PGET_SCATTER_GATHER_LIST_EX, wdm.PBUILD_SCATTER_GATHER_LIST_EX,
//! wdm.PFLUSH_ADAPTER_BUFFERS_EX, wdm.PFREE_ADAPTER_OBJECT.

use alloc::string::String;

use dirql_abi::NtStatus;
use dirql_abi::io::allocation_action;
use dirql_abi::is_true;
use dirql_abi::memory::Mdl;
use dirql_rules::ids;

use super::list::list_size;
use super::pages::Span;
use super::{ListRequest, Request};
use crate::mm::virtual_address_of;
use crate::{Ddi, DriverPtr, Kernel};

/// `DEVICE_DESCRIPTION_VERSION3`.
pub(super) const VERSION: u32 = 3;

/// Where version 2 of the table ends, and version 3 of it.
pub(super) const VERSION_2_BYTES: u64 = 128;
pub(super) const VERSION_3_BYTES: u64 = 320;

/// The table's routines behind those of version 2, in order; those that follow are not modelled.
pub(super) const ROUTINES: [&str; 12] = [
    "dirql:GetDmaAdapterInfo",
    "dirql:GetDmaTransferInfo",
    "dirql:InitializeDmaTransferContext",
    "dirql:AllocateCommonBufferEx",
    "dirql:AllocateAdapterChannelEx",
    NOT_MODELLED,
    "dirql:CancelAdapterChannel",
    "dirql:MapTransferEx",
    "dirql:GetScatterGatherListEx",
    "dirql:BuildScatterGatherListEx",
    "dirql:FlushAdapterBuffersEx",
    "dirql:FreeAdapterObject",
];

/// Stands where a routine is not modelled.
pub(super) const NOT_MODELLED: &str = "dirql:DmaNotModelled";

/// `DMA_TRANSFER_CONTEXT_SIZE_V1` on x64.
const CONTEXT_BYTES: usize = 128;

/// `DMA_ADAPTER_INFO_VERSION1` and `DMA_TRANSFER_INFO_VERSION1`.
const INFO_VERSION_1: u32 = 1;

/// `DMA_SYNCHRONOUS_CALLBACK`: now or not at all.
const SYNCHRONOUS: u32 = 1;

/// How a driver of version 3 wants to be served.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// Where the result goes, or null.
    pub(super) out: DriverPtr<u64>,
    /// The transfer's context, or 0.
    pub(super) transfer: u64,
    /// Now or not at all.
    pub(super) at_once: bool,
}

impl Manner {
    /// As before version 3.
    pub(super) const OLD: Self = Self {
        out: DriverPtr::NULL,
        transfer: 0,
        at_once: false,
    };

    /// A synchronous request needs no routine; another one waits until one can be called.
    fn new(flags: u32, routine: u64, transfer: u64, out: DriverPtr<u64>) -> Option<Self> {
        let at_once = flags & SYNCHRONOUS != 0;
        (at_once || routine != 0).then_some(Self {
            out,
            transfer,
            at_once,
        })
    }
}

/// A part of a driver's buffer as version 3 names it: from the first MDL's beginning.
#[derive(Clone, Copy, Debug)]
pub struct TransferSpan {
    /// The first MDL.
    pub mdl: DriverPtr<Mdl>,
    /// Where in it the transfer begins, in bytes.
    pub offset: u64,
    /// Its bytes.
    pub bytes: u32,
}

/// What is the same in the requests of version 3.
#[derive(Clone, Copy, Debug)]
pub struct TransferRequest {
    /// The adapter.
    pub adapter: u64,
    /// The device that the routine is told.
    pub device: u64,
    /// `DmaTransferContext`.
    pub transfer: u64,
    /// `Flags`.
    pub flags: u32,
    /// `ExecutionRoutine`, which may be null.
    pub routine: u64,
    /// For it.
    pub context: u64,
    /// Where the result goes, or null.
    pub out: DriverPtr<u64>,
}

impl Kernel {
    /// `NTSTATUS GetDmaAdapterInfo(PDMA_ADAPTER, PDMA_ADAPTER_INFO)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: NOT_SUPPORTED for another version than 1.
    /// - Source: WDK reference, wdm.PGET_DMA_ADAPTER_INFO.
    ///
    /// # Errors
    /// An argument that is not memory; that it is no adapter.
    pub fn get_dma_adapter_info(&self, adapter: u64, info: DriverPtr<[u32; 6]>) -> Ddi<NtStatus> {
        self.expect_adapter(adapter)?;
        let mut told = self.read(info)?;
        if told[0] != INFO_VERSION_1 {
            return Ok(NtStatus::NOT_SUPPORTED);
        }
        let known = self.with_adapter(adapter, |state| {
            let limit = if state.scatter_gather {
                state.registers
            } else {
                1
            };
            (limit, 64 - state.reach.leading_zeros())
        });
        let (limit, width) = known.unwrap_or_default();
        // ReadDmaCounterAvailable, ScatterGatherLimit, DmaAddressWidth, Flags,
        // MinimumTransferUnit.
        told[1..].copy_from_slice(&[0, limit, width, 0, 1]);
        self.write(info, told)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS GetDmaTransferInfo(PDMA_ADAPTER, PMDL, ULONGLONG Offset, ULONG Length, BOOLEAN
    /// WriteOnly, PDMA_TRANSFER_INFO)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: NOT_SUPPORTED for another version than 1; INSUFFICIENT_RESOURCES for more pages
    ///   than the adapter has map registers.
    /// - Source: WDK reference, wdm.PGET_DMA_TRANSFER_INFO.
    ///
    /// # Errors
    /// An argument that is not memory; that it is no adapter.
    pub fn get_dma_transfer_info(
        &self,
        adapter: u64,
        span: TransferSpan,
        info: DriverPtr<[u32; 4]>,
    ) -> Ddi<NtStatus> {
        self.expect_adapter(adapter)?;
        let mut told = self.read(info)?;
        if told[0] != INFO_VERSION_1 {
            return Ok(NtStatus::NOT_SUPPORTED);
        }
        let pages = self.pages_of(self.span_of(span)?)?;
        let known = self.with_adapter(adapter, |state| (state.registers, state.scatter_gather));
        let (most, gathers) = known.unwrap_or_default();
        if pages > most {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        let elements = if gathers { pages } else { 1 };
        // MapRegisterCount, ScatterGatherElementCount, ScatterGatherListSize.
        told[1..].copy_from_slice(&[pages, elements, list_size(elements) as u32]);
        self.write(info, told)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS InitializeDmaTransferContext(PDMA_ADAPTER, PVOID DmaTransferContext)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Source: WDK reference, wdm.PINITIALIZE_DMA_TRANSFER_CONTEXT.
    ///
    /// # Errors
    /// The context is not memory; that it is no adapter.
    pub fn initialize_dma_transfer_context(&self, adapter: u64, context: u64) -> Ddi<NtStatus> {
        self.expect_adapter(adapter)?;
        self.write_bytes(context, &[0; CONTEXT_BYTES])?;
        Ok(NtStatus::SUCCESS)
    }

    /// `PVOID AllocateCommonBufferEx(PDMA_ADAPTER, PPHYSICAL_ADDRESS MaximumAddress, ULONG Length,
    /// PPHYSICAL_ADDRESS LogicalAddress, BOOLEAN CacheEnabled, NODE_REQUIREMENT)`: as
    /// [`Kernel::allocate_common_buffer`], below the maximum if there is one.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Source: WDK reference, wdm.PALLOCATE_COMMON_BUFFER_EX.
    ///
    /// # Errors
    /// An argument that is not memory; that it is no adapter.
    pub fn allocate_common_buffer_ex(
        &self,
        adapter: u64,
        maximum: DriverPtr<u64>,
        bytes: u32,
        logical: DriverPtr<u64>,
    ) -> Ddi<u64> {
        let highest = match maximum.is_null() {
            true => u64::MAX,
            false => self.read(maximum)?,
        };
        self.allocate_common_buffer_below(adapter, highest, bytes, logical)
    }

    /// `NTSTATUS AllocateAdapterChannelEx(PDMA_ADAPTER, PDEVICE_OBJECT, PVOID DmaTransferContext,
    /// ULONG NumberOfMapRegisters, ULONG Flags, PDRIVER_CONTROL ExecutionRoutine, PVOID
    /// ExecutionContext, PVOID *MapRegisterBase)`
    ///
    /// As [`Kernel::allocate_adapter_channel`]. Without a routine the driver keeps channel and map
    /// registers until [`Kernel::free_adapter_object`].
    ///
    /// - IRQL: at or below DISPATCH_LEVEL; the routine runs at it.
    /// - Returns: INSUFFICIENT_RESOURCES also if a synchronous request would have to wait;
    ///   INVALID_PARAMETER for another one without a routine.
    /// - Source: WDK reference, wdm.PALLOCATE_ADAPTER_CHANNEL_EX.
    ///
    /// # Errors
    /// The bug check if the device is none.
    pub fn allocate_adapter_channel_ex(
        &self,
        request: TransferRequest,
        registers: u32,
    ) -> Ddi<NtStatus> {
        let TransferRequest {
            routine,
            transfer,
            out,
            ..
        } = request;
        let Some(manner) = Manner::new(request.flags, routine, transfer, out) else {
            return Ok(NtStatus::INVALID_PARAMETER);
        };
        let (adapter, device) = (request.adapter, request.device);
        self.allocate_channel(
            (adapter, device),
            registers,
            (routine, request.context),
            manner,
        )
    }

    /// `BOOLEAN CancelAdapterChannel(PDMA_ADAPTER, PDEVICE_OBJECT, PVOID DmaTransferContext)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: TRUE if the request was still waiting; its routine is not called then.
    /// - Source: WDK reference, wdm.PCANCEL_ADAPTER_CHANNEL.
    ///
    /// # Errors
    /// That it is no adapter.
    pub fn cancel_adapter_channel(&self, adapter: u64, transfer: u64) -> Ddi<u8> {
        self.expect_adapter(adapter)?;
        let cancelled = self.with_adapter(adapter, |state| {
            let index = state
                .waiting
                .iter()
                .position(|request| request.transfer() == transfer && transfer != 0)?;
            state.waiting.remove(index)
        });
        let Some(request) = cancelled.flatten() else {
            return Ok(0);
        };
        if let Request::List(wish) = request {
            self.forget_list(&wish)?;
        }
        self.serve_waiting(adapter)?;
        Ok(1)
    }

    /// `NTSTATUS GetScatterGatherListEx(PDMA_ADAPTER, PDEVICE_OBJECT, PVOID DmaTransferContext, PMDL,
    /// ULONGLONG Offset, ULONG Length, ULONG Flags, PDRIVER_LIST_CONTROL, PVOID Context, BOOLEAN
    /// WriteToDevice, PDMA_COMPLETION_ROUTINE, PVOID CompletionContext, PSCATTER_GATHER_LIST *)`, and
    /// with a buffer `BuildScatterGatherListEx`. A bus master's transfer calls no completion
    /// routine.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: as [`Kernel::get_scatter_gather_list`], [`Kernel::build_scatter_gather_list`] and
    ///   [`Kernel::allocate_adapter_channel_ex`].
    /// - Source: WDK reference, wdm.PGET_SCATTER_GATHER_LIST_EX, wdm.PBUILD_SCATTER_GATHER_LIST_EX.
    ///
    /// # Errors
    /// The bug check if the device is none.
    pub fn scatter_gather_list_ex(
        &self,
        request: TransferRequest,
        span: TransferSpan,
        write_to_device: u8,
        buffer: Option<(u64, u32)>,
    ) -> Ddi<NtStatus> {
        let TransferRequest {
            routine,
            transfer,
            out,
            ..
        } = request;
        let Some(manner) = Manner::new(request.flags, routine, transfer, out) else {
            return Ok(NtStatus::INVALID_PARAMETER);
        };
        let Span {
            mdl,
            address,
            bytes,
            ..
        } = self.span_of(span)?;
        let request = ListRequest {
            adapter: request.adapter,
            device: request.device,
            mdl,
            address,
            bytes,
            routine,
            context: request.context,
            write_to_device,
        };
        self.build_list(request, buffer, manner)
    }

    /// `NTSTATUS MapTransferEx(PDMA_ADAPTER, PMDL, PVOID MapRegisterBase, ULONGLONG Offset, ULONG
    /// DeviceOffset, PULONG Length, BOOLEAN WriteToDevice, PSCATTER_GATHER_LIST, ULONG
    /// ScatterGatherBufferLength, PDMA_COMPLETION_ROUTINE, PVOID CompletionContext)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the list of what was mapped, which is all; BUFFER_TOO_SMALL if it has no room.
    /// - Findings: as [`Kernel::map_transfer`].
    /// - Source: WDK reference, wdm.PMAP_TRANSFER_EX.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] after such a finding.
    pub fn map_transfer_ex(
        &self,
        (adapter, base): (u64, u64),
        span: TransferSpan,
        write_to_device: u8,
        (list, room): (u64, u32),
    ) -> Ddi<NtStatus> {
        let span = Span {
            chained: true,
            ..self.span_of(span)?
        };
        self.map_list(
            (adapter, base),
            span,
            is_true(write_to_device),
            (list, room),
        )
    }

    /// `NTSTATUS FlushAdapterBuffersEx(PDMA_ADAPTER, PMDL, PVOID MapRegisterBase, ULONGLONG Offset,
    /// ULONG Length, BOOLEAN WriteToDevice)`: as [`Kernel::flush_adapter_buffers`].
    ///
    /// # Errors
    /// As there.
    pub fn flush_adapter_buffers_ex(
        &self,
        adapter: u64,
        base: u64,
        write_to_device: u8,
    ) -> Ddi<NtStatus> {
        self.flush_adapter_buffers(adapter, base, write_to_device)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `VOID FreeAdapterObject(PDMA_ADAPTER, IO_ALLOCATION_ACTION)`: the channel that was given
    /// without a routine, with its map registers unless they are kept.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: as [`Kernel::free_adapter_channel`].
    /// - Source: WDK reference, wdm.PFREE_ADAPTER_OBJECT.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] if a finding ends the run.
    pub fn free_adapter_object(&self, adapter: u64, action: u32) -> Ddi<()> {
        if action != allocation_action::DeallocateObjectKeepRegisters {
            return self.free_adapter_channel(adapter);
        }
        self.expect_adapter(adapter)?;
        self.with_adapter(adapter, |state| state.channel = None);
        self.serve_waiting(adapter)
    }

    /// A routine of the table that is not modelled.
    ///
    /// # Errors
    /// Always [`crate::Stop::Ended`], after the finding.
    pub fn dma_not_modelled(&self) -> Ddi<u64> {
        let message = String::from(
            "the driver called a routine of version 3 of DMA_OPERATIONS that is not implemented",
        );
        Err(self.find_fatal(ids::UNIMPLEMENTED_IMPORT, message, None))
    }

    fn span_of(&self, span: TransferSpan) -> Ddi<Span> {
        let first = virtual_address_of(&self.read(span.mdl)?);
        Ok(Span {
            mdl: span.mdl,
            address: first.wrapping_add(span.offset),
            bytes: span.bytes,
            chained: true,
        })
    }
}
