//! Spin locks: who waits for whom, and what is found instead of waited for.

use dirql_abi::Irql;
use dirql_abi::dispatcher::KLockQueueHandle;
use dirql_rules::ids;

use super::{others, stops, until};
use crate::hal::testing::Rig;
use crate::{Ddi, DriverPtr, Kernel, Outcome, Stop};

#[test]
fn acquiring_raises_to_dispatch_and_releasing_restores() {
    let rig = Rig::new(1);
    let lock = rig.bench.variable(8);
    rig.bench.on_thread(move |kernel| {
        kernel.ke_initialize_spin_lock(lock)?;
        assert_eq!(kernel.ke_test_spin_lock(lock)?, 1);
        let old = kernel.ke_acquire_spin_lock_raise_to_dpc(lock)?;
        assert_eq!((old, kernel.irql()), (0, Irql::DISPATCH));
        assert_eq!(
            kernel.read(DriverPtr::<u64>::new(lock))?,
            1,
            "bit 0 is set while it is held"
        );
        assert_eq!(kernel.ke_test_spin_lock(lock)?, 0);
        assert_eq!(kernel.ke_try_to_acquire_spin_lock_at_dpc_level(lock)?, 0);
        kernel.ke_release_spin_lock(lock, old)?;
        assert_eq!(kernel.irql(), Irql::PASSIVE);
        assert_eq!(kernel.read(DriverPtr::<u64>::new(lock))?, 0);
        Ok(())
    });
    assert_eq!(rig.findings(), []);
}

#[test]
fn to_synch_level_is_12() {
    let rig = Rig::new(1);
    let lock = rig.bench.variable(8);
    rig.bench.on_thread(move |kernel| {
        let old = kernel.ke_acquire_spin_lock_raise_to_synch(lock)?;
        assert_eq!((old, kernel.irql()), (0, Irql::SYNCH));
        release(kernel, lock, old)
    });
    assert_eq!(rig.findings(), []);
}

/// As a driver releases a lock, its level rule included.
fn release(kernel: &Kernel, lock: u64, old: u8) -> Ddi<()> {
    let rule = dirql_rules::entry_irql("KeReleaseSpinLock");
    let body = |kernel: &Kernel| kernel.ke_release_spin_lock(lock, old).map(|()| 0_u64);
    kernel.ddi("KeReleaseSpinLock", rule, body).map(|_| ())
}

#[test]
fn a_lock_is_released_at_the_level_at_which_it_was_taken() {
    let rig = Rig::new(1);
    let lock = rig.bench.variable(8);
    rig.bench.on_thread(move |kernel| {
        let old = kernel.ke_acquire_spin_lock_raise_to_dpc(lock)?;
        kernel.ke_raise_irql(Irql::SYNCH.0)?;
        release(kernel, lock, old)?;
        let old = kernel.ke_acquire_spin_lock_raise_to_synch(lock)?;
        kernel.ke_lower_irql(Irql::DISPATCH.0)?;
        release(kernel, lock, old)
    });
    assert_eq!(
        rig.findings(),
        [ids::ENTRY_LEVEL.0, ids::ENTRY_LEVEL.0],
        "above the level, and below it"
    );
}

#[test]
fn the_at_dpc_level_routines_leave_the_level_alone() {
    let rig = Rig::new(1);
    let lock = rig.bench.variable(8);
    rig.bench.on_thread(move |kernel| {
        let old = kernel.ke_raise_irql_to_dpc_level()?;
        kernel.ke_acquire_spin_lock_at_dpc_level(lock)?;
        kernel.ke_release_spin_lock_from_dpc_level(lock)?;
        assert_eq!(kernel.ke_try_to_acquire_spin_lock_at_dpc_level(lock)?, 1);
        assert_eq!(kernel.irql(), Irql::DISPATCH);
        kernel.ke_release_spin_lock_from_dpc_level(lock)?;
        kernel.ke_lower_irql(old)
    });
    assert_eq!(rig.findings(), []);
}

