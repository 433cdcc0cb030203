//! Waiting for dispatcher objects.

use dirql_abi::dispatcher::{KEvent, KMutant, KSemaphore, KTimer};
use dirql_abi::{Irql, NtStatus};
use dirql_rules::BugCheck;

use super::{stops, until};
use crate::hal::testing::{Log, Rig};
use crate::ke::WaitMode;
use crate::{Ddi, DriverPtr, Kernel, Stop};

const NOTIFICATION: u32 = 0;
const SYNCHRONIZATION: u32 = 1;

fn event(rig: &Rig, kind: u32, state: u8) -> DriverPtr<KEvent> {
    let event = DriverPtr::new(rig.bench.variable(24));
    rig.kernel()
        .ke_initialize_event(event, kind, state)
        .unwrap();
    event
}

/// A driver's timeout, in memory.
fn timeout(rig: &Rig, value: i64) -> DriverPtr<i64> {
    let at = DriverPtr::new(rig.bench.variable(8));
    rig.kernel().write(at, value).unwrap();
    at
}

fn wait<T>(kernel: &Kernel, object: DriverPtr<T>, timeout: DriverPtr<i64>) -> Ddi<NtStatus> {
    kernel.ke_wait_for_single_object(object.address(), 0, 0, 0, timeout)
}

/// A thread that waits for an object and writes its name down.
fn waiter<T: 'static>(rig: &Rig, name: &'static str, object: DriverPtr<T>) {
    let log: Log = rig.log.clone();
    let body = move |kernel: &Kernel| {
        let status = wait(kernel, object, DriverPtr::NULL)?;
        log.add(alloc::format!("{name} {:#x}", status.0));
        Ok(())
    };
    rig.kernel().spawn_thread(
        "waiter",
        8,
        crate::ke::ThreadBody::Native(alloc::boxed::Box::new(body)),
    );
}

#[test]
fn a_notification_event_lets_everybody_go_and_a_synchronization_event_one() {
    for (kind, first) in [(NOTIFICATION, 3), (SYNCHRONIZATION, 1)] {
        let rig = Rig::new(2);
        let object = event(&rig, kind, 0);
        for name in ["a", "b", "c"] {
            waiter(&rig, name, object);
        }
        rig.run();
        assert_eq!(rig.log.len(), 0);
        assert_eq!(rig.kernel().threads_still_waiting().len(), 3);
        assert_eq!(
            rig.bench
                .on_thread(move |kernel| kernel.ke_set_event(object, 0, 0)),
            0
        );
        assert_eq!(rig.log.len(), first);
        let state = rig.kernel().ke_read_state_event(object).unwrap();
        assert_eq!(state, i32::from(kind == NOTIFICATION));
    }
}

#[test]
fn waiters_are_served_first_come_first_served() {
    let rig = Rig::new(1);
    let object = event(&rig, SYNCHRONIZATION, 0);
    for name in ["a", "b", "c"] {
        waiter(&rig, name, object);
        rig.run();
    }
    for _ in 0..3 {
        rig.bench
            .on_thread(move |kernel| kernel.ke_set_event(object, 0, 0));
    }
    assert_eq!(rig.log.take(), ["a 0x0", "b 0x0", "c 0x0"]);
}

#[test]
fn the_event_routines_return_the_state_before() {
    let rig = Rig::new(1);
    let object = event(&rig, NOTIFICATION, 0);
    rig.bench.on_thread(move |kernel| {
        assert_eq!(kernel.ke_set_event(object, 0, 0)?, 0);
        assert_eq!(kernel.ke_set_event(object, 0, 0)?, 1);
        assert_eq!(kernel.ke_reset_event(object)?, 1);
        assert_eq!(kernel.ke_reset_event(object)?, 0);
        assert_eq!(kernel.ke_pulse_event(object, 0, 0)?, 0);
        assert_eq!(kernel.ke_read_state_event(object)?, 0);
        kernel.ke_set_event(object, 0, 0)?;
        kernel.ke_clear_event(object)?;
        assert_eq!(kernel.ke_read_state_event(object)?, 0);
        Ok(())
    });
}

