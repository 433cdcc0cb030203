//! Scatter/gather lists.
//!
//! Source: WDK reference, "Using Scatter/Gather DMA", wdm.PGET_SCATTER_GATHER_LIST and its
//! relatives.

use alloc::format;
use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::dma::{ScatterGatherElement, ScatterGatherList};
use dirql_abi::is_true;
use dirql_abi::memory::{Mdl, mdl_flags};
use dirql_rules::ids;

use super::pages::{Piece, Span};
use super::version3::Manner;
use super::{RegisterSet, Request, TAG};
use crate::mm::layout::{PAGE, pages_spanned};
use crate::mm::{frame_at, virtual_address_of};
use crate::{Ddi, DriverPtr, Kernel, at};

/// A request for a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) registers: u32,
    span: Span,
    device: u64,
    routine: u64,
    context: u64,
    to_device: bool,
    /// Where the list is to be.
    buffer: u64,
    /// That is pool of ours.
    in_pool: bool,
    pub(super) manner: Manner,
}

/// A list that a driver has.
#[derive(Debug)]
pub(super) struct List {
    pub(super) registers: RegisterSet,
    /// It lies in pool of ours.
    in_pool: bool,
}

/// What a driver asks a list for.
#[derive(Clone, Copy, Debug)]
pub struct ListRequest {
    /// The adapter.
    pub adapter: u64,
    /// The device that the routine is told.
    pub device: u64,
    /// The first MDL.
    pub mdl: DriverPtr<Mdl>,
    /// Where in it the transfer begins.
    pub address: u64,
    /// Its bytes.
    pub bytes: u32,
    /// PDRIVER_LIST_CONTROL.
    pub routine: u64,
    /// For it.
    pub context: u64,
    /// Direction.
    pub write_to_device: u8,
}

impl Kernel {
    /// `NTSTATUS GetScatterGatherList(PDMA_ADAPTER, PDEVICE_OBJECT, PMDL, PVOID CurrentVa, ULONG
    /// Length, PDRIVER_LIST_CONTROL, PVOID Context, BOOLEAN WriteToDevice)`
    ///
    /// Calls the routine with the list as soon as there are map registers, at once if there are
    /// now.
    ///
    /// - IRQL: DISPATCH_LEVEL; the routine runs at it.
    /// - Returns: `STATUS_BUFFER_TOO_SMALL` outside the MDLs, `STATUS_INSUFFICIENT_RESOURCES` for
    ///   more pages than map registers, or without pool.
    /// - Findings: DQ0440 if it is no adapter.
    /// - Source: WDK reference, wdm.PGET_SCATTER_GATHER_LIST.
    ///
    /// # Errors
    /// The bug check if the device is none.
    pub fn get_scatter_gather_list(&self, request: ListRequest) -> Ddi<NtStatus> {
        self.build_list(request, None, Manner::OLD)
    }

    /// `NTSTATUS BuildScatterGatherList(..., PVOID ScatterGatherBuffer, ULONG
    /// ScatterGatherLength)`: [`Kernel::get_scatter_gather_list`] into the driver's memory.
    ///
    /// - IRQL: DISPATCH_LEVEL.
    /// - Returns: also `STATUS_BUFFER_TOO_SMALL` for a buffer that is smaller than
    ///   CalculateScatterGatherList says.
    /// - Source: WDK reference, wdm.PBUILD_SCATTER_GATHER_LIST.
    ///
    /// # Errors
    /// As there.
    pub fn build_scatter_gather_list(
        &self,
        request: ListRequest,
        buffer: u64,
        bytes: u32,
    ) -> Ddi<NtStatus> {
        self.build_list(request, Some((buffer, bytes)), Manner::OLD)
    }

