//! One run after the other, without beginning each from nothing.
//!
//! The first run goes from the start to its end, and leaves marks on its way. Each run after it
//! goes on from the last mark up to which it is the same. Where computers cannot be put back
//! (the program's allocator is not [`dirql_host::Arena`]) every run begins from nothing; what
//! comes out is the same.
//!
//! A run that is put back has been inside: what it leaves for others is copied out.

use std::cell::RefCell;
use std::rc::Rc;

use dirql_explore::{Place, Recorder, Run, Schedule, Strategy};
use dirql_host::{Life, Stopped, ask, outside, pause, twins_are_many};
use dirql_kernel::ke::{Choice, Chooser, ProcessorId, Touch};

use super::steering::{Pauses, Steering, Watch};

/// Choices between two marks, at least: a mark takes as long as some tens of choices.
const APART: usize = 32;

/// Runs of a search after which it is looked whether the computer can be put back sooner: as many
/// as take longer than to begin it again, and once more for what shows late.
const LOOKS: [u64; 2] = if cfg!(test) { [3, 6] } else { [1_000, 8_000] };

thread_local! {
    /// What this thread's runs are of.
    static SHARED: RefCell<Option<Rc<Shared>>> = const { RefCell::new(None) };
}

/// What runs are of.
pub(super) trait Task {
    /// One run from its start. When it has come to its end, and before the computer goes away,
    /// `end` is told how, once.
    fn live(&self, chooser: Rc<dyn Chooser>, end: Rc<dyn Fn(End)>);
}

/// How a run ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct End {
    /// What was found, or went wrong in a test.
    pub(super) found: Found,
    /// It ended without a verdict.
    pub(super) no_verdict: bool,
    /// Its yield points.
    pub(super) steps: u64,
    /// It could not begin: why has to be found out in a run from its start.
    pub(super) is_error: bool,
    /// A number for everything that happened.
    #[cfg(test)]
    pub(super) trace: u32,
}

/// What was found in a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Found {
    /// Nothing.
    #[default]
    Nothing,
    /// These.
    Findings(Vec<crate::report::FindingReport>),
    /// A test failed.
    Failed(String),
}

/// What is outside of all runs.
struct Shared {
    task: Box<dyn Task>,
    steering: Rc<Steering>,
    end: RefCell<Option<End>>,
}

/// Runs of one task under one strategy.
pub(super) struct Lives {
    shared: Rc<Shared>,
    life: Option<Life>,
    /// The places of the marks in the latest run.
    places: Vec<Place>,
    /// Whether computers are put back.
    goes_back: bool,
    runs: u64,
}

/// Stands inside for who chooses outside.
struct Door;

impl Chooser for Door {
    fn choose(&self, options: &[Choice]) -> usize {
        /// It is to pause, and to ask again.
        const PAUSE: u64 = u64::MAX;
        loop {
            let answer = ask(
                || match with_steering(|steering| steering.decide(options)) {
                    Some(Some(chosen)) => chosen as u64,
                    Some(None) => PAUSE,
                    None => 0,
                },
            );
            if answer != PAUSE {
                return answer as usize;
            }
            pause();
        }
    }

    fn listens(&self) -> bool {
        with_steering(Steering::listens).unwrap_or(true)
    }

    fn touched(&self, touch: Touch) {
        outside(|| with_steering(|steering| steering.touched(touch)));
    }

    fn wants(&self, processor: ProcessorId, lock: u64) {
        outside(|| with_steering(|steering| steering.wants(processor, lock)));
    }
}

fn with_shared<R>(use_it: impl FnOnce(&Shared) -> R) -> Option<R> {
    SHARED.with_borrow(|shared| shared.as_deref().map(use_it))
}

fn with_steering<R>(use_it: impl FnOnce(&Steering) -> R) -> Option<R> {
    with_shared(|shared| use_it(&shared.steering))
}

/// A run, inside.
fn live() {
    // Another owner outside sees to it that nothing is dropped here.
    let Some(shared) = SHARED.with_borrow(Option::clone) else {
        return;
    };
    let end = |end: End| {
        // What is expected need not be told.
        if end != End::default() {
            ask(|| {
                with_shared(|shared| shared.end.replace(Some(end.clone())));
                0
            });
        }
        pause();
    };
    shared.task.live(Rc::new(Door), Rc::new(end));
}

impl Lives {
    /// Nothing has run yet.
    pub(super) fn new(
        task: impl Task + 'static,
        strategy: Box<dyn Strategy>,
        watch: Option<Watch>,
    ) -> Self {
        Self {
            shared: Rc::new(Shared {
                task: Box::new(task),
                steering: Steering::new(strategy, watch),
                end: RefCell::default(),
            }),
            life: None,
            places: Vec::new(),
            goes_back: true,
            runs: 0,
        }
    }

    /// Whether a run goes on from where it differs from the one before.
    pub(super) const fn going_back(mut self, goes_back: bool) -> Self {
        self.goes_back = goes_back;
        self
    }

