//! Raising and lowering the level.

use dirql_abi::Irql;
use dirql_rules::BugCheck;

use super::stops;
use crate::hal::testing::Rig;

#[test]
fn raising_returns_the_level_before_and_equal_is_allowed() {
    let rig = Rig::new(1);
    rig.bench.on_thread(|kernel| {
        assert_eq!(kernel.ke_raise_irql(2)?, 0);
        assert_eq!(kernel.ke_raise_irql(2)?, 2);
        assert_eq!(kernel.ke_raise_irql_to_dpc_level()?, 2);
        assert_eq!(kernel.ke_raise_irql(15)?, 2);
        assert_eq!(kernel.read_cr8(), 15);
        kernel.ke_lower_irql(15)?;
        kernel.ke_lower_irql(0)?;
        assert_eq!(kernel.irql(), Irql::PASSIVE);
        Ok(())
    });
    assert_eq!(rig.findings(), []);
}

#[test]
fn raising_to_a_lower_level_or_beyond_the_highest_stops_the_system() {
    for (now, new) in [(5, 4), (2, 0), (0, 16), (0, 255)] {
        let rig = Rig::new(1);
        let stop = stops(&rig, move |kernel| {
            kernel.ke_raise_irql(now)?;
            kernel.ke_raise_irql(new).map(|_| ())
        });
        assert_eq!(
            stop,
            BugCheck::new(0x9, [now.into(), new.into(), 0, 0]).into()
        );
        assert_eq!(rig.findings(), [105]);
    }
}

#[test]
fn raising_to_dispatch_from_above_stops_the_system() {
    let rig = Rig::new(1);
    let stop = stops(&rig, |kernel| {
        kernel.ke_raise_irql(3)?;
        kernel.ke_raise_irql_to_dpc_level().map(|_| ())
    });
    assert_eq!(stop, BugCheck::new(0x9, [3, 2, 0, 0]).into());
}

#[test]
fn lowering_to_a_higher_level_stops_the_system() {
    for (now, new) in [(0, 1), (2, 3), (14, 255)] {
        let rig = Rig::new(1);
        let stop = stops(&rig, move |kernel| {
            kernel.ke_raise_irql(now)?;
            kernel.ke_lower_irql(new)
        });
        assert_eq!(
            stop,
            BugCheck::new(0xA, [now.into(), new.into(), 0, 0]).into()
        );
        assert_eq!(rig.findings(), [105]);
    }
}

#[test]
fn cr8_is_the_level_and_only_its_low_four_bits_count() {
    let rig = Rig::new(1);
    rig.bench.on_thread(|kernel| {
        kernel.write_cr8(0x1C);
        assert_eq!((kernel.read_cr8(), kernel.irql()), (12, Irql::SYNCH));
        kernel.write_cr8(0);
        Ok(())
    });
}

#[test]
fn extended_state_is_saved_up_to_dispatch_level() {
    let rig = Rig::new(1);
    rig.bench.on_thread(|kernel| {
        kernel.ke_raise_irql(Irql::DISPATCH.0)?;
        assert_eq!(
            kernel.ke_save_extended_processor_state()?,
            dirql_abi::NtStatus::SUCCESS
        );
        kernel.ke_restore_extended_processor_state()?;
        kernel.ke_lower_irql(0)
    });
    assert_eq!(rig.findings(), []);
    for restore in [false, true] {
        let rig = Rig::new(1);
        let stop = stops(&rig, move |kernel| {
            kernel.ke_raise_irql(Irql::DISPATCH.0 + 1)?;
            if restore {
                return kernel.ke_restore_extended_processor_state();
            }
            kernel.ke_save_extended_processor_state().map(|_| ())
        });
        let bug_check = dirql_rules::BugCheck::new(0x131, [1, 0, 0, 0]);
        assert_eq!(stop, bug_check.into());
        assert_eq!(rig.findings(), [100]);
    }
}
