//! Small programs, and the classes of their orders.

use std::collections::BTreeSet;

use crate::order::conflict;
use crate::strategy::Bounded;
use crate::{Access, Alternative, Recorder, Run, Strategy, Touch};

/// What an actor does in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Look(u64),
    Change(u64),
    Take(u64),
    Free(u64),
    /// An actor does nothing any more; with something else that this touches.
    Cancel(u64, u64),
    /// An actor does everything once more.
    Restart(u64),
    /// It can be done once the object was changed, and undoes that.
    Wait(u64),
    /// Looks at an object, and leaves so many steps out if it was changed an odd number of times.
    Unless(u64, usize),
    /// Looks at an object, and changes one of two others, as often as that was changed.
    Through(u64, u64, u64),
}

impl Op {
    /// What a step of an actor with this touches: also that the actor goes on.
    fn touches(self, actor: u64, changes: &[u32]) -> Vec<Touch> {
        let part = |object, access| Touch {
            object: GOES_ON + object,
            parts: u64::MAX,
            access,
        };
        let mut touches = vec![self.touch(), part(actor, Access::Look)];
        match self {
            Self::Cancel(other, _) | Self::Restart(other) => {
                touches.push(part(other, Access::Change));
            }
            Self::Through(object, one, other) => {
                let changed = through(changes, object, one, other);
                touches.push(Self::Change(changed).touch());
            }
            _ => {}
        }
        touches
    }

    fn touch(self) -> Touch {
        let (object, access) = match self {
            Self::Look(object) | Self::Unless(object, _) | Self::Through(object, ..) => {
                (object, Access::Look)
            }
            Self::Change(object) | Self::Wait(object) => (object, Access::Change),
            Self::Take(object) => (object, Access::Take),
            Self::Free(object) => (object, Access::Free),
            Self::Cancel(_, object) => (object, Access::Change),
            Self::Restart(other) => (GOES_ON + other, Access::Change),
        };
        Touch {
            object,
            parts: u64::MAX,
            access,
        }
    }
}

/// With an actor's number, the object that it goes on.
const GOES_ON: u64 = 100;

/// Which of two objects is changed.
fn through(changes: &[u32], object: u64, one: u64, other: u64) -> u64 {
    if changes[object as usize].is_multiple_of(2) {
        one
    } else {
        other
    }
}

/// What each actor does, step by step.
pub(super) type Program = Vec<Vec<Op>>;

/// Who acted, and what that touched.
pub(super) type Step = (u64, Vec<Touch>);

/// An event by its actor and number there.
type Name = (u64, usize);

/// Each event, with those that come before it for a reason.
pub(super) type Class = Vec<(u64, usize, Vec<Name>)>;

/// Where a program is.
struct State<'a> {
    program: &'a Program,
    at: Vec<usize>,
    held: BTreeSet<u64>,
    changes: Vec<u32>,
}

impl<'a> State<'a> {
    fn new(program: &'a Program) -> Self {
        Self {
            program,
            at: vec![0; program.len()],
            held: BTreeSet::new(),
            changes: vec![0; 16],
        }
    }

    fn next(&self, actor: usize) -> Option<Op> {
        self.program[actor].get(self.at[actor]).copied()
    }

    fn can(&self, actor: usize) -> bool {
        match self.next(actor) {
            None => false,
            Some(Op::Take(lock)) => !self.held.contains(&lock),
            Some(Op::Wait(object)) => self.changes[object as usize] > 0,
            Some(_) => true,
        }
    }

    /// Tells that an actor's next step takes a lock, if it does.
    fn tell_wants<S: Strategy>(&self, actor: usize, recorder: &mut Recorder<S>) {
        if let Some(Op::Take(lock)) = self.next(actor) {
            recorder.wants(actor as u64, lock);
        }
    }

    fn touches(&self, actor: usize) -> Vec<Touch> {
        let op = self.program[actor][self.at[actor]];
        op.touches(actor as u64, &self.changes)
    }

