//! DPC queues.

use dirql_abi::Irql;
use dirql_abi::NtStatus;
use dirql_abi::dpc::{KDpc, KDpcWatchdogInformation};
use dirql_abi::processor::ProcessorNumber;
use dirql_chips::Stimulus;
use dirql_rules::BugCheck;

use super::{others, stops, until};
use crate::hal::testing::Rig;
use crate::io::interrupt::ConnectArguments;
use crate::readings::{Reading, Readings};
use crate::{Config, Ddi, DriverPtr, Kernel, Stop};

type Dpc = DriverPtr<KDpc>;

/// A DPC that writes `name`, its level and processor down.
fn dpc(rig: &Rig, name: &'static str) -> Dpc {
    let log = rig.log.clone();
    make(rig, move |kernel, _| {
        log.add(alloc::format!(
            "{name} at {} on {}",
            kernel.irql().0,
            kernel.processor().id.0
        ));
        Ok(())
    })
}

fn make(rig: &Rig, body: impl Fn(&Kernel, &[u64]) -> Ddi<()> + 'static) -> Dpc {
    let dpc = DriverPtr::new(rig.bench.variable(64));
    let routine = rig
        .bench
        .routine(move |kernel, arguments| body(kernel, arguments).map(|()| 0));
    rig.kernel().ke_initialize_dpc(dpc, routine, 0xC0).unwrap();
    dpc
}

#[test]
fn the_routine_gets_object_context_and_arguments_at_dispatch_level() {
    let rig = Rig::new(1);
    let log = rig.log.clone();
    let object = make(&rig, move |kernel, arguments| {
        log.add(alloc::format!(
            "{:x?} at {}",
            &arguments[1..],
            kernel.irql().0
        ));
        assert_eq!(kernel.ke_is_executing_dpc()?, 1);
        Ok(())
    });
    let log = rig.log.clone();
    rig.bench.on_thread(move |kernel| {
        assert_eq!(kernel.ke_is_executing_dpc()?, 0);
        assert_eq!(kernel.ke_insert_queue_dpc(object, 0xA1, 0xA2)?, 1);
        log.add("queued");
        kernel.yield_point()
    });
    assert_eq!(rig.log.take(), ["queued", "[c0, a1, a2] at 2"]);
}

#[test]
fn it_waits_until_the_level_falls_below_dispatch() {
    let rig = Rig::new(1);
    let object = dpc(&rig, "dpc");
    let log = rig.log.clone();
    rig.bench.on_thread(move |kernel| {
        let old = kernel.ke_raise_irql(7)?;
        kernel.ke_insert_queue_dpc(object, 0, 0)?;
        kernel.yield_point()?;
        kernel.ke_lower_irql(2)?;
        kernel.yield_point()?;
        log.add("lower");
        kernel.ke_lower_irql(old)?;
        log.add("after");
        Ok(())
    });
    assert_eq!(rig.log.take(), ["lower", "dpc at 2 on 0", "after"]);
}

#[test]
fn a_second_request_is_merged_and_new_arguments_are_dropped() {
    let rig = Rig::new(1);
    let log = rig.log.clone();
    let object = make(&rig, move |_, arguments| {
        log.add(arguments[2]);
        Ok(())
    });
    rig.bench.on_thread(move |kernel| {
        kernel.ke_raise_irql(2)?;
        assert_eq!(kernel.ke_insert_queue_dpc(object, 1, 0)?, 1);
        assert_eq!(kernel.ke_insert_queue_dpc(object, 1, 0)?, 0);
        kernel.ke_lower_irql(0)
    });
    assert_eq!(
        (rig.log.take(), rig.findings()),
        (alloc::vec!["1".into()], alloc::vec![])
    );
    rig.bench.on_thread(move |kernel| {
        kernel.ke_raise_irql(2)?;
        kernel.ke_insert_queue_dpc(object, 1, 0)?;
        assert_eq!(kernel.ke_insert_queue_dpc(object, 2, 0)?, 0);
        kernel.ke_lower_irql(0)
    });
    assert_eq!(
        (rig.log.take(), rig.findings()),
        (alloc::vec!["1".into()], alloc::vec![143])
    );
}

