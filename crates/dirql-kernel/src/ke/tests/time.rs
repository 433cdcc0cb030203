//! Virtual time.

use dirql_abi::dispatcher::KTimer;
use dirql_abi::dpc::KDpc;
use dirql_chips::Width;

use super::others;
use crate::hal::testing::{Rig, register};
use crate::ke::WaitMode;
use crate::{Config, DriverPtr, Outcome};

#[test]
fn time_that_a_driver_waits_is_none_that_it_polls() {
    let rig = Rig::new(1);
    let interval = DriverPtr::<i64>::new(rig.bench.variable(8));
    rig.bench.on_thread(move |kernel| {
        kernel.write(interval, -120 * 10_000_000_i64)?;
        kernel.ke_delay_execution_thread(WaitMode::KERNEL, interval)?;
        kernel.give_up_turn();
        kernel.ke_stall_execution_processor(1)
    });
    assert_eq!(rig.bench.rules(), []);
    assert_eq!(rig.bench.kernel.outcome(), None);
}

#[test]
fn stalling_takes_its_time_and_what_becomes_due_happens() {
    let rig = Rig::new(1);
    let timer = DriverPtr::<KTimer>::new(rig.bench.variable(64));
    let dpc = DriverPtr::<KDpc>::new(rig.bench.variable(64));
    let log = rig.log.clone();
    let routine = rig.bench.routine(move |_, _| {
        log.add("dpc");
        Ok(0)
    });
    let log = rig.log.clone();
    rig.bench.on_thread(move |kernel| {
        kernel.ke_initialize_dpc(dpc, routine, 0)?;
        kernel.ke_initialize_timer_ex(timer, 0)?;
        kernel.ke_set_timer_ex(timer, -500, 0, dpc)?;
        let before = kernel.time_100ns();
        kernel.ke_stall_execution_processor(49)?;
        log.add("not yet");
        kernel.ke_stall_execution_processor(1)?;
        log.add("after");
        assert_eq!(kernel.time_100ns() - before, 500);
        Ok(())
    });
    assert_eq!(rig.log.take(), ["not yet", "dpc", "after"]);
}

/// Each look at a clock takes time, so that a loop that waits for a time comes to its end.
#[test]
fn polling_any_clock_ends() {
    let rig = Rig::new(1);
    let at = DriverPtr::<u64>::new(rig.bench.variable(8));
    rig.bench.on_thread(move |kernel| {
        let millisecond = 10_000;
        let until = |now: &dyn Fn() -> crate::Ddi<u64>| {
            let start = now()?;
            for _ in 0..2000 {
                if now()? - start >= millisecond {
                    return Ok(());
                }
            }
            panic!("time stands still");
        };
        until(&|| kernel.ke_query_interrupt_time())?;
        until(&|| kernel.ke_query_performance_counter(DriverPtr::NULL))?;
        until(&|| {
            kernel.ke_query_system_time(at)?;
            Ok(kernel.read(at)?)
        })?;
        until(&|| Ok(kernel.time_stamp_counter() / 250))?;
        until(&|| {
            let mut bytes = [0; 8];
            kernel.read_shared_data(8, &mut bytes);
            Ok(u64::from_le_bytes(bytes))
        })
    });
}

/// A way of a loop to look for the time, 100 ns units.
type Look = fn(&crate::Kernel, DriverPtr<u64>) -> crate::Ddi<u64>;