#[test]
fn a_pulse_is_for_those_who_wait_now() {
    let rig = Rig::new(1);
    let object = event(&rig, NOTIFICATION, 0);
    waiter(&rig, "before", object);
    rig.run();
    rig.bench
        .on_thread(move |kernel| kernel.ke_pulse_event(object, 0, 0));
    waiter(&rig, "after", object);
    rig.run();
    assert_eq!(rig.log.take(), ["before 0x0"]);
}

#[test]
fn a_timeout_ends_the_wait_at_its_time() {
    let rig = Rig::new(1);
    let object = event(&rig, NOTIFICATION, 0);
    let relative = timeout(&rig, -1_000_000);
    rig.bench.on_thread(move |kernel| {
        let before = kernel.time_100ns();
        assert_eq!(wait(kernel, object, relative)?, NtStatus::TIMEOUT);
        assert_eq!(kernel.time_100ns() - before, 1_000_000);
        Ok(())
    });
    // Absolute: system time since 1601.
    let absolute = timeout(&rig, crate::ke::clock::START_SYSTEM_TIME as i64 + 5_000_000);
    rig.bench.on_thread(move |kernel| {
        assert_eq!(wait(kernel, object, absolute)?, NtStatus::TIMEOUT);
        assert_eq!(kernel.time_100ns(), 5_000_000);
        // A time that has passed.
        assert_eq!(wait(kernel, object, absolute)?, NtStatus::TIMEOUT);
        assert_eq!(kernel.time_100ns(), 5_000_000);
        Ok(())
    });
}

#[test]
fn a_wait_that_is_over_in_time_forgets_its_timeout() {
    let rig = Rig::new(2);
    let object = event(&rig, SYNCHRONIZATION, 0);
    let long = timeout(&rig, -50_000_000);
    let log = rig.log.clone();
    rig.spawn_on(0, move |kernel| {
        log.add("waits");
        assert_eq!(wait(kernel, object, long)?, NtStatus::SUCCESS);
        Ok(())
    });
    let log = rig.log.clone();
    rig.spawn_on(1, move |kernel| {
        until(kernel, || log.len() == 1)?;
        kernel.ke_set_event(object, 0, 0).map(|_| ())
    });
    rig.run();
    assert!(rig.kernel().time_100ns() < 50_000_000);
}

#[test]
fn at_dispatch_level_only_a_zero_timeout_is_allowed() {
    let rig = Rig::new(1);
    let (object, zero) = (event(&rig, NOTIFICATION, 0), timeout(&rig, 0));
    rig.bench.on_thread(move |kernel| {
        kernel.ke_raise_irql(2)?;
        assert_eq!(wait(kernel, object, zero)?, NtStatus::TIMEOUT);
        kernel.ke_set_event(object, 0, 0)?;
        assert_eq!(wait(kernel, object, zero)?, NtStatus::SUCCESS);
        kernel.ke_lower_irql(0)
    });
    assert_eq!(rig.findings(), []);
    let some = timeout(&rig, -1);
    for (level, timeout, kind) in [
        (2, DriverPtr::NULL, 0x121),
        (2, some, 0x122),
        (3, zero, 0x120),
        (5, DriverPtr::NULL, 0x120),
    ] {
        let rig2 = Rig::new(1);
        let object = event(&rig2, NOTIFICATION, 1);
        let timeout = if timeout.is_null() {
            timeout
        } else {
            self::timeout(&rig2, rig.kernel().read(timeout).unwrap())
        };
        let stop = stops(&rig2, move |kernel| {
            kernel.ke_raise_irql(level)?;
            wait(kernel, object, timeout).map(|_| ())
        });
        assert_eq!(
            stop,
            BugCheck::new(0xC4, [kind, level.into(), object.address(), 0]).into()
        );
        assert_eq!(rig2.findings(), [160]);
    }
}

#[test]
fn set_event_with_wait_true_is_for_apc_level_and_below() {
    let rig = Rig::new(1);
    let object = event(&rig, NOTIFICATION, 0);
    rig.bench.on_thread(move |kernel| {
        kernel.ke_raise_irql(1)?;
        kernel.ke_set_event(object, 0, 1)?;
        kernel.ke_raise_irql(2)?;
        kernel.ke_set_event(object, 0, 0)?;
        Ok(())
    });
    assert_eq!(rig.findings(), []);
    rig.bench.on_thread(move |kernel| {
        kernel.ke_raise_irql(2)?;
        kernel.ke_set_event(object, 0, 1)
    });
    assert_eq!(rig.findings(), [100]);
}

