//! Tests that are explored: of a driver from a file, and of one in Rust.

use std::path::Path;

use dirql::scenario::{DeviceSpec, Interrupts};
use dirql::{Bench, BenchError, Builder, Driver, Explorer, Strategy};
use dirql_kernel::Kernel;
use dirql_kernel::io::RequestKind;

fn zoo(name: &str) -> Result<Builder, BenchError> {
    let zoo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../zoo");
    let directory = name.trim_end_matches("-fixed");
    let driver = Driver::file(zoo.join(directory).join(format!("{name}.sys")))?;
    let device = DeviceSpec::new("edu0", "edu").interrupts(Interrupts::Line);
    Ok(Bench::builder().processors(2).device(device).driver(driver))
}

/// The ISR and the request count one each.
fn both_count(bench: &Bench) -> Result<(), BenchError> {
    bench.load()?;
    bench.start("edu0")?;
    bench.open("edu0")?;
    bench.write("edu0", &[1, 0, 0, 0])?.expect_success()?;
    bench.run_until_idle()?;
    let count = bench.read("edu0", 4)?.expect_success()?.data;
    assert_eq!(count, [2, 0, 0, 0], "an update is lost");
    bench.close("edu0")?;
    bench.remove("edu0")?;
    bench.unload()
}

#[test]
fn an_assertion_fails_in_the_order_that_breaks_it_and_does_so_again() {
    let explorer = Explorer::new(Strategy::Bounded { switches: 2 });
    let driver = || zoo("lost-update-isr");
    let failed = explorer.check(driver, both_count).unwrap_err();
    assert!(failed.what.contains("an update is lost"), "{failed}");
    assert!(failed.switches <= 2, "{failed}");
    for _ in 0..100 {
        let again = Explorer::replay(&failed.schedule, driver, both_count).unwrap_err();
        assert_eq!(again.what, failed.what);
    }
}

#[test]
fn a_driver_without_the_mistake_passes_in_every_order() {
    let explorer = Explorer::new(Strategy::Bounded { switches: 1 });
    let coverage = explorer.check(|| zoo("lost-update-isr-fixed"), both_count);
    let coverage = coverage.unwrap();
    assert!(coverage.complete && coverage.runs > 1, "{coverage:?}");
}

mod counter {
    //! Two threads that count without a lock, or with an interlocked operation.

    use std::sync::atomic::{AtomicU32, Ordering};

    dirql_host::import! {
        fn PsCreateSystemThread(
            handle: u64,
            access: u32,
            attributes: u64,
            process: u64,
            client: u64,
            routine: u64,
            context: u64
        ) -> i32;
        fn PsTerminateSystemThread(status: i32) -> i32;
        fn KeGetCurrentIrql() -> u8;
    }

    pub(crate) static COUNT: AtomicU32 = AtomicU32::new(0);

    extern "win64" fn counts(interlocked: u64) {
        if interlocked == 0 {
            let count = COUNT.load(Ordering::Relaxed);
            KeGetCurrentIrql();
            COUNT.store(count + 1, Ordering::Relaxed);
        } else {
            KeGetCurrentIrql();
            COUNT.fetch_add(1, Ordering::Relaxed);
        }
        PsTerminateSystemThread(0);
    }

    fn start(interlocked: u64) -> i32 {
        COUNT.store(0, Ordering::Relaxed);
        let mut handle = 0_u64;
        let routine = counts as extern "win64" fn(u64) as usize as u64;
        for _ in 0..2 {
            let at = (&raw mut handle).expose_provenance() as u64;
            let status = PsCreateSystemThread(at, 0x1F_FFFF, 0, 0, 0, routine, interlocked);
            if status != 0 {
                return status;
            }
        }
        0
    }

    pub(crate) extern "win64" fn plain(_driver: u64, _path: u64) -> i32 {
        start(0)
    }

    pub(crate) extern "win64" fn interlocked(_driver: u64, _path: u64) -> i32 {
        start(1)
    }
}

fn counter(entry: extern "win64" fn(u64, u64) -> i32) -> Result<Builder, BenchError> {
    let driver = Driver::native("counter.sys", entry);
    Ok(Bench::builder().processors(2).driver(driver))
}

fn two_are_counted(bench: &Bench) -> Result<(), BenchError> {
    bench.load()?;
    bench.run_until_idle()?;
    let count = counter::COUNT.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(count, 2, "an update is lost");
    Ok(())
}

/// As [`both_count`], with the orders of the requests alone.
fn both_count_in_part(bench: &Bench) -> Result<(), BenchError> {
    bench.load()?;
    bench.start("edu0")?;
    bench.open("edu0")?;
    bench.explore_from_here();
    bench.write("edu0", &[1, 0, 0, 0])?.expect_success()?;
    bench.explore_until_here()?;
    let count = bench.read("edu0", 4)?.expect_success()?.data;
    assert_eq!(count, [2, 0, 0, 0], "an update is lost");
    bench.close("edu0")?;
    bench.remove("edu0")?;
    bench.unload()
}

