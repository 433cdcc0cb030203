//! Passive-level interrupts: a thread calls their ISRs.
//!
//! When such an interrupt arrives, a line that is level-sensitive is masked, the interrupt is
//! ended, and the vector's thread is woken. It calls the ISRs at PASSIVE_LEVEL, each with its
//! connection's event held in place of a spin lock, and lets the line in again.
//!
//! Source: WDK, "Using Passive-Level Interrupt Service Routines". The rules of a shared line
//! are taken to be those of other ISRs. Choices: the thread's priority, and that there is one
//! for each vector.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use core::cell::RefCell;

use dirql_abi::interrupt::interrupt_mode;
use dirql_chips::Vector;
use dirql_rules::{Place, ids};

use crate::ke::dispatch::STORM;
use crate::ke::interrupt::{ChainId, Isr};
use crate::ke::{ThreadBody, ThreadId};
use crate::stop::Ddi;
use crate::{DriverPtr, Kernel};

/// "Fairly high": above what drivers' threads have, below the highest.
const PRIORITY: u8 = 24;

/// `SynchronizationEvent`: one wait per signal.
const SYNCHRONIZATION: u32 = 1;

/// A group of processors and a vector there.
type Key = (u16, u8);

/// The thread of a vector.
struct Worker {
    /// What it waits for.
    wake: u64,
    /// The chain to go through, and whether it is level-sensitive.
    pending: Option<(ChainId, bool)>,
    /// Passive objects that are connected to the vector.
    users: u32,
}

#[derive(Default)]
pub(crate) struct Passive {
    workers: RefCell<BTreeMap<Key, Worker>>,
    /// Who holds an event that is a lock, and where it was taken.
    holders: RefCell<BTreeMap<u64, (ThreadId, Place)>>,
}

impl Kernel {
    /// An event that serves as the lock of a passive-level interrupt.
    pub(crate) fn new_event_lock(&self) -> Ddi<u64> {
        let event = self.new_event(SYNCHRONIZATION)?;
        self.ke_initialize_event(event, SYNCHRONIZATION, 1)?;
        Ok(event.address())
    }

    /// A passive object is going to be connected to a vector.
    pub(crate) fn add_passive(&self, group: u16, vector: Vector) -> Ddi<()> {
        let key = (group, vector.0);
        if let Some(worker) = self.ke.passive.workers.borrow_mut().get_mut(&key) {
            worker.users += 1;
            return Ok(());
        }
        let wake = self.new_event(SYNCHRONIZATION)?;
        let worker = Worker {
            wake: wake.address(),
            pending: None,
            users: 1,
        };
        self.ke.passive.workers.borrow_mut().insert(key, worker);
        let body = move |kernel: &Kernel| kernel.serve_passive(key, wake.address());
        self.spawn_thread(
            "passive-level interrupt",
            PRIORITY,
            ThreadBody::Native(Box::new(body)),
        );
        Ok(())
    }

    /// A passive object is not connected any more. Without any, the vector's thread ends.
    pub(crate) fn remove_passive(&self, group: u16, vector: Vector) -> Ddi<()> {
        let key = (group, vector.0);
        let wake = {
            let mut workers = self.ke.passive.workers.borrow_mut();
            let Some(worker) = workers.get_mut(&key) else {
                return Ok(());
            };
            worker.users -= 1;
            if worker.users > 0 {
                return Ok(());
            }
            let wake = worker.wake;
            workers.remove(&key);
            wake
        };
        self.ke_set_event(DriverPtr::new(wake), 0, 0)?;
        Ok(())
    }

    /// An interrupt has arrived for which passive ISRs are to be asked.
    pub(super) fn start_passive(&self, vector: Vector, chain: ChainId, mode: u32) -> Ddi<()> {
        let group = self.processor().id.group();
        let is_level = mode == interrupt_mode::LevelSensitive;
        let wake = {
            let mut workers = self.ke.passive.workers.borrow_mut();
            let Some(worker) = workers.get_mut(&(group, vector.0)) else {
                return Ok(());
            };
            worker.pending = Some((chain, is_level));
            worker.wake
        };
        if is_level {
            self.hold_lines(group, vector, true);
        }
        self.ke_set_event(DriverPtr::new(wake), 0, 0)?;
        Ok(())
    }