#[test]
fn the_object_is_off_the_queue_when_its_routine_starts() {
    let rig = Rig::new(1);
    let log = rig.log.clone();
    let object = make(&rig, move |kernel, arguments| {
        log.add("run");
        let this = DriverPtr::new(arguments[0]);
        assert_eq!(kernel.read(crate::at!(this, KDpc, dpc_data))?, 0);
        if log.len() < 3 {
            assert_eq!(kernel.ke_insert_queue_dpc(this, 0, 0)?, 1);
        }
        Ok(())
    });
    rig.bench
        .on_thread(move |kernel| kernel.ke_insert_queue_dpc(object, 0, 0));
    assert_eq!(rig.log.len(), 3);
}

/// Requeued from the ISR or itself, the same routine may run on two processors at once.
#[test]
fn one_dpc_can_run_on_two_processors_at_once() {
    let rig = Rig::new(2);
    let log = rig.log.clone();
    let object = make(&rig, move |kernel, _| {
        log.add(alloc::format!("in on {}", kernel.processor().id.0));
        until(kernel, || log.len() >= 2)?;
        log.add("out");
        Ok(())
    });
    for processor in 0..2 {
        let log = rig.log.clone();
        rig.spawn_on(processor, move |kernel| {
            until(kernel, || log.len() == usize::from(processor))?;
            kernel.ke_insert_queue_dpc(object, 0, 0)?;
            kernel.yield_point()
        });
    }
    rig.run();
    let log = rig.log.take();
    assert_eq!(log[..2], ["in on 0", "in on 1"]);
}

#[test]
fn dpcs_run_in_order_of_the_queue_and_high_importance_goes_to_the_front() {
    let rig = Rig::new(1);
    let objects = ["low", "medium", "high", "medium high"].map(|name| dpc(&rig, name));
    rig.bench.on_thread(move |kernel| {
        kernel.ke_raise_irql(2)?;
        for (object, importance) in objects.into_iter().zip([0, 1, 2, 3]) {
            kernel.ke_set_importance_dpc(object, importance)?;
            kernel.ke_insert_queue_dpc(object, 0, 0)?;
        }
        kernel.ke_lower_irql(0)
    });
    let names: alloc::vec::Vec<_> = rig
        .log
        .take()
        .iter()
        .map(|line| alloc::string::String::from(line.split(" at").next().unwrap()))
        .collect();
    assert_eq!(names, ["high", "low", "medium", "medium high"]);
}

#[test]
fn an_importance_that_is_none_changes_nothing() {
    let rig = Rig::new(1);
    let object = dpc(&rig, "dpc");
    rig.kernel().ke_set_importance_dpc(object, 4).unwrap();
    assert_eq!(rig.kernel().read(object).unwrap().importance, 1);
}

/// Queued for another processor that runs something: which importance is run at once.
#[test]
fn importance_decides_whether_another_processor_is_asked() {
    for (importance, at_once) in [(0, false), (1, false), (2, true), (3, true)] {
        let rig = Rig::new(2);
        let object = dpc(&rig, "dpc");
        let log = rig.log.clone();
        // Processor 1 is busy: what is not at once waits until its turn is over or it idles.
        rig.spawn_on(1, move |kernel| {
            log.add("busy");
            until(kernel, || log.len() >= 2)?;
            Ok(())
        });
        let log = rig.log.clone();
        rig.spawn_on(0, move |kernel| {
            until(kernel, || log.len() == 1)?;
            kernel.ke_set_importance_dpc(object, importance)?;
            kernel.ke_set_target_processor_dpc(object, 1)?;
            kernel.ke_insert_queue_dpc(object, 0, 0)?;
            let target = &kernel.processors()[1];
            assert_eq!(
                target.lapic.borrow().deliverable().is_some(),
                at_once,
                "importance {importance}"
            );
            Ok(())
        });
        rig.run();
        assert_eq!(rig.log.take(), ["busy", "dpc at 2 on 1"]);
    }
}

