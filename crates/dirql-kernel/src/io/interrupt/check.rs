//! What a driver says about an interrupt that it connects, against what the system knows.

use alloc::format;
use alloc::string::String;

use dirql_abi::interrupt::interrupt_mode;
use dirql_rules::ids;

use super::Wish;
use crate::hal::{Source, SourceKind};
use crate::ke::interrupt::Object;
use crate::stop::Ddi;
use crate::{DriverPtr, Kernel};

impl Kernel {
    /// Findings for a wish that will be granted.
    pub(super) fn check_wish(&self, wish: &Wish, source: &Source, mask: u64) -> Ddi<()> {
        self.check_descriptor(wish, source)?;
        self.check_mask(wish, source, mask)?;
        self.check_lock(wish)?;
        self.check_resident(wish.context, "the ISR's context")?;
        self.check_company(wish)
    }

    /// The parameter FloatingSave of a connect. It changes nothing here, as on Windows.
    ///
    /// Findings: DQ0578 it is TRUE. Source: wdm.IoConnectInterrupt, Parameters.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] if the finding ends the run.
    pub fn check_floating_save(&self, value: u8) -> Ddi<()> {
        if value == 0 {
            return Ok(());
        }
        self.find(
            ids::FLOATING_SAVE,
            String::from("FloatingSave is TRUE"),
            None,
        )
    }

    /// A device that can be told to does not interrupt before its interrupt is connected.
    pub(super) fn check_silent_before(&self, sources: &[u32]) -> Ddi<()> {
        for number in sources {
            let first = self.source(*number).filter(|source| source.users == 0);
            let Some(source) = first.filter(|_| self.source_is_asserted(*number)) else {
                continue;
            };
            let Some(written) = self.last_write(source.device) else {
                continue;
            };
            self.find(
                ids::SILENT_BEFORE_CONNECT,
                String::from("the device asserts its line already when its interrupt is connected"),
                Some((
                    String::from("its registers were written last here"),
                    written,
                )),
            )?;
        }
        Ok(())
    }

    /// Until a connect has succeeded there is NULL where its result belongs. The page's own example
    /// of version 3 has no place for it.
    pub(super) fn clear_result(&self, result: DriverPtr<u64>) -> Ddi<()> {
        if !result.is_null() {
            return Ok(self.write(result, 0)?);
        }
        let message = String::from("the block has NULL where the address of the result belongs");
        self.find(ids::NO_PLACE_FOR_RESULT, message, None)
    }

    /// The page wants the physical device object: a function device object is none.
    pub(super) fn check_pdo(&self, pdo: u64) -> Ddi<()> {
        if self.node(pdo).is_some() {
            return Ok(());
        }
        let why = match pdo {
            0 => String::from("PhysicalDeviceObject is NULL"),
            _ => format!("PhysicalDeviceObject is {pdo:#x}, which is no physical device object"),
        };
        self.refused_connect(why)
    }

    /// Says why a connect that no computer could grant is refused.
    pub(super) fn refused_connect(&self, why: String) -> Ddi<()> {
        self.find(ids::REFUSED_CONNECT, why, None)
    }

    /// Says who is in the way of a connect.
    pub(super) fn refused_share(&self, wish: &Wish, other: &Object) -> Ddi<()> {
        let why = match (wish.shared, other.shared) {
            (false, _) => "ShareVector is FALSE",
            (true, false) => "the other is not shared",
            (true, true) => "the other has another InterruptMode",
        };
        self.find(
            ids::REFUSED_CONNECT,
            format!("vector {:#x} is connected already, and {why}", wish.vector),
            self.connection_place(other.isr.object)
                .and_then(Self::connected_here),
        )
    }

    /// Finds what cannot be right in a wish, whatever there is to connect; `mask` has the
    /// active ones of its processors. Returns whether there is something.
    pub(super) fn check_arguments(&self, wish: &Wish, mask: u64) -> Ddi<bool> {
        let is_a_mode = matches!(
            wish.mode,
            interrupt_mode::LevelSensitive | interrupt_mode::Latched
        );
        let why = if mask == 0 {
            format!(
                "ProcessorEnableMask is {:#x}, which has no active processor",
                wish.mask
            )
        } else if wish.routine == 0 {
            String::from("there is no service routine")
        } else if !is_a_mode {
            format!("InterruptMode is {}, which is no mode", wish.mode)
        } else if wish.synchronize_irql < wish.irql {
            format!(
                "SynchronizeIrql is {}, below Irql, which is {}",
                wish.synchronize_irql, wish.irql
            )
        } else if !wish.synchronize_irql.is_valid() {
            format!(
                "SynchronizeIrql is {}, which is no level",
                wish.synchronize_irql.0
            )
        } else if wish.passive && wish.lock != 0 {
            String::from("a passive-level interrupt is connected with a spin lock")
        } else {
            return Ok(false);
        };
        // Whoever takes raw resources has a line's number for the level too.
        if !self.check_for_raw_vector(wish)? {
            self.refused_connect(why)?;
        }
        Ok(true)
    }

