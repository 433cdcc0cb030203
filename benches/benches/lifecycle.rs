//! A driver's whole life in process: make a computer, load the bundled sample, start its device,
//! one request that is completed by an interrupt, remove, unload. Against a process that does
//! nothing, which a bench would start for every run if computers were not made in process.
//!
//! `lifecycle FILE.sys` instead loads that driver and runs its DriverEntry and Unload.
#![expect(clippy::print_stdout, reason = "the table is the result")]

use dirql::scenario::DeviceSpec;
use dirql::{Bench, Driver};
use dirql_benches::{EMPTY_PROCESS, compare, each, report, start_to_exit};

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
    let driver = std::env::args()
        .skip(1)
        .find(|argument| argument.ends_with(".sys"));
    let empty_process = each(|| start_to_exit("true", &[]));
    if let Some(path) = driver {
        let bytes = std::fs::read(&path).expect("the driver can be read");
        let body = || entry_and_unload("driver.sys", &bytes).expect("the driver runs");
        let comparison = compare((1, each(body)), (1, empty_process));
        println!(
            "dirql load, DriverEntry and Unload {:.6}",
            comparison.measured.median / 1e9
        );
        return;
    }
    let life = || whole_life().expect("the sample runs");
    report(
        "load, start, request, interrupt, remove, unload",
        EMPTY_PROCESS,
        &compare((1, each(life)), (1, empty_process)),
        "at most 500 us",
    );
}
