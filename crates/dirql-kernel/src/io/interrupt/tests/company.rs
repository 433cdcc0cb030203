//! Locks and ISRs that several interrupts share.

use super::*;
use crate::io::interrupt::ConnectArguments;

#[test]
fn a_lock_that_is_not_initialised_is_told() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let lock = rig.bench.variable(8);
    rig.kernel()
        .write(DriverPtr::new(lock), 0xCDCD_CDCD_u64)
        .unwrap();
    rig.connect(ConnectArguments {
        spin_lock: lock,
        ..device.arguments(rig.refusing_isr(""))
    });
    assert_eq!(rig.findings(), [126]);
}

#[test]
fn a_lock_on_the_stack_is_told() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let good = device.arguments(rig.refusing_isr(""));
    let result = DriverPtr::new(rig.bench.variable(8));
    rig.bench.try_on_thread(move |kernel| {
        let stack = kernel.current_stack().unwrap();
        // The test's stack is not memory that drivers see, so the look at the word faults after it.
        kernel.io_connect_interrupt(
            result,
            ConnectArguments {
                spin_lock: stack.start + 64,
                ..good
            },
        )
    });
    assert_eq!(rig.findings(), [126]);
}

#[test]
fn a_shared_lock_with_the_highest_level_is_right() {
    let rig = Rig::new(1);
    let (a, b) = (rig.line("a", 5), rig.line("b", 9));
    let lock = rig.bench.variable(8);
    let isr = rig.refusing_isr("");
    let highest = a.grant().irql.max(b.grant().irql);
    for device in [&a, &b] {
        let arguments = ConnectArguments {
            spin_lock: lock,
            synchronize_irql: highest,
            ..device.arguments(isr)
        };
        assert!(rig.connect(arguments).0.is_success());
    }
    assert_eq!(rig.findings(), []);
}

#[test]
fn a_shared_lock_with_two_levels_is_told() {
    let rig = Rig::new(1);
    let (a, b) = (rig.line("a", 5), rig.line("b", 9));
    let lock = rig.bench.variable(8);
    let isr = rig.refusing_isr("");
    for device in [&a, &b] {
        rig.connect(ConnectArguments {
            spin_lock: lock,
            ..device.arguments(isr)
        });
    }
    assert_eq!(rig.findings(), [139]);
}

#[test]
fn one_isr_on_two_vectors_without_a_common_lock_is_told() {
    let rig = Rig::new(1);
    let (a, b) = (rig.line("a", 5), rig.line("b", 9));
    let isr = rig.refusing_isr("");
    for device in [&a, &b] {
        rig.connect(device.arguments(isr));
    }
    assert_eq!(rig.findings(), [125]);
    // Another context is another instance.
    let rig = Rig::new(1);
    let (a, b) = (rig.line("a", 5), rig.line("b", 9));
    let isr = rig.refusing_isr("");
    rig.connect(a.arguments(isr));
    rig.connect(ConnectArguments {
        service_context: 0xC1,
        ..b.arguments(isr)
    });
    assert_eq!(rig.findings(), []);
}
