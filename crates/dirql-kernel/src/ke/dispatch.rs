//! Interrupt dispatch: from a vector at the local APIC to the ISRs and back.
//!
//! Interrupts run nested on the strand that they interrupt. They are taken at yield points
//! only, which is where a schedule can say so.

use alloc::format;

use dirql_abi::Irql;
use dirql_abi::bugcheck::code;
use dirql_abi::interrupt::interrupt_mode;
use dirql_chips::Vector;
use dirql_rules::{BugCheck, Context, ids};

use crate::ke::interrupt::Isr;
use crate::ke::processor::vectors;
use crate::stop::Ddi;
use crate::{Event, Kernel};

/// How often a vector may be taken in a row, with the interrupted code not running in
/// between, before it counts as a storm. Choice: Windows decides by time (bug check 0xF2).
const STORM: u32 = 10_000;

impl Kernel {
    /// Takes every interrupt that the current processor can take, highest first, and then
    /// switches to a thread of higher priority if one has become ready.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] once the run is over.
    #[inline]
    pub(crate) fn take_pending(&self) -> Ddi<()> {
        let processor = self.processor();
        if !processor.can_take_interrupt() && !processor.reschedule.get() {
            return Ok(());
        }
        self.take_all_pending()
    }

    fn take_all_pending(&self) -> Ddi<()> {
        loop {
            let processor = self.processor();
            if !processor.interrupt_flag.get() {
                return Ok(());
            }
            let Some(vector) = processor.lapic.borrow_mut().acknowledge() else { break };
            processor.taken_in_a_row.set(processor.taken_in_a_row.get() + 1);
            self.take_interrupt(vector)?;
        }
        self.processor().taken_in_a_row.set(0);
        self.reschedule_if_asked();
        Ok(())
    }

    /// Runs what `vector` leads to, at its level, and restores the level.
    fn take_interrupt(&self, vector: Vector) -> Ddi<()> {
        let ddi = self.report.suspend_ddi();
        let context = self.processor().context.get();
        let level = self.set_irql(Irql(vector.class()));
        if self.report.is_recording() {
            self.event(Event::Delivered(vector));
        }
        match vector {
            vectors::DPC => {
                self.end_of_interrupt(vector);
                self.run_dpcs()?;
            }
            vectors::IPI => self.end_of_interrupt(vector),
            _ => {
                self.run_chain(vector)?;
                self.end_of_interrupt(vector);
            }
        }
        self.set_irql(level);
        self.processor().context.set(context);
        self.report.resume_ddi(ddi);
        Ok(())
    }

    fn end_of_interrupt(&self, vector: Vector) {
        let level = self.processor().lapic.borrow_mut().end_of_interrupt();
        if self.report.is_recording() {
            self.event(Event::EndOfInterrupt(vector));
        }
        if let Some(level) = level {
            self.tell_io_apics(level);
        }
    }

    /// Calls the ISRs connected to `vector` on this processor.
    ///
    /// Level-sensitive: in the order of connecting, up to the first that claims. Latched and
    /// shared: all of them, round after round, until a whole round claims nothing, because an
    /// edge that arrives while another device's ISR runs would be lost otherwise.
    /// Source: what Windows is known to do (its chained and second-chance dispatch); the
    /// reference pages only say that FALSE lets the next ISR run.
    fn run_chain(&self, vector: Vector) -> Ddi<()> {
        let chain = self.processor().idt.borrow()[usize::from(vector.0)];
        let Some(first) = self.ke.interrupts.isr(chain, 0) else {
            // Nobody is connected; the controller should have been masked. Nothing to call.
            return Ok(());
        };
        let in_a_row = self.processor().taken_in_a_row.get();
        if in_a_row > STORM {
            return Err(self.storm(vector, first, self.ke.interrupts.chain_len(chain) > 1));
        }
        if first.mode == interrupt_mode::LevelSensitive {
            let mut at = 0;
            while let Some(isr) = self.ke.interrupts.isr(chain, at) {
                if isr.active && self.call_isr(vector, isr)? {
                    break;
                }
                at += 1;
            }
            return Ok(());
        }
        let mut rounds = 0;
        loop {
            let mut claimed = false;
            let mut at = 0;
            while let Some(isr) = self.ke.interrupts.isr(chain, at) {
                if isr.active {
                    claimed |= self.call_isr(vector, isr)?;
                }
                at += 1;
            }
            rounds += 1;
            if !claimed || at < 2 {
                return Ok(());
            }
            if rounds > STORM {
                return Err(self.storm(vector, first, true));
            }
        }
    }

    /// Calls one ISR at its synchronize IRQL with its lock held.
    fn call_isr(&self, vector: Vector, isr: Isr) -> Ddi<bool> {
        let irql = self.raise_irql(isr.synchronize_irql);
        let generation = self.ke.interrupts.generation();
        self.acquire_lock_word(isr.lock)?;
        // While this processor waited for the lock, another one may have disconnected it.
        if self.ke.interrupts.generation() != generation && !self.ke.interrupts.is_connected(isr.object) {
            self.release_lock_word(isr.lock)?;
            self.set_irql(irql);
            return Ok(false);
        }
        self.processor().context.set(Context::Isr(vector.0));
        if self.report.is_recording() {
            self.event(Event::IsrEnter { vector, object: isr.object, routine: isr.routine });
        }
        let claimed = match isr.message {
            None => self.platform().call(isr.routine, &[isr.object, isr.context]),
            Some(message) => {
                self.platform().call(isr.routine, &[isr.object, isr.context, u64::from(message)])
            }
        } as u8
            != 0;
        if self.report.is_recording() {
            self.event(Event::IsrLeave { vector, claimed });
        }
        self.check_isr_level(isr)?;
        self.release_lock_word(isr.lock)?;
        self.set_irql(irql);
        Ok(claimed)
    }

    /// Bug check 0xC8 as its page describes it for an ISR (unique value 3).
    fn check_isr_level(&self, isr: Isr) -> Ddi<()> {
        let (now, expected) = (self.irql(), isr.synchronize_irql);
        if now == expected {
            return Ok(());
        }
        self.find_at(
            ids::ISR_IRQL,
            format!("the ISR was called at {expected} and returned at {now}"),
            self.here_at(isr.routine),
            None,
        )?;
        let levels = u64::from(now.0) << 16 | u64::from(expected.0) << 8 | 3;
        Err(BugCheck::new(code::IRQL_UNEXPECTED_VALUE, [levels, isr.routine, isr.object, 0]).into())
    }

    fn storm(&self, vector: Vector, first: Isr, chained: bool) -> crate::Stop {
        let message = format!(
            "vector {:#04x} was taken {STORM} times in a row and is still asserted; no ISR silenced its device",
            vector.0
        );
        let connected = self.connection_place(first.object).map(|place| {
            (alloc::string::String::from("the interrupt was connected here"), place)
        });
        if self.find_at(ids::INTERRUPT_STORM, message, self.here_at(first.routine), connected).is_err() {
            return crate::Stop::Ended;
        }
        let kind = if chained { 2 } else { 1 };
        BugCheck::new(
            code::HARDWARE_INTERRUPT_STORM,
            [first.routine, first.context, first.object, kind],
        )
        .into()
    }
}
