//! Small programs whose classes of orders can be counted by trying everything.

mod model;
mod random;

use crate::strategy::{Bounded, Exhaustive, Pct, Random as AtRandom, Replay, Scouted};
use crate::{Coverage, Deviation, Strategy, shrink};
use model::{Op, Program, all_classes, classes, run};

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

/// Every class once, and few runs that repeat others.
#[track_caller]
fn every_class(program: &Program) {
    let all = all_classes(program);
    let mut strategy = Exhaustive::new();
    let (found, ..) = classes(program, &mut strategy);
    let Coverage {
        runs,
        redundant: more,
        complete,
        ..
    } = strategy.coverage();
    assert!(complete && found == all, "{} of {}", found.len(), all.len());
    assert_eq!(runs, all.len() as u64);
    assert!(more <= 2 + runs / 5, "{more} of {runs} repeat others");
}

#[test]
fn what_can_be_cancelled_comes_before_that_too() {
    use Op::{Cancel, Change, Look};
    every_class(&vec![vec![Cancel(1, 9)], vec![Change(9)]]);
    every_class(&vec![
        vec![Change(2), Cancel(1, 9), Change(3)],
        vec![Change(9), Change(9)],
    ]);
    every_class(&vec![
        vec![Change(1), Cancel(2, 9)],
        vec![Change(1), Change(2)],
        vec![Change(9)],
    ]);
    every_class(&vec![
        vec![Cancel(1, 9), Change(9)],
        vec![Cancel(0, 9), Change(9)],
        vec![Look(9)],
    ]);
}

/// What never came has an order with what happened in the meantime.
#[test]
fn what_is_cancelled_may_come_after_something_else() {
    use Op::{Cancel, Change};
    every_class(&vec![
        vec![Change(0), Cancel(2, 9)],
        vec![Change(0)],
        vec![Change(0), Change(0)],
    ]);
}

/// As a timer that is cancelled and set again: it comes later, and could have come before.
#[test]
fn what_is_cancelled_and_begins_again_may_come_before_that() {
    use Op::{Cancel, Change, Look, Restart, Unless};
    every_class(&vec![
        vec![Cancel(1, 9), Restart(1)],
        vec![Change(0), Change(0)],
    ]);
    every_class(&vec![
        vec![Change(1), Change(1)],
        vec![Restart(2), Cancel(2, 9)],
        vec![Unless(1, 1), Change(0)],
    ]);
    every_class(&vec![
        vec![Restart(2), Change(2)],
        vec![Change(2), Change(1)],
        vec![Change(0), Change(1)],
    ]);
    every_class(&vec![
        vec![Change(0), Look(0)],
        vec![Restart(0), Cancel(0, 9)],
    ]);
}

/// What somebody waits for is there, and is taken away before it waits.
#[test]
fn what_was_waited_for_can_be_gone_again() {
    use Op::{Change, Look, Wait};
    every_class(&vec![
        vec![Change(0), Look(0), Wait(0), Change(0)],
        vec![Look(0), Wait(0), Change(0)],
    ]);
}

