//! Interrupts, clients, deferred checks.

use dirql_rules::ids;

use super::*;
use crate::parport::{DeferredChecks, IsrChain};

#[test]
fn clients_are_called_in_order_with_the_shared_object_and_their_context() {
    let rig = Rig::new();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let objects = seen.clone();
    let isr = rig.with_code(move |kernel, arguments| {
        objects
            .borrow_mut()
            .push((arguments[0], arguments[1], kernel.irql()));
        Ok(0)
    });
    let first = rig.connect(isr, 1, 0, 0);
    let second = rig.connect(isr, 2, 0, 0);
    assert_eq!(
        first, second,
        "one object, one pair of callbacks, one context"
    );
    rig.interrupt();
    let object = rig
        .kernel()
        .ke
        .interrupts
        .object(first[0])
        .expect("it is connected");
    let level = object.isr.synchronize_irql;
    assert_eq!(*seen.borrow(), [(first[0], 1, level), (first[0], 2, level)]);
}

#[test]
fn the_line_is_connected_for_the_first_client_until_the_last_has_gone() {
    let rig = Rig::new();
    let isr = rig.isr(true);
    let connections = || rig.kernel().ke.interrupts.connections().len();
    assert_eq!(connections(), 0);
    rig.connect(isr, 1, 0, 0);
    rig.connect(isr, 2, 0, 0);
    assert_eq!(connections(), 1);
    assert_eq!(rig.disconnect(isr, 1), NtStatus::SUCCESS);
    rig.interrupt();
    assert_eq!(rig.log.take(), ["isr 2"]);
    assert_eq!(rig.disconnect(isr, 2), NtStatus::SUCCESS);
    assert_eq!(connections(), 0);
    rig.interrupt();
    assert!(rig.log.take().is_empty());
    rig.connect(isr, 3, 0, 0);
    rig.interrupt();
    assert_eq!(rig.log.take(), ["isr 3"]);
    assert_eq!(rig.bench.rules(), []);
}

#[test]
fn a_pair_may_be_connected_twice_and_goes_one_by_one() {
    let rig = Rig::new();
    let isr = rig.isr(false);
    rig.connect(isr, 1, 0, 0);
    rig.connect(isr, 1, 0, 0);
    rig.interrupt();
    assert_eq!(rig.log.take(), ["isr 1", "isr 1"]);
    assert_eq!(rig.disconnect(isr, 1), NtStatus::SUCCESS);
    rig.interrupt();
    assert_eq!(rig.log.take(), ["isr 1"]);
    assert_eq!(rig.disconnect(isr, 1), NtStatus::SUCCESS);
}

fn chain(isr_chain: IsrChain) -> Vec<String> {
    let rig = Rig::with(Setup {
        settings: Settings {
            isr_chain,
            ..Settings::default()
        },
        ..Setup::default()
    });
    let (claims, does_not) = (rig.isr(true), rig.isr(false));
    rig.connect(does_not, 1, 0, 0);
    rig.connect(claims, 2, 0, 0);
    rig.connect(claims, 3, 0, 0);
    rig.interrupt();
    rig.log.take()
}

#[test]
fn all_clients_are_called_as_the_pages_say() {
    assert_eq!(chain(IsrChain::default()), ["isr 1", "isr 2", "isr 3"]);
}

#[test]
fn the_first_claim_ends_the_chain_as_in_the_sample() {
    assert_eq!(chain(IsrChain::FirstClaim), ["isr 1", "isr 2"]);
    assert_eq!(Settings::SAMPLE.isr_chain, IsrChain::FirstClaim);
}

#[test]
fn the_value_of_the_ports_isr_is_whether_a_client_claimed() {
    for (claims, value) in [(false, 0), (true, 1)] {
        let rig = Rig::new();
        let context = rig.information().context;
        rig.connect(rig.isr(claims), 1, 0, 0);
        rig.connect(rig.isr(false), 2, 0, 0);
        let isr = rig.kernel().kernel_routine("dirql:ParportIsr");
        assert_eq!(rig.call(isr, &[0, context]), value);
    }
}

#[test]
fn a_client_without_an_isr_is_passed_over_and_told() {
    let rig = Rig::new();
    rig.connect(0, 1, rig.check(), 7);
    rig.connect(rig.isr(true), 2, 0, 0);
    assert_eq!(rig.bench.rules(), [ids::PORT_WITHOUT_ISR]);
    rig.interrupt();
    assert_eq!(rig.log.take(), ["isr 2"]);
    assert_eq!(rig.disconnect(0, 1), NtStatus::SUCCESS);
}

#[test]
fn an_interrupt_before_the_first_entry_finds_nobody() {
    let rig = Rig::new();
    let context = rig.information().context;
    let isr = rig.kernel().kernel_routine("dirql:ParportIsr");
    assert_eq!(rig.call(isr, &[0, context]), 0);
}

