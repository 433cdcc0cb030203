//! Kernel queues.

use alloc::boxed::Box;

use dirql_abi::NtStatus;
use dirql_abi::dispatcher::{KEvent, KQueue};
use dirql_abi::list::ListEntry;

use super::until;
use crate::hal::testing::{Log, Rig};
use crate::ke::ThreadBody;
use crate::{DriverPtr, Kernel};

const TIMEOUT: u64 = NtStatus::TIMEOUT.0 as u64;
const ABANDONED: u64 = NtStatus::ABANDONED_WAIT_0.0 as u64;

fn queue(rig: &Rig, count: u32) -> DriverPtr<KQueue> {
    let queue = DriverPtr::new(rig.bench.variable(64));
    rig.kernel().ke_initialize_queue(queue, count).unwrap();
    queue
}

fn entry(rig: &Rig) -> u64 {
    rig.bench.variable(16)
}

/// A thread that removes entries until it is told otherwise, and waits for `pause` after each.
fn server(
    rig: &Rig,
    name: &'static str,
    queue: DriverPtr<KQueue>,
    pause: Option<DriverPtr<KEvent>>,
) {
    let log: Log = rig.log.clone();
    let body = move |kernel: &Kernel| {
        loop {
            let got = kernel.ke_remove_queue(queue, DriverPtr::NULL)?;
            if got == ABANDONED {
                log.add(alloc::format!("{name} ends"));
                return Ok(());
            }
            log.add(alloc::format!("{name} serves"));
            if let Some(event) = pause {
                kernel.ke_wait_for_single_object(event.address(), 0, 0, 0, DriverPtr::NULL)?;
                log.add(alloc::format!("{name} goes on"));
            }
        }
    };
    rig.kernel()
        .spawn_thread("server", 8, ThreadBody::Native(Box::new(body)));
    rig.run();
}

#[test]
fn entries_come_out_in_order_and_those_at_the_head_first() {
    let rig = Rig::new(1);
    let queue = queue(&rig, 1);
    let (a, b, c) = (entry(&rig), entry(&rig), entry(&rig));
    let zero = DriverPtr::<i64>::new(rig.bench.variable(8));
    rig.bench.on_thread(move |kernel| {
        assert_eq!(kernel.ke_remove_queue(queue, zero)?, TIMEOUT);
        assert_eq!(kernel.ke_insert_queue(queue, a, false)?, 0);
        assert_eq!(kernel.ke_insert_queue(queue, b, false)?, 1);
        assert_eq!(kernel.ke_insert_queue(queue, c, true)?, 2);
        assert_eq!(kernel.ke_read_state_queue(queue)?, 3);
        let mut order = alloc::vec![];
        for _ in 0..3 {
            order.push(kernel.ke_remove_queue(queue, zero)?);
        }
        assert_eq!(order, [c, a, b]);
        assert_eq!(kernel.ke_remove_queue(queue, zero)?, TIMEOUT);
        Ok(())
    });
}

#[test]
fn the_thread_that_waits_shortest_is_given_the_entry() {
    let rig = Rig::new(1);
    let queue = queue(&rig, 4);
    for name in ["a", "b", "c"] {
        server(&rig, name, queue, None);
    }
    let first = entry(&rig);
    rig.bench
        .on_thread(move |kernel| kernel.ke_insert_queue(queue, first, false));
    assert_eq!(rig.log.take(), ["c serves"]);
}

#[test]
fn one_that_waits_for_something_else_lets_another_be_busy() {
    let rig = Rig::new(1);
    let queue = queue(&rig, 1);
    let pause = DriverPtr::<KEvent>::new(rig.bench.variable(24));
    rig.kernel().ke_initialize_event(pause, 0, 0).unwrap();
    server(&rig, "a", queue, Some(pause));
    server(&rig, "b", queue, Some(pause));
    let (first, second, third) = (entry(&rig), entry(&rig), entry(&rig));
    let log = rig.log.clone();
    rig.bench.on_thread(move |kernel| {
        for entry in [first, second, third] {
            kernel.ke_insert_queue(queue, entry, false)?;
        }
        // Both wait for the event; nobody is left for the third.
        until(kernel, || log.len() == 2)?;
        assert_eq!(kernel.ke_read_state_queue(queue)?, 1);
        kernel.ke_set_event(pause, 0, 0).map(drop)
    });
    let log = rig.log.take();
    assert_eq!(log[..2], ["b serves", "a serves"]);
    assert_eq!(
        log.iter().filter(|line| line.ends_with("serves")).count(),
        3
    );
}

/// With one busy thread allowed, entries stay while it is.
#[test]
fn no_more_threads_are_busy_than_the_queue_allows() {
    let rig = Rig::new(2);
    let queue = queue(&rig, 1);
    let entries = [entry(&rig), entry(&rig)];
    server(&rig, "other", queue, None);
    let log = rig.log.clone();
    let zero = DriverPtr::<i64>::new(rig.bench.variable(8));
    rig.bench.on_thread(move |kernel| {
        // This thread serves the queue and is busy from here on.
        assert_eq!(kernel.ke_remove_queue(queue, zero)?, TIMEOUT);
        kernel.ke_insert_queue(queue, entries[0], false)?;
        super::others(kernel)?;
        assert_eq!(log.len(), 0);
        assert_eq!(kernel.ke_remove_queue(queue, zero)?, entries[0]);
        kernel.ke_insert_queue(queue, entries[1], false).map(drop)
    });
    // It has ended, which is as good as waiting.
    assert_eq!(rig.log.take(), ["other serves"]);
}

#[test]
fn running_a_queue_down_gives_its_entries_and_ends_the_waits() {
    let rig = Rig::new(1);
    let queue = queue(&rig, 1);
    let (a, b) = (entry(&rig), entry(&rig));
    let kernel = rig.kernel();
    kernel.ke_insert_queue(queue, a, false).unwrap();
    kernel.ke_insert_queue(queue, b, false).unwrap();
    assert_eq!(kernel.ke_rundown_queue(queue), Ok(a));
    let ring = kernel.read(DriverPtr::<ListEntry>::new(a)).unwrap();
    assert_eq!((ring.flink, ring.blink), (b, b));
    assert_eq!(kernel.ke_rundown_queue(queue), Ok(0));
    server(&rig, "a", queue, None);
    assert_eq!(rig.kernel().ke_rundown_queue(queue), Ok(0));
    rig.run();
    assert_eq!(rig.log.take(), ["a ends"]);
}

#[test]
fn several_entries_are_removed_at_once_or_a_status_in_place_of_one() {
    let rig = Rig::new(1);
    let queue = queue(&rig, 1);
    let all = [entry(&rig), entry(&rig), entry(&rig)];
    let (zero, array) = (rig.bench.variable(8), rig.bench.variable(32));
    let (zero, array) = (DriverPtr::<i64>::new(zero), DriverPtr::<u64>::new(array));
    rig.bench.on_thread(move |kernel| {
        for entry in all {
            kernel.ke_insert_queue(queue, entry, false)?;
        }
        let remove = |count| kernel.ke_remove_queue_ex(queue, zero, array, count);
        assert_eq!(remove(2)?, 2);
        let got = [kernel.read(array)?, kernel.read(array.element(1))?];
        assert_eq!(got, all[..2]);
        assert_eq!(remove(4)?, 1);
        assert_eq!(kernel.read(array)?, all[2]);
        assert_eq!(remove(4)?, 1);
        assert_eq!(kernel.read(array)?, TIMEOUT);
        Ok(())
    });
}
