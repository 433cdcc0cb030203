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
//!   races with what never came, which is tried before it: at once, and after what happened behind the
//!   step and not because of it.
//! - What a step touches may depend on what came before it, and is known after it was run. So what is
//!   asleep makes a sequence unnecessary only where the sequence has it, and by what it touched at that
//!   very point; the paper's weak initials, which a sequence need not have, are not used. Where
//!   that is no more than a guess for another run with the same race, it is looked at there again.
//! - A sequence of a wakeup tree that turns out to be impossible, or asleep, is given up, and the run
//!   goes on by itself. That costs a run and misses nothing.
//! - It can be cut into [`Piece`]s, which know nothing of each other.
//!
//! # What it relies on
//! - A step that makes a difference to what another actor does next, or whether it can do anything,
//!   touches what that step touches. Who begins to wait touches what is waited for.
//! - Who waits for a lock says so before ([`Strategy::wants`]).

mod before;
mod pieces;
mod wakeup;

use crate::order::{Access, Touch, conflict};
use crate::strategy::Kept;
use crate::{Alternative, Coverage, Run, Strategy};

use before::{Clock, Event, Relation, is_hand_over, relation};
pub use pieces::{Piece, Pieces, Split};
use wakeup::{Begins, Branch, Done, Known, Sequence, insert};

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
    /// What all runs begin with.
    root: Piece,
    /// Where runs are cut into pieces, if that is all that is wanted of them.
    cut: Option<pieces::Cut>,
    /// Pairs of events that race, and of which other runs may show that the other order is yet to be
    /// tried.
    open: Vec<(usize, usize)>,
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

impl Node {
    /// Whether an actor's next step takes a lock.
    fn waits(&self, actor: u64) -> bool {
        self.wants.iter().any(|(other, _)| *other == actor)
    }
}

