//! Small programs whose classes of orders can be counted by trying everything.

use std::collections::BTreeSet;

use crate::strategy::{Bounded, Exhaustive, Pct, Random as AtRandom, Replay};
use crate::{Access, Alternative, Deviation, Random, Recorder, Run, Strategy, Touch, shrink};

/// What an actor does in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Look(u64),
    Change(u64),
    Take(u64),
    Free(u64),
    /// An actor does nothing any more; with what that touches, as each of the actor's steps does.
    Cancel(u64, u64),
}

impl Op {
    fn touch(self) -> Touch {
        let (object, access) = match self {
            Self::Look(object) => (object, Access::Look),
            Self::Change(object) => (object, Access::Change),
            Self::Take(object) => (object, Access::Take),
            Self::Free(object) => (object, Access::Free),
            Self::Cancel(_, object) => (object, Access::Change),
        };
        Touch {
            object,
            parts: u64::MAX,
            access,
        }
    }
}

type Program = Vec<Vec<Op>>;

/// An event by its actor and number there.
type Name = (u64, usize);

/// Each event, with those that come before it for a reason.
type Class = Vec<(u64, usize, Vec<Name>)>;

/// Runs a program. Who acts comes out, in order, and whether all came to their end.
fn run<S: Strategy + ?Sized>(program: &Program, strategy: &mut S) -> (Run, Vec<(u64, Op)>) {
    let mut recorder = Recorder::new(strategy);
    let mut at = vec![0; program.len()];
    let mut held = BTreeSet::new();
    let mut order = Vec::new();
    let mut current = 0;
    loop {
        let can = |actor: usize| match program[actor].get(at[actor]) {
            None => false,
            Some(Op::Take(lock)) => !held.contains(lock),
            Some(_) => true,
        };
        // What happens by itself: who acted goes on.
        let actors = (0..program.len()).map(|offset| (current + offset) % program.len());
        let options: Vec<_> = actors
            .filter(|actor| can(*actor))
            .map(|actor| Alternative::of(actor as u64))
            .collect();
        if options.is_empty() {
            for (actor, at) in at.iter().enumerate() {
                if let Some(Op::Take(lock)) = program[actor].get(*at) {
                    recorder.wants(actor as u64, *lock);
                }
            }
            break;
        }
        current = options[recorder.choose(&options)].actor as usize;
        let op = program[current][at[current]];
        at[current] += 1;
        match op {
            Op::Take(lock) => assert!(held.insert(lock)),
            Op::Free(lock) => assert!(held.remove(&lock)),
            Op::Cancel(actor, _) => at[actor as usize] = program[actor as usize].len(),
            _ => {}
        }
        recorder.touched(op.touch());
        order.push((current as u64, op));
    }
    (recorder.finish().1, order)
}

