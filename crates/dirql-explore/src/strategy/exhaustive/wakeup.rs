//! Wakeup trees: what is to be tried from a point on.

use serde::{Deserialize, Serialize};

use super::before::{Clock, Event};
use crate::Alternative;
use crate::order::{Touch, conflict};

/// Something that was tried at a point, with all that follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Done {
    pub(super) option: Alternative,
    pub(super) touches: Vec<Touch>,
}

/// A branch of a wakeup tree.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    pub(super) option: Alternative,
    pub(super) children: Vec<Branch>,
}

impl Branch {
    /// Behind which nothing is planned.
    pub(super) const fn new(option: Alternative) -> Self {
        Self {
            option,
            children: Vec::new(),
        }
    }
}

/// Whether a sequence could as well begin with something.
pub(super) enum Begins {
    Otherwise,
    /// So could all sequences with the same last step and other steps of other runs before it.
    Surely,
    /// As far as this run shows.
    InThisRun,
}

/// What is known of a step.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// What it touches.
    Touches,
    /// Nothing: it never came.
    No,
}

/// What is to happen from a point on: steps of a run, the last of them earlier than in that run.
#[derive(Clone)]
pub(super) struct Sequence<'a> {
    events: &'a [Event],
    steps: Vec<usize>,
    later: usize,
    /// What comes before the last step here. In the run it may have come after more: a lock that it
    /// takes had been taken and freed there.
    clock: Clock,
}

impl<'a> Sequence<'a> {
    /// All that happened in the first `end` steps of a run behind `earlier` and not because of it,
    /// and then `later`, which raced with it, or never came: then it may have to do with all.
    pub(super) fn of(
        earlier: usize,
        (later, known): (usize, Known),
        events: &'a [Event],
        end: usize,
    ) -> Self {
        let (first, last) = (&events[earlier], &events[later]);
        let mut steps: Vec<usize> = (earlier + 1..end)
            .filter(|at| *at != later && !events[*at].clock.covers(first))
            .collect();
        let mut clock = Clock::default();
        for at in &steps {
            let step = &events[*at];
            let is_before = step.actor == last.actor || conflict(&step.touches, &last.touches);
            if known == Known::No || is_before {
                clock.join(&step.clock);
            }
        }
        clock.set(last.actor, last.number);
        steps.push(later);
        Self {
            events,
            steps,
            later,
            clock,
        }
    }

    /// Whether all of it could as well begin with what was done there.
    pub(super) fn begins_with(&self, done: &Done) -> Begins {
        let Some(place) = self.place(done.option) else {
            return Begins::Otherwise;
        };
        let is_apart = |at: &usize| !conflict(&done.touches, &self.events[*at].touches);
        let at = self.steps[place];
        if !self.steps[..place].iter().all(is_apart)
            || self.without_step(place, done.option).is_none()
        {
            Begins::Otherwise
        } else if at == self.later && self.events[at].touches != done.touches {
            Begins::InThisRun
        } else {
            Begins::Surely
        }
    }

    /// What is left of it if a branch comes first; `None` if it then is not the same. What the last
    /// step touches that early is not known.
    fn without_branch(&self, branch: &Branch) -> Option<Self> {
        let place = self.place(branch.option)?;
        if place > 0 && self.steps[place] == self.later {
            return None;
        }
        self.without_step(place, branch.option)
    }

    /// Where the first step of an option's actor is.
    fn place(&self, option: Alternative) -> Option<usize> {
        let same = |at: &usize| self.events[*at].option.actor == option.actor;
        self.steps.iter().position(same)
    }

    /// The step has to be the same of several that its actor could do.
    fn without_step(&self, place: usize, option: Alternative) -> Option<Self> {
        let at = self.steps[place];
        let event = &self.events[at];
        let clock = if at == self.later {
            &self.clock
        } else {
            &event.clock
        };
        let comes_after = |before: &usize| clock.covers(&self.events[*before]);
        if event.option != option || self.steps[..place].iter().any(comes_after) {
            return None;
        }
        let mut rest = self.clone();
        rest.steps.remove(place);
        Some(rest)
    }

    /// Branches that do all of it.
    fn into_branches(self) -> Vec<Branch> {
        let mut chain: Vec<Branch> = Vec::new();
        for at in self.steps.into_iter().rev() {
            let event = &self.events[at];
            chain = vec![Branch {
                option: event.option,
                children: chain,
            }];
        }
        chain
    }
}

/// Adds a sequence to a wakeup tree, unless a branch from `from` on has the same effect.
pub(super) fn insert(tree: &mut Vec<Branch>, from: usize, sequence: Sequence<'_>) {
    for branch in tree.iter_mut().skip(from) {
        if let Some(rest) = sequence.without_branch(branch) {
            if !branch.children.is_empty() {
                insert(&mut branch.children, 0, rest);
            }
            return;
        }
    }
    tree.extend(sequence.into_branches());
}
