//! EPP cycles.

use snapbox::{assert_data_eq, str};

use super::*;

fn in_epp(peer: Peer) -> Bench {
    let mut bench = Bench::new(peer);
    assert!(bench.negotiate(0x40));
    bench.ecr(0x94);
    bench
}

#[test]
fn addresses_and_data_go_both_ways() {
    let mut bench = in_epp(script_peer());
    assert_data_eq!(
        script_on(
            &mut bench,
            "eppa=5a epp=41 epp=42 receive=xy control=24 eppa epp epp status epp status status=00 status
             status=01 status eppa control=04 epp=43 status"
        ),
        str![[r#"
eppa=5a     ->
epp=41      -> "A"
epp=42      -> "B"
receive=xy  ->
control=24  ->
eppa        -> 5a
epp         -> 78
epp         -> 79
status      -> f8
epp         -> ff
status      -> f9
status=00   ->
status      -> f9
status=01   ->
status      -> f8
eppa        -> 5a
control=04  ->
epp=43      -> "C"
status      -> f8

"#]]
    );
}

#[test]
fn wide_accesses_to_the_data_port_are_several_cycles() {
    let mut bench = in_epp(script_peer());
    let mut out = Effects::new();
    bench
        .port
        .write(Region(0), 4, Width::U32, 0x4443_4241, &mut out);
    bench.absorb(out);
    assert_eq!(bench.sent, b"ABCD");
    bench.stimulate(&Stimulus::Receive(b"wxyz".to_vec()));
    bench.control(0x24);
    let value = bench
        .port
        .read(Region(0), 4, Width::U32, &mut Effects::new());
    assert_eq!(value, u64::from(u32::from_le_bytes(*b"wxyz")));
}

#[test]
fn nobody_answers_an_epp_cycle_of_an_open_connector() {
    assert_data_eq!(
        script(
            Peer::Nothing,
            "ecr=94 status epp status status=01 status eppa=00 status"
        ),
        str![[r#"
ecr=94      ->
status      -> 78
epp         -> ff
status      -> 79
status=01   ->
status      -> 78
eppa=00     ->
status      -> 79

"#]]
    );
}

#[test]
fn a_peripheral_in_another_mode_does_not_answer() {
    // A printer takes nDStrb and nAStrb for something else, and its Busy stays low.
    assert_data_eq!(
        script(printer(), "ecr=94 control=04 epp=41 status run"),
        str![[r#"
ecr=94      ->
control=04  ->
epp=41      ->
status      -> b9
run         ->

"#]]
    );
}

#[test]
fn a_write_with_input_lines_reads() {
    let mut bench = in_epp(script_peer());
    assert_data_eq!(
        script_on(&mut bench, "receive=xy control=24 epp=41 epp status"),
        str![[r#"
receive=xy  ->
control=24  ->
epp=41      ->
epp         -> 79
status      -> f8

"#]]
    );
}

#[test]
fn a_read_with_output_lines_reads_what_they_drive() {
    let mut bench = in_epp(script_peer());
    assert_data_eq!(
        script_on(&mut bench, "receive=x data=77 epp status control=24 epp"),
        str![[r#"
receive=x   ->
data=77     ->
epp         -> 77
status      -> f8
control=24  ->
epp         -> ff

"#]]
    );
}

#[test]
fn init_ends_epp() {
    let mut bench = in_epp(printer());
    bench.control(0x00);
    bench.control(0x0C);
    bench.ecr(0x15);
    bench.strobe(b'x');
    bench.run();
    assert_eq!(bench.sent, b"x");
}

#[test]
fn without_the_mode_its_ports_are_empty() {
    assert_data_eq!(
        script(script_peer(), "ecr=34 epp=41 epp eppa status"),
        str![[r#"
ecr=34      ->
epp=41      ->
epp         -> ff
eppa        -> ff
status      -> d8

"#]]
    );
}