#[test]
fn another_processor_waits_until_the_lock_is_free() {
    let rig = Rig::new(2);
    let lock = rig.bench.variable(8);
    for processor in 0..2 {
        let log = rig.log.clone();
        rig.spawn_on(processor, move |kernel| {
            let old = kernel.ke_acquire_spin_lock_raise_to_dpc(lock)?;
            log.add(alloc::format!("{processor} in"));
            for _ in 0..4 {
                others(kernel)?;
            }
            log.add(alloc::format!("{processor} out"));
            kernel.ke_release_spin_lock(lock, old)
        });
    }
    rig.run();
    let log = rig.log.take();
    assert!(
        log == ["0 in", "0 out", "1 in", "1 out"] || log == ["1 in", "1 out", "0 in", "0 out"],
        "{log:?}"
    );
}

#[test]
fn a_processor_that_waits_takes_interrupts_that_its_level_allows() {
    let rig = Rig::new(2);
    let lock = rig.bench.variable(8);
    let device = rig.line("a", 5);
    rig.connect(device.arguments(rig.isr("isr", device.device)));
    let (log, id) = (rig.log.clone(), device.device);
    rig.spawn_on(0, move |kernel| {
        let old = kernel.ke_acquire_spin_lock_raise_to_dpc(lock)?;
        others(kernel)?;
        others(kernel)?;
        let level = kernel.ke_raise_irql(15)?;
        kernel.stimulate(id, &dirql_chips::Stimulus::Press);
        others(kernel)?;
        log.add("free");
        kernel.ke_lower_irql(level)?;
        kernel.ke_release_spin_lock(lock, old)
    });
    let log = rig.log.clone();
    rig.spawn_on(1, move |kernel| {
        let old = kernel.ke_acquire_spin_lock_raise_to_dpc(lock)?;
        log.add("mine");
        kernel.ke_release_spin_lock(lock, old)
    });
    rig.run();
    assert_eq!(
        rig.log.take(),
        [
            alloc::format!("isr at {}", device.grant().irql.0),
            "free".into(),
            "mine".into()
        ]
    );
}

#[test]
fn waiting_for_ones_own_lock_is_found() {
    let rig = Rig::new(2);
    let lock = rig.bench.variable(8);
    let stop = stops(&rig, move |kernel| {
        kernel.ke_acquire_spin_lock_raise_to_dpc(lock)?;
        kernel.ke_acquire_spin_lock_at_dpc_level(lock)
    });
    assert_eq!((stop, rig.findings()), (Stop::Ended, alloc::vec![110]));
    assert!(
        rig.kernel().findings()[0].earlier.is_some(),
        "with the place where it was taken"
    );
}

#[test]
fn two_processors_that_wait_for_each_other_are_found() {
    let rig = Rig::new(2);
    let locks = [rig.bench.variable(8), rig.bench.variable(8)];
    for (processor, [first, second]) in [(0, locks), (1, [locks[1], locks[0]])] {
        rig.spawn_on(processor, move |kernel| {
            kernel.ke_acquire_spin_lock_raise_to_dpc(first)?;
            others(kernel)?;
            kernel.ke_acquire_spin_lock_at_dpc_level(second)
        });
    }
    rig.kernel().run_until_idle();
    assert_eq!(rig.kernel().outcome(), Some(Outcome::Finding));
    assert_eq!(rig.findings(), [111]);
}

/// A heartbeat does not hide a deadlock for ever.
#[test]
fn a_deadlock_is_found_although_a_timer_goes_on() {
    let rig = Rig::new(1);
    let (lock, timer) = (
        rig.bench.variable(8),
        DriverPtr::new(rig.bench.variable(64)),
    );
    rig.kernel().write(DriverPtr::new(lock), 1_u64).unwrap();
    rig.spawn_on(0, move |kernel| {
        kernel.ke_initialize_timer_ex(timer, 0)?;
        kernel.ke_set_timer_ex(timer, -10_000_000, 1000, DriverPtr::NULL)?;
        kernel.ke_acquire_spin_lock_raise_to_dpc(lock).map(|_| ())
    });
    rig.kernel().run_until_idle();
    assert_eq!(rig.findings(), [111]);
}

