//! Priorities and preemption.

use alloc::boxed::Box;
use alloc::format;

use super::others;
use crate::hal::testing::Rig;
use crate::ke::ThreadBody;
use crate::{Ddi, DriverPtr, Kernel};

fn spawn(rig: &Rig, priority: u8, body: impl FnOnce(&Kernel) -> Ddi<()> + 'static) {
    rig.kernel()
        .spawn_thread("test", priority, ThreadBody::Native(Box::new(body)));
}

#[test]
fn ready_threads_run_by_priority_and_in_order() {
    let rig = Rig::new(1);
    for (name, priority) in [
        ("a", 8),
        ("b", 16),
        ("c", 8),
        ("d", 31),
        ("e", 0),
        ("f", 200),
    ] {
        let log = rig.log.clone();
        spawn(&rig, priority, move |_| {
            log.add(name);
            Ok(())
        });
    }
    rig.run();
    assert_eq!(rig.log.take(), ["d", "f", "b", "a", "c", "e"]);
}

#[test]
fn a_thread_of_higher_priority_preempts_at_the_next_yield_point_below_dispatch_level() {
    let rig = Rig::new(1);
    let (log, log2) = (rig.log.clone(), rig.log.clone());
    spawn(&rig, 8, move |kernel| {
        kernel.ke_raise_irql(2)?;
        let high = log2.clone();
        let body = move |_: &Kernel| {
            high.add("high");
            Ok(())
        };
        kernel.spawn_thread("high", 9, ThreadBody::Native(Box::new(body)));
        kernel.yield_point()?;
        log.add("low at dispatch");
        kernel.ke_lower_irql(0)?;
        log.add("low");
        Ok(())
    });
    rig.run();
    assert_eq!(rig.log.take(), ["low at dispatch", "high", "low"]);
}

#[test]
fn a_thread_that_is_spawned_ahead_runs_first_though_another_processor_is_idle() {
    let rig = Rig::new(2);
    let (log, log2) = (rig.log.clone(), rig.log.clone());
    spawn(&rig, 30, move |kernel| {
        let ahead = log2.clone();
        let body = move |_: &Kernel| {
            ahead.add("ahead");
            Ok(())
        };
        kernel.spawn_thread_ahead("ahead", ThreadBody::Native(Box::new(body)));
        kernel.yield_point()?;
        log.add("who was there");
        Ok(())
    });
    rig.run();
    assert_eq!(rig.log.take(), ["ahead", "who was there"]);
}

#[test]
fn a_thread_of_the_same_priority_does_not_preempt_but_gets_its_turn() {
    let rig = Rig::new(1);
    let log = rig.log.clone();
    spawn(&rig, 8, move |kernel| {
        let second = log.clone();
        let body = move |_: &Kernel| {
            second.add("second");
            Ok(())
        };
        kernel.spawn_thread("second", 8, ThreadBody::Native(Box::new(body)));
        for _ in 0..100 {
            kernel.yield_point()?;
        }
        log.add("first goes on");
        others(kernel)?;
        log.add("first ends");
        Ok(())
    });
    rig.run();
    assert_eq!(rig.log.take(), ["first goes on", "second", "first ends"]);
}

#[test]
fn a_level_below_dispatch_level_belongs_to_the_thread() {
    let rig = Rig::new(1);
    for level in [1, 0] {
        let log = rig.log.clone();
        spawn(&rig, 8, move |kernel| {
            kernel.ke_raise_irql(level)?;
            for _ in 0..3 {
                others(kernel)?;
                log.add(format!("raised to {level}, at {}", kernel.irql().0));
            }
            kernel.ke_lower_irql(0)
        });
    }
    rig.run();
    let expected = ["raised to 1, at 1", "raised to 0, at 0"].repeat(3);
    assert_eq!(rig.log.take(), expected);
}

#[test]
fn an_idle_processor_takes_a_ready_thread() {
    let rig = Rig::new(2);
    let log = rig.log.clone();
    spawn(&rig, 8, move |kernel| {
        let (second, me) = (log.clone(), kernel.processor().id);
        let body = move |kernel: &Kernel| {
            second.add(kernel.processor().id != me);
            Ok(())
        };
        kernel.spawn_thread("second", 8, ThreadBody::Native(Box::new(body)));
        others(kernel)?;
        log.add("first");
        Ok(())
    });
    rig.run();
    assert_eq!(rig.log.take(), ["true", "first"]);
}

