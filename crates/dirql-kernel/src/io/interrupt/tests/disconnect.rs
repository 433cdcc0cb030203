//! Disconnecting: what goes with what, and that the ISR is over.

use dirql_abi::bugcheck::code;
use dirql_abi::interrupt::connect_version::*;
use dirql_chips::Stimulus;

use super::*;
use crate::Outcome;
use crate::hal::MessageWish;

/// Connects as `asked`, disconnects as `version`, and says whether that was right.
#[track_caller]
fn pair(asked: u32, fallback: bool, version: u32) {
    let rig = Rig::new(2);
    let device = if asked == CONNECT_MESSAGE_BASED && !fallback {
        rig.messages("a", 2, MessageWish::Msix(2))
    } else {
        rig.line("a", 5)
    };
    let isr = rig.isr("isr", device.device);
    let answer = match asked {
        CONNECT_LINE_BASED => connect_ex(&rig, asked, &line_based(device.pdo, isr)),
        CONNECT_MESSAGE_BASED => connect_ex(&rig, asked, &message_based(device.pdo, isr, isr)),
        _ => connect_ex(&rig, asked, &fully_specified(&device, isr)),
    };
    assert!(answer.status.is_success());
    let at = rig.bench.variable(16);
    let done = rig
        .bench
        .try_on_thread(move |kernel| disconnect_ex(kernel, at, version, answer.result));
    if version == answer.version {
        assert_eq!(done, Some(Ok(())), "{asked} {version}");
        assert_eq!(rig.findings(), []);
        assert!(rig.kernel().ke.interrupts.objects().is_empty());
    } else {
        let bug_check =
            dirql_rules::BugCheck::new(code::PNP_DETECTED_FATAL_ERROR, [9, version.into(), 0, 0]);
        assert_eq!(done, Some(Err(bug_check.into())), "{asked} {version}");
        assert_eq!(rig.findings(), [130]);
        assert!(!rig.kernel().ke.interrupts.objects().is_empty());
    }
}

#[test]
fn version_and_context_are_those_that_connect_returned() {
    for asked in [
        CONNECT_FULLY_SPECIFIED,
        CONNECT_LINE_BASED,
        CONNECT_MESSAGE_BASED,
        CONNECT_FULLY_SPECIFIED_GROUP,
    ] {
        for version in 0..=6 {
            pair(asked, false, version);
        }
    }
}

/// Asked 3, got 2: 2 and the interrupt object.
#[test]
fn after_a_fallback_version_2_goes_with_the_object() {
    for version in 1..=5 {
        pair(CONNECT_MESSAGE_BASED, true, version);
    }
}

#[test]
fn the_old_routines_go_together() {
    let rig = Rig::new(2);
    let device = rig.line("a", 5);
    let (_, object) = rig.connect(device.arguments(rig.isr("isr", device.device)));
    rig.bench
        .on_thread(move |kernel| kernel.io_disconnect_interrupt(object));
    assert_eq!(rig.findings(), []);
    assert!(rig.kernel().ke.interrupts.objects().is_empty());
}

#[test]
fn mixing_the_old_and_the_ex_routines_is_told_and_done() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let isr = rig.isr("isr", device.device);
    let (_, old) = rig.connect(device.arguments(isr));
    let at = rig.bench.variable(16);
    rig.bench
        .on_thread(move |kernel| disconnect_ex(kernel, at, CONNECT_FULLY_SPECIFIED, old));
    let ex = connect_ex(&rig, CONNECT_LINE_BASED, &line_based(device.pdo, isr)).result;
    rig.bench
        .on_thread(move |kernel| kernel.io_disconnect_interrupt(ex));
    assert_eq!(rig.findings(), [130, 130]);
    assert!(rig.kernel().ke.interrupts.objects().is_empty());
}

#[track_caller]
fn unknown(rig: &Rig, object: u64) {
    let ended = rig
        .bench
        .try_on_thread(move |kernel| kernel.io_disconnect_interrupt(object));
    assert_eq!(ended, Some(Err(crate::Stop::Ended)));
    assert_eq!(rig.kernel().outcome(), Some(Outcome::Finding));
    assert_eq!(rig.findings(), [131]);
}

#[test]
fn disconnecting_twice_is_told_with_the_first_place() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let (_, object) = rig.connect(device.arguments(rig.isr("isr", device.device)));
    rig.bench
        .on_thread(move |kernel| kernel.io_disconnect_interrupt(object));
    unknown(&rig, object);
    assert!(rig.kernel().findings()[0].earlier.is_some());
}

#[test]
fn disconnecting_what_was_never_connected_is_told() {
    let rig = Rig::new(1);
    unknown(&rig, 0);
    let rig = Rig::new(1);
    unknown(&rig, 0x1234_5678);
}

#[test]
fn a_messages_object_is_not_what_connect_returned() {
    let rig = Rig::new(1);
    let device = rig.messages("a", 2, MessageWish::Msix(2));
    let answer = connect_ex(
        &rig,
        CONNECT_MESSAGE_BASED,
        &message_based(device.pdo, rig.refusing_isr(""), 0),
    );
    let object = rig
        .kernel()
        .read(DriverPtr::<u64>::new(answer.result + 8 + 16))
        .unwrap();
    unknown(&rig, object);
}

