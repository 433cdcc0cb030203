//! Who is called, when, and in which order.

use alloc::rc::Rc;
use core::cell::Cell;

use dirql_abi::interrupt::connect_version::CONNECT_LINE_BASED;
use dirql_abi::interrupt::interrupt_mode;
use dirql_chips::{Stimulus, Trigger};

use super::*;
use crate::Platform;
use crate::io::interrupt::ConnectArguments;
use crate::ke::ProcessorId;

/// A line that is asserted already when the call begins.
#[test]
fn an_asserted_level_line_calls_the_isr_before_connect_returns() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    rig.press(&device);
    let isr = rig.isr("isr", device.device);
    let (log, good) = (rig.log.clone(), device.arguments(isr));
    let result = DriverPtr::new(rig.bench.variable(8));
    rig.bench.on_thread(move |kernel| {
        let status = kernel.io_connect_interrupt(result, good)?;
        log.add(status.is_success());
        Ok(())
    });
    assert_eq!(
        rig.log.take(),
        [
            alloc::format!("isr at {}", device.grant().irql.0),
            "true".into()
        ]
    );
}

#[test]
fn the_result_is_stored_before_the_interrupt_is_let_in() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    rig.press(&device);
    let result = DriverPtr::<u64>::new(rig.bench.variable(8));
    let (log, id) = (rig.log.clone(), device.device);
    let isr = rig.bench.routine(move |kernel, arguments| {
        kernel.stimulate(id, &Stimulus::Release);
        log.add(kernel.read(result)? == arguments[0]);
        Ok(1)
    });
    let good = device.arguments(isr);
    rig.bench
        .on_thread(move |kernel| kernel.io_connect_interrupt(result, good));
    assert_eq!(rig.log.take(), ["true"]);
}

/// An edge before anything is connected may be lost, and is.
#[test]
fn an_edge_before_connect_is_lost() {
    let rig = Rig::new(1);
    let device = rig.lines("a", &[(5, Trigger::Edge)], false);
    rig.press(&device);
    assert!(
        rig.connect(device.arguments(rig.isr("isr", device.device)))
            .0
            .is_success()
    );
    rig.run();
    assert_eq!(rig.log.len(), 0);
    rig.release(&device);
    rig.press(&device);
    rig.run();
    assert_eq!(rig.log.len(), 1);
}

/// A shared vector: another device may interrupt as soon as it is connected.
#[test]
fn another_device_on_the_line_can_cause_the_early_call() {
    let rig = Rig::new(1);
    let (a, b) = (rig.line("a", 5), rig.line("b", 5));
    rig.press(&b);
    let (log, id) = (rig.log.clone(), b.device);
    let isr = rig.bench.routine(move |kernel, _| {
        log.add("a asked");
        kernel.stimulate(id, &Stimulus::Release);
        Ok(0)
    });
    assert!(rig.connect(a.arguments(isr)).0.is_success());
    assert_eq!(rig.log.take(), ["a asked"]);
}

/// The level-sensitive rule: in order of connecting, stop at the first that claims.
#[test]
fn level_sensitive_stops_at_the_isr_that_claims() {
    let rig = Rig::new(1);
    let devices = [rig.line("a", 5), rig.line("b", 5), rig.line("c", 5)];
    let isrs = [
        rig.refusing_isr("a"),
        rig.isr("b", devices[1].device),
        rig.isr("c", devices[2].device),
    ];
    for (device, isr) in devices.iter().zip(isrs) {
        assert!(rig.connect(device.arguments(isr)).0.is_success());
    }
    let level = devices[0].grant().irql.0;
    rig.press(&devices[1]);
    rig.run();
    assert_eq!(rig.log.take(), ["a".into(), alloc::format!("b at {level}")]);
    assert_eq!(rig.findings(), []);
}

