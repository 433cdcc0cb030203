//! The compatible registers and compatibility mode.

use snapbox::{assert_data_eq, str};

use super::*;

#[test]
fn registers_after_power_up() {
    assert_data_eq!(
        script(printer(), "data status control ecr fifo cfgb eppa epp"),
        str![[r#"
data        -> 00
status      -> d8
control     -> 0c
ecr         -> 15
fifo        -> ff
cfgb        -> ff
eppa        -> ff
epp         -> ff

"#]]
    );
}

#[test]
fn an_open_connector_is_pulled_up() {
    assert_data_eq!(
        script(
            Peer::Nothing,
            "status ecr=34 data=00 data control=2c data control=0c data receive=x press glitch"
        ),
        str![[r#"
status      -> 78
ecr=34      ->
data=00     ->
data        -> 00
control=2c  ->
data        -> ff
control=0c  ->
data        -> 00
receive=x   -> unknown
press       -> unknown
glitch      -> high low

"#]]
    );
}

#[test]
fn a_loopback_plug_leads_each_output_to_its_input() {
    assert_data_eq!(
        script(
            Peer::loopback(),
            "control=00 status control=01 status control=02 status control=04 status control=08 status
             data=fe status data=01 status data=ff status"
        ),
        str![[r#"
control=00  ->
status      -> 30
control=01  ->
status      -> 20
control=02  ->
status      -> 10
control=04  ->
status      -> 70
control=08  ->
status      -> b0
data=fe     ->
status      -> b0
data=01     ->
status      -> b8
data=ff     ->
status      -> b8

"#]]
    );
}

#[test]
fn a_rising_edge_of_nack_interrupts_if_enabled() {
    assert_data_eq!(
        script(
            Peer::loopback(),
            "control=08 control=0c control=18 control=1c control=1c control=18 control=0c control=1c"
        ),
        str![[r#"
control=08  ->
control=0c  ->
control=18  ->
control=1c  -> high low
control=1c  ->
control=18  ->
control=0c  ->
control=1c  ->

"#]]
    );
}

#[test]
fn a_held_line_drops_when_the_status_is_read() {
    let features = Features {
        trigger: Trigger::Level,
        ..EVERYTHING
    };
    let mut bench = Bench::with(features, Peer::loopback());
    assert_data_eq!(
        script_on(
            &mut bench,
            "status control=18 control=1c status status control=18 control=1c control=18 control=1c
             control=0c control=1c status glitch control=18 control=1c glitch"
        ),
        str![[r#"
status      -> f4
control=18  ->
control=1c  -> high
status      -> f0 low
status      -> f4
control=18  ->
control=1c  -> high
control=18  ->
control=1c  ->
control=0c  -> low
control=1c  ->
status      -> f4
glitch      -> high low
control=18  ->
control=1c  -> high
glitch      -> low high

"#]]
    );
    assert!(bench.line);
    let mut out = Effects::new();
    bench.port.reset(&mut out);
    assert_eq!(out, [interrupt_effect(false)]);
}

#[test]
fn a_printer_takes_a_byte_by_strobe_busy_and_ack() {
    assert_data_eq!(
        script(
            printer(),
            "status data=41 control=1d status control=1c status tick status tick status"
        ),
        str![[r#"
status      -> d8
data=41     ->
control=1d  ->
status      -> 58
control=1c  ->
status      -> 58
tick        -> +100 "A"
status      -> 18
tick        -> +30 high low
status      -> d8

"#]]
    );
}

#[test]
fn a_byte_for_a_busy_or_deselected_printer_is_lost() {
    assert_data_eq!(
        script(
            printer(),
            "data=41 control=0d control=0c data=42 control=0d control=0c run
             data=43 control=05 control=04 run control=0c data=44 control=0d control=0c run"
        ),
        str![[r#"
data=41     ->
control=0d  ->
control=0c  ->
data=42     ->
control=0d  ->
control=0c  ->
run         -> "A"
data=43     ->
control=05  ->
control=04  ->
run         ->
control=0c  ->
data=44     ->
control=0d  ->
control=0c  ->
run         -> "D"

"#]]
    );
}

#[test]
fn init_stops_a_printer() {
    assert_data_eq!(
        script(
            printer(),
            "data=41 control=0d control=0c status control=08 status control=0c status run"
        ),
        str![[r#"
data=41     ->
control=0d  ->
control=0c  ->
status      -> 58
control=08  ->
status      -> 58
control=0c  ->
status      -> d8
run         ->

"#]]
    );
}

#[test]
fn a_printer_off_line_says_so_and_takes_nothing() {
    assert_data_eq!(
        script(
            printer(),
            "press status data=41 control=0d control=0c run release status control=0d control=0c run"
        ),
        str![[r#"
press       ->
status      -> 60
data=41     ->
control=0d  ->
control=0c  ->
run         ->
release     ->
status      -> d8
control=0d  ->
control=0c  ->
run         -> "A"

"#]]
    );
}

#[test]
fn a_script_sends_a_byte_for_each_interrupt() {
    assert_data_eq!(
        script(
            script_peer(),
            "ecr=34 control=34 status receive=Hi status tick data status tick
             control=35 control=34 status tick data status tick
             control=35 control=34 status run"
        ),
        str![[r#"
ecr=34      ->
control=34  ->
status      -> d8
receive=Hi  ->
status      -> 90
tick        -> +30 high low
data        -> 48
status      -> d0
tick        -> +0
control=35  ->
control=34  ->
status      -> d0
tick        -> +100
data        -> 69
status      -> 90
tick        -> +30 high low
control=35  ->
control=34  ->
status      -> d8
run         ->

"#]]
    );
}

#[test]
fn a_script_waits_for_the_byte_to_be_taken() {
    let mut bench = Bench::new(script_peer());
    bench.control(0x1C);
    bench.stimulate(&Stimulus::Receive(b"abc".to_vec()));
    bench.stimulate(&Stimulus::Receive(b"d".to_vec()));
    bench.run();
    bench.run();
    assert_eq!(bench.interrupts, 1);
    assert!(bench.has_data());
    // A strobe while the data lines are outputs is a byte for the script, and takes none.
    bench.strobe(b'x');
    bench.control(0x1C);
    bench.run();
    assert_eq!((bench.sent.as_slice(), bench.interrupts), (&b"x"[..], 2));
}

#[test]
fn a_reset_script_announces_again() {
    assert_data_eq!(
        script(
            script_peer(),
            "control=1c receive=a run control=18 status control=1c status run"
        ),
        str![[r#"
control=1c  ->
receive=a   ->
run         -> high low
control=18  ->
status      -> 50
control=1c  ->
status      -> 90
run         -> high low

"#]]
    );
}

#[test]
fn a_script_that_is_not_looked_at_loses_nothing() {
    let mut bench = Bench::new(script_peer());
    bench.stimulate(&Stimulus::Receive(b"0123456789".to_vec()));
    bench.run();
    bench.ecr(0x34);
    let mut taken = Vec::new();
    while bench.has_data() {
        bench.control(0x2C);
        taken.push(bench.read_at(0, 0).0);
        bench.control(0x2D);
        bench.control(0x2C);
        bench.run();
    }
    assert_eq!(taken, b"0123456789");
}

#[test]
fn ports_have_the_registers_of_their_kind() {
    let spp = Features {
        byte: false,
        epp: false,
        ecp: false,
        ..EVERYTHING
    };
    let mut text = String::new();
    for (name, features) in [
        ("spp", spp),
        ("ps2", Features { byte: true, ..spp }),
        (
            "epp",
            Features {
                byte: true,
                epp: true,
                ..spp
            },
        ),
        (
            "ecp",
            Features {
                epp: false,
                ..EVERYTHING
            },
        ),
    ] {
        let mut bench = Bench::with(features, Peer::Nothing);
        text += &format!("# {name}\n");
        // Direction, EPP time-out, the FIFO's flags.
        text += &script_on(
            &mut bench,
            "data=55 control=2c data control eppa status ecr=94 ecr status=01 status",
        );
    }
    assert_data_eq!(
        text,
        str![[r#"
# spp
data=55     ->
control=2c  ->
data        -> 55
control     -> 2c
eppa        -> ff
status      -> 78
ecr=94      ->
ecr         -> ff
status=01   ->
status      -> 78
# ps2
data=55     ->
control=2c  ->
data        -> ff
control     -> 2c
eppa        -> ff
status      -> 78
ecr=94      ->
ecr         -> ff
status=01   ->
status      -> 78
# epp
data=55     ->
control=2c  ->
data        -> ff
control     -> 2c
eppa        -> ff
status      -> 79
ecr=94      ->
ecr         -> ff
status=01   ->
status      -> 78
# ecp
data=55     ->
control=2c  ->
data        -> 55
control     -> 2c
eppa        -> ff
status      -> 78
ecr=94      ->
ecr         -> 95
status=01   ->
status      -> 78

"#]]
    );
}

#[test]
fn wide_accesses_are_several_ports() {
    let mut bench = Bench::new(Peer::loopback());
    let mut out = Effects::new();
    let port = &mut bench.port;
    port.write(Region(0), 0, Width::U32, 0xFFFF_0C55, &mut out);
    // The control register got 0xFF, and the last byte is an EPP address in another mode.
    assert_eq!(port.read(Region(0), 0, Width::U16, &mut out), 0xC855);
    assert_eq!(port.read(Region(0), 2, Width::U8, &mut out), 0x3F);
    assert_eq!(port.read(Region(0), 6, Width::U32, &mut out), 0xFFFF_FFFF);
    assert_eq!(port.read(Region(1), 2, Width::U16, &mut out), 0xFF15);
    assert_eq!(port.read(Region(2), 0, Width::U8, &mut out), 0xFF);
    assert_eq!(
        port.read(Region(0), u64::MAX, Width::U64, &mut out),
        u64::MAX
    );
    port.write(Region(1), u64::MAX, Width::U64, 0, &mut out);
    port.write(Region(2), 2, Width::U8, 0, &mut out);
    assert_eq!(port.read(Region(1), 2, Width::U8, &mut out), 0x15);
}

#[test]
fn other_stimuli_are_unknown() {
    for peer in [Peer::Nothing, Peer::loopback(), printer(), script_peer()] {
        let mut bench = Bench::new(peer.clone());
        for stimulus in [
            Stimulus::Interrupt(1),
            Stimulus::Serial(crate::device::SerialEvent::Break),
        ] {
            assert_eq!(bench.stimulate(&stimulus), " unknown", "{peer:?}");
        }
        let pressed = bench.stimulate(&Stimulus::Press);
        assert_eq!(pressed.is_empty(), peer == printer(), "{peer:?}");
    }
}
