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
//! Not judged: latched lines, of which nobody can say afterwards who asserted them, and messages,
//! which nobody shares.

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::cell::RefCell;

use dirql_abi::interrupt::interrupt_mode;
use dirql_chips::Vector;
use dirql_rules::ids;

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
}

/// What a device does when its ISR is called.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    is_quiet: bool,
    assertions: u32,
}

impl Kernel {
    /// Looks at the device whose ISR is to be called; `None` if its answer is not judged.
    #[inline]
    pub(super) fn before_answer(&self, vector: Vector, chain: ChainId, isr: &Isr) -> Option<Asked> {
        let group = self.processor().id.group();
        let is_judged = isr.mode == interrupt_mode::LevelSensitive
            && (self.ke.interrupts.chain_len(chain) > 1 || self.stranger_is_on(group, vector));
        is_judged.then(|| Asked {
            is_quiet: !self.source_is_asserted(isr.source),
            assertions: self.assertions_of(isr.source),
        })
    }

    /// Tells of an ISR that claims what is not its device's.
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
        let is_quiet = asked.is_quiet && !self.source_is_asserted(isr.source);
        let now = self.assertions_of(isr.source);
        let in_a_row = {
            let mut all = self.ke.claims.0.borrow_mut();
            // What was before the first call that is judged is not known.
            let calls = all.entry((isr.source, isr.routine)).or_insert(Calls {
                assertions: now.wrapping_sub(1),
                unfounded: 0,
            });
            calls.unfounded = if claimed && is_quiet && now == calls.assertions {
                calls.unfounded + 1
            } else {
                0
            };
            calls.assertions = asked.assertions;
            calls.unfounded
        };
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
}
