//! What comes out is the same whether computers are put back or made again for each run.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use dirql_explore::{Points, Run, fingerprint};
use dirql_kernel::io::RequestKind;
use dirql_kernel::{Event, EventSink, Kernel, Stamp};

use super::lives::{End, Lives};
use super::{Explorer, Limits, Plan, Search, Searches, Strategy, explore_plan, meeting_points};
use crate::bench::{Bench, BenchError, Builder, Driver};
use crate::scenario::{DeviceSpec, Interrupts, Scenario};

/// Steps of a run: some samples have orders in which they poll for long.
const MOST_STEPS: u64 = 4000;

/// Runs that are compared with each strategy.
const RUNS: u64 = 8;

#[global_allocator]
static ALLOCATOR: dirql_host::Arena = dirql_host::Arena;

/// How every run of a search went.
#[derive(Debug, PartialEq)]
struct Went {
    end: End,
    run: Run,
}

/// A number for all events of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Trace(Rc<Cell<u32>>);

impl Trace {
    pub(super) fn number(&self) -> u32 {
        self.0.get()
    }
}

impl EventSink for Trace {
    fn record(&mut self, stamp: Stamp, event: &Event) {
        let text = format!("{stamp:?} {event:?}");
        let parts = [&self.0.get().to_le_bytes()[..], text.as_bytes()];
        self.0.set(fingerprint(&parts));
    }
}

fn went(mut lives: Lives, most: usize) -> Vec<Went> {
    let goes_back = lives.goes_back();
    let mut went_back = false;
    let mut all = Vec::new();
    while all.len() < most
        && let Some(end) = lives.next()
    {
        went_back |= lives.has_marks();
        if !matches!(end.found, super::lives::Found::Nothing) {
            lives.rest();
        }
        let run = lives.run();
        all.push(Went { end, run });
    }
    assert_eq!(goes_back, went_back, "one is what it is compared with");
    all
}

fn strategies(seeds: u64) -> Vec<Strategy> {
    vec![
        Strategy::Random { seeds: 0..seeds },
        Strategy::Pct {
            seeds: 0..seeds,
            depth: 3,
        },
        Strategy::Bounded { switches: 2 },
        Strategy::Exhaustive,
    ]
}

fn check(plan: &Plan, runs: u64, what: &str) {
    for strategy in strategies(runs) {
        let with = went(plan.clone().lives(strategy.part(0, 1)), runs as usize);
        let without = plan.clone().from_nothing();
        let without = went(without.lives(strategy.part(0, 1)), runs as usize);
        assert_eq!(with.len(), without.len(), "{what}, {strategy:?}");
        for (number, (with, without)) in with.iter().zip(&without).enumerate() {
            assert_eq!(with, without, "{what}, {strategy:?}, run {number}");
        }
    }
}

/// The scenarios of `directory`, in order.
fn scenarios(directory: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(directory);
    let entries = std::fs::read_dir(root).expect("the directory is there");
    let folders = entries.map(|entry| entry.expect("it can be read").path());
    let files = folders.filter_map(|folder| {
        let name = folder.file_name()?.to_string_lossy().into_owned();
        let file = folder.join(format!("{name}.toml"));
        file.exists().then_some(file)
    });
    let mut files: Vec<PathBuf> = files.collect();
    files.sort();
    files
}

fn plan(file: &Path) -> Plan {
    let text = std::fs::read_to_string(file).expect("the scenario can be read");
    let scenario = Scenario::parse(&file.display().to_string(), &text).expect("it is right");
    let scenario = scenario.in_directory(file.parent().expect("it is in a directory"));
    Plan::new(scenario, None, None, Some(MOST_STEPS)).expect("the drivers can be read")
}

#[test]
fn the_zoo_is_the_same_put_back() {
    for file in scenarios("zoo").into_iter().step_by(3) {
        check(&plan(&file), RUNS, &file.display().to_string());
    }
}

#[test]
fn the_samples_are_the_same_put_back() {
    // A run of the serial port's takes seconds here: each byte that it sends is a delay.
    let is_quick = |file: &PathBuf| !file.ends_with("serial-16550.toml");
    for file in scenarios("samples").into_iter().filter(is_quick).step_by(2) {
        check(&plan(&file), RUNS, &file.display().to_string());
    }
}

/// A scout takes turns with a search of everything, and neither goes on from the other's marks
/// where it must not.
#[test]
fn a_search_with_a_scout_is_the_same_put_back() {
    let file = scenarios("zoo")
        .into_iter()
        .find(|file| file.ends_with("lost-update-isr.toml"));
    let plan = plan(&file.expect("it is in the zoo"));
    let most = 16 * 8 + 20;
    let went = |plan: &Plan| went(plan.lives(Strategy::Exhaustive.part(0, 1)), most);
    let with = went(&plan);
    assert_eq!(with.len(), most);
    assert!(with == went(&plan.clone().from_nothing()));
}

