//! Passive-level ISRs.

use dirql_abi::interrupt::connect_version::*;
use dirql_chips::{Stimulus, Trigger};

use super::*;
use crate::Outcome;
use crate::hal::MessageWish;

/// The block of version 1 that asks for a passive-level ISR.
fn passive_block(started: &Started, routine: u64) -> dirql_abi::interrupt::FullySpecified {
    let mut block = fully_specified(started, routine);
    (block.irql, block.synchronize_irql) = (Irql::PASSIVE, Irql::PASSIVE);
    block
}

/// A device whose line is behind a controller on a slow bus.
fn slow_line(rig: &Rig, name: &str, gsi: u32) -> Started {
    rig.kernel().make_line_passive(gsi);
    rig.line(name, gsi)
}

#[test]
fn version_1_asks_with_both_levels_passive_and_no_lock() {
    let rig = Rig::new(2);
    let device = rig.line("a", 5);
    let isr = rig.isr("isr", device.device);
    let answer = connect_ex(&rig, CONNECT_FULLY_SPECIFIED, &passive_block(&device, isr));
    assert_eq!(
        (answer.status, answer.version),
        (NtStatus::SUCCESS, CONNECT_FULLY_SPECIFIED)
    );
    rig.press(&device);
    rig.run();
    assert_eq!(rig.log.take(), ["isr at 0"]);
    assert_eq!(rig.findings(), []);
}

#[test]
fn version_2_asks_if_the_assigned_level_is_passive() {
    let rig = Rig::new(1);
    let device = slow_line(&rig, "a", 5);
    assert_eq!(device.grant().irql, Irql::PASSIVE);
    let isr = rig.isr("isr", device.device);
    assert!(
        connect_ex(&rig, CONNECT_LINE_BASED, &line_based(device.pdo, isr))
            .status
            .is_success()
    );
    rig.press(&device);
    rig.run();
    assert_eq!(rig.log.take(), ["isr at 0"]);
    // SynchronizeIrql 0 alone does not ask for it.
    let other = rig.line("b", 9);
    let isr = rig.isr("isr", other.device);
    assert!(
        connect_ex(&rig, CONNECT_LINE_BASED, &line_based(other.pdo, isr))
            .status
            .is_success()
    );
    rig.press(&other);
    rig.run();
    assert_eq!(
        rig.log.take(),
        [alloc::format!("isr at {}", other.grant().irql.0)]
    );
}

#[test]
fn version_5_calls_the_message_isr_at_passive_level() {
    let rig = Rig::new(1);
    let device = rig.messages("a", 2, MessageWish::Msix(2));
    let log = rig.log.clone();
    let isr = rig.bench.routine(move |kernel, arguments| {
        log.add(alloc::format!(
            "message {} at {}",
            arguments[2],
            kernel.irql().0
        ));
        Ok(1)
    });
    let answer = connect_ex(
        &rig,
        CONNECT_MESSAGE_BASED_PASSIVE,
        &message_based(device.pdo, isr, 0),
    );
    assert_eq!(
        (answer.status, answer.version),
        (NtStatus::SUCCESS, CONNECT_MESSAGE_BASED_PASSIVE)
    );
    for message in [1, 0] {
        rig.pulse(&device, message);
        rig.run();
    }
    assert_eq!(rig.log.take(), ["message 1 at 0", "message 0 at 0"]);
    let at = rig.bench.variable(16);
    rig.bench.on_thread(move |kernel| {
        disconnect_ex(kernel, at, CONNECT_MESSAGE_BASED_PASSIVE, answer.result)
    });
    assert_eq!(rig.findings(), []);
}

#[test]
fn version_5_without_messages_falls_back_to_the_line_as_version_2() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let line = rig.isr("line", device.device);
    let answer = connect_ex(
        &rig,
        CONNECT_MESSAGE_BASED_PASSIVE,
        &message_based(device.pdo, 0x1000, line),
    );
    assert_eq!(
        (answer.status, answer.version),
        (NtStatus::SUCCESS, CONNECT_LINE_BASED)
    );
    rig.press(&device);
    rig.run();
    assert_eq!(rig.log.take(), ["line at 0"]);
    let answer = connect_ex(
        &rig,
        CONNECT_MESSAGE_BASED_PASSIVE,
        &message_based(device.pdo, 0x1000, 0),
    );
    assert_eq!(
        answer,
        refused(NtStatus::NOT_FOUND, CONNECT_MESSAGE_BASED_PASSIVE)
    );
}

#[test]
fn invalid_parameter_a_passive_level_isr_with_a_spin_lock() {
    let rig = Rig::new(1);
    let (line, slow) = (rig.line("a", 5), slow_line(&rig, "b", 9));
    let messages = rig.messages("c", 2, MessageWish::Msix(2));
    let isr = rig.refusing_isr("isr");
    let lock = rig.bench.variable(8);
    let mut block = passive_block(&line, isr);
    block.spin_lock = lock;
    assert_eq!(
        connect_ex(&rig, 1, &block),
        refused(NtStatus::INVALID_PARAMETER, 1)
    );
    let mut block = line_based(slow.pdo, isr);
    block.spin_lock = lock;
    assert_eq!(
        connect_ex(&rig, 2, &block),
        refused(NtStatus::INVALID_PARAMETER, 2)
    );
    let mut block = message_based(messages.pdo, isr, 0);
    block.spin_lock = lock;
    assert_eq!(
        connect_ex(&rig, 5, &block),
        refused(NtStatus::INVALID_PARAMETER, 5)
    );
}

