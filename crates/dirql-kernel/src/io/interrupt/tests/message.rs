//! Version 3: messages, the message table, locks and levels, and the fallback to the line.

use dirql_abi::interrupt::connect_version::{CONNECT_LINE_BASED, CONNECT_MESSAGE_BASED};
use dirql_abi::interrupt::{IoInterruptMessageInfo, IoInterruptMessageInfoEntry, interrupt_mode};
use dirql_abi::{Irql, NtStatus};
use dirql_chips::Stimulus;

use super::*;
use crate::hal::MessageWish;

/// The message table at an address.
fn table(
    rig: &Rig,
    at: u64,
) -> (
    IoInterruptMessageInfo,
    alloc::vec::Vec<IoInterruptMessageInfoEntry>,
) {
    let head = rig
        .kernel()
        .read(DriverPtr::<IoInterruptMessageInfo>::new(at))
        .unwrap();
    let entries = (0..head.message_count).map(|index| {
        rig.kernel()
            .read(DriverPtr::new(
                at + IoInterruptMessageInfo::entry_offset(index),
            ))
            .unwrap()
    });
    (head, entries.collect())
}

/// A message ISR that writes down its message and level.
fn message_isr(rig: &Rig) -> u64 {
    let log = rig.log.clone();
    rig.bench.routine(move |kernel, arguments| {
        log.add(alloc::format!(
            "message {} at {}",
            arguments[2],
            kernel.irql().0
        ));
        Ok(1)
    })
}

#[test]
fn with_messages_the_result_is_a_message_table_and_version_stays_3() {
    let rig = Rig::new(2);
    let device = rig.messages("a", 4, MessageWish::Msix(4));
    let isr = message_isr(&rig);
    let answer = connect_ex(
        &rig,
        CONNECT_MESSAGE_BASED,
        &message_based(device.pdo, isr, 0),
    );
    assert_eq!(
        (answer.status, answer.version),
        (NtStatus::SUCCESS, CONNECT_MESSAGE_BASED)
    );
    let (head, entries) = table(&rig, answer.result);
    assert_eq!((head.unified_irql, head.message_count), (Irql::PASSIVE, 4));
    for (entry, grant) in entries.iter().zip(&device.grants) {
        assert_eq!(
            (entry.vector, entry.irql),
            (grant.vector.0.into(), grant.irql)
        );
        assert_eq!(
            (entry.target_processor_set, entry.mode),
            (0b11, interrupt_mode::Latched)
        );
        assert_eq!(entry.message_address & 0xFFF0_0000, 0xFEE0_0000);
        assert_eq!(entry.message_data & 0xFF, u32::from(grant.vector.0));
        assert!(
            rig.kernel()
                .ke
                .interrupts
                .object(entry.interrupt_object)
                .is_some()
        );
    }
}

#[test]
fn each_message_calls_the_isr_with_its_number() {
    for wish in [MessageWish::Msi(4), MessageWish::Msix(4)] {
        let rig = Rig::new(1);
        let device = rig.messages("a", 4, wish);
        let isr = message_isr(&rig);
        assert!(
            connect_ex(
                &rig,
                CONNECT_MESSAGE_BASED,
                &message_based(device.pdo, isr, 0)
            )
            .status
            .is_success()
        );
        for message in [2, 0, 3, 1] {
            rig.pulse(&device, message);
            rig.run();
            assert!(
                rig.log.take()[0].starts_with(&alloc::format!("message {message} ")),
                "{wish:?}"
            );
        }
    }
}

/// In a message ISR the object equals the one in the table.
#[test]
fn the_isr_is_given_the_entrys_object() {
    let rig = Rig::new(1);
    let device = rig.messages("a", 2, MessageWish::Msix(2));
    let log = rig.log.clone();
    let isr = rig.bench.routine(move |_, arguments| {
        log.add(arguments[0]);
        Ok(1)
    });
    let answer = connect_ex(
        &rig,
        CONNECT_MESSAGE_BASED,
        &message_based(device.pdo, isr, 0),
    );
    let (_, entries) = table(&rig, answer.result);
    rig.pulse(&device, 1);
    rig.run();
    assert_eq!(
        rig.log.take(),
        [alloc::format!("{}", entries[1].interrupt_object)]
    );
}

