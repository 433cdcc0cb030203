//! The function driver of parallel ports, the one driver that dirql brings along: other drivers
//! reach the port's interrupt, and each other's turn, only through it.
//!
//! It is a driver as any other: a driver object with AddDevice, device objects
//! `\Device\ParallelPort0` and on, an interface, dispatch routines that clients' requests reach,
//! an ISR connected with `IoConnectInterrupt`. What Windows ships is parport.sys.
//!
//! Sources: WDK reference, parallel.h; WDK, "Connecting an Interrupt Service Routine to a
//! Parallel Port", "Synchronizing the Use of a Parallel Port", "Selecting and Deselecting an
//! IEEE 1284 Device", "Setting and Clearing the Communication Mode for a Parallel Port",
//! "Obtaining Information About a Parallel Port". Where they leave something open, the function
//! driver among the samples of the Windows Server 2003 DDK says what clients have met; where the
//! two differ, see [`Settings`].
//!
//! Not modelled: DOT3 requests to the port's children, EPP and ECP mode of the class driver's
//! routines, old Zip drives, chip filters, paging of its code.
//!
//! # Invariants
//! - What a client's ISR can touch (owner and queue, list of clients) changes with the
//!   interrupt lock held, once there is one; the queue also under the cancel spin lock, which
//!   is the outer of the two.
//! - While a request is handed the port, the port is never free.

mod allocate;
mod children;
mod chip;
mod chip_mode;
mod class;
mod connect;
mod deferred;
mod filter;
mod ieee1284;
mod information;
mod install;
mod isr;
mod left;
mod pnp;
mod queue;
mod registry;
mod relations;
mod request;
mod select;
mod settings;
#[cfg(test)]
mod tests;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use dirql_abi::Irql;
use dirql_rules::{Place, ids};

use crate::{Ddi, Kernel, Stop};
use children::Child;
use chip::Hardware;
use queue::Queue;

pub use settings::{Allocation, ChipModes, Cleanup, DeferredChecks, IsrChain, Settings};

/// What a port's device extension holds in driver memory, by offset. The rest is kept here:
/// clients know the address only, as the argument of callbacks.
mod extension {
    /// The DPC that frees the port for an ISR.
    pub(super) const DPC: u64 = 0x00;
    /// Where `IoConnectInterrupt` stores the interrupt object.
    pub(super) const INTERRUPT: u64 = 0x40;
    /// The interface class.
    pub(super) const CLASS: u64 = 0x50;
    /// UNICODE_STRING of the interface's link.
    pub(super) const LINK: u64 = 0x60;
    /// The port's name, terminated.
    pub(super) const NAME: u64 = 0x70;
    /// KEVENT that whoever connects or disconnects takes: one at a time.
    pub(super) const CONNECTING: u64 = 0x90;
    /// LARGE_INTEGER for which a lock sleeps.
    pub(super) const PAUSE: u64 = 0xA8;
    /// Bytes of all of it.
    pub(super) const SIZE: u32 = 0xB0;
}

/// Where a port is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not started yet, or stopped.
    Stopped,
    Started,
    /// IRP_MN_QUERY_REMOVE_DEVICE was agreed to; what it was before.
    RemovePending(bool),
    /// It was pulled out.
    SurpriseRemoved,
}

/// A client of the interrupt.
#[derive(Clone, Debug)]
struct Client {
    /// Nonpaged pool, as an entry of the list is on Windows.
    entry: u64,
    /// 0 for none.
    isr: u64,
    isr_context: u64,
    /// 0 for none.
    check: u64,
    check_context: u64,
    /// Where it was connected.
    place: Place,
}

/// The interrupt that a port was given, as its translated resource says it.
#[derive(Clone, Copy, Debug)]
struct Line {
    vector: u32,
    irql: Irql,
    affinity: u64,
    latched: bool,
    shared: bool,
}

/// A port.
struct Port {
    device: u64,
    physical_device: u64,
    lower: u64,
    /// N of `\Device\ParallelPortN`; it is LPT(N+1).
    number: u32,
    state: State,
    hardware: Hardware,
    line: Option<Line>,
    queue: Queue,
    /// An ISR has freed the port, and the DPC that hands it on has not run.
    hand_over: bool,
    clients: Vec<Client>,
    /// How many locks wait beside the queue.
    own_waiters: u32,
    /// The interrupt object; 0 while nobody is connected.
    object: u64,
    /// Bits of the extended control register.
    mode: u8,
    /// The daisy-chain device that the computer talks to.
    selected: Option<u8>,
    /// How many devices the daisy chain has.
    chain_devices: u32,
    removal_relations: Vec<u64>,
}

/// All ports, by device extension.
#[derive(Default)]
pub(crate) struct Parport {
    driver: Cell<u64>,
    ports: RefCell<BTreeMap<u64, Port>>,
    /// By device object.
    children: RefCell<BTreeMap<u64, Child>>,
}

impl Kernel {
    /// Looks at a port, or changes it. Nothing of the driver runs meanwhile.
    ///
    /// # Errors
    /// The run's end, with a finding, if no port has this context.
    fn with_port<R>(&self, context: u64, look: impl FnOnce(&mut Port) -> R) -> Ddi<R> {
        let found = {
            let mut ports = self.parport.ports.borrow_mut();
            ports.get_mut(&context).map(look)
        };
        found.ok_or_else(|| self.not_a_port(context))
    }

    #[cold]
    fn not_a_port(&self, context: u64) -> Stop {
        let message = format!(
            "{context:#x} is not the context of a parallel port that is there; it is in the structure that has the callback"
        );
        self.refuse(ids::PORT_CONTEXT, message, None)
    }

    /// The context of the port whose device object this is.
    fn port_of_device(&self, device: u64) -> Option<u64> {
        let ports = self.parport.ports.borrow();
        ports
            .iter()
            .find(|(_, port)| port.device == device)
            .map(|(context, _)| *context)
    }

    /// Changes a port with its interrupt lock held, if its interrupt is connected: nothing of a
    /// client's ISR runs meanwhile.
    ///
    /// A client that calls at DIRQL, or in its ISR, has the lock already or must not wait for it.
    fn with_port_locked<R>(&self, context: u64, change: impl FnOnce(&mut Port) -> R) -> Ddi<R> {
        let object = self.with_port(context, |port| port.object)?;
        if object == 0 || self.is_in_port_lock(object) {
            return self.with_port(context, change);
        }
        self.synchronized(object, |kernel| kernel.with_port(context, change))
    }

    /// Whether this processor holds the interrupt's lock.
    fn is_in_port_lock(&self, object: u64) -> bool {
        let lock = self
            .ke
            .interrupts
            .object(object)
            .map(|object| object.isr.lock);
        lock.and_then(|lock| self.holder(lock))
            .is_some_and(|(processor, _)| processor == self.processor().id)
    }

    /// What a finding says about a place where the port was asked for.
    fn allocated_here(place: Option<Place>) -> Option<(String, Place)> {
        place.map(|place| (String::from("the port was allocated here"), place))
    }
}
