//! One run for each order that can make a difference.
//!
//! Source: P. Abdulla, S. Aronis, B. Jonsson and K. Sagonas, "Source Sets: A Foundation for Optimal
//! Dynamic Partial Order Reduction", Journal of the ACM 64(4), 2017, algorithm 2 (Optimal-DPOR):
//! sleep sets, and a wakeup tree at each point of the present run.
//!
//! Deviations:
//! - An actor with several things to do at a point (see [`Alternative::variant`]) does each of
//!   them in a run of its own.
//! - A lock that is taken races with the latest time that another actor took it, not with its
//!   being freed, which cannot come later; section 8 of the paper does the same with its mutexes.
//!   What an actor does after another one enabled it comes after that.
//! - A step that waits for a lock to the end of the run races with who holds it, so that orders
//!   beyond a deadlock are found.
//! - A step can take away what another actor could have done: cancelling a timer does. Such a step
//!   races with what never came, which is tried before it.
//! - What a step touches is known after it was run. A sequence of a wakeup tree that turns out to be
//!   impossible is given up, and the run goes on by itself; that costs a run and misses nothing.

use crate::order::{Access, Touch, conflict};
use crate::strategy::Kept;
use crate::{Alternative, Coverage, Run, Strategy};

/// Makes an actor's number one of an object that nothing else has.
const EXISTENCE: u64 = 0xA5C3_96F0_5A3C_690F;

/// Tries every class of equivalent orders; see the module.
#[derive(Clone, Debug, Default)]
pub struct Exhaustive {
    /// The points of the present run.
    nodes: Vec<Node>,
    /// What was chosen at each, and what it touched.
    events: Vec<Event>,
    /// Actors by the index that clocks use.
    actors: Vec<u64>,
    /// Points of this run passed so far.
    position: usize,
    /// Points that are the same as in the run before, with their events.
    kept: usize,
    begun: bool,
    /// Actors whose next step takes a lock, and the lock.
    wants: Vec<(u64, u64)>,
    /// From here on the run repeats what others have done.
    redundant_from: Option<usize>,
    /// A run did not go as the one before it.
    unstable: bool,
    runs: u64,
    redundant: u64,
}

#[derive(Clone, Debug)]
struct Node {
    options: Vec<Alternative>,
    /// What need not be tried here any more.
    sleep: Vec<Done>,
    /// What is to be tried; the first is being tried.
    tree: Vec<Branch>,
    /// What [`Exhaustive::wants`] was before it.
    wants: Vec<(u64, u64)>,
}

#[derive(Clone, Debug)]
struct Done {
    option: Alternative,
    touches: Vec<Touch>,
}

/// A branch of a wakeup tree.
#[derive(Clone, Debug)]
struct Branch {
    option: Alternative,
    /// What it touches, if that is known.
    touches: Option<Vec<Touch>>,
    children: Vec<Branch>,
}

#[derive(Clone, Debug)]
struct Event {
    option: Alternative,
    actor: usize,
    /// The how manyth of its actor, from 1.
    number: u32,
    touches: Vec<Touch>,
    clock: Clock,
}

/// For each actor, how many of its events come before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Clock(Vec<u32>);

impl Clock {
    fn of(&self, actor: usize) -> u32 {
        self.0.get(actor).copied().unwrap_or(0)
    }

    fn set(&mut self, actor: usize, number: u32) {
        if self.0.len() <= actor {
            self.0.resize(actor + 1, 0);
        }
        self.0[actor] = number;
    }

    fn join(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (mine, other) in self.0.iter_mut().zip(&other.0) {
            *mine = (*mine).max(*other);
        }
    }

    fn covers(&self, event: &Event) -> bool {
        self.of(event.actor) >= event.number
    }
}