/// The line is still asserted when the chain is through: an immediate new pass.
#[test]
fn a_level_that_stays_asserted_is_a_new_pass() {
    let rig = Rig::new(1);
    let (a, b) = (rig.line("a", 5), rig.line("b", 5));
    let ask = |name: &'static str, started: &Started| {
        let (log, id) = (rig.log.clone(), started.device);
        let source = started.grant().sources[0];
        rig.bench.routine(move |kernel, _| {
            let mine = kernel.source_is_asserted(source);
            log.add(alloc::format!("{name} {mine}"));
            kernel.stimulate(id, &Stimulus::Release);
            Ok(u64::from(mine))
        })
    };
    for started in [&a, &b] {
        let name = if started.pdo == a.pdo { "a" } else { "b" };
        assert!(
            rig.connect(started.arguments(ask(name, started)))
                .0
                .is_success()
        );
    }
    rig.press(&a);
    rig.press(&b);
    rig.run();
    assert_eq!(rig.log.take(), ["a true", "a false", "b true"]);
    assert_eq!(rig.findings(), []);
}

/// The latched rule: every ISR, round after round, until a whole one claims nothing.
#[test]
fn latched_goes_round_until_nobody_claims() {
    let rig = Rig::new(1);
    let devices = ["a", "b"].map(|name| rig.lines(name, &[(5, Trigger::Edge)], true));
    for (name, device) in ["a", "b"].into_iter().zip(&devices) {
        let log = rig.log.clone();
        let claims = core::cell::Cell::new(if name == "a" { 1 } else { 2 });
        let isr = rig.bench.routine(move |_, _| {
            let left = claims.get();
            claims.set(left.max(1) - 1);
            log.add(alloc::format!("{name} {}", left > 0));
            Ok(u64::from(left > 0))
        });
        assert!(rig.connect(device.arguments(isr)).0.is_success());
    }
    rig.pulse(&devices[0], 0);
    rig.run();
    assert_eq!(
        rig.log.take(),
        [
            "a true", "b true", "a false", "b true", "a false", "b false"
        ]
    );
}

/// An edge of another device that arrives while the chain runs is not lost on the shared line.
#[test]
fn latched_and_alone_is_called_once() {
    let rig = Rig::new(1);
    let device = rig.lines("a", &[(5, Trigger::Edge)], false);
    assert!(
        rig.connect(device.arguments(rig.isr("isr", device.device)))
            .0
            .is_success()
    );
    rig.pulse(&device, 0);
    rig.run();
    assert_eq!(rig.log.len(), 1);
}

/// Edges while one is pending are one call; edges while the ISR runs bring one more.
#[test]
fn edges_are_merged_while_one_is_pending() {
    let rig = Rig::new(1);
    let device = rig.lines("a", &[(5, Trigger::Edge)], false);
    let (log, id) = (rig.log.clone(), device.device);
    let isr = rig.bench.routine(move |kernel, _| {
        log.add("isr");
        if log.len() == 1 {
            for _ in 0..2 {
                kernel.stimulate(id, &Stimulus::Interrupt(0));
            }
        }
        Ok(1)
    });
    assert!(rig.connect(device.arguments(isr)).0.is_success());
    for _ in 0..3 {
        rig.pulse(&device, 0);
    }
    rig.run();
    assert_eq!(rig.log.len(), 2);
}

#[test]
fn an_isr_that_was_disconnected_by_another_processor_does_not_hide_the_next_one() {
    let rig = Rig::new(2);
    let devices = ["a", "b"].map(|name| rig.lines(name, &[(5, Trigger::Edge)], true));
    let first = rig.bench.variable(8);
    let log = rig.log.clone();
    let isr = rig.bench.routine(move |kernel, _| {
        log.add("a");
        // Meanwhile the other processor takes this ISR off the chain, and waits for it.
        kernel.give_up_turn();
        kernel.yield_point()?;
        Ok(0)
    });
    let (status, object) = rig.connect(devices[0].arguments(isr));
    assert!(status.is_success());
    assert!(
        rig.connect(devices[1].arguments(rig.refusing_isr("b")))
            .0
            .is_success()
    );
    let (log, id) = (rig.log.clone(), devices[0].device);
    rig.spawn_on(0, move |kernel| {
        kernel.stimulate(id, &Stimulus::Interrupt(0));
        kernel.yield_point()
    });
    rig.spawn_on(1, move |kernel| {
        while log.len() == 0 {
            kernel.give_up_turn();
            kernel.yield_point()?;
        }
        kernel.io_disconnect_interrupt(object)?;
        log.add("gone");
        kernel.write(DriverPtr::new(first), 1_u64)?;
        Ok(())
    });
    rig.run();
    assert_eq!(rig.log.take(), ["a", "b", "gone"]);
}

