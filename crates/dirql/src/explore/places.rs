//! Which moments of a run are worth more than others.
//!
//! A long run is at few places of the driver, and at most of its moments where it was a thousand
//! times before: a megabyte goes through one loop. What goes wrong in an order of events goes wrong
//! at a place. So where there are more moments than can be tried, those come first at which the run
//! is at a place for the first time, then for the second, the fourth, and so on.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use dirql_kernel::Kernel;
use dirql_kernel::ke::Intruder;
use dirql_rules::Context;
use serde::{Deserialize, Serialize};

use super::steering::Steering;

/// Of the moments that can be tried so many are not chosen by their places: one in four.
const SPREAD: u64 = 4;

/// Moments by their worth: each rank has the numbers of the moments at which a run came to a place
/// for the 1st, 2nd, 4th, … time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worth(Vec<Vec<u64>>);

impl Worth {
    /// Every moment is worth the same.
    pub(crate) const NOTHING_KNOWN: Self = Self(Vec::new());

    fn add(&mut self, rank: usize, number: u64) {
        if self.0.len() <= rank {
            self.0.resize_with(rank + 1, Vec::new);
        }
        self.0[rank].push(number);
    }

    /// At most `most` of the numbers from 1 to `count`, in order: the ones worth most, and some that
    /// are spread evenly.
    pub(crate) fn pick(&self, count: u64, most: u64) -> BTreeSet<u64> {
        if count <= most || self.0.is_empty() {
            return thinned(count, most).collect();
        }
        let mut picked: BTreeSet<u64> = thinned(count, most.div_ceil(SPREAD)).collect();
        for rank in &self.0 {
            let left = most.saturating_sub(picked.len() as u64);
            let new = rank.iter().filter(|number| !picked.contains(number));
            let new: Vec<u64> = new.copied().collect();
            picked.extend(thinned(new.len() as u64, left).map(|at| new[at as usize - 1]));
        }
        let left = most.saturating_sub(picked.len() as u64);
        picked.extend(thinned(count, left));
        picked
    }
}

/// At most `most` numbers of 1 to `count`, evenly spread; the first is one of them.
fn thinned(count: u64, most: u64) -> impl Iterator<Item = u64> {
    let taken = count.min(most);
    (0..taken)
        .map(move |index| 1 + (u128::from(index) * u128::from(count) / u128::from(taken)) as u64)
}

/// Where driver code is: after which call or before which instruction, in what context, at which
/// IRQL.
type Spot = (u64, bool, Context, u8);

/// Notes the places of one run.
#[derive(Default)]
pub(crate) struct Places {
    came: RefCell<BTreeMap<Spot, u64>>,
    moments: RefCell<Vec<Moment>>,
    /// The latest step is the last of the moments.
    is_open: Cell<bool>,
    steering: RefCell<Option<Rc<Steering>>>,
}

impl std::fmt::Debug for Places {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Places")
    }
}

/// A step whose place the run had come to less often than twice, or a power of two.
struct Moment {
    step: u64,
    rank: usize,
    /// Points of the run before it.
    points: u64,
    /// Points of the run until the next step.
    end: u64,
}

impl Places {
    /// The run has points, which this steering counts.
    pub(super) fn steered_by(&self, steering: Rc<Steering>) {
        *self.steering.borrow_mut() = Some(steering);
    }

    fn points(&self) -> u64 {
        let steering = self.steering.borrow();
        let place = steering
            .as_ref()
            .and_then(|steering| steering.with(|recorder| recorder.place()));
        place.map_or(0, |place| place.points as u64)
    }

    /// The steps of the run, counted from 1.
    pub(crate) fn steps(&self) -> Worth {
        let mut worth = Worth::default();
        for moment in &*self.moments.borrow() {
            worth.add(moment.rank, moment.step);
        }
        worth
    }

    /// The points of the run, counted from 1.
    pub(super) fn worth_of_points(&self) -> Worth {
        let mut worth = Worth::default();
        for moment in &*self.moments.borrow() {
            for point in moment.points..moment.end {
                worth.add(moment.rank, point + 1);
            }
        }
        worth
    }
}

impl Intruder for Places {
    fn intrude(&self, kernel: &Kernel) -> u64 {
        let step = kernel.step();
        let points = self.points();
        let mut moments = self.moments.borrow_mut();
        if self.is_open.take()
            && let Some(last) = moments.last_mut()
        {
            last.end = points;
        }
        let here = kernel.here();
        let (address, after_call) = kernel.waiting_place();
        let context = match here.context {
            // Whoever runs it, the code is the same.
            Context::Thread(_) => Context::Thread(0),
            other => other,
        };
        let mut came = self.came.borrow_mut();
        let times = came
            .entry((address, after_call, context, here.irql))
            .or_default();
        *times += 1;
        if times.is_power_of_two() {
            self.is_open.set(true);
            moments.push(Moment {
                step,
                rank: times.ilog2() as usize,
                points,
                end: points,
            });
        }
        step + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_numbers_are_all_taken_and_many_are_spread() {
        let numbers = |count, most| thinned(count, most).collect::<Vec<u64>>();
        assert_eq!(numbers(3, 5), [1, 2, 3]);
        assert_eq!(numbers(10, 5), [1, 3, 5, 7, 9]);
        assert_eq!(numbers(0, 5), [0_u64; 0]);
        assert_eq!(numbers(u64::MAX, 2), [1, 1 + u64::MAX / 2]);
    }

    fn picked(worth: &Worth, count: u64, most: u64) -> Vec<u64> {
        worth.pick(count, most).into_iter().collect()
    }

    #[test]
    fn first_times_come_before_others() {
        let worth = Worth(vec![vec![2, 900, 901], vec![3, 902], vec![4]]);
        assert_eq!(picked(&worth, 3, 4), [1, 2, 3]);
        // One in four is spread: 1. The second times do not all fit.
        assert_eq!(picked(&worth, 1000, 4), [1, 2, 900, 901]);
        assert_eq!(picked(&worth, 1000, 5), [1, 2, 501, 900, 901]);
        assert_eq!(picked(&worth, 1000, 6), [1, 2, 3, 501, 900, 901]);
        // All of them, and what is left is spread, too.
        let many = picked(&worth, 1000, 20);
        assert!([2, 3, 4, 900, 901, 902].iter().all(|of| many.contains(of)));
        assert!(many.len() <= 20);
        assert!(many.iter().filter(|of| **of > 10 && **of < 900).count() > 5);
    }

    #[test]
    fn what_is_not_known_is_spread() {
        assert_eq!(picked(&Worth::default(), 10, 5), [1, 3, 5, 7, 9]);
        assert_eq!(picked(&Worth(vec![vec![7]]), 10, 0), [0_u64; 0]);
    }
}
