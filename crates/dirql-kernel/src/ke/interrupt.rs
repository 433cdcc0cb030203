//! Interrupt objects: which ISRs a vector leads to on each processor.
//!
//! A connection is what one connect call made. It has one interrupt object per processor
//! of its mask (and per message), all with the connection's lock or their message's lock,
//! so the object that an ISR is given can differ from the one that connect returned. The
//! KINTERRUPT in driver-visible memory is a copy for drivers that look inside; dispatch
//! never reads it.
//!
//! Addresses of objects that are gone are given out again late, so that a driver that uses
//! one is told so.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use dirql_abi::Irql;
use dirql_abi::interrupt::KInterrupt;
use dirql_chips::{Trigger, Vector};
use dirql_rules::Place;
use zerocopy::FromZeros;

use crate::ke::ProcessorId;
use crate::readings::Reading;
use crate::stop::BadAddress;
use crate::{DriverPtr, Event, Kernel};

/// Blocks of one size that stay unused after a disconnect.
const QUARANTINE: usize = 1024;

/// The ISRs of one vector on one processor. 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChainId(u32);

impl ChainId {
    pub(crate) const NONE: Self = Self(0);
}

/// One connect call that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId(pub u32);

/// How a connection was asked for, which decides how it may be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterruptKind {
    /// `IoConnectInterrupt`.
    Old,
    /// `IoConnectInterruptEx`, with the Version that it returned.
    Ex(u32),
}

/// What dispatch needs of an interrupt object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Isr {
    pub(crate) object: u64,
    pub(crate) routine: u64,
    pub(crate) context: u64,
    /// Address of the lock word, or of the event of a passive-level interrupt.
    pub(crate) lock: u64,
    pub(crate) irql: Irql,
    pub(crate) synchronize_irql: Irql,
    pub(crate) mode: u32,
    /// The message ID that a message ISR is given.
    pub(crate) message: Option<u32>,
    /// Cleared by `IoReportInterruptInactive`.
    pub(crate) active: bool,
    /// Called by a thread at PASSIVE_LEVEL.
    pub(crate) passive: bool,
    /// The interrupt source of the machine that it is for.
    pub(crate) source: u32,
    /// Counts objects in the order of connecting, from 1.
    pub(crate) number: u32,
}

/// An interrupt object and where it hangs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object {
    pub(crate) isr: Isr,
    pub(crate) vector: Vector,
    pub(crate) processor: ProcessorId,
    pub(crate) shared: bool,
    pub(crate) connection: ConnectionId,
}

/// One connection.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) kind: InterruptKind,
    /// What the driver got: the first interrupt object, or the message table.
    pub(crate) handle: u64,
    /// Bytes of the message table, 0 without one.
    pub(crate) table_bytes: u64,
    pub(crate) objects: Vec<u64>,
    /// The interrupt sources of the machine that it uses, for masking.
    pub(crate) sources: Vec<u32>,
    /// Whether they are turned off because the driver reported the interrupt inactive.
    pub(crate) inactive: bool,
    pub(crate) pdo: u64,
    pub(crate) place: Place,
}

#[derive(Default)]
pub(crate) struct Interrupts {
    /// `chains[id - 1]`, each in the order of connecting.
    chains: RefCell<Vec<Vec<Isr>>>,
    objects: RefCell<BTreeMap<u64, Object>>,
    connections: RefCell<BTreeMap<ConnectionId, Connection>>,
    /// Where connections that are gone were ended, by object address.
    gone: RefCell<BTreeMap<u64, Place>>,
    /// Memory of objects and tables that are gone, by size.
    spare: RefCell<BTreeMap<u64, VecDeque<u64>>>,
    next_connection: Cell<u32>,
    next_object: Cell<u32>,
    /// Counts disconnects and reports of activity.
    generation: Cell<u32>,
    /// Inactive objects for which a message has arrived and waits.
    kept: RefCell<BTreeSet<u64>>,
}

impl Interrupts {
    /// Where in a chain the first ISR is that was connected after the one with this number. What
    /// is connected or disconnected while an ISR runs moves the others, so it is asked each time.
    #[inline]
    pub(crate) fn place_after(&self, chain: ChainId, number: u32) -> Option<usize> {
        let index = chain.0.checked_sub(1)?;
        self.chains
            .borrow()
            .get(index as usize)?
            .iter()
            .position(|isr| isr.number > number)
    }

    /// The ISR at a place that [`Interrupts::place_after`] has just given. Copied, so that nothing
    /// is borrowed while it runs.
    #[inline]
    pub(crate) fn isr(&self, chain: ChainId, place: usize) -> Isr {
        self.chains.borrow()[chain.0 as usize - 1][place]
    }

    /// The first ISR of a chain.
    pub(crate) fn first_isr(&self, chain: ChainId) -> Option<Isr> {
        self.place_after(chain, 0)
            .map(|place| self.isr(chain, place))
    }

    /// Changes whenever an object is disconnected, or becomes active or inactive.
    #[inline]
    pub(crate) fn generation(&self) -> u32 {
        self.generation.get()
    }