/// The rows on lock and level. `lock` and `level` are what the driver gives; expected is the
/// common level, if there is one.
#[track_caller]
fn check_levels(lock: bool, level: fn(Irql) -> Irql, expected: Option<fn(Irql) -> Irql>) {
    let rig = Rig::new(1);
    let device = rig.messages("a", 3, MessageWish::Msix(3));
    let isr = message_isr(&rig);
    let highest = device.grants.iter().map(|grant| grant.irql).max().unwrap();
    let word = rig.bench.variable(8);
    let mut block = message_based(device.pdo, isr, 0);
    block.spin_lock = if lock { word } else { 0 };
    block.synchronize_irql = level(highest);
    let answer = connect_ex(&rig, CONNECT_MESSAGE_BASED, &block);
    assert!(answer.status.is_success());
    let (head, entries) = table(&rig, answer.result);
    assert_eq!(
        head.unified_irql,
        expected.map_or(Irql::PASSIVE, |expected| expected(highest))
    );
    let objects: alloc::vec::Vec<_> = entries
        .iter()
        .map(|entry| {
            rig.kernel()
                .ke
                .interrupts
                .object(entry.interrupt_object)
                .unwrap()
                .isr
        })
        .collect();
    for (isr, grant) in objects.iter().zip(&device.grants) {
        let level = expected.map_or(grant.irql, |expected| expected(highest));
        assert_eq!(isr.synchronize_irql, level);
        assert_eq!(isr.lock == word, lock);
    }
    let mut locks: alloc::vec::Vec<u64> = objects.iter().map(|isr| isr.lock).collect();
    locks.sort_unstable();
    locks.dedup();
    assert_eq!(locks.len(), if lock { 1 } else { 3 });
    for message in 0..3 {
        rig.pulse(&device, message);
        rig.run();
        let level = objects[usize::from(message)].synchronize_irql;
        assert_eq!(
            rig.log.take(),
            [alloc::format!("message {message} at {}", level.0)]
        );
    }
}

#[test]
fn no_lock_and_no_level_one_lock_for_each_message_at_its_own_level() {
    check_levels(false, |_| Irql(0), None);
}

#[test]
fn no_lock_and_a_level_one_lock_for_each_message_at_that_level() {
    check_levels(
        false,
        |highest| Irql(highest.0 + 1),
        Some(|highest| Irql(highest.0 + 1)),
    );
    check_levels(false, |highest| highest, Some(|highest| highest));
}

#[test]
fn a_level_below_the_highest_is_raised_to_it() {
    check_levels(false, |_| Irql(3), Some(|highest| highest));
    check_levels(true, |_| Irql(3), Some(|highest| highest));
}

#[test]
fn a_lock_and_no_level_all_messages_at_the_highest() {
    check_levels(true, |_| Irql(0), Some(|highest| highest));
}

#[test]
fn a_lock_and_a_level_all_messages_at_that_level() {
    check_levels(
        true,
        |highest| Irql(highest.0 + 1),
        Some(|highest| Irql(highest.0 + 1)),
    );
}

/// Without a common lock a message of higher level interrupts another on one processor, and
/// both run at once on two.
#[test]
fn messages_without_a_lock_nest_and_with_one_they_do_not() {
    for lock in [false, true] {
        let rig = Rig::new(1);
        let device = rig.messages("a", 2, MessageWish::Msix(2));
        let (low, high) = if device.grants[0].irql < device.grants[1].irql {
            (0, 1)
        } else {
            (1, 0)
        };
        let log = rig.log.clone();
        let id = device.device;
        let isr = rig.bench.routine(move |kernel, arguments| {
            log.add(alloc::format!("enter {}", arguments[2]));
            if arguments[2] == u64::from(low) {
                kernel.stimulate(id, &Stimulus::Interrupt(high));
                kernel.yield_point()?;
            }
            log.add(alloc::format!("leave {}", arguments[2]));
            Ok(1)
        });
        let mut block = message_based(device.pdo, isr, 0);
        block.spin_lock = if lock { rig.bench.variable(8) } else { 0 };
        assert!(
            connect_ex(&rig, CONNECT_MESSAGE_BASED, &block)
                .status
                .is_success()
        );
        rig.pulse(&device, low);
        rig.run();
        let nested = [(true, low), (true, high), (false, high), (false, low)];
        let serial = [(true, low), (false, low), (true, high), (false, high)];
        let expected = if lock { serial } else { nested }.map(|(enter, message)| {
            alloc::format!("{} {message}", if enter { "enter" } else { "leave" })
        });
        assert_eq!(rig.log.take(), expected, "lock: {lock}");
    }
}

