//! The callbacks: at their level, at others, and from ISRs.

use dirql_rules::ids;

use super::*;

#[test]
fn try_allocate_takes_a_free_port_and_queues_nothing() {
    let rig = Rig::new();
    let port = rig.information();
    assert_eq!(rig.call(port.try_allocate, &[port.context]), 1);
    assert_eq!(rig.call(port.try_allocate, &[port.context]), 0);
    assert_eq!(rig.call(port.waiters, &[port.context]), 0);
    rig.call(port.free, &[port.context]);
    assert_eq!(rig.call(port.try_allocate, &[port.context]), 1);
    assert_eq!(rig.bench.rules(), []);
}

#[test]
fn waiters_are_queued_allocations_and_selections() {
    let rig = Rig::new();
    let port = rig.information();
    let file = rig.open();
    rig.call(port.try_allocate, &[port.context]);
    for (code, count) in [
        (ioctl::IOCTL_INTERNAL_PARALLEL_PORT_ALLOCATE, 1),
        (ioctl::IOCTL_INTERNAL_SELECT_DEVICE, 2),
        (ioctl::IOCTL_INTERNAL_PARALLEL_PORT_ALLOCATE, 3),
    ] {
        rig.submit(file, code, &command(4, 1), 0);
        assert_eq!(rig.call(port.waiters, &[port.context]), count);
    }
}

#[test]
fn a_free_of_a_free_port_is_found_and_changes_nothing() {
    let rig = Rig::new();
    let port = rig.information();
    rig.call(port.free, &[port.context]);
    assert_eq!(rig.bench.rules(), [ids::PORT_FREED_TWICE]);
    // In the sample the count is -2 now and the next allocation waits for ever.
    let allocate = ioctl::IOCTL_INTERNAL_PARALLEL_PORT_ALLOCATE;
    assert_eq!(rig.status(allocate, &[], 0), NtStatus::SUCCESS);
}

#[test]
fn a_free_by_somebody_else_is_obeyed() {
    let rig = Rig::new();
    let port = rig.information();
    rig.call(port.try_allocate, &[port.context]);
    rig.status(ioctl::IOCTL_INTERNAL_PARALLEL_PORT_FREE, &[], 0);
    assert_eq!(rig.call(port.try_allocate, &[port.context]), 1);
}

/// Connects an ISR that calls both interrupt-level callbacks; what they said.
fn allocating_isr(rig: &Rig) {
    let slots = rig.bench.variable(24);
    let log = rig.log.clone();
    let isr = rig.with_code(move |kernel, _| {
        let slot = |index: u64| kernel.read(DriverPtr::<u64>::new(slots + 8 * index));
        let (try_allocate, free, context) = (slot(0)?, slot(1)?, slot(2)?);
        let got = kernel.call("Callback", try_allocate, &[context]);
        log.add(alloc::format!("allocated {got}"));
        if got != 0 {
            kernel.call("Callback", free, &[context]);
        }
        Ok(1)
    });
    let check = rig.check();
    let [_, try_allocate, free, context] = rig.connect(isr, 1, check, 10);
    for (index, value) in [try_allocate, free, context].into_iter().enumerate() {
        let slot = DriverPtr::new(slots).element(index);
        rig.kernel().write(slot, value).expect("a variable");
    }
}

#[test]
fn an_isr_takes_a_free_port_and_its_free_is_not_followed_by_checks() {
    let rig = Rig::new();
    allocating_isr(&rig);
    rig.interrupt();
    assert_eq!(rig.log.take(), ["allocated 1"]);
    let port = rig.information();
    assert_eq!(
        rig.call(port.try_allocate, &[port.context]),
        1,
        "it is free again"
    );
    assert_eq!(rig.bench.rules(), []);
}

#[test]
fn an_isr_without_the_port_is_told_by_its_check() {
    let rig = Rig::new();
    allocating_isr(&rig);
    let port = rig.information();
    rig.call(port.try_allocate, &[port.context]);
    rig.interrupt();
    assert_eq!(rig.log.take(), ["allocated 0"]);
    rig.call(port.free, &[port.context]);
    assert_eq!(rig.log.take().len(), 1);
    assert_eq!(rig.bench.rules(), []);
}

