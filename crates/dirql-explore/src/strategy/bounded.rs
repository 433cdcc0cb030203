//! Everything with few switches.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::strategy::{Kept, Replay};
use crate::{Alternative, Coverage, Deviation, Run, Strategy};

/// Every run with at most so many deviations from what happens by itself, those with fewer
/// first, so that the first finding needs the fewest.
///
/// Source: M. Emmi, S. Qadeer and Z. Rakamaric, "Delay-Bounded Scheduling", POPL 2011; a
/// deviation is what they call a delay. Unlike there it may name any option, not only the next.
#[derive(Clone, Debug)]
pub struct Bounded {
    most: u32,
    /// Runs with one deviation fewer, whose children are to be tried.
    parents: Vec<Parent>,
    /// The parent whose children are tried, and the next child.
    parent: usize,
    point: u32,
    option: u16,
    /// Runs with as many deviations as are tried now.
    level: Vec<Parent>,
    depth: u32,
    current: Vec<Deviation>,
    replay: Replay,
    shard: Option<(u64, u64)>,
    /// First deviations that were looked at.
    firsts: u64,
    /// The points of the run without deviations at which others leave it, if not all are.
    first_at: Option<BTreeSet<u32>>,
    /// The points of first deviations that others follow, if not all.
    followed_at: Option<BTreeSet<u32>>,
    /// Points after its last deviation at which a run with some gets another one, if not all.
    within: Option<u32>,
    /// Alternatives at other points than those, of what was tried.
    left_out: u64,
    runs: u64,
    complete: bool,
}

#[derive(Clone, Debug)]
struct Parent {
    deviations: Vec<Deviation>,
    options: Vec<u16>,
}

impl Parent {
    /// The first point at which a child may deviate.
    fn first(&self) -> u32 {
        self.deviations.last().map_or(0, |last| last.point + 1)
    }
}

impl Bounded {
    /// With at most `most` deviations.
    #[must_use]
    pub const fn new(most: u32) -> Self {
        Self {
            most,
            parents: Vec::new(),
            parent: 0,
            point: 0,
            option: 0,
            level: Vec::new(),
            depth: 0,
            current: Vec::new(),
            replay: Replay::new(Vec::new()),
            shard: None,
            firsts: 0,
            first_at: None,
            left_out: 0,
            within: None,
            followed_at: None,
            runs: 0,
            complete: false,
        }
    }

    /// Only one part of `of`, which have nothing in common and are everything together. The run
    /// without deviations belongs to part 0.
    #[must_use]
    pub const fn shard(mut self, part: u64, of: u64) -> Self {
        self.shard = Some((part, of));
        self
    }

    /// With the first deviation at one of these points.
    #[must_use]
    pub fn first_at(mut self, points: BTreeSet<u32>) -> Self {
        self.first_at = Some(points);
        self
    }

    /// With each deviation but the first at most so many points after the one before it: what two of
    /// them do together, they mostly do soon one after the other.
    #[must_use]
    pub const fn within(mut self, points: u32) -> Self {
        self.within = Some(points);
        self
    }

    /// With more than one deviation only where the first is at one of these points.
    #[must_use]
    pub fn followed_at(mut self, points: BTreeSet<u32>) -> Self {
        self.followed_at = Some(points);
        self
    }

    /// The points at which children of a parent may deviate.
    fn points(&self, parent: &Parent) -> Range<u32> {
        let all = parent.options.len() as u32;
        match (parent.deviations.last(), self.within) {
            (Some(last), Some(within)) => {
                let end = last.point.saturating_add(1).saturating_add(within);
                parent.first()..end.min(all)
            }
            _ => parent.first()..all,
        }
    }

    /// How many children of a parent deviate at `from` or later.
    fn children(&self, parent: &Parent, from: u32) -> u64 {
        let rest = from as usize..self.points(parent).end as usize;
        let rest = parent.options.get(rest).unwrap_or_default();
        rest.iter().map(|options| u64::from(*options) - 1).sum()
    }

    /// Whether runs with one more deviation than these have are to be made from them.
    fn is_followed(&self, deviations: &[Deviation]) -> bool {
        match (deviations.first(), &self.followed_at) {
            (Some(first), Some(points)) => points.contains(&first.point),
            _ => true,
        }
    }

