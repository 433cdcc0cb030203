//! Interrupt request levels of the current processor.

use alloc::format;
use alloc::string::String;

use dirql_abi::Irql;
use dirql_abi::bugcheck::code;
use dirql_rules::{BugCheck, Place, ids};

use crate::stop::Ddi;
use crate::{Event, Kernel};

impl Kernel {
    /// The current processor's IRQL.
    #[inline]
    #[must_use]
    pub fn irql(&self) -> Irql {
        self.processor().irql.get()
    }

    /// Sets the level without looking at what becomes deliverable.
    #[inline]
    pub(crate) fn set_irql(&self, to: Irql) -> Irql {
        let processor = self.processor();
        let from = processor.irql.replace(to);
        if from != to {
            processor.lapic.borrow_mut().set_tpr_class(to.0);
            if to >= Irql::DISPATCH {
                self.hide_pageable();
                if from < Irql::DISPATCH {
                    self.stretch_begins();
                }
            }
            if self.report.is_recording() {
                self.event(Event::Irql { from, to });
            }
        }
        from
    }

    /// Raises the level to at least `to` and returns the level before.
    #[inline]
    pub fn raise_irql(&self, to: Irql) -> Irql {
        let from = self.irql();
        if to > from {
            self.set_irql(to);
        }
        from
    }

    /// Lowers the level and takes the interrupts that it held back, highest first.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] once the run is over.
    #[inline]
    pub fn lower_irql(&self, to: Irql) -> Ddi<()> {
        self.set_irql(to);
        self.forget_raise(to);
        self.take_pending()
    }

    /// The level is about to be raised to `to` by a routine that the driver has called, or by its
    /// own instruction at `place`.
    pub(crate) fn note_raise(&self, to: Irql, place: Place) {
        if to > self.irql() {
            *self.processor().raised.borrow_mut() = Some(Place {
                irql: to.0,
                ..place
            });
        }
    }

    /// The level is `to` now.
    #[inline]
    pub(crate) fn forget_raise(&self, to: Irql) {
        let mut raised = self.processor().raised.borrow_mut();
        if raised.as_ref().is_some_and(|place| place.irql > to.0) {
            *raised = None;
        }
    }

    /// Where the current level comes from, if what runs has raised it itself: for findings about
    /// the level.
    pub(crate) fn raised_here(&self) -> Option<(String, Place)> {
        let processor = self.processor();
        let raised = processor.raised.borrow().clone();
        let raised = raised
            .filter(|place| place.irql == self.irql().0 && place.context == self.context())
            .map(|place| (String::from("the level was raised here"), place));
        raised.or_else(|| {
            let (_, place) = self.held_by(processor.id).pop()?;
            Some((String::from("a spin lock was taken here"), place))
        })
    }

    /// `KIRQL KfRaiseIrql(KIRQL NewIrql)`, also behind `KeRaiseIrql`.
    ///
    /// - IRQL: at or below `new`.
    /// - Returns: the level before.
    /// - Findings: DQ0105, with bug check 0x9, when `new` is below the current level or above
    ///   HIGH_LEVEL.
    /// - Source: WDK reference, wdm.KeRaiseIrql, Remarks.
    pub fn ke_raise_irql(&self, new: u8) -> Ddi<u8> {
        let current = self.irql();
        if new < current.0 || new > Irql::HIGH.0 {
            self.find(
                ids::RAISE_BELOW,
                format!("KeRaiseIrql to {} at {current}", Irql(new)),
                None,
            )?;
            let parameters = [u64::from(current.0), u64::from(new), 0, 0];
            self.outlive(BugCheck::new(code::IRQL_NOT_GREATER_OR_EQUAL, parameters))?;
            return Ok(current.0);
        }
        self.note_raise(Irql(new), self.here());
        self.set_irql(Irql(new));
        Ok(current.0)
    }

    /// `VOID KeLowerIrql(KIRQL NewIrql)`
    ///
    /// - IRQL: at or above `new`.
    /// - Findings: DQ0105, with bug check 0xA, when `new` is above the current level.
    /// - Yields: interrupts held back by the level are taken.
    /// - Source: WDK reference, wdm.KeLowerIrql, Remarks ("fatal error", without a number).
    pub fn ke_lower_irql(&self, new: u8) -> Ddi<()> {
        let current = self.irql();
        if new > current.0 {
            self.find(
                ids::RAISE_BELOW,
                format!("KeLowerIrql to {} at {current}", Irql(new)),
                None,
            )?;
            let parameters = [u64::from(current.0), u64::from(new), 0, 0];
            return Err(BugCheck::new(code::IRQL_NOT_LESS_OR_EQUAL, parameters).into());
        }
        self.lower_irql(Irql(new))
    }

    /// `KIRQL KeRaiseIrqlToDpcLevel(VOID)`: as [`Kernel::ke_raise_irql`] with DISPATCH_LEVEL.
    pub fn ke_raise_irql_to_dpc_level(&self) -> Ddi<u8> {
        self.ke_raise_irql(Irql::DISPATCH.0)
    }
}