#[test]
fn two_messages_without_a_lock_run_at_once_on_two_processors() {
    let rig = Rig::new(2);
    let device = rig.messages("a", 2, MessageWish::Msix(2));
    let log = rig.log.clone();
    let id = device.device;
    let isr = rig.bench.routine(move |kernel, arguments| {
        log.add(alloc::format!(
            "enter {} on {}",
            arguments[2],
            kernel.processor().id.0
        ));
        if arguments[2] == 0 {
            // The addressed processor is busy, so the other one takes it.
            let level = kernel.raise_irql(Irql::HIGH);
            kernel.stimulate(id, &Stimulus::Interrupt(1));
            kernel.give_up_turn();
            kernel.yield_point()?;
            kernel.set_irql(level);
        }
        log.add(alloc::format!("leave {}", arguments[2]));
        Ok(1)
    });
    assert!(
        connect_ex(
            &rig,
            CONNECT_MESSAGE_BASED,
            &message_based(device.pdo, isr, 0)
        )
        .status
        .is_success()
    );
    rig.pulse(&device, 0);
    rig.run();
    assert_eq!(
        rig.log.take(),
        ["enter 0 on 0", "enter 1 on 1", "leave 1", "leave 0"]
    );
}

#[test]
fn without_messages_the_line_is_connected_and_version_becomes_2() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let messages = rig.refusing_isr("message");
    let line = rig.isr("line", device.device);
    let answer = connect_ex(
        &rig,
        CONNECT_MESSAGE_BASED,
        &message_based(device.pdo, messages, line),
    );
    assert_eq!(
        (answer.status, answer.version),
        (NtStatus::SUCCESS, CONNECT_LINE_BASED)
    );
    let object = rig
        .kernel()
        .ke
        .interrupts
        .object(answer.result)
        .expect("an interrupt object");
    assert_eq!((object.isr.routine, object.isr.context), (line, 0xC0));
    rig.press(&device);
    rig.run();
    assert_eq!(
        rig.log.take(),
        [alloc::format!("line at {}", device.grant().irql.0)]
    );
}

/// The fallback takes over the lock and the level.
#[test]
fn the_fallback_has_the_blocks_lock_and_level() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let line = rig.isr("line", device.device);
    let mut block = message_based(device.pdo, 0x1000, line);
    block.spin_lock = rig.bench.variable(8);
    block.synchronize_irql = above(&device);
    let answer = connect_ex(&rig, CONNECT_MESSAGE_BASED, &block);
    let object = rig.kernel().ke.interrupts.object(answer.result).unwrap();
    assert_eq!(
        (object.isr.lock, object.isr.synchronize_irql),
        (block.spin_lock, above(&device))
    );
}

#[test]
fn not_found_no_messages_and_no_fallback_and_version_stays_3() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let answer = connect_ex(
        &rig,
        CONNECT_MESSAGE_BASED,
        &message_based(device.pdo, 0x1000, 0),
    );
    assert_eq!(answer, refused(NtStatus::NOT_FOUND, CONNECT_MESSAGE_BASED));
}

#[test]
fn a_fallback_that_fails_leaves_version_3() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let isr = rig.isr("isr", device.device);
    let alone = crate::io::interrupt::ConnectArguments {
        share_vector: 0,
        ..device.arguments(isr)
    };
    assert!(rig.connect(alone).0.is_success());
    let answer = connect_ex(
        &rig,
        CONNECT_MESSAGE_BASED,
        &message_based(device.pdo, isr, isr),
    );
    assert_eq!(
        answer,
        refused(NtStatus::INVALID_PARAMETER, CONNECT_MESSAGE_BASED)
    );
}

/// Version and result are stored before the ISR can run.
#[test]
fn the_fallbacks_isr_sees_version_2_and_the_object() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    rig.press(&device);
    let (at, result) = parameters(
        &rig,
        CONNECT_MESSAGE_BASED,
        &message_based(device.pdo, 0x1000, 0),
    );
    let log = rig.log.clone();
    let id = device.device;
    let line = rig.bench.routine(move |kernel, arguments| {
        kernel.stimulate(id, &Stimulus::Release);
        let version: u32 = kernel.read(DriverPtr::new(at))?;
        let object: u64 = kernel.read(DriverPtr::new(result))?;
        log.add(alloc::format!("{version} {}", object == arguments[0]));
        Ok(1)
    });
    rig.kernel().write(DriverPtr::new(at + 56), line).unwrap();
    rig.bench
        .on_thread(move |kernel| kernel.io_connect_interrupt_ex(DriverPtr::new(at)));
    assert_eq!(rig.log.take(), ["2 true"]);
}

