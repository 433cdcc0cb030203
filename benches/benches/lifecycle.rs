//! A driver's whole life in process: make a computer, load the bundled sample, start its device,
//! one request that is completed by an interrupt, remove, unload. Against copying its file's bytes
//! as often, the least that loading can cost.
//!
//! `lifecycle FILE.sys` instead loads that driver and runs its DriverEntry and Unload.
#![expect(clippy::print_stdout, reason = "the table is the result")]

use std::hint::black_box;

use dirql::scenario::DeviceSpec;
use dirql::{Bench, Driver};
use dirql_benches::{nanoseconds, report};

const SAMPLE: &[u8] = include_bytes!("../../samples/edu-fully-specified/edu-fully-specified.sys");
const INF: &[u8] = include_bytes!("../../samples/edu-fully-specified/edu-fully-specified.inf");

fn whole_life() -> Result<(), dirql::BenchError> {
    let driver =
        Driver::image("edu-fully-specified.sys", SAMPLE).inf("edu-fully-specified.inf", INF)?;
    let bench = Bench::builder()
        .device(DeviceSpec::new("edu0", "edu"))
        .driver(driver)
        .build()?;
    bench.load()?;
    bench.start("edu0")?;
    bench.open("edu0")?;
    bench.write("edu0", &[5, 0, 0, 0])?.expect_success()?;
    bench.close("edu0")?;
    bench.remove("edu0")?;
    bench.unload()?;
    assert!(bench.findings().is_empty(), "{:?}", bench.findings());
    Ok(())
}

fn entry_and_unload(name: &str, bytes: &[u8]) -> Result<(), dirql::BenchError> {
    let bench = Bench::builder()
        .driver(Driver::image(name, bytes))
        .build()?;
    bench.load()?;
    bench.unload()
}

fn main() {
    let copy = nanoseconds(1_000, || {
        black_box(black_box(SAMPLE).to_vec());
    });
    if let Some(path) = std::env::args()
        .skip(1)
        .find(|argument| argument.ends_with(".sys"))
    {
        let bytes = std::fs::read(&path).expect("the driver can be read");
        let measured = nanoseconds(20, || {
            entry_and_unload("connect.sys", &bytes).expect("the driver runs")
        });
        println!("dirql load, DriverEntry and Unload {:.6}", measured / 1e9);
        return;
    }
    let measured = nanoseconds(20, || whole_life().expect("the sample runs"));
    report(
        "load, start, request, interrupt, remove, unload",
        measured,
        "copy of the file's bytes",
        copy,
        None,
    );
    println!("aim: at most 500,000 ns");
}