/// Loops that wait for a time, whatever they do meanwhile.
const LOOPS: &[(&str, Look)] = &[
    ("interrupt time", |kernel, _| {
        kernel.ddi("KeQueryInterruptTime", None, |k| {
            k.ke_query_interrupt_time()
        })
    }),
    ("counter", |kernel, at| {
        kernel.ddi("KeQueryPerformanceCounter", None, |k| {
            k.ke_query_performance_counter(at)
        })
    }),
    ("ticks and text", |kernel, at| {
        kernel.ddi("KeQueryTickCount", None, |k| {
            k.ke_query_tick_count(at).map(|()| 0_u64)
        })?;
        let ticks = kernel.read(at)?;
        for _ in 0..3 {
            kernel.ddi("DbgPrint", None, |_| Ok(0_u64))?;
        }
        Ok(ticks * 156_250)
    }),
    ("time and a port", |kernel, at| {
        kernel.ddi("KeQuerySystemTime", None, |k| {
            k.ke_query_system_time(at).map(|()| 0_u64)
        })?;
        kernel.count_step();
        kernel.read_port(0x1234, Width::U8);
        Ok(kernel.read(at)?)
    }),
    ("index and data, and a stall", |kernel, at| {
        for register in [0x10, 0x11, 0x12] {
            kernel.count_step();
            kernel.write_port(0x70, Width::U8, register);
            kernel.count_step();
            kernel.read_port(0x71, Width::U8);
        }
        kernel.ddi("KeStallExecutionProcessor", None, |k| {
            k.ke_stall_execution_processor(1).map(|()| 0_u64)
        })?;
        kernel.ddi("KeQueryPerformanceCounter", None, |k| {
            k.ke_query_performance_counter(at)
        })
    }),
    ("shared data", |kernel, _| {
        let mut bytes = [0; 8];
        kernel.count_step();
        kernel.read_shared_data(8, &mut bytes);
        kernel.ddi("KeGetCurrentIrql", None, |k| Ok(k.irql().0))?;
        Ok(u64::from_le_bytes(bytes))
    }),
    ("time stamps", |kernel, _| {
        kernel.count_step();
        let stamp = kernel.time_stamp_counter();
        kernel.ddi("ZwYieldExecution", None, |k| k.zw_yield_execution())?;
        Ok(stamp / 250)
    }),
    ("delays of no length", |kernel, at| {
        kernel.write(at, 0)?;
        kernel.ddi("KeDelayExecutionThread", None, |k| {
            k.ke_delay_execution_thread(crate::ke::WaitMode::KERNEL, at.cast())
        })?;
        Ok(kernel.time_100ns())
    }),
    ("an event that is not set", |kernel, at| {
        kernel.write(at, 0)?;
        let event = DriverPtr::new(at.address() + 8);
        kernel.ke_initialize_event(event, 0, 0)?;
        kernel.ddi("KeWaitForSingleObject", None, |k| {
            k.ke_wait_for_single_object(event.address(), 0, 0, 0, at.cast())
        })?;
        kernel.ddi("KeQueryInterruptTime", None, |k| {
            k.ke_query_interrupt_time()
        })
    }),
];

/// Two seconds are some thousand turns of such a loop.
#[test]
fn two_seconds_of_polling_are_few_turns() {
    for (name, look) in LOOPS {
        let rig = Rig::new(1);
        let at = DriverPtr::<u64>::new(rig.bench.variable(64));
        rig.bench.on_thread(move |kernel| {
            let start = look(kernel, at)?;
            for _ in 0..5_000 {
                if look(kernel, at)? - start >= 20_000_000 {
                    return Ok(());
                }
            }
            panic!("{name}: {}", kernel.time_100ns());
        });
        assert!(rig.findings().is_empty(), "{name}");
    }
}

#[test]
fn ticks_are_of_15_625_ms() {
    let rig = Rig::new(1);
    let at = DriverPtr::<u64>::new(rig.bench.variable(8));
    rig.bench.on_thread(move |kernel| {
        assert_eq!(kernel.ke_query_time_increment()?, 156_250);
        kernel.ke_query_tick_count(at)?;
        let before = kernel.read(at)?;
        kernel.ke_stall_execution_processor(15_625)?;
        kernel.ke_query_tick_count(at)?;
        assert_eq!(kernel.read(at)? - before, 1);
        kernel.ke_query_performance_counter(at)?;
        assert_eq!(kernel.read(at)?, 10_000_000);
        Ok(())
    });
}

/// An access takes 100 ns: a driver that polls for a device's status comes to its end.
#[test]
fn polling_a_device_register_ends() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let base = match rig.kernel().assignment(device.device).unwrap().resources[0] {
        crate::hal::Resource::Memory { base, .. } => base,
        ref other => panic!("{other:?}"),
    };
    rig.bench.on_thread(move |kernel| {
        kernel.write_device(base + register::START, Width::U32, 1000);
        let mut looks = 0;
        while kernel.read_device(base + register::DONE, Width::U32) == 0 {
            looks += 1;
            assert!(looks <= 1000, "the device takes 1000 units of 100 ns");
            if kernel.needs_attention() {
                kernel.attend()?;
            }
        }
        assert!(looks > 100);
        Ok(())
    });
}

/// So does one that polls with calls into the kernel.
#[test]
fn polling_with_calls_ends() {
    let rig = Rig::new(1);
    let timer = DriverPtr::<KTimer>::new(rig.bench.variable(64));
    rig.bench.on_thread(move |kernel| {
        kernel.ke_initialize_timer_ex(timer, 0)?;
        kernel.ke_set_timer_ex(timer, -100_000, 0, DriverPtr::NULL)?;
        while kernel.ke_read_state_timer(timer)? == 0 {
            kernel.yield_point()?;
        }
        Ok(())
    });
    assert!((100_000..101_000).contains(&rig.kernel().time_100ns()));
}