    /// Finds a raw vector in the place of a translated one. Returns whether it is one.
    pub(super) fn check_for_raw_vector(&self, wish: &Wish) -> Ddi<bool> {
        let raw = self
            .sources()
            .into_iter()
            .any(|(_, source)| match source.kind {
                SourceKind::Line { gsi, .. } => gsi == wish.vector,
                SourceKind::Message { .. } => false,
            });
        if raw {
            self.find(
                ids::RAW_RESOURCE,
                format!(
                    "{:#x} is the raw vector of an assigned interrupt, and no translated one",
                    wish.vector
                ),
                None,
            )?;
        }
        Ok(raw)
    }

    fn check_descriptor(&self, wish: &Wish, source: &Source) -> Ddi<()> {
        // A line that a driver asked for by number, and nothing is wired to, has no descriptor.
        if self.with_slot(source.device, |_| ()).is_none() {
            return Ok(());
        }
        let latched = wish.mode == interrupt_mode::Latched;
        if latched != source.is_latched() {
            let (is, says) = if latched {
                ("level-sensitive", "Latched")
            } else {
                ("latched", "LevelSensitive")
            };
            self.find(
                ids::MISMATCHED_MODE,
                format!("the interrupt is {is}, InterruptMode says {says}"),
                None,
            )?;
        }
        // Pages contradict each other on whether messages are shared; nothing hangs on it. A driver
        // that found its hardware by itself, by HalGetInterruptVector, has no descriptor that says
        // so.
        let is_line = matches!(source.kind, SourceKind::Line { .. });
        let is_described = self.pdo_of_device(source.device).is_some();
        if is_line && is_described && wish.shared != source.shared {
            let (is, says) = if wish.shared {
                ("exclusive", "TRUE")
            } else {
                ("shared", "FALSE")
            };
            self.find(
                ids::MISMATCHED_MODE,
                format!("the interrupt's share disposition is {is}, ShareVector says {says}"),
                None,
            )?;
        }
        // PASSIVE_LEVEL asks for a passive-level ISR, whatever the descriptor says.
        if wish.irql != source.irql() && !wish.passive {
            self.find(
                ids::MISMATCHED_MODE,
                format!(
                    "the interrupt's level is {}, Irql says {}",
                    source.irql(),
                    wish.irql
                ),
                None,
            )?;
        }
        Ok(())
    }

    fn check_mask(&self, wish: &Wish, source: &Source, mask: u64) -> Ddi<()> {
        if wish.mask & !source.affinity != 0 {
            self.find(
                ids::EXCESS_MASK,
                format!(
                    "ProcessorEnableMask is {:#x}; the interrupt's affinity is {:#x}",
                    wish.mask, source.affinity
                ),
                None,
            )?;
        }
        let all = source.affinity & self.active_mask(source.group);
        if mask & all == all {
            return Ok(());
        }
        self.find(
            ids::PARTIAL_MASK,
            format!(
                "ProcessorEnableMask is {:#x}; the interrupt's affinity is {all:#x}",
                wish.mask
            ),
            None,
        )
    }

    /// A driver's spin lock is initialised and resident.
    fn check_lock(&self, wish: &Wish) -> Ddi<()> {
        if wish.lock == 0 {
            return Ok(());
        }
        if self
            .current_stack()
            .is_some_and(|stack| stack.contains(&wish.lock))
        {
            let message = String::from("the spin lock is on the stack of the thread that connects");
            self.find(ids::LOCK_STORAGE, message, None)?;
        }
        if self.is_pageable(wish.lock) {
            let message = String::from("the spin lock is in pageable memory");
            let earlier = self.memory_from(wish.lock);
            self.find(ids::LOCK_STORAGE, message, earlier)?;
        }
        let word = self.read(DriverPtr::<u64>::new(wish.lock))?;
        if word != 0 && self.holder(wish.lock).is_none() {
            let message = format!("the spin lock is not initialised; it reads {word:#x}");
            self.find(ids::LOCK_STORAGE, message, None)?;
        }
        Ok(())
    }

    /// Interrupts that share a lock or an ISR with one that is connected already.
    fn check_company(&self, wish: &Wish) -> Ddi<()> {
        for other in self.ke.interrupts.objects() {
            let isr = other.isr;
            let is_other_vector = u32::from(other.vector.0) != wish.vector;
            let same_lock = wish.lock != 0 && isr.lock == wish.lock;
            if same_lock && isr.synchronize_irql != wish.synchronize_irql && wish.message.is_none()
            {
                return self.find(
                    ids::SHARED_LOCK_LEVEL,
                    format!(
                        "SynchronizeIrql is {}; another interrupt with this spin lock has {}",
                        wish.synchronize_irql, isr.synchronize_irql
                    ),
                    self.connection_place(isr.object)
                        .and_then(Self::connected_here),
                );
            }
            let same_isr = isr.routine == wish.routine && isr.context == wish.context;
            if same_isr
                && is_other_vector
                && !same_lock
                && isr.message.is_none()
                && wish.message.is_none()
            {
                return self.find(
                    ids::ISR_OF_SEVERAL_VECTORS,
                    String::from("one ISR with one context serves several vectors, and they have no spin lock in common"),
                    self.connection_place(isr.object).and_then(Self::connected_here),
                );
            }
        }
        Ok(())
    }
}