#[test]
fn bytes_arrive_by_edges_of_nack() {
    let rig = Rig::new();
    let status = rig.with_code({
        let log = rig.log.clone();
        move |kernel, _| {
            let value = kernel.read_port(BASE + 1, dirql_chips::Width::U8);
            log.add(alloc::format!("status {value:#04x}"));
            Ok(1)
        }
    });
    rig.connect(status, 1, 0, 0);
    rig.enable_ack();
    let device = rig.device;
    rig.bench.on_thread(move |kernel| {
        assert!(kernel.stimulate(device, &Stimulus::Receive(alloc::vec![0x41])));
        kernel.yield_point()
    });
    assert!(!rig.log.take().is_empty(), "the peer announces by nAck");
}

#[test]
fn an_isr_that_returns_at_another_level_is_found() {
    let rig = Rig::new();
    let isr = rig.with_code(|kernel, _| {
        let level = kernel.irql();
        kernel.raise_irql(dirql_abi::Irql(level.0 + 1));
        Ok(1)
    });
    rig.connect(isr, 1, 0, 0);
    rig.interrupt();
    assert_eq!(rig.bench.rules(), [ids::ROUTINE_IRQL]);
}

/// Allocates and frees the port with two checks connected.
fn checks(settings: Settings) -> (Rig, Vec<String>) {
    let rig = Rig::with(Setup {
        settings,
        ..Setup::default()
    });
    let (isr, check) = (rig.isr(true), rig.check());
    rig.connect(isr, 1, check, 10);
    rig.connect(isr, 2, 0, 0);
    rig.connect(isr, 3, check, 30);
    let port = rig.information();
    assert_eq!(rig.call(port.try_allocate, &[port.context]), 1);
    assert!(rig.log.take().is_empty());
    rig.call(port.free, &[port.context]);
    let log = rig.log.take();
    (rig, log)
}

#[test]
fn checks_run_in_order_at_dirql_when_the_port_is_free() {
    let (rig, log) = checks(Settings::default());
    let level = {
        let objects = rig.kernel().ke.interrupts.objects();
        objects[0].isr.synchronize_irql
    };
    assert_eq!(
        log,
        [
            alloc::format!("check 10 at {level}"),
            alloc::format!("check 30 at {level}")
        ]
    );
    assert_eq!(rig.bench.rules(), []);
}

#[test]
fn checks_run_at_dispatch_level_if_it_is_asked_for() {
    let (rig, log) = checks(Settings {
        deferred_checks: DeferredChecks::Dispatch,
        ..Settings::default()
    });
    let level = dirql_abi::Irql::DISPATCH;
    assert_eq!(
        log,
        [
            alloc::format!("check 10 at {level}"),
            alloc::format!("check 30 at {level}")
        ]
    );
    assert_eq!(rig.bench.rules(), []);
}

#[test]
fn checks_wait_until_nobody_waits_for_the_port() {
    let rig = Rig::new();
    rig.connect(rig.isr(true), 1, rig.check(), 10);
    let file = rig.open();
    let allocate = ioctl::IOCTL_INTERNAL_PARALLEL_PORT_ALLOCATE;
    assert_eq!(rig.status(allocate, &[], 0), NtStatus::SUCCESS);
    let waits = rig.submit(file, allocate, &[], 0);
    let free = ioctl::IOCTL_INTERNAL_PARALLEL_PORT_FREE;
    rig.status(free, &[], 0);
    assert_eq!(rig.outcome(waits), Some(NtStatus::SUCCESS));
    assert!(rig.log.take().is_empty());
    rig.status(free, &[], 0);
    assert_eq!(rig.log.take().len(), 1);
}

#[test]
fn a_check_that_takes_the_port_does_not_stop_the_rest() {
    let rig = Rig::new();
    let isr = rig.isr(true);
    let [_, try_allocate, _, context] = rig.connect(isr, 1, 0, 0);
    let takes = rig.with_code({
        let log = rig.log.clone();
        move |kernel, _| {
            log.add(alloc::format!(
                "took {}",
                kernel.call("Callback", try_allocate, &[context])
            ));
            Ok(0)
        }
    });
    rig.connect(isr, 2, takes, 0);
    rig.connect(isr, 3, rig.check(), 30);
    let port = rig.information();
    rig.call(port.try_allocate, &[port.context]);
    rig.call(port.free, &[port.context]);
    let log = rig.log.take();
    assert_eq!((log[0].as_str(), log.len()), ("took 1", 2));
    assert_eq!(
        rig.call(port.try_allocate, &[port.context]),
        0,
        "it is the check's"
    );
    assert_eq!(rig.bench.rules(), []);
}

#[test]
fn without_a_client_nothing_is_checked() {
    let rig = Rig::new();
    let port = rig.information();
    rig.call(port.try_allocate, &[port.context]);
    rig.call(port.free, &[port.context]);
    assert_eq!(rig.bench.rules(), []);
}
