//! Packet-based DMA: channel, map registers, one transfer after the other.
//!
//! Source: WDK reference, "Using Packet-Based Bus-Master DMA", wdm.PALLOCATE_ADAPTER_CHANNEL,
//! wdm.PMAP_TRANSFER, wdm.PFLUSH_ADAPTER_BUFFERS.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use dirql_abi::device::DeviceObject;
use dirql_abi::io::allocation_action;
use dirql_abi::memory::Mdl;
use dirql_abi::{Irql, NtStatus, is_true};
use dirql_rules::ids;

use super::list::list_size;
use super::pages::{Piece, Span};
use super::version3::Manner;
use super::{RegisterSet, Request};
use crate::{Ddi, DriverPtr, Kernel, at};

use crate::mm::layout::pages_spanned;

/// A request for the channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) registers: u32,
    device: u64,
    routine: u64,
    context: u64,
    pub(super) manner: Manner,
}

impl Kernel {
    /// `NTSTATUS AllocateAdapterChannel(PDMA_ADAPTER, PDEVICE_OBJECT, ULONG NumberOfMapRegisters,
    /// PDRIVER_CONTROL, PVOID Context)`, also `IoAllocateAdapterChannel`
    ///
    /// Calls the routine with the base of the map registers as soon as they and the channel are
    /// free, at once if they are now. What it returns says what of both the driver keeps.
    ///
    /// - IRQL: DISPATCH_LEVEL; the routine runs at it.
    /// - Returns: `STATUS_INSUFFICIENT_RESOURCES` for more registers than the adapter has.
    /// - Findings: DQ0440 if it is no adapter.
    /// - Source: WDK reference, wdm.PALLOCATE_ADAPTER_CHANNEL.
    ///
    /// # Errors
    /// The bug check if the device is none.
    pub fn allocate_adapter_channel(
        &self,
        adapter: u64,
        device: u64,
        registers: u32,
        routine: u64,
        context: u64,
    ) -> Ddi<NtStatus> {
        self.allocate_channel(
            (adapter, device),
            registers,
            (routine, context),
            Manner::OLD,
        )
    }