/// In the order that is tried first a step touches something else than in the one that is missing.
#[test]
fn what_a_step_touches_may_depend_on_the_order() {
    use Op::{Change, Look, Through};
    every_class(&vec![
        vec![Through(0, 0, 1), Look(1)],
        vec![Look(0), Look(1)],
        vec![Change(0), Look(0)],
        vec![Change(0), Change(1)],
    ]);
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

/// A search of everything comes to the first point last; what needs one switch there is found long
/// before that.
#[test]
fn what_needs_few_switches_is_found_before_everything_is_tried() {
    let program = vec![vec![Op::Change(1); 40], vec![Op::Change(1); 40]];
    let first = [Deviation {
        point: 0,
        option: 1,
    }];
    let found = |mut strategy: Box<dyn Strategy>| {
        (0..2_000).find(|_| {
            assert!(strategy.begin());
            run(&program, &mut strategy).0.deviations == first
        })
    };
    assert_eq!(found(Box::new(Exhaustive::new())), None);
    // The first batch of the scout begins with the run without a switch.
    let scouted = found(Box::new(Scouted::new(Exhaustive::new())));
    assert_eq!(scouted, Some(16 * 8 + 1));
}

/// The scout's runs are told from those that count, and are few.
#[test]
fn a_scout_takes_its_share_and_no_more() {
    let program = vec![vec![Op::Change(1); 5], vec![Op::Change(1); 5]];
    let mut strategy = Scouted::new(Exhaustive::new());
    let (mut runs, mut ends) = (0, 0);
    while strategy.begin() {
        run(&program, &mut strategy);
        runs += 1;
        let coverage = strategy.coverage();
        assert_eq!(coverage.runs + coverage.redundant, runs);
        assert!(coverage.redundant * 16 <= coverage.runs);
        ends = coverage.redundant;
    }
    let coverage = strategy.coverage();
    assert!(coverage.complete);
    // 10 steps of which 5 are one actor's.
    assert_eq!((coverage.runs, ends), (252, 8));
}

/// Where the scout has nothing left the search of everything goes on alone.
#[test]
fn a_scout_that_has_seen_all_few_switches_is_done() {
    let program = vec![vec![Op::Change(1); 3]; 3];
    let mut strategy = Scouted::new(Exhaustive::new()).shard(9_999, 10_000);
    while strategy.begin() {
        run(&program, &mut strategy);
    }
    let coverage = strategy.coverage();
    assert!(coverage.complete);
    // 9 steps, 3 of each of 3 actors. The scout has the run without switches, and no other.
    assert_eq!((coverage.runs, coverage.redundant), (1_680, 1));
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
fn a_search_may_begin_at_some_points_only() {
    let program = vec![vec![Op::Change(1); 3], vec![Op::Change(1); 4]];
    let every = |mut strategy: Bounded| {
        let mut runs = Vec::new();
        while strategy.begin() {
            runs.push(run(&program, &mut strategy).0.deviations);
        }
        (runs, strategy.coverage())
    };
    for switches in 1..3 {
        let (mut expected, all) = every(Bounded::new(switches));
        let (runs, some) = every(Bounded::new(switches).first_at([0, 2].into()));
        expected.retain(|run| {
            run.first()
                .is_none_or(|first| [0, 2].contains(&first.point))
        });
        assert_eq!(runs, expected);
        assert_eq!(some.runs, runs.len() as u64);
        // What is left out is known where nothing comes behind it.
        assert!(all.complete && !some.complete);
        assert!(switches > 1 || some.runs + some.left == all.runs);
    }
    let mut strategy = Bounded::new(1).first_at([2].into());
    assert!(strategy.begin());
    run(&program, &mut strategy);
    // One alternative at each of the points but the last ones, at which one actor is left.
    let before = strategy.coverage();
    assert!(strategy.begin());
    run(&program, &mut strategy);
    let after = strategy.coverage();
    assert_eq!((after.runs, after.left + 1), (before.runs + 1, before.left));
}

#[test]
fn a_search_may_go_on_soon_after_some_points_only() {
    let program = vec![vec![Op::Change(1); 5], vec![Op::Change(1); 6]];
    let every = |mut strategy: Bounded| {
        let mut runs = Vec::new();
        while strategy.begin() {
            runs.push(run(&program, &mut strategy).0.deviations);
        }
        (runs, strategy.coverage())
    };
    let (all, _) = every(Bounded::new(3));
    let close = |run: &&Vec<Deviation>| {
        run.windows(2)
            .all(|pair| pair[1].point - pair[0].point <= 2)
    };
    let (runs, coverage) = every(Bounded::new(3).within(2));
    let expected: Vec<_> = all.iter().filter(close).cloned().collect();
    assert!(runs.len() < all.len());
    assert_eq!(runs, expected);
    assert!(coverage.complete && coverage.left == 0);

    let (all, _) = every(Bounded::new(2).within(2));
    let follows = |run: &&Vec<Deviation>| run.len() < 2 || [1, 3].contains(&run[0].point);
    let (runs, coverage) = every(Bounded::new(2).within(2).followed_at([1, 3].into()));
    let expected: Vec<_> = all.iter().filter(follows).cloned().collect();
    assert_eq!(runs, expected);
    assert!(!coverage.complete);
    assert_eq!(coverage.runs + coverage.left, all.len() as u64);
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
        let mut last = None;
        while strategy.begin() {
            last = Some(run(&program, &mut strategy));
        }
        last
    };
    assert!((0..20).any(|seed| one(seed) != one(7)));
    assert_eq!(one(7), one(7));
}

/// A run is what its seed says, whatever other seeds were tried before, and the first run of all is
/// counted once.
#[test]
fn seeds_in_parts_are_all_seeds() {
    let program = vec![vec![Op::Change(1); 9], vec![Op::Change(1); 9]];
    let all = |mut strategy: Pct| {
        let mut runs = Vec::new();
        while strategy.begin() {
            let run = run(&program, &mut strategy);
            runs.extend(strategy.seed().map(|seed| (seed, run)));
        }
        (runs, strategy.coverage().runs)
    };
    let (whole, count) = all(Pct::new(0..20, 3));
    let (mut parts, one) = all(Pct::new(0..7, 3));
    let (more, other) = all(Pct::new(7..20, 3).not_first());
    parts.extend(more);
    assert!(parts == whole);
    assert_eq!(one + other, count);
}

/// Without a choice the first actor ends before the others begin, and nothing is left to choose; in
/// another order there is.
#[test]
fn changes_come_late_in_runs_that_are_longer_than_the_first() {
    use Op::{Change, Unless};
    let mut long = vec![Unless(0, 20)];
    long.extend([Change(1); 20]);
    // Who acts first decides how long the second one is.
    let program = vec![vec![Change(0), Change(1)], long];
    let mut strategy = Pct::new(0..200, 2);
    let mut latest = 0;
    while strategy.begin() {
        let (run, _) = run(&program, &mut strategy);
        let deviations = run.deviations.iter().map(|deviation| deviation.point);
        if strategy.seed().is_some() {
            latest = latest.max(deviations.max().unwrap_or(0));
        }
    }
    assert!(latest > 10, "{latest}");
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
