//! Daisy chains.

use super::super::peer::Chain;
use super::super::spec::{control, status};
use super::*;

const OUT: u8 = control::NOT_INIT;

fn chain(devices: usize) -> Bench {
    let chain = Chain::new(devices, Some(Peripheral::printer()));
    Bench::new(Peer::Chain(chain))
}

/// The beginning of a packet, with the answers that drivers look for.
fn begin_packet(bench: &mut Bench) -> bool {
    let answer = status::NOT_BUSY | status::PAPER_END | status::SELECT | status::NOT_FAULT;
    bench.control(OUT);
    let bytes = [0xAA, 0x55, 0x00, 0xFF];
    bytes.into_iter().for_each(|byte| bench.data(byte));
    let first = bench.status() & answer == answer;
    bench.data(0x87);
    let second = bench.status() & answer == status::SELECT | status::NOT_FAULT;
    bench.data(0x78);
    let third = status::PAPER_END | status::SELECT;
    first && second && bench.status() & third == third
}

/// Leaves nSelectIn high, as modes other than compatibility mode want it.
fn end_packet(bench: &mut Bench) {
    bench.data(0xFF);
    bench.control(OUT);
}

/// How Windows counts devices: the last one raises Busy before it gets its address.
fn assign(bench: &mut Bench) -> u8 {
    let mut count = 0;
    if begin_packet(bench) {
        let mut is_last = false;
        while count < 4 && !is_last {
            bench.data(count);
            count += 1;
            is_last = bench.status() & status::NOT_BUSY == 0;
            bench.control(OUT | control::STROBE);
            bench.control(OUT);
        }
    }
    end_packet(bench);
    count
}

/// What nFault is while the command is strobed.
fn command(bench: &mut Bench, command: u8) -> bool {
    assert!(begin_packet(bench));
    bench.data(command);
    bench.control(OUT | control::STROBE);
    let n_fault = bench.status() & status::NOT_FAULT != 0;
    bench.control(OUT);
    end_packet(bench);
    n_fault
}

#[test]
fn every_device_gets_an_address() {
    for devices in 1..=4 {
        let mut bench = chain(devices);
        assert_eq!(usize::from(assign(&mut bench)), devices);
        assert_eq!(usize::from(assign(&mut bench)), devices, "again");
        for address in 0..4 {
            let found = usize::from(address) < devices;
            assert_eq!(command(&mut bench, 0xE0 | address), found, "{address}");
        }
    }
}

#[test]
fn without_a_chain_there_are_no_devices() {
    for peer in [Peer::Nothing, Peer::loopback(), printer(), script_peer()] {
        let mut bench = Bench::new(peer);
        assert!(!begin_packet(&mut bench));
        end_packet(&mut bench);
    }
}

#[test]
fn the_computer_talks_to_the_selected_device() {
    let mut bench = chain(2);
    assign(&mut bench);
    let device_id = |bench: &mut Bench| {
        assert!(bench.negotiate(0x04));
        let id = bench.read_nibbles();
        bench.terminate();
        String::from_utf8_lossy(&id[2..]).into_owned()
    };
    assert!(device_id(&mut bench).contains("Printer"));
    assert!(command(&mut bench, 0xE1));
    assert!(device_id(&mut bench).contains("Script"));
    bench.stimulate(&Stimulus::Receive(b"one".to_vec()));
    assert!(command(&mut bench, 0xE0));
    assert!(!bench.has_data());
    assert!(command(&mut bench, 0xE1));
    assert!(bench.has_data());
    assert!(!command(&mut bench, 0x30), "deselected");
    assert!(!bench.has_data());
    bench.control(OUT | control::SELECT_IN);
    bench.strobe(b'p');
    bench.run();
    assert_eq!(bench.sent, b"p");
    // The printer at the end can be pressed, a device cannot.
    assert_eq!(bench.stimulate(&Stimulus::Press), "");
    command(&mut bench, 0xE0);
    assert_eq!(bench.stimulate(&Stimulus::Press), " unknown");
}

#[test]
fn a_device_can_be_selected_in_ecp_or_epp_mode() {
    let mut bench = chain(2);
    assign(&mut bench);
    assert!(command(&mut bench, 0xD0));
    bench.ecr(0x74);
    bench.write_at(1, 0, b'e');
    bench.run();
    bench.ecr(0x34);
    assert!(command(&mut bench, 0x21));
    bench.ecr(0x94);
    bench.write_at(0, 4, b'f');
    assert_eq!(bench.sent, b"ef");
    assert_eq!(bench.status() & status::TIMEOUT, 0);
}

#[test]
fn a_selected_device_interrupts() {
    let mut bench = chain(1);
    assign(&mut bench);
    assert!(command(&mut bench, 0xE0));
    bench.control(0x1C);
    bench.stimulate(&Stimulus::Receive(b"a".to_vec()));
    bench.run();
    assert_eq!(bench.interrupts, 1);
}

#[test]
fn a_reset_forgets_addresses() {
    let mut bench = chain(2);
    assign(&mut bench);
    assert!(command(&mut bench, 0xE0));
    // With nSelectIn high it is no reset.
    bench.control(0);
    bench.control(OUT);
    assert!(command(&mut bench, 0xE0));
    bench.control(control::SELECT_IN);
    bench.control(OUT);
    assert!(!command(&mut bench, 0xE0));
}

#[test]
fn a_broken_packet_is_no_packet() {
    let mut bench = chain(1);
    assign(&mut bench);
    bench.control(OUT);
    let bytes = [0xAA, 0x55, 0xAA, 0x55, 0x01, 0xFF, 0x87, 0x78, 0xE0];
    bytes.into_iter().for_each(|byte| bench.data(byte));
    bench.control(OUT | control::STROBE);
    bench.control(OUT);
    let Peer::Chain(chain) = bench.port.peer() else {
        panic!("a chain");
    };
    let untouched = chain.clone();
    assert!(!command(&mut bench, 0xE3));
    // Only what followed the second AA 55 counts, and that was broken, too.
    assert_ne!(bench.port.peer(), &Peer::Chain(untouched));
    assert!(command(&mut bench, 0xE0));
}

#[test]
fn without_an_end_the_connector_is_open() {
    let mut bench = Bench::new(Peer::Chain(Chain::new(9, None)));
    assert_eq!(assign(&mut bench), 4);
    assert_eq!(bench.status(), PeerPins::PULLED_UP.status());
    assert_eq!(
        bench.stimulate(&Stimulus::Receive(b"x".to_vec())),
        " unknown"
    );
}
