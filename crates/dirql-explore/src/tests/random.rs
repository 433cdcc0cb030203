//! Programs at random: every class is visited, and hardly any twice.
//!
//! `DIRQL_EXPLORE_PROGRAMS=100000` tries that many in place of the few that every run of the tests
//! does.

#![expect(
    clippy::print_stdout,
    reason = "who tries many wants to know the ratio"
)]

use std::collections::BTreeSet;

use super::model::{Op, Program, all_classes, class, classes, orders, run};
use crate::strategy::{Exhaustive, Piece, Pieces, Scouted, Split};
use crate::{Random, Strategy};

/// The most orders that are tried one by one.
const MOST: u64 = 1_000;

/// How many programs each test tries.
fn programs() -> u64 {
    let wanted = std::env::var("DIRQL_EXPLORE_PROGRAMS");
    wanted.map_or(40, |wanted| wanted.parse().expect("a number"))
}

/// What programs are made of.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Objects are looked at and changed, under locks or not.
    Plain,
    /// Also, what one does decides what another one does.
    Deciding,
    /// Also, steps are waited for.
    Waiting,
    /// Also, one actor, which waits for nothing, is stopped and begins again, as a timer does.
    Stopping,
    /// What is stopped there.
    Timer,
}

/// A program of a kind that has not too many orders.
fn program(random: &mut Random, kind: Kind) -> Program {
    loop {
        let actors = 2 + random.below(3) as usize;
        let length = 1 + random.below(8 / actors as u64 + 1);
        let objects = 1 + random.below(3);
        let program: Program = (0..actors)
            .map(|actor| {
                let kind = match kind {
                    Kind::Stopping if actor + 1 == actors => Kind::Timer,
                    kind => kind,
                };
                steps(random, kind, actors, length, objects)
            })
            .collect();
        if orders(&program, MOST) < MOST {
            return program;
        }
    }
}

/// About `length` steps; what is locked is freed.
fn steps(random: &mut Random, kind: Kind, actors: usize, length: u64, objects: u64) -> Vec<Op> {
    let mut ops = Vec::new();
    while (ops.len() as u64) < length {
        let object = random.below(objects);
        match random.below(10) {
            0..2 => ops.push(Op::Look(object)),
            2..5 => ops.push(Op::Change(object)),
            5 if kind != Kind::Timer => {
                ops.extend([Op::Take(7), Op::Take(8), Op::Free(8), Op::Free(7)])
            }
            6 if kind != Kind::Timer => {
                let lock = 8 - random.below(2);
                ops.extend([Op::Take(lock), Op::Change(object)]);
                if lock == 8 && random.below(2) == 0 {
                    ops.extend([Op::Take(7), Op::Free(7)]);
                }
                ops.push(Op::Free(lock));
            }
            7 if kind != Kind::Plain => {
                let other = random.below(objects);
                if random.below(2) == 0 {
                    ops.extend([Op::Unless(object, 1), Op::Change(other)]);
                } else {
                    ops.push(Op::Through(object, other, random.below(objects)));
                }
            }
            8 if matches!(kind, Kind::Waiting | Kind::Stopping) => {
                // Who begins to wait says so.
                ops.extend([Op::Look(object), Op::Wait(object)]);
            }
            9 if kind == Kind::Stopping => {
                let other = actors as u64 - 1;
                if random.below(2) == 0 {
                    ops.push(Op::Cancel(other, 9));
                } else {
                    ops.push(Op::Restart(other));
                }
            }
            _ => {}
        }
    }
    ops
}

/// Every class of programs of a kind, in at most 1.1 runs for each.
fn every_class(kind: Kind, seed: u64) {
    let mut random = Random::new(seed);
    let mut total = (0, 0);
    for _ in 0..programs() {
        let program = program(&mut random, kind);
        let all = all_classes(&program);
        let scouted = Scouted::new(Exhaustive::new());
        let (found, runs, complete) = classes(&program, scouted);
        assert!(complete, "{program:?}");
        assert!(
            found == all,
            "{} of {}: {program:?}",
            found.len(),
            all.len()
        );
        total = (total.0 + all.len() as u64, total.1 + runs);
    }
    let (classes, runs) = total;
    println!("{runs} runs for {classes} classes");
    assert!(
        runs * 10 <= classes * 11,
        "{runs} runs for {classes} classes"
    );
}

#[test]
fn programs_at_random_have_every_class_visited_once() {
    every_class(Kind::Plain, 20_261);
}

#[test]
fn programs_that_decide_have_every_class_visited_once() {
    every_class(Kind::Deciding, 20_263);
}

#[test]
fn programs_that_wait_have_every_class_visited_once() {
    every_class(Kind::Waiting, 20_264);
}

#[test]
fn programs_that_stop_each_other_have_every_class_visited_once() {
    every_class(Kind::Stopping, 20_265);
}

/// A program cut into pieces, at least so many if there are; and the runs that this took.
fn pieces(program: &Program, least: usize) -> (Vec<Piece>, u64) {
    let mut split = Split::new(least);
    let mut runs = 0;
    while split.begin() {
        run(program, &mut split);
        runs += 1;
    }
    let result = split.result();
    let pieces = result.borrow().clone();
    (pieces, runs)
}

/// Pieces of programs of a kind have no class in common, and are everything together.
fn pieces_are_everything(kind: Kind, seed: u64) {
    let mut random = Random::new(seed);
    let (mut total, mut cuts, mut redundant) = (0, 0, 0);
    for _ in 0..programs() {
        let program = program(&mut random, kind);
        let (all, ..) = classes(&program, Exhaustive::new());
        for least in [2, 7] {
            let (pieces, cutting) = pieces(&program, least);
            cuts += cutting;
            let mut found = BTreeSet::new();
            for piece in pieces {
                let mut strategy = Pieces::new([piece]);
                let mut ended = 0;
                while strategy.begin() {
                    let (_, order) = run(&program, &mut strategy);
                    let coverage = strategy.coverage();
                    if coverage.runs > ended {
                        ended = coverage.runs;
                        assert!(found.insert(class(&order)), "twice: {program:?}");
                        total += 1;
                    }
                }
                let coverage = strategy.coverage();
                assert!(coverage.complete);
                redundant += coverage.redundant;
            }
            assert!(
                found == all,
                "{} of {}: {program:?}",
                found.len(),
                all.len()
            );
        }
    }
    println!("{cuts} and {redundant} more runs for {total} classes");
}

#[test]
fn pieces_together_are_every_class_once() {
    pieces_are_everything(Kind::Plain, 20_266);
    pieces_are_everything(Kind::Deciding, 20_267);
    pieces_are_everything(Kind::Waiting, 20_268);
    pieces_are_everything(Kind::Stopping, 20_269);
}