#[test]
fn a_lock_that_was_never_initialised_is_found_as_such() {
    let rig = Rig::new(1);
    let lock = rig.bench.variable(8);
    rig.kernel()
        .write(DriverPtr::new(lock), 0xCDCD_CDCD_u64)
        .unwrap();
    rig.bench
        .try_on_thread(move |kernel| kernel.ke_acquire_spin_lock_raise_to_dpc(lock));
    let finding = &rig.kernel().findings()[0];
    assert_eq!(finding.rule.0, 111);
    assert!(
        finding.message.contains("initialised"),
        "{}",
        finding.message
    );
}

#[test]
fn releasing_what_nobody_or_another_processor_holds_is_told() {
    let rig = Rig::new(1);
    let lock = rig.bench.variable(8);
    rig.bench.on_thread(move |kernel| {
        let old = kernel.ke_acquire_spin_lock_raise_to_dpc(lock)?;
        kernel.ke_release_spin_lock_from_dpc_level(lock)?;
        kernel.ke_release_spin_lock(lock, old)
    });
    assert_eq!(
        rig.findings(),
        [114, 112],
        "released with the wrong routine, then twice"
    );

    let rig = Rig::new(2);
    let lock = rig.bench.variable(8);
    let log = rig.log.clone();
    rig.spawn_on(0, move |kernel| {
        let old = kernel.ke_acquire_spin_lock_raise_to_dpc(lock)?;
        log.add("taken");
        until(kernel, || log.len() == 2)?;
        kernel.ke_lower_irql(old)
    });
    let log = rig.log.clone();
    rig.spawn_on(1, move |kernel| {
        until(kernel, || log.len() == 1)?;
        let old = kernel.ke_raise_irql_to_dpc_level()?;
        kernel.ke_release_spin_lock_from_dpc_level(lock)?;
        log.add("released");
        kernel.ke_lower_irql(old)
    });
    rig.run();
    assert_eq!(rig.findings(), [112]);
    assert!(rig.kernel().findings()[0].message.contains("processor 0"));
}

#[test]
fn releasing_to_another_level_than_before_is_told() {
    let rig = Rig::new(1);
    let lock = rig.bench.variable(8);
    rig.bench.on_thread(move |kernel| {
        let level = kernel.ke_raise_irql(1)?;
        kernel.ke_acquire_spin_lock_raise_to_dpc(lock)?;
        kernel.ke_release_spin_lock(lock, level)
    });
    assert_eq!(rig.findings(), [114]);
}

/// "Canceling IRPs": a cancel routine that goes on to its own queue's lock need not come down to
/// CancelIrql in between.
#[test]
fn the_level_before_may_be_handed_on_to_the_lock_that_is_released_last() {
    let rig = Rig::new(1);
    let (first, second) = (rig.bench.variable(8), rig.bench.variable(8));
    let old = DriverPtr::<u8>::new(rig.bench.variable(1));
    rig.bench.on_thread(move |kernel| {
        let passive = kernel.ke_acquire_spin_lock_raise_to_dpc(first)?;
        let dispatch = kernel.ke_acquire_spin_lock_raise_to_dpc(second)?;
        kernel.ke_release_spin_lock(first, dispatch)?;
        kernel.ke_release_spin_lock(second, passive)?;

        kernel.io_acquire_cancel_spin_lock(old)?;
        kernel.io_release_cancel_spin_lock(2)?;
        kernel.ke_acquire_spin_lock_raise_to_dpc(first)?;
        kernel.ke_release_spin_lock(first, kernel.read(old)?)
    });
    assert_eq!(rig.findings(), []);
}

