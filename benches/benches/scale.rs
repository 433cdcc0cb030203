//! The biggest computer there is: 256 processors in 4 groups, and a device with 2,048 messages, each
//! connected. How long it takes to start, and what an interrupt costs against the same on one
//! processor.
#![expect(clippy::disallowed_types, reason = "measuring is what this is for")]
#![expect(clippy::print_stdout, reason = "the table is the result")]

use std::time::Instant;

use dirql_benches::scale::Machine;
use dirql_benches::{Comparison, Times, alone, each, report};

/// As many messages as one processor has vectors for, and a few to spare.
const FEW: u16 = 128;
const MANY: u16 = 2048;

/// One message of many that are sent in turn.
fn one_at_a_time(machine: &Machine, messages: u16) -> Times {
    let mut next = 0;
    let send = || {
        assert_eq!(machine.interrupt([next]), 1);
        next = (next + 1) % messages;
    };
    alone(u32::from(MANY), each(send))
}

/// One message of `FEW` that are sent together.
fn together(machine: &Machine, messages: u16) -> Times {
    let mut first = 0;
    alone(u32::from(MANY), |calls| {
        for _ in 0..calls / u32::from(FEW) {
            assert_eq!(machine.interrupt(first..first + FEW), u64::from(FEW));
            first = (first + FEW) % messages;
        }
    })
}

fn main() {
    let start = Instant::now();
    let big = Machine::start(256, MANY).expect("it starts");
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(big.targets.len(), usize::from(MANY));
    println!("256 processors, {MANY} messages: started in {seconds:.3} s (aim: less than 1)");
    let measured = [one_at_a_time(&big, MANY), together(&big, MANY)];
    drop(big);
    let small = Machine::start(1, FEW).expect("it starts");
    assert_eq!(small.targets.len(), usize::from(FEW));
    let reference = [one_at_a_time(&small, FEW), together(&small, FEW)];
    let what = ["a message by itself", "a message among 128"];
    for index in 0..what.len() {
        let (measured, reference) = (measured[index], reference[index]);
        report(
            what[index],
            "the same on one processor",
            &Comparison {
                measured,
                reference,
            },
            "ratio at most 1.5",
        );
    }
}
