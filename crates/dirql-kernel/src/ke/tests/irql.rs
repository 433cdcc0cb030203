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
