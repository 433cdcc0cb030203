//! KeSynchronizeExecution and the interrupt spin lock.

use dirql_abi::Irql;
use dirql_abi::interrupt::KInterrupt;
use dirql_chips::Stimulus;
use zerocopy::FromZeros;

use super::{others, stops, until};
use crate::hal::testing::Rig;
use crate::io::interrupt::ConnectArguments;
use crate::{DriverPtr, Stop};

#[test]
fn the_routine_runs_at_synchronize_irql_and_its_byte_is_returned() {
    for (answer, expected) in [(0, 0), (1, 1), (0x80, 0x80), (0x1_00, 0)] {
        let rig = Rig::new(1);
        let device = rig.line("a", 5);
        let level = Irql(device.grant().irql.0 + 1);
        let arguments = ConnectArguments {
            synchronize_irql: level,
            ..device.arguments(rig.refusing_isr(""))
        };
        let (_, object) = rig.connect(arguments);
        let log = rig.log.clone();
        let routine = rig.bench.routine(move |kernel, arguments| {
            log.add(alloc::format!("{} at {}", arguments[0], kernel.irql().0));
            Ok(answer)
        });
        let result = rig.bench.on_thread(move |kernel| {
            kernel.ke_raise_irql(1)?;
            let result = kernel.ke_synchronize_execution(object, routine, 77)?;
            assert_eq!(kernel.irql(), Irql::APC, "the entry level is restored");
            kernel.ke_lower_irql(0)?;
            Ok(result)
        });
        assert_eq!(result, expected);
        assert_eq!(rig.log.take(), [alloc::format!("77 at {}", level.0)]);
    }
}

#[test]
fn the_isr_does_not_run_meanwhile_here_or_on_another_processor() {
    for processors in [1, 2] {
        let rig = Rig::new(processors);
        let device = rig.line("a", 5);
        let (_, object) = rig.connect(device.arguments(rig.isr("isr", device.device)));
        let (log, id) = (rig.log.clone(), device.device);
        let routine = rig.bench.routine(move |kernel, _| {
            kernel.stimulate(id, &Stimulus::Press);
            for _ in 0..4 {
                others(kernel)?;
            }
            log.add("critical section ends");
            Ok(1)
        });
        rig.bench
            .on_thread(move |kernel| kernel.ke_synchronize_execution(object, routine, 0));
        let log = rig.log.take();
        assert_eq!(log[0], "critical section ends");
        assert_eq!(log.len(), 2);
    }
}

#[test]
fn entering_too_high_is_told() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let (_, object) = rig.connect(device.arguments(rig.refusing_isr("")));
    let routine = rig.bench.routine(|_, _| Ok(1));
    rig.bench.on_thread(move |kernel| {
        kernel.ke_raise_irql(15)?;
        kernel.ke_synchronize_execution(object, routine, 0)?;
        assert_eq!(kernel.irql(), Irql::HIGH);
        let old = kernel.ke_acquire_interrupt_spin_lock(object)?;
        kernel.ke_release_interrupt_spin_lock(object, old)?;
        kernel.ke_lower_irql(0)
    });
    assert_eq!(rig.findings(), [103, 104, 104]);
}

#[test]
fn an_old_level_that_is_not_the_acquires_is_told() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let (_, object) = rig.connect(device.arguments(rig.refusing_isr("")));
    rig.bench.on_thread(move |kernel| {
        let old = kernel.ke_acquire_interrupt_spin_lock(object)?;
        assert_eq!(old, Irql::PASSIVE.0);
        kernel.ke_release_interrupt_spin_lock(object, Irql::APC.0)?;
        kernel.ke_lower_irql(old)
    });
    assert_eq!(rig.findings(), [104]);
}

#[test]
fn from_the_isr_or_a_critical_section_of_the_same_lock_is_a_deadlock() {
    let rig = Rig::new(2);
    let device = rig.line("a", 5);
    let object = DriverPtr::<u64>::new(rig.bench.variable(8));
    let inner = rig.bench.routine(|_, _| Ok(1));
    let isr = rig.bench.routine(move |kernel, arguments| {
        kernel
            .ke_synchronize_execution(arguments[0], inner, 0)
            .map(u64::from)
    });
    rig.connect(device.arguments(isr));
    rig.press(&device);
    rig.kernel().run_until_idle();
    assert_eq!(rig.findings(), [110]);

    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let (_, connected) = rig.connect(device.arguments(rig.refusing_isr("")));
    let object_at = object;
    let inner = rig.bench.routine(|_, _| Ok(1));
    let outer = rig.bench.routine(move |kernel, _| {
        kernel
            .ke_synchronize_execution(connected, inner, 0)
            .map(u64::from)
    });
    rig.bench
        .try_on_thread(move |kernel| kernel.ke_synchronize_execution(connected, outer, 0));
    assert_eq!(rig.findings(), [110]);
    assert!(!object_at.is_null());
}

#[test]
fn the_interrupt_spin_lock_raises_and_restores() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let (_, object) = rig.connect(device.arguments(rig.isr("isr", device.device)));
    let (log, level, id) = (rig.log.clone(), device.grant().irql, device.device);
    rig.bench.on_thread(move |kernel| {
        let old = kernel.ke_acquire_interrupt_spin_lock(object)?;
        assert_eq!((old, kernel.irql()), (0, level));
        kernel.stimulate(id, &Stimulus::Press);
        kernel.yield_point()?;
        log.add("release");
        kernel.ke_release_interrupt_spin_lock(object, old)?;
        assert_eq!(kernel.irql(), Irql::PASSIVE);
        Ok(())
    });
    assert_eq!(rig.log.take()[0], "release");
    assert_eq!(rig.findings(), []);
}