    fn step(&mut self, actor: usize) {
        let op = self.program[actor][self.at[actor]];
        self.at[actor] += 1;
        match op {
            Op::Take(lock) => assert!(self.held.insert(lock)),
            Op::Free(lock) => assert!(self.held.remove(&lock)),
            Op::Cancel(other, _) => {
                self.at[other as usize] = self.program[other as usize].len();
            }
            Op::Restart(other) => self.at[other as usize] = 0,
            Op::Through(object, one, other) => {
                let changed = through(&self.changes, object, one, other);
                self.changes[changed as usize] += 1;
            }
            Op::Change(object) => self.changes[object as usize] += 1,
            Op::Wait(object) => self.changes[object as usize] = 0,
            Op::Unless(object, steps) if self.changes[object as usize] % 2 == 1 => {
                self.at[actor] += steps;
            }
            Op::Look(_) | Op::Unless(..) => {}
        }
    }
}

/// Runs a program. Who acts comes out, in order, and whether all came to their end.
pub(super) fn run<S: Strategy + ?Sized>(program: &Program, strategy: &mut S) -> (Run, Vec<Step>) {
    let mut recorder = Recorder::new(strategy);
    let mut state = State::new(program);
    let mut order = Vec::new();
    let mut current = 0;
    for actor in 0..program.len() {
        state.tell_wants(actor, &mut recorder);
    }
    loop {
        // What happens by itself: who acted goes on.
        let actors = (0..program.len()).map(|offset| (current + offset) % program.len());
        let options: Vec<_> = actors
            .filter(|actor| state.can(*actor))
            .map(|actor| Alternative::of(actor as u64))
            .collect();
        if options.is_empty() {
            break;
        }
        current = options[recorder.choose(&options)].actor as usize;
        let touches = state.touches(current);
        state.step(current);
        for touch in &touches {
            recorder.touched(*touch);
        }
        order.push((current as u64, touches));
        state.tell_wants(current, &mut recorder);
    }
    (recorder.finish().1, order)
}

/// An order's class: for each event, which others come before it for a reason.
pub(super) fn class(order: &[Step]) -> Class {
    let mut numbers = Vec::new();
    for (at, (actor, _)) in order.iter().enumerate() {
        let number = order[..at].iter().filter(|other| other.0 == *actor).count();
        numbers.push((*actor, number));
    }
    let mut before: Vec<BTreeSet<usize>> = Vec::new();
    for (at, (actor, touches)) in order.iter().enumerate() {
        let mut all = BTreeSet::new();
        for (earlier, (other, other_touches)) in order[..at].iter().enumerate() {
            if other == actor || conflict(other_touches, touches) {
                all.insert(earlier);
                all.extend(&before[earlier]);
            }
        }
        before.push(all);
    }
    let mut class: Vec<_> = before
        .iter()
        .enumerate()
        .map(|(at, before)| {
            let mut names: Vec<_> = before.iter().map(|earlier| numbers[*earlier]).collect();
            names.sort_unstable();
            (numbers[at].0, numbers[at].1, names)
        })
        .collect();
    class.sort_unstable();
    class
}

/// The classes that a strategy comes to, and how many runs it makes.
pub(super) fn classes(
    program: &Program,
    mut strategy: impl Strategy,
) -> (BTreeSet<Class>, u64, bool) {
    let mut found = BTreeSet::new();
    let mut runs = 0;
    while strategy.begin() {
        let (_, order) = run(program, &mut strategy);
        found.insert(class(&order));
        runs += 1;
        assert!(runs < 2_000_000, "{program:?}");
    }
    (found, runs, strategy.coverage().complete)
}

/// Tries every order: everything with any number of deviations.
pub(super) fn all_classes(program: &Program) -> BTreeSet<Class> {
    classes(program, Bounded::new(u32::MAX)).0
}

/// How many orders a program has, up to `most`.
pub(super) fn orders(program: &Program, most: u64) -> u64 {
    fn count(program: &Program, order: &mut Vec<usize>, most: u64) -> u64 {
        let mut state = State::new(program);
        for actor in &*order {
            state.step(*actor);
        }
        let can: Vec<usize> = (0..program.len())
            .filter(|actor| state.can(*actor))
            .collect();
        if can.is_empty() {
            return 1;
        }
        let mut sum = 0;
        for actor in can {
            order.push(actor);
            sum += count(program, order, most - sum);
            order.pop();
            if sum >= most {
                break;
            }
        }
        sum
    }
    count(program, &mut Vec::new(), most)
}
