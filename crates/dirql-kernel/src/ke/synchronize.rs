//! Synchronising with an ISR.

use alloc::format;
use alloc::string::String;

use dirql_abi::Irql;
use dirql_abi::bugcheck::code;
use dirql_abi::interrupt::KInterrupt;
use dirql_rules::{BugCheck, Context, RuleId, ids};

use crate::at;
use crate::stop::{Ddi, Stop};
use crate::{DriverPtr, Kernel};

/// What synchronisation needs of an interrupt object.
#[derive(Clone, Copy, Debug)]
struct Exclusion {
    lock: u64,
    level: Irql,
    /// The lock is an event.
    passive: bool,
}

impl Kernel {
    /// `BOOLEAN KeSynchronizeExecution(PKINTERRUPT, PKSYNCHRONIZE_ROUTINE, PVOID)`
    ///
    /// Runs `routine(context)` on this processor while no ISR of the object can run.
    ///
    /// - IRQL: enter at or below SynchronizeIrql; `routine` runs at it; the entry level is
    ///   restored. For a passive-level interrupt that is PASSIVE_LEVEL, and its event is taken.
    /// - Returns: what `routine` returned (the page says "TRUE on success").
    /// - Findings: DQ0103 entered too high; DQ0110 this processor holds the lock already;
    ///   DQ0131 the object is disconnected.
    /// - Yields: before the lock is taken, after it is dropped.
    /// - Source: WDK reference, wdm.KeSynchronizeExecution, Remarks.
    pub fn ke_synchronize_execution(&self, object: u64, routine: u64, context: u64) -> Ddi<u8> {
        let exclusion = self.exclusion(object)?;
        self.check_level(exclusion, ids::SYNCHRONIZE_IRQL, "KeSynchronizeExecution")?;
        if routine == 0 {
            return Err(self.call_of_nothing());
        }
        self.inside(exclusion, |kernel| {
            let result = kernel.call_at_same_level("SynchCritSection", routine, &[context])? as u8;
            kernel.check_interrupt_flag("the critical section", routine)?;
            Ok(result)
        })
    }

    /// What KeSynchronizeExecution does, with a routine of the kernel's own. The caller is at or
    /// below the object's SynchronizeIrql and does not hold its lock.
    pub(crate) fn synchronized<R>(
        &self,
        object: u64,
        body: impl FnOnce(&Self) -> Ddi<R>,
    ) -> Ddi<R> {
        let exclusion = self.exclusion(object)?;
        self.inside(exclusion, body)
    }

    fn inside<R>(&self, exclusion: Exclusion, body: impl FnOnce(&Self) -> Ddi<R>) -> Ddi<R> {
        let old = self.raise_irql(exclusion.level);
        if exclusion.passive {
            self.acquire_event_lock(exclusion.lock)?;
        } else {
            self.acquire_lock_word(exclusion.lock)?;
        }
        let outer = self.processor().context.replace(Context::CriticalSection);
        let result = body(self)?;
        self.processor().context.set(outer);
        if exclusion.passive {
            self.release_event_lock(exclusion.lock)?;
        } else {
            self.release_lock_word(exclusion.lock)?;
        }
        self.lower_irql(old)?;
        Ok(result)
    }

    /// `KIRQL KeAcquireInterruptSpinLock(PKINTERRUPT)`
    ///
    /// - IRQL: at or below SynchronizeIrql; at it afterwards.
    /// - Returns: the level before.
    /// - Findings: DQ0104 entered too high; DQ0106, with bug check 0x13B, a passive-level
    ///   interrupt; DQ0110; DQ0131.
    /// - Source: WDK reference, wdm.KeAcquireInterruptSpinLock.
    pub fn ke_acquire_interrupt_spin_lock(&self, object: u64) -> Ddi<u8> {
        let exclusion = self.exclusion(object)?;
        self.refuse_passive(object, exclusion)?;
        self.check_level(
            exclusion,
            ids::INTERRUPT_LOCK_IRQL,
            "KeAcquireInterruptSpinLock",
        )?;
        let old = self.raise_irql(exclusion.level);
        self.acquire_interrupt_lock(exclusion.lock, old)?;
        Ok(old.0)
    }

    /// `VOID KeReleaseInterruptSpinLock(PKINTERRUPT, KIRQL OldIrql)`
    ///
    /// - IRQL: SynchronizeIrql; `old` afterwards.
    /// - Findings: DQ0104 at another level, or `old` is not what the acquire returned; DQ0106; DQ0112 not held; DQ0105 `old` is above the
    ///   level.
    /// - Source: WDK reference, wdm.KeReleaseInterruptSpinLock.
    pub fn ke_release_interrupt_spin_lock(&self, object: u64, old: u8) -> Ddi<()> {
        let exclusion = self.exclusion(object)?;
        self.refuse_passive(object, exclusion)?;
        let level = self.irql();
        if level != exclusion.level {
            self.find(
                ids::INTERRUPT_LOCK_IRQL,
                format!(
                    "KeReleaseInterruptSpinLock was called at {level}; SynchronizeIrql is {}",
                    exclusion.level
                ),
                self.raised_here(),
            )?;
        }
        self.release_interrupt_lock(exclusion.lock, old)?;
        self.ke_lower_irql(old)
    }

    /// The lock and level of an interrupt object: ours, or what a driver that made up a
    /// KINTERRUPT wrote into the two members that Windows uses.
    fn exclusion(&self, object: u64) -> Ddi<Exclusion> {
        if let Some(object) = self.ke.interrupts.object(object) {
            let isr = object.isr;
            return Ok(Exclusion {
                lock: isr.lock,
                level: isr.synchronize_irql,
                passive: isr.passive,
            });
        }
        if let Some(place) = self.ke.interrupts.gone(object) {
            return Err(self.used_after_disconnect(place));
        }
        let interrupt = DriverPtr::<KInterrupt>::new(object);
        let level = self.read(at!(interrupt, KInterrupt, synchronize_irql))?;
        Ok(Exclusion {
            lock: self.read(at!(interrupt, KInterrupt, actual_lock))?,
            level: Irql(level.0.min(Irql::HIGH.0)),
            passive: false,
        })
    }

    pub(crate) fn used_after_disconnect(&self, place: dirql_rules::Place) -> Stop {
        self.refuse(
            ids::DISCONNECT_UNKNOWN,
            String::from("the interrupt object is used after it was disconnected"),
            Some((String::from("it was disconnected here"), place)),
        )
    }

    fn refuse_passive(&self, object: u64, exclusion: Exclusion) -> Ddi<()> {
        if !exclusion.passive {
            return Ok(());
        }
        self.find(
            ids::PASSIVE_INTERRUPT_LOCK,
            String::from(
                "the interrupt is a passive-level one, which has an event and no spin lock",
            ),
            None,
        )?;
        Err(BugCheck::new(code::PASSIVE_INTERRUPT_ERROR, [1, object, 0, 0]).into())
    }

    fn check_level(&self, exclusion: Exclusion, rule: RuleId, name: &str) -> Ddi<()> {
        let level = self.irql();
        if level <= exclusion.level {
            return Ok(());
        }
        self.find(
            rule,
            format!(
                "{name} was called at {level}; SynchronizeIrql is {}",
                exclusion.level
            ),
            self.raised_here(),
        )
    }
}