#[test]
fn a_device_that_still_asserts_its_line_is_told() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    disconnect_while_asserted(&rig, &device);
    assert_eq!(rig.findings(), [134]);
}

#[test]
fn a_device_that_cannot_be_silenced_may_assert_its_line() {
    let rig = Rig::new(1);
    let device = rig.button("a", 5);
    disconnect_while_asserted(&rig, &device);
    assert_eq!(rig.findings(), []);
}

fn disconnect_while_asserted(rig: &Rig, device: &Started) {
    let isr = rig.refusing_isr("isr");
    let (_, object) = rig.connect(device.arguments(isr));
    let id = device.device;
    rig.bench.on_thread(move |kernel| {
        let old = kernel.ke_raise_irql(Irql::HIGH.0)?;
        assert!(kernel.stimulate(id, &Stimulus::Press));
        // As if nothing had been taken in between.
        kernel.set_irql(Irql(old));
        kernel.io_disconnect_interrupt(object)
    });
}

/// On a shared line it is the other device's business.
#[test]
fn another_devices_assertion_is_not_blamed_on_this_one() {
    let rig = Rig::new(1);
    let (a, b) = (rig.line("a", 5), rig.line("b", 5));
    let isr = rig.refusing_isr("a");
    let block = line_based(a.pdo, isr);
    let answer = connect_ex(&rig, CONNECT_LINE_BASED, &block);
    rig.connect(b.arguments(rig.isr("b", b.device)));
    let (id, at) = (b.device, rig.bench.variable(16));
    rig.bench.on_thread(move |kernel| {
        let old = kernel.ke_raise_irql(Irql::HIGH.0)?;
        kernel.stimulate(id, &Stimulus::Press);
        kernel.set_irql(Irql(old));
        disconnect_ex(kernel, at, CONNECT_LINE_BASED, answer.result)
    });
    assert_eq!(rig.findings(), []);
    // It went on to who is left.
    assert_eq!(
        rig.log.take().last().unwrap().as_str(),
        alloc::format!("b at {}", b.grant().irql.0)
    );
}

/// With nobody left the line is masked, and asserting it does nothing until the next connect.
#[test]
fn the_line_is_masked_with_the_last_connection() {
    let rig = Rig::new(1);
    let (a, b) = (rig.line("a", 5), rig.line("b", 5));
    let (_, first) = rig.connect(a.arguments(rig.isr("a", a.device)));
    let (_, second) = rig.connect(b.arguments(rig.isr("b", b.device)));
    rig.bench
        .on_thread(move |kernel| kernel.io_disconnect_interrupt(first));
    rig.press(&b);
    rig.run();
    assert_eq!(
        rig.log.take().len(),
        1,
        "the other connection keeps the line open"
    );
    rig.bench
        .on_thread(move |kernel| kernel.io_disconnect_interrupt(second));
    rig.press(&a);
    rig.run();
    assert_eq!(rig.log.len(), 0);
    rig.connect(a.arguments(rig.isr("a", a.device)));
    assert_eq!(rig.log.len(), 1, "a level is not lost");
}

/// No call of the ISR is in progress on any processor when disconnect returns.
#[test]
fn disconnect_waits_for_an_isr_that_runs_on_another_processor() {
    let rig = Rig::new(2);
    let device = rig.line("a", 5);
    let (log, id) = (rig.log.clone(), device.device);
    let isr = rig.bench.routine(move |kernel, _| {
        kernel.stimulate(id, &Stimulus::Release);
        log.add("isr begins");
        for _ in 0..8 {
            kernel.give_up_turn();
            kernel.yield_point()?;
        }
        log.add("isr ends");
        Ok(1)
    });
    let (_, object) = rig.connect(device.arguments(isr));
    let log = rig.log.clone();
    rig.spawn_on(0, move |kernel| {
        kernel.stimulate(id, &Stimulus::Press);
        kernel.yield_point()
    });
    rig.spawn_on(1, move |kernel| {
        while log.len() == 0 {
            kernel.give_up_turn();
            kernel.yield_point()?;
        }
        log.add("disconnect");
        kernel.io_disconnect_interrupt(object)?;
        log.add("gone");
        Ok(())
    });
    rig.run();
    assert_eq!(
        rig.log.take(),
        ["isr begins", "disconnect", "isr ends", "gone"]
    );
}