/// Only through IoConnectInterruptEx.
#[test]
fn the_old_routine_cannot_connect_a_passive_level_interrupt() {
    let rig = Rig::new(1);
    let device = slow_line(&rig, "a", 5);
    let (status, object) = rig.connect(device.arguments(rig.refusing_isr("isr")));
    assert_eq!((status, object), (NtStatus::INVALID_PARAMETER, 0));
}

/// The line is masked until the thread has run the ISR.
#[test]
fn the_line_stays_masked_until_the_isr_is_done() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let (log, id) = (rig.log.clone(), device.device);
    let masked = |kernel: &Kernel| kernel.hal.io_apic.borrow().entry(5).unwrap().masked();
    let isr = rig.bench.routine(move |kernel, _| {
        log.add(alloc::format!("masked {}", masked(kernel)));
        kernel.stimulate(id, &Stimulus::Release);
        Ok(1)
    });
    assert!(
        connect_ex(&rig, 1, &passive_block(&device, isr))
            .status
            .is_success()
    );
    assert!(!masked(rig.kernel()));
    rig.press(&device);
    rig.run();
    assert_eq!(rig.log.take(), ["masked true"]);
    assert!(!masked(rig.kernel()));
    assert!(
        rig.kernel()
            .processor()
            .lapic
            .borrow()
            .in_service()
            .highest()
            .is_none()
    );
}

/// An ISR at PASSIVE_LEVEL may wait; meanwhile the line is quiet.
#[test]
fn the_isr_may_wait() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let (log, id) = (rig.log.clone(), device.device);
    let interval = DriverPtr::new(rig.bench.variable(8));
    rig.kernel().write(interval, -500_000_i64).unwrap();
    let isr = rig.bench.routine(move |kernel, _| {
        kernel.ke_delay_execution_thread(crate::ke::WaitMode::KERNEL, interval)?;
        kernel.stimulate(id, &Stimulus::Release);
        log.add(kernel.time_100ns() >= 500_000);
        Ok(1)
    });
    assert!(
        connect_ex(&rig, 1, &passive_block(&device, isr))
            .status
            .is_success()
    );
    rig.press(&device);
    rig.run();
    assert_eq!(rig.log.take(), ["true"]);
}

#[test]
fn a_level_that_the_isr_leaves_asserted_is_a_new_call_and_at_last_a_storm() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let (log, id) = (rig.log.clone(), device.device);
    let isr = rig.bench.routine(move |kernel, _| {
        log.add("isr");
        if log.len() == 3 {
            kernel.stimulate(id, &Stimulus::Release);
        }
        Ok(1)
    });
    assert!(
        connect_ex(&rig, 1, &passive_block(&device, isr))
            .status
            .is_success()
    );
    rig.press(&device);
    rig.run();
    assert_eq!(rig.log.take().len(), 3);

    let rig = Rig::new(2);
    let device = rig.line("a", 5);
    let isr = rig.bench.routine(|_, _| Ok(1));
    assert!(
        connect_ex(&rig, 1, &passive_block(&device, isr))
            .status
            .is_success()
    );
    rig.press(&device);
    rig.kernel().run_until_idle();
    assert_eq!(rig.bug_check().map(|(code, _)| code), Some(0xF2));
}

#[test]
fn an_edge_is_ended_at_once_and_another_one_meanwhile_brings_another_call() {
    let rig = Rig::new(1);
    let device = rig.lines("a", &[(5, Trigger::Edge)], false);
    let (log, id) = (rig.log.clone(), device.device);
    let isr = rig.bench.routine(move |kernel, _| {
        assert!(
            kernel
                .processor()
                .lapic
                .borrow()
                .in_service()
                .highest()
                .is_none()
        );
        log.add("isr");
        if log.len() == 1 {
            kernel.stimulate(id, &Stimulus::Interrupt(0));
        }
        Ok(1)
    });
    assert!(
        connect_ex(&rig, 1, &passive_block(&device, isr))
            .status
            .is_success()
    );
    rig.pulse(&device, 0);
    rig.run();
    assert_eq!(rig.log.len(), 2);
}

