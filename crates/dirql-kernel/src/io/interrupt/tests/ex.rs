//! `IoConnectInterruptEx`, versions 1, 2 and 4, and what every version shares: every status and
//! everything that is written back.

use dirql_abi::interrupt::connect_version::*;
use dirql_abi::interrupt::{IoConnectInterruptParameters, interrupt_mode};
use dirql_abi::{Irql, NtStatus};
use dirql_chips::Trigger;
use zerocopy::IntoBytes;

use super::*;
use crate::hal::MessageWish;
use crate::mm::layout::{PAGE, USER};
use crate::{Access, Platform};

#[test]
fn success_leaves_version_and_gives_the_object() {
    let rig = Rig::new(2);
    let device = rig.line("a", 5);
    let isr = rig.isr("isr", device.device);
    let block = fully_specified(&device, isr);
    for version in [CONNECT_FULLY_SPECIFIED, CONNECT_FULLY_SPECIFIED_GROUP] {
        let answer = connect_ex(&rig, version, &block);
        assert_eq!(
            (answer.status, answer.version),
            (NtStatus::SUCCESS, version)
        );
        assert!(rig.kernel().ke.interrupts.object(answer.result).is_some());
    }
    let answer = connect_ex(&rig, CONNECT_LINE_BASED, &line_based(device.pdo, isr));
    assert_eq!(
        (answer.status, answer.version),
        (NtStatus::SUCCESS, CONNECT_LINE_BASED)
    );
    assert!(rig.kernel().ke.interrupts.object(answer.result).is_some());
}

/// Nothing else in the block is written.
#[test]
fn the_block_is_otherwise_left_alone() {
    let rig = Rig::new(2);
    let device = rig.line("a", 5);
    let isr = rig.isr("isr", device.device);
    let (at, _) = parameters(&rig, CONNECT_LINE_BASED, &fully_specified(&device, isr));
    let before = rig.kernel().read_bytes(at, 80).unwrap();
    rig.bench
        .on_thread(move |kernel| kernel.io_connect_interrupt_ex(DriverPtr::new(at)));
    assert_eq!(rig.kernel().read_bytes(at, 80).unwrap(), before);
}

#[test]
fn invalid_parameter_1_an_unknown_version_becomes_the_highest_known() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let block = fully_specified(&device, 0x1000);
    for version in [0, 6, u32::MAX] {
        let answer = connect_ex(&rig, version, &block);
        let status = NtStatus::INVALID_PARAMETER_1;
        assert_eq!(
            answer,
            Answer {
                status,
                version: CONNECT_MESSAGE_BASED_PASSIVE,
                result: UNTOUCHED
            }
        );
    }
}

#[test]
fn invalid_parameter_a_null_pdo() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let isr = rig.isr("isr", device.device);
    let mut block = fully_specified(&device, isr);
    block.physical_device_object = 0;
    for version in [
        CONNECT_FULLY_SPECIFIED,
        CONNECT_LINE_BASED,
        CONNECT_MESSAGE_BASED,
        CONNECT_FULLY_SPECIFIED_GROUP,
    ] {
        let answer = connect_ex(&rig, version, &block);
        let expected = Answer {
            status: NtStatus::INVALID_PARAMETER,
            version,
            result: 0,
        };
        assert_eq!(answer, expected);
    }
}

/// DQ0522
#[test]
fn a_function_device_object_in_place_of_the_physical_one_is_found() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let isr = rig.isr("isr", device.device);
    let mut block = fully_specified(&device, isr);
    block.physical_device_object += 8;
    connect_ex(&rig, CONNECT_FULLY_SPECIFIED, &block);
    assert_eq!(rig.findings(), [522]);
    let answer = connect_ex(&rig, CONNECT_LINE_BASED, &block);
    assert_eq!(answer.status, NtStatus::NOT_FOUND);
}

#[test]
fn invalid_parameter_no_routine_or_no_place_for_the_result() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let isr = rig.isr("isr", device.device);
    for version in [
        CONNECT_FULLY_SPECIFIED,
        CONNECT_LINE_BASED,
        CONNECT_MESSAGE_BASED,
        CONNECT_FULLY_SPECIFIED_GROUP,
    ] {
        let answer = connect_ex(&rig, version, &fully_specified(&device, 0));
        assert_eq!(
            answer.status,
            NtStatus::INVALID_PARAMETER,
            "version {version} without a routine"
        );
        let (at, _) = parameters(&rig, version, &fully_specified(&device, isr));
        rig.kernel().write(DriverPtr::new(at + 16), 0_u64).unwrap();
        let status = rig
            .bench
            .on_thread(move |kernel| kernel.io_connect_interrupt_ex(DriverPtr::new(at)));
        assert_eq!(
            status,
            NtStatus::INVALID_PARAMETER,
            "version {version} without a result"
        );
    }
}