    fn next_generation(&self) {
        self.generation.set(self.generation.get().wrapping_add(1));
    }

    /// Whether the ISR of an object may be called.
    pub(crate) fn is_callable(&self, object: u64) -> bool {
        self.object(object).is_some_and(|object| object.isr.active)
    }

    pub(crate) fn chain_len(&self, chain: ChainId) -> usize {
        let Some(index) = chain.0.checked_sub(1) else {
            return 0;
        };
        self.chains.borrow().get(index as usize).map_or(0, Vec::len)
    }

    fn new_chain(&self) -> ChainId {
        let mut chains = self.chains.borrow_mut();
        chains.push(Vec::new());
        ChainId(chains.len() as u32)
    }

    pub(crate) fn new_connection_id(&self) -> ConnectionId {
        self.next_connection.set(self.next_connection.get() + 1);
        ConnectionId(self.next_connection.get())
    }

    pub(crate) fn new_object_number(&self) -> u32 {
        self.next_object.set(self.next_object.get() + 1);
        self.next_object.get()
    }

    pub(crate) fn add_connection(&self, id: ConnectionId, connection: Connection) {
        self.connections.borrow_mut().insert(id, connection);
    }

    /// Notes whether a connection's sources are turned off. Returns whether they were.
    pub(crate) fn set_inactive(&self, id: ConnectionId, inactive: bool) -> bool {
        let mut connections = self.connections.borrow_mut();
        let Some(connection) = connections.get_mut(&id) else {
            return inactive;
        };
        core::mem::replace(&mut connection.inactive, inactive)
    }

    pub(crate) fn remove_connection(&self, id: ConnectionId, place: &Place) {
        let Some(connection) = self.connections.borrow_mut().remove(&id) else {
            return;
        };
        let mut gone = self.gone.borrow_mut();
        let mut spare = self.spare.borrow_mut();
        for object in connection.objects {
            gone.insert(object, place.clone());
            spare
                .entry(size_of::<KInterrupt>() as u64)
                .or_default()
                .push_back(object);
        }
        if connection.table_bytes != 0 {
            gone.insert(connection.handle, place.clone());
            spare
                .entry(connection.table_bytes)
                .or_default()
                .push_back(connection.handle);
        }
    }

    /// Where an interrupt object or message table that is gone was disconnected.
    pub(crate) fn gone(&self, handle: u64) -> Option<Place> {
        self.gone.borrow().get(&handle).cloned()
    }

    /// The interrupt object at this address.
    pub(crate) fn object(&self, address: u64) -> Option<Object> {
        self.objects.borrow().get(&address).copied()
    }

    /// Every object that is connected.
    pub(crate) fn objects(&self) -> Vec<Object> {
        self.objects.borrow().values().copied().collect()
    }

    /// The connection that a driver's handle (object or table) belongs to.
    pub(crate) fn connection_of(&self, handle: u64) -> Option<(ConnectionId, Connection)> {
        let id = self.object(handle).map(|object| object.connection);
        let connections = self.connections.borrow();
        match id {
            Some(id) => connections
                .get(&id)
                .map(|connection| (id, connection.clone())),
            None => connections
                .iter()
                .find(|(_, connection)| connection.handle == handle)
                .map(|(id, connection)| (*id, connection.clone())),
        }
    }

    /// All connections, in the order of connecting.
    pub(crate) fn connections(&self) -> Vec<(ConnectionId, Connection)> {
        self.connections
            .borrow()
            .iter()
            .map(|(id, connection)| (*id, connection.clone()))
            .collect()
    }
}

impl Kernel {
    /// Where the interrupt of this object was connected.
    pub(crate) fn connection_place(&self, object: u64) -> Option<Place> {
        self.ke
            .interrupts
            .connection_of(object)
            .map(|(_, connection)| connection.place)
    }

    /// Zeroed memory for an interrupt object or a message table; 0 when there is none.
    pub(crate) fn interrupt_memory(&self, bytes: u64) -> Result<u64, BadAddress> {
        let interrupts = &self.ke.interrupts;
        let reused = {
            let mut spare = interrupts.spare.borrow_mut();
            let blocks = spare
                .get_mut(&bytes)
                .filter(|blocks| blocks.len() > QUARANTINE);
            blocks.and_then(VecDeque::pop_front)
        };
        let Some(address) = reused else {
            return Ok(self.allocate_system(bytes));
        };
        interrupts.gone.borrow_mut().remove(&address);
        self.write_bytes(address, &alloc::vec![0; bytes as usize])?;
        Ok(address)
    }

    /// The ISRs that a vector leads to on a processor, in order.
    pub(crate) fn connected_isrs(&self, processor: ProcessorId, vector: Vector) -> Vec<Object> {
        let Some(processor) = self.processor_by_id(processor) else {
            return Vec::new();
        };
        let Some(index) = processor.idt[usize::from(vector.0)].get().0.checked_sub(1) else {
            return Vec::new();
        };
        let chains = self.ke.interrupts.chains.borrow();
        let objects = self.ke.interrupts.objects.borrow();
        let isrs = chains.get(index as usize).into_iter().flatten();
        isrs.filter_map(|isr| objects.get(&isr.object).copied())
            .collect()
    }

