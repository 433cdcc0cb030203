//! Interrupt dispatch: from a vector at the local APIC to the ISRs and back.
//!
//! Interrupts run nested on the strand that they interrupt. They are taken at yield points
//! only, which is where a schedule can say so.

use alloc::format;
use alloc::string::String;

use dirql_abi::Irql;
use dirql_abi::bugcheck::code;
use dirql_abi::interrupt::interrupt_mode;
use dirql_chips::Vector;
use dirql_rules::{BugCheck, Context, ids};

use crate::ke::interrupt::{ChainId, Isr};
use crate::ke::processor::{asked, vectors};
use crate::stop::{Ddi, Stop};
use crate::{Event, Kernel};

/// How often a vector may be taken in a row, with the interrupted code not running in
/// between, before it counts as a storm. Choice: Windows decides by time (bug check 0xF2).
pub(super) const STORM: u32 = 10_000;

impl Kernel {
    /// Takes every interrupt that the current processor can take, highest first, and then
    /// switches to a thread of higher priority if one has become ready.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] once the run is over.
    #[inline]
    pub(crate) fn take_pending(&self) -> Ddi<()> {
        self.look_for_interrupts();
        let processor = self.processor();
        if processor.asked.get() == 0 && !processor.can_take_interrupt() {
            return Ok(());
        }
        self.take_all_pending()
    }

    fn take_all_pending(&self) -> Ddi<()> {
        loop {
            let processor = self.processor();
            if processor.take_asked(asked::NMI) {
                self.take_nmi()?;
                continue;
            }
            if !processor.interrupt_flag.get() {
                return Ok(());
            }
            let Some(vector) = processor.lapic.borrow_mut().acknowledge() else {
                break;
            };
            processor
                .taken_in_a_row
                .set(processor.taken_in_a_row.get() + 1);
            self.take_interrupt(vector)?;
            if self.is_exploring() {
                self.choose_between_interrupts()?;
            }
        }
        self.processor().taken_in_a_row.set(0);
        self.reschedule_if_asked();
        self.deliver_apcs_if_asked()
    }