#[test]
fn invalid_parameter_10_the_mask_is_empty() {
    let rig = Rig::new(2);
    let device = rig.line("a", 5);
    let mut block = fully_specified(&device, 0x1000);
    for version in [CONNECT_FULLY_SPECIFIED, CONNECT_FULLY_SPECIFIED_GROUP] {
        for mask in [0, !0b11] {
            block.processor_enable_mask = mask;
            assert_eq!(
                connect_ex(&rig, version, &block),
                refused(NtStatus::INVALID_PARAMETER_10, version)
            );
        }
    }
}

#[test]
fn not_found_the_vector_is_assigned_to_no_device() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let mut block = fully_specified(&device, 0x1000);
    block.vector += 1;
    for version in [CONNECT_FULLY_SPECIFIED, CONNECT_FULLY_SPECIFIED_GROUP] {
        assert_eq!(
            connect_ex(&rig, version, &block),
            refused(NtStatus::NOT_FOUND, version)
        );
    }
    // After the device was stopped, too.
    rig.kernel().take_resources(device.device);
    let block = fully_specified(&device, 0x1000);
    assert_eq!(connect_ex(&rig, 1, &block), refused(NtStatus::NOT_FOUND, 1));
}

#[test]
fn not_found_the_device_has_no_interrupts() {
    let rig = Rig::new(1);
    let device = rig.lines("a", &[], true);
    let isr = rig.refusing_isr("isr");
    let answer = connect_ex(&rig, CONNECT_LINE_BASED, &line_based(device.pdo, isr));
    assert_eq!(answer, refused(NtStatus::NOT_FOUND, CONNECT_LINE_BASED));
    let answer = connect_ex(
        &rig,
        CONNECT_MESSAGE_BASED,
        &message_based(device.pdo, isr, isr),
    );
    assert_eq!(answer, refused(NtStatus::NOT_FOUND, CONNECT_MESSAGE_BASED));
}

/// A pointer that is no physical device object has no interrupts.
#[test]
fn not_found_the_pdo_is_none() {
    let rig = Rig::new(1);
    rig.line("a", 5);
    let answer = connect_ex(&rig, CONNECT_LINE_BASED, &line_based(0xDEAD_0000, 0x1000));
    assert_eq!(answer, refused(NtStatus::NOT_FOUND, CONNECT_LINE_BASED));
}

#[test]
fn invalid_device_request_line_based_with_several_messages() {
    let rig = Rig::new(1);
    let device = rig.messages("a", 4, MessageWish::Msi(4));
    let isr = rig.refusing_isr("isr");
    let answer = connect_ex(&rig, CONNECT_LINE_BASED, &line_based(device.pdo, isr));
    assert_eq!(
        answer,
        refused(NtStatus::INVALID_DEVICE_REQUEST, CONNECT_LINE_BASED)
    );
}

/// The page names "multiple messages" only.
#[test]
fn one_message_counts_as_a_line() {
    let rig = Rig::new(1);
    let device = rig.messages("a", 1, MessageWish::Msi(1));
    let isr = rig.isr("isr", device.device);
    let answer = connect_ex(&rig, CONNECT_LINE_BASED, &line_based(device.pdo, isr));
    assert_eq!(
        (answer.status, answer.version),
        (NtStatus::SUCCESS, CONNECT_LINE_BASED)
    );
    rig.pulse(&device, 0);
    rig.run();
    assert_eq!(rig.log.len(), 1);
}

#[test]
fn insufficient_resources_out_of_memory() {
    let rig = Rig::new(1);
    let device = rig.messages("a", 2, MessageWish::Msi(2));
    let line = rig.line("b", 5);
    let isr = rig.refusing_isr("isr");
    let blocks = [
        parameters(&rig, CONNECT_FULLY_SPECIFIED, &fully_specified(&line, isr)),
        parameters(&rig, CONNECT_LINE_BASED, &line_based(line.pdo, isr)),
        parameters(
            &rig,
            CONNECT_MESSAGE_BASED,
            &message_based(device.pdo, isr, 0),
        ),
    ];
    while rig.kernel().allocate_system(1 << 20) != 0 {}
    while rig.kernel().allocate_system(16) != 0 {}
    for (at, result) in blocks {
        let status = rig.kernel().io_connect_interrupt_ex(DriverPtr::new(at));
        assert_eq!(status, Ok(NtStatus::INSUFFICIENT_RESOURCES));
        assert_eq!(rig.kernel().read(DriverPtr::<u64>::new(result)), Ok(0));
    }
}