#[test]
fn releasing_the_interrupt_spin_lock_at_another_level_or_unheld_is_told() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let (_, object) = rig.connect(device.arguments(rig.refusing_isr("")));
    rig.bench.on_thread(move |kernel| {
        kernel.ke_acquire_interrupt_spin_lock(object)?;
        kernel.lower_irql(Irql::DISPATCH)?;
        kernel.ke_release_interrupt_spin_lock(object, 0)
    });
    assert_eq!(rig.findings(), [104]);
    let level = device.grant().irql;
    rig.bench.on_thread(move |kernel| {
        kernel.raise_irql(level);
        kernel.ke_release_interrupt_spin_lock(object, 0)
    });
    assert_eq!(rig.findings(), [104, 112]);
}

/// The routine needs nothing of the object but SynchronizeIrql and ActualLock.
#[test]
fn a_made_up_interrupt_object_serves() {
    let rig = Rig::new(1);
    let object = DriverPtr::<KInterrupt>::new(rig.bench.variable(128));
    let mut image = KInterrupt::new_zeroed();
    image.actual_lock = rig.bench.variable(8);
    image.synchronize_irql = Irql(7);
    rig.kernel().write(object, image).unwrap();
    let log = rig.log.clone();
    let routine = rig.bench.routine(move |kernel, _| {
        log.add(kernel.irql().0);
        Ok(1)
    });
    rig.bench
        .on_thread(move |kernel| kernel.ke_synchronize_execution(object.address(), routine, 0));
    assert_eq!(rig.log.take(), ["7"]);
    // A level that is none does not break us.
    image.synchronize_irql = Irql(200);
    rig.kernel().write(object, image).unwrap();
    rig.bench
        .on_thread(move |kernel| kernel.ke_synchronize_execution(object.address(), routine, 0));
    assert_eq!(rig.log.take(), ["15"]);
}

#[test]
fn a_critical_section_that_changes_the_level_is_told() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let (_, object) = rig.connect(device.arguments(rig.refusing_isr("")));
    let routine = rig.bench.routine(|kernel, _| {
        kernel.set_irql(Irql::DISPATCH);
        Ok(1)
    });
    rig.bench
        .on_thread(move |kernel| kernel.ke_synchronize_execution(object, routine, 0));
    assert_eq!(rig.findings(), [200]);
}

#[test]
fn no_routine_is_a_jump_to_nothing() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let (_, object) = rig.connect(device.arguments(rig.refusing_isr("")));
    let stop = stops(&rig, move |kernel| {
        kernel.ke_synchronize_execution(object, 0, 0).map(|_| ())
    });
    assert!(
        matches!(
            stop,
            Stop::Exception {
                parameters: [8, 0, 0, 0],
                ..
            }
        ),
        "{stop:?}"
    );
}

#[test]
fn two_interrupts_with_one_lock_exclude_each_other_across_processors() {
    let rig = Rig::new(2);
    let (a, b) = (rig.line("a", 5), rig.line("b", 9));
    let lock = rig.bench.variable(8);
    let highest = a.grant().irql.max(b.grant().irql);
    for (name, device) in [("a", &a), ("b", &b)] {
        let (log, id) = (rig.log.clone(), device.device);
        let isr = rig.bench.routine(move |kernel, _| {
            kernel.stimulate(id, &Stimulus::Release);
            log.add(alloc::format!("{name} in"));
            for _ in 0..4 {
                others(kernel)?;
            }
            log.add(alloc::format!("{name} out"));
            Ok(1)
        });
        rig.connect(ConnectArguments {
            spin_lock: lock,
            synchronize_irql: highest,
            ..device.arguments(isr)
        });
    }
    let (log, ids) = (rig.log.clone(), [a.device, b.device]);
    rig.spawn_on(0, move |kernel| {
        kernel.stimulate(ids[0], &Stimulus::Press);
        kernel.yield_point()
    });
    rig.spawn_on(1, move |kernel| {
        until(kernel, || log.len() == 1)?;
        kernel.stimulate(ids[1], &Stimulus::Press);
        kernel.yield_point()
    });
    rig.run();
    assert_eq!(rig.log.take(), ["a in", "a out", "b in", "b out"]);
    assert_eq!(rig.findings(), []);
}

/// The level of KeAcquireSpinLock lets the ISR in, which then spins on its own processor.
#[test]
fn the_drivers_lock_taken_at_dispatch_level_is_a_deadlock_with_the_isr() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let lock = rig.bench.variable(8);
    let arguments = ConnectArguments {
        spin_lock: lock,
        ..device.arguments(rig.isr("isr", device.device))
    };
    rig.connect(arguments);
    let id = device.device;
    stops(&rig, move |kernel| {
        let old = kernel.ke_acquire_spin_lock_raise_to_dpc(lock)?;
        kernel.stimulate(id, &Stimulus::Press);
        kernel.yield_point()?;
        kernel.ke_release_spin_lock(lock, old)
    });
    assert!(rig.findings().contains(&110), "{:?}", rig.findings());
    assert_eq!(rig.log.len(), 0);
}
