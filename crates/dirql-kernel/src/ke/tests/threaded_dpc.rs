//! Threaded DPCs.

use dirql_abi::dpc::KDpc;

use super::{others, until};
use crate::hal::testing::Rig;
use crate::io::DriverImage;
use crate::readings::{Reading, Readings};
use crate::{Config, Ddi, DriverPtr, Kernel};

fn make(rig: &Rig, body: impl Fn(&Kernel, &[u64]) -> Ddi<()> + 'static) -> DriverPtr<KDpc> {
    let dpc = DriverPtr::new(rig.bench.variable(64));
    let routine = rig
        .bench
        .routine(move |kernel, arguments| body(kernel, arguments).map(|()| 0));
    rig.kernel()
        .ke_initialize_threaded_dpc(dpc, routine, 0xC0)
        .unwrap();
    assert_eq!(rig.kernel().read(dpc).unwrap().type_, 24);
    dpc
}

#[test]
fn it_runs_at_passive_level_on_its_processor_before_any_thread() {
    let rig = Rig::new(2);
    let log = rig.log.clone();
    let object = make(&rig, move |kernel, arguments| {
        log.add(alloc::format!(
            "{:x?} at {} on {}",
            &arguments[1..],
            kernel.irql().0,
            kernel.processor().id.0
        ));
        Ok(())
    });
    rig.kernel().ke_set_target_processor_dpc(object, 1).unwrap();
    let log = rig.log.clone();
    rig.spawn_on(1, move |kernel| {
        kernel.ke_raise_irql(2)?;
        kernel.ke_insert_queue_dpc(object, 1, 2)?;
        kernel.yield_point()?;
        log.add("lower");
        kernel.ke_lower_irql(0)?;
        log.add("thread goes on");
        Ok(())
    });
    rig.run();
    assert_eq!(
        rig.log.take(),
        ["lower", "[c0, 1, 2] at 0 on 1", "thread goes on"]
    );
}

#[test]
fn an_ordinary_dpc_preempts_it() {
    let rig = Rig::new(1);
    let log = rig.log.clone();
    let ordinary = DriverPtr::<KDpc>::new(rig.bench.variable(64));
    let routine = rig.bench.routine(move |_, _| {
        log.add("ordinary");
        Ok(0)
    });
    rig.kernel()
        .ke_initialize_dpc(ordinary, routine, 0)
        .unwrap();
    let log = rig.log.clone();
    let threaded = make(&rig, move |kernel, _| {
        log.add("threaded begins");
        kernel.ke_insert_queue_dpc(ordinary, 0, 0)?;
        kernel.yield_point()?;
        log.add("threaded ends");
        Ok(())
    });
    rig.bench
        .on_thread(move |kernel| kernel.ke_insert_queue_dpc(threaded, 0, 0));
    assert_eq!(
        rig.log.take(),
        ["threaded begins", "ordinary", "threaded ends"]
    );
}

#[test]
fn merging_removing_and_flushing_are_as_for_others() {
    let rig = Rig::new(2);
    let log = rig.log.clone();
    let object = make(&rig, move |kernel, _| {
        for _ in 0..4 {
            others(kernel)?;
        }
        log.add("threaded");
        Ok(())
    });
    let log = rig.log.clone();
    rig.bench.on_thread(move |kernel| {
        kernel.ke_raise_irql(2)?;
        assert_eq!(kernel.ke_insert_queue_dpc(object, 0, 0)?, 1);
        assert_eq!(kernel.ke_insert_queue_dpc(object, 0, 0)?, 0);
        assert_eq!(kernel.ke_remove_queue_dpc(object)?, 1);
        assert_eq!(kernel.ke_insert_queue_dpc(object, 0, 0)?, 1);
        kernel.ke_lower_irql(0)?;
        kernel.ke_flush_queued_dpcs()?;
        log.add("flushed");
        Ok(())
    });
    assert_eq!(rig.log.take(), ["threaded", "flushed"]);
    assert_eq!(rig.findings(), []);
}

#[test]
fn waiting_in_one_is_told() {
    let rig = Rig::new(1);
    let interval = DriverPtr::new(rig.bench.variable(8));
    rig.kernel().write(interval, -10_i64).unwrap();
    let object = make(&rig, move |kernel, _| {
        kernel
            .ke_delay_execution_thread(crate::ke::WaitMode::KERNEL, interval)
            .map(|_| ())
    });
    rig.bench
        .on_thread(move |kernel| kernel.ke_insert_queue_dpc(object, 0, 0));
    assert_eq!(rig.findings(), [160]);
}