/// An order's class: for each event, which others come before it for a reason.
fn class(order: &[(u64, Op)]) -> Class {
    let mut numbers = Vec::new();
    for (at, (actor, _)) in order.iter().enumerate() {
        let number = order[..at].iter().filter(|other| other.0 == *actor).count();
        numbers.push((*actor, number));
    }
    let mut before: Vec<BTreeSet<usize>> = Vec::new();
    for (at, (actor, op)) in order.iter().enumerate() {
        let mut all = BTreeSet::new();
        for (earlier, (other, other_op)) in order[..at].iter().enumerate() {
            if other == actor || other_op.touch().conflicts(&op.touch()) {
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
fn classes(program: &Program, mut strategy: impl Strategy) -> (BTreeSet<Class>, u64, bool) {
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
fn all_classes(program: &Program) -> BTreeSet<Class> {
    classes(program, Bounded::new(u32::MAX)).0
}

#[track_caller]
fn every_class_once(program: &Program) -> u64 {
    let all = all_classes(program);
    let (found, runs, complete) = classes(program, Exhaustive::new());
    assert!(complete, "{program:?}");
    assert_eq!(found.len(), all.len(), "{program:?}");
    assert_eq!(found, all, "{program:?}");
    assert_eq!(runs, all.len() as u64, "{program:?}");
    runs
}

#[test]
fn actors_with_nothing_in_common_have_one_order() {
    use Op::{Change, Look};
    assert_eq!(
        every_class_once(&vec![vec![Change(1); 3], vec![Change(2); 3]]),
        1
    );
    assert_eq!(
        every_class_once(&vec![vec![Look(1); 3], vec![Look(1); 3]]),
        1
    );
}

#[test]
fn writers_of_one_object_have_every_order() {
    use Op::Change;
    assert_eq!(
        every_class_once(&vec![vec![Change(1); 3], vec![Change(1); 3]]),
        20
    );
    assert_eq!(
        every_class_once(&vec![vec![Change(1)], vec![Change(1)], vec![Change(1)]]),
        6
    );
}

/// Figure 4 of "Source Sets": a writer and readers; the number of classes is 2 to the readers.
#[test]
fn readers_come_before_or_after_a_writer() {
    use Op::{Change, Look};
    for readers in 1..5 {
        let mut program = vec![vec![Change(1)]];
        program.extend((0..readers).map(|reader| vec![Look(1), Change(10 + reader)]));
        assert_eq!(every_class_once(&program), 1 << readers);
    }
}

#[test]
fn a_lock_is_taken_in_every_order() {
    use Op::{Change, Free, Take};
    let locked = vec![Take(9), Change(1), Change(1), Free(9)];
    assert_eq!(every_class_once(&vec![locked.clone(), locked.clone()]), 2);
    assert_eq!(
        every_class_once(&vec![locked.clone(), locked.clone(), locked]),
        6
    );
}

#[test]
fn locks_in_opposite_orders_meet_in_a_deadlock() {
    use Op::{Free, Take};
    let program = vec![
        vec![Take(1), Take(2), Free(2), Free(1)],
        vec![Take(2), Take(1), Free(1), Free(2)],
    ];
    let mut strategy = Exhaustive::new();
    let mut stuck = 0;
    while strategy.begin() {
        stuck += u32::from(run(&program, &mut strategy).1.len() < 8);
    }
    assert_eq!(stuck, 1);
    assert_eq!(every_class_once(&program), 3);
}

#[test]
fn what_can_be_cancelled_comes_before_that_too() {
    let programs: [Program; 4] = [
        vec![vec![Op::Cancel(1, 9)], vec![Op::Change(9)]],
        vec![
            vec![Op::Change(2), Op::Cancel(1, 9), Op::Change(3)],
            vec![Op::Change(9), Op::Change(9)],
        ],
        vec![
            vec![Op::Change(1), Op::Cancel(2, 9)],
            vec![Op::Change(1), Op::Change(2)],
            vec![Op::Change(9)],
        ],
        vec![
            vec![Op::Cancel(1, 9), Op::Change(9)],
            vec![Op::Cancel(0, 9), Op::Change(9)],
            vec![Op::Look(9)],
        ],
    ];
    for program in programs {
        let all = all_classes(&program);
        let (found, runs, complete) = classes(&program, Exhaustive::new());
        assert!(complete, "{program:?}");
        assert_eq!(found, all, "{program:?}");
        assert!(
            runs <= 2 * all.len() as u64,
            "{program:?}: {runs} of {}",
            all.len()
        );
    }
}

/// Programs at random: every class, and as many runs as classes.
#[test]
fn programs_at_random_have_every_class_visited_once() {
    let mut random = Random::new(20_261);
    let mut total = (0, 0);
    for _ in 0..60 {
        let actors = 2 + random.below(2) as usize;
        let program: Program = (0..actors)
            .map(|_| ops(&mut random, if actors == 2 { 4 } else { 3 }))
            .collect();
        let all = all_classes(&program);
        let (found, runs, complete) = classes(&program, Exhaustive::new());
        assert!(complete);
        assert_eq!(found, all, "{program:?}");
        total = (total.0 + all.len() as u64, total.1 + runs);
    }
    assert!(
        total.1 * 10 <= total.0 * 11,
        "{} runs for {} classes",
        total.1,
        total.0
    );
}

/// About `length` steps; what is locked is freed.
fn ops(random: &mut Random, length: u64) -> Vec<Op> {
    let mut ops = Vec::new();
    while (ops.len() as u64) < length {
        let object = random.below(2);
        match random.below(4) {
            0 => ops.push(Op::Look(object)),
            1 | 2 => ops.push(Op::Change(object)),
            _ if random.below(2) == 0 => {
                ops.extend([Op::Take(7), Op::Take(8), Op::Free(8), Op::Free(7)]);
            }
            _ => {
                ops.extend([Op::Take(8 - object), Op::Change(object)]);
                if object == 0 {
                    ops.extend([Op::Take(7), Op::Free(7)]);
                }
                ops.push(Op::Free(8 - object));
            }
        }
    }
    ops
}

#[test]
fn few_deviations_come_first() {
    let program = vec![vec![Op::Change(1); 3], vec![Op::Change(1); 3]];
    let mut strategy = Bounded::new(2);
    let mut counts = Vec::new();
    while strategy.begin() {
        counts.push(run(&program, &mut strategy).0.deviations.len());
    }
    assert!(counts.is_sorted());
    assert_eq!(counts[..4], [0, 1, 1, 1]);
    assert_eq!(counts.last(), Some(&2));
    assert!(strategy.coverage().complete);
    assert_eq!(strategy.coverage().runs, counts.len() as u64);
}

#[test]
fn shards_together_are_everything_once() {
    let program = vec![vec![Op::Change(1); 3], vec![Op::Change(1); 4]];
    let every = |mut strategy: Bounded| {
        let mut runs = Vec::new();
        while strategy.begin() {
            runs.push(run(&program, &mut strategy).0.deviations);
        }
        (runs, strategy.coverage().runs)
    };
    let (mut whole, count) = every(Bounded::new(2));
    let mut parts = Vec::new();
    let mut counts = 0;
    for part in 0..4 {
        let (runs, count) = every(Bounded::new(2).shard(part, 4));
        counts += count;
        // The run without deviations tells every part where the others begin.
        parts.extend(runs.into_iter().filter(|run| part == 0 || !run.is_empty()));
    }
    whole.sort();
    parts.sort();
    assert_eq!(parts, whole);
    assert_eq!(counts, count);
}

#[test]
fn a_seed_gives_the_same_run_again() {
    let program = vec![vec![Op::Change(1); 20], vec![Op::Change(1); 20]];
    let one = |seed: u64| {
        let mut strategy = AtRandom::new(seed..seed + 1);
        assert!(strategy.begin());
        run(&program, &mut strategy)
    };
    assert_eq!(one(7), one(7));
    assert!((0..20).any(|seed| one(seed) != one(7)));
    let one = |seed: u64| {
        let mut strategy = Pct::new(seed..seed + 1, 3);
        assert!(strategy.begin());
        run(&program, &mut strategy);
        assert!(strategy.begin());
        run(&program, &mut strategy)
    };
    assert_eq!(one(7), one(7));
}

#[test]
fn what_was_chosen_can_be_replayed() {
    let program = vec![vec![Op::Change(1); 20], vec![Op::Change(1); 20]];
    let mut strategy = AtRandom::new(0..50);
    while strategy.begin() {
        let (first, order) = run(&program, &mut strategy);
        let mut replay = Replay::new(first.deviations.clone());
        assert!(replay.begin());
        let (again, same) = run(&program, &mut replay);
        assert_eq!((again, same), (first, order));
        assert_eq!(replay.misfit(), None);
    }
}

#[test]
fn choices_that_do_not_fit_are_said() {
    let program = vec![vec![Op::Change(1); 2], vec![Op::Change(1); 2]];
    let misfit = |point, option| {
        let mut replay = Replay::new(vec![Deviation { point, option }]);
        assert!(replay.begin());
        run(&program, &mut replay);
        replay.misfit().map(|misfit| misfit.to_string())
    };
    assert_eq!(misfit(1, 1), None);
    assert_eq!(
        misfit(1, 2).as_deref(),
        Some("option 2 of point 1 is chosen, and there are 2 options")
    );
    assert_eq!(
        misfit(2, 1).as_deref(),
        Some("something is chosen at point 2, and the run has 2 points")
    );
}

#[test]
fn only_what_is_needed_is_left() {
    let all: Vec<_> = (0..40)
        .map(|point| Deviation { point, option: 1 })
        .collect();
    let needed = [all[3], all[17]];
    let left = shrink(&all, usize::MAX, |candidate| {
        needed.iter().all(|deviation| candidate.contains(deviation))
    });
    assert_eq!(left, needed);
    assert_eq!(shrink(&all, usize::MAX, |_| true), []);
    assert_eq!(shrink(&[], usize::MAX, |_| true), []);
}