#[test]
fn a_deep_queue_is_run_at_once_whatever_the_importance() {
    let rig = Rig::new(2);
    let objects: alloc::vec::Vec<Dpc> = (0..5).map(|_| dpc(&rig, "dpc")).collect();
    rig.bench.on_thread(move |kernel| {
        kernel.ke_set_system_affinity_thread(1)?;
        let asked = || {
            kernel.processors()[1]
                .lapic
                .borrow()
                .deliverable()
                .is_some()
        };
        for (place, object) in objects.into_iter().enumerate() {
            kernel.ke_set_target_processor_dpc(object, 1)?;
            kernel.ke_set_importance_dpc(object, 0)?;
            assert!(!asked(), "after {place}");
            kernel.ke_insert_queue_dpc(object, 0, 0)?;
        }
        assert!(asked(), "more than four wait");
        Ok(())
    });
    assert_eq!(rig.log.len(), 5);
}

/// Low importance on the same processor: at once while requests are rare.
#[test]
fn low_importance_waits_when_requests_are_frequent() {
    let rig = Rig::new(1);
    let objects: alloc::vec::Vec<Dpc> = (0..4).map(|_| dpc(&rig, "dpc")).collect();
    rig.bench.on_thread(move |kernel| {
        let mut at_once = alloc::vec::Vec::new();
        for object in objects {
            kernel.ke_set_importance_dpc(object, 0)?;
            kernel.ke_insert_queue_dpc(object, 0, 0)?;
            at_once.push(kernel.processor().can_take_interrupt());
            kernel.yield_point()?;
        }
        assert_eq!(at_once, [true, true, true, false]);
        Ok(())
    });
    assert_eq!(
        rig.log.len(),
        4,
        "the last one when the processor became idle"
    );
}

#[test]
fn without_a_target_it_runs_on_the_current_processor() {
    let rig = Rig::new(3);
    for processor in 0..3 {
        let object = dpc(&rig, "dpc");
        rig.spawn_on(processor, move |kernel| {
            kernel.ke_insert_queue_dpc(object, 0, 0)?;
            kernel.yield_point()
        });
    }
    rig.run();
    let mut log = rig.log.take();
    log.sort_unstable();
    assert_eq!(log, ["dpc at 2 on 0", "dpc at 2 on 1", "dpc at 2 on 2"]);
}

/// A number at or above the count of group 0 leaves the target unchanged.
#[test]
fn the_target_is_a_processor_of_group_0_or_one_of_any_group() {
    let rig = Rig::new(66);
    let object = dpc(&rig, "dpc");
    let number = DriverPtr::<ProcessorNumber>::new(rig.bench.variable(4));
    let set = |group, processor, reserved| {
        let value = ProcessorNumber {
            group,
            number: processor,
            reserved,
        };
        rig.kernel().write(number, value).unwrap();
        rig.kernel()
            .ke_set_target_processor_dpc_ex(object, number)
            .unwrap()
    };
    let run = || {
        rig.bench
            .on_thread(move |kernel| kernel.ke_insert_queue_dpc(object, 0, 0));
        rig.log.take()
    };
    rig.kernel()
        .ke_set_target_processor_dpc(object, 63)
        .unwrap();
    assert_eq!(run(), ["dpc at 2 on 63"]);
    rig.kernel()
        .ke_set_target_processor_dpc(object, 64)
        .unwrap();
    assert_eq!(run(), ["dpc at 2 on 63"], "unchanged");
    assert_eq!(set(1, 1, 0), NtStatus::SUCCESS);
    assert_eq!(run(), ["dpc at 2 on 65"]);
    for (group, processor, reserved) in [
        (1, 2, 0),
        (2, 0, 0),
        (0, 64, 0),
        (0, 0, 1),
        (u16::MAX, 0, 0),
    ] {
        assert_eq!(
            set(group, processor, reserved),
            NtStatus::INVALID_PARAMETER,
            "{group} {processor}"
        );
    }
    assert_eq!(run(), ["dpc at 2 on 65"], "unchanged");
}

