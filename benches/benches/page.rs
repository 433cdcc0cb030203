//! The page of a run of a million events in a browser: how long it takes to open, and a frame of
//! it while one pans and zooms, as a ratio to a frame of a page with one event.
//!
//! Needs Chromium with its driver: `cargo xtask setup`.
#![expect(clippy::print_stdout, reason = "the table is the result")]

#[path = "../../crates/dirql/tests/page/webdriver.rs"]
#[expect(dead_code, reason = "the tests of the page ask more of the browser")]
mod webdriver;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use dirql_abi::Irql;
use dirql_chips::{Level, Vector};
use dirql_kernel::{Event, EventSink, Stamp};
use dirql_rules::Context;
use dirql_trace::page::{Page, Run};
use dirql_trace::{Numbers, Recorder, Timeline};

use webdriver::Browser;

const EVENTS: usize = 1_000_000;

/// A run in which four processors take interrupts in turns.
fn timeline(count: usize) -> Timeline {
    let (mut recorder, recording) = Recorder::new(count);
    let mut told = 0;
    let mut step = 0;
    while told < count {
        let processor = (step / 3 % 4) as u16;
        let (thread, isr) = (Context::Thread(processor.into()), Context::Isr(0x60));
        let vector = Vector(0x60 + processor as u8);
        let lock = 0x5000 + u64::from(processor);
        let irql = |from, to| Event::Irql {
            from: Irql(from),
            to: Irql(to),
        };
        let line = |level| Event::Line { gsi: 17, level };
        let pending = Event::Pending {
            target: processor,
            vector,
        };
        let enter = Event::IsrEnter {
            vector,
            object: 0x3000,
            routine: 0x1000,
        };
        let leave = Event::IsrLeave {
            vector,
            claimed: true,
        };
        let called = Event::DdiEnter {
            name: "KeSetEvent",
            caller: 0x2000 + step % 64,
        };
        let returned = Event::DdiLeave {
            name: "KeSetEvent",
            result: 0,
        };
        let events = [
            (0, thread, called),
            (2, thread, irql(0, 2)),
            (2, thread, Event::LockTaken(lock)),
            (2, thread, line(Level::High)),
            (2, thread, pending),
            (6, thread, irql(2, 6)),
            (6, thread, Event::Delivered(vector)),
            (6, isr, enter),
            (6, isr, line(Level::Low)),
            (6, isr, leave),
            (6, thread, Event::EndOfInterrupt(vector)),
            (2, thread, irql(6, 2)),
            (2, thread, Event::LockReleased(lock)),
            (0, thread, irql(2, 0)),
            (0, thread, returned),
        ];
        for (irql, context, event) in events.iter().take(count - told) {
            let stamp = Stamp {
                step,
                time_100ns: step * 7,
                processor,
                irql: *irql,
                context: *context,
            };
            recorder.record(stamp, event);
            told += 1;
        }
        step += 1;
    }
    Timeline::of_recording(&recording, &Numbers)
}

/// Opens the page of so many events; milliseconds to load, and of a frame in each of some views.
fn measure(browser: &Browser, directory: &Path, count: usize) -> (f64, Vec<(String, f64)>) {
    let page = Page {
        title: "a run".into(),
        runs: vec![Run {
            name: "a run".into(),
            timeline: timeline(count),
            ..Run::default()
        }],
        ..Page::default()
    };
    let file = directory.join(format!("{count}.html"));
    let mut out = BufWriter::new(File::create(&file).expect("a file"));
    page.write(&mut out)
        .and_then(|()| out.flush())
        .expect("a page");
    browser.open(&format!("file://{}", file.display()));
    let script = "
        const { view } = window.dirql, count = view.run.events.count, frames = [];
        const frame = (name, length) => {
          const times = [];
          for (let turn = 0; turn < 25; turn++) {
            const start = length < count ? (count - length) * (0.2 + turn / 50) : -1;
            view.look(start, start + length + 2);
            const before = performance.now();
            view.drawNow();
            view.picture.pen.getImageData(0, 0, 1, 1);
            times.push(performance.now() - before);
          }
          frames.push([name, times.sort((one, other) => one - other)[12]]);
        };
        frame('everything', count);
        frame('a tenth', count / 10);
        frame('a hundredth', count / 100);
        frame('a thousand events', 1000);
        frame('fifty events', 50);
        return [performance.getEntriesByType('navigation')[0].loadEventEnd, frames]";
    let measured = browser.run(script);
    let frames = measured[1].as_array().into_iter().flatten();
    let frames = frames.map(|frame| {
        let name = frame[0].as_str().unwrap_or_default().to_owned();
        (name, frame[1].as_f64().unwrap_or(f64::NAN))
    });
    (measured[0].as_f64().unwrap_or(f64::NAN), frames.collect())
}

fn main() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    let Some(browser) = Browser::start(&directory.join("profile")) else {
        println!("there is no chromedriver; `cargo xtask setup` installs it");
        return;
    };
    browser.look((1400, 1000), "light");
    let (empty_load, empty) = measure(&browser, &directory, 1);
    let (load, frames) = measure(&browser, &directory, EVENTS);
    println!(
        "load: {load:.0} ms with {EVENTS} events (aim: under 3 s), {empty_load:.0} ms with one"
    );
    for ((name, time), (_, reference)) in frames.iter().zip(&empty) {
        println!(
            "a frame that shows {name}: {time:.1} ms (aim: under 100 ms), {:.0} times one of a page with one event",
            time / reference
        );
    }
}
