//! Inter-processor calls and non-maskable interrupts.

use dirql_abi::{Irql, NtStatus};

use super::{others, stops};
use crate::hal::testing::Rig;
use crate::ke::ProcessorId;

#[test]
fn the_routine_runs_at_ipi_level_on_every_processor_at_once() {
    let rig = Rig::new(4);
    let log = rig.log.clone();
    let routine = rig.bench.routine(move |kernel, arguments| {
        let id = kernel.processor().id.0;
        log.add(alloc::format!(
            "{id} at {} with {}",
            kernel.irql().0,
            arguments[0]
        ));
        others(kernel)?;
        Ok(100 + u64::from(id))
    });
    let log = rig.log.clone();
    for processor in [0, 2, 3] {
        let log = log.clone();
        rig.spawn_on(processor, move |kernel| {
            for _ in 0..20 {
                others(kernel)?;
                log.add("work");
            }
            Ok(())
        });
    }
    rig.spawn_on(1, move |kernel| {
        kernel.ke_raise_irql(1)?;
        assert_eq!(kernel.ke_ipi_generic_call(routine, 7)?, 101);
        assert_eq!(kernel.irql(), Irql::APC);
        kernel.ke_lower_irql(0)
    });
    rig.run();
    let log = rig.log.take();
    let first = log.iter().position(|line| line.contains("at 14")).unwrap();
    let mut calls: alloc::vec::Vec<_> = log[first..first + 4].to_vec();
    calls.sort_unstable();
    let expected = [0, 1, 2, 3].map(|id| alloc::format!("{id} at 14 with 7"));
    assert_eq!(calls, expected, "nobody did anything else in between");
}

#[test]
fn two_calls_come_one_after_the_other() {
    let rig = Rig::new(3);
    for caller in 0..2_u64 {
        let log = rig.log.clone();
        let routine = rig.bench.routine(move |kernel, _| {
            others(kernel)?;
            log.add(caller);
            Ok(0)
        });
        rig.spawn_on(caller as u16, move |kernel| {
            kernel.ke_ipi_generic_call(routine, 0).map(|_| ())
        });
    }
    rig.run();
    let log = rig.log.take();
    assert_eq!(log.len(), 6);
    assert!(
        log[..3].iter().all(|line| *line == log[0]) && log[3..].iter().all(|line| *line == log[3]),
        "{log:?}"
    );
}

#[test]
fn on_one_processor_it_is_a_call_at_ipi_level() {
    let rig = Rig::new(1);
    let routine = rig.bench.routine(|kernel, arguments| {
        assert_eq!(kernel.irql(), Irql::IPI);
        Ok(arguments[0] + 1)
    });
    assert_eq!(
        rig.bench
            .on_thread(move |kernel| kernel.ke_ipi_generic_call(routine, 4)),
        5
    );
}

#[test]
fn a_processor_that_does_not_come_is_a_deadlock() {
    let rig = Rig::new(2);
    let routine = rig.bench.routine(|_, _| Ok(0));
    let lock = rig.bench.variable(8);
    rig.kernel()
        .write(crate::DriverPtr::new(lock), 1_u64)
        .unwrap();
    let log = rig.log.clone();
    rig.spawn_on(1, move |kernel| {
        kernel.raise_irql(Irql::HIGH);
        log.add("high");
        kernel.ke_acquire_spin_lock_at_dpc_level(lock)
    });
    let log = rig.log.clone();
    rig.spawn_on(0, move |kernel| {
        super::until(kernel, || log.len() == 1)?;
        kernel.ke_ipi_generic_call(routine, 0).map(|_| ())
    });
    rig.kernel().run_until_idle();
    assert_eq!(rig.findings(), [111]);
}

#[test]
fn nmi_callbacks_are_called_at_high_level_whatever_the_level_is() {
    let rig = Rig::new(2);
    let log = rig.log.clone();
    let routine = rig.bench.routine(move |kernel, arguments| {
        log.add(alloc::format!(
            "{:?} at {} on {}",
            arguments,
            kernel.irql().0,
            kernel.processor().id.0
        ));
        Ok(1)
    });
    let log = rig.log.clone();
    rig.spawn_on(1, move |kernel| {
        let first = kernel.ke_register_nmi_callback(routine, 5)?;
        let second = kernel.ke_register_nmi_callback(routine, 6)?;
        kernel.raise_irql(Irql::HIGH);
        kernel.set_interrupt_flag(false);
        kernel.send_nmi(ProcessorId(1));
        assert!(kernel.needs_attention());
        kernel.attend()?;
        log.add("after");
        kernel.set_interrupt_flag(true);
        assert_eq!(kernel.irql(), Irql::HIGH);
        kernel.lower_irql(Irql::PASSIVE)?;
        assert_eq!(kernel.ke_deregister_nmi_callback(first)?, NtStatus::SUCCESS);
        assert_eq!(
            kernel.ke_deregister_nmi_callback(first)?,
            NtStatus::INVALID_HANDLE
        );
        assert_eq!(
            kernel.ke_deregister_nmi_callback(second)?,
            NtStatus::SUCCESS
        );
        Ok(())
    });
    rig.run();
    assert_eq!(
        rig.log.take(),
        ["[5, 0] at 15 on 1", "[6, 1] at 15 on 1", "after"]
    );
}

#[test]
fn an_nmi_that_nobody_knows_stops_the_system() {
    let rig = Rig::new(1);
    let stop = stops(&rig, |kernel| {
        kernel.send_nmi(ProcessorId(0));
        kernel.yield_point()
    });
    assert!(matches!(
        stop,
        crate::Stop::BugCheck(dirql_rules::BugCheck { code: 0x80, .. })
    ));
}