impl Exhaustive {
    /// Nothing has been tried.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn actor(&mut self, id: u64) -> usize {
        match self.actors.iter().position(|known| *known == id) {
            Some(index) => index,
            None => {
                self.actors.push(id);
                self.actors.len() - 1
            }
        }
    }

    /// A point that no run has come to, after what has just been done.
    fn new_node(&mut self, options: &[Alternative]) -> Node {
        let mut node = Node {
            options: options.to_vec(),
            sleep: Vec::new(),
            tree: Vec::new(),
            wants: self.wants.clone(),
        };
        if let (Some(before), Some(event)) = (self.nodes.last_mut(), self.events.last()) {
            let still = |done: &&Done| {
                done.option.actor != event.option.actor && !conflict(&done.touches, &event.touches)
            };
            node.sleep = before.sleep.iter().filter(still).cloned().collect();
            if let Some(branch) = before.tree.first_mut() {
                node.tree = std::mem::take(&mut branch.children);
            }
        }
        node
    }

    /// Decides what happens at the latest point; its index.
    fn pick(&mut self) -> usize {
        let position = self.nodes.len() - 1;
        let Some(node) = self.nodes.last_mut() else {
            return 0;
        };
        while let Some(branch) = node.tree.first() {
            if let Some(index) = index_of(&node.options, branch.option) {
                return index;
            }
            node.tree.remove(0);
        }
        let sleeps = |option: &Alternative| node.sleep.iter().any(|done| done.option == *option);
        let awake = node.options.iter().position(|option| !sleeps(option));
        let chosen = awake.unwrap_or_else(|| {
            self.redundant_from.get_or_insert(position);
            0
        });
        let first = node.options[chosen];
        let also = |option: &&Alternative| {
            option.actor == first.actor && **option != first && !sleeps(option)
        };
        let others: Vec<_> = node.options.iter().filter(also).copied().collect();
        node.tree = std::iter::once(first)
            .chain(others)
            .map(|option| Branch {
                option,
                touches: None,
                children: Vec::new(),
            })
            .collect();
        chosen
    }

    fn push_event(&mut self, option: Alternative) {
        let actor = self.actor(option.actor);
        let before = self.events.iter().rev().find(|event| event.actor == actor);
        let number = before.map_or(0, |event| event.number) + 1;
        self.events.push(Event {
            option,
            actor,
            number,
            touches: vec![existence(option)],
            clock: Clock::default(),
        });
    }

    /// Plans a run for each thing that could have been done and then could not any more, in which
    /// it is done before the step that took it away. An actor that waits for a lock has lost nothing.
    fn look_for_losses(&mut self) {
        for at in 0..self.nodes.len() {
            let done = self.events[at].option;
            let after = self.nodes.get(at + 1).map_or(&[][..], |node| &node.options);
            let is_lost = |option: &&Alternative| {
                let waits = |(actor, _): &(u64, u64)| *actor == option.actor;
                option.actor != done.actor
                    && !self.wants.iter().any(waits)
                    && !after.contains(option)
                    && !self.events[at + 1..]
                        .iter()
                        .any(|event| event.option.actor == option.actor)
            };
            let options = self.nodes[at].options.iter();
            let lost: Vec<Alternative> = options.filter(is_lost).copied().collect();
            for option in lost {
                let touches = &mut self.events[at].touches;
                if !touches.contains(&existence(option)) {
                    touches.push(existence(option));
                }
                let node = &mut self.nodes[at];
                let is_tried = node.sleep.iter().any(|done| done.option == option)
                    || node.tree.iter().any(|branch| branch.option == option);
                if !is_tried {
                    node.tree.push(Branch {
                        option,
                        touches: None,
                        children: Vec::new(),
                    });
                }
            }
        }
    }

    /// Steps that never came because a lock was never free race with who took it, too.
    fn add_waiting(&mut self) {
        for (actor, lock) in std::mem::take(&mut self.wants) {
            self.push_event(Alternative::of(actor));
            if let Some(event) = self.events.last_mut() {
                event.touches.push(Touch {
                    object: lock,
                    parts: u64::MAX,
                    access: Access::Take,
                });
            }
        }
    }

    /// Orders the events of the run, and plans a run for each race among them.
    fn look_for_races(&mut self) {
        let enablers = self.enablers();
        let mut events_of = vec![Vec::new(); self.actors.len()];
        for later in 0..self.events.len() {
            let event = &self.events[later];
            if later >= self.kept {
                let before = events_of[event.actor].last().copied();
                let enabler = enablers.get(later).copied().flatten();
                let (clock, races) = self.clock(later, before, enabler, &events_of);
                self.events[later].clock = clock;
                for earlier in races {
                    self.reverse(earlier, later);
                }
            }
            if later < enablers.len() {
                events_of[self.events[later].actor].push(later);
            }
        }
    }

    /// For each event, the one of another actor without which its actor could not have gone on.
    fn enablers(&self) -> Vec<Option<usize>> {
        let mut since: Vec<(u64, usize)> = Vec::new();
        let mut enablers = Vec::with_capacity(self.events.len());
        for (at, (node, event)) in self.nodes.iter().zip(&self.events).enumerate() {
            since.retain(|(actor, _)| node.options.iter().any(|option| option.actor == *actor));
            for option in &node.options {
                if !since.iter().any(|(actor, _)| *actor == option.actor) {
                    since.push((option.actor, at));
                }
            }
            let from = since.iter().find(|(actor, _)| *actor == event.option.actor);
            let enabler = from.and_then(|(_, at)| at.checked_sub(1));
            enablers.push(enabler.filter(|enabler| self.events[*enabler].actor != event.actor));
        }
        enablers
    }

    /// What comes before an event, and with which of that it races.
    fn clock(
        &self,
        later: usize,
        before: Option<usize>,
        enabler: Option<usize>,
        events_of: &[Vec<usize>],
    ) -> (Clock, Vec<usize>) {
        let event = &self.events[later];
        let mut certain =
            before.map_or_else(Clock::default, |before| self.events[before].clock.clone());
        let mut after_free = Clock::default();
        if let Some(enabler) = enabler {
            let enabler = &self.events[enabler];
            if is_hand_over(&enabler.touches, &event.touches) {
                after_free.join(&enabler.clock);
            } else {
                certain.join(&enabler.clock);
            }
        }
        let mut races = Vec::new();
        let mut left: Vec<usize> = events_of.iter().map(Vec::len).collect();
        loop {
            // The latest event that is not known to come before.
            let latest = (0..events_of.len())
                .filter(|actor| *actor != event.actor && left[*actor] > 0)
                .map(|actor| events_of[actor][left[actor] - 1])
                .filter(|at| !certain.covers(&self.events[*at]))
                .max();
            let Some(at) = latest else { break };
            let earlier = &self.events[at];
            left[earlier.actor] -= 1;
            match relation(&earlier.touches, &event.touches) {
                Relation::None => {}
                Relation::Race => {
                    races.push(at);
                    certain.join(&earlier.clock);
                }
                Relation::Order => after_free.join(&earlier.clock),
            }
        }
        certain.join(&after_free);
        certain.set(event.actor, event.number);
        (certain, races)
    }

    /// Plans a run in which `later` comes before `earlier`.
    fn reverse(&mut self, earlier: usize, later: usize) {
        let first = &self.events[earlier];
        let mut sequence: Vec<usize> = (earlier + 1..later)
            .filter(|at| !self.events[*at].clock.covers(first))
            .collect();
        sequence.push(later);
        let events = &self.events;
        let node = &mut self.nodes[earlier];
        let is_done =
            |done: &Done| initial(done.option, Some(&done.touches), &sequence, events).is_some();
        if node.sleep.iter().any(is_done) {
            return;
        }
        insert(&mut node.tree, 1, sequence, events);
    }

    /// Leaves the points at which everything has been tried.
    fn go_back(&mut self) {
        while let Some(node) = self.nodes.last_mut() {
            let Some(event) = self.events.pop() else {
                break;
            };
            node.tree.remove(0);
            node.sleep.push(Done {
                option: event.option,
                touches: event.touches,
            });
            if !node.tree.is_empty() {
                break;
            }
            self.nodes.pop();
        }
        self.kept = self.events.len();
    }
}

