//! The programs of the book that are tests themselves. Each is here as the book has it, so that it
//! is compiled and does what the book says; a test compares both texts. The page on the library
//! is tested as documentation.

use std::path::{Path, PathBuf};

use dirql::scenario::{DeviceSpec, Interrupts};
use dirql::{Bench, BenchError, Driver};
use dirql_kernel::io::RequestKind;

#[global_allocator]
static ALLOCATOR: dirql::Arena = dirql::Arena;

fn edu() -> DeviceSpec {
    DeviceSpec::new("edu0", "edu").interrupts(Interrupts::Line)
}

#[rustfmt::skip] // as the book has it
fn a_write_and_a_remove_get_along() {
    dirql::explore(
        || Ok(Bench::builder().processors(2).device(edu()).driver(Driver::file("edu.sys")?)),
        |bench| {
            bench.load()?;
            bench.start("edu0")?;
            bench.remove("edu0")
        },
    );
}

fn no_order_stops_the_driver() {
    dirql::Explorer::new(dirql::Strategy::Bounded { switches: 2 })
        .check(
            || {
                Ok(Bench::builder()
                    .processors(2)
                    .device(DeviceSpec::new("edu0", "edu"))
                    .driver(Driver::file("isr-takes-lock.sys")?))
            },
            |bench| {
                bench.load()?;
                bench.start("edu0")?;
                bench.open("edu0")?;
                bench.write("edu0", &[1, 0, 0, 0])?;
                bench.read("edu0", 4)?;
                bench.close("edu0")?;
                bench.remove("edu0")?;
                bench.unload()
            },
        )
        .unwrap();
}

fn a_write_and_what_interrupts_it() {
    dirql::Explorer::new(dirql::Strategy::Bounded { switches: 2 })
        .check_functions(
            || {
                Ok(Bench::builder()
                    .processors(2)
                    .explored_later()
                    .device(edu())
                    .driver(Driver::file("edu.sys")?))
            },
            |bench| {
                bench.load()?;
                bench.start("edu0")?;
                bench.open("edu0")?;
                let file = bench.file("edu0")?;
                bench.explore_on_kernel_thread(
                    move |kernel| {
                        let data = [1, 0, 0, 0].into();
                        kernel.prepare_request(file, &RequestKind::Write { data, offset: 0 })
                    },
                    // The dispatch routine, and the interrupt that its write to the device causes.
                    |kernel, request| kernel.send_prepared(request),
                    |kernel, request| {
                        let is_done = kernel.request_is_done(request);
                        Ok(is_done
                            .then_some(())
                            .ok_or(BenchError::Check("it hangs".into())))
                    },
                )
            },
        )
        .unwrap();
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Below this directory's name the programs find their driver: a right one, or a wrong one.
fn with_driver(name: &str, driver: &str, body: fn()) -> std::thread::Result<()> {
    // The programs name their files as they lie in their own package.
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("book")
        .join(driver);
    std::fs::create_dir_all(&directory).unwrap();
    let image = root().join(format!("zoo/isr-takes-lock/{driver}.sys"));
    std::fs::copy(image, directory.join(name)).unwrap();
    std::env::set_current_dir(&directory).unwrap();
    std::panic::catch_unwind(body)
}

#[test]
fn the_programs_of_the_book_find_what_is_wrong_and_nothing_else() {
    for (name, body) in [
        ("edu.sys", a_write_and_a_remove_get_along as fn()),
        ("edu.sys", a_write_and_what_interrupts_it),
        ("isr-takes-lock.sys", no_order_stops_the_driver),
    ] {
        assert!(
            with_driver(name, "isr-takes-lock-fixed", body).is_ok(),
            "{name}"
        );
    }
    let body = no_order_stops_the_driver;
    let wrong = with_driver("isr-takes-lock.sys", "isr-takes-lock", body);
    assert!(wrong.is_err(), "the driver is wrong, and the test fails");
}

#[test]
fn the_book_has_the_programs_that_are_here() {
    let here = include_str!("book.rs");
    let mut programs = 0;
    for page in ["how-it-works", "explore", "tutorial"] {
        let text = std::fs::read_to_string(root().join(format!("docs/src/{page}.md"))).unwrap();
        for program in text.split("```rust,ignore\n").skip(1) {
            let program = program.split("```").next().unwrap_or_default();
            let program = program.trim_start_matches("#[test]\n");
            assert!(here.contains(program), "{page}: {program}");
            programs += 1;
        }
    }
    assert_eq!(programs, 4);
}
