//! What is true of any script.

use proptest::prelude::*;

use super::super::peer::Chain;
use super::*;

#[derive(Clone, Debug)]
enum Act {
    Read(u8, u64),
    Write(u8, u64, u8),
    Tick,
    Receive(Vec<u8>),
    Press,
    Release,
}

fn act() -> impl Strategy<Value = Act> {
    // Values that mean something are likely.
    let control = prop::sample::select(&[
        0x0C, 0x0D, 0x04, 0x06, 0x07, 0x1C, 0x1D, 0x24, 0x26, 0x34, 0x2C, 0x2D, 0x08, 0x00, 0x20,
    ]);
    let ecr = prop::sample::select(&[0x14, 0x34, 0x54, 0x50, 0x74, 0x70, 0x60, 0x94, 0xD0, 0xF4]);
    let data = prop::sample::select(&[
        0x00, 0x01, 0x04, 0x10, 0x40, 0xAA, 0x55, 0xFF, 0x87, 0x78, 0xE0, 0x30, 0x81,
    ]);
    prop_oneof![
        2 => (0..2u8, 0..9u64).prop_map(|(region, offset)| Act::Read(region, offset)),
        1 => (0..2u8, 0..9u64, any::<u8>()).prop_map(|(r, o, value)| Act::Write(r, o, value)),
        4 => control.prop_map(|value| Act::Write(0, 2, value)),
        2 => ecr.prop_map(|value| Act::Write(1, 2, value)),
        2 => data.prop_map(|value| Act::Write(0, 0, value)),
        1 => any::<u8>().prop_map(|value| Act::Write(1, 0, value)),
        3 => Just(Act::Tick),
        1 => prop::collection::vec(any::<u8>(), 0..20).prop_map(Act::Receive),
        1 => Just(Act::Press),
        1 => Just(Act::Release),
    ]
}

fn apply(bench: &mut Bench, act: &Act) -> String {
    match act {
        Act::Read(region, offset) => {
            let (value, text) = bench.read_at(*region, *offset);
            format!("{value}{text}")
        }
        Act::Write(region, offset, value) => bench.write_at(*region, *offset, *value),
        Act::Tick => {
            let mut text = String::new();
            bench.tick(&mut text);
            text
        }
        Act::Receive(bytes) => bench.stimulate(&Stimulus::Receive(bytes.clone())),
        Act::Press => bench.stimulate(&Stimulus::Press),
        Act::Release => bench.stimulate(&Stimulus::Release),
    }
}

fn peer() -> impl Strategy<Value = Peer> {
    let end = prop::option::of(Just(Peripheral::printer()));
    prop_oneof![
        Just(Peer::Nothing),
        Just(Peer::loopback()),
        Just(printer()),
        Just(script_peer()),
        (1..=4usize, end).prop_map(|(devices, end)| Peer::Chain(Chain::new(devices, end))),
    ]
}

fn features() -> impl Strategy<Value = Features> {
    let trigger = prop::sample::select(&[Trigger::Edge, Trigger::Level]);
    (any::<[bool; 3]>(), trigger).prop_map(|([byte, epp, ecp], trigger)| Features {
        byte,
        epp,
        ecp,
        line: 7,
        trigger,
    })
}

proptest! {
    #[test]
    fn any_script_keeps_the_invariants(
        features in features(),
        peer in peer(),
        acts in prop::collection::vec(act(), 0..80),
    ) {
        let mut bench = Bench::with(features, peer.clone());
        for act in &acts {
            let mut copy = bench.clone();
            prop_assert_eq!(apply(&mut bench, act), apply(&mut copy, act));
            prop_assert_eq!(&bench.port, &copy.port);
            if features.trigger == Trigger::Edge {
                prop_assert!(!bench.line, "a pulse is over");
            }
        }
        bench.run();
        prop_assert!(bench.timers.is_empty());
        let mut out = Effects::new();
        bench.port.reset(&mut out);
        prop_assert_eq!(!out.is_empty(), bench.line, "reset releases the line");
        prop_assert_eq!(bench.port, ParallelPort::new(features, peer));
    }

    #[test]
    fn a_driver_that_waits_for_busy_prints_everything(bytes: Vec<u8>) {
        let mut bench = Bench::new(printer());
        for &byte in &bytes {
            bench.strobe(byte);
            while bench.status() & status::NOT_BUSY == 0 {
                bench.tick(&mut String::new());
            }
        }
        prop_assert_eq!(bench.sent, bytes);
    }

    #[test]
    fn a_driver_that_waits_for_interrupts_prints_everything(bytes: Vec<u8>) {
        let mut bench = Bench::new(printer());
        for (count, &byte) in bytes.iter().enumerate() {
            bench.strobe(byte);
            bench.control(0x1C);
            bench.run();
            prop_assert_eq!(bench.interrupts, count + 1);
        }
        prop_assert_eq!(bench.sent, bytes);
    }

    #[test]
    fn the_fifo_keeps_the_order(bytes: Vec<u8>, modes in prop::sample::select(&[0x54, 0x74])) {
        let mut bench = Bench::new(if modes == 0x54 { printer() } else { script_peer() });
        if modes == 0x74 {
            prop_assert!(bench.negotiate(0x10));
            bench.set_ecp_up();
        }
        bench.ecr(modes);
        for &byte in &bytes {
            while bench.read_at(1, 2).0 & ecr::FULL != 0 {
                prop_assert!(bench.tick(&mut String::new()));
            }
            bench.write_at(1, 0, byte);
        }
        while bench.read_at(1, 2).0 & ecr::EMPTY == 0 {
            prop_assert!(bench.tick(&mut String::new()));
        }
        bench.run();
        prop_assert_eq!(bench.sent, bytes);
    }
}