#[test]
fn waiting_for_any_says_which_and_waiting_for_all_takes_none_before_all() {
    let rig = Rig::new(1);
    let (a, b) = (
        event(&rig, SYNCHRONIZATION, 0),
        event(&rig, SYNCHRONIZATION, 1),
    );
    let array = rig.bench.variable(16);
    rig.kernel()
        .write(DriverPtr::new(array), [a.address(), b.address()])
        .unwrap();
    let zero = timeout(&rig, 0);
    rig.bench.on_thread(move |kernel| {
        let all = |timeout| {
            kernel.ke_wait_for_multiple_objects(2, array, 0, WaitMode::KERNEL, timeout, 0)
        };
        let any = |timeout| {
            kernel.ke_wait_for_multiple_objects(2, array, 1, WaitMode::KERNEL, timeout, 0)
        };
        assert_eq!(all(zero)?, NtStatus::TIMEOUT);
        assert_eq!(kernel.ke_read_state_event(b)?, 1, "nothing was taken");
        assert_eq!(any(zero)?, NtStatus(1));
        assert_eq!(kernel.ke_read_state_event(b)?, 0);
        assert_eq!(any(zero)?, NtStatus::TIMEOUT);
        kernel.ke_set_event(a, 0, 0)?;
        kernel.ke_set_event(b, 0, 0)?;
        assert_eq!(all(DriverPtr::NULL)?, NtStatus::SUCCESS);
        assert_eq!(
            (
                kernel.ke_read_state_event(a)?,
                kernel.ke_read_state_event(b)?
            ),
            (0, 0)
        );
        Ok(())
    });
}

#[test]
fn a_wait_for_all_ends_when_the_last_one_is_signaled() {
    let rig = Rig::new(1);
    let (a, b) = (event(&rig, NOTIFICATION, 0), event(&rig, NOTIFICATION, 0));
    let array = rig.bench.variable(16);
    rig.kernel()
        .write(DriverPtr::new(array), [a.address(), b.address()])
        .unwrap();
    let log = rig.log.clone();
    rig.spawn_on(0, move |kernel| {
        kernel.ke_wait_for_multiple_objects(2, array, 0, WaitMode::KERNEL, DriverPtr::NULL, 0)?;
        log.add("both");
        Ok(())
    });
    rig.run();
    for (object, ended) in [(b, 0), (a, 1)] {
        rig.bench
            .on_thread(move |kernel| kernel.ke_set_event(object, 0, 0));
        assert_eq!(rig.log.len(), ended);
    }
}

#[test]
fn more_than_64_objects_or_more_than_3_without_wait_blocks_stop_the_system() {
    for (count, blocks, stops) in [
        (0, 0, true),
        (3, 0, false),
        (4, 0, true),
        (64, 0x1000, false),
        (65, 0x1000, true),
    ] {
        let rig = Rig::new(1);
        let object = event(&rig, NOTIFICATION, 1);
        let array = rig.bench.variable(8 * 65);
        for index in 0..65 {
            rig.kernel()
                .write(DriverPtr::new(array + 8 * index), object.address())
                .unwrap();
        }
        let answer = rig.bench.try_on_thread(move |kernel| {
            kernel.ke_wait_for_multiple_objects(
                count,
                array,
                0,
                WaitMode::KERNEL,
                DriverPtr::NULL,
                blocks,
            )
        });
        let bug_check = BugCheck::new(0xC, [0; 4]).into();
        assert_eq!(
            answer,
            Some(if stops {
                Err(bug_check)
            } else {
                Ok(NtStatus::SUCCESS)
            }),
            "{count} {blocks}"
        );
    }
}

#[test]
fn what_is_no_dispatcher_object_is_found() {
    let rig = Rig::new(1);
    let object = DriverPtr::<KEvent>::new(rig.bench.variable(24));
    rig.kernel().write(object.cast::<u8>(), 0x77).unwrap();
    let stop = stops(&rig, move |kernel| {
        wait(kernel, object, DriverPtr::NULL).map(|_| ())
    });
    assert_eq!((stop, rig.findings().len()), (Stop::Ended, 1));
}

