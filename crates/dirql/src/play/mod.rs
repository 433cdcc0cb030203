//! Playing a scenario, and reporting what happened.

pub(crate) mod default;
mod film;
mod gather;
mod perform;
mod prints;
mod teardown;

use std::cell::{Cell, RefCell};
use std::io;
use std::path::Path;
use std::rc::Rc;

use dirql_host::{Footprints, MemoryAccess, Watch, outside};
use dirql_kernel::ke::{Chooser, ThreadBody};
use dirql_kernel::{Event, EventSink, FailurePoint, Outcome, Stamp, WindowsVersion};
use dirql_rules::ids;
use dirql_trace::Names;

use crate::bench::{Addresses, Bench, BenchError, Driver, SETTLE_100NS, with_imported};
use crate::levels::Levels;
use crate::races::Events;
use crate::report::{FindingReport, Report};
use crate::scenario::{Action, DriverSpec, Explored, Scenario, ThreadSpec};

pub use default::{Found, discover};
pub use film::Film;
use perform::{Log, Thread};
use prints::Prints;

/// What a run is given beside its scenario. What is set here wins over the scenario.
#[derive(Default)]
#[non_exhaustive]
pub struct Settings {
    /// The Windows version to be.
    pub windows: Option<WindowsVersion>,
    /// Number of processors.
    pub processors: Option<u16>,
    /// Steps after which the run ends without a verdict.
    pub max_steps: Option<u64>,
    /// What is made to fail. The scenario's expectations do not count then, and everything that is
    /// left at its end is ended, closed, removed and unloaded.
    pub fail: Option<FailurePoint>,
    /// Told every step of the scenario and every finding as it happens.
    pub progress: Option<Box<dyn FnMut(Progress)>>,
    /// Told every event.
    pub sink: Option<MakeSink>,
    /// Says what happens where several things could.
    pub chooser: Option<Rc<dyn Chooser>>,
    /// What happens before instructions of drivers.
    pub watch: Option<Watch>,
    /// Where it is noted which basic blocks of drivers run; see [`crate::coverage::Survey`].
    pub footprints: Option<&'static Footprints>,
    /// Whether what they have accessed is looked at for what goes wrong in another order; `watch`
    /// has to say that it is recorded.
    pub races: bool,
    /// Told what memory they have accessed, if `watch` says that it is recorded.
    pub accesses: Option<Box<dyn FnOnce(Vec<MemoryAccess>)>>,
    /// The scenario's drivers, read before ([`read_drivers`]); else they are read when it is played.
    pub drivers: Option<Vec<Driver>>,
    /// Goes on after the bug check of a routine that can do nothing instead.
    pub keep_going: bool,
    /// Rules that are judged otherwise.
    pub levels: Levels,
    /// Given what has left at devices' other ends, for the files that the scenario names; else the
    /// files are written.
    pub outputs: Option<WriteOutput>,
    /// Expectations do not count, and what is left at the end is ended as after a failure.
    pub(crate) lenient: bool,
    /// A driver that says no when it is loaded is an error all the same.
    pub(crate) must_load: bool,
    /// Whether time has run faster than devices: expectations do not count from then on.
    pub(crate) hurried: Option<Rc<Cell<bool>>>,
    /// A driver that uses up its steps waits for a device that is gone.
    pub(crate) waits_for_gone: bool,
    /// What devices do not end themselves is ended by pulling them out.
    pub(crate) pulls_at_end: bool,
    /// Told of the computer before drivers are loaded.
    pub(crate) prepare: Option<Prepare>,
    /// What is done in place of the scenario's threads, once drivers are loaded.
    pub(crate) threads: Option<MakeThreads>,
}

/// Told of a computer in which nothing has happened yet.
pub(crate) type Prepare = Box<dyn FnOnce(&Bench)>;

/// Says what is done, once drivers are loaded.
pub(crate) type MakeThreads = Box<dyn FnOnce(&Bench) -> Vec<ThreadSpec>>;

/// Writes a file that a scenario names.
pub type WriteOutput = Box<dyn FnMut(&Path, &[u8]) -> io::Result<()>>;

