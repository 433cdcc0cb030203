//! Between a run and a strategy: counts points, and notes what was chosen.

use crate::{Alternative, Deviation, Strategy, Touch};

/// What was chosen in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// For each point with at least two options, how many there were.
    pub options: Vec<u16>,
    /// Where something else was chosen than the first option, in order.
    pub deviations: Vec<Deviation>,
}

/// One run under a strategy.
#[derive(Debug)]
pub struct Recorder<S> {
    strategy: S,
    run: Run,
}

impl<S: Strategy> Recorder<S> {
    /// Begins a run.
    #[must_use]
    pub fn new(strategy: S) -> Self {
        Self {
            strategy,
            run: Run::default(),
        }
    }

    /// The index of what happens.
    pub fn choose(&mut self, options: &[Alternative]) -> usize {
        let chosen = self.strategy.choose(options);
        let chosen = if chosen < options.len() { chosen } else { 0 };
        if options.len() > 1 {
            if chosen > 0 {
                self.run.deviations.push(Deviation {
                    point: self.run.options.len() as u32,
                    option: chosen as u16,
                });
            }
            self.run.options.push(options.len() as u16);
        }
        chosen
    }

    /// What has been chosen so far.
    #[must_use]
    pub const fn run(&self) -> &Run {
        &self.run
    }

    /// What happens since the latest choice touches an object.
    pub fn touched(&mut self, touch: Touch) {
        self.strategy.touched(touch);
    }

    /// An actor's next step takes a lock, if it ever comes.
    pub fn wants(&mut self, actor: u64, lock: u64) {
        self.strategy.wants(actor, lock);
    }

    /// The run is over.
    pub fn finish(mut self) -> (S, Run) {
        self.strategy.finish(&self.run);
        (self.strategy, self.run)
    }
}