/// On a shared line the FALSE and TRUE rule applies as at DIRQL.
#[test]
fn passive_isrs_come_after_the_others_and_stop_at_the_one_that_claims() {
    let rig = Rig::new(1);
    let devices = ["a", "b", "c"].map(|name| rig.line(name, 5));
    let (a, b) = (rig.refusing_isr("a"), rig.isr("b", devices[1].device));
    assert!(
        connect_ex(&rig, 1, &passive_block(&devices[0], a))
            .status
            .is_success()
    );
    assert!(
        connect_ex(&rig, 1, &passive_block(&devices[1], b))
            .status
            .is_success()
    );
    let id = devices[2].device;
    let log = rig.log.clone();
    let c = rig.bench.routine(move |kernel, _| {
        log.add(alloc::format!("c at {}", kernel.irql().0));
        let mine = kernel.line_is_asserted(5, Some(id));
        kernel.stimulate(id, &Stimulus::Release);
        Ok(u64::from(mine))
    });
    assert!(rig.connect(devices[2].arguments(c)).0.is_success());
    let level = devices[2].grant().irql.0;
    rig.press(&devices[1]);
    rig.run();
    assert_eq!(
        rig.log.take(),
        [alloc::format!("c at {level}"), "a".into(), "b at 0".into()]
    );
    rig.press(&devices[2]);
    rig.run();
    assert_eq!(
        rig.log.take(),
        [alloc::format!("c at {level}")],
        "claimed above PASSIVE_LEVEL"
    );
}

#[test]
fn synchronize_execution_takes_the_event_and_stays_at_passive_level() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let isr = rig.isr("isr", device.device);
    let object = connect_ex(&rig, 1, &passive_block(&device, isr)).result;
    let (log, id) = (rig.log.clone(), device.device);
    let routine = rig.bench.routine(move |kernel, _| {
        log.add(alloc::format!("critical at {}", kernel.irql().0));
        kernel.stimulate(id, &Stimulus::Press);
        kernel.yield_point()?;
        log.add("critical ends");
        Ok(0x101)
    });
    let answer = rig
        .bench
        .on_thread(move |kernel| kernel.ke_synchronize_execution(object, routine, 0));
    assert_eq!(answer, 1);
    assert_eq!(
        rig.log.take(),
        ["critical at 0", "critical ends", "isr at 0"]
    );
}

#[test]
fn the_event_is_not_taken_twice_by_one_thread() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let isr = rig.isr("isr", device.device);
    let object = connect_ex(&rig, 1, &passive_block(&device, isr)).result;
    let inner = rig.bench.routine(|_, _| Ok(0));
    let outer = rig.bench.routine(move |kernel, _| {
        kernel
            .ke_synchronize_execution(object, inner, 0)
            .map(u64::from)
    });
    assert!(
        rig.bench
            .try_on_thread(move |kernel| kernel.ke_synchronize_execution(object, outer, 0))
            .is_none()
    );
    assert_eq!(rig.kernel().outcome(), Some(Outcome::Finding));
    assert_eq!(rig.findings(), [110]);
}

/// Bug check 0x13B, 1, the interrupt object.
#[test]
fn the_interrupt_spin_lock_routines_stop_the_system() {
    for release in [false, true] {
        let rig = Rig::new(1);
        let device = rig.line("a", 5);
        let object = connect_ex(&rig, 1, &passive_block(&device, rig.refusing_isr(""))).result;
        let stop = rig.bench.try_on_thread(move |kernel| match release {
            false => kernel.ke_acquire_interrupt_spin_lock(object).map(|_| ()),
            true => kernel.ke_release_interrupt_spin_lock(object, 0),
        });
        let bug_check = dirql_rules::BugCheck::new(0x13B, [1, object, 0, 0]);
        assert_eq!(stop, Some(Err(bug_check.into())));
        assert_eq!(rig.findings(), [106]);
    }
}

#[test]
fn disconnect_waits_for_the_isr_and_ends_the_thread() {
    let rig = Rig::new(2);
    let device = rig.line("a", 5);
    let (log, id) = (rig.log.clone(), device.device);
    let interval = DriverPtr::new(rig.bench.variable(8));
    rig.kernel().write(interval, -1000_i64).unwrap();
    let isr = rig.bench.routine(move |kernel, _| {
        kernel.stimulate(id, &Stimulus::Release);
        log.add("isr begins");
        kernel.ke_delay_execution_thread(crate::ke::WaitMode::KERNEL, interval)?;
        log.add("isr ends");
        Ok(1)
    });
    let answer = connect_ex(&rig, 1, &passive_block(&device, isr));
    let (log, at) = (rig.log.clone(), rig.bench.variable(16));
    rig.press(&device);
    rig.bench.on_thread(move |kernel| {
        while log.len() == 0 {
            kernel.give_up_turn();
            kernel.yield_point()?;
        }
        disconnect_ex(kernel, at, 1, answer.result)?;
        log.add("gone");
        Ok(())
    });
    assert_eq!(rig.log.take(), ["isr begins", "isr ends", "gone"]);
    rig.press(&device);
    rig.run();
    assert_eq!(rig.log.len(), 0);
    assert_eq!(rig.kernel().threads_still_waiting(), []);
}

#[test]
fn a_passive_isr_must_return_at_passive_level() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let id = device.device;
    let isr = rig.bench.routine(move |kernel, _| {
        kernel.stimulate(id, &Stimulus::Release);
        kernel.raise_irql(Irql::DISPATCH);
        Ok(1)
    });
    let object = connect_ex(&rig, 1, &passive_block(&device, isr)).result;
    rig.press(&device);
    rig.kernel().run_until_idle();
    assert_eq!(rig.bug_check(), Some((0xC8, [2 << 16 | 3, isr, object, 0])));
}