    /// Runs what `vector` leads to, at its level, and restores the level.
    fn take_interrupt(&self, vector: Vector) -> Ddi<()> {
        let ddi = self.report.suspend_ddi();
        let processor = self.processor();
        let context = processor.context.get();
        let interrupted = self.interrupt_begins(ddi);
        let level = self.set_irql(Irql(vector.class()));
        if self.report.is_recording() {
            self.event(Event::Delivered(vector));
        }
        match vector {
            vectors::DPC => {
                self.end_of_interrupt(vector);
                self.run_dpcs()?;
            }
            vectors::IPI => {
                self.end_of_interrupt(vector);
                self.answer_ipi()?;
            }
            _ => {
                self.run_chain(vector)?;
                self.end_of_interrupt(vector);
            }
        }
        self.set_irql(level);
        processor.context.set(context);
        self.interrupt_is_over(interrupted);
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
    ///
    /// ISRs at PASSIVE_LEVEL come after the others, and only if those did not claim a level.
    fn run_chain(&self, vector: Vector) -> Ddi<()> {
        let processor = self.processor();
        self.look_at_kernel();
        let chain = processor.idt[usize::from(vector.0)].get();
        if processor.taken_in_a_row.get() > STORM {
            return Err(self.storm(vector, chain));
        }
        // Without one the controller should have been masked; there is nothing to call.
        let Some(first) = self.ke.interrupts.place_after(chain, 0) else {
            return Ok(());
        };
        let mode = self.ke.interrupts.isr(chain, first).mode;
        let passive = if mode == interrupt_mode::LevelSensitive {
            self.run_level_chain(vector, chain, first)?
        } else {
            self.run_latched_chain(vector, chain, first)?
        };
        if passive {
            self.start_passive(vector, chain, mode)
        } else {
            Ok(())
        }
    }

    /// Returns whether ISRs at PASSIVE_LEVEL are to be asked.
    fn run_level_chain(&self, vector: Vector, chain: ChainId, first: usize) -> Ddi<bool> {
        let mut passive = false;
        let mut next = Some(first);
        while let Some(place) = next {
            let isr = self.ke.interrupts.isr(chain, place);
            if isr.passive {
                passive |= isr.active;
            } else if isr.active && self.call_isr(vector, chain, &isr)? {
                return Ok(false);
            }
            next = self.ke.interrupts.place_after(chain, isr.number);
        }
        if !passive {
            self.pass_to_stranger(self.processor().id.group(), vector);
        }
        Ok(passive)
    }

    /// Returns whether ISRs at PASSIVE_LEVEL are to be asked.
    fn run_latched_chain(&self, vector: Vector, chain: ChainId, first: usize) -> Ddi<bool> {
        let mut rounds = 0;
        let mut next = Some(first);
        loop {
            let (mut claimed, mut called, mut passive) = (false, 0, false);
            while let Some(place) = next {
                let isr = self.ke.interrupts.isr(chain, place);
                if !isr.active {
                    self.message_while_inactive(&isr);
                }
                if isr.passive {
                    passive |= isr.active;
                } else {
                    called += 1;
                    claimed |= isr.active && self.call_isr(vector, chain, &isr)?;
                }
                next = self.ke.interrupts.place_after(chain, isr.number);
            }
            rounds += 1;
            if !claimed || called < 2 {
                return Ok(passive);
            }
            if rounds > STORM {
                return Err(self.storm(vector, chain));
            }
            next = self.ke.interrupts.place_after(chain, 0);
        }
    }

    /// Calls one ISR at its synchronize IRQL with its lock held.
    fn call_isr(&self, vector: Vector, chain: ChainId, isr: &Isr) -> Ddi<bool> {
        self.ke.polls.something_happens();
        let irql = self.raise_irql(isr.synchronize_irql);
        let generation = self.ke.interrupts.generation();
        self.ke.lock_order.acts_for(isr.routine);
        let acquired = self.acquire_lock_word(isr.lock);
        self.ke.lock_order.acts_for(0);
        acquired?;
        // While this processor waited for the lock, another one may have disconnected it or reported
        // it inactive.
        if self.ke.interrupts.generation() != generation
            && !self.ke.interrupts.is_callable(isr.object)
        {
            self.release_lock_word(isr.lock)?;
            self.set_irql(irql);
            self.message_while_inactive(isr);
            return Ok(false);
        }
        let asked = self
            .judges()
            .then(|| self.before_answer(vector, chain, isr))
            .flatten();
        self.message_is_served(isr);
        let claimed = self.enter_isr(vector, isr)?;
        if let Some(asked) = asked {
            self.judge_answer(vector, isr, asked, claimed)?;
        }
        self.release_lock_word(isr.lock)?;
        self.set_irql(irql);
        Ok(claimed)
    }

    /// Calls an ISR at the level and with the lock that it has now, and sees whether it left
    /// them so.
    pub(super) fn enter_isr(&self, vector: Vector, isr: &Isr) -> Ddi<bool> {
        self.processor().context.set(Context::Isr(vector.0));
        if self.report.is_recording() {
            self.event(Event::IsrEnter {
                vector,
                object: isr.object,
                routine: isr.routine,
            });
        }
        self.touch_driver();
        let outer = self.processor().isr.replace(isr.object);
        let result = match isr.message {
            None => self
                .platform()
                .call(isr.routine, &[isr.object, isr.context]),
            Some(message) => self
                .platform()
                .call(isr.routine, &[isr.object, isr.context, u64::from(message)]),
        };
        self.processor().isr.set(outer);
        // A BOOLEAN is a byte; what is above it in the register is rubbish.
        let claimed = result as u8 != 0;
        if self.report.is_recording() {
            self.event(Event::IsrLeave { vector, claimed });
        }
        self.check_interrupt_flag("the ISR", isr.routine)?;
        self.check_isr_level(isr)?;
        Ok(claimed)
    }

    /// The ISR that the current processor runs, which may be interrupted by another one.
    pub(crate) fn running_isr(&self) -> Option<Isr> {
        let object = self.processor().isr.get();
        let object = self.ke.interrupts.object(object)?;
        matches!(self.context(), Context::Isr(_)).then_some(object.isr)
    }

    /// Bug check 0xC8 as its page describes it for an ISR (unique value 3).
    fn check_isr_level(&self, isr: &Isr) -> Ddi<()> {
        let (now, expected) = (self.irql(), isr.synchronize_irql);
        if now == expected {
            return Ok(());
        }
        self.find_at(
            ids::ISR_IRQL,
            format!("the ISR was called at {expected} and returned at {now}"),
            self.here_at(isr.routine),
            self.raised_here().or_else(|| {
                let connected = self.connection_place(isr.object);
                connected.map(|place| (String::from("the interrupt was connected here"), place))
            }),
        )?;
        let levels = u64::from(now.0) << 16 | u64::from(expected.0) << 8 | 3;
        Err(self.stop_system(BugCheck::new(
            code::IRQL_UNEXPECTED_VALUE,
            [levels, isr.routine, isr.object, 0],
        )))
    }

    /// A routine that was called with interrupts on must not leave them off.
    #[inline]
    pub(crate) fn check_interrupt_flag(&self, what: &str, routine: u64) -> Ddi<()> {
        if self.processor().interrupt_flag.get() {
            return Ok(());
        }
        self.processor().interrupt_flag.set(true);
        self.find_at(
            ids::INTERRUPTS_OFF,
            format!("{what} returned with the processor's interrupts off"),
            self.here_at(routine),
            None,
        )
    }

    /// An interrupt that never stops. Parameters as on the page of bug check 0xF2.
    #[cold]
    pub(super) fn storm(&self, vector: Vector, chain: ChainId) -> Stop {
        let Some(first) = self.ke.interrupts.first_isr(chain) else {
            let message = format!(
                "vector {:#04x} was taken {STORM} times in a row, and no ISR is connected to it on processor {}",
                vector.0,
                self.processor().id.0
            );
            return self.find_fatal(ids::INTERRUPT_STORM, message, None);
        };
        let message = format!(
            "vector {:#04x} was taken {STORM} times in a row and is still asserted; no ISR silenced its device",
            vector.0
        );
        let connected = self
            .connection_place(first.object)
            .map(|place| (String::from("the interrupt was connected here"), place));
        if self
            .find_at(
                ids::INTERRUPT_STORM,
                message,
                self.here_at(first.routine),
                connected,
            )
            .is_err()
        {
            return Stop::Ended;
        }
        let kind = if self.ke.interrupts.chain_len(chain) > 1 {
            2
        } else {
            1
        };
        self.stop_system(BugCheck::new(
            code::HARDWARE_INTERRUPT_STORM,
            [first.routine, first.context, first.object, kind],
        ))
    }
}
