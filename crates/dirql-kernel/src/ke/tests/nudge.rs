//! Driver code that polls memory.

use dirql_abi::Irql;
use dirql_abi::dispatcher::KTimer;
use dirql_abi::dpc::KDpc;
use dirql_chips::Stimulus;

use crate::hal::testing::Rig;
use crate::{Ddi, DriverPtr, Kernel};

/// Polls as a driver would, nudged by a watchdog; how many nudges it took, `None` if it hangs.
fn poll(kernel: &Kernel, done: impl Fn() -> bool) -> Ddi<Option<u32>> {
    for nudges in 0..1000 {
        if done() {
            return Ok(Some(nudges));
        }
        if !kernel.nudge() {
            return Ok(None);
        }
        kernel.attend()?;
    }
    panic!("a nudge that never gives up");
}

#[test]
fn nothing_left_that_could_change_anything_is_a_hang() {
    for level in [Irql::PASSIVE, Irql::DISPATCH, Irql::HIGH] {
        let rig = Rig::new(2);
        let nudges = rig.bench.on_thread(move |kernel| {
            kernel.raise_irql(level);
            let nudges = poll(kernel, || false)?;
            kernel.lower_irql(Irql::PASSIVE)?;
            Ok(nudges)
        });
        assert_eq!(nudges, None);
    }
}

#[test]
fn an_interrupt_that_waits_is_delivered() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    rig.connect(device.arguments(rig.isr("isr", device.device)));
    let (log, id) = (rig.log.clone(), device.device);
    let nudges = rig.bench.on_thread(move |kernel| {
        kernel.stimulate(id, &Stimulus::Press);
        poll(kernel, || log.len() > 0)
    });
    assert_eq!(nudges, Some(1));
}

#[test]
fn another_processor_goes_on() {
    let rig = Rig::new(2);
    let log = rig.log.clone();
    rig.spawn_on(1, move |_| {
        log.add("done");
        Ok(())
    });
    let log = rig.log.clone();
    rig.spawn_on(0, move |kernel| {
        kernel.raise_irql(Irql::DISPATCH);
        assert!(poll(kernel, || log.len() > 0)?.is_some());
        kernel.lower_irql(Irql::PASSIVE)
    });
    rig.run();
    assert_eq!(rig.log.len(), 1);
}

#[test]
fn another_thread_goes_on_even_one_of_lower_priority() {
    for (priority, level, goes_on) in [(8, 0, true), (1, 0, true), (8, 2, false)] {
        let rig = Rig::new(1);
        let (log, log2) = (rig.log.clone(), rig.log.clone());
        let result = rig.bench.on_thread(move |kernel| {
            let body = move |_: &Kernel| {
                log2.add("done");
                Ok(())
            };
            kernel.spawn_thread(
                "other",
                priority,
                crate::ke::ThreadBody::Native(alloc::boxed::Box::new(body)),
            );
            kernel.raise_irql(Irql(level));
            let result = poll(kernel, || log.len() > 0)?;
            kernel.lower_irql(Irql::PASSIVE)?;
            Ok(result)
        });
        assert_eq!(result.is_some(), goes_on, "priority {priority} at {level}");
    }
}

#[test]
fn time_passes_to_a_timer_however_far_it_is() {
    for due in [-10, -10_000_000, -3_000_000_000] {
        let rig = Rig::new(1);
        let timer = DriverPtr::<KTimer>::new(rig.bench.variable(64));
        let nudges = rig.bench.on_thread(move |kernel| {
            kernel.ke_initialize_timer_ex(timer, 0)?;
            kernel.ke_set_timer_ex(timer, due, 0, DriverPtr::NULL)?;
            poll(kernel, || kernel.ke_read_state_timer(timer).unwrap() != 0)
        });
        assert!(
            nudges.is_some_and(|nudges| nudges <= 2),
            "{due}: {nudges:?}"
        );
    }
}

#[test]
fn a_dpc_of_a_timer_runs_where_the_driver_polls() {
    let rig = Rig::new(1);
    let timer = DriverPtr::<KTimer>::new(rig.bench.variable(64));
    let dpc = DriverPtr::<KDpc>::new(rig.bench.variable(64));
    let log = rig.log.clone();
    let routine = rig.bench.routine(move |_, _| {
        log.add("dpc");
        Ok(0)
    });
    let log = rig.log.clone();
    let nudges = rig.bench.on_thread(move |kernel| {
        kernel.ke_initialize_dpc(dpc, routine, 0)?;
        kernel.ke_initialize_timer_ex(timer, 0)?;
        kernel.ke_set_timer_ex(timer, -5_000_000, 0, dpc)?;
        poll(kernel, || log.len() > 0)
    });
    assert!(nudges.is_some());
}

/// A heartbeat goes on for ever, and does not make a hang look alive for ever.
#[test]
fn a_timer_that_repeats_does_not_hide_a_hang() {
    let rig = Rig::new(1);
    let timer = DriverPtr::<KTimer>::new(rig.bench.variable(64));
    let nudges = rig.bench.on_thread(move |kernel| {
        kernel.ke_initialize_timer_ex(timer, 1)?;
        kernel.ke_set_timer_ex(timer, -10_000, 1000, DriverPtr::NULL)?;
        poll(kernel, || false)
    });
    assert_eq!(nudges, None);
}

/// Steps of the driver's own begin the count anew.
#[test]
fn a_driver_that_makes_steps_in_between_is_not_given_up() {
    let rig = Rig::new(1);
    let timer = DriverPtr::<KTimer>::new(rig.bench.variable(64));
    rig.bench.on_thread(move |kernel| {
        kernel.ke_initialize_timer_ex(timer, 1)?;
        kernel.ke_set_timer_ex(timer, -10_000, 1000, DriverPtr::NULL)?;
        for _ in 0..100 {
            assert!(kernel.nudge());
            kernel.attend()?;
            kernel.yield_point()?;
        }
        kernel.ke_cancel_timer(timer)
    });
}