#[test]
fn a_conflict_of_sharing_or_mode_is_a_failure() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let isr = rig.isr("isr", device.device);
    let good = fully_specified(&device, isr);
    assert!(connect_ex(&rig, 1, &good).status.is_success());
    let mut alone = good;
    alone.share_vector = 0;
    assert_eq!(
        connect_ex(&rig, 1, &alone),
        refused(NtStatus::INVALID_PARAMETER, 1)
    );
    let mut latched = good;
    latched.interrupt_mode = interrupt_mode::Latched;
    assert_eq!(
        connect_ex(&rig, 1, &latched),
        refused(NtStatus::INVALID_PARAMETER, 1)
    );
}

/// Two connects of one interrupt by one driver: allowed if shared.
#[test]
fn a_shared_interrupt_can_be_connected_twice() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let isr = rig.isr("isr", device.device);
    let first = connect_ex(&rig, CONNECT_LINE_BASED, &line_based(device.pdo, isr));
    let second = connect_ex(&rig, CONNECT_LINE_BASED, &line_based(device.pdo, isr));
    assert!(first.status.is_success() && second.status.is_success());
    assert_ne!(first.result, second.result);
}

#[test]
fn synchronize_irql_below_irql_is_invalid_in_versions_1_and_4() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let mut block = fully_specified(&device, 0x1000);
    block.synchronize_irql = Irql(block.irql.0 - 1);
    for version in [CONNECT_FULLY_SPECIFIED, CONNECT_FULLY_SPECIFIED_GROUP] {
        assert_eq!(
            connect_ex(&rig, version, &block),
            refused(NtStatus::INVALID_PARAMETER, version)
        );
    }
}

/// The page of the structure says that a lower bound which is too low is ignored; the header
/// calls it invalid. The page is followed.
#[test]
fn synchronize_irql_is_a_lower_bound_in_version_2() {
    for given in [Irql(0), Irql(3), Irql(15)] {
        let rig = Rig::new(1);
        let device = rig.line("a", 5);
        let isr = rig.isr("isr", device.device);
        let mut block = line_based(device.pdo, isr);
        block.synchronize_irql = given;
        assert!(
            connect_ex(&rig, CONNECT_LINE_BASED, &block)
                .status
                .is_success()
        );
        rig.press(&device);
        rig.run();
        let level = given.max(device.grant().irql);
        assert_eq!(rig.log.take(), [alloc::format!("isr at {}", level.0)]);
    }
}

#[test]
fn a_synchronize_irql_that_is_no_level_is_invalid() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let mut block = line_based(device.pdo, 0x1000);
    block.synchronize_irql = Irql(16);
    let answer = connect_ex(&rig, CONNECT_LINE_BASED, &block);
    assert_eq!(
        answer,
        refused(NtStatus::INVALID_PARAMETER, CONNECT_LINE_BASED)
    );
}

/// Version 2 with several lines: one ISR, one lock, the highest level.
#[test]
fn line_based_connects_every_line_with_one_lock_at_the_highest_level() {
    let rig = Rig::new(2);
    let device = rig.lines("a", &[(5, Trigger::Edge), (9, Trigger::Edge)], true);
    let isr = rig.isr("isr", device.device);
    let highest = device.grants.iter().map(|grant| grant.irql).max().unwrap();
    assert_ne!(device.grants[0].irql, device.grants[1].irql);
    let answer = connect_ex(&rig, CONNECT_LINE_BASED, &line_based(device.pdo, isr));
    assert!(answer.status.is_success());
    let objects = rig.kernel().ke.interrupts.objects();
    assert_eq!(objects.len(), 4, "two lines on two processors");
    assert!(
        objects
            .iter()
            .all(|object| object.isr.lock == objects[0].isr.lock)
    );
    assert!(
        objects
            .iter()
            .all(|object| object.isr.synchronize_irql == highest)
    );
    for source in [0, 1] {
        rig.pulse(&device, source);
        rig.run();
        assert_eq!(rig.log.take(), [alloc::format!("isr at {}", highest.0)]);
    }
}

