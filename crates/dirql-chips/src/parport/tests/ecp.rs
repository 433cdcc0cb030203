//! The FIFO, in every mode that has it.

use snapbox::{assert_data_eq, str};

use super::super::fifo::Fifo;
use super::*;

fn in_ecp(peer: Peer) -> Bench {
    let mut bench = Bench::new(peer);
    assert!(bench.negotiate(0x10));
    bench.set_ecp_up();
    bench
}

#[test]
fn the_usual_test_finds_the_register() {
    // FIFO empty and not full; the mode and dmaEn can be written, the FIFO's bits cannot.
    assert_data_eq!(
        script(Peer::Nothing, "ecr ecr=34 ecr ecr=c0 ecr"),
        str![[r#"
ecr         -> 15
ecr=34      ->
ecr         -> 35
ecr=c0      -> high low
ecr         -> c5

"#]]
    );
}

#[test]
fn the_fifo_sends_to_a_printer() {
    assert_data_eq!(
        script(
            printer(),
            "ecr=54 fifo=48 fifo=69 ecr tick status tick status tick tick tick tick ecr run ecr"
        ),
        str![[r#"
ecr=54      ->
fifo=48     ->
fifo=69     ->
ecr         -> 54
tick        -> +5
status      -> 58
tick        -> +5
status      -> 58
tick        -> +5
tick        -> +90 "H"
tick        -> +30
tick        -> +5
ecr         -> 54
run         -> "i"
ecr         -> 55

"#]]
    );
}

#[test]
fn the_fifo_holds_16_and_refuses_the_rest() {
    let mut bench = Bench::new(printer());
    bench.stimulate(&Stimulus::Press);
    bench.ecr(0x54);
    for byte in b"0123456789abcdef!".iter() {
        assert_eq!(bench.read_at(1, 2).0 & 2 != 0, *byte == b'!');
        bench.write_at(1, 0, *byte);
    }
    bench.stimulate(&Stimulus::Release);
    bench.run();
    assert_eq!(bench.sent, b"0123456789abcdef");
}

#[test]
fn the_fifo_asks_for_service_from_8_free_bytes_on() {
    let mut bench = Bench::new(printer());
    bench.stimulate(&Stimulus::Press);
    bench.ecr(0x54);
    for byte in 0..16 {
        bench.write_at(1, 0, byte);
    }
    bench.ecr(0x50);
    assert_eq!((bench.interrupts, bench.read_at(1, 2).0), (0, 0x52));
    bench.stimulate(&Stimulus::Release);
    bench.run();
    assert_eq!((bench.interrupts, bench.read_at(1, 2).0), (1, 0x55));
    bench.ecr(0x50);
    assert_eq!(bench.interrupts, 2, "the condition is met at once");
    bench.ecr(0x58);
    assert_eq!(bench.interrupts, 2, "not with DMA");
    assert_eq!(bench.read_at(1, 2).0, 0x59);
}

/// "The writeIntrThreshold can be determined by starting with a full tFIFO and emptying it a byte
/// at a time until serviceIntr is set; the readIntrThreshold by filling an empty one."
#[test]
fn the_test_mode_shows_size_and_thresholds() {
    let mut bench = Bench::new(Peer::Nothing);
    bench.ecr(0x34);
    bench.ecr(0xD4);
    let mut size = 0;
    while bench.read_at(1, 2).0 & 2 == 0 {
        bench.write_at(1, 0, size);
        size += 1;
    }
    assert_eq!(size, 16);
    bench.write_at(1, 0, 0xEE);
    bench.ecr(0xD0);
    let mut emptied = 0;
    while bench.read_at(1, 2).0 & 4 == 0 {
        assert_eq!(bench.read_at(1, 0).0, emptied);
        emptied += 1;
    }
    assert_eq!(emptied, 8);
    for expected in 8..16 {
        assert_eq!(bench.read_at(1, 0).0, expected);
    }
    assert_eq!(bench.read_at(1, 2).0 & 3, 1);
    assert_eq!(bench.read_at(1, 0).0, 15, "the last byte again");

    bench.ecr(0x34);
    bench.control(0x2C);
    bench.ecr(0xD0);
    let mut filled = 0;
    while bench.read_at(1, 2).0 & 4 == 0 {
        bench.write_at(1, 0, 0);
        filled += 1;
    }
    assert_eq!((filled, bench.interrupts), (8, 2));
}

#[test]
fn the_configuration_mode_shows_width_and_line() {
    assert_data_eq!(
        script(Peer::Nothing, "ecr=f4 fifo cfgb fifo=00 fifo"),
        str![[r#"
ecr=f4      ->
fifo        -> 10
cfgb        -> 08
fifo=00     ->
fifo        -> 10

"#]]
    );
    for (line, expected) in [
        (5, 0x38),
        (7, 0x08),
        (9, 0x10),
        (15, 0x30),
        (4, 0),
        (239, 0),
    ] {
        let features = Features { line, ..EVERYTHING };
        let mut bench = Bench::with(features, Peer::Nothing);
        bench.ecr(0xF4);
        assert_eq!(bench.read_at(1, 1).0, expected, "{line}");
    }
}

#[test]
fn data_goes_forward_by_the_ecp_protocol() {
    let mut bench = in_ecp(script_peer());
    bench.ecr(0x74);
    for &byte in b"hello" {
        bench.write_at(1, 0, byte);
    }
    assert_eq!(bench.sent, b"", "a peripheral takes its time");
    bench.run();
    assert_eq!(bench.sent, b"hello");
    assert_eq!(bench.read_at(1, 2).0, 0x75);
}

#[test]
fn commands_are_run_lengths_and_addresses() {
    let mut bench = in_ecp(script_peer());
    bench.ecr(0x74);
    bench.data(3);
    bench.write_at(1, 0, b'a');
    bench.data(0x85);
    bench.write_at(1, 0, b'b');
    bench.data(0);
    bench.write_at(1, 0, b'c');
    bench.run();
    assert_eq!(bench.sent, b"aaaabc");
}

#[test]
fn data_comes_in_reverse() {
    let bytes: Vec<u8> = (0..100).collect();
    let mut bench = in_ecp(script_peer());
    bench.reverse();
    bench.ecr(0x74);
    bench.stimulate(&Stimulus::Receive(bytes.clone()));
    assert_eq!(bench.read_at(1, 2).0, 0x76, "full");
    let mut read = Vec::new();
    while bench.read_at(1, 2).0 & 1 == 0 {
        read.push(bench.read_at(1, 0).0);
    }
    assert_eq!(read, bytes);
    bench.stimulate(&Stimulus::Receive(b"more".to_vec()));
    let more = [0; 4].map(|_| bench.read_at(1, 0).0);
    assert_eq!(&more, b"more");
    bench.forward();
    bench.terminate();
    bench.strobe(b'x');
    bench.run();
    assert_eq!(bench.sent, b"x");
}

#[test]
fn reverse_data_asks_for_service_from_8_bytes_on() {
    let mut bench = in_ecp(script_peer());
    bench.reverse();
    bench.ecr(0x70);
    let before = bench.interrupts;
    bench.stimulate(&Stimulus::Receive(b"1234567".to_vec()));
    assert_eq!(bench.interrupts, before);
    bench.stimulate(&Stimulus::Receive(b"8".to_vec()));
    assert_eq!(
        (bench.interrupts, bench.read_at(1, 2).0),
        (before + 1, 0x74)
    );
}

#[test]
fn runs_are_expanded_as_there_is_room() {
    let pins = |busy, data| PeerPins {
        busy,
        data,
        ..PeerPins::PULLED_UP
    };
    let mut fifo = Fifo::default();
    fifo.receive(pins(false, 0x85));
    fifo.receive(pins(false, 19));
    fifo.receive(pins(true, b'z'));
    fifo.expand();
    assert_eq!(fifo.flags(), ecr::FULL);
    let mut count = 0;
    while fifo.flags() != ecr::EMPTY {
        assert_eq!(fifo.pop(), b'z');
        fifo.expand();
        count += 1;
    }
    assert_eq!(count, 20);
    fifo.receive(pins(true, b'y'));
    assert_eq!((fifo.pop(), fifo.flags()), (b'y', ecr::EMPTY));
}

#[test]
fn a_falling_nfault_interrupts_in_ecp_mode() {
    let mut bench = in_ecp(script_peer());
    bench.ecr(0x64);
    assert_data_eq!(
        script_on(
            &mut bench,
            "receive=a receive=b ecr=74 ecr=64 ecr=34 ecr=24"
        ),
        str![[r#"
receive=a   -> high low
receive=b   ->
ecr=74      ->
ecr=64      -> high low
ecr=34      ->
ecr=24      ->

"#]]
    );
}

#[test]
fn a_new_mode_finds_an_empty_fifo() {
    assert_data_eq!(
        script(
            Peer::Nothing,
            "ecr=d4 fifo=41 ecr ecr=34 ecr ecr=d4 ecr fifo ecr=74 fifo=41 ecr ecr=74 ecr ecr=14 ecr"
        ),
        str![[r#"
ecr=d4      ->
fifo=41     ->
ecr         -> d4
ecr=34      ->
ecr         -> 35
ecr=d4      ->
ecr         -> d5
fifo        -> 00
ecr=74      ->
fifo=41     ->
ecr         -> 74
ecr=74      ->
ecr         -> 74
ecr=14      ->
ecr         -> 15

"#]]
    );
}

#[test]
fn in_reverse_the_processor_cannot_write() {
    let mut bench = in_ecp(script_peer());
    bench.reverse();
    bench.ecr(0x74);
    assert_data_eq!(
        script_on(&mut bench, "fifo=41 data=41 ecr data"),
        str![[r#"
fifo=41     ->
data=41     ->
ecr         -> 75
data        -> ff

"#]]
    );
}