#[test]
fn a_run_that_never_ends_uses_up_its_budget() {
    let rig = Rig::with(Config {
        max_steps: 10_000,
        ..Config::default()
    });
    rig.bench.try_on_thread(|kernel| -> crate::Ddi<()> {
        loop {
            others(kernel)?;
        }
    });
    assert_eq!(rig.kernel().outcome(), Some(Outcome::Budget));
}

/// A driver with a heartbeat never has nothing left to do.
#[test]
fn timers_that_repeat_do_not_keep_the_computer_from_being_idle() {
    let rig = Rig::new(1);
    let timer = DriverPtr::<KTimer>::new(rig.bench.variable(64));
    rig.bench.on_thread(move |kernel| {
        kernel.ke_initialize_timer_ex(timer, 1)?;
        kernel.ke_set_timer_ex(timer, -10_000, 1, DriverPtr::NULL)
    });
    assert_eq!(rig.kernel().run_until_idle(), crate::ke::RunState::Idle);
}

#[test]
fn a_long_delay_is_waited_for() {
    let rig = Rig::new(1);
    let hour = DriverPtr::new(rig.bench.variable(8));
    rig.kernel().write(hour, -36_000_000_000_i64).unwrap();
    rig.bench.on_thread(move |kernel| {
        kernel.ke_delay_execution_thread(crate::ke::WaitMode::KERNEL, hour)
    });
    assert!(rig.kernel().time_100ns() >= 36_000_000_000);
}

#[test]
fn a_periodic_timer_repeats_and_its_dpc_gets_the_time() {
    let rig = Rig::new(1);
    let timer = DriverPtr::<KTimer>::new(rig.bench.variable(64));
    let dpc = DriverPtr::<KDpc>::new(rig.bench.variable(64));
    let log = rig.log.clone();
    let routine = rig.bench.routine(move |kernel, arguments| {
        let time = arguments[2] | arguments[3] << 32;
        log.add((time - crate::ke::clock::START_SYSTEM_TIME) / 10_000);
        if log.len() == 3 {
            assert_eq!(kernel.ke_cancel_timer(timer)?, 1);
        }
        Ok(0)
    });
    rig.bench.on_thread(move |kernel| {
        kernel.ke_initialize_dpc(dpc, routine, 0)?;
        kernel.ke_initialize_timer_ex(timer, 0)?;
        kernel.ke_set_timer_ex(timer, -20_000, 5, dpc)
    });
    assert_eq!(rig.log.take(), ["2", "7", "12"]);
}

#[test]
fn a_timer_whose_memory_is_gone_is_found() {
    use crate::mm::layout::{PAGE, USER};
    use crate::{Access, Platform};

    let rig = Rig::new(1);
    let page = USER.start..USER.start + PAGE;
    rig.bench.platform.protect(page.clone(), Access::ReadWrite);
    let timer = DriverPtr::<KTimer>::new(page.start);
    rig.kernel().ke_initialize_timer_ex(timer, 0).unwrap();
    rig.kernel()
        .ke_set_timer_ex(timer, -10, 0, DriverPtr::NULL)
        .unwrap();
    rig.bench.platform.protect(page, Access::None);
    rig.kernel().run_until_idle();
    assert_eq!(rig.findings(), [141]);
}

#[test]
fn hlt_lets_time_pass_to_the_next_event() {
    let rig = Rig::new(1);
    let timer = DriverPtr::<KTimer>::new(rig.bench.variable(64));
    rig.bench.on_thread(move |kernel| {
        kernel.ke_initialize_timer_ex(timer, 0)?;
        kernel.ke_set_timer_ex(timer, -7_000_000, 0, DriverPtr::NULL)?;
        kernel.halt();
        assert_eq!(kernel.ke_read_state_timer(timer)?, 1);
        Ok(())
    });
}

#[test]
fn hlt_with_interrupts_disabled_never_ends() {
    let rig = Rig::new(2);
    rig.bench.try_on_thread(|kernel| -> crate::Ddi<()> {
        kernel.set_interrupt_flag(false);
        kernel.halt();
        assert!(kernel.needs_attention());
        kernel.attend()
    });
    assert_eq!(rig.kernel().outcome(), Some(Outcome::Finding));
    assert_eq!(rig.findings(), [3]);
}

/// A driver that waits for what never comes by stalls that are long ends after a minute.
#[test]
fn stalling_for_what_never_comes_is_found() {
    let rig = Rig::new(1);
    rig.bench.try_on_thread(|kernel| -> crate::Ddi<()> {
        loop {
            kernel.ke_stall_execution_processor(1000)?;
        }
    });
    assert_eq!(rig.kernel().outcome(), Some(Outcome::Finding));
    assert_eq!(rig.findings(), [3]);
    let seconds = rig.kernel().time_100ns() / 10_000_000;
    assert!((60..65).contains(&seconds), "{seconds}");
}