    /// Has nobody leave the run without deviations at other points: with one option there is nothing
    /// to choose.
    fn leave_out(&mut self, options: &mut [u16]) {
        let Some(points) = &self.first_at else { return };
        for (point, options) in (0..).zip(options) {
            if !points.contains(&point) {
                self.left_out += u64::from(*options) - 1;
                *options = 1;
            }
        }
    }

    /// The deviations of the next run.
    fn next(&mut self) -> Option<Vec<Deviation>> {
        if self.depth == 0 {
            self.depth = 1;
            return Some(Vec::new());
        }
        loop {
            if let Some(next) = self.next_child() {
                return Some(next);
            }
            // The level is done.
            if self.depth >= self.most {
                return None;
            }
            self.depth += 1;
            self.parents = std::mem::take(&mut self.level);
            self.parent = 0;
            self.point = self.parents.first()?.first();
            self.option = 0;
        }
    }

    fn next_child(&mut self) -> Option<Vec<Deviation>> {
        if self.most == 0 {
            return None;
        }
        loop {
            let parent = self.parents.get(self.parent)?;
            let options = parent.options.get(self.point as usize);
            match options.filter(|_| self.point < self.points(parent).end) {
                None => {
                    self.parent += 1;
                    self.option = 0;
                    self.point = self.parents.get(self.parent)?.first();
                }
                Some(options) if self.option + 1 < *options => {
                    self.option += 1;
                    let deviation = Deviation {
                        point: self.point,
                        option: self.option,
                    };
                    if parent.deviations.is_empty() {
                        let number = self.firsts;
                        self.firsts += 1;
                        if !self.is_mine(number) {
                            continue;
                        }
                    }
                    let mut next = parent.deviations.clone();
                    next.push(deviation);
                    return Some(next);
                }
                Some(_) => {
                    self.point += 1;
                    self.option = 0;
                }
            }
        }
    }

    /// Shards are told apart by the number of the first deviation, so that each has as many of them as
    /// the others, and from everywhere in a run.
    const fn is_mine(&self, number: u64) -> bool {
        match self.shard {
            None => true,
            Some((part, of)) => number % of == part,
        }
    }
}

impl Strategy for Bounded {
    fn begin(&mut self) -> bool {
        match self.next() {
            Some(deviations) => {
                self.current.clone_from(&deviations);
                self.replay = Replay::new(deviations);
                true
            }
            None => {
                self.complete = true;
                false
            }
        }
    }

    fn choose(&mut self, options: &[Alternative]) -> usize {
        self.replay.choose(options)
    }

    fn finish(&mut self, run: &Run) {
        let is_root = self.current.is_empty();
        if !is_root || self.shard.is_none_or(|(part, _)| part == 0) {
            self.runs += 1;
        }
        let mut parent = Parent {
            deviations: std::mem::take(&mut self.current),
            options: run.options.clone(),
        };
        if is_root {
            self.leave_out(&mut parent.options);
            self.parents = vec![parent];
            self.parent = 0;
            self.point = 0;
            self.option = 0;
        } else if self.depth < self.most {
            if self.is_followed(&parent.deviations) {
                self.level.push(parent);
            } else {
                self.left_out += self.children(&parent, parent.first());
            }
        }
    }

    fn kept(&self) -> Kept {
        Kept::Points
    }

    fn turns_at(&self) -> Option<usize> {
        self.current.last().map(|last| last.point as usize)
    }

    fn coverage(&self) -> Coverage {
        let of = |parent: &Parent, from: u32| self.children(parent, from);
        let mut left: u64 = self
            .parents
            .iter()
            .skip(self.parent + 1)
            .map(|parent| of(parent, parent.first()))
            .sum();
        if let Some(parent) = self.parents.get(self.parent) {
            left += of(parent, self.point).saturating_sub(u64::from(self.option));
        }
        if self.depth < self.most {
            left += self
                .level
                .iter()
                .map(|parent| of(parent, parent.first()))
                .sum::<u64>();
        }
        Coverage {
            runs: self.runs,
            left: self.left_out + if self.complete { 0 } else { left },
            complete: self.complete && self.left_out == 0,
            ..Coverage::default()
        }
    }
}