/// Makes a sink when the images are known that give names to addresses.
pub type MakeSink = Box<dyn FnOnce(Rc<dyn Names>) -> Box<dyn EventSink>>;

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("windows", &self.windows)
            .field("processors", &self.processors)
            .field("max_steps", &self.max_steps)
            .finish_non_exhaustive()
    }
}

/// Something that has just happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A step of the scenario begins.
    Step(String),
    /// Something was found.
    Finding(Box<FindingReport>),
}

/// Plays a scenario. A scenario without threads plays the default ones: load, and for every
/// device start, open, one interrupt per source, close, remove; then unload.
///
/// # Errors
/// The scenario's files cannot be read or written, a device cannot be plugged in, or a driver cannot be
/// loaded. What is wrong with a driver after that is in the report.
pub fn play(scenario: &Scenario, mut settings: Settings) -> Result<Report, BenchError> {
    let told = settings.accesses.take();
    play_to(scenario, settings, |report, accesses| {
        if let Some(told) = told {
            told(accesses.to_vec());
        }
        report
    })?
}

/// As [`play`]; `end` is given the report, and the accesses to memory that were recorded, before
/// the computer goes away.
///
/// # Errors
/// There is no computer to play on.
pub(crate) fn play_to<R>(
    scenario: &Scenario,
    mut settings: Settings,
    end: impl FnOnce(Result<Report, BenchError>, &[MemoryAccess]) -> R,
) -> Result<R, BenchError> {
    let prints = Prints::default();
    let prepare = settings.prepare.take();
    let manner = Manner {
        lenient: settings.lenient || settings.fail.or(scenario.fail).is_some(),
        must_load: settings.must_load,
        waits_for_gone: settings.waits_for_gone,
        pulls_at_end: settings.pulls_at_end,
        hurried: settings.hurried.take().unwrap_or_default(),
    };
    let threads = settings.threads.take();
    let mut outputs = settings
        .outputs
        .take()
        .unwrap_or_else(|| Box::new(|path, bytes| std::fs::write(path, bytes)));
    let levels = settings.levels.clone();
    let events = settings.races.then(Events::default);
    let bench = build(scenario, settings, &prints, events.clone())?;
    for file in &scenario.machine.files {
        if let Some(data) = &file.data {
            bench.kernel().put_file(on_drive(&file.path), data.clone());
        }
    }
    if let Some(prepare) = prepare {
        prepare(&bench);
    }
    let mut report = play_on(&bench, scenario, &prints, &mut outputs, manner, threads);
    let accesses = outside(|| bench.accesses());
    if let (Some(events), Ok(report)) = (events, &mut report) {
        gather::add_races(&bench, &events, &accesses, report);
    }
    if let Ok(report) = &mut report {
        levels.judge(report);
    }
    let result = end(report, &accesses);
    outside(|| drop(accesses));
    Ok(result)
}

/// How strict a run is.
#[derive(Clone, Debug)]
struct Manner {
    lenient: bool,
    must_load: bool,
    waits_for_gone: bool,
    pulls_at_end: bool,
    /// Time has run faster than devices.
    hurried: Rc<Cell<bool>>,
}