#[test]
fn coming_down_while_another_lock_is_held_is_told() {
    let rig = Rig::new(1);
    let (first, second) = (rig.bench.variable(8), rig.bench.variable(8));
    rig.bench.on_thread(move |kernel| {
        let passive = kernel.ke_acquire_spin_lock_raise_to_dpc(first)?;
        kernel.ke_acquire_spin_lock_raise_to_dpc(second)?;
        kernel.ke_release_spin_lock(second, passive)
    });
    assert_eq!(rig.findings()[0], 114);
}

#[test]
fn a_level_that_was_not_handed_on_is_told() {
    let rig = Rig::new(1);
    let lock = rig.bench.variable(8);
    rig.bench.on_thread(move |kernel| {
        kernel.ke_raise_irql(2)?;
        kernel.ke_acquire_spin_lock_raise_to_dpc(lock)?;
        kernel.ke_release_spin_lock(lock, 0)
    });
    assert_eq!(rig.findings(), [114]);
}

#[test]
fn the_queued_routines_keep_the_level_in_the_handle() {
    let rig = Rig::new(1);
    let lock = rig.bench.variable(8);
    let handle = DriverPtr::<KLockQueueHandle>::new(rig.bench.variable(24));
    rig.bench.on_thread(move |kernel| {
        kernel.ke_raise_irql(1)?;
        kernel.ke_acquire_in_stack_queued_spin_lock(lock, handle)?;
        let image = kernel.read(handle)?;
        // Bit 1 says that the handle owns the lock.
        assert_eq!(
            (image.lock_queue.lock, image.old_irql),
            (lock | 2, Irql::APC)
        );
        assert_eq!(kernel.irql(), Irql::DISPATCH);
        kernel.ke_release_in_stack_queued_spin_lock(handle)?;
        assert_eq!(kernel.irql(), Irql::APC);
        kernel.ke_raise_irql(2)?;
        kernel.ke_acquire_in_stack_queued_spin_lock_at_dpc_level(lock, handle)?;
        kernel.ke_release_in_stack_queued_spin_lock_from_dpc_level(handle)?;
        kernel.ke_acquire_in_stack_queued_spin_lock_raise_to_synch(lock, handle)?;
        assert_eq!(kernel.irql(), Irql::SYNCH);
        kernel.ke_release_in_stack_queued_spin_lock(handle)?;
        kernel.ke_lower_irql(0)
    });
    assert_eq!(rig.findings(), []);
}

/// In-stack queued: first come, first served.
#[test]
fn queued_locks_are_given_in_the_order_of_asking() {
    let rig = Rig::new(4);
    let lock = rig.bench.variable(8);
    let order = [2, 0, 3, 1];
    for processor in 0..4_u16 {
        let log = rig.log.clone();
        let handle = DriverPtr::<KLockQueueHandle>::new(rig.bench.variable(24));
        let place = order.iter().position(|other| *other == processor).unwrap();
        rig.spawn_on(processor, move |kernel| {
            until(kernel, || log.len() == place)?;
            kernel.raise_irql(Irql::DISPATCH);
            log.add(processor);
            kernel.ke_acquire_in_stack_queued_spin_lock_at_dpc_level(lock, handle)?;
            until(kernel, || log.len() >= 4)?;
            for _ in 0..3 {
                others(kernel)?;
            }
            log.add(processor);
            kernel.ke_release_in_stack_queued_spin_lock_from_dpc_level(handle)?;
            kernel.lower_irql(Irql::PASSIVE)
        });
    }
    rig.run();
    assert_eq!(rig.log.take(), ["2", "0", "3", "1", "2", "0", "3", "1"]);
}