/// Interrupts that IRQL held back come highest first when it falls, DPCs last.
#[test]
fn what_was_held_back_comes_highest_first() {
    let rig = Rig::new(1);
    let devices = [("a", 5), ("b", 9), ("c", 10)].map(|(name, gsi)| rig.line(name, gsi));
    for (name, device) in ["a", "b", "c"].into_iter().zip(&devices) {
        assert!(
            rig.connect(device.arguments(rig.isr(name, device.device)))
                .0
                .is_success()
        );
    }
    let mut expected: alloc::vec::Vec<(u8, &str)> = ["a", "b", "c"]
        .into_iter()
        .zip(&devices)
        .map(|(name, device)| (device.grant().irql.0, name))
        .collect();
    expected.sort_unstable();
    let expected: alloc::vec::Vec<_> = expected
        .iter()
        .rev()
        .map(|(level, name)| alloc::format!("{name} at {level}"))
        .collect();
    let ids = devices.map(|device| device.device);
    let (log, dpc) = (rig.log.clone(), DriverPtr::new(rig.bench.variable(64)));
    let routine = {
        let log = rig.log.clone();
        rig.bench.routine(move |kernel, _| {
            log.add(alloc::format!("dpc at {}", kernel.irql().0));
            Ok(0)
        })
    };
    rig.bench.on_thread(move |kernel| {
        kernel.ke_initialize_dpc(dpc, routine, 0)?;
        let old = kernel.ke_raise_irql(Irql::HIGH.0)?;
        kernel.ke_insert_queue_dpc(dpc, 0, 0)?;
        for id in ids {
            kernel.stimulate(id, &Stimulus::Press);
        }
        kernel.yield_point()?;
        log.add("lower");
        kernel.ke_lower_irql(old)?;
        log.add("done");
        Ok(())
    });
    let mut all = alloc::vec![alloc::string::String::from("lower")];
    all.extend(expected);
    all.extend(["dpc at 2".into(), "done".into()]);
    assert_eq!(rig.log.take(), all);
}

/// Interrupt at a higher level while an ISR runs: preempts it.
#[test]
fn an_isr_is_interrupted_by_a_higher_level_and_not_by_its_own_or_a_lower_one() {
    let rig = Rig::new(1);
    let mut devices = [("a", 5), ("b", 9), ("c", 10)].map(|(name, gsi)| rig.line(name, gsi));
    devices.sort_by_key(|device| device.grant().irql);
    let [low, middle, high] = devices;
    let ids = [low.device, high.device, middle.device];
    let log = rig.log.clone();
    let isr = rig.bench.routine(move |kernel, _| {
        log.add("middle begins");
        kernel.stimulate(ids[2], &Stimulus::Release);
        kernel.stimulate(ids[0], &Stimulus::Press);
        if log.len() < 3 {
            kernel.stimulate(ids[2], &Stimulus::Press);
        }
        kernel.stimulate(ids[1], &Stimulus::Press);
        kernel.yield_point()?;
        kernel.stimulate(ids[2], &Stimulus::Release);
        log.add("middle ends");
        Ok(1)
    });
    assert!(rig.connect(middle.arguments(isr)).0.is_success());
    assert!(
        rig.connect(low.arguments(rig.isr("low", low.device)))
            .0
            .is_success()
    );
    assert!(
        rig.connect(high.arguments(rig.isr("high", high.device)))
            .0
            .is_success()
    );
    rig.press(&middle);
    rig.run();
    let line =
        |name: &str, started: &Started| alloc::format!("{name} at {}", started.grant().irql.0);
    assert_eq!(
        rig.log.take(),
        [
            "middle begins".into(),
            line("high", &high),
            "middle ends".into(),
            line("low", &low)
        ]
    );
}

