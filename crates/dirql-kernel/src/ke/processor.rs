//! Simulated processors.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::cell::{Cell, RefCell};

use dirql_abi::Irql;
use dirql_abi::processor::{KPcr, KPrcb, gs};
use dirql_chips::lapic::{Acceptance, Lapic};
use dirql_chips::{Trigger, Vector};
use dirql_rules::{Context, Place};

use crate::ke::dpc::DpcState;
use crate::ke::interrupt::ChainId;
use crate::ke::kept::Kept;
use crate::ke::thread::ThreadId;
use crate::platform::StrandId;
use crate::{DriverPtr, Event, Kernel, at};

/// Index of a processor over all groups, 0..=255; 64 to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessorId(pub u16);

impl ProcessorId {
    /// The group.
    #[must_use]
    pub const fn group(self) -> u16 {
        self.0 / 64
    }

    /// The number inside the group, 0..=63.
    #[must_use]
    pub const fn number(self) -> u8 {
        (self.0 % 64) as u8
    }

    /// The bit of an affinity mask.
    #[must_use]
    pub const fn mask(self) -> u64 {
        1 << self.number()
    }
}

/// Where the KPRCB lies behind its KPCR on x64. Source: ntddk.h, KPCR.
const PRCB_OFFSET: u64 = gs::PRCB as u64;

/// Bytes for a KPCR with what belongs to it; the last 0x100 of its first page are the
/// platform's own.
const KPCR_BYTES: u64 = 0x1000;

/// Vectors that are not for devices. Windows uses the same for APCs and DPCs on x64.
pub(crate) mod vectors {
    use dirql_chips::Vector;

    /// Software interrupt that runs DPCs, at DISPATCH_LEVEL.
    pub(crate) const DPC: Vector = Vector(0x2F);
    /// Inter-processor interrupt.
    pub(crate) const IPI: Vector = Vector(0xE1);
    /// What a local APIC gives when nothing is there any more.
    pub(crate) const SPURIOUS: Vector = Vector(0xFF);
}

/// Why a processor does nothing but wait for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spin {
    /// A lock word is held.
    Lock(u64),
    /// As `Lock`, in the order in which the processors came.
    QueuedLock(u64),
    /// A reader/writer spin lock keeps a reader, or with `true` a writer, out.
    ReaderWriter(u64, bool),
    /// Processors have not ended their part of a KeGenericCallDpc, whose count is here.
    CallDpcDone(u64),
    /// Processors have not come to a barrier of KeGenericCallDpc: its address, and how often it
    /// had been passed.
    CallDpcBarrier(u64, u32),
    /// Other processors wait for a lock that is to be gone soon.
    Unwanted(u64),
    /// DPCs that were queued before this number are still queued or run.
    Dpcs(u64),
    /// Other processors have not come to an inter-processor call yet.
    Gather,
    /// Other processors have not ended their part of the inter-processor call with this number
    /// yet.
    Disperse(u64),
}

/// What a processor is to look at beside the vectors that wait, as bits of
/// [`Processor::asked`].
pub(crate) mod asked {
    /// A thread that should run instead of the current one is ready.
    pub(crate) const RESCHEDULE: u8 = 1;
    /// A non-maskable interrupt.
    pub(crate) const NMI: u8 = 2;
    /// Its thread has kernel APCs.
    pub(crate) const APC: u8 = 4;
}

/// One simulated processor.
pub struct Processor {
    /// Which one.
    pub id: ProcessorId,
    /// Address of its KPCR.
    pub(crate) kpcr: Cell<u64>,
    pub(crate) irql: Cell<Irql>,
    pub(crate) context: Cell<Context>,
    pub(crate) interrupt_flag: Cell<bool>,
    pub(crate) lapic: RefCell<Lapic>,
    /// Which chain each vector leads to.
    pub(crate) idt: Box<[Cell<ChainId>; 256]>,
    /// The thread it runs; `None` is the idle loop.
    pub(crate) thread: Cell<Option<ThreadId>>,
    /// The strand to resume when it is this processor's turn.
    pub(crate) strand: Cell<StrandId>,
    /// The strand of its idle loop; see [`Kernel::take_warm_strand`].
    pub(crate) idle: Cell<StrandId>,
    /// Whether that strand is where the idle loop begins anew.
    pub(crate) rests: Cell<bool>,
    /// DPCs that wait, by address.
    pub(crate) dpc_queue: RefCell<VecDeque<u64>>,
    /// Its part of what is known about DPCs.
    pub(crate) dpc: DpcState,
    pub(crate) spin: Cell<Option<Spin>>,
    /// Bits of [`asked`].
    pub(crate) asked: Cell<u8>,
    /// Interrupts taken in a row without the interrupted code coming to run.
    pub(crate) taken_in_a_row: Cell<u32>,
    /// The interrupt object whose ISR it runs; 0 is none.
    pub(crate) isr: Cell<u64>,
    /// Where a driver has raised the level, while it is as high.
    pub(crate) raised: RefCell<Option<Place>>,
    /// What it keeps from running.
    pub(super) kept: Kept,
    /// Turns that what runs has spent at or above DISPATCH_LEVEL in routines of the kernel.
    pub(super) high_turns: Cell<u32>,
}