#[test]
fn queued_and_ordinary_routines_on_one_lock_are_told() {
    let rig = Rig::new(1);
    let lock = rig.bench.variable(8);
    let handle = DriverPtr::<KLockQueueHandle>::new(rig.bench.variable(24));
    rig.bench.on_thread(move |kernel| {
        kernel.ke_acquire_in_stack_queued_spin_lock(lock, handle)?;
        kernel.ke_release_spin_lock(lock, 0)
    });
    assert_eq!(rig.findings(), [113]);
}

#[test]
fn the_systems_locks_go_by_number() {
    let rig = Rig::new(1);
    let level = DriverPtr::<u8>::new(rig.bench.variable(1));
    rig.bench.on_thread(move |kernel| {
        let old = kernel.ke_acquire_queued_spin_lock(7)?;
        assert_eq!((old, kernel.irql()), (0, Irql::DISPATCH));
        kernel.write(level, 0xEE)?;
        assert_eq!(kernel.ke_try_to_acquire_queued_spin_lock(7, level)?, 0);
        assert_eq!(kernel.read(level)?, 0xEE, "nothing is stored");
        assert_eq!(
            kernel.ke_try_to_acquire_queued_spin_lock_raise_to_synch(16, level)?,
            1
        );
        assert_eq!((kernel.read(level)?, kernel.irql()), (2, Irql::SYNCH));
        kernel.ke_release_queued_spin_lock(16, 2)?;
        kernel.ke_release_queued_spin_lock(7, old)?;
        // Number 7 is the cancel lock.
        kernel.io_acquire_cancel_spin_lock(level)?;
        assert_eq!(kernel.ke_try_to_acquire_queued_spin_lock(7, level)?, 0);
        assert_eq!(kernel.irql(), Irql::DISPATCH);
        kernel.io_release_cancel_spin_lock(0)?;
        assert_eq!(kernel.irql(), Irql::PASSIVE);
        Ok(())
    });
    assert_eq!(rig.findings(), []);
    rig.bench
        .try_on_thread(|kernel| kernel.ke_acquire_queued_spin_lock(17));
    assert_eq!(rig.findings(), [115]);
}

/// A lock is the processor's business, not the word's alone: memory that is not there faults.
#[test]
fn a_lock_that_is_no_memory_faults() {
    let rig = Rig::new(1);
    let stop = stops(&rig, |kernel| {
        kernel.ke_acquire_spin_lock_raise_to_dpc(0x10).map(|_| ())
    });
    assert!(matches!(stop, Stop::BadAddress(bad) if bad.address == 0x10));
}

#[test]
fn trying_and_testing_never_wait() {
    let rig = Rig::new(2);
    let lock = rig.bench.variable(8);
    let (log, tried) = (rig.log.clone(), rig.log.clone());
    rig.spawn_on(0, move |kernel| {
        let old = kernel.ke_acquire_spin_lock_raise_to_dpc(lock)?;
        log.add("held");
        until(kernel, || log.len() > 1)?;
        kernel.ke_release_spin_lock(lock, old)?;
        log.add("free");
        Ok(())
    });
    rig.spawn_on(1, move |kernel| {
        until(kernel, || tried.len() > 0)?;
        let old = kernel.ke_raise_irql_to_dpc_level()?;
        assert_eq!(kernel.ke_try_to_acquire_spin_lock_at_dpc_level(lock)?, 0);
        assert_eq!(kernel.ke_test_spin_lock(lock)?, 0);
        tried.add("tried");
        until(kernel, || tried.len() > 2)?;
        assert_eq!(kernel.ke_test_spin_lock(lock)?, 1);
        assert_eq!(kernel.ke_test_spin_lock(lock)?, 1, "it takes nothing");
        assert_eq!(kernel.irql(), Irql::DISPATCH);
        assert_eq!(kernel.ke_try_to_acquire_spin_lock_at_dpc_level(lock)?, 1);
        kernel.ke_release_spin_lock_from_dpc_level(lock)?;
        kernel.ke_lower_irql(old)
    });
    rig.run();
    assert_eq!(rig.findings(), []);
}