#[test]
fn lowering_ones_own_priority_lets_others_run() {
    let rig = Rig::new(1);
    let log = rig.log.clone();
    spawn(&rig, 16, move |kernel| {
        let second = log.clone();
        let body = move |_: &Kernel| {
            second.add("second");
            Ok(())
        };
        kernel.spawn_thread("second", 8, ThreadBody::Native(Box::new(body)));
        kernel.yield_point()?;
        log.add("first");
        let me = kernel.current_kthread();
        assert_eq!(kernel.ke_set_priority_thread(me, 4)?, 16);
        kernel.yield_point()?;
        log.add("first ends");
        assert_eq!(kernel.ke_query_priority_thread(me)?, 4);
        Ok(())
    });
    rig.run();
    assert_eq!(rig.log.take(), ["first", "second", "first ends"]);
}

#[test]
fn raising_a_ready_threads_priority_lets_it_run() {
    let rig = Rig::new(1);
    let log = rig.log.clone();
    spawn(&rig, 8, move |kernel| {
        let second = log.clone();
        let body = move |_: &Kernel| {
            second.add("second");
            Ok(())
        };
        let thread = kernel.spawn_thread("second", 8, ThreadBody::Native(Box::new(body)));
        kernel.yield_point()?;
        log.add("first");
        kernel.ke_set_priority_thread(kernel.kthread_of(thread), 9)?;
        kernel.yield_point()?;
        log.add("first ends");
        Ok(())
    });
    rig.run();
    assert_eq!(rig.log.take(), ["first", "second", "first ends"]);
}

#[test]
fn terminating_does_not_return() {
    let rig = Rig::new(1);
    let log = rig.log.clone();
    let routine = rig.bench.routine(move |kernel, _| {
        log.add("ends");
        kernel.ps_terminate_system_thread(dirql_abi::NtStatus::SUCCESS)?;
        log.add("never");
        Ok(0)
    });
    let thread = rig.kernel().spawn_thread(
        "driver",
        8,
        ThreadBody::Driver {
            routine,
            context: 0,
        },
    );
    rig.run();
    assert!(rig.kernel().thread_has_ended(thread));
    assert_eq!(rig.log.take(), ["ends"]);
}

#[test]
fn a_thread_that_returns_at_a_raised_level_is_told_and_leaves_none_behind() {
    let rig = Rig::new(1);
    let routine = rig.bench.routine(|kernel, _| {
        kernel.ke_raise_irql(2)?;
        Ok(0)
    });
    rig.kernel().spawn_thread(
        "driver",
        8,
        ThreadBody::Driver {
            routine,
            context: 0,
        },
    );
    rig.run();
    assert_eq!(rig.findings(), [200]);
    assert_eq!(rig.kernel().irql().0, 0);
}

#[test]
fn the_current_thread_is_what_gs_says() {
    use dirql_abi::processor::KPrcb;

    let rig = Rig::new(2);
    for processor in 0..2 {
        rig.spawn_on(processor, move |kernel| {
            let prcb = DriverPtr::<KPrcb>::new(kernel.processor_kprcb(kernel.processor().id));
            others(kernel)?;
            assert_eq!(
                kernel.read(crate::at!(prcb, KPrcb, current_thread))?,
                kernel.current_kthread()
            );
            assert_eq!(
                kernel.read(crate::at!(prcb, KPrcb, number))?,
                u32::from(processor)
            );
            Ok(())
        });
    }
    rig.run();
}

#[test]
fn a_base_priority_is_told_relative_to_that_of_the_process() {
    let rig = Rig::new(1);
    rig.bench.on_thread(|kernel| {
        let thread = kernel.current_kthread();
        let mut before = 0;
        for (increment, priority) in [(2, 10), (-3, 5), (9, 15), (16, 15), (-16, 1), (0, 8)] {
            let was = kernel.ke_set_base_priority_thread(thread, increment)?;
            assert_eq!(was, before);
            assert_eq!(kernel.ke_query_priority_thread(thread)?, priority);
            before = priority - 8;
        }
        assert_eq!(kernel.ke_set_base_priority_thread(8, 1)?, 0, "no thread");
        Ok(())
    });
}

#[test]
fn another_thread_is_told_where_it_may_run() {
    let rig = Rig::new(2);
    rig.bench.on_thread(|kernel| {
        let thread = kernel.current_kthread();
        assert_eq!(kernel.ke_set_affinity_thread(thread, 2)?, 3);
        assert_eq!(kernel.processor().id.0, 1);
        assert_eq!(
            kernel.ke_set_affinity_thread(thread, 4)?,
            0,
            "none of these exists"
        );
        assert_eq!(kernel.ke_set_affinity_thread(thread, 1)?, 2);
        assert_eq!(kernel.processor().id.0, 0);
        Ok(())
    });
}