/// A driver built with headers of Windows Vista has no Group member and passes 72 bytes.
#[test]
fn group_is_not_read_unless_version_is_4() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let isr = rig.isr("isr", device.device);
    let page = USER.start..USER.start + PAGE;
    rig.bench.platform.protect(page.clone(), Access::ReadWrite);
    let at = page.end - 72;
    let result = rig.bench.variable(8);
    for version in [
        CONNECT_FULLY_SPECIFIED,
        CONNECT_LINE_BASED,
        CONNECT_MESSAGE_BASED,
        CONNECT_FULLY_SPECIFIED_GROUP,
    ] {
        let mut image = IoConnectInterruptParameters::new(version, &fully_specified(&device, isr));
        image.block_words[1] = result;
        rig.kernel()
            .write_bytes(at, &image.as_bytes()[..72])
            .unwrap();
        let answer = rig
            .bench
            .try_on_thread(move |kernel| kernel.io_connect_interrupt_ex(DriverPtr::new(at)));
        match version {
            CONNECT_FULLY_SPECIFIED_GROUP => {
                assert!(
                    matches!(answer, Some(Err(crate::Stop::BadAddress(bad))) if bad.address == page.end)
                );
            }
            _ => assert!(
                matches!(answer, Some(Ok(_))),
                "version {version}: {answer:?}"
            ),
        }
    }
}

/// Group 0 whatever Group holds.
#[test]
fn version_1_does_not_look_at_group() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let isr = rig.isr("isr", device.device);
    let mut block = fully_specified(&device, isr);
    block.group = 7;
    assert!(
        connect_ex(&rig, CONNECT_FULLY_SPECIFIED, &block)
            .status
            .is_success()
    );
    // Version 4 does, and that group has no processors.
    let answer = connect_ex(&rig, CONNECT_FULLY_SPECIFIED_GROUP, &block);
    assert_eq!(answer.status, NtStatus::INVALID_PARAMETER_10);
}

#[test]
fn version_4_reaches_the_processors_of_its_group() {
    let rig = Rig::new(130);
    let device = rig.line("a", 5);
    // As a device whose policy puts it there.
    let number = device.grant().sources[0];
    rig.kernel().with_source(number, |source| source.group = 1);
    let isr = rig.isr("isr", device.device);
    let mut block = fully_specified(&device, isr);
    assert_eq!(
        connect_ex(&rig, CONNECT_FULLY_SPECIFIED, &block).status,
        NtStatus::NOT_FOUND
    );
    block.group = 1;
    let answer = connect_ex(&rig, CONNECT_FULLY_SPECIFIED_GROUP, &block);
    assert!(answer.status.is_success());
    let object = rig.kernel().ke.interrupts.object(answer.result).unwrap();
    assert_eq!(object.processor, crate::ke::ProcessorId(64));
    let affinity = DriverPtr::new(rig.bench.variable(16));
    let status = rig
        .kernel()
        .io_get_affinity_interrupt(answer.result, affinity);
    assert_eq!(status, Ok(NtStatus::SUCCESS));
    let affinity = rig.kernel().read(affinity).unwrap();
    assert_eq!((affinity.mask, affinity.group), (u64::MAX, 1));
}

/// A driver that tries version 3 and then version 1 without clearing the block carries the
/// fallback routine's bytes over into Irql and InterruptMode.
#[test]
fn what_version_3_leaves_in_the_block_is_no_fully_specified_interrupt() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let (at, _) = parameters(
        &rig,
        CONNECT_MESSAGE_BASED,
        &message_based(device.pdo, 0x1000, 0x7000_1234_5670),
    );
    rig.kernel()
        .write(DriverPtr::new(at), CONNECT_FULLY_SPECIFIED)
        .unwrap();
    rig.kernel().write(DriverPtr::new(at + 64), 1_u64).unwrap();
    let status = rig
        .bench
        .on_thread(move |kernel| kernel.io_connect_interrupt_ex(DriverPtr::new(at)));
    assert_eq!(status, NtStatus::INVALID_PARAMETER);
}

/// Any bytes in the block: a status or a fault, never more.
#[test]
fn garbage_gets_a_status() {
    let rig = Rig::new(3);
    rig.line("a", 5);
    rig.messages("b", 4, MessageWish::Msix(4));
    let (at, result) = (rig.bench.variable(80), rig.bench.variable(8));
    let mut seed = 1_u64;
    let mut next = move || {
        seed = seed
            .wrapping_mul(0x5851_F42D_4C95_7F2D)
            .wrapping_add(0x1405_7B7E_F767_814F);
        seed >> 20
    };
    let words: alloc::vec::Vec<[u64; 9]> = (0..400)
        .map(|_| {
            core::array::from_fn(|member| {
                if member == 1 {
                    result
                } else {
                    next() << (next() % 40)
                }
            })
        })
        .collect();
    rig.bench.on_thread(move |kernel| {
        for (round, words) in words.iter().enumerate() {
            let mut image = IoConnectInterruptParameters::new_zeroed();
            image.version = round as u32 % 7;
            image.block_words = *words;
            kernel.write(DriverPtr::new(at), image)?;
            let status = kernel.io_connect_interrupt_ex(DriverPtr::new(at))?;
            assert!(!status.is_success(), "{words:x?}");
        }
        Ok(())
    });
}
