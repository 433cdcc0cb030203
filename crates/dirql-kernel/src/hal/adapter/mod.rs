//! DMA adapters: what a driver gets to have its device reach memory.
//!
//! Physical addresses are what devices put on the bus, so a buffer that a device reaches is given
//! to it as it is. What it does not reach, because the device has too few address lines or
//! cannot gather, goes through map registers: pages of ours that it does reach, filled before a
//! transfer to the device and read out by the flush after a transfer from it. A driver that
//! forgets the flush, or that flushes too early, gets stale data, as on a PC.
//!
//! Not modelled: the PC's own DMA controller, so there is no adapter for a device that is not a bus
//! master.
//!
//! Source: WDK reference, "Adapter Objects and DMA", "Map Registers", wdm.IoGetDmaAdapter,
//! wdm.DEVICE_DESCRIPTION.

mod channel;
mod common_buffer;
mod list;
mod pages;
#[cfg(test)]
mod tests;
mod version3;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use core::cell::{Cell, RefCell};

use dirql_abi::dma::{DeviceDescription, DmaAdapter, DmaOperations};
use dirql_abi::is_true;
use dirql_rules::{Place, ids};

use crate::mm::layout::{self, PAGE};
use crate::{Ddi, DriverPtr, Kernel};
pub use list::ListRequest;
use pages::Bounce;
pub use version3::{TransferRequest, TransferSpan};

/// Tag of the pool that adapters and lists are in.
const TAG: u32 = u32::from_le_bytes(*b"Dma ");

/// The highest address of a device with 24 address lines.
const REACH_24: u64 = 0xFF_FFFF;

/// The highest address of a device with 32 address lines.
const REACH_32: u64 = 0xFFFF_FFFF;

/// The state of this part of the kernel.
#[derive(Default)]
pub(crate) struct Adapters {
    live: RefCell<BTreeMap<u64, Adapter>>,
    /// The DMA_OPERATIONS that all adapters share, those of version 3 too, 0 before the first one.
    operations: Cell<u64>,
    operations_3: Cell<u64>,
    /// Number of the last set of map registers.
    last_set: Cell<u64>,
}

/// What counts about one adapter; the DMA_ADAPTER in the driver's sight only leads here.
#[derive(Debug)]
struct Adapter {
    /// The highest address that the device can put on the bus.
    reach: u64,
    /// The device can take a transfer in pieces.
    scatter_gather: bool,
    /// Most map registers that a transfer can have.
    registers: u32,
    /// Map registers that are given out.
    used: u32,
    /// The registers of whoever has the channel.
    channel: Option<u64>,
    waiting: VecDeque<Request>,
    sets: BTreeMap<u64, RegisterSet>,
    lists: BTreeMap<u64, list::List>,
    common: BTreeMap<u64, CommonBuffer>,
}

/// Map registers that were given out together.
#[derive(Debug)]
struct RegisterSet {
    count: u32,
    /// How many of them a transfer uses since the last flush.
    mapped: u32,
    bounces: alloc::vec::Vec<Bounce>,
    place: Place,
}

#[derive(Clone, Debug)]
struct CommonBuffer {
    bytes: u32,
    place: Place,
}

/// Somebody who waits for map registers.
#[derive(Clone, Debug)]
enum Request {
    Channel(channel::Wish),
    List(list::Wish),
}

impl Request {
    const fn registers(&self) -> u32 {
        match self {
            Self::Channel(wish) => wish.registers,
            Self::List(wish) => wish.registers,
        }
    }

    /// The context of a transfer of version 3, or 0.
    const fn transfer(&self) -> u64 {
        match self {
            Self::Channel(wish) => wish.manner.transfer,
            Self::List(wish) => wish.manner.transfer,
        }
    }
}

impl Adapter {
    /// Whether memory must be copied for some transfers, so that registers can run out.
    const fn needs_registers(&self) -> bool {
        !self.scatter_gather || self.reach < layout::PHYSICAL_END
    }

    fn can_serve(&self, request: &Request) -> bool {
        let channel_is_free = match request {
            Request::Channel(_) => self.channel.is_none(),
            Request::List(_) => true,
        };
        channel_is_free
            && (!self.needs_registers() || self.used + request.registers() <= self.registers)
    }
}