/// One that looks all the time ends after so many looks, whatever it looks at.
#[test]
fn looking_for_what_never_comes_is_found() {
    type Look = fn(&crate::Kernel, DriverPtr<u64>) -> crate::Ddi<()>;
    let looks: &[(&str, Look)] = &[
        ("short stalls", |kernel, _| {
            kernel.ke_stall_execution_processor(1)
        }),
        ("clock", |kernel, at| kernel.ke_query_system_time(at)),
        ("port", |kernel, _| {
            kernel.read_port(0x1234, Width::U8);
            Ok(())
        }),
    ];
    for (what, look) in looks {
        let rig = Rig::with(Config {
            max_looks: 10_000,
            ..Config::default()
        });
        let at = DriverPtr::<u64>::new(rig.bench.variable(8));
        let look = *look;
        rig.bench.try_on_thread(move |kernel| -> crate::Ddi<()> {
            loop {
                look(kernel, at)?;
                kernel.yield_point()?;
            }
        });
        assert_eq!(rig.findings(), [3], "{what}");
        assert!((10_000..100_000).contains(&rig.kernel().step()), "{what}");
    }
}

/// The bound of a loop can be the number of its turns: a million looks are not too many, though
/// more and more time passes meanwhile.
#[test]
fn a_loop_may_be_bounded_by_its_turns() {
    let rig = Rig::new(1);
    rig.bench.on_thread(|kernel| {
        for _ in 0..1_000_000 {
            kernel.read_port(0x1234, Width::U8);
            if kernel.turn_is_over() {
                kernel.yield_point()?;
            }
        }
        Ok(())
    });
    assert!(rig.findings().is_empty());
    assert!(rig.kernel().time_100ns() > 3600 * 10_000_000);
}

/// No processor is busy then: the run sees that nothing will come of it.
#[test]
fn delays_of_no_length_do_not_keep_a_run_going() {
    let rig = Rig::new(1);
    let interval = DriverPtr::<i64>::new(rig.bench.variable(8));
    rig.bench.try_on_thread(move |kernel| -> crate::Ddi<()> {
        loop {
            kernel.ke_delay_execution_thread(crate::ke::WaitMode::KERNEL, interval)?;
        }
    });
    assert_eq!(rig.kernel().outcome(), None);
    assert!(rig.kernel().step() < 200_000);
}

/// A DPC routine that reads zeros out of a device's buffer is not slow.
#[test]
fn reading_the_same_over_and_over_is_no_time_for_the_dpc_watchdog() {
    let rig = Rig::new(1);
    let dpc = DriverPtr::<KDpc>::new(rig.bench.variable(64));
    let routine = rig.bench.routine(|kernel, _| {
        for _ in 0..8192 {
            kernel.read_port(0x1234, Width::U8);
        }
        Ok(0)
    });
    rig.bench.on_thread(move |kernel| {
        kernel.ke_initialize_dpc(dpc, routine, 0)?;
        kernel.ke_insert_queue_dpc(dpc, 0, 0)
    });
    assert!(rig.findings().is_empty());
}

#[test]
fn a_timers_header_has_its_size_until_server_2003() {
    use crate::WindowsVersion::{Server2003, Ten, Vista, WinXp64};
    for (windows, size) in [(WinXp64, 16), (Server2003, 16), (Vista, 0), (Ten, 0)] {
        let bench = crate::testing::Bench::new(Config {
            windows,
            ..Config::default()
        });
        let timer = DriverPtr::<KTimer>::new(bench.variable(64));
        bench.kernel.ke_initialize_timer_ex(timer, 0).unwrap();
        let header = bench.kernel.read(timer).unwrap().header;
        assert_eq!((header.type_, header.size), (8, size), "{windows}");
    }
}

#[test]
fn a_timer_that_is_set_is_not_initialised_again() {
    let rig = Rig::new(1);
    let timer = DriverPtr::<KTimer>::new(rig.bench.variable(size_of::<KTimer>() as u64));
    rig.bench.on_thread(move |kernel| {
        kernel.ke_initialize_timer_ex(timer, 0)?;
        kernel.ke_initialize_timer_ex(timer, 1)?;
        kernel.ke_set_timer_ex(timer, -10_000, 0, DriverPtr::NULL)?;
        kernel.ke_initialize_timer_ex(timer, 0)?;
        kernel.ke_initialize_timer_ex(timer, 0)
    });
    assert_eq!(rig.findings(), [538]);
}