/// A processor that waits for the lock while the interrupt is disconnected does not call.
#[test]
fn an_isr_that_waited_for_its_lock_does_not_start_after_disconnect() {
    let rig = Rig::new(3);
    let device = rig.lines("a", &[(5, dirql_chips::Trigger::Edge)], false);
    let isr = rig.refusing_isr("isr");
    let (_, object) = rig.connect(device.arguments(isr));
    let (log, id) = (rig.log.clone(), device.device);
    // Processor 0 holds the lock; 1 takes the interrupt and spins; 2 disconnects and spins.
    rig.spawn_on(0, move |kernel| {
        let old = kernel.ke_acquire_interrupt_spin_lock(object)?;
        kernel.stimulate(id, &Stimulus::Interrupt(0));
        for _ in 0..8 {
            kernel.give_up_turn();
            kernel.yield_point()?;
        }
        log.add("released");
        kernel.ke_release_interrupt_spin_lock(object, old)
    });
    let log = rig.log.clone();
    rig.spawn_on(2, move |kernel| {
        for _ in 0..2 {
            kernel.give_up_turn();
            kernel.yield_point()?;
        }
        kernel.io_disconnect_interrupt(object)?;
        log.add("gone");
        Ok(())
    });
    rig.kernel().run_until_idle();
    let log = rig.log.take();
    // The holder's own use of the object after it is gone is told; what counts is the ISR.
    assert!(!log.contains(&"isr".into()), "{log:?}");
}

#[test]
fn using_an_object_after_disconnect_is_told() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let (_, object) = rig.connect(device.arguments(rig.isr("isr", device.device)));
    let routine = rig.bench.routine(|_, _| Ok(1));
    rig.bench
        .on_thread(move |kernel| kernel.io_disconnect_interrupt(object));
    let ended = rig
        .bench
        .try_on_thread(move |kernel| kernel.ke_synchronize_execution(object, routine, 0));
    assert_eq!(ended, Some(Err(crate::Stop::Ended)));
    assert_eq!(rig.findings(), [131]);
}

/// Memory of objects that are gone is used again, late.
#[test]
fn connecting_for_ever_does_not_use_up_memory() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let good = device.arguments(rig.refusing_isr(""));
    let result = DriverPtr::new(rig.bench.variable(8));
    let addresses = rig.bench.on_thread(move |kernel| {
        let mut addresses = alloc::collections::BTreeSet::new();
        for _ in 0..5000 {
            kernel.io_connect_interrupt(result, good)?;
            let object = kernel.read(result)?;
            addresses.insert(object);
            kernel.io_disconnect_interrupt(object)?;
        }
        Ok(addresses)
    });
    assert_eq!(
        addresses.len(),
        1025,
        "as many as wait in quarantine, and one"
    );
}

/// IoGetAffinityInterrupt: works for objects of either routine, and for nothing else.
#[test]
fn the_affinity_of_an_object_and_of_what_is_none() {
    let rig = Rig::new(3);
    let device = rig.line("a", 5);
    let isr = rig.isr("isr", device.device);
    let (_, old) = rig.connect(device.arguments(isr));
    let ex = connect_ex(&rig, CONNECT_LINE_BASED, &line_based(device.pdo, isr)).result;
    let affinity = DriverPtr::new(rig.bench.variable(16));
    for object in [old, ex] {
        assert_eq!(
            rig.kernel().io_get_affinity_interrupt(object, affinity),
            Ok(NtStatus::SUCCESS)
        );
        let found = rig.kernel().read(affinity).unwrap();
        assert_eq!(
            (found.mask, found.group, found.reserved),
            (0b111, 0, [0; 3])
        );
    }
    assert_eq!(
        rig.kernel().io_get_affinity_interrupt(0x1234, affinity),
        Ok(NtStatus::INVALID_PARAMETER)
    );
}

/// Rebalance: after stop and start with another vector the level arrives.
#[test]
fn a_level_that_was_in_flight_at_stop_arrives_after_start_with_another_vector() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let isr = rig.isr("isr", device.device);
    let (_, object) = rig.connect(device.arguments(isr));
    let id = device.device;
    rig.bench.on_thread(move |kernel| {
        // Accepted by the local APIC, not taken: the pin waits for its end.
        let old = kernel.ke_raise_irql(Irql::HIGH.0)?;
        kernel.stimulate(id, &Stimulus::Press);
        kernel.set_irql(Irql(old));
        kernel.io_disconnect_interrupt(object)
    });
    // So that another vector is given.
    let taken = device.grant().vector;
    rig.kernel().take_resources(device.device);
    let again = rig.restart(device.device, device.pdo);
    assert_ne!(again.grant().vector, taken);
    rig.connect(again.arguments(isr));
    assert_eq!(rig.log.len(), 1);
}

/// Removing or flushing it is the driver's affair.
#[test]
fn a_dpc_that_is_queued_survives_disconnect() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let (_, object) = rig.connect(device.arguments(rig.isr("isr", device.device)));
    let log = rig.log.clone();
    let routine = rig.bench.routine(move |_, _| {
        log.add("dpc");
        Ok(0)
    });
    let dpc = DriverPtr::new(rig.bench.variable(64));
    rig.kernel().ke_initialize_dpc(dpc, routine, 0).unwrap();
    let log = rig.log.clone();
    rig.bench.on_thread(move |kernel| {
        // At this level it waits.
        kernel.ke_raise_irql(Irql::DISPATCH.0)?;
        kernel.ke_insert_queue_dpc(dpc, 0, 0)?;
        kernel.io_disconnect_interrupt(object)?;
        log.add("disconnected");
        kernel.ke_lower_irql(0)
    });
    assert_eq!(rig.log.take(), ["disconnected", "dpc"]);
}