#[test]
fn a_mistake_in_the_explored_part_is_found_and_its_order_replays() {
    let explorer = Explorer::new(Strategy::Bounded { switches: 2 });
    let driver = || zoo("lost-update-isr").map(Builder::explored_later);
    let failed = explorer.check(driver, both_count_in_part).unwrap_err();
    assert!(failed.what.contains("an update is lost"), "{failed}");
    let again = Explorer::replay(&failed.schedule, driver, both_count_in_part);
    assert_eq!(again.unwrap_err().what, failed.what);
}

#[test]
fn an_interrupt_on_its_way_at_the_end_of_a_part_is_tried_everywhere_before() {
    let explorer = Explorer::new(Strategy::Exhaustive);
    let driver = || zoo("lost-update-isr").map(Builder::explored_later);
    let failed = explorer.check(driver, both_count_in_part).unwrap_err();
    assert!(failed.what.contains("an update is lost"), "{failed}");
}

/// As [`both_count`], with the orders alone of what happens while the driver has the request.
fn both_count_on_a_thread(bench: &Bench) -> Result<(), BenchError> {
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
    bench.explore_on_kernel_thread(prepare, explored, move |kernel, written| {
        let (length, offset) = (4, 0);
        let count = kernel.request(file, &RequestKind::Read { length, offset })?;
        let is_right = written.status.is_success() && count.data == [2, 0, 0, 0];
        Ok(is_right
            .then_some(())
            .ok_or(BenchError::StillWaiting("an update that is lost")))
    })?;
    bench.close("edu0")?;
    bench.remove("edu0")?;
    bench.unload()
}

#[test]
fn a_mistake_on_the_explored_thread_is_found_and_its_order_replays() {
    let driver = || zoo("lost-update-isr").map(Builder::explored_later);
    for strategy in [Strategy::Bounded { switches: 2 }, Strategy::Exhaustive] {
        let explorer = Explorer::new(strategy);
        let failed = explorer.check(driver, both_count_on_a_thread).unwrap_err();
        assert!(failed.what.contains("an update that is lost"), "{failed}");
        let again = Explorer::replay(&failed.schedule, driver, both_count_on_a_thread);
        assert_eq!(again.unwrap_err().what, failed.what);
    }
}

#[test]
fn a_thread_has_fewer_orders_than_the_part_around_it() {
    let explorer = Explorer::new(Strategy::Bounded { switches: 2 });
    let driver = || zoo("lost-update-isr-fixed").map(Builder::explored_later);
    let part = explorer.check(driver, both_count_in_part).unwrap();
    let thread = explorer.check(driver, both_count_on_a_thread).unwrap();
    assert!(thread.complete && thread.runs > 1, "{thread:?}");
    assert!(thread.runs < part.runs, "{thread:?}, {part:?}");
}

#[test]
fn what_a_test_checks_after_the_explored_thread_does_not_count() {
    let explorer = Explorer::new(Strategy::Bounded { switches: 1 });
    let driver = || zoo("lost-update-isr-fixed").map(Builder::explored_later);
    let coverage = explorer.check(driver, |bench| {
        both_count_on_a_thread(bench)?;
        Err(BenchError::StillWaiting("what is no part of a run"))
    });
    assert!(coverage.unwrap().complete);
}

#[test]
fn a_part_has_fewer_orders_than_the_whole() {
    let explorer = Explorer::new(Strategy::Bounded { switches: 1 });
    let driver = || zoo("lost-update-isr-fixed");
    let whole = explorer.check(driver, both_count).unwrap();
    let part = || driver().map(Builder::explored_later);
    let part = explorer.check(part, both_count_in_part).unwrap();
    assert!(part.complete && part.runs > 1, "{part:?}");
    assert!(part.runs < whole.runs, "{part:?}, {whole:?}");
}

#[test]
fn without_a_part_to_explore_there_is_one_order() {
    let explorer = Explorer::new(Strategy::Bounded { switches: 2 });
    let driver = || zoo("lost-update-isr").map(Builder::explored_later);
    let coverage = explorer.check(driver, both_count).unwrap();
    assert!(coverage.complete);
    assert_eq!(coverage.runs, 1);
}

#[test]
fn a_driver_in_rust_is_explored_as_well() {
    let explorer = Explorer::new(Strategy::Bounded { switches: 2 });
    let failed = explorer.check(|| counter(counter::plain), two_are_counted);
    let failed = failed.unwrap_err();
    assert!(failed.what.contains("an update is lost"), "{failed}");
    let driver = || counter(counter::plain);
    let again = Explorer::replay(&failed.schedule, driver, two_are_counted);
    assert_eq!(again.unwrap_err().what, failed.what);

    let coverage = explorer.check(|| counter(counter::interlocked), two_are_counted);
    assert!(coverage.unwrap().complete);
}

#[test]
#[should_panic(expected = "replay it with d1-")]
fn exploring_panics_with_the_schedule() {
    let _ = dirql::explore(|| counter(counter::plain), two_are_counted);
}
