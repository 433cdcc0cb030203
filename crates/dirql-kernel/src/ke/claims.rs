//! Whether ISRs that claim a shared line do so for their own device.
//!
//! "Returns FALSE if its device did not interrupt" (wdm.KSERVICE_ROUTINE, Return value): whoever
//! claims what another device asserted keeps that one's ISR from being called, and the line stays
//! asserted.
//!
//! What the line shows is not all that an ISR may go by. A device has a cause in a register before
//! it asserts the line, or asserted it once for two causes; a thread may have silenced it while the
//! interrupt was on its way. Each of these is claimed once. So it is told when an ISR claims twice
//! in a row, its device being quiet all the time and having asserted nothing since the call before.
//!
//! The reverse, an ISR that has silenced its device and returns FALSE, leaves it to the next ISR and,
//! at last, to nobody. That too is told at the second time in a row.
//!
//! Not judged: latched lines, of which nobody can say afterwards who asserted them, and messages,
//! which nobody shares.

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::cell::RefCell;

use dirql_abi::interrupt::interrupt_mode;
use dirql_chips::Vector;
use dirql_rules::{Context, ids};

use crate::Kernel;
use crate::ke::interrupt::{ChainId, Isr};
use crate::stop::Ddi;

/// Claims for nothing that are told.
const UNFOUNDED: u32 = 2;

/// What is known of the calls of an ISR for a source of interrupts.
#[derive(Default)]
pub(super) struct Claims(RefCell<BTreeMap<(u32, u64), Calls>>);

struct Calls {
    /// How often the device had asserted a line when the ISR was called last.
    assertions: u32,
    /// Claims for nothing in a row.
    unfounded: u32,
    /// Times in a row that it silenced its device and did not claim.
    disowned: u32,
}

/// What a device does when its ISR is called.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    /// Whether another device can assert the line.
    is_shared: bool,
    is_quiet: bool,
    assertions: u32,
    step: u64,
}

impl Kernel {
    /// Looks at the device whose ISR is to be called; `None` if its answer is not judged.
    #[inline]
    pub(super) fn before_answer(&self, vector: Vector, chain: ChainId, isr: &Isr) -> Option<Asked> {
        let group = self.processor().id.group();
        (isr.mode == interrupt_mode::LevelSensitive).then(|| Asked {
            is_shared: self.ke.interrupts.chain_len(chain) > 1
                || self.stranger_is_on(group, vector),
            step: self.step(),
            is_quiet: !self.source_is_asserted(isr.source),
            assertions: self.assertions_of(isr.source),
        })
    }

    /// Tells of an ISR that claims what is not its device's, or does not claim what is.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] if the finding ends the run.
    pub(super) fn judge_answer(
        &self,
        vector: Vector,
        isr: &Isr,
        asked: Asked,
        claimed: bool,
    ) -> Ddi<()> {
        let quiet_now = !self.source_is_asserted(isr.source);
        let is_quiet = asked.is_shared && asked.is_quiet && quiet_now;
        let silenced =
            !claimed && !asked.is_quiet && quiet_now && self.wrote_to(isr, vector, asked);
        let now = self.assertions_of(isr.source);
        let (in_a_row, disowned) = {
            let mut all = self.ke.claims.0.borrow_mut();
            // What was before the first call that is judged is not known.
            let calls = all.entry((isr.source, isr.routine)).or_insert(Calls {
                assertions: now.wrapping_sub(1),
                unfounded: 0,
                disowned: 0,
            });
            calls.unfounded = if claimed && is_quiet && now == calls.assertions {
                calls.unfounded + 1
            } else {
                0
            };
            calls.assertions = asked.assertions;
            if claimed || silenced {
                calls.disowned = if claimed { 0 } else { calls.disowned + 1 };
            }
            (calls.unfounded, calls.disowned)
        };
        if silenced && disowned == UNFOUNDED {
            let connected = self.connection_place(isr.object);
            return self.find_at(
                ids::ISR_DISOWNS,
                String::from(
                    "the ISR silenced its device, which had asserted the line, and returned FALSE again",
                ),
                self.here_at(isr.routine),
                connected.map(|place| (String::from("the interrupt was connected here"), place)),
            );
        }
        if in_a_row != UNFOUNDED {
            return Ok(());
        }
        let connected = self.connection_place(isr.object);
        self.find_at(
            ids::CLAIMED_FOREIGN,
            String::from(
                "the ISR returned TRUE again although its device has not asserted the shared line since the call before",
            ),
            self.here_at(isr.routine),
            connected.map(|place| (String::from("the interrupt was connected here"), place)),
        )?;
        self.pass_to_stranger(self.processor().id.group(), vector);
        Ok(())
    }

    /// Whether the ISR has written to its device in this call.
    fn wrote_to(&self, isr: &Isr, vector: Vector, asked: Asked) -> bool {
        let device = self.source(isr.source).map(|source| source.device);
        let last = device.and_then(|device| self.last_write(device));
        last.is_some_and(|place| {
            place.step >= asked.step && place.context == Context::Isr(vector.0)
        })
    }
}