/// That there is something for an actor to do, which a step of another's can change.
fn existence(option: Alternative) -> Touch {
    Touch {
        object: option.actor ^ EXISTENCE,
        parts: u64::MAX,
        access: Access::Change,
    }
}

fn index_of(options: &[Alternative], option: Alternative) -> Option<usize> {
    options.iter().position(|other| *other == option)
}

enum Relation {
    None,
    /// One may come before the other.
    Race,
    /// The first comes first: it frees a lock that the second takes.
    Order,
}

fn relation(earlier: &[Touch], later: &[Touch]) -> Relation {
    let mut relation = Relation::None;
    for touch in earlier {
        for other in later {
            if touch.is_race(other) {
                return Relation::Race;
            }
            if touch.conflicts(other) {
                relation = Relation::Order;
            }
        }
    }
    relation
}

/// Whether one step frees a lock that the other takes.
fn is_hand_over(earlier: &[Touch], later: &[Touch]) -> bool {
    let freed = |touch: &&Touch| touch.access == Access::Free;
    earlier.iter().filter(freed).any(|touch| {
        later
            .iter()
            .any(|other| other.object == touch.object && other.access == Access::Take)
    })
}

/// Whether a run of `sequence` could as well begin with `option`: what is left of the sequence
/// then.
fn initial(
    option: Alternative,
    touches: Option<&[Touch]>,
    sequence: &[usize],
    events: &[Event],
) -> Option<Vec<usize>> {
    let same = |at: &usize| events[*at].option.actor == option.actor;
    match sequence.iter().position(same) {
        Some(place) => {
            let event = &events[sequence[place]];
            let comes_after = |before: &usize| event.clock.covers(&events[*before]);
            if event.option != option || sequence[..place].iter().any(comes_after) {
                return None;
            }
            let mut rest = sequence.to_vec();
            rest.remove(place);
            Some(rest)
        }
        None => {
            let touches = touches?;
            let is_apart = |at: &usize| !conflict(touches, &events[*at].touches);
            sequence.iter().all(is_apart).then(|| sequence.to_vec())
        }
    }
}