impl Processor {
    pub(crate) fn new(id: ProcessorId) -> Self {
        let mut lapic = Lapic::new(id.0 as u8);
        lapic.set_enabled(true, vectors::SPURIOUS);
        Self {
            id,
            kpcr: Cell::new(0),
            irql: Cell::new(Irql::PASSIVE),
            context: Cell::new(Context::Idle),
            interrupt_flag: Cell::new(true),
            lapic: RefCell::new(lapic),
            idt: Box::new([const { Cell::new(ChainId::NONE) }; 256]),
            thread: Cell::new(None),
            strand: Cell::new(idle_strand(id)),
            idle: Cell::new(idle_strand(id)),
            rests: Cell::new(true),
            dpc_queue: RefCell::default(),
            dpc: DpcState::default(),
            spin: Cell::new(None),
            asked: Cell::new(0),
            taken_in_a_row: Cell::new(0),
            isr: Cell::new(0),
            raised: RefCell::default(),
            kept: Kept::default(),
            high_turns: Cell::default(),
        }
    }

    /// Whether an interrupt could be taken right now.
    #[inline]
    pub(crate) fn can_take_interrupt(&self) -> bool {
        self.interrupt_flag.get() && self.lapic.borrow().deliverable().is_some()
            || self.asked.get() & asked::NMI != 0
    }

    /// Asks the processor for one of [`asked`].
    pub(crate) fn ask(&self, what: u8) {
        self.asked.set(self.asked.get() | what);
    }

    /// Whether it was asked for one of [`asked`], which it is not any more.
    pub(crate) fn take_asked(&self, what: u8) -> bool {
        let asked = self.asked.get();
        self.asked.set(asked & !what);
        asked & what != 0
    }
}

/// Idle strands come first. Each processor begins with the one that has its number.
const fn idle_strand(id: ProcessorId) -> StrandId {
    StrandId(id.0 as u32)
}

impl Kernel {
    /// The processor whose turn it is.
    #[inline]
    #[must_use]
    pub fn processor(&self) -> &Processor {
        &self.ke.processors[usize::from(self.ke.current.get())]
    }

    /// All processors, in order.
    pub(crate) fn processors(&self) -> &[Processor] {
        &self.ke.processors
    }

    /// The processor with this index.
    pub(crate) fn processor_by_id(&self, id: ProcessorId) -> Option<&Processor> {
        self.ke.processors.get(usize::from(id.0))
    }

    /// Lays out what drivers reach through `gs`, and starts at processor 0.
    pub(crate) fn boot_processors(&self) {
        for processor in self.processors() {
            let kpcr = self.allocate_system(KPCR_BYTES);
            let kprcb = kpcr + PRCB_OFFSET;
            processor.kpcr.set(kpcr);
            let (pcr, prcb) = (DriverPtr::<KPcr>::new(kpcr), DriverPtr::<KPrcb>::new(kprcb));
            // Memory of our own that was just allocated.
            let _ = self.write(at!(pcr, KPcr, self_), kpcr);
            let _ = self.write(at!(pcr, KPcr, current_prcb), kprcb);
            let _ = self.write(at!(pcr, KPcr, obsolete_number), processor.id.0 as u8);
            let _ = self.write(at!(prcb, KPrcb, number), u32::from(processor.id.0));
            let _ = self.write(at!(prcb, KPrcb, legacy_number), processor.id.number());
            let _ = self.platform().create_strand(idle_strand(processor.id));
        }
        self.set_current_processor(ProcessorId(0));
    }

    /// Address of a processor's KPRCB.
    pub(crate) fn processor_kprcb(&self, id: ProcessorId) -> u64 {
        self.processor_by_id(id)
            .map_or(0, |processor| processor.kpcr.get() + PRCB_OFFSET)
    }

    /// What `KeGetCurrentThread` reads through `gs`.
    pub(crate) fn write_current_thread(&self, kthread: u64) {
        let kprcb = DriverPtr::<KPrcb>::new(self.processor().kpcr.get() + PRCB_OFFSET);
        // A driver that made this page inaccessible has done so to itself.
        let _ = self.write(at!(kprcb, KPrcb, current_thread), kthread);
    }

    /// How many processors a group has; 0 for a group that does not exist.
    pub(crate) fn processors_in_group(&self, group: u16) -> u32 {
        let count = self.processors().len() as u32;
        count.saturating_sub(u32::from(group) * 64).min(64)
    }

    /// The mask of the processors that a group has.
    pub(crate) fn active_mask(&self, group: u16) -> u64 {
        match self.processors_in_group(group) {
            0 => 0,
            count => u64::MAX >> (64 - count),
        }
    }

    /// It is `id`'s turn from now on.
    pub(crate) fn set_current_processor(&self, id: ProcessorId) {
        self.ke.current.set(id.0);
        self.platform().set_kpcr(self.processor().kpcr.get());
        if self.irql() >= Irql::DISPATCH {
            self.hide_pageable();
        }
    }

    /// Makes `vector` pending at a processor.
    #[inline]
    pub(crate) fn request_vector(&self, target: ProcessorId, vector: Vector, trigger: Trigger) {
        let Some(processor) = self.processor_by_id(target) else {
            return;
        };
        self.touch_vector(target, vector);
        let accepted = processor.lapic.borrow_mut().accept(vector, trigger);
        if accepted == Acceptance::Merged {
            self.vectors_merge(target, vector);
        }
        self.wake(target);
        if self.report.is_recording() {
            self.event(Event::Pending {
                target: target.0,
                vector,
            });
        }
    }
}
