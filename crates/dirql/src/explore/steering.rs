//! Between the kernel, which says what could happen, and a strategy, which says what does.

use std::cell::RefCell;
use std::rc::Rc;

use dirql_explore::{Access, Alternative, Deviation, Recorder, Run, Strategy, Touch};
use dirql_kernel::ke::{Choice, Chooser, ProcessorId, TouchAccess};

/// Told of a run's deviations while it is under way, in case it does not come to its end.
pub(super) type Watch = Rc<dyn Fn(Option<Deviation>)>;

/// Steers one run.
pub(super) struct Steering {
    recorder: RefCell<Option<Recorder<Box<dyn Strategy>>>>,
    alternatives: RefCell<Vec<Alternative>>,
    watch: Option<Watch>,
}

impl Steering {
    pub(super) fn new(strategy: Box<dyn Strategy>, watch: Option<Watch>) -> Rc<Self> {
        Rc::new(Self {
            recorder: RefCell::new(Some(Recorder::new(strategy))),
            alternatives: RefCell::default(),
            watch,
        })
    }

    /// The run is over.
    pub(super) fn finish(&self) -> Option<(Box<dyn Strategy>, Run)> {
        self.recorder.take().map(Recorder::finish)
    }
}

impl Chooser for Steering {
    fn choose(&self, options: &[Choice]) -> usize {
        let mut recorder = self.recorder.borrow_mut();
        let Some(recorder) = &mut *recorder else {
            return 0;
        };
        let mut alternatives = self.alternatives.borrow_mut();
        alternatives.clear();
        alternatives.extend(options.iter().map(|choice| Alternative {
            actor: choice.actor(),
            variant: choice.variant(),
        }));
        let chosen = recorder.choose(&alternatives);
        if chosen > 0
            && let (Some(watch), Some(latest)) = (&self.watch, recorder.run().deviations.last())
        {
            watch(Some(*latest));
        }
        chosen
    }

    fn touched(&self, touch: dirql_kernel::ke::Touch) {
        if let Some(recorder) = &mut *self.recorder.borrow_mut() {
            recorder.touched(Touch {
                object: touch.object,
                parts: touch.parts,
                access: match touch.access {
                    TouchAccess::Look => Access::Look,
                    TouchAccess::Change => Access::Change,
                    TouchAccess::Take => Access::Take,
                    TouchAccess::Free => Access::Free,
                },
            });
        }
    }

    fn wants(&self, processor: ProcessorId, lock: u64) {
        if let Some(recorder) = &mut *self.recorder.borrow_mut() {
            recorder.wants(Choice::Processor(processor).actor(), lock);
        }
    }
}