/// The same interrupt on a second processor while its lock is held: it spins there.
#[test]
fn one_isr_never_runs_on_two_processors_at_once() {
    let rig = Rig::new(4);
    let device = rig.lines("a", &[(5, Trigger::Edge)], false);
    let (log, id) = (rig.log.clone(), device.device);
    let isr = rig.bench.routine(move |kernel, _| {
        log.add(alloc::format!("enter on {}", kernel.processor().id.0));
        if log.len() == 1 {
            kernel.stimulate(id, &Stimulus::Interrupt(0));
        }
        for _ in 0..8 {
            kernel.give_up_turn();
            kernel.yield_point()?;
        }
        log.add(alloc::format!("leave on {}", kernel.processor().id.0));
        Ok(1)
    });
    assert!(rig.connect(device.arguments(isr)).0.is_success());
    rig.pulse(&device, 0);
    rig.run();
    assert_eq!(
        rig.log.take(),
        ["enter on 0", "leave on 0", "enter on 1", "leave on 1"]
    );
}

/// Pending until the level drops, or another processor of the mask.
#[test]
fn a_busy_processor_is_passed_over_and_with_all_busy_it_pends() {
    let rig = Rig::new(2);
    let device = rig.lines("a", &[(5, Trigger::Edge)], false);
    let log = rig.log.clone();
    let isr = rig.bench.routine(move |kernel, _| {
        log.add(alloc::format!("isr on {}", kernel.processor().id.0));
        Ok(1)
    });
    assert!(rig.connect(device.arguments(isr)).0.is_success());
    let (log, id) = (rig.log.clone(), device.device);
    rig.spawn_on(0, move |kernel| {
        let old = kernel.ke_raise_irql(Irql::HIGH.0)?;
        kernel.stimulate(id, &Stimulus::Interrupt(0));
        kernel.give_up_turn();
        kernel.yield_point()?;
        log.add("low again");
        kernel.ke_lower_irql(old)
    });
    rig.run();
    assert_eq!(rig.log.take(), ["isr on 1", "low again"]);

    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    assert!(
        rig.connect(device.arguments(rig.isr("isr", device.device)))
            .0
            .is_success()
    );
    let (log, id) = (rig.log.clone(), device.device);
    rig.bench.on_thread(move |kernel| {
        let old = kernel.ke_raise_irql(Irql::HIGH.0)?;
        kernel.stimulate(id, &Stimulus::Press);
        kernel.yield_point()?;
        log.add("low again");
        kernel.ke_lower_irql(old)
    });
    assert_eq!(rig.log.take()[0], "low again");
}

/// Interrupts are off with the flag, too.
#[test]
fn nothing_arrives_while_the_interrupt_flag_is_clear() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    assert!(
        rig.connect(device.arguments(rig.isr("isr", device.device)))
            .0
            .is_success()
    );
    let (log, id) = (rig.log.clone(), device.device);
    rig.bench.on_thread(move |kernel| {
        kernel.set_interrupt_flag(false);
        kernel.stimulate(id, &Stimulus::Press);
        kernel.yield_point()?;
        log.add("on");
        kernel.set_interrupt_flag(true);
        assert!(kernel.needs_attention());
        kernel.attend()
    });
    assert_eq!(rig.log.take()[0], "on");
    assert_eq!(rig.log.len(), 0);
}

#[test]
fn a_line_that_no_isr_silences_is_a_storm() {
    for chained in [false, true] {
        let rig = Rig::new(1);
        let device = rig.line("a", 5);
        let isr = rig.refusing_isr("");
        let (_, object) = rig.connect(device.arguments(isr));
        if chained {
            rig.connect(device.arguments(rig.refusing_isr("")));
        }
        rig.press(&device);
        rig.kernel().run_until_idle();
        let kind = if chained { 2 } else { 1 };
        assert_eq!(rig.bug_check(), Some((0xF2, [isr, 0xC0, object, kind])));
        assert!(rig.findings().contains(&122));
    }
}