#[test]
fn a_mutex_is_owned_as_often_as_it_is_taken() {
    let rig = Rig::new(1);
    let mutex = DriverPtr::<KMutant>::new(rig.bench.variable(56));
    let log = rig.log.clone();
    rig.spawn_on(0, move |kernel| {
        kernel.ke_initialize_mutex(mutex)?;
        assert_eq!(kernel.ke_read_state_mutex(mutex)?, 1);
        for _ in 0..3 {
            assert_eq!(wait(kernel, mutex, DriverPtr::NULL)?, NtStatus::SUCCESS);
        }
        assert_eq!(kernel.ke_read_state_mutex(mutex)?, -2);
        assert_eq!(
            kernel.ke_are_apcs_disabled()?,
            1,
            "owning it disables normal kernel APCs"
        );
        assert_eq!(kernel.ke_release_mutex(mutex, 0)?, -2);
        assert_eq!(kernel.ke_release_mutex(mutex, 0)?, -1);
        log.add("still mine");
        assert_eq!(kernel.ke_release_mutex(mutex, 0)?, 0);
        assert_eq!(kernel.ke_are_apcs_disabled()?, 0);
        Ok(())
    });
    rig.run();
    waiter(&rig, "next", mutex);
    rig.kernel().run_until_idle();
    assert_eq!(rig.log.take(), ["still mine", "next 0x0"]);
}

#[test]
fn releasing_a_mutex_of_another_thread_raises() {
    let rig = Rig::new(1);
    let mutex = DriverPtr::<KMutant>::new(rig.bench.variable(56));
    let stop = stops(&rig, move |kernel| {
        kernel.ke_initialize_mutex(mutex)?;
        kernel.ke_release_mutex(mutex, 0).map(|_| ())
    });
    assert_eq!(
        stop,
        Stop::Exception {
            code: NtStatus::MUTANT_NOT_OWNED,
            parameters: [0; 4]
        }
    );
}

#[test]
fn a_thread_that_ends_with_a_mutex_stops_the_system() {
    let rig = Rig::new(1);
    let mutex = DriverPtr::<KMutant>::new(rig.bench.variable(56));
    let routine = rig.bench.routine(move |kernel, _| {
        kernel.ke_initialize_mutex(mutex)?;
        wait(kernel, mutex, DriverPtr::NULL)?;
        Ok(0)
    });
    let body = crate::ke::ThreadBody::Driver {
        routine,
        context: 0,
    };
    let thread = rig.kernel().spawn_thread("driver", 8, body);
    rig.kernel().run_until_idle();
    let kthread = rig.kernel().kthread_of(thread);
    assert_eq!(
        rig.bug_check(),
        Some((0x4000_008A, [kthread, mutex.address(), 0, 0]))
    );
}

#[test]
fn a_mutant_whose_thread_ends_is_abandoned() {
    let rig = Rig::new(1);
    let mutant = DriverPtr::<KMutant>::new(rig.bench.variable(56));
    let routine = rig.bench.routine(move |kernel, _| {
        kernel.ke_initialize_mutant(mutant, 1)?;
        Ok(0)
    });
    rig.kernel().spawn_thread(
        "driver",
        8,
        crate::ke::ThreadBody::Driver {
            routine,
            context: 0,
        },
    );
    rig.run();
    let statuses = rig.bench.on_thread(move |kernel| {
        let first = wait(kernel, mutant, DriverPtr::NULL)?;
        let second = wait(kernel, mutant, DriverPtr::NULL)?;
        kernel.ke_release_mutex(mutant, 0)?;
        kernel.ke_release_mutex(mutant, 0)?;
        Ok((first, second))
    });
    assert_eq!(statuses, (NtStatus::ABANDONED_WAIT_0, NtStatus::SUCCESS));
}

