//! A thread that lets everything else go first.

use dirql_chips::Trigger;

use crate::Kernel;
use crate::ke::choice::{Choice, Place};
use crate::ke::processor::vectors;
use crate::stop::Ddi;

impl Kernel {
    /// Lets happen what can happen now, until nothing is left but that this thread goes on: what is
    /// on its way arrives, interrupts and DPCs run, other processors go on until they have nothing to
    /// do, and threads of the same priority until they wait.
    ///
    /// No delay is waited for, of a device or of a timer. Threads of lower priority that this
    /// processor alone could run do not run. On a thread, at PASSIVE_LEVEL, without what others
    /// wait for.
    ///
    /// Where somebody chooses, each thing that happens is a choice among those that can.
    ///
    /// # Errors
    /// The run's end.
    pub fn let_others_go_first(&self) -> Ddi<()> {
        if !self.platform().on_strand() {
            return Ok(());
        }
        loop {
            // Two threads that let each other go first do so until the steps of the run are used up.
            let step = self.step() + 1;
            self.ke.steps.set(step);
            if self.turn_is_over() {
                self.begin_turn(step)?;
            }
            let processor = self.processor();
            if !processor.dpc_queue.borrow().is_empty() {
                // As the idle loop does for DPCs that nobody has asked to be run at once.
                self.request_vector(processor.id, vectors::DPC, Trigger::Edge);
            }
            self.take_pending()?;
            self.go_on_unless_ended()?;
            let somebody_went = if self.is_exploring() {
                !self.only_this_goes_on() && self.let_chosen_go_first()
            } else {
                self.let_next_go_first()
            };
            self.go_on_unless_ended()?;
            if !somebody_went {
                return Ok(());
            }
        }
    }

    fn let_chosen_go_first(&self) -> bool {
        let me = self.processor().id;
        let choices = &self.ke.choices;
        match self.ask(Place::Last { me }) {
            None => return false,
            Some(Choice::Processor(other)) => {
                self.hold_back();
                choices.next.set(Some(other));
                self.hand_over(false);
            }
            Some(Choice::OtherThread(_)) => {
                self.hold_back();
                choices.next.set(Some(me));
                self.end_quantum(false);
                choices.next.set(None);
            }
            Some(event) => self.happen(event),
        }
        true
    }

    fn let_next_go_first(&self) -> bool {
        let (me, count) = (usize::from(self.processor().id.0), self.processors().len());
        let others = [0..me, me + 1..count];
        if others
            .into_iter()
            .any(|others| self.first_runnable(others).is_some())
        {
            self.hand_over(true);
            true
        } else if self.has_equal_ready() {
            self.end_quantum(false);
            true
        } else {
            false
        }
    }
}