/// An ISR that claims without silencing its device is a storm, too.
#[test]
fn claiming_does_not_end_a_storm() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let isr = rig.bench.routine(|_, _| Ok(1));
    rig.connect(device.arguments(isr));
    rig.press(&device);
    rig.kernel().run_until_idle();
    assert_eq!(rig.bug_check().map(|(code, _)| code), Some(0xF2));
}

/// Two devices on one line that claim every time, latched, would go round for ever.
#[test]
fn latched_isrs_that_always_claim_are_a_storm() {
    let rig = Rig::new(1);
    let devices = ["a", "b"].map(|name| rig.lines(name, &[(5, Trigger::Edge)], true));
    for device in &devices {
        rig.connect(device.arguments(rig.bench.routine(|_, _| Ok(1))));
    }
    rig.pulse(&devices[0], 0);
    rig.kernel().run_until_idle();
    assert_eq!(rig.bug_check().map(|(code, _)| code), Some(0xF2));
}

#[test]
fn an_isr_that_returns_at_another_level_stops_the_system() {
    for change in [1_i8, -1] {
        let rig = Rig::new(1);
        let device = rig.line("a", 5);
        let id = device.device;
        let isr = rig.bench.routine(move |kernel, _| {
            kernel.stimulate(id, &Stimulus::Release);
            kernel.set_irql(Irql(kernel.irql().0.wrapping_add_signed(change)));
            Ok(1)
        });
        let (_, object) = rig.connect(device.arguments(isr));
        rig.press(&device);
        rig.kernel().run_until_idle();
        let expected = u64::from(device.grant().irql.0);
        let now = u64::from(device.grant().irql.0.wrapping_add_signed(change));
        assert_eq!(
            rig.bug_check(),
            Some((0xC8, [now << 16 | expected << 8 | 3, isr, object, 0]))
        );
        assert_eq!(rig.findings(), [120]);
    }
}

#[test]
fn an_isr_that_leaves_interrupts_off_is_told() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let id = device.device;
    let isr = rig.bench.routine(move |kernel, _| {
        kernel.stimulate(id, &Stimulus::Release);
        kernel.set_interrupt_flag(false);
        Ok(1)
    });
    rig.connect(device.arguments(isr));
    rig.press(&device);
    rig.run();
    assert_eq!(rig.findings(), [124]);
    assert!(rig.kernel().processor().interrupt_flag.get());
}

/// A BOOLEAN is a byte: what is above it in the register is rubbish.
#[test]
fn only_the_low_byte_of_the_isrs_answer_counts() {
    for (answer, claims) in [
        (0x100, false),
        (0xFFFF_FF00, false),
        (0x80, true),
        (1, true),
    ] {
        let rig = Rig::new(1);
        let (a, b) = (rig.line("a", 5), rig.line("b", 5));
        let (id, log) = (a.device, rig.log.clone());
        rig.connect(a.arguments(rig.bench.routine(move |kernel, _| {
            kernel.stimulate(id, &Stimulus::Release);
            log.add("a");
            Ok(answer)
        })));
        rig.connect(b.arguments(rig.refusing_isr("b")));
        rig.press(&a);
        rig.run();
        assert_eq!(rig.log.len() == 1, claims, "{answer:#x}");
    }
}

#[test]
fn claiming_a_shared_line_for_a_quiet_device_again_is_told() {
    for (claims, expected) in [(1, &[][..]), (2, &[123])] {
        let rig = Rig::new(1);
        let (a, b) = (rig.line("a", 5), rig.line("b", 5));
        let (called, id) = (Rc::new(Cell::new(0)), b.device);
        let greedy = rig.bench.routine(move |kernel, _| {
            called.set(called.get() + 1);
            // What is judged begins with the second call, since before the first one anything
            // may have happened.
            if called.get() == 1 + claims {
                kernel.stimulate(id, &Stimulus::Release);
            }
            Ok(1)
        });
        rig.connect(a.arguments(greedy));
        rig.connect(b.arguments(rig.isr("b", b.device)));
        rig.press(&b);
        rig.run();
        assert_eq!(rig.findings(), expected);
    }
}

