//! The port's children, by which it is locked for a device.

use super::*;

const CHAIN: &[(&str, &str)] = &[("peer", "chain"), ("devices", "2")];

fn rig() -> Rig {
    Rig::with(Setup {
        options: CHAIN,
        ..Setup::default()
    })
}

/// Asks a child.
fn ask(rig: &Rig, child: &'static str, code: u32, output: usize) -> RequestOutcome {
    rig.bench.on_thread(move |kernel| {
        let file = kernel.open(child)?.expect("the child is there");
        let outcome = kernel.request(file, &control_kind(code, &[], output))?;
        kernel.close(file)?;
        Ok(outcome)
    })
}

fn selected(rig: &Rig) -> Option<u8> {
    let ports = rig.kernel().parport.ports.borrow();
    ports.values().next().expect("a port").selected
}

#[test]
fn a_lock_has_the_port_with_its_device_selected() {
    let rig = rig();
    let port = rig.information();
    let lock = ioctl::IOCTL_INTERNAL_LOCK_PORT;
    let unlock = ioctl::IOCTL_INTERNAL_UNLOCK_PORT;
    for (child, id) in [
        (r"\Device\Parallel0.0", Some(0)),
        (r"\Device\Parallel0.1", Some(1)),
        (r"\Device\Parallel0.4", None),
    ] {
        assert_eq!(ask(&rig, child, lock, 0).status, NtStatus::SUCCESS);
        assert_eq!(selected(&rig), id);
        assert_eq!(rig.call(port.try_allocate, &[port.context]), 0);
        assert_eq!(ask(&rig, child, unlock, 0).status, NtStatus::SUCCESS);
        assert_eq!(selected(&rig), None);
        assert_eq!(rig.call(port.try_allocate, &[port.context]), 1);
        rig.call(port.free, &[port.context]);
    }
    assert_eq!(rig.bench.rules(), []);
}

#[test]
fn a_lock_without_selection_leaves_the_chain_alone() {
    let rig = rig();
    let child = r"\Device\Parallel0.1";
    let lock = ioctl::IOCTL_INTERNAL_LOCK_PORT_NO_SELECT;
    assert_eq!(ask(&rig, child, lock, 0).status, NtStatus::SUCCESS);
    assert_eq!(selected(&rig), None);
    let unlock = ioctl::IOCTL_INTERNAL_UNLOCK_PORT_NO_DESELECT;
    assert_eq!(ask(&rig, child, unlock, 0).status, NtStatus::SUCCESS);
    assert_eq!(rig.bench.rules(), []);
}

#[test]
fn device_busy_is_what_a_lock_gives_that_waited_too_long() {
    let rig = rig();
    let port = rig.information();
    rig.call(port.try_allocate, &[port.context]);
    for lock in [
        ioctl::IOCTL_INTERNAL_LOCK_PORT,
        ioctl::IOCTL_INTERNAL_LOCK_PORT_NO_SELECT,
    ] {
        let before = rig.kernel().time_100ns();
        let outcome = ask(&rig, r"\Device\Parallel0.0", lock, 0);
        assert_eq!(outcome.status, NtStatus::DEVICE_BUSY);
        assert!(
            rig.kernel().time_100ns() - before >= 5_000_000,
            "half a second"
        );
    }
    assert_eq!(rig.call(port.waiters, &[port.context]), 0);
}

#[test]
fn a_lock_that_waits_counts_as_a_waiter_and_gets_the_port() {
    let rig = rig();
    let port = rig.information();
    rig.call(port.try_allocate, &[port.context]);
    let seen = rig.bench.on_thread(move |kernel| {
        let file = kernel
            .open(r"\Device\Parallel0.0")?
            .expect("the child is there");
        let kind = control_kind(ioctl::IOCTL_INTERNAL_LOCK_PORT, &[], 0);
        let outcome = Rc::new(RefCell::new(None));
        let slot = outcome.clone();
        let locks = move |kernel: &Kernel| {
            *slot.borrow_mut() = Some(kernel.request(file, &kind)?.status);
            Ok(())
        };
        kernel.spawn_thread(
            "lock",
            8,
            crate::ke::ThreadBody::Native(alloc::boxed::Box::new(locks)),
        );
        let interval = DriverPtr::<i64>::new(kernel.allocate_system(8));
        kernel.write(interval, -100_000)?;
        kernel.ke_delay_execution_thread(crate::ke::WaitMode::KERNEL, interval)?;
        let waiters = kernel.call("Callback", port.waiters, &[port.context]);
        kernel.call("Callback", port.free, &[port.context]);
        kernel.ke_delay_execution_thread(crate::ke::WaitMode::KERNEL, interval)?;
        let status = *outcome.borrow();
        Ok((waiters, status))
    });
    assert_eq!(seen, (1, Some(NtStatus::SUCCESS)));
}

#[test]
fn a_child_says_which_port_is_its_parents() {
    let rig = rig();
    let code = ioctl::IOCTL_INTERNAL_GET_PARPORT_FDO;
    let child = r"\Device\Parallel0.4";
    let outcome = ask(&rig, child, code, 8);
    assert_eq!(
        (outcome.status, outcome.information),
        (NtStatus::SUCCESS, 8)
    );
    assert_eq!(
        word(&outcome.data, 0),
        rig.kernel().top_of_stack(rig.physical_device)
    );
    assert_eq!(ask(&rig, child, code, 4).status, NtStatus::BUFFER_TOO_SMALL);
}

#[test]
fn requests_for_the_port_are_not_for_its_children_nor_the_other_way_round() {
    let rig = rig();
    let child = r"\Device\Parallel0.0";
    let allocate = ioctl::IOCTL_INTERNAL_PARALLEL_PORT_ALLOCATE;
    assert_eq!(
        ask(&rig, child, allocate, 0).status,
        NtStatus::INVALID_PARAMETER
    );
    for code in [
        ioctl::IOCTL_INTERNAL_LOCK_PORT,
        ioctl::IOCTL_INTERNAL_GET_PARPORT_FDO,
        ioctl::IOCTL_INTERNAL_PARCLASS_CONNECT,
    ] {
        assert_eq!(
            rig.status(code, &[], 120),
            NtStatus::INVALID_PARAMETER,
            "{code:#x}"
        );
    }
}

#[test]
fn children_go_with_the_port() {
    let rig = rig();
    let device = rig.physical_device;
    let removed = rig
        .bench
        .on_thread(move |kernel| kernel.remove_device(device));
    assert_eq!(removed, Ok(()));
    let gone = rig
        .bench
        .on_thread(|kernel| kernel.open(r"\Device\Parallel0.4"));
    assert_eq!(gone, Err(NtStatus::OBJECT_NAME_NOT_FOUND));
    rig.start();
    ask(
        &rig,
        r"\Device\Parallel0.4",
        ioctl::IOCTL_INTERNAL_GET_PARPORT_FDO,
        8,
    );
    assert_eq!(rig.bench.rules(), []);
}