impl Kernel {
    /// `PDMA_ADAPTER IoGetDmaAdapter(PDEVICE_OBJECT, PDEVICE_DESCRIPTION, PULONG
    /// NumberOfMapRegisters)`, and `HalGetAdapter` without the device
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: the adapter, and the most map registers that one transfer can have: a page
    ///   more than `MaximumLength` has. NULL for a version of the description above 3, for a
    ///   device that is not a bus master (note N0150), or without pool.
    /// - Source: WDK reference, wdm.IoGetDmaAdapter.
    ///
    /// # Errors
    /// The bug check if the physical device is none.
    pub fn io_get_dma_adapter(
        &self,
        physical_device: u64,
        description: DriverPtr<DeviceDescription>,
        registers: DriverPtr<u32>,
    ) -> Ddi<DriverPtr<DmaAdapter>> {
        if physical_device != 0 {
            self.expect_device(physical_device)?;
        }
        let wish = self.read(description)?;
        if wish.version > version3::VERSION || !is_true(wish.master) {
            return Ok(DriverPtr::NULL);
        }
        let is_version_3 = wish.version == version3::VERSION;
        let width = match is_version_3 {
            true => self.read(DriverPtr::<u32>::new(
                description.address().wrapping_add(ADDRESS_WIDTH),
            ))?,
            false => 0,
        };
        let count = wish.maximum_length.div_ceil(PAGE as u32) + 1;
        self.write(registers, count)?;
        let operations = if is_version_3 {
            self.dma_operations_3()?
        } else {
            self.dma_operations()?
        };
        let adapter = DriverPtr::new(self.allocate_zeroed(size_of::<DmaAdapter>() as u64, TAG)?);
        if adapter.is_null() || operations == 0 {
            return Ok(DriverPtr::NULL);
        }
        let body = DmaAdapter {
            version: wish.version.max(1) as u16,
            size: size_of::<DmaAdapter>() as u16,
            padding4: 0,
            dma_operations: operations,
        };
        self.write(adapter, body)?;
        let state = Adapter {
            reach: reach_of(&wish, width),
            scatter_gather: is_true(wish.scatter_gather),
            registers: count,
            used: 0,
            channel: None,
            waiting: VecDeque::new(),
            sets: BTreeMap::new(),
            lists: BTreeMap::new(),
            common: BTreeMap::new(),
        };
        self.hal
            .adapters
            .live
            .borrow_mut()
            .insert(adapter.address(), state);
        Ok(adapter)
    }

    /// `VOID PutDmaAdapter(PDMA_ADAPTER)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Findings: DQ0440 with transfers or common buffers left, or if it is no adapter.
    /// - Source: WDK reference, wdm.PPUT_DMA_ADAPTER.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] after the finding that it is no adapter.
    pub fn put_dma_adapter(&self, adapter: u64) -> Ddi<()> {
        self.expect_adapter(adapter)?;
        let Some(state) = self.hal.adapters.live.borrow_mut().remove(&adapter) else {
            return Ok(());
        };
        let of_lists = state.lists.values().map(|list| &list.registers);
        let sets = state.sets.values().chain(of_lists);
        let transfers = sets.map(|set| ("map registers", &set.place));
        let buffers = state
            .common
            .values()
            .map(|one| ("a common buffer", &one.place));
        for (what, place) in transfers.chain(buffers) {
            let message = format!("the DMA adapter was put while {what} of it is in use");
            let earlier = Some((String::from("given here"), place.clone()));
            self.find(ids::DMA_ADAPTER, message, earlier)?;
        }
        self.pool_free(adapter, Some(TAG))
    }

    /// `ULONG GetDmaAlignment(PDMA_ADAPTER)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: 1: a PC's caches are coherent.
    /// - Source: WDK reference, wdm.PGET_DMA_ALIGNMENT.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] after the finding that it is no adapter.
    pub fn get_dma_alignment(&self, adapter: u64) -> Ddi<u32> {
        self.expect_adapter(adapter)?;
        Ok(1)
    }

    /// `ULONG ReadDmaCounter(PDMA_ADAPTER)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: 0.
    /// - Findings: DQ0440: only the system's DMA controller has a counter, and every adapter here
    ///   is a bus master's.
    /// - Source: WDK reference, wdm.PREAD_DMA_COUNTER.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] if a finding ends the run.
    pub fn read_dma_counter(&self, adapter: u64) -> Ddi<u32> {
        self.expect_adapter(adapter)?;
        let message = String::from(
            "ReadDmaCounter asks for the counter of the system's DMA controller; the device is a bus master",
        );
        self.find(ids::DMA_ADAPTER, message, None)?;
        Ok(0)
    }

    fn expect_adapter(&self, adapter: u64) -> Ddi<()> {
        if self.hal.adapters.live.borrow().contains_key(&adapter) {
            return Ok(());
        }
        let message = format!("{adapter:#x} is not a DMA adapter, or was put");
        Err(self.refuse(ids::DMA_ADAPTER, message, None))
    }

    /// Looks at an adapter that [`Kernel::expect_adapter`] has found.
    fn with_adapter<R>(&self, adapter: u64, use_it: impl FnOnce(&mut Adapter) -> R) -> Option<R> {
        self.hal
            .adapters
            .live
            .borrow_mut()
            .get_mut(&adapter)
            .map(use_it)
    }

