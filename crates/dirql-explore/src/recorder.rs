//! Between a run and a strategy: counts points, and notes what was chosen.

use std::collections::VecDeque;

use crate::strategy::Kept;
use crate::{Alternative, Deviation, Strategy, Touch};

/// What was chosen in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// For each point with at least two options, how many there were.
    pub options: Vec<u16>,
    /// Where something else was chosen than the first option, in order.
    pub deviations: Vec<Deviation>,
}

/// A place in a run: before a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Choices before it, those without an alternative too.
    pub choices: usize,
    /// Choices before it that had at least two options.
    pub points: usize,
}

/// One run under a strategy, or one run after the other.
#[derive(Debug)]
pub struct Recorder<S> {
    strategy: S,
    run: Run,
    choices: usize,
    /// The options of each point, one behind the other, and what was chosen there.
    options: Vec<Alternative>,
    chosen: Vec<u16>,
    /// What the strategy has been asked already.
    answers: VecDeque<u16>,
    /// The strategy need not be asked where there is one option, nor told what is touched.
    only_points: bool,
}

impl<S: Strategy> Recorder<S> {
    /// Begins a run.
    #[must_use]
    pub fn new(strategy: S) -> Self {
        let only_points = strategy.kept() == Kept::Points;
        Self {
            strategy,
            run: Run::default(),
            choices: 0,
            options: Vec::new(),
            chosen: Vec::new(),
            answers: VecDeque::new(),
            only_points,
        }
    }

    /// The index of what happens.
    pub fn choose(&mut self, options: &[Alternative]) -> usize {
        self.choices += 1;
        if options.len() == 1 {
            if !self.only_points {
                self.strategy.choose(options);
            }
            return 0;
        }
        let chosen = match self.answers.pop_front() {
            Some(answer) => usize::from(answer),
            None => ask(&mut self.strategy, options),
        };
        if chosen > 0 {
            self.run.deviations.push(Deviation {
                point: self.run.options.len() as u32,
                option: chosen as u16,
            });
        }
        self.run.options.push(options.len() as u16);
        self.options.extend_from_slice(options);
        self.chosen.push(chosen as u16);
        chosen
    }

    /// What has been chosen so far.
    #[must_use]
    pub const fn run(&self) -> &Run {
        &self.run
    }

    /// The strategy.
    #[must_use]
    pub const fn strategy(&self) -> &S {
        &self.strategy
    }

    /// Where the run is.
    #[must_use]
    pub const fn place(&self) -> Place {
        Place {
            choices: self.choices,
            points: self.chosen.len(),
        }
    }

    /// Where the run that has just begun leaves the latest one, if that is known: before a choice
    /// that is not before this place.
    #[must_use]
    pub fn turn(&self) -> Option<Place> {
        match self.strategy.kept() {
            Kept::Choices(choices) if choices > 0 => Some(Place { choices, points: 0 }),
            _ => {
                let points = self.strategy.turns_at()?;
                Some(Place { choices: 0, points })
            }
        }
    }

    /// Whether the strategy makes use of what is touched and wanted.
    #[must_use]
    pub const fn listens(&self) -> bool {
        !self.only_points
    }

    /// What happens since the latest choice touches an object.
    pub fn touched(&mut self, touch: Touch) {
        if !self.only_points {
            self.strategy.touched(touch);
        }
    }

    /// An actor's next step takes a lock, if it ever comes.
    pub fn wants(&mut self, actor: u64, lock: u64) {
        if !self.only_points {
            self.strategy.wants(actor, lock);
        }
    }

    /// The run is over.
    pub fn finish(mut self) -> (S, Run) {
        self.strategy.finish(&self.run);
        (self.strategy, self.run)
    }

    /// From now on another strategy is asked, which has not begun. What is known of the latest run
    /// stays, so that the next one may go on from what it has in common with it.
    pub fn change(&mut self, strategy: S) {
        self.only_points = strategy.kept() == Kept::Points;
        self.strategy = strategy;
    }

    /// The run is over; the recorder can be used for another one.
    pub fn end(&mut self) {
        self.strategy.finish(&self.run);
    }

    /// Begins the run after the one that was ended; `false` if there is none. It goes on from the
    /// last of `places` in the latest run, which are in order, up to which the two are the same:
    /// the answer says from which; `None`: from the start.
    pub fn begin(&mut self, places: &[Place]) -> Option<Option<usize>> {
        if !self.strategy.begin() {
            return None;
        }
        self.answers.clear();
        let at = match self.strategy.kept() {
            Kept::Nothing => None,
            Kept::Choices(kept) => {
                let at = places.iter().rposition(|place| place.choices <= kept);
                if let Some(at) = at {
                    self.strategy.skip(places[at].choices);
                }
                at
            }
            Kept::Points => self.ask_again(places),
        };
        self.rewind(at.map_or(
            Place {
                choices: 0,
                points: 0,
            },
            |at| places[at],
        ));
        Some(at)
    }

    /// Asks for the points up to the last place, as far as the answers are those of the latest
    /// run.
    fn ask_again(&mut self, places: &[Place]) -> Option<usize> {
        let last = places.last()?.points;
        if last == 0 {
            return Some(places.len() - 1);
        }
        let mut start = 0;
        let mut same = last;
        let mut other = None;
        for point in 0..last {
            let end = start + usize::from(self.run.options[point]);
            let answer = ask(&mut self.strategy, &self.options[start..end]) as u16;
            if answer != self.chosen[point] {
                same = point;
                other = Some(answer);
                break;
            }
            start = end;
        }
        let at = places.iter().rposition(|place| place.points <= same);
        let from = at.map_or(0, |at| places[at].points);
        self.answers.extend(&self.chosen[from..same]);
        self.answers.extend(other);
        at
    }

    fn rewind(&mut self, place: Place) {
        self.choices = place.choices;
        let left: usize = self.run.options[..place.points]
            .iter()
            .map(|options| usize::from(*options))
            .sum();
        self.options.truncate(left);
        self.chosen.truncate(place.points);
        self.run.options.truncate(place.points);
        let kept = |deviation: &Deviation| (deviation.point as usize) < place.points;
        let deviations = self.run.deviations.partition_point(kept);
        self.run.deviations.truncate(deviations);
    }
}

/// What is out of range counts as the first.
fn ask(strategy: &mut impl Strategy, options: &[Alternative]) -> usize {
    let chosen = strategy.choose(options);
    if chosen < options.len() { chosen } else { 0 }
}
