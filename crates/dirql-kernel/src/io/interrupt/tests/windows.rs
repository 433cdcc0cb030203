//! What each Windows takes and answers.

use dirql_abi::NtStatus;

use super::*;
use crate::WindowsVersion::{self, Eight, EightOne, Eleven, Seven, Ten, Vista};
use crate::hal::MessageWish;
use crate::versions::{highest_connect_version, takes_connect_version};

#[test]
fn the_highest_version_is_3_on_vista_4_on_7_and_5_from_8_on() {
    let highest = |windows| highest_connect_version(windows);
    assert_eq!(highest(Vista), 3);
    assert_eq!(highest(Seven), 4);
    for windows in [Eight, EightOne, Ten, Eleven] {
        assert_eq!(highest(windows), 5);
    }
}

#[test]
fn every_version_up_to_the_highest_is_taken_and_none_beyond() {
    for windows in WindowsVersion::ALL {
        for version in 0..8 {
            let known =
                windows >= Vista && (1..=highest_connect_version(windows)).contains(&version);
            assert_eq!(
                takes_connect_version(windows, version),
                known,
                "{windows} {version}"
            );
        }
    }
}

#[test]
fn invalid_parameter_1_version_4_on_vista_and_5_on_7() {
    for (windows, version, highest) in [(Vista, 4, 3), (Vista, 5, 3), (Seven, 5, 4)] {
        let rig = Rig::windows(windows);
        let device = rig.line("a", 5);
        let answer = connect_ex(&rig, version, &fully_specified(&device, 0x1000));
        let status = NtStatus::INVALID_PARAMETER_1;
        assert_eq!(
            answer,
            Answer {
                status,
                version: highest,
                result: UNTOUCHED
            }
        );
    }
}

/// Before Windows Vista there are no message interrupts.
#[test]
fn messages_come_with_vista() {
    for (windows, messages) in [(WindowsVersion::Server2003, false), (Vista, true)] {
        let rig = Rig::windows(windows);
        let device = rig.messages("a", 4, MessageWish::Default);
        assert_eq!(device.grant().message, messages, "{windows}");
    }
}

/// Before Windows 8 there are no passive-level ISRs, and level 0 is a wrong Irql.
#[test]
fn passive_level_isrs_come_with_windows_8() {
    for (windows, passive) in [(Seven, false), (Eight, true)] {
        let rig = Rig::windows(windows);
        let device = rig.line("a", 5);
        let isr = rig.isr("isr", device.device);
        let mut block = fully_specified(&device, isr);
        (block.irql, block.synchronize_irql) = (Irql::PASSIVE, Irql::PASSIVE);
        assert!(connect_ex(&rig, 1, &block).status.is_success());
        rig.press(&device);
        rig.run();
        let level = if passive { 0 } else { device.grant().irql.0 };
        assert_eq!(
            rig.log.take(),
            [alloc::format!("isr at {level}")],
            "{windows}"
        );
        assert_eq!(rig.findings().is_empty(), passive);
    }
}
