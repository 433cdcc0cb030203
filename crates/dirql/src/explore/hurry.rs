//! Whether time has run faster than devices in a run.
//!
//! A timer or a timeout that is over early may be over before a device has done its work. What a
//! driver then says of the device is no mistake.

use std::cell::Cell;
use std::rc::Rc;

use dirql_kernel::ke::{Choice, Chooser, ClockAction, ProcessorId, Touch};

/// Lets another one choose, and notes when time is made to run fast.
pub(super) struct Hurry {
    chooser: Rc<dyn Chooser>,
    hurried: Rc<Cell<bool>>,
}

impl Hurry {
    /// Who chooses as `chooser` does, and what tells whether time has run fast so far.
    pub(super) fn beside(chooser: Rc<dyn Chooser>) -> (Rc<dyn Chooser>, Rc<Cell<bool>>) {
        let hurried = Rc::<Cell<bool>>::default();
        let hurry = Self {
            chooser,
            hurried: hurried.clone(),
        };
        (Rc::new(hurry), hurried)
    }
}

impl Chooser for Hurry {
    fn choose(&self, options: &[Choice]) -> usize {
        let chosen = self.chooser.choose(options);
        if chosen > 0
            && let Some(Choice::Delay(action)) = options.get(chosen)
            && !matches!(action, ClockAction::Device { .. })
        {
            self.hurried.set(true);
        }
        chosen
    }

    fn listens(&self) -> bool {
        self.chooser.listens()
    }

    fn touched(&self, touch: Touch) {
        self.chooser.touched(touch);
    }

    fn wants(&self, processor: ProcessorId, lock: u64) {
        self.chooser.wants(processor, lock);
    }
}
