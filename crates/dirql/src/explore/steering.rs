//! Between the kernel, which says what could happen, and a strategy, which says what does.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use dirql_explore::{Access, Alternative, Deviation, Place, Recorder, Run, Strategy, Touch};
use dirql_kernel::ke::{Choice, Chooser, ProcessorId, TouchAccess};

/// Told of a run's deviations while it is under way, in case it does not come to its end.
pub(super) type Watch = Rc<dyn Fn(Option<Deviation>)>;

/// Steers one run, or one run after the other.
pub(super) struct Steering {
    recorder: RefCell<Option<Recorder<Box<dyn Strategy>>>>,
    alternatives: RefCell<Vec<Alternative>>,
    watch: Option<Watch>,
    /// Before which points the run is to pause, once each.
    pauses: Cell<Pauses>,
    /// Why the run pauses.
    is_paused: Cell<bool>,
}

/// Before which points a run pauses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pauses {
    /// Before none.
    #[default]
    Never,
    /// Before the first one that comes after so many choices and points.
    After(Place),
}

impl Steering {
    pub(super) fn new(strategy: Box<dyn Strategy>, watch: Option<Watch>) -> Rc<Self> {
        Rc::new(Self {
            recorder: RefCell::new(Some(Recorder::new(strategy))),
            alternatives: RefCell::default(),
            watch,
            pauses: Cell::default(),
            is_paused: Cell::new(false),
        })
    }

    /// The run is over.
    pub(super) fn finish(&self) -> Option<(Box<dyn Strategy>, Run)> {
        self.recorder.take().map(Recorder::finish)
    }

    /// What steers, if runs are not over.
    #[inline]
    pub(super) fn with<R>(
        &self,
        use_it: impl FnOnce(&mut Recorder<Box<dyn Strategy>>) -> R,
    ) -> Option<R> {
        self.recorder.borrow_mut().as_mut().map(use_it)
    }

    /// Whether the strategy wants to be told of touches and locks.
    pub(super) fn listens(&self) -> bool {
        self.with(|recorder| recorder.listens()).unwrap_or(true)
    }

    /// From now on runs pause there.
    pub(super) fn pause(&self, pauses: Pauses) {
        self.pauses.set(pauses);
    }

    /// Whether the run that has stopped is before a choice, and before which.
    pub(super) fn paused_before(&self) -> Option<Place> {
        let paused = self.is_paused.take();
        self.with(|recorder| recorder.place()).filter(|_| paused)
    }

    /// The index of what happens; `None` if the run is to pause first and ask again.
    #[inline]
    pub(super) fn decide(&self, options: &[Choice]) -> Option<usize> {
        let mut recorder = self.recorder.borrow_mut();
        let Some(recorder) = &mut *recorder else {
            return Some(0);
        };
        if let Pauses::After(place) = self.pauses.get()
            && options.len() > 1
            && recorder.place().choices >= place.choices
            && recorder.place().points >= place.points
        {
            self.pause(Pauses::Never);
            self.is_paused.set(true);
            return None;
        }
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
        Some(chosen)
    }

    /// Tells the watch that a run begins, and what it begins with.
    pub(super) fn tell_beginning(&self) {
        let Some(watch) = &self.watch else { return };
        watch(None);
        let deviations = self.with(|recorder| recorder.run().deviations.clone());
        for deviation in deviations.unwrap_or_default() {
            watch(Some(deviation));
        }
    }
}

impl Chooser for Steering {
    fn choose(&self, options: &[Choice]) -> usize {
        self.decide(options).unwrap_or(0)
    }

    fn listens(&self) -> bool {
        Self::listens(self)
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
