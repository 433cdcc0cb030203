//! Everything in pieces, which can be tried apart.
//!
//! What reduces a search of everything is known only while it goes on: that two steps race is seen
//! in a run, and planned at the point of the first. Pieces that are tried apart must not wait for
//! what others see. So the first points, where pieces are cut from each other, have everything
//! tried that is not asleep, whether it races or not; from the end of a piece's beginning on only
//! what races is. Sleep sets alone keep two pieces from having a class in common, and miss none.
//!
//! Source: P. Godefroid, "Partial-Order Methods for the Verification of Concurrent Systems", LNCS
//! 1032, 1996, section 5: sleep sets with all that is enabled at a point; below, Optimal-DPOR from a
//! state with a sleep set, as in the paper that the module above names, whose invariant it is that
//! all is tried that does not begin with something asleep.
//!
//! It costs: the runs that cut, and in each piece those that turn out to repeat what another piece
//! does. Neither is counted as a run that came to its end.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::wakeup::Done;
use super::{Exhaustive, Node};
use crate::strategy::Kept;
use crate::{Alternative, Coverage, Run, Strategy, Touch};

/// All runs that begin alike, without those that are in other pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    /// How many choices they have in common.
    length: u32,
    /// Where those are not the first option, counted in choices; and which they are.
    others: Vec<(u32, u16)>,
    /// What need not be tried behind them.
    pub(super) sleep: Vec<Done>,
    /// It is one run, which ends there.
    is_run: bool,
}

impl Piece {
    /// Everything.
    #[must_use]
    pub fn whole() -> Self {
        Self::default()
    }

    pub(super) const fn length(&self) -> usize {
        self.length as usize
    }

    /// What is chosen at a place of the common beginning.
    pub(super) fn choice(&self, place: usize) -> Option<usize> {
        let other = self.others.iter().find(|(at, _)| *at as usize == place);
        (place < self.length()).then(|| other.map_or(0, |(_, option)| usize::from(*option)))
    }

    /// The runs that begin as these points do, and behind them with nothing that is in `sleep`.
    fn after(nodes: &[Node], sleep: Vec<Done>) -> Self {
        let mut others = Vec::new();
        for (at, node) in nodes.iter().enumerate() {
            let chosen = node.tree.first().map(|branch| branch.option);
            let option = node.options.iter().position(|other| Some(*other) == chosen);
            if let Some(option @ 1..) = option {
                others.push((at as u32, option as u16));
            }
        }
        Self {
            length: nodes.len() as u32,
            others,
            sleep,
            is_run: false,
        }
    }
}

/// Where runs are cut.
#[derive(Clone, Debug, Default)]
pub(super) struct Cut {
    /// The first point with several things to try, and behind it the end of the pieces.
    at: Option<usize>,
    pieces: Vec<Piece>,
}

impl Cut {
    /// A run begins that has so many points of the one before.
    pub(super) fn begin(&mut self, kept: usize) {
        self.at = self.at.filter(|at| *at <= kept);
    }

    /// Whether pieces are cut at a point where so many things are to be tried.
    pub(super) fn branches(&mut self, position: usize, awake: usize) -> bool {
        let branches = self.at.is_none() && awake > 1;
        if branches {
            self.at = Some(position);
        }
        branches
    }
}

impl Exhaustive {
    /// Notes the piece that the latest run has gone into, and forgets what lies behind it.
    pub(super) fn cut_off(&mut self) {
        let Some(cut) = &mut self.cut else { return };
        let end = cut.at.map_or(self.nodes.len(), |at| at + 1);
        let is_asleep = |from| cut.at.is_none() || from <= end;
        if !self.redundant_from.is_some_and(is_asleep) {
            let sleep = self.nodes.get(end).map(|node| node.sleep.clone());
            let mut piece = Piece::after(&self.nodes[..end], sleep.unwrap_or_default());
            piece.is_run = self.nodes.len() == end;
            cut.pieces.push(piece);
        }
        self.nodes.truncate(end);
        self.events.truncate(end);
    }
}

/// Searches that follow each other.
pub trait Series {
    /// The next one, `done` being the one before it.
    fn next(&mut self, done: Option<Exhaustive>) -> Option<Exhaustive>;

    /// How much has been tried, with the search that goes on.
    fn coverage(&self, current: Option<&Exhaustive>) -> Coverage;
}

/// Tries one search after the other.
#[derive(Clone, Debug)]
pub struct OneByOne<S> {
    series: S,
    current: Option<Exhaustive>,
}

impl<S> OneByOne<S> {
    const fn of(series: S) -> Self {
        Self {
            series,
            current: None,
        }
    }
}