    /// Whether `request` would be served now.
    fn can_serve_now(&self, adapter: u64, request: &Request) -> bool {
        let can = self.with_adapter(adapter, |state| {
            state.waiting.is_empty() && state.can_serve(request)
        });
        can == Some(true)
    }

    /// Serves `request` now or, if registers or the channel are short, later.
    fn request_registers(&self, adapter: u64, request: Request) -> Ddi<()> {
        self.with_adapter(adapter, |state| state.waiting.push_back(request));
        self.serve_waiting(adapter)
    }

    /// Serves those who wait, in their order, as far as it goes.
    fn serve_waiting(&self, adapter: u64) -> Ddi<()> {
        loop {
            let next = self.with_adapter(adapter, |state| {
                let request = state.waiting.front()?;
                if !state.can_serve(request) {
                    return None;
                }
                state.used += request.registers();
                state.waiting.pop_front()
            });
            match next.flatten() {
                Some(Request::Channel(wish)) => self.give_channel(adapter, &wish)?,
                Some(Request::List(wish)) => self.give_list(adapter, &wish)?,
                None => return Ok(()),
            }
        }
    }

    /// The table of operations of version 3, made for the first adapter that has it.
    fn dma_operations_3(&self) -> Ddi<u64> {
        let known = self.hal.adapters.operations_3.get();
        if known != 0 {
            return Ok(known);
        }
        let old = self.dma_operations()?;
        let table = self.allocate_system(version3::VERSION_3_BYTES);
        if table == 0 || old == 0 {
            return Ok(0);
        }
        let common = self.read_bytes(old, version3::VERSION_2_BYTES as usize)?;
        self.write_bytes(table, &common)?;
        self.write(DriverPtr::new(table), version3::VERSION_3_BYTES as u32)?;
        let more = version3::VERSION_3_BYTES - version3::VERSION_2_BYTES;
        for index in 0..more / 8 {
            let routines = version3::ROUTINES;
            let name = routines.get(index as usize).copied();
            let routine = self.kernel_routine(name.unwrap_or(version3::NOT_MODELLED));
            let entry = table + version3::VERSION_2_BYTES + 8 * index;
            self.write(DriverPtr::new(entry), routine)?;
        }
        self.hal.adapters.operations_3.set(table);
        Ok(table)
    }

    /// The table of operations, made for the first adapter.
    fn dma_operations(&self) -> Ddi<u64> {
        let known = self.hal.adapters.operations.get();
        if known != 0 {
            return Ok(known);
        }
        let table = self.allocate_system(size_of::<DmaOperations>() as u64);
        if table == 0 {
            return Ok(0);
        }
        let operations = DmaOperations {
            size: size_of::<DmaOperations>() as u32,
            padding4: 0,
            put_dma_adapter: self.kernel_routine("dirql:PutDmaAdapter"),
            allocate_common_buffer: self.kernel_routine("dirql:AllocateCommonBuffer"),
            free_common_buffer: self.kernel_routine("dirql:FreeCommonBuffer"),
            allocate_adapter_channel: self.kernel_routine("dirql:AllocateAdapterChannel"),
            flush_adapter_buffers: self.kernel_routine("dirql:FlushAdapterBuffers"),
            free_adapter_channel: self.kernel_routine("dirql:FreeAdapterChannel"),
            free_map_registers: self.kernel_routine("dirql:FreeMapRegisters"),
            map_transfer: self.kernel_routine("dirql:MapTransfer"),
            get_dma_alignment: self.kernel_routine("dirql:GetDmaAlignment"),
            read_dma_counter: self.kernel_routine("dirql:ReadDmaCounter"),
            get_scatter_gather_list: self.kernel_routine("dirql:GetScatterGatherList"),
            put_scatter_gather_list: self.kernel_routine("dirql:PutScatterGatherList"),
            calculate_scatter_gather_list: self.kernel_routine("dirql:CalculateScatterGatherList"),
            build_scatter_gather_list: self.kernel_routine("dirql:BuildScatterGatherList"),
            build_mdl_from_scatter_gather_list: self
                .kernel_routine("dirql:BuildMdlFromScatterGatherList"),
        };
        self.write(DriverPtr::new(table), operations)?;
        self.hal.adapters.operations.set(table);
        Ok(table)
    }
}

/// Where version 3 of DEVICE_DESCRIPTION has `DmaAddressWidth`, 4 bytes. Source: wdm.h.
const ADDRESS_WIDTH: u64 = 40;

/// The highest address that a device described so can reach; `width` is that of its addresses in
/// bits, if it is known.
fn reach_of(description: &DeviceDescription, width: u32) -> u64 {
    if width != 0 {
        u64::MAX >> (64 - width.min(64))
    } else if is_true(description.dma64_bit_addresses) {
        u64::MAX
    } else if is_true(description.dma32_bit_addresses) {
        REACH_32
    } else {
        REACH_24
    }
}