#[test]
fn a_semaphore_counts_up_to_its_limit() {
    let rig = Rig::new(1);
    let semaphore = DriverPtr::<KSemaphore>::new(rig.bench.variable(32));
    rig.kernel()
        .ke_initialize_semaphore(semaphore, 1, 3)
        .unwrap();
    let zero = timeout(&rig, 0);
    rig.bench.on_thread(move |kernel| {
        assert_eq!(wait(kernel, semaphore, zero)?, NtStatus::SUCCESS);
        assert_eq!(wait(kernel, semaphore, zero)?, NtStatus::TIMEOUT);
        assert_eq!(kernel.ke_release_semaphore(semaphore, 0, 3)?, 0);
        assert_eq!(kernel.ke_read_state_semaphore(semaphore)?, 3);
        let exceeded = Stop::Exception {
            code: NtStatus::SEMAPHORE_LIMIT_EXCEEDED,
            parameters: [0; 4],
        };
        assert_eq!(
            kernel.ke_release_semaphore(semaphore, 0, 1),
            Err(exceeded.clone())
        );
        assert_eq!(
            kernel.ke_release_semaphore(semaphore, 0, -1),
            Err(exceeded.clone())
        );
        assert_eq!(
            kernel.ke_release_semaphore(semaphore, 0, i32::MAX),
            Err(exceeded)
        );
        assert_eq!(kernel.ke_read_state_semaphore(semaphore)?, 3);
        Ok(())
    });
}

#[test]
fn releasing_a_semaphore_lets_as_many_go() {
    let rig = Rig::new(1);
    let semaphore = DriverPtr::<KSemaphore>::new(rig.bench.variable(32));
    rig.kernel()
        .ke_initialize_semaphore(semaphore, 0, 5)
        .unwrap();
    for name in ["a", "b", "c"] {
        waiter(&rig, name, semaphore);
        rig.run();
    }
    rig.bench
        .on_thread(move |kernel| kernel.ke_release_semaphore(semaphore, 0, 2));
    assert_eq!(rig.log.take(), ["a 0x0", "b 0x0"]);
}

#[test]
fn a_timer_is_signaled_when_due_and_a_synchronization_timer_for_one() {
    for (kind, left) in [(0, 1), (1, 0)] {
        let rig = Rig::new(1);
        let timer = DriverPtr::<KTimer>::new(rig.bench.variable(64));
        rig.kernel().ke_initialize_timer_ex(timer, kind).unwrap();
        rig.bench.on_thread(move |kernel| {
            assert_eq!(
                kernel.ke_set_timer_ex(timer, -300_000, 0, DriverPtr::NULL)?,
                0
            );
            assert_eq!(
                kernel.ke_set_timer_ex(timer, -400_000, 0, DriverPtr::NULL)?,
                1,
                "it was set"
            );
            assert_eq!(kernel.ke_read_state_timer(timer)?, 0);
            let before = kernel.time_100ns();
            wait(kernel, timer, DriverPtr::NULL)?;
            assert_eq!(kernel.time_100ns() - before, 400_000);
            assert_eq!(kernel.ke_read_state_timer(timer)?, left);
            assert_eq!(kernel.ke_cancel_timer(timer)?, 0, "it has expired");
            Ok(())
        });
    }
}

#[test]
fn a_thread_object_is_signaled_when_the_thread_has_ended() {
    let rig = Rig::new(1);
    let interval = timeout(&rig, -1000);
    let log = rig.log.clone();
    let routine = rig.bench.routine(move |kernel, _| {
        kernel.ke_delay_execution_thread(WaitMode::KERNEL, interval)?;
        log.add("ends");
        Ok(0)
    });
    let log = rig.log.clone();
    rig.bench.on_thread(move |kernel| {
        let thread = kernel.spawn_thread(
            "driver",
            8,
            crate::ke::ThreadBody::Driver {
                routine,
                context: 0,
            },
        );
        kernel.wait_for(kernel.kthread_of(thread), None)?;
        log.add("seen");
        Ok(())
    });
    assert_eq!(rig.log.take(), ["ends", "seen"]);
}

#[test]
fn delays_are_for_below_dispatch_level() {
    let rig = Rig::new(1);
    let interval = timeout(&rig, -10);
    let stop = stops(&rig, move |kernel| {
        kernel.raise_irql(Irql::DISPATCH);
        kernel
            .ke_delay_execution_thread(WaitMode::KERNEL, interval)
            .map(|_| ())
    });
    assert!(matches!(stop, Stop::BugCheck(BugCheck { code: 0xC4, .. })));
}