#[test]
fn flushing_in_one_is_found() {
    let rig = Rig::new(1);
    let object = make(&rig, |kernel, _| kernel.ke_flush_queued_dpcs());
    rig.bench
        .try_on_thread(move |kernel| kernel.ke_insert_queue_dpc(object, 0, 0));
    assert_eq!(rig.findings(), [111]);
}

/// The spin-lock routines made for them are right at either level.
#[test]
fn the_for_dpc_routines_are_right_in_both_kinds() {
    for threaded in [false, true] {
        let rig = Rig::new(1);
        let lock = rig.bench.variable(8);
        let routine = rig.bench.routine(move |kernel, _| {
            let old = kernel.ke_acquire_spin_lock_for_dpc(lock)?;
            assert_eq!((old, kernel.irql().0), (if threaded { 0 } else { 2 }, 2));
            kernel.ke_release_spin_lock(lock, old)?;
            Ok(0)
        });
        let object = DriverPtr::<KDpc>::new(rig.bench.variable(64));
        rig.bench.on_thread(move |kernel| {
            match threaded {
                true => kernel.ke_initialize_threaded_dpc(object, routine, 0)?,
                false => kernel.ke_initialize_dpc(object, routine, 0)?,
            }
            kernel.ke_insert_queue_dpc(object, 0, 0)
        });
        assert_eq!(rig.findings(), []);
    }
}

#[test]
fn each_processor_runs_its_own() {
    let rig = Rig::new(3);
    let log = rig.log.clone();
    let routine = rig.bench.routine(move |kernel, _| {
        log.add(kernel.processor().id.0);
        until(kernel, || log.len() == 3)?;
        Ok(0)
    });
    for processor in 0..3 {
        let object = DriverPtr::<KDpc>::new(rig.bench.variable(64));
        rig.kernel()
            .ke_initialize_threaded_dpc(object, routine, 0)
            .unwrap();
        rig.kernel()
            .ke_set_target_processor_dpc(object, processor)
            .unwrap();
        rig.kernel().ke_insert_queue_dpc(object, 0, 0).unwrap();
    }
    rig.run();
    let mut log = rig.log.take();
    log.sort_unstable();
    assert_eq!(log, ["0", "1", "2"]);
}

#[test]
fn with_the_switch_off_it_is_an_ordinary_dpc() {
    let rig = Rig::with(Config {
        readings: Readings::default().with(Reading::NoThreadedDpcs),
        ..Config::default()
    });
    let log = rig.log.clone();
    let object = make(&rig, move |kernel, arguments| {
        log.add(alloc::format!(
            "{:x?} at {}",
            &arguments[1..],
            kernel.irql().0
        ));
        assert_eq!(kernel.ke_is_executing_dpc()?, 1);
        Ok(())
    });
    rig.bench.on_thread(move |kernel| {
        assert_eq!(kernel.ke_insert_queue_dpc(object, 1, 2)?, 1);
        kernel.yield_point()
    });
    assert_eq!(rig.log.take(), ["[c0, 1, 2] at 2"]);
}

/// A driver is loaded whose DriverEntry does nothing.
fn load(rig: &Rig) {
    let image = DriverImage {
        name: "driver".into(),
        base: 0,
        size: 0,
        entry: rig.bench.routine(|_, _| Ok(0)),
    };
    let status = rig.bench.on_thread(move |kernel| {
        let driver = kernel.create_driver(&image)?.expect("the name is free");
        kernel.run_driver_entry(driver)
    });
    assert!(status.is_success());
}

/// The value in the registry, as it is when the first driver is loaded: what a driver writes there
/// would count after the next boot.
#[test]
fn the_switch_is_a_value_in_the_registry_that_is_read_once() {
    const KEY: &str = r"\Registry\Machine\System\CurrentControlSet\Control\Session Manager\Kernel";
    let set = |kernel: &Kernel, value: u32| {
        assert!(kernel.registry_set(KEY, "ThreadDpcEnable", 4, &value.to_le_bytes()));
    };
    for (before, after, expected) in [(0, 1, "2"), (1, 0, "0")] {
        let rig = Rig::new(1);
        set(rig.kernel(), before);
        load(&rig);
        set(rig.kernel(), after);
        let log = rig.log.clone();
        let object = make(&rig, move |kernel, _| {
            log.add(kernel.irql().0);
            Ok(())
        });
        rig.kernel().ke_insert_queue_dpc(object, 0, 0).unwrap();
        rig.run();
        assert_eq!(rig.log.take(), [expected]);
    }
    let off = Rig::with(Config {
        readings: Readings::default().with(Reading::NoThreadedDpcs),
        ..Config::default()
    });
    let value = off.kernel().registry_get(KEY, "ThreadDpcEnable");
    assert_eq!(value, Some((4, alloc::vec![0; 4])));
}