/// Adds a sequence to a wakeup tree, unless a branch from `from` on has the same effect.
fn insert(tree: &mut Vec<Branch>, from: usize, sequence: Vec<usize>, events: &[Event]) {
    for branch in tree.iter_mut().skip(from) {
        let rest = initial(branch.option, branch.touches.as_deref(), &sequence, events);
        if let Some(rest) = rest {
            if !branch.children.is_empty() {
                insert(&mut branch.children, 0, rest, events);
            }
            return;
        }
    }
    let mut chain: Vec<Branch> = Vec::new();
    for at in sequence.into_iter().rev() {
        let event = &events[at];
        chain = vec![Branch {
            option: event.option,
            touches: Some(event.touches.clone()),
            children: chain,
        }];
    }
    tree.extend(chain);
}

impl Strategy for Exhaustive {
    fn begin(&mut self) -> bool {
        if self.begun && self.nodes.is_empty() {
            return false;
        }
        self.begun = true;
        self.position = 0;
        self.redundant_from = None;
        self.wants.clear();
        true
    }

    fn choose(&mut self, options: &[Alternative]) -> usize {
        let position = self.position;
        self.position += 1;
        if position < self.kept {
            let chosen = self.events[position].option;
            self.wants.retain(|(actor, _)| *actor != chosen.actor);
            return index_of(options, chosen).unwrap_or_else(|| {
                self.unstable = true;
                0
            });
        }
        if position == self.nodes.len() {
            let node = self.new_node(options);
            self.nodes.push(node);
        } else if self.nodes[position].options != options {
            self.unstable = true;
            return 0;
        }
        let chosen = self.pick();
        let actor = options[chosen].actor;
        self.wants.retain(|(other, _)| *other != actor);
        self.push_event(options[chosen]);
        chosen
    }

    fn touched(&mut self, touch: Touch) {
        if self.position <= self.kept {
            return;
        }
        let Some(event) = self.events.last_mut() else {
            return;
        };
        let same =
            |other: &&mut Touch| other.object == touch.object && other.access == touch.access;
        match event.touches.iter_mut().find(same) {
            Some(other) => other.parts |= touch.parts,
            None => event.touches.push(touch),
        }
    }

    fn wants(&mut self, actor: u64, lock: u64) {
        self.wants.retain(|(other, _)| *other != actor);
        self.wants.push((actor, lock));
    }

    fn finish(&mut self, _run: &Run) {
        match self.redundant_from {
            None => self.runs += 1,
            Some(from) => {
                self.redundant += 1;
                self.wants.clear();
                self.events.truncate(from);
                self.nodes.truncate(from);
            }
        }
        if self.unstable || self.events.len() != self.nodes.len() {
            self.unstable = true;
            self.nodes.clear();
            self.events.clear();
            return;
        }
        let steps = self.events.len();
        if self.redundant_from.is_none() {
            self.look_for_losses();
        }
        self.add_waiting();
        self.look_for_races();
        self.events.truncate(steps);
        self.go_back();
    }

    fn kept(&self) -> Kept {
        Kept::Choices(self.kept)
    }

    fn skip(&mut self, choices: usize) {
        self.position = choices;
        if let Some(node) = self.nodes.get(choices) {
            self.wants.clone_from(&node.wants);
        }
    }

    fn coverage(&self) -> Coverage {
        let planned: usize = self.nodes.iter().map(|node| node.tree.len()).sum();
        Coverage {
            runs: self.runs,
            redundant: self.redundant,
            left: planned as u64,
            complete: self.begun && self.nodes.is_empty() && !self.unstable,
        }
    }
}