#[test]
fn a_free_in_an_isr_hands_the_port_on_through_a_dpc() {
    let rig = Rig::new();
    let port = rig.information();
    let file = rig.open();
    let free = Rc::new(RefCell::new((0, 0)));
    let frees = free.clone();
    let log = rig.log.clone();
    let isr = rig.with_code(move |kernel, _| {
        let (routine, context) = *frees.borrow();
        kernel.call("Callback", routine, &[context]);
        // The DPC has not run: the port is nobody else's yet.
        let queue =
            kernel.with_port(context, |port| (port.queue.is_free(), port.queue.waiters()))?;
        log.add(alloc::format!("{queue:?}"));
        Ok(1)
    });
    let [_, _, at_dirql, context] = rig.connect(isr, 1, 0, 0);
    *free.borrow_mut() = (at_dirql, context);
    rig.call(port.try_allocate, &[port.context]);
    let waits = rig.submit(file, ioctl::IOCTL_INTERNAL_PARALLEL_PORT_ALLOCATE, &[], 0);
    rig.interrupt();
    assert_eq!(rig.log.take(), ["(false, 1)"]);
    assert_eq!(rig.outcome(waits), Some(NtStatus::SUCCESS));
    assert_eq!(
        rig.call(port.try_allocate, &[port.context]),
        0,
        "it is the waiter's"
    );
    assert_eq!(rig.bench.rules(), []);
}

#[test]
fn a_second_free_while_the_port_is_handed_on_is_found() {
    let rig = Rig::new();
    let port = rig.information();
    let file = rig.open();
    let free = Rc::new(RefCell::new((0, 0)));
    let frees = free.clone();
    let isr = rig.with_code(move |kernel, _| {
        let (routine, context) = *frees.borrow();
        kernel.call("Callback", routine, &[context]);
        kernel.call("Callback", routine, &[context]);
        Ok(1)
    });
    let [_, _, at_dirql, context] = rig.connect(isr, 1, 0, 0);
    *free.borrow_mut() = (at_dirql, context);
    rig.call(port.try_allocate, &[port.context]);
    let allocate = ioctl::IOCTL_INTERNAL_PARALLEL_PORT_ALLOCATE;
    let waits = [
        rig.submit(file, allocate, &[], 0),
        rig.submit(file, allocate, &[], 0),
    ];
    rig.interrupt();
    assert_eq!(rig.bench.rules(), [ids::PORT_FREED_TWICE]);
    assert_eq!(
        waits.map(|request| rig.outcome(request)),
        [Some(NtStatus::SUCCESS), None]
    );
}

#[test]
fn ordinary_callbacks_in_an_isr_are_found_and_do_not_hang() {
    let rig = Rig::new();
    let port = rig.information();
    let isr = rig.with_code(move |kernel, _| {
        kernel.call("Callback", port.try_allocate, &[port.context]);
        kernel.call("Callback", port.free, &[port.context]);
        kernel.call("Callback", port.waiters, &[port.context]);
        Ok(1)
    });
    rig.connect(isr, 1, 0, 0);
    rig.interrupt();
    assert_eq!(rig.bench.rules(), [ids::PORT_CALLBACK_LEVEL; 3]);
    assert_eq!(rig.call(port.try_allocate, &[port.context]), 1);
}

#[test]
fn interrupt_level_callbacks_elsewhere_are_found() {
    let rig = Rig::new();
    let [_, try_allocate, free, context] = rig.connect(rig.isr(true), 1, 0, 0);
    assert_eq!(rig.call(try_allocate, &[context]), 1);
    rig.call(free, &[context]);
    assert_eq!(rig.bench.rules(), [ids::PORT_CALLBACK_LEVEL; 2]);
}

#[test]
fn callbacks_are_for_dispatch_level_too() {
    let rig = Rig::new();
    let port = rig.information();
    rig.bench.on_thread(move |kernel| {
        let level = kernel.raise_irql(dirql_abi::Irql::DISPATCH);
        assert_eq!(
            kernel.call("Callback", port.try_allocate, &[port.context]),
            1
        );
        kernel.call("Callback", port.free, &[port.context]);
        kernel.lower_irql(level)
    });
    assert_eq!(rig.bench.rules(), []);
}

#[test]
fn a_context_that_is_no_ports_ends_the_run() {
    let rig = Rig::new();
    let port = rig.information();
    let wrong = rig.bench.variable(64);
    let ended = rig
        .bench
        .try_on_thread(move |kernel| Ok(kernel.call("Callback", port.try_allocate, &[wrong])));
    assert!(ended.is_none());
    assert_eq!(rig.bench.rules(), [ids::PORT_CONTEXT]);
}

#[test]
fn an_interrupt_on_another_processor_waits_for_a_check() {
    let rig = Rig::with(Setup {
        processors: 2,
        ..Setup::default()
    });
    allocating_isr(&rig);
    let port = rig.information();
    rig.call(port.try_allocate, &[port.context]);
    rig.interrupt();
    rig.call(port.free, &[port.context]);
    rig.interrupt();
    let log = rig.log.take();
    assert_eq!(
        (log[0].as_str(), log[2].as_str()),
        ("allocated 0", "allocated 1")
    );
    assert_eq!(rig.bench.rules(), []);
}
