//! Callbacks for bug checks, and regions.

use dirql_abi::NtStatus;
use dirql_rules::BugCheck;

use super::stops;
use crate::DriverPtr;
use crate::hal::testing::Rig;

#[test]
fn a_callback_record_is_registered_once() {
    let rig = Rig::new(1);
    let record = rig.bench.variable(64);
    let kernel = rig.kernel();
    let register = || {
        kernel
            .ke_register_bug_check_callback(record, 0x1000, (0x2000, 16), 0x3000)
            .unwrap()
    };
    assert_eq!(kernel.ke_deregister_bug_check_callback(record), Ok(0));
    assert_eq!(register(), 1);
    assert_eq!(register(), 0, "it is inserted already");
    assert_eq!(kernel.read(DriverPtr::<u8>::new(record + 56)), Ok(1));
    assert_eq!(kernel.read(DriverPtr::<u64>::new(record + 16)), Ok(0x1000));
    assert_eq!(
        kernel.bug_check_callbacks_in(&(0x1000..0x1001)).len(),
        1,
        "by routine"
    );
    assert_eq!(
        kernel.bug_check_callbacks_in(&(record..record + 1)).len(),
        1,
        "by record"
    );
    assert_eq!(kernel.bug_check_callbacks_in(&(0x1001..0x2000)).len(), 0);
    assert_eq!(kernel.ke_deregister_bug_check_callback(record), Ok(1));
    assert_eq!(kernel.ke_deregister_bug_check_callback(record), Ok(0));
    assert_eq!(register(), 1);
}

#[test]
fn a_record_for_a_reason_is_registered_for_one_that_there_is() {
    let rig = Rig::new(1);
    let record = rig.bench.variable(48);
    let kernel = rig.kernel();
    let register = |reason| kernel.ke_register_bug_check_reason_callback(record, 0x1000, reason, 0);
    assert_eq!(register(0), Ok(0));
    assert_eq!(register(7), Ok(0));
    assert_eq!(register(1), Ok(1));
    assert_eq!(register(1), Ok(0), "it is inserted already");
    assert_eq!(kernel.read(DriverPtr::<u32>::new(record + 40)), Ok(1));
    assert_eq!(kernel.bug_check_callbacks_in(&(0x1000..0x1001)).len(), 1);
    assert_eq!(
        kernel.ke_deregister_bug_check_reason_callback(record),
        Ok(1)
    );
    assert_eq!(
        kernel.ke_deregister_bug_check_reason_callback(record),
        Ok(0)
    );
}

#[test]
fn a_bug_check_that_a_driver_asks_for_is_the_one_that_happens() {
    let rig = Rig::new(1);
    let stop = stops(&rig, |kernel| kernel.ke_bug_check_ex(0xE2, [1, 2, 3, 4]));
    assert_eq!(stop, BugCheck::new(0xE2, [1, 2, 3, 4]).into());
}

#[test]
fn no_processor_can_be_added() {
    assert_eq!(
        Rig::new(1).kernel().ke_start_dynamic_processor(),
        Ok(NtStatus::NOT_SUPPORTED)
    );
}

#[test]
fn leaving_a_region_that_was_not_entered_is_told() {
    let rig = Rig::new(1);
    rig.bench.on_thread(|kernel| {
        kernel.ke_enter_critical_region()?;
        kernel.ke_enter_critical_region()?;
        assert_eq!(
            (
                kernel.ke_are_apcs_disabled()?,
                kernel.ke_are_all_apcs_disabled()?
            ),
            (1, 0)
        );
        kernel.ke_leave_critical_region()?;
        kernel.ke_enter_guarded_region()?;
        assert_eq!(kernel.ke_are_all_apcs_disabled()?, 1);
        kernel.ke_leave_guarded_region()?;
        kernel.ke_leave_critical_region()?;
        assert_eq!(kernel.ke_are_apcs_disabled()?, 0);
        Ok(())
    });
    assert_eq!(rig.findings(), []);
    for guarded in [false, true] {
        let rig = Rig::new(1);
        rig.bench.on_thread(move |kernel| {
            if guarded {
                kernel.ke_leave_guarded_region()
            } else {
                kernel.ke_leave_critical_region()
            }
        });
        assert_eq!(rig.findings(), [161]);
    }
}