#[test]
fn claiming_alone_what_a_stranger_asserts_is_told_and_the_stranger_is_served() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    rig.connect(device.arguments(rig.bench.routine(|_, _| Ok(1))));
    assert!(rig.kernel().assert_shared_lines(device.device));
    rig.run();
    assert_eq!(rig.findings(), [123]);
    assert!(!rig.kernel().line_is_asserted(5, None));
}

#[test]
fn an_isr_that_refuses_what_a_stranger_asserts_is_called_once() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    rig.connect(device.arguments(rig.refusing_isr("a")));
    assert!(rig.kernel().assert_shared_lines(device.device));
    rig.run();
    assert_eq!(rig.findings(), []);
    assert_eq!(rig.log.len(), 1);
    assert!(!rig.kernel().line_is_asserted(5, None));
}

/// The device asserts its line beside the stranger, again and again, and an ISR may see that a
/// call late.
#[test]
fn a_claim_of_what_the_device_asserted_since_the_last_call_is_founded() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let (left, id) = (Rc::new(Cell::new(6)), device.device);
    let isr = rig.bench.routine(move |kernel, _| {
        if left.get() == 0 {
            return Ok(0);
        }
        left.set(left.get() - 1);
        // Silent before the next call, which claims it all the same.
        kernel.stimulate(id, &Stimulus::Press);
        kernel.stimulate(id, &Stimulus::Release);
        Ok(1)
    });
    rig.connect(device.arguments(isr));
    assert!(rig.kernel().assert_shared_lines(device.device));
    rig.run();
    assert_eq!(rig.findings(), []);
}

/// No stranger could be on the line.
#[test]
fn an_exclusive_line_has_no_stranger() {
    let rig = Rig::new(1);
    let device = rig.lines("a", &[(5, Trigger::Level)], false);
    assert!(!rig.kernel().assert_shared_lines(device.device));
}

/// Nobody else is on the line: a late claim of one's own is no harm.
#[test]
fn claiming_alone_is_nobodys_business() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    rig.connect(device.arguments(rig.bench.routine(|_, _| Ok(1))));
    rig.kernel()
        .request_vector(ProcessorId(0), device.grant().vector, Trigger::Edge);
    rig.run();
    assert_eq!(rig.findings(), []);
}

/// A vector that was in flight when its ISR was disconnected goes nowhere.
#[test]
fn a_vector_without_an_isr_is_ended_quietly() {
    let rig = Rig::new(1);
    rig.kernel()
        .request_vector(ProcessorId(0), dirql_chips::Vector(0x51), Trigger::Edge);
    rig.run();
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

#[test]
fn one_vector_shared_by_two_connections_of_one_driver_calls_both() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let first = rig.refusing_isr("first");
    let second = rig.isr("second", device.device);
    for isr in [first, second] {
        assert!(
            connect_ex(&rig, CONNECT_LINE_BASED, &line_based(device.pdo, isr))
                .status
                .is_success()
        );
    }
    rig.press(&device);
    rig.run();
    assert_eq!(rig.log.len(), 2);
}

/// A mask that leaves out the processor that the line is delivered to would storm without
/// anybody to call.
#[test]
fn an_interrupt_goes_only_where_it_is_connected() {
    let rig = Rig::new(4);
    let device = rig.line("a", 5);
    let (log, id) = (rig.log.clone(), device.device);
    let isr = rig.bench.routine(move |kernel, _| {
        kernel.stimulate(id, &Stimulus::Release);
        log.add(kernel.processor().id.0);
        Ok(1)
    });
    rig.connect(ConnectArguments {
        processor_enable_mask: 0b1000,
        ..device.arguments(isr)
    });
    rig.press(&device);
    rig.run();
    assert_eq!(rig.log.take(), ["3"]);
}

/// Latched connection of a line that is level-sensitive: called once per assertion, and again
/// while it stays asserted.
#[test]
fn the_machine_decides_the_trigger_not_the_driver() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let latched = ConnectArguments {
        interrupt_mode: interrupt_mode::Latched,
        ..device.arguments(rig.isr("isr", device.device))
    };
    rig.connect(latched);
    rig.press(&device);
    rig.run();
    assert_eq!(rig.log.len(), 1);
    assert!(!rig.bench.platform.on_strand());
}