/// Identical messages in quick succession may be merged into one call.
#[test]
fn messages_that_pend_are_one_and_those_during_the_isr_bring_one_more() {
    let rig = Rig::new(1);
    let device = rig.messages("a", 1, MessageWish::Msix(1));
    let log = rig.log.clone();
    let id = device.device;
    let isr = rig.bench.routine(move |kernel, _| {
        log.add("isr");
        if log.len() == 1 {
            for _ in 0..3 {
                kernel.stimulate(id, &Stimulus::Interrupt(0));
            }
        }
        Ok(1)
    });
    assert!(
        connect_ex(
            &rig,
            CONNECT_MESSAGE_BASED,
            &message_based(device.pdo, isr, 0)
        )
        .status
        .is_success()
    );
    for _ in 0..3 {
        rig.pulse(&device, 0);
    }
    rig.run();
    assert_eq!(rig.log.len(), 2);
}

/// Vector, level and mode of an entry may be used in a version 1 connect.
#[test]
fn an_entry_describes_a_fully_specified_interrupt() {
    let rig = Rig::new(1);
    let device = rig.messages("a", 2, MessageWish::Msix(2));
    let isr = message_isr(&rig);
    let answer = connect_ex(
        &rig,
        CONNECT_MESSAGE_BASED,
        &message_based(device.pdo, isr, 0),
    );
    let (_, entries) = table(&rig, answer.result);
    let at = rig.bench.variable(16);
    rig.bench
        .on_thread(move |kernel| disconnect_ex(kernel, at, CONNECT_MESSAGE_BASED, answer.result));
    let mut block = fully_specified(&device, rig.isr("isr", device.device));
    block.vector = entries[1].vector;
    block.irql = entries[1].irql;
    block.synchronize_irql = entries[1].irql;
    block.interrupt_mode = entries[1].mode;
    assert!(connect_ex(&rig, 1, &block).status.is_success());
    assert_eq!(rig.findings(), []);
    rig.pulse(&device, 1);
    rig.run();
    assert_eq!(rig.log.len(), 1);
}

/// Without a lock in common, an entry's object keeps out its own message only.
#[test]
fn synchronizing_with_one_message_leaves_the_others() {
    for lock in [false, true] {
        let rig = Rig::new(2);
        let device = rig.messages("a", 2, MessageWish::Msix(2));
        let (log, id) = (rig.log.clone(), device.device);
        let isr = rig.bench.routine(move |_, arguments| {
            log.add(alloc::format!("message {}", arguments[2]));
            Ok(1)
        });
        let mut block = message_based(device.pdo, isr, 0);
        block.spin_lock = if lock { rig.bench.variable(8) } else { 0 };
        let table = connect_ex(&rig, CONNECT_MESSAGE_BASED, &block).result;
        let object = rig
            .kernel()
            .read(DriverPtr::<u64>::new(table + 8 + 16))
            .unwrap();
        let log = rig.log.clone();
        let routine = rig.bench.routine(move |kernel, _| {
            for message in [0, 1] {
                kernel.stimulate(id, &Stimulus::Interrupt(message));
            }
            for _ in 0..8 {
                kernel.give_up_turn();
                kernel.yield_point()?;
            }
            log.add("end");
            Ok(1)
        });
        // The other processor takes what this one cannot.
        rig.spawn_on(0, move |kernel| {
            kernel
                .ke_synchronize_execution(object, routine, 0)
                .map(|_| ())
        });
        rig.run();
        let log = rig.log.take();
        let before: alloc::vec::Vec<&str> = log
            .iter()
            .map(alloc::string::String::as_str)
            .take_while(|line| *line != "end")
            .collect();
        let expected: &[&str] = if lock { &[] } else { &["message 1"] };
        assert_eq!(before, expected, "lock: {lock}, {log:?}");
        assert_eq!(log.len(), 3);
    }
}