    pub(super) fn build_list(
        &self,
        request: ListRequest,
        buffer: Option<(u64, u32)>,
        manner: Manner,
    ) -> Ddi<NtStatus> {
        let adapter = request.adapter;
        self.expect_adapter(adapter)?;
        self.expect_device(request.device)?;
        let span = Span {
            mdl: request.mdl,
            address: request.address,
            bytes: request.bytes,
            chained: true,
        };
        if self.pieces(span)?.is_none_or(|pieces| pieces.is_empty()) {
            return Ok(NtStatus::BUFFER_TOO_SMALL);
        }
        let registers = self.pages_of(span)?;
        let most = self.with_adapter(adapter, |state| state.registers);
        if most.is_none_or(|most| registers > most) {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        let needed = list_size(registers);
        let in_pool = buffer.is_none();
        let buffer = match buffer {
            Some((_, bytes)) if u64::from(bytes) < needed => return Ok(NtStatus::BUFFER_TOO_SMALL),
            Some((buffer, _)) => buffer,
            None => self.allocate_zeroed(needed, TAG)?,
        };
        if buffer == 0 {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        let wish = Wish {
            registers,
            span,
            device: request.device,
            routine: request.routine,
            context: request.context,
            to_device: is_true(request.write_to_device),
            buffer,
            in_pool,
            manner,
        };
        let request = Request::List(wish);
        if manner.at_once && !self.can_serve_now(adapter, &request) {
            self.forget_list(&wish)?;
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        self.request_registers(adapter, request)?;
        Ok(NtStatus::SUCCESS)
    }

    /// A list is not made: its memory is given back.
    pub(super) fn forget_list(&self, wish: &Wish) -> Ddi<()> {
        if wish.in_pool {
            self.pool_free(wish.buffer, Some(TAG))?;
        }
        Ok(())
    }

    /// Makes the list and calls the routine that waited for it.
    pub(super) fn give_list(&self, adapter: u64, wish: &Wish) -> Ddi<()> {
        let known = self.with_adapter(adapter, |state| (state.reach, state.scatter_gather));
        let (reach, gathers) = known.unwrap_or_default();
        let pieces = self.pieces(wish.span)?.unwrap_or_default();
        let made = self.elements(&pieces, (reach, gathers), wish.to_device);
        let Some((elements, bounces)) = made else {
            let message = format!("no memory behind {} map registers", wish.registers);
            return Err(self.refuse(ids::DMA_TRANSFER, message, None));
        };
        let list = wish.buffer;
        self.write_list(list, &elements)?;
        let registers = RegisterSet {
            count: wish.registers,
            mapped: wish.registers,
            bounces,
            place: self.here(),
        };
        let entry = List {
            registers,
            in_pool: wish.in_pool,
        };
        self.with_adapter(adapter, |state| state.lists.insert(list, entry));
        if !wish.manner.out.is_null() {
            self.write(wish.manner.out, list)?;
        }
        if wish.routine == 0 {
            return Ok(());
        }
        let irp = self.current_irp(wish.device)?;
        let arguments = [wish.device, irp, list, wish.context];
        self.call_at_dispatch("AdapterListControl", wish.routine, &arguments)?;
        Ok(())
    }

    pub(super) fn write_list(&self, list: u64, elements: &[Piece]) -> Ddi<()> {
        let head = ScatterGatherList {
            number_of_elements: elements.len() as u32,
            padding4: 0,
            reserved: 0,
        };
        self.write(DriverPtr::new(list), head)?;
        let first =
            DriverPtr::<ScatterGatherElement>::new(list + size_of::<ScatterGatherList>() as u64);
        for (index, piece) in elements.iter().enumerate() {
            let element = ScatterGatherElement {
                address: piece.physical,
                length: piece.bytes,
                padding12: 0,
                reserved: 0,
            };
            self.write(first.element(index), element)?;
        }
        Ok(())
    }

    /// `VOID PutScatterGatherList(PDMA_ADAPTER, PSCATTER_GATHER_LIST, BOOLEAN WriteToDevice)`
    ///
    /// Flushes the transfer and gives list and map registers back.
    ///
    /// - IRQL: DISPATCH_LEVEL.
    /// - Findings: DQ0440 if the adapter did not give the list, or has it back already.
    /// - Source: WDK reference, wdm.PPUT_SCATTER_GATHER_LIST.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] after the finding.
    pub fn put_scatter_gather_list(&self, adapter: u64, list: u64, write_to_device: u8) -> Ddi<()> {
        self.expect_adapter(adapter)?;
        let set = self.with_adapter(adapter, |state| {
            let known = state.lists.remove(&list)?;
            state.used -= known.registers.count;
            Some(known)
        });
        let Some(known) = set.flatten() else {
            let message =
                format!("{list:#x} is no scatter/gather list of this adapter, or was put");
            return Err(self.refuse(ids::DMA_ADAPTER, message, None));
        };
        for bounce in known.registers.bounces {
            self.end_bounce(bounce, is_true(write_to_device))?;
        }
        if known.in_pool {
            self.pool_free(list, Some(TAG))?;
        }
        self.serve_waiting(adapter)
    }

    /// `NTSTATUS CalculateScatterGatherList(PDMA_ADAPTER, PMDL, PVOID CurrentVa, ULONG Length, PULONG
    /// ScatterGatherListSize, PULONG NumberOfMapRegisters)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: `STATUS_SUCCESS`, the bytes of the longest list for this transfer and, if asked
    ///   for, its map registers; `STATUS_INSUFFICIENT_RESOURCES` if the adapter has fewer.
    /// - Source: WDK reference, wdm.PCALCULATE_SCATTER_GATHER_LIST_SIZE.
    ///
    /// # Errors
    /// An out pointer that is not memory.
    pub fn calculate_scatter_gather_list(
        &self,
        adapter: u64,
        mdl: DriverPtr<Mdl>,
        address: u64,
        bytes: u32,
        size: DriverPtr<u32>,
        registers: DriverPtr<u32>,
    ) -> Ddi<NtStatus> {
        self.expect_adapter(adapter)?;
        let pages = if mdl.is_null() {
            pages_spanned(address & (PAGE - 1), bytes.into()) as u32
        } else {
            self.pages_of(Span {
                mdl,
                address,
                bytes,
                chained: true,
            })?
        };
        let most = self.with_adapter(adapter, |state| state.registers);
        if most.is_none_or(|most| pages > most) {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        self.write(size, list_size(pages) as u32)?;
        if !registers.is_null() {
            self.write(registers, pages)?;
        }
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS BuildMdlFromScatterGatherList(PDMA_ADAPTER, PSCATTER_GATHER_LIST, PMDL OriginalMdl,
    /// PMDL *TargetMdl)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the original MDL if the list describes its pages; else a new one for the pages
    ///   that the device sees; `STATUS_INVALID_PARAMETER` for a list of somebody else.
    /// - Source: WDK reference, wdm.PBUILD_MDL_FROM_SCATTER_GATHER_LIST.
    ///
    /// # Errors
    /// An out pointer that is not memory.
    pub fn build_mdl_from_scatter_gather_list(
        &self,
        adapter: u64,
        list: u64,
        original: DriverPtr<Mdl>,
        target: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        self.expect_adapter(adapter)?;
        let known = self.with_adapter(adapter, |state| {
            state
                .lists
                .get(&list)
                .map(|known| known.registers.bounces.is_empty())
        });
        match known.flatten() {
            None => return Ok(NtStatus::INVALID_PARAMETER),
            Some(true) => {
                self.write(target, original.address())?;
                return Ok(NtStatus::SUCCESS);
            }
            Some(false) => {}
        }
        let frames = self.frames_of_list(list)?;
        let from = self.read(original)?;
        let address = virtual_address_of(&from);
        let mdl = self.io_allocate_mdl(address, from.byte_count, 0, 0, DriverPtr::NULL)?;
        if mdl.is_null() {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        for (index, frame) in frames.iter().enumerate() {
            self.write(frame_at(mdl, index as u64), *frame)?;
        }
        self.write(at!(mdl, Mdl, mdl_flags), mdl_flags::MDL_PAGES_LOCKED)?;
        self.write(target, mdl.address())?;
        Ok(NtStatus::SUCCESS)
    }

    /// The page frame numbers of a list's elements, in order.
    fn frames_of_list(&self, list: u64) -> Ddi<Vec<u64>> {
        let head = self.read(DriverPtr::<ScatterGatherList>::new(list))?;
        let first =
            DriverPtr::<ScatterGatherElement>::new(list + size_of::<ScatterGatherList>() as u64);
        let mut frames = Vec::new();
        for index in 0..head.number_of_elements as usize {
            let element = self.read(first.element(index))?;
            let count = pages_spanned(element.address, element.length.into());
            frames.extend((0..count).map(|page| element.address / PAGE + page));
        }
        Ok(frames)
    }
}

/// Bytes of the longest list for so many pages.
pub(super) const fn list_size(pages: u32) -> u64 {
    size_of::<ScatterGatherList>() as u64 + pages as u64 * size_of::<ScatterGatherElement>() as u64
}