impl Exhaustive {
    /// Nothing has been tried.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Tries one piece of everything.
    #[must_use]
    fn of(root: Piece) -> Self {
        Self {
            root,
            ..Self::default()
        }
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
            // What cannot be done any more has lost its place to the step that took it away.
            let still = |done: &&Done| {
                done.option.actor != event.option.actor
                    && !conflict(&done.touches, &event.touches)
                    && (options.contains(&done.option) || node.waits(done.option.actor))
            };
            node.sleep = before.sleep.iter().filter(still).cloned().collect();
            if let Some(branch) = before.tree.first_mut() {
                node.tree = std::mem::take(&mut branch.children);
            }
        }
        if self.nodes.len() == self.root.length() {
            node.sleep = self.root.sleep.clone();
        }
        node
    }

    /// Decides what happens at the latest point; its index.
    fn pick(&mut self) -> usize {
        let position = self.nodes.len() - 1;
        let Some(node) = self.nodes.last_mut() else {
            return 0;
        };
        let sleeps = |option: &Alternative| node.sleep.iter().any(|done| done.option == *option);
        while let Some(branch) = node.tree.first() {
            if let Some(index) = index_of(&node.options, branch.option)
                && !sleeps(&branch.option)
            {
                return index;
            }
            node.tree.remove(0);
        }
        let awake = node.options.iter().position(|option| !sleeps(option));
        let chosen = awake.unwrap_or_else(|| {
            self.redundant_from.get_or_insert(position);
            0
        });
        let first = node.options[chosen];
        // Where pieces are cut from each other everything is tried, whatever races with it.
        let everything = match &mut self.cut {
            None => false,
            Some(_) if self.redundant_from.is_some() => false,
            Some(cut) => {
                let awake = node.options.iter().filter(|option| !sleeps(option));
                cut.branches(position, awake.count())
            }
        };
        let is_alone = self.cut.is_some() && !everything;
        let also = |option: &&Alternative| {
            **option != first
                && !is_alone
                && (everything || option.actor == first.actor)
                && !sleeps(option)
        };
        let others: Vec<_> = node.options.iter().filter(also).copied().collect();
        node.tree = std::iter::once(first)
            .chain(others)
            .map(Branch::new)
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

    /// What could have been done and then could not any more, and the step that took it away. An
    /// actor that waits for a lock has lost nothing.
    fn look_for_losses(&mut self) -> Vec<(usize, Alternative)> {
        let mut losses = Vec::new();
        for at in 0..self.redundant_from.unwrap_or(self.nodes.len()) {
            let after = self.nodes.get(at + 1);
            let done = self.events[at].option;
            let is_lost = |option: &&Alternative| {
                let is_left = match after {
                    Some(after) => after.options.contains(option) || after.waits(option.actor),
                    None => self.wants.iter().any(|(actor, _)| *actor == option.actor),
                };
                option.actor != done.actor && !is_left
            };
            let options = self.nodes[at].options.iter();
            let lost = options.filter(is_lost).map(|option| (at, *option));
            losses.extend(lost);
        }
        for (at, option) in &losses {
            let event = &mut self.events[*at];
            if !event.touches.contains(&existence(*option)) {
                event.touches.push(existence(*option));
            }
        }
        losses
    }

    /// Plans runs in which what was lost is done before the step that took it away: at once, and
    /// after all that happened in the meantime and not because of that step.
    fn undo_losses(&mut self, losses: Vec<(usize, Alternative)>) {
        for (at, option) in losses {
            if at < self.root.length() {
                continue;
            }
            let node = &mut self.nodes[at];
            let is_tried = node.sleep.iter().any(|done| done.option == option)
                || node.tree.iter().any(|branch| branch.option == option);
            if !is_tried {
                node.tree.push(Branch::new(option));
            }
            let steps = self.events.len();
            self.push_event(option);
            self.reverse(at, steps, Known::No);
            self.events.truncate(steps);
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
        let kept = self.kept;
        let mut races = std::mem::take(&mut self.open);
        races.retain(|(_, later)| *later < kept);
        for later in 0..self.events.len() {
            let event = &self.events[later];
            if later >= kept {
                let before = events_of[event.actor].last().copied();
                let enabler = enablers.get(later).copied().flatten();
                let (clock, with) = self.clock(later, before, enabler, &events_of);
                self.events[later].clock = clock;
                races.extend(with.into_iter().map(|earlier| (earlier, later)));
            }
            if later < enablers.len() {
                events_of[self.events[later].actor].push(later);
            }
        }
        races.retain(|(earlier, later)| !self.reverse(*earlier, *later, Known::Touches));
        self.open = races;
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

    /// Plans a run in which `later` comes before `earlier`, with all that happened behind `earlier`
    /// and not because of it, unless it is known to add nothing. `false`: that may be otherwise in
    /// another run that has the two.
    fn reverse(&mut self, earlier: usize, later: usize, known: Known) -> bool {
        if earlier < self.root.length() {
            // Other pieces begin otherwise.
            return true;
        }
        let sequence = Sequence::of(earlier, (later, known), &self.events, self.nodes.len());
        let node = &mut self.nodes[earlier];
        for done in &node.sleep {
            match sequence.begins_with(done) {
                Begins::Surely => return true,
                Begins::InThisRun => return false,
                Begins::Otherwise => {}
            }
        }
        insert(&mut node.tree, 1, sequence);
        true
    }

    /// Leaves the points at which everything has been tried.
    fn go_back(&mut self) {
        while let Some(node) = self.nodes.last_mut() {
            if self.events.len() <= self.root.length() {
                self.nodes.clear();
                self.events.clear();
                break;
            }
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

impl Strategy for Exhaustive {
    fn begin(&mut self) -> bool {
        if self.begun && self.nodes.is_empty() {
            return false;
        }
        self.begun = true;
        self.position = 0;
        self.redundant_from = None;
        self.wants.clear();
        if let Some(cut) = &mut self.cut {
            cut.begin(self.kept);
        }
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
        let chosen = match self.root.choice(position) {
            Some(chosen) if chosen < options.len() => {
                self.nodes[position].tree = vec![Branch::new(options[chosen])];
                chosen
            }
            Some(_) => {
                self.unstable = true;
                return 0;
            }
            None => self.pick(),
        };
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
        let is_whole = self.events.len() == self.nodes.len();
        if self.unstable || !is_whole || self.events.len() < self.root.length() {
            self.unstable = true;
            self.nodes.clear();
            self.events.clear();
            return;
        }
        let losses = self.look_for_losses();
        match self.redundant_from {
            None => self.runs += 1,
            Some(from) => {
                self.redundant += 1;
                // Who sleeps there waits for nothing.
                let node = &self.nodes[from];
                let could = |actor: u64| node.options.iter().any(|option| option.actor == actor);
                self.wants.clone_from(&node.wants);
                self.wants.retain(|(actor, _)| !could(*actor));
                self.events.truncate(from);
                self.nodes.truncate(from);
            }
        }
        if self.cut.is_some() {
            self.cut_off();
        } else {
            let steps = self.events.len();
            self.add_waiting();
            self.look_for_races();
            self.events.truncate(steps);
            self.undo_losses(losses);
        }
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