    /// Hangs an interrupt object at the end of its vector's chain, and writes the KINTERRUPT
    /// that drivers can look at.
    ///
    /// # Errors
    /// The object's memory is not there.
    pub(crate) fn attach_object(&self, object: Object) -> Result<(), BadAddress> {
        let Some(processor) = self.processor_by_id(object.processor) else {
            return Ok(());
        };
        let slot = &processor.idt[usize::from(object.vector.0)];
        if slot.get() == ChainId::NONE {
            slot.set(self.ke.interrupts.new_chain());
        }
        self.write_kinterrupt(object)?;
        self.ke
            .interrupts
            .objects
            .borrow_mut()
            .insert(object.isr.object, object);
        self.ke.interrupts.chains.borrow_mut()[slot.get().0 as usize - 1].push(object.isr);
        self.with_source(object.isr.source, |source| {
            source.connected |= object.processor.mask()
        });
        if self.report.is_recording() {
            self.event(Event::Connection {
                object: object.isr.object,
                vector: object.vector,
                connected: true,
            });
        }
        Ok(())
    }

    /// Takes an interrupt object off its chain. No call of its ISR starts afterwards.
    pub(crate) fn detach_object(&self, address: u64) -> Option<Object> {
        let object = self.ke.interrupts.objects.borrow_mut().remove(&address)?;
        self.ke.interrupts.next_generation();
        self.ke.interrupts.kept.borrow_mut().remove(&address);
        let mut is_last = true;
        self.with_isrs(&object, |isrs| {
            isrs.retain(|isr| isr.object != address);
            is_last = !isrs.iter().any(|isr| isr.source == object.isr.source);
        });
        if is_last {
            self.with_source(object.isr.source, |source| {
                source.connected &= !object.processor.mask()
            });
        }
        let connected = crate::at!(DriverPtr::<KInterrupt>::new(address), KInterrupt, connected);
        // A driver that scribbled over the object has hurt only its own view of it.
        let _ = self.write(connected, 0u8);
        if self.report.is_recording() {
            self.event(Event::Connection {
                object: address,
                vector: object.vector,
                connected: false,
            });
        }
        Some(object)
    }

    /// Makes the ISR of an object be called, or not.
    pub(crate) fn set_object_active(&self, address: u64, active: bool) {
        let Some(object) = self
            .ke
            .interrupts
            .objects
            .borrow_mut()
            .get_mut(&address)
            .map(|object| {
                object.isr.active = active;
                *object
            })
        else {
            return;
        };
        self.ke.interrupts.next_generation();
        self.with_isrs(&object, |isrs| {
            for isr in isrs.iter_mut().filter(|isr| isr.object == address) {
                isr.active = active;
            }
        });
    }

    /// A message has arrived for an ISR that is inactive. It is lost, unless the documentation is
    /// read in the other way.
    #[cold]
    pub(crate) fn message_while_inactive(&self, isr: &Isr) {
        let readings = self.config().readings;
        let is_message = self
            .source(isr.source)
            .is_some_and(|source| !source.is_a_line());
        let is_there = self.ke.interrupts.object(isr.object).is_some();
        if is_message && is_there && readings.has(Reading::InactiveMessagesWait) {
            self.ke.interrupts.kept.borrow_mut().insert(isr.object);
        }
    }

    /// Delivers what waits for an object that is active again.
    pub(crate) fn deliver_kept(&self, address: u64) {
        let was_kept = self.ke.interrupts.kept.borrow_mut().remove(&address);
        let object = self.ke.interrupts.object(address).filter(|_| was_kept);
        if let Some(object) = object {
            self.request_vector(object.processor, object.vector, Trigger::Edge);
        }
    }

    /// The chain on which an object hangs.
    fn with_isrs(&self, object: &Object, change: impl FnOnce(&mut Vec<Isr>)) {
        let Some(processor) = self.processor_by_id(object.processor) else {
            return;
        };
        let chain = processor.idt[usize::from(object.vector.0)].get();
        let mut chains = self.ke.interrupts.chains.borrow_mut();
        if let Some(isrs) = chains.get_mut((chain.0 as usize).wrapping_sub(1)) {
            change(isrs);
        }
    }

    fn write_kinterrupt(&self, object: Object) -> Result<(), BadAddress> {
        /// `InterruptObject` of the dispatcher object types.
        const TYPE: i16 = 22;
        let mut image = KInterrupt::new_zeroed();
        image.type_ = TYPE;
        image.size = size_of::<KInterrupt>() as i16;
        image.service_routine = object.isr.routine;
        image.service_context = object.isr.context;
        image.actual_lock = object.isr.lock;
        image.vector = u32::from(object.vector.0);
        image.irql = object.isr.irql;
        image.synchronize_irql = object.isr.synchronize_irql;
        image.connected = 1;
        image.number = object.processor.number() as i8;
        image.share_vector = u8::from(object.shared);
        image.mode = object.isr.mode;
        self.write(DriverPtr::new(object.isr.object), image)
    }
}