#[test]
fn changing_a_queued_dpc_is_told() {
    let rig = Rig::new(2);
    let object = dpc(&rig, "dpc");
    rig.bench.on_thread(move |kernel| {
        kernel.ke_raise_irql(2)?;
        kernel.ke_insert_queue_dpc(object, 0, 0)?;
        kernel.ke_set_importance_dpc(object, 2)?;
        kernel.ke_set_target_processor_dpc(object, 1)?;
        kernel.ke_lower_irql(0)
    });
    assert_eq!(rig.findings(), [144, 144]);
    assert_eq!(rig.log.len(), 1);
}

#[test]
fn removing_says_whether_it_was_queued() {
    let rig = Rig::new(1);
    let object = dpc(&rig, "dpc");
    rig.bench.on_thread(move |kernel| {
        assert_eq!(kernel.ke_remove_queue_dpc(object)?, 0);
        kernel.ke_raise_irql(2)?;
        kernel.ke_insert_queue_dpc(object, 0, 0)?;
        assert_ne!(kernel.read(object)?.dpc_data, 0);
        assert_eq!(kernel.ke_remove_queue_dpc(object)?, 1);
        assert_eq!(kernel.read(object)?.dpc_data, 0);
        assert_eq!(kernel.ke_remove_queue_dpc(object)?, 0);
        kernel.ke_lower_irql(0)
    });
    assert_eq!(rig.log.len(), 0);
}

#[test]
fn what_was_not_initialised_is_not_queued() {
    let rig = Rig::new(1);
    let object = DriverPtr::<KDpc>::new(rig.bench.variable(64));
    let stop = stops(&rig, move |kernel| {
        kernel.ke_insert_queue_dpc(object, 0, 0).map(|_| ())
    });
    assert_eq!((stop, rig.findings()), (Stop::Ended, alloc::vec![142]));
}

#[test]
fn initialising_a_queued_dpc_is_told_and_takes_it_off() {
    let rig = Rig::new(1);
    let object = dpc(&rig, "dpc");
    rig.bench.on_thread(move |kernel| {
        kernel.ke_raise_irql(2)?;
        kernel.ke_insert_queue_dpc(object, 0, 0)?;
        kernel.ke_initialize_dpc(object, 0x1000, 0)?;
        kernel.ke_lower_irql(0)
    });
    assert_eq!((rig.log.len(), rig.findings()), (0, alloc::vec![140]));
}

#[test]
fn a_dpc_routine_that_returns_at_another_level_stops_the_system() {
    for level in [0, 5] {
        let rig = Rig::new(1);
        let object = make(&rig, move |kernel, _| {
            kernel.set_irql(Irql(level));
            Ok(())
        });
        let stop = stops(&rig, move |kernel| {
            kernel.ke_insert_queue_dpc(object, 0, 0)?;
            kernel.yield_point()
        });
        let routine = rig.kernel().read(object).unwrap().deferred_routine;
        let parameters = [
            u64::from(level) << 16 | 2 << 8 | 2,
            routine,
            object.address(),
            0,
        ];
        assert_eq!(stop, BugCheck::new(0xC8, parameters).into());
        assert_eq!(rig.findings(), [121]);
    }
}

#[test]
fn flushing_waits_for_dpcs_of_every_processor() {
    let rig = Rig::new(3);
    let objects: alloc::vec::Vec<Dpc> = (0..3)
        .map(|processor| {
            let log = rig.log.clone();
            let object = make(&rig, move |kernel, _| {
                for _ in 0..5 {
                    others(kernel)?;
                }
                log.add("dpc");
                Ok(())
            });
            rig.kernel()
                .ke_set_target_processor_dpc(object, processor)
                .unwrap();
            // Nobody asks the other processors to run them.
            rig.kernel().ke_set_importance_dpc(object, 0).unwrap();
            object
        })
        .collect();
    let log = rig.log.clone();
    rig.bench.on_thread(move |kernel| {
        for object in objects {
            kernel.ke_insert_queue_dpc(object, 0, 0)?;
        }
        kernel.ke_flush_queued_dpcs()?;
        log.add("flushed");
        Ok(())
    });
    assert_eq!(rig.log.take(), ["dpc", "dpc", "dpc", "flushed"]);
}