fn play_on(
    bench: &Bench,
    scenario: &Scenario,
    prints: &Prints,
    outputs: &mut WriteOutput,
    manner: Manner,
    make_threads: Option<MakeThreads>,
) -> Result<Report, BenchError> {
    let nothing_done = Log::new(prints);
    match bench.load() {
        Ok(()) => {}
        // The run ended in DriverEntry; that is a finding about the driver.
        Err(BenchError::Ended(_)) => {
            return Ok(gather::report(bench, scenario, &nothing_done));
        }
        Err(BenchError::StillWaiting(_)) => {
            let message = String::from(
                "DriverEntry does not come to its end, and nothing is left that could end it",
            );
            // The only error is that the run has ended, and it has.
            let _ = bench.kernel().find(ids::HANG, message, None);
            return Ok(gather::report(bench, scenario, &nothing_done));
        }
        // A driver that says no after it broke a rule, or because something was made to fail, is
        // worth more than an error.
        Err(BenchError::DriverEntry { .. })
            if !bench.findings().is_empty()
                || bench.kernel().failure().is_some()
                || manner.lenient && !manner.must_load =>
        {
            return Ok(gather::report(bench, scenario, &nothing_done));
        }
        Err(BenchError::DriverEntry { driver, status, .. }) => {
            let said = prints.lines().pop().unwrap_or_default();
            return Err(BenchError::DriverEntry {
                driver,
                status,
                said,
            });
        }
        Err(error) => return Err(error),
    }
    let threads = match make_threads {
        Some(make) => make(bench),
        None if scenario.threads.is_empty() => {
            bench.plug_something()?;
            vec![default::thread(bench)]
        }
        None => scenario.threads.clone(),
    };
    let mut log = run_threads(bench, &scenario.file, &threads, Log::new(prints), &manner);
    if manner.lenient {
        log = teardown::run(bench, scenario, log);
    }
    if manner.waits_for_gone && ended_without_verdict(bench.outcome().as_ref()) {
        let message =
            String::from("the device was pulled out, and the driver waits for it without an end");
        let kernel = bench.kernel();
        // The only error is that the run has ended, and it has.
        let _ = match kernel.busy_at_end() {
            Some((place, kept)) => kernel.find_at(ids::HANG, message, place, kept),
            None => kernel.find(ids::HANG, message, None),
        };
    }
    write_outputs(bench, scenario, outputs)?;
    Ok(gather::report(bench, scenario, &log))
}

/// A path of drive C: without the drive.
fn on_drive(path: &str) -> &str {
    path.get(2..).unwrap_or_default()
}

/// Writes the files for what has left at devices' other ends, and for what files of the
/// simulated computer hold; one that is not there is empty.
fn write_outputs(
    bench: &Bench,
    scenario: &Scenario,
    write: &mut WriteOutput,
) -> Result<(), BenchError> {
    let mut write = |path: &Path, bytes: &[u8]| {
        write(path, bytes).map_err(|error| BenchError::File {
            path: path.display().to_string(),
            error,
        })
    };
    for device in bench.state().devices.borrow().iter() {
        if let Some(path) = &device.spec.output {
            write(path, &bench.kernel().all_sent(device.id))?;
        }
    }
    for file in &scenario.machine.files {
        if let Some(path) = &file.output {
            let bytes = bench.kernel().file(on_drive(&file.path));
            write(path, &bytes.unwrap_or_default())?;
        }
    }
    Ok(())
}

fn build(
    scenario: &Scenario,
    settings: Settings,
    prints: &Prints,
    events: Option<Events>,
) -> Result<Bench, BenchError> {
    let prints = prints.clone();
    let mut builder = Bench::builder().sink(|_| prints);
    if let Some(events) = events {
        builder = builder.sink(|_| events);
    }
    if let Some(windows) = settings.windows.or(scenario.machine.windows) {
        builder = builder.windows(windows);
    }
    if let Some(processors) = settings.processors.or(scenario.machine.processors) {
        builder = builder.processors(processors);
    }
    if let Some(steps) = settings.max_steps.or(scenario.machine.max_steps) {
        builder = builder.max_steps(steps);
    }
    if let Some(late) = scenario.machine.late {
        builder = builder.late(late);
    }
    if scenario.machine.special_pool {
        builder = builder.special_pool();
    }
    if scenario.machine.no_rules {
        builder = builder.no_rules();
    }
    if settings.keep_going {
        builder = builder.keep_going();
    }
    builder = builder.parallel_port(scenario.parallel_port);
    builder = builder.readings(scenario.machine.readings.iter().copied());
    let drivers = match settings.drivers {
        Some(drivers) => drivers,
        None => read_drivers(scenario)?,
    };
    if let Some(point) = settings.fail.or(scenario.fail) {
        builder = builder.fail(point);
    }
    for driver in drivers {
        builder = builder.driver(driver);
    }
    let mut steps = scenario.threads.iter().flat_map(|thread| &thread.steps);
    if steps.any(|step| step.action == Action::Explore(Explored::FromHere)) {
        builder = builder.explored_later();
    }
    if let Some(chooser) = settings.chooser {
        builder = builder.chooser(chooser);
    }
    if let Some(watch) = settings.watch {
        builder = builder.watch(watch);
    }
    if let Some(prints) = settings.footprints {
        builder = builder.footprints(prints);
    }
    for device in &scenario.devices {
        builder = builder.device(device.clone());
    }
    for child in &scenario.children {
        builder = builder.child(child.clone());
    }
    if let Some(progress) = settings.progress {
        let levels = settings.levels;
        builder = builder.sink_with_addresses(|addresses| Teller {
            progress,
            addresses,
            levels,
        });
    }
    if let Some(make) = settings.sink {
        builder = builder.boxed_sink(make);
    }
    builder.build()
}