/// What a part of a search says does not depend on what the worker that does it has done before.
#[test]
fn searches_that_follow_each_other_say_what_each_says_alone() {
    let limits = Limits {
        keep_going: true,
        runs: Some(30),
        ..Limits::default()
    };
    for file in scenarios("zoo").into_iter().skip(1).step_by(12) {
        let plan = plan(&file);
        let all = |search: &mut dyn FnMut(Box<dyn dirql_explore::Strategy>) -> Search| {
            let parts = [2, 0, 3].into_iter();
            let each = parts.flat_map(|part| {
                let strategies = strategies(40).into_iter();
                strategies.map(move |strategy| strategy.part(part, 4))
            });
            each.map(search).collect::<Vec<_>>()
        };
        // One after the other: there is one computer at a time.
        let alone = all(&mut |strategy| {
            explore_plan(&plan, strategy, &limits, &mut |_| true).expect("it runs")
        });
        let mut searches = Searches::new(&plan);
        let after = all(&mut |strategy| {
            let search = searches.search(strategy, &limits, &mut |_| true);
            search.expect("it runs")
        });
        assert_eq!(after, alone, "{}", file.display());
    }
}

/// What computers of one driver have changed is expected of those of another one, which change
/// something else.
#[test]
fn runs_do_not_depend_on_what_computers_before_them_changed() {
    let files = scenarios("zoo").into_iter().skip(1).step_by(16);
    let files: Vec<PathBuf> = files.collect();
    let of = |file: &Path| {
        let plan = plan(file);
        let each = strategies(6).into_iter();
        each.map(|strategy| went(plan.lives(strategy.part(0, 1)), 6))
            .collect::<Vec<_>>()
    };
    let after: Vec<_> = files.iter().map(|file| of(file)).collect();
    for (file, after) in files.iter().zip(after) {
        // A thread of its own knows of no computer.
        let alone = std::thread::scope(|scope| scope.spawn(|| of(file)).join());
        assert!(
            alone.is_ok_and(|alone| alone == after),
            "{}",
            file.display()
        );
    }
}

fn lost_update() -> Result<Builder, BenchError> {
    let driver = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../zoo/lost-update-isr/lost-update-isr.sys"
    );
    let device = DeviceSpec::new("edu0", "edu").interrupts(Interrupts::Line);
    let builder = Bench::builder().processors(2).device(device);
    Ok(builder.driver(Driver::file(driver)?).explored_later())
}

/// Some memory is used for the first time in the explored part, and given back behind it.
fn a_part_is_explored(bench: &Bench) -> Result<(), BenchError> {
    bench.load()?;
    bench.start("edu0")?;
    bench.open("edu0")?;
    bench.explore_from_here();
    bench.write("edu0", &[1, 0, 0, 0])?.expect_success()?;
    bench.explore_until_here()?;
    let count = bench.read("edu0", 4)?.expect_success()?.data;
    bench.close("edu0")?;
    bench.remove("edu0")?;
    bench.unload()?;
    match count[0] {
        2 => Ok(()),
        _ => Err(BenchError::StillWaiting("an update that is lost")),
    }
}

#[test]
fn a_part_of_a_test_is_the_same_put_back() {
    for strategy in strategies(64) {
        let explorer = Explorer::new(strategy).runs(64);
        let with = explorer.check_functions(lost_update, a_part_is_explored);
        let without = explorer.clone().from_nothing();
        let without = without.check_functions(lost_update, a_part_is_explored);
        assert_eq!(with, without, "{explorer:?}");
        assert!(with.is_err(), "{explorer:?}");
    }
}

/// As [`a_part_is_explored`], with the orders alone of what happens while the driver has the request.
fn a_thread_is_explored(bench: &Bench) -> Result<(), BenchError> {
    bench.load()?;
    bench.start("edu0")?;
    bench.open("edu0")?;
    let file = bench.file("edu0")?;
    let one = RequestKind::Write {
        data: vec![1, 0, 0, 0],
        offset: 0,
    };
    let prepare = move |kernel: &Kernel| kernel.prepare_request(file, &one);
    let explored = |kernel: &Kernel, request| {
        let request = kernel.send_prepared(request)?;
        kernel.wait_request(request)
    };
    bench.explore_on_kernel_thread(prepare, explored, move |kernel, _| {
        let (length, offset) = (4, 0);
        let count = kernel.request(file, &RequestKind::Read { length, offset })?;
        Ok((count.data[0] == 2)
            .then_some(())
            .ok_or(BenchError::StillWaiting("an update that is lost")))
    })?;
    bench.close("edu0")?;
    bench.remove("edu0")?;
    bench.unload()
}

#[test]
fn a_thread_of_a_test_is_the_same_put_back() {
    for strategy in strategies(64) {
        let explorer = Explorer::new(strategy).runs(64);
        let with = explorer.check_functions(lost_update, a_thread_is_explored);
        let without = explorer.clone().from_nothing();
        let without = without.check_functions(lost_update, a_thread_is_explored);
        assert_eq!(with, without, "{explorer:?}");
        let found = with.is_err_and(|failed| failed.what.contains("an update that is lost"));
        assert!(found, "{explorer:?}");
    }
}

#[test]
fn points_inside_driver_code_are_the_same_put_back() {
    for file in scenarios("zoo").into_iter().step_by(6) {
        let plan = plan(&file);
        let points = meeting_points(&plan).expect("it runs");
        check(&plan.clone().at(points), RUNS, &file.display().to_string());
        let everywhere = plan.at(Points::Everywhere);
        check(&everywhere, 3, &file.display().to_string());
    }
}