/// Only those queued before the call: a DPC that always queues itself again does not hold it up.
#[test]
fn flushing_does_not_wait_for_what_is_queued_later() {
    let rig = Rig::new(2);
    let log = rig.log.clone();
    let object = make(&rig, move |kernel, arguments| {
        others(kernel)?;
        if log.len() == 0 {
            kernel.ke_insert_queue_dpc(DriverPtr::new(arguments[0]), 0, 0)?;
        }
        Ok(())
    });
    rig.kernel().ke_set_target_processor_dpc(object, 1).unwrap();
    let log = rig.log.clone();
    rig.bench.on_thread(move |kernel| {
        kernel.ke_set_system_affinity_thread(1)?;
        kernel.ke_insert_queue_dpc(object, 0, 0)?;
        kernel.ke_flush_queued_dpcs()?;
        log.add("flushed");
        Ok(())
    });
    assert_eq!(rig.log.len(), 1);
}

#[test]
fn flushing_in_a_dpc_is_found() {
    let rig = Rig::new(1);
    let object = make(&rig, |kernel, _| kernel.ke_flush_queued_dpcs());
    rig.bench
        .try_on_thread(move |kernel| kernel.ke_insert_queue_dpc(object, 0, 0));
    assert_eq!(rig.findings(), [111]);
}

#[test]
fn a_dpc_whose_memory_is_gone_is_found() {
    use crate::mm::layout::{PAGE, USER};
    use crate::{Access, Platform};

    let rig = Rig::new(1);
    let page = USER.start..USER.start + PAGE;
    rig.bench.platform.protect(page.clone(), Access::ReadWrite);
    let object = DriverPtr::<KDpc>::new(page.start);
    let platform = rig.bench.platform.clone();
    let stop = stops(&rig, move |kernel| {
        kernel.ke_initialize_dpc(object, 0x1000, 0)?;
        kernel.ke_raise_irql(2)?;
        kernel.ke_insert_queue_dpc(object, 0, 0)?;
        platform.protect(page, Access::None);
        kernel.ke_lower_irql(0)
    });
    assert_eq!((stop, rig.findings()), (Stop::Ended, alloc::vec![140]));
}

#[test]
fn a_dpc_without_a_routine_is_a_jump_to_nothing() {
    let rig = Rig::new(1);
    let object = DriverPtr::<KDpc>::new(rig.bench.variable(64));
    let stop = stops(&rig, move |kernel| {
        kernel.ke_initialize_dpc(object, 0, 0)?;
        kernel.ke_insert_queue_dpc(object, 0, 0)?;
        kernel.yield_point()
    });
    assert_eq!(stop, BugCheck::new(0xD1, [0, 2, 8, 0]).into());
}

#[test]
fn the_watchdog_is_asked_in_a_dpc_or_at_dispatch_level() {
    let rig = Rig::new(1);
    let at = DriverPtr::<KDpcWatchdogInformation>::new(rig.bench.variable(20));
    let object = make(&rig, move |kernel, _| {
        // A tick and a half of 15.625 ms.
        kernel.ke_stall_execution_processor(23_437)?;
        assert_eq!(
            kernel.ke_query_dpc_watchdog_information(at)?,
            NtStatus::SUCCESS
        );
        let information = kernel.read(at)?;
        assert_eq!(
            (information.dpc_time_limit, information.dpc_time_count),
            (0x500, 0x4FF)
        );
        assert_eq!(
            (
                information.dpc_watchdog_limit,
                information.dpc_watchdog_count
            ),
            (0x1E00, 0x1DFF)
        );
        Ok(())
    });
    rig.bench.on_thread(move |kernel| {
        assert_eq!(
            kernel.ke_query_dpc_watchdog_information(at)?,
            NtStatus::UNSUCCESSFUL
        );
        kernel.ke_raise_irql(2)?;
        assert_eq!(
            kernel.ke_query_dpc_watchdog_information(at)?,
            NtStatus::SUCCESS
        );
        kernel.ke_insert_queue_dpc(object, 0, 0)?;
        kernel.ke_lower_irql(0)
    });
    // Only that so long a wait in a DPC is not a good idea.
    assert_eq!(rig.findings(), [607]);
}