impl<S: Series> Strategy for OneByOne<S> {
    fn begin(&mut self) -> bool {
        loop {
            if let Some(current) = &mut self.current
                && current.begin()
            {
                return true;
            }
            let done = self.current.take();
            self.current = self.series.next(done);
            if self.current.is_none() {
                return false;
            }
        }
    }

    fn choose(&mut self, options: &[Alternative]) -> usize {
        let choose = |current: &mut Exhaustive| current.choose(options);
        self.current.as_mut().map_or(0, choose)
    }

    fn touched(&mut self, touch: Touch) {
        if let Some(current) = &mut self.current {
            current.touched(touch);
        }
    }

    fn wants(&mut self, actor: u64, lock: u64) {
        if let Some(current) = &mut self.current {
            current.wants(actor, lock);
        }
    }

    fn finish(&mut self, run: &Run) {
        if let Some(current) = &mut self.current {
            current.finish(run);
        }
    }

    /// A search that has just begun has nothing in common with what ran before.
    fn kept(&self) -> Kept {
        let current = self.current.as_ref();
        current.map_or(Kept::Choices(0), Strategy::kept)
    }

    fn skip(&mut self, choices: usize) {
        if let Some(current) = &mut self.current {
            current.skip(choices);
        }
    }

    fn coverage(&self) -> Coverage {
        self.series.coverage(self.current.as_ref())
    }
}

/// Cuts everything into pieces: its runs are for that alone.
pub type Split = OneByOne<Cutting>;

/// What has been cut, and is to be cut.
#[derive(Clone, Debug)]
pub struct Cutting {
    least: usize,
    /// Those that can be cut once more, those that were cut least often first.
    left: VecDeque<Piece>,
    /// Those of one run.
    runs: Vec<Piece>,
    result: Rc<RefCell<Vec<Piece>>>,
}

impl Split {
    /// Into at least so many, if there are as many.
    #[must_use]
    pub fn new(least: usize) -> Self {
        Self::of(Cutting {
            least,
            left: VecDeque::from([Piece::whole()]),
            runs: Vec::new(),
            result: Rc::default(),
        })
    }

    /// Where the pieces are found when nothing is left to do: all together everything, no class in
    /// two of them.
    #[must_use]
    pub fn result(&self) -> Rc<RefCell<Vec<Piece>>> {
        self.series.result.clone()
    }
}

impl Cutting {
    /// Takes what was cut out of a piece.
    fn take(&mut self, done: Exhaustive) {
        for piece in done.cut.unwrap_or_default().pieces {
            if piece.is_run {
                self.runs.push(piece);
            } else {
                self.left.push_back(piece);
            }
        }
    }
}

impl Series for Cutting {
    fn next(&mut self, done: Option<Exhaustive>) -> Option<Exhaustive> {
        if let Some(done) = done {
            self.take(done);
        }
        let next = if self.runs.len() + self.left.len() < self.least {
            self.left.pop_front()
        } else {
            None
        };
        let Some(piece) = next else {
            let all = self.runs.iter().chain(&self.left).cloned();
            *self.result.borrow_mut() = all.collect();
            return None;
        };
        Some(Exhaustive {
            cut: Some(Cut::default()),
            ..Exhaustive::of(piece)
        })
    }

    fn coverage(&self, _current: Option<&Exhaustive>) -> Coverage {
        Coverage::default()
    }
}

/// Tries one piece after the other.
pub type Pieces = OneByOne<Queue>;

/// Pieces that are tried one after the other.
#[derive(Clone, Debug)]
pub struct Queue {
    left: VecDeque<Piece>,
    /// Of those that are done.
    done: Coverage,
}

impl Pieces {
    /// Nothing has been tried.
    #[must_use]
    pub fn new(pieces: impl IntoIterator<Item = Piece>) -> Self {
        Self::of(Queue {
            left: pieces.into_iter().collect(),
            done: Coverage {
                complete: true,
                ..Coverage::default()
            },
        })
    }
}

impl Series for Queue {
    fn next(&mut self, done: Option<Exhaustive>) -> Option<Exhaustive> {
        if let Some(done) = done {
            self.done = join(self.done, done.coverage());
        }
        self.left.pop_front().map(Exhaustive::of)
    }

    fn coverage(&self, current: Option<&Exhaustive>) -> Coverage {
        let mut coverage = self.done;
        if let Some(current) = current {
            coverage = join(coverage, current.coverage());
        }
        let left = self.left.len() as u64;
        coverage.left += left;
        coverage.complete &= left == 0;
        coverage
    }
}

fn join(one: Coverage, other: Coverage) -> Coverage {
    Coverage {
        runs: one.runs + other.runs,
        redundant: one.redundant + other.redundant,
        left: one.left + other.left,
        complete: one.complete && other.complete,
    }
}
