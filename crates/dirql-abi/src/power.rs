//! Power states.
//!
//! Source: WDK reference, "Introduction to Power Management"; wdm.h.

use crate::layout::{layouts, named_values};

layouts! {
    /// How often a device went to each low-power state.
    struct PowerSequence = "POWER_SEQUENCE", size 12 {
        0 sequence_d1: u32 = "SequenceD1",
        4 sequence_d2: u32 = "SequenceD2",
        8 sequence_d3: u32 = "SequenceD3",
    }
}

named_values! {
    /// `POWER_STATE_TYPE`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod power_state_type: u32 {
        SystemPowerState = 0,
        DevicePowerState = 1,
    }

    /// `SYSTEM_POWER_STATE`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod system_power_state: u32 {
        PowerSystemUnspecified = 0,
        PowerSystemWorking = 1,
        PowerSystemSleeping1 = 2,
        PowerSystemSleeping2 = 3,
        PowerSystemSleeping3 = 4,
        PowerSystemHibernate = 5,
        PowerSystemShutdown = 6,
        PowerSystemMaximum = 7,
    }

    /// `DEVICE_POWER_STATE`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod device_power_state: u32 {
        PowerDeviceUnspecified = 0,
        PowerDeviceD0 = 1,
        PowerDeviceD1 = 2,
        PowerDeviceD2 = 3,
        PowerDeviceD3 = 4,
        PowerDeviceMaximum = 5,
    }

    /// `POWER_ACTION`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod power_action: u32 {
        PowerActionNone = 0,
        PowerActionReserved = 1,
        PowerActionSleep = 2,
        PowerActionHibernate = 3,
        PowerActionShutdown = 4,
        PowerActionShutdownReset = 5,
        PowerActionShutdownOff = 6,
        PowerActionWarmEject = 7,
    }
}
