//! What is forbidden on the way of some requests.

use alloc::vec::Vec;

use dirql_abi::irp::{major, minor_pnp, minor_power};
use dirql_abi::{Irql, NtStatus};
use dirql_rules::{RuleId, ids};

use super::{below, bench, on, pass, stack};
use crate::hal::MessageWish;
use crate::io::pnp::PowerState;
use crate::io::tests::pnp::edu;
use crate::io::tests::{Log, function_driver};
use crate::testing::Bench;
use crate::{Ddi, Kernel};

/// A started device whose driver calls `ddi` while it handles the request `function`, `minor`.
fn calls(function: u8, minor: u8, ddi: &'static str) -> (Bench, u64) {
    let bench = bench();
    let physical_device = edu(&bench, MessageWish::Line);
    let driver = function_driver(&bench, "edu", &Log::default());
    bench
        .kernel
        .choose_driver(physical_device, driver)
        .expect("a physical device");
    bench
        .on_thread(move |kernel| kernel.start_device(physical_device))
        .expect("it starts");
    on(&bench, driver, function, move |kernel, device, irp| {
        if stack(kernel, irp)?.minor_function == minor {
            call(kernel, ddi)?;
        }
        pass(kernel, below(kernel, device)?, irp)
    });
    (bench, physical_device)
}

/// A driver's call of an export.
fn call(kernel: &Kernel, ddi: &'static str) -> Ddi<u64> {
    kernel.ddi(ddi, None, |_| Ok(0_u64))
}

fn in_set_power(ddi: &'static str) -> Vec<RuleId> {
    let (bench, device) = calls(major::IRP_MJ_POWER, minor_power::IRP_MN_SET_POWER, ddi);
    let state = PowerState::Device(3);
    let powered = bench.on_thread(move |kernel| kernel.set_power(device, state));
    powered.expect("it is off");
    // Behind the request everything is allowed again.
    bench.on_thread(|kernel| call(kernel, "IoConnectInterrupt"));
    bench.rules()
}

#[test]
fn routines_for_passive_level_are_not_called_in_set_power() {
    assert_eq!(in_set_power("IoConnectInterrupt"), [ids::SET_POWER_DDI]);
    assert_eq!(in_set_power("ZwClose"), [ids::SET_POWER_DDI]);
    assert_eq!(in_set_power("IoConnectInterruptEx"), []);
    assert_eq!(in_set_power("KeSetEvent"), []);
}

#[test]
fn both_places_of_a_call_in_set_power_are_told() {
    let (bench, device) = calls(
        major::IRP_MJ_POWER,
        minor_power::IRP_MN_SET_POWER,
        "IoGetDmaAdapter",
    );
    let state = PowerState::Device(3);
    let powered = bench.on_thread(move |kernel| kernel.set_power(device, state));
    powered.expect("it is off");
    let findings = bench.kernel.findings();
    let (what, place) = findings[0].earlier.clone().expect("two places");
    assert_eq!(what, "the request was sent here");
    assert!(place.step <= findings[0].place.step);
    assert_eq!(findings[0].place.ddi, Some("IoGetDmaAdapter"));
}

#[test]
fn a_device_is_not_deleted_in_its_surprise_removal() {
    for (minor, rules) in [
        (minor_pnp::IRP_MN_SURPRISE_REMOVAL, 1),
        (minor_pnp::IRP_MN_REMOVE_DEVICE, 0),
    ] {
        for ddi in ["IoDeleteDevice", "IoDetachDevice"] {
            let (bench, device) = calls(major::IRP_MJ_PNP, minor, ddi);
            let removed = bench.on_thread(move |kernel| kernel.surprise_remove_device(device));
            removed.expect("it is gone");
            let found = bench.rules();
            let own = found
                .iter()
                .filter(|rule| **rule == ids::DELETED_IN_SURPRISE_REMOVAL);
            assert_eq!(own.count(), rules, "{minor} {ddi} {found:?}");
        }
    }
}

#[test]
fn a_miniport_leaves_the_kernel_to_the_port_driver() {
    let bench = bench();
    let image = 0..u64::MAX;
    bench.kernel.set_miniport(image);
    for (ddi, found) in [
        ("KeSynchronizeExecution", 0),
        ("IoDisconnectInterruptEx", 0),
        ("IoConnectInterruptEx", 1),
        ("KeAcquireSpinLockRaiseToDpc", 2),
        ("ZwFlushKey", 3),
    ] {
        bench.on_thread(move |kernel| call(kernel, ddi));
        assert_eq!(
            bench.rules(),
            alloc::vec![ids::MINIPORT_DDI; found],
            "{ddi}"
        );
    }
    bench.kernel.forget_miniport(0);
    bench.on_thread(|kernel| call(kernel, "IoConnectInterruptEx"));
    assert_eq!(bench.rules().len(), 3);
}

