//! IEEE 1284 negotiation, nibble and byte mode.

use snapbox::{assert_data_eq, str};

use super::*;

#[test]
fn a_peripheral_is_negotiated_into_the_modes_it_has() {
    let modes: Vec<u8> = (0..=0xFF)
        .filter(|&request| {
            let mut bench = Bench::new(printer());
            bench.negotiate(request)
        })
        .collect();
    assert_eq!(
        modes,
        [0x00, 0x01, 0x04, 0x05, 0x10, 0x14, 0x30, 0x34, 0x40]
    );
}

#[test]
fn after_termination_a_printer_prints() {
    for request in [0x00, 0x01, 0x04, 0x05, 0x10, 0x14, 0x30, 0x80, 0x08] {
        let mut bench = Bench::new(printer());
        bench.negotiate(request);
        bench.terminate();
        bench.strobe(b'x');
        bench.run();
        assert_eq!(bench.sent, b"x", "{request:#x}");
    }
}

#[test]
fn the_device_id_begins_with_its_length() {
    for (peer, text) in [
        (printer(), "MFG:dirql;MDL:Printer;CMD:TEXT;CLS:PRINTER;"),
        (script_peer(), "MFG:dirql;MDL:Script;CMD:NONE;"),
    ] {
        let mut expected = Vec::from([0, text.len() as u8 + 2]);
        expected.extend(text.bytes());

        let mut bench = Bench::new(peer.clone());
        assert!(bench.negotiate(0x04));
        assert_eq!(bench.read_nibbles(), expected);
        bench.terminate();
        assert!(bench.negotiate(0x04), "it can be read again");
        assert_eq!(bench.read_nibbles(), expected);

        let mut bench = Bench::new(peer);
        bench.ecr(0x34);
        assert!(bench.negotiate(0x05));
        assert_eq!(bench.read_bytes(), expected);
    }
}

#[test]
fn what_arrives_is_read_in_nibbles_or_bytes() {
    let bytes: Vec<u8> = (0..=255).collect();
    for request in [0x00, 0x01] {
        let mut bench = Bench::new(script_peer());
        bench.ecr(0x34);
        bench.stimulate(&Stimulus::Receive(bytes.clone()));
        assert!(bench.negotiate(request));
        let read = if request == 0 {
            bench.read_nibbles()
        } else {
            bench.read_bytes()
        };
        assert_eq!(read, bytes);
        bench.terminate();
        assert!(!bench.has_data());
    }
}

#[test]
fn data_in_the_reverse_idle_phase_interrupts() {
    let mut bench = Bench::new(script_peer());
    assert!(bench.negotiate(0x00));
    assert_data_eq!(
        script_on(
            &mut bench,
            "status control=16 status receive=Z status tick status control=14 status"
        ),
        str![[r#"
status      -> e8
control=16  ->
status      -> e8
receive=Z   ->
status      -> a0
tick        -> +30 high low
status      -> e0
control=14  ->
status      -> c0

"#]]
    );
    assert_eq!(bench.read_nibbles(), b"Z");
}

#[test]
fn a_host_may_leave_the_idle_phase_while_it_is_interrupted() {
    let mut bench = Bench::new(script_peer());
    assert!(bench.negotiate(0x00));
    assert_data_eq!(
        script_on(&mut bench, "control=06 receive=Z control=04 status run"),
        str![[r#"
control=06  ->
receive=Z   ->
control=04  ->
status      -> c0
run         ->

"#]]
    );
    assert_eq!(bench.read_nibbles(), b"Z");
}

#[test]
fn a_negotiation_can_be_given_up() {
    assert_data_eq!(
        script(
            printer(),
            "control=06 status control=0c status data=41 control=0d control=0c run"
        ),
        str![[r#"
control=06  ->
status      -> b8
control=0c  ->
status      -> d8
data=41     ->
control=0d  ->
control=0c  ->
run         -> "A"

"#]]
    );
}

#[test]
fn init_ends_every_mode() {
    for request in [0x00, 0x01, 0x40, 0x80] {
        let mut bench = Bench::new(printer());
        bench.negotiate(request);
        bench.control(0x00);
        bench.control(0x0C);
        bench.strobe(b'x');
        bench.run();
        assert_eq!(bench.sent, b"x", "{request:#x}");
    }
}

#[test]
fn a_negotiation_does_not_disturb_a_byte_being_printed() {
    let mut bench = Bench::new(printer());
    bench.strobe(b'x');
    assert!(bench.negotiate(0x00));
    bench.run();
    assert_eq!(bench.sent, b"x");
    bench.terminate();
    bench.strobe(b'y');
    bench.run();
    assert_eq!(bench.sent, b"xy");
}

#[test]
fn a_script_announces_again_after_a_negotiation() {
    let mut bench = Bench::new(script_peer());
    bench.control(0x1C);
    bench.stimulate(&Stimulus::Receive(b"ab".to_vec()));
    assert!(bench.negotiate(0x00));
    bench.run();
    bench.terminate();
    bench.control(0x1C);
    let before = bench.interrupts;
    bench.run();
    assert_eq!(bench.interrupts, before + 1);
    assert!(bench.has_data());
}
