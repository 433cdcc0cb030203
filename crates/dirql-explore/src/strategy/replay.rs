//! The same choices again.

use crate::strategy::Kept;
use crate::{Alternative, Coverage, Deviation, Run, Strategy};

/// One run with given deviations.
#[derive(Clone, Debug)]
pub struct Replay {
    deviations: Vec<Deviation>,
    at: usize,
    point: u32,
    begun: bool,
    misfit: Option<Misfit>,
}

/// Why choices do not fit a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misfit {
    /// There are fewer options at a point.
    #[error("option {} of point {} is chosen, and there are {options} options", .deviation.option, .deviation.point)]
    Option {
        /// The choice.
        deviation: Deviation,
        /// How many options there are.
        options: usize,
    },
    /// The run is over before a point comes.
    #[error("something is chosen at point {}, and the run has {points} points", .deviation.point)]
    Point {
        /// The choice.
        deviation: Deviation,
        /// How many points the run has.
        points: u32,
    },
}

impl Replay {
    /// `deviations` in order.
    #[must_use]
    pub const fn new(deviations: Vec<Deviation>) -> Self {
        Self {
            deviations,
            at: 0,
            point: 0,
            begun: false,
            misfit: None,
        }
    }

    /// No run at all.
    #[must_use]
    pub const fn nothing() -> Self {
        let mut replay = Self::new(Vec::new());
        replay.begun = true;
        replay
    }

    /// The first choice that did not fit, after the run.
    #[must_use]
    pub fn misfit(&self) -> Option<Misfit> {
        let left = self.deviations.get(self.at).map(|deviation| Misfit::Point {
            deviation: *deviation,
            points: self.point,
        });
        self.misfit.or(left)
    }
}

impl Strategy for Replay {
    fn begin(&mut self) -> bool {
        !std::mem::replace(&mut self.begun, true)
    }

    fn choose(&mut self, options: &[Alternative]) -> usize {
        if options.len() == 1 {
            return 0;
        }
        let point = self.point;
        self.point += 1;
        match self.deviations.get(self.at) {
            Some(deviation) if deviation.point == point => {
                self.at += 1;
                let option = usize::from(deviation.option);
                if option >= options.len() {
                    self.misfit.get_or_insert(Misfit::Option {
                        deviation: *deviation,
                        options: options.len(),
                    });
                    return 0;
                }
                option
            }
            _ => 0,
        }
    }

    fn finish(&mut self, _run: &Run) {}

    fn kept(&self) -> Kept {
        Kept::Points
    }

    fn coverage(&self) -> Coverage {
        Coverage {
            runs: u64::from(self.begun),
            complete: self.begun,
            ..Coverage::default()
        }
    }
}
