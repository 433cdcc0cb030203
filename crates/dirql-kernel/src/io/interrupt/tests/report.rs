//! Reporting an interrupt active and inactive.

use dirql_abi::interrupt::connect_version::{CONNECT_LINE_BASED, CONNECT_MESSAGE_BASED};
use dirql_chips::Stimulus;

use super::*;
use crate::hal::MessageWish;

#[test]
fn calls_stop_while_inactive_and_a_level_is_delivered_when_active_again() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let answer = connect_ex(
        &rig,
        CONNECT_LINE_BASED,
        &line_based(device.pdo, rig.isr("isr", device.device)),
    );
    let (pair, at) = ((CONNECT_LINE_BASED, answer.result), rig.bench.variable(16));
    rig.bench
        .on_thread(move |kernel| report(kernel, at, pair, false));
    rig.press(&device);
    rig.run();
    assert_eq!(rig.log.len(), 0);
    rig.bench
        .on_thread(move |kernel| report(kernel, at, pair, true));
    assert_eq!(rig.log.len(), 1);
    assert_eq!(rig.findings(), []);
}

/// Repeats are harmless, and disconnect is legal either way.
#[test]
fn repeats_are_harmless() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let answer = connect_ex(
        &rig,
        CONNECT_LINE_BASED,
        &line_based(device.pdo, rig.isr("isr", device.device)),
    );
    let (pair, at) = ((CONNECT_LINE_BASED, answer.result), rig.bench.variable(16));
    rig.bench.on_thread(move |kernel| {
        for active in [true, true, false, false, true, true] {
            report(kernel, at, pair, active)?;
        }
        Ok(())
    });
    rig.press(&device);
    rig.run();
    assert_eq!(rig.log.len(), 1);
    rig.bench.on_thread(move |kernel| {
        report(kernel, at, pair, false)?;
        disconnect_ex(kernel, at, CONNECT_LINE_BASED, answer.result)
    });
    // As before it was ever connected.
    assert!(
        rig.connect(device.arguments(rig.isr("again", device.device)))
            .0
            .is_success()
    );
    rig.press(&device);
    rig.run();
    assert_eq!(rig.log.len(), 2);
    assert_eq!(rig.findings(), []);
}

#[test]
fn a_message_that_arrives_while_inactive_is_lost() {
    let rig = Rig::new(1);
    let device = rig.messages("a", 2, MessageWish::Msix(2));
    let isr = rig.refusing_isr("isr");
    let answer = connect_ex(
        &rig,
        CONNECT_MESSAGE_BASED,
        &message_based(device.pdo, isr, 0),
    );
    let (pair, at) = (
        (CONNECT_MESSAGE_BASED, answer.result),
        rig.bench.variable(16),
    );
    rig.bench
        .on_thread(move |kernel| report(kernel, at, pair, false));
    rig.pulse(&device, 1);
    rig.run();
    rig.bench
        .on_thread(move |kernel| report(kernel, at, pair, true));
    assert_eq!(rig.log.len(), 0);
    rig.pulse(&device, 1);
    rig.run();
    assert_eq!(rig.log.len(), 1);
    rig.bench.on_thread(move |kernel| {
        report(kernel, at, pair, false)?;
        disconnect_ex(kernel, at, CONNECT_MESSAGE_BASED, answer.result)
    });
    assert!(
        rig.kernel()
            .sources()
            .iter()
            .all(|(_, source)| source.users == 0)
    );
}

/// A shared line with another active ISR stays open: a device that is not silent fires for ever.
#[test]
fn an_inactive_device_on_a_shared_line_that_is_not_silent_is_a_storm() {
    let rig = Rig::new(1);
    let (a, b) = (rig.line("a", 5), rig.line("b", 5));
    let answer = connect_ex(
        &rig,
        CONNECT_LINE_BASED,
        &line_based(a.pdo, rig.isr("a", a.device)),
    );
    rig.connect(b.arguments(rig.refusing_isr("b")));
    let (pair, at) = ((CONNECT_LINE_BASED, answer.result), rig.bench.variable(16));
    rig.bench
        .on_thread(move |kernel| report(kernel, at, pair, false));
    rig.press(&a);
    rig.kernel().run_until_idle();
    assert_eq!(rig.bug_check().map(|(code, _)| code), Some(0xF2));
}

#[test]
fn a_device_that_asserts_its_line_when_reported_inactive_is_told() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let answer = connect_ex(
        &rig,
        CONNECT_LINE_BASED,
        &line_based(device.pdo, rig.isr("isr", device.device)),
    );
    let (pair, at, id) = (
        (CONNECT_LINE_BASED, answer.result),
        rig.bench.variable(16),
        device.device,
    );
    rig.bench.on_thread(move |kernel| {
        let old = kernel.ke_raise_irql(Irql::HIGH.0)?;
        kernel.stimulate(id, &Stimulus::Press);
        kernel.set_irql(Irql(old));
        report(kernel, at, pair, false)
    });
    assert_eq!(rig.findings(), [134]);
}

/// An object of IoConnectInterrupt has no context for these; nor does a wrong Version.
#[test]
fn only_what_the_ex_routine_returned_is_a_context() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let isr = rig.isr("isr", device.device);
    let (_, old) = rig.connect(device.arguments(isr));
    let ex = connect_ex(&rig, CONNECT_LINE_BASED, &line_based(device.pdo, isr)).result;
    let at = rig.bench.variable(16);
    rig.bench.on_thread(move |kernel| {
        for pair in [(1, old), (3, ex), (2, 0x1234)] {
            report(kernel, at, pair, false)?;
        }
        Ok(())
    });
    assert!(rig.findings().iter().all(|rule| *rule == 137));
    rig.press(&device);
    rig.run();
    assert_eq!(rig.log.len(), 1, "nothing has changed");
}

/// A processor that waits for the lock while the interrupt is reported inactive does not call.
#[test]
fn an_isr_that_waited_for_its_lock_does_not_start_after_the_report() {
    let rig = Rig::new(3);
    let device = rig.lines("a", &[(5, dirql_chips::Trigger::Edge)], false);
    let isr = rig.refusing_isr("isr");
    let answer = connect_ex(&rig, CONNECT_LINE_BASED, &line_based(device.pdo, isr));
    let (object, id) = (answer.result, device.device);
    let (log, reported) = (rig.log.clone(), rig.log.clone());
    // Processor 0 holds the lock; 1 takes the interrupt and spins; 2 reports.
    rig.spawn_on(0, move |kernel| {
        let old = kernel.ke_acquire_interrupt_spin_lock(object)?;
        kernel.stimulate(id, &Stimulus::Interrupt(0));
        for _ in 0..100 {
            if reported.len() > 0 {
                break;
            }
            kernel.give_up_turn();
            kernel.yield_point()?;
        }
        kernel.ke_release_interrupt_spin_lock(object, old)
    });
    let at = rig.bench.variable(16);
    rig.spawn_on(2, move |kernel| {
        let spins = || kernel.processors()[1].spin.get().is_some();
        for _ in 0..100 {
            if spins() {
                break;
            }
            kernel.give_up_turn();
            kernel.yield_point()?;
        }
        assert!(spins(), "the interrupt waits for the lock on processor 1");
        report(kernel, at, (CONNECT_LINE_BASED, object), false)?;
        log.add("inactive");
        Ok(())
    });
    rig.run();
    assert_eq!(rig.log.take(), ["inactive"]);
}