    /// From now on another strategy, which has not begun, says what happens. Its first run begins
    /// where the latest one did; but a computer that was made to tell nothing of touches is of no
    /// use to one that listens, and the other way round.
    pub(super) fn change(&mut self, strategy: Box<dyn Strategy>) {
        let steering = self.shared.steering.clone();
        let before = steering.listens();
        steering.with(|recorder| recorder.change(strategy));
        if steering.listens() != before {
            self.rest();
        }
    }

    #[cfg(test)]
    pub(super) const fn goes_back(&self) -> bool {
        self.goes_back
    }

    /// Whether there is a place from which the next run may go on.
    #[cfg(test)]
    pub(super) fn has_marks(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.marks() > 0)
    }

    /// Makes the next run, and says how it ended; `None` if there is none.
    pub(super) fn next(&mut self) -> Option<End> {
        let is_scattered =
            LOOKS.contains(&self.runs) && self.life.as_ref().is_some_and(Life::learn);
        // Without room for more twins driver code that is watched could not go on.
        if is_scattered || self.life.is_some() && twins_are_many() {
            self.rest();
        }
        self.runs += 1;
        let shared = self.shared.clone();
        let steering = &shared.steering;
        let begun = steering.with(|recorder| {
            let from = recorder.begin(&self.places)?;
            Some((from, recorder.turn()))
        });
        let (from, turn) = begun??;
        shared.end.take();
        steering.tell_beginning();
        match (from, &mut self.life) {
            (Some(mark), Some(life)) => {
                life.back_to(mark);
                self.places.truncate(mark + 1);
                let pauses = match (self.places.last(), turn) {
                    (Some(last), Some(turn)) => pauses_at(*last, turn),
                    _ => Pauses::Never,
                };
                steering.pause(pauses);
            }
            _ => self.begin_anew(),
        }
        let has_ended = match &mut self.life {
            Some(life) => go_on(life, steering, &mut self.places),
            None => {
                let told = shared.clone();
                let end = move |end| drop(told.end.replace(Some(end)));
                shared.task.live(steering.clone(), Rc::new(end));
                false
            }
        };
        steering.with(Recorder::end);
        let end = shared.end.take().or_else(|| has_ended.then(End::default));
        // A run that could not begin has nobody to tell how it ended.
        Some(end.unwrap_or(End {
            is_error: true,
            ..End::default()
        }))
    }

    fn begin_anew(&mut self) {
        self.rest();
        if self.goes_back {
            SHARED.set(Some(self.shared.clone()));
            self.life = Life::new(live);
            self.goes_back = self.life.is_some();
            let start = Place {
                choices: 0,
                points: 0,
            };
            self.shared.steering.pause(Pauses::After(start));
        }
    }

    /// Takes the computer away, if there is one, so that there can be another one; the next run
    /// begins from nothing.
    pub(super) fn rest(&mut self) {
        self.places.clear();
        self.shared.steering.pause(Pauses::Never);
        if let Some(life) = self.life.take() {
            life.finish();
            SHARED.set(None);
        }
    }

    /// What the latest run chose.
    pub(super) fn run(&self) -> Run {
        let run = self.shared.steering.with(|recorder| recorder.run().clone());
        run.unwrap_or_default()
    }

    /// Asks the strategy something.
    pub(super) fn ask<R: Default>(&self, question: impl FnOnce(&dyn Strategy) -> R) -> R {
        let ask = |recorder: &mut Recorder<Box<dyn Strategy>>| question(&**recorder.strategy());
        self.shared.steering.with(ask).unwrap_or_default()
    }
}

impl Drop for Lives {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.rest();
        }
    }
}

/// What a run found is not found by the same run from nothing.
///
/// # Panics
/// Always: it is a defect of ours, and nothing that a search says could be relied on.
pub(super) fn differ(schedule: &Schedule) -> ! {
    panic!(
        "a run does not find again what the same run has found before; please report this with the driver and the schedule {schedule}"
    )
}

/// Where to leave another mark in a run that goes on from the last one and leaves the run before
/// it at `turn`.
fn pauses_at(last: Place, turn: Place) -> Pauses {
    let is_far = turn.points >= last.points + APART || turn.choices >= last.choices + APART;
    if is_far {
        Pauses::After(Place {
            choices: turn.choices,
            points: turn.points.max(last.points + 1),
        })
    } else {
        Pauses::Never
    }
}

/// Has a life go on to its end, and leaves marks where it pauses before choices. Whether it has paused
/// at its end, which it does when it has come to a verdict.
fn go_on(life: &mut Life, steering: &Steering, places: &mut Vec<Place>) -> bool {
    while life.go_on() == Stopped::Paused {
        let Some(place) = steering.paused_before() else {
            return true;
        };
        if life.mark() {
            places.push(place);
        }
    }
    false
}