    /// What a vector's thread does until no passive object is connected any more. `wake` tells
    /// it from another one that took its place.
    fn serve_passive(&self, key: Key, wake: u64) -> Ddi<()> {
        let vector = Vector(key.1);
        let mut in_a_row = 0;
        loop {
            let pending = {
                let mut workers = self.ke.passive.workers.borrow_mut();
                match workers.get_mut(&key).filter(|worker| worker.wake == wake) {
                    Some(worker) => worker.pending.take(),
                    None => break,
                }
            };
            let Some((chain, is_level)) = pending else {
                self.wait_for(wake, None)?;
                continue;
            };
            self.run_passive_chain(vector, chain, is_level)?;
            if is_level {
                in_a_row = if self.vector_is_asserted(key.0, vector) {
                    in_a_row + 1
                } else {
                    0
                };
                if in_a_row > STORM {
                    return Err(self.storm(vector, chain));
                }
                self.hold_lines(key.0, vector, false);
            }
            self.yield_point()?;
        }
        self.hold_lines(key.0, vector, false);
        Ok(())
    }

    fn run_passive_chain(&self, vector: Vector, chain: ChainId, is_level: bool) -> Ddi<()> {
        let mut rounds = 0;
        loop {
            let (mut claimed, mut called) = (false, 0);
            let mut number = 0;
            while let Some(place) = self.ke.interrupts.place_after(chain, number) {
                let isr = self.ke.interrupts.isr(chain, place);
                number = isr.number;
                if isr.passive && !isr.active {
                    self.message_while_inactive(&isr);
                }
                if !isr.passive || !isr.active {
                    continue;
                }
                called += 1;
                claimed |= self.call_passive_isr(vector, chain, &isr)?;
                if claimed && is_level {
                    return Ok(());
                }
            }
            rounds += 1;
            if !claimed && is_level {
                self.pass_to_stranger(self.processor().id.group(), vector);
            }
            if !claimed || called < 2 {
                return Ok(());
            }
            if rounds > STORM {
                return Err(self.storm(vector, chain));
            }
        }
    }

    fn call_passive_isr(&self, vector: Vector, chain: ChainId, isr: &Isr) -> Ddi<bool> {
        self.acquire_event_lock(isr.lock)?;
        // While this thread waited, another one may have disconnected it or reported
        // it inactive.
        let claimed = if self.ke.interrupts.is_callable(isr.object) {
            let outer = self.context();
            let asked = self.before_answer(vector, chain, isr);
            let claimed = self.enter_isr(vector, isr)?;
            self.processor().context.set(outer);
            if let Some(asked) = asked {
                self.judge_answer(vector, isr, asked, claimed)?;
            }
            claimed
        } else {
            self.message_while_inactive(isr);
            false
        };
        self.release_event_lock(isr.lock)?;
        Ok(claimed)
    }

    /// Takes an event that is a lock. At PASSIVE_LEVEL.
    pub(crate) fn acquire_event_lock(&self, event: u64) -> Ddi<()> {
        let Some(thread) = self.current_thread() else {
            // Only threads are at PASSIVE_LEVEL.
            return self.wait_for(event, Some(0)).map(|_| ());
        };
        let holder = self.ke.passive.holders.borrow().get(&event).cloned();
        if let Some((holder, place)) = holder
            && holder == thread
        {
            return Err(self.find_fatal(
                ids::SELF_DEADLOCK,
                String::from("this thread waits for the event of a passive-level interrupt that it already holds"),
                Some((String::from("it was taken here"), place)),
            ));
        }
        self.wait_for(event, None)?;
        let place = self.here();
        self.ke
            .passive
            .holders
            .borrow_mut()
            .insert(event, (thread, place));
        Ok(())
    }

    /// Gives it back.
    pub(crate) fn release_event_lock(&self, event: u64) -> Ddi<()> {
        self.ke.passive.holders.borrow_mut().remove(&event);
        self.ke_set_event(DriverPtr::new(event), 0, 0)?;
        Ok(())
    }

    /// Whether passive-level ISRs exist in this Windows.
    pub(crate) fn has_passive_interrupts(&self) -> bool {
        self.config().windows >= crate::WindowsVersion::Eight
    }
}