/// The drivers of a scenario, those that they import from and that lie beside them, and what
/// belongs to them. A run with these opens no file.
///
/// # Errors
/// A file cannot be read, or is not what it should be.
pub fn read_drivers(scenario: &Scenario) -> Result<Vec<Driver>, BenchError> {
    let read = |driver: &DriverSpec| {
        let read = read_driver(&driver.image, driver.inf.as_deref())?;
        Ok(read.registry_values(driver.registry.clone()))
    };
    let drivers: Result<Vec<Driver>, BenchError> = scenario.drivers.iter().map(read).collect();
    with_imported(drivers?)
}

fn read_driver(image: &Path, inf: Option<&Path>) -> Result<Driver, BenchError> {
    let driver = Driver::file(image)?;
    match inf {
        Some(inf) => driver.inf_file(inf),
        None => Ok(driver),
    }
}

/// Tells progress.
struct Teller {
    progress: Box<dyn FnMut(Progress)>,
    addresses: Rc<Addresses>,
    levels: Levels,
}

impl EventSink for Teller {
    fn record(&mut self, _stamp: Stamp, event: &Event) {
        match event {
            Event::Landmark(text) => (self.progress)(Progress::Step(text.clone())),
            Event::Finding(finding) => {
                let finding = FindingReport::new(finding, &self.addresses);
                if let Some(finding) = self.levels.judged(finding) {
                    (self.progress)(Progress::Finding(Box::new(finding)));
                }
            }
            _ => {}
        }
    }
}

/// Runs the threads of a scenario to their ends, and lets the computer settle.
fn run_threads(
    bench: &Bench,
    file: &str,
    threads: &[ThreadSpec],
    log: Log,
    manner: &Manner,
) -> Log {
    let is_lenient = manner.lenient;
    let log = Rc::new(RefCell::new(log));
    let running = Rc::new(Cell::new(threads.len()));
    let is_over = Rc::<Cell<bool>>::default();
    for (number, spec) in threads.iter().enumerate() {
        let thread = Thread {
            number,
            file: file.into(),
            state: bench.state().clone(),
            log: log.clone(),
            several: threads.len() > 1,
            is_lenient,
            hurried: manner.hurried.clone(),
            is_over: is_over.clone(),
        };
        let (steps, running) = (spec.steps.clone(), running.clone());
        let body = move |kernel: &dirql_kernel::Kernel| {
            let result = thread.perform(kernel, &steps);
            running.set(running.get() - 1);
            result
        };
        bench.kernel().spawn_thread(
            "scenario",
            spec.priority,
            ThreadBody::Native(Box::new(body)),
        );
    }
    // The end of the run is in the kernel's outcome.
    let ended = bench.run(|_| running.get() == 0);
    if ended.is_ok() {
        if is_lenient {
            teardown::end_requests(bench, &|| running.get() == 0);
            let is_left = running.get() > 0 || !bench.kernel().requests_under_way().is_empty();
            if manner.pulls_at_end && is_left {
                teardown::pull_devices(bench);
                teardown::end_requests(bench, &|| running.get() == 0);
            }
            // What waits for requests is told with them.
            if running.get() > 0 && bench.kernel().requests_under_way().is_empty() {
                perform::find_unfinished(bench, &log.borrow());
            }
        } else {
            perform::find_unfinished(bench, &log.borrow());
        }
        let end = bench.kernel().time_100ns().saturating_add(SETTLE_100NS);
        let _ = bench.run(|kernel| kernel.time_100ns() >= end);
    }
    is_over.set(true);
    // Threads that never end keep theirs.
    let log = log.borrow();
    log.clone()
}

/// How a run ended, for whoever asks the bench.
pub(crate) fn ended_without_verdict(outcome: Option<&Outcome>) -> bool {
    matches!(outcome, Some(Outcome::Budget))
}