#[test]
fn only_some_requests_are_sent_at_dispatch_level() {
    let send = |function, level| {
        let bench = bench();
        let driver = super::driver(&bench, "low");
        on(&bench, driver, function, |kernel, _, irp| {
            super::complete(kernel, irp, NtStatus::SUCCESS, 0)
        });
        let device = super::device(&bench, driver, "");
        bench.on_thread(move |kernel| -> Ddi<()> {
            let irp = kernel.io_allocate_irp(1, 0)?;
            let next = kernel.next_location(irp)?;
            kernel.write(
                crate::at!(next, dirql_abi::irp::IoStackLocation, major_function),
                function,
            )?;
            kernel.raise_irql(level);
            let sent = kernel.iof_call_driver(device, irp);
            kernel.lower_irql(Irql::PASSIVE)?;
            sent.map(drop)
        });
        bench
            .rules()
            .into_iter()
            .filter(|rule| *rule == ids::FORWARDED_ABOVE)
            .count()
    };
    assert_eq!(send(major::IRP_MJ_CREATE, Irql::DISPATCH), 1);
    assert_eq!(send(major::IRP_MJ_PNP, Irql::DISPATCH), 1);
    assert_eq!(send(major::IRP_MJ_CREATE, Irql::APC), 0);
    assert_eq!(send(major::IRP_MJ_READ, Irql::DISPATCH), 0);
    assert_eq!(send(major::IRP_MJ_POWER, Irql::DISPATCH), 0);
}

#[test]
fn a_request_is_not_completed_under_a_spin_lock() {
    for held in [true, false] {
        let bench = bench();
        let driver = super::driver(&bench, "low");
        let lock = bench.variable(8);
        on(&bench, driver, major::IRP_MJ_READ, move |kernel, _, irp| {
            let before = kernel.ke_acquire_spin_lock_raise_to_dpc(lock)?;
            if !held {
                kernel.ke_release_spin_lock(lock, before)?;
            }
            let status = super::complete(kernel, irp, NtStatus::SUCCESS, 0)?;
            if held {
                kernel.ke_release_spin_lock(lock, before)?;
            }
            Ok(status)
        });
        let device = super::device(&bench, driver, "");
        bench.on_thread(move |kernel| -> Ddi<()> {
            let irp = kernel.io_allocate_irp(1, 0)?;
            let next = kernel.next_location(irp)?;
            kernel.write(
                crate::at!(next, dirql_abi::irp::IoStackLocation, major_function),
                major::IRP_MJ_READ,
            )?;
            kernel.iof_call_driver(device, irp).map(drop)
        });
        let found = bench.kernel.findings();
        let found: Vec<_> = found
            .iter()
            .filter(|finding| finding.rule == ids::COMPLETED_UNDER_LOCK)
            .collect();
        assert_eq!(found.len(), usize::from(held));
        if let Some(finding) = found.first() {
            let earlier = finding.earlier.as_ref().map(|(what, _)| what.as_str());
            assert_eq!(earlier, Some("the lock was taken here"));
        }
    }
}

#[test]
fn a_long_wait_in_a_dpc_is_advice() {
    for (microseconds, found) in [(100, 0), (101, 1)] {
        let bench = bench();
        let routine = bench.routine(move |kernel, _| {
            kernel.ke_stall_execution_processor(microseconds)?;
            Ok(0)
        });
        let dpc = crate::DriverPtr::new(bench.variable(64));
        bench.on_thread(move |kernel| -> Ddi<()> {
            kernel.ke_initialize_dpc(dpc, routine, 0)?;
            kernel.ke_insert_queue_dpc(dpc, 0, 0)?;
            Ok(())
        });
        assert_eq!(bench.rules(), alloc::vec![ids::LONG_INTERRUPT; found]);
    }
}

#[test]
fn the_msix_table_is_changed_at_or_below_the_devices_level() {
    // The device has no messages, so that there is no such entry at any level.
    for (level, found) in [
        (Irql::DISPATCH, &[ids::TABLE_ENTRY][..]),
        (Irql::HIGH, &[ids::TABLE_IRQL, ids::TABLE_ENTRY]),
    ] {
        let (bench, device) = calls(major::IRP_MJ_READ, 0, "");
        bench.on_thread(move |kernel| {
            kernel.raise_irql(level);
            let masked = kernel.bus_mask_table_entry(device, 0, true);
            kernel.lower_irql(Irql::PASSIVE)?;
            masked
        });
        assert_eq!(bench.rules(), found);
    }
}