#[test]
fn a_dpc_of_more_than_20_seconds_stops_the_system() {
    for (seconds, stops) in [(20, false), (21, true)] {
        let rig = Rig::new(1);
        let object = make(&rig, move |kernel, _| {
            kernel.ke_stall_execution_processor(seconds * 1_000_000)
        });
        rig.bench.try_on_thread(move |kernel| {
            kernel.ke_insert_queue_dpc(object, 0, 0)?;
            kernel.yield_point()
        });
        assert_eq!(rig.findings().contains(&3), stops, "{seconds}");
        if stops {
            assert_eq!(rig.bug_check(), Some((0x133, [0, 1344, 0x500, 0])));
        }
    }
}

#[test]
fn dpcs_of_two_minutes_in_a_row_stop_the_system() {
    let rig = Rig::new(1);
    let object = make(&rig, |kernel, arguments| {
        kernel.ke_insert_queue_dpc(DriverPtr::new(arguments[0]), 0, 0)?;
        kernel.ke_stall_execution_processor(19_000_000)
    });
    rig.bench.try_on_thread(move |kernel| {
        kernel.ke_insert_queue_dpc(object, 0, 0)?;
        kernel.yield_point()
    });
    assert_eq!(rig.bug_check(), Some((0x133, [1, 0x1E00, 0, 0])));
}

/// Requested as anything but the last act of the ISR, it may find what the ISR has not written yet.
#[test]
fn a_dpc_can_start_on_another_processor_before_the_isr_returns() {
    let rig = Rig::new(2);
    let device = rig.line("a", 5);
    let object = dpc(&rig, "dpc");
    rig.kernel().ke_set_target_processor_dpc(object, 1).unwrap();
    rig.kernel().ke_set_importance_dpc(object, 2).unwrap();
    let (log, id) = (rig.log.clone(), device.device);
    let isr = rig.bench.routine(move |kernel, _| {
        kernel.stimulate(id, &Stimulus::Release);
        kernel.ke_insert_queue_dpc(object, 0, 0)?;
        until(kernel, || log.len() > 0)?;
        log.add("the ISR returns");
        Ok(1)
    });
    let arguments = ConnectArguments {
        processor_enable_mask: 0b01,
        ..device.arguments(isr)
    };
    rig.connect(arguments);
    rig.press(&device);
    rig.run();
    assert_eq!(rig.log.take(), ["dpc at 2 on 1", "the ISR returns"]);
}

/// As "Using Spin Locks: An Example" has it. A DPC that has a target goes there.
#[test]
fn by_the_other_reading_it_runs_on_the_first_that_is_free() {
    let rig = Rig::with(Config {
        processors: 3,
        readings: Readings::default().with(Reading::DpcToFirstFree),
        ..Config::default()
    });
    let (free, bound) = (dpc(&rig, "free"), dpc(&rig, "bound"));
    rig.kernel().ke_set_target_processor_dpc(bound, 2).unwrap();
    rig.kernel().ke_set_importance_dpc(bound, 2).unwrap();
    rig.spawn_on(0, move |kernel| {
        for object in [free, bound] {
            let old = kernel.ke_raise_irql(2)?;
            kernel.ke_insert_queue_dpc(object, 0, 0)?;
            for _ in 0..8 {
                others(kernel)?;
            }
            kernel.ke_lower_irql(old)?;
        }
        Ok(())
    });
    rig.run();
    assert_eq!(rig.log.take(), ["free at 2 on 1", "bound at 2 on 2"]);
}