    pub(super) fn allocate_channel(
        &self,
        (adapter, device): (u64, u64),
        registers: u32,
        (routine, context): (u64, u64),
        manner: Manner,
    ) -> Ddi<NtStatus> {
        self.expect_adapter(adapter)?;
        self.expect_device(device)?;
        let most = self.with_adapter(adapter, |state| state.registers);
        if most.is_none_or(|most| registers > most) {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        let wish = Wish {
            registers,
            device,
            routine,
            context,
            manner,
        };
        let request = Request::Channel(wish);
        if manner.at_once && !self.can_serve_now(adapter, &request) {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        self.request_registers(adapter, request)?;
        Ok(NtStatus::SUCCESS)
    }

    /// Calls the routine that waited for the channel.
    pub(super) fn give_channel(&self, adapter: u64, wish: &Wish) -> Ddi<()> {
        let base = self.new_register_base();
        let set = RegisterSet {
            count: wish.registers,
            mapped: 0,
            bounces: Vec::new(),
            place: self.here(),
        };
        self.with_adapter(adapter, |state| {
            state.channel = Some(base);
            state.sets.insert(base, set);
        });
        if !wish.manner.out.is_null() {
            self.write(wish.manner.out, base)?;
        }
        if wish.routine == 0 {
            return Ok(());
        }
        let irp = self.current_irp(wish.device)?;
        let arguments = [wish.device, irp, base, wish.context];
        let action = self.call_at_dispatch("AdapterControl", wish.routine, &arguments)?;
        if action as u32 == allocation_action::KeepObject {
            return Ok(());
        }
        let keeps = action as u32 == allocation_action::DeallocateObjectKeepRegisters;
        self.with_adapter(adapter, |state| {
            state.channel = None;
            if !keeps && let Some(set) = state.sets.remove(&base) {
                state.used -= set.count;
            }
        });
        Ok(())
    }

    /// `VOID FreeAdapterChannel(PDMA_ADAPTER)`, also `IoFreeAdapterChannel`
    ///
    /// - IRQL: DISPATCH_LEVEL.
    /// - Findings: DQ0440 if nobody has the channel; DQ0442 if its transfer was not flushed.
    /// - Source: WDK reference, wdm.PFREE_ADAPTER_CHANNEL.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] if a finding ends the run.
    pub fn free_adapter_channel(&self, adapter: u64) -> Ddi<()> {
        self.expect_adapter(adapter)?;
        let base = self.with_adapter(adapter, |state| state.channel.take());
        let Some(base) = base.flatten() else {
            let message = String::from("the DMA channel was freed; nobody has it");
            return self.find(ids::DMA_ADAPTER, message, None);
        };
        let count = self.with_adapter(adapter, |state| state.sets.get(&base).map(|set| set.count));
        if let Some(count) = count.flatten() {
            self.release_registers(adapter, base, count)?;
        }
        self.serve_waiting(adapter)
    }

    /// `VOID FreeMapRegisters(PDMA_ADAPTER, PVOID MapRegisterBase, ULONG NumberOfMapRegisters)`, also
    /// `IoFreeMapRegisters`
    ///
    /// - IRQL: DISPATCH_LEVEL.
    /// - Findings: DQ0440 if the adapter did not give them so; DQ0442 if their transfer was not
    ///   flushed.
    /// - Source: WDK reference, wdm.PFREE_MAP_REGISTERS.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] if a finding ends the run.
    pub fn free_map_registers(&self, adapter: u64, base: u64, count: u32) -> Ddi<()> {
        self.expect_adapter(adapter)?;
        self.expect_registers(adapter, base)?;
        self.release_registers(adapter, base, count)?;
        self.serve_waiting(adapter)
    }

    fn release_registers(&self, adapter: u64, base: u64, count: u32) -> Ddi<()> {
        let set = self.with_adapter(adapter, |state| {
            let set = state.sets.remove(&base)?;
            state.used -= set.count;
            Some(set)
        });
        let Some(set) = set.flatten() else {
            return Ok(());
        };
        let earlier = Some((String::from("they were given here"), set.place));
        if set.count != count {
            let message = format!("{} map registers were freed as {count}", set.count);
            self.find(ids::DMA_ADAPTER, message, earlier.clone())?;
        }
        if set.mapped > 0 {
            let message =
                String::from("map registers were freed before their transfer was flushed");
            self.find(ids::DMA_FLUSH, message, earlier)?;
        }
        // What the device wrote into our pages is lost.
        for bounce in set.bounces {
            self.end_bounce(bounce, true)?;
        }
        Ok(())
    }

    /// `PHYSICAL_ADDRESS MapTransfer(PDMA_ADAPTER, PMDL, PVOID MapRegisterBase, PVOID CurrentVa,
    /// PULONG Length, BOOLEAN WriteToDevice)`, also `IoMapTransfer`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the address for the device, and in `*length` how much lies there: all of it, or
    ///   for a device that gathers up to where the memory is not contiguous.
    /// - Findings: DQ0440 foreign registers; DQ0441 outside the MDL, or more pages than there are
    ///   registers.
    /// - Source: WDK reference, wdm.PMAP_TRANSFER.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] after such a finding.
    pub fn map_transfer(
        &self,
        adapter: u64,
        mdl: DriverPtr<Mdl>,
        base: u64,
        address: u64,
        length: DriverPtr<u32>,
        write_to_device: u8,
    ) -> Ddi<u64> {
        self.expect_adapter(adapter)?;
        self.expect_registers(adapter, base)?;
        let bytes = self.read(length)?;
        let span = Span {
            mdl,
            address,
            bytes,
            chained: false,
        };
        let pieces = self.pieces(span)?.filter(|pieces| !pieces.is_empty());
        let Some(mut pieces) = pieces else {
            let message = format!("{bytes:#x} bytes at {address:#x} are not inside the MDL");
            return Err(self.refuse(ids::DMA_TRANSFER, message, None));
        };
        let known = self.with_adapter(adapter, |state| (state.reach, state.scatter_gather));
        let (reach, gathers) = known.unwrap_or_default();
        if gathers {
            pieces.truncate(1);
        }
        let mapped: u32 = pieces.iter().map(|piece| piece.bytes).sum();
        self.count_registers(adapter, base, pages_spanned(address, mapped.into()) as u32)?;
        let logical = match pieces[..] {
            [piece] if piece.is_reached(reach) => piece.physical,
            _ => {
                let Some(bounce) = self.bounce(reach, &pieces, is_true(write_to_device)) else {
                    let message = format!("no memory for {mapped:#x} bytes behind map registers");
                    return Err(self.refuse(ids::DMA_TRANSFER, message, None));
                };
                let logical = bounce.logical();
                self.with_adapter(adapter, |state| {
                    if let Some(set) = state.sets.get_mut(&base) {
                        set.bounces.push(bounce);
                    }
                });
                logical
            }
        };
        self.write(length, mapped)?;
        Ok(logical)
    }

    /// Maps a transfer and writes the list of what the device is to access.
    pub(super) fn map_list(
        &self,
        (adapter, base): (u64, u64),
        span: Span,
        to_device: bool,
        (list, room): (u64, u32),
    ) -> Ddi<NtStatus> {
        self.expect_adapter(adapter)?;
        self.expect_registers(adapter, base)?;
        let pieces = self.pieces(span)?.filter(|pieces| !pieces.is_empty());
        let Some(pieces) = pieces else {
            let (bytes, address) = (span.bytes, span.address);
            let message = format!("{bytes:#x} bytes at {address:#x} are not inside the MDL");
            return Err(self.refuse(ids::DMA_TRANSFER, message, None));
        };
        let pages = self.pages_of(span)?;
        let known = self.with_adapter(adapter, |state| (state.reach, state.scatter_gather));
        let (reach, gathers) = known.unwrap_or_default();
        let elements = if gathers { pieces.len() as u32 } else { 1 };
        if u64::from(room) < list_size(elements) {
            return Ok(NtStatus::BUFFER_TOO_SMALL);
        }
        self.count_registers(adapter, base, pages)?;
        let Some((elements, bounces)) = self.elements(&pieces, (reach, gathers), to_device) else {
            let message = format!("no memory behind {pages} map registers");
            return Err(self.refuse(ids::DMA_TRANSFER, message, None));
        };
        self.with_adapter(adapter, |state| {
            if let Some(set) = state.sets.get_mut(&base) {
                set.bounces.extend(bounces);
            }
        });
        self.write_list(list, &elements)?;
        Ok(NtStatus::SUCCESS)
    }

    /// What a device with such a reach accesses in place of `pieces`, and the copies that takes; a
    /// device that does not gather gets everything in one piece. `None` without memory for copies.
    pub(super) fn elements(
        &self,
        pieces: &[Piece],
        (reach, gathers): (u64, bool),
        to_device: bool,
    ) -> Option<(Vec<Piece>, Vec<super::Bounce>)> {
        let (mut elements, mut bounces) = (Vec::new(), Vec::new());
        let parts = if gathers { 1 } else { pieces.len().max(1) };
        for part in pieces.chunks(parts) {
            match part {
                [piece] if piece.is_reached(reach) => elements.push(*piece),
                part => {
                    let bounce = self.bounce(reach, part, to_device)?;
                    elements.push(Piece {
                        physical: bounce.logical(),
                        bytes: part.iter().map(|piece| piece.bytes).sum(),
                    });
                    bounces.push(bounce);
                }
            }
        }
        Some((elements, bounces))
    }

    /// `BOOLEAN FlushAdapterBuffers(PDMA_ADAPTER, PMDL, PVOID MapRegisterBase, PVOID CurrentVa,
    /// ULONG Length, BOOLEAN WriteToDevice)`, also `IoFlushAdapterBuffers`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: TRUE.
    /// - Findings: DQ0440 foreign registers.
    /// - Source: WDK reference, wdm.PFLUSH_ADAPTER_BUFFERS.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] after the finding.
    pub fn flush_adapter_buffers(&self, adapter: u64, base: u64, write_to_device: u8) -> Ddi<u8> {
        self.expect_adapter(adapter)?;
        self.expect_registers(adapter, base)?;
        let bounces = self.with_adapter(adapter, |state| {
            let set = state.sets.get_mut(&base)?;
            set.mapped = 0;
            Some(core::mem::take(&mut set.bounces))
        });
        for bounce in bounces.flatten().unwrap_or_default() {
            self.end_bounce(bounce, is_true(write_to_device))?;
        }
        Ok(1)
    }

    /// A transfer takes `pages` more of the registers.
    fn count_registers(&self, adapter: u64, base: u64, pages: u32) -> Ddi<()> {
        let over = self.with_adapter(adapter, |state| {
            let set = state.sets.get_mut(&base)?;
            set.mapped += pages;
            (set.mapped > set.count).then(|| (set.mapped, set.count, set.place.clone()))
        });
        let Some((mapped, count, place)) = over.flatten() else {
            return Ok(());
        };
        let message = format!("a transfer of {mapped} pages was mapped with {count} map registers");
        self.find(
            ids::DMA_TRANSFER,
            message,
            Some(("they were given here".into(), place)),
        )
    }

    fn expect_registers(&self, adapter: u64, base: u64) -> Ddi<()> {
        if self.with_adapter(adapter, |state| state.sets.contains_key(&base)) == Some(true) {
            return Ok(());
        }
        let message =
            format!("{base:#x} is no base of map registers of this adapter, or was freed");
        Err(self.refuse(ids::DMA_ADAPTER, message, None))
    }

    /// A number that no driver takes for an address of memory.
    fn new_register_base(&self) -> u64 {
        const FIRST: u64 = 0xFFFF_D000_0000_0000;
        let number = self.hal.adapters.last_set.get() + 1;
        self.hal.adapters.last_set.set(number);
        FIRST + number * 0x1000
    }

    /// `DeviceObject->CurrentIrp`, which a routine that waited is given.
    pub(super) fn current_irp(&self, device: u64) -> Ddi<u64> {
        let device = DriverPtr::<DeviceObject>::new(device);
        Ok(self.read(at!(device, DeviceObject, current_irp))?)
    }

    /// Calls a routine of the driver at DISPATCH_LEVEL.
    pub(super) fn call_at_dispatch(
        &self,
        kind: &'static str,
        routine: u64,
        arguments: &[u64],
    ) -> Ddi<u64> {
        let before = self.raise_irql(self.irql().max(Irql::DISPATCH));
        let result = self.call_at_same_level(kind, routine, arguments)?;
        self.lower_irql(before)?;
        Ok(result)
    }
}
