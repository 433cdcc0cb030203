//! Device queues, StartIo, cancel-safe queues, remove locks.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;

use dirql_abi::NtStatus;
use dirql_abi::device::DriverObject;
use dirql_abi::dispatcher::{KDeviceQueue, KDeviceQueueEntry};
use dirql_abi::io::{IoCsq, IoCsqIrpContext, IoRemoveLock};
use dirql_abi::irp::{Irp, major};
use dirql_abi::list::ListEntry;
use dirql_rules::ids;

use super::{Log, bench, complete, device, driver, hex, on};
use crate::ke::ThreadBody;
use crate::testing::Bench;
use crate::{Ddi, DriverPtr, Kernel, Stop, at};

type Entry = DriverPtr<KDeviceQueueEntry>;

fn entries(bench: &Bench, count: usize) -> Vec<Entry> {
    (0..count)
        .map(|_| DriverPtr::new(bench.variable(24)))
        .collect()
}

#[test]
fn the_first_insertion_makes_a_queue_busy_and_does_not_queue() {
    let bench = bench();
    let kernel = &bench.kernel;
    let queue = DriverPtr::<KDeviceQueue>::new(bench.variable(40));
    let entry = entries(&bench, 3);
    kernel
        .ke_initialize_device_queue(queue)
        .expect("a variable");
    assert_eq!(kernel.ke_insert_device_queue(queue, entry[0]), Ok(0));
    assert_eq!(kernel.ke_insert_device_queue(queue, entry[1]), Ok(1));
    assert_eq!(kernel.ke_insert_device_queue(queue, entry[2]), Ok(1));
    assert_eq!(kernel.ke_remove_device_queue(queue), Ok(entry[1]));
    assert_eq!(kernel.ke_remove_device_queue(queue), Ok(entry[2]));
    assert_eq!(kernel.read(at!(queue, KDeviceQueue, busy)), Ok(1));
    assert_eq!(kernel.ke_remove_device_queue(queue), Ok(Entry::NULL));
    assert_eq!(kernel.read(at!(queue, KDeviceQueue, busy)), Ok(0));
}

#[test]
fn keys_order_a_queue_and_removal_by_key_goes_round() {
    let bench = bench();
    let kernel = &bench.kernel;
    let queue = DriverPtr::<KDeviceQueue>::new(bench.variable(40));
    let entry = entries(&bench, 6);
    kernel
        .ke_initialize_device_queue(queue)
        .expect("a variable");
    kernel
        .ke_insert_device_queue(queue, entry[0])
        .expect("variables");
    for (index, key) in [(1, 5), (2, 9), (3, 1), (4, 5)] {
        assert_eq!(
            kernel.ke_insert_by_key_device_queue(queue, entry[index], key),
            Ok(1)
        );
    }
    // 1, 5, 5, 9: equal keys in the order of insertion.
    assert_eq!(kernel.ke_remove_by_key_device_queue(queue, 5), Ok(entry[1]));
    assert_eq!(kernel.ke_remove_by_key_device_queue(queue, 6), Ok(entry[2]));
    assert_eq!(
        kernel.ke_remove_by_key_device_queue(queue, 10),
        Ok(entry[3]),
        "none is so high: the first"
    );
    assert_eq!(kernel.ke_remove_by_key_device_queue(queue, 0), Ok(entry[4]));
}

#[test]
fn an_entry_is_removed_once() {
    let bench = bench();
    let kernel = &bench.kernel;
    let queue = DriverPtr::<KDeviceQueue>::new(bench.variable(40));
    let entry = entries(&bench, 2);
    kernel
        .ke_initialize_device_queue(queue)
        .expect("a variable");
    kernel
        .ke_insert_device_queue(queue, entry[0])
        .expect("variables");
    kernel
        .ke_insert_device_queue(queue, entry[1])
        .expect("variables");
    assert_eq!(
        kernel.ke_remove_entry_device_queue(queue, entry[0]),
        Ok(0),
        "it was never queued"
    );
    assert_eq!(kernel.ke_remove_entry_device_queue(queue, entry[1]), Ok(1));
    assert_eq!(kernel.ke_remove_entry_device_queue(queue, entry[1]), Ok(0));
}

#[test]
fn a_damaged_list_is_bug_check_139() {
    let bench = bench();
    let kernel = &bench.kernel;
    let queue = DriverPtr::<KDeviceQueue>::new(bench.variable(40));
    let entry = entries(&bench, 3);
    kernel
        .ke_initialize_device_queue(queue)
        .expect("a variable");
    kernel
        .ke_insert_device_queue(queue, entry[0])
        .expect("variables");
    kernel
        .ke_insert_device_queue(queue, entry[1])
        .expect("variables");
    let links = entry[1].cast::<ListEntry>();
    kernel
        .write(at!(links, ListEntry, flink), entry[2].address())
        .expect("a variable");
    let stop = kernel.ke_insert_device_queue(queue, entry[2]);
    assert!(
        matches!(stop, Err(Stop::BugCheck(bug_check)) if (bug_check.code, bug_check.parameters[0]) == (0x139, 3))
    );
}

/// A driver with a StartIo that completes on another thread and starts the next.
fn starting(bench: &Bench, log: &Log) -> u64 {
    let driver = driver(bench, "a");
    on(bench, driver, major::IRP_MJ_READ, |kernel, device, irp| {
        kernel.mark_pending(irp)?;
        kernel.io_start_packet(device, irp, DriverPtr::NULL, 0)?;
        Ok(NtStatus::PENDING)
    });
    let log = log.clone();
    let start_io = bench.routine(move |kernel, arguments| {
        let (device, irp) = (arguments[0], arguments[1]);
        assert_eq!(kernel.irql().0, 2);
        log.add("StartIo");
        let body = move |kernel: &Kernel| {
            complete(kernel, irp, NtStatus::SUCCESS, 0)?;
            let level = kernel.raise_irql(dirql_abi::Irql::DISPATCH);
            kernel.io_start_next_packet(device, 0)?;
            kernel.lower_irql(level)
        };
        kernel.spawn_thread(
            "device",
            8,
            ThreadBody::Native(alloc::boxed::Box::new(body)),
        );
        Ok(0)
    });
    let at = at!(
        DriverPtr::<DriverObject>::new(driver),
        DriverObject,
        driver_start_io
    );
    bench.kernel.write(at, start_io).expect("a driver object");
    device(bench, driver, "")
}

#[test]
fn start_io_has_one_request_at_a_time() {
    let bench = bench();
    let log = Log::default();
    let device = starting(&bench, &log);
    let done = Rc::new(RefCell::new(0));
    for _ in 0..3 {
        let done = done.clone();
        let body = move |kernel: &Kernel| {
            assert_eq!(
                kernel.send_simple(device, major::IRP_MJ_READ, 0)?,
                NtStatus::SUCCESS
            );
            *done.borrow_mut() += 1;
            Ok(())
        };
        bench.kernel.spawn_thread(
            "reader",
            8,
            ThreadBody::Native(alloc::boxed::Box::new(body)),
        );
    }
    bench.kernel.run_until_idle();
    assert_eq!((*done.borrow(), log.take().len()), (3, 3));
    assert!(bench.rules().is_empty(), "{:?}", bench.kernel.findings());
}

#[test]
fn a_request_cancelled_before_it_is_queued_is_cancelled_there() {
    let bench = bench();
    let log = Log::default();
    let steps = log.clone();
    let driver = driver(&bench, "a");
    let device = device(&bench, driver, "");
    let start_io = bench.routine(|_, _| Ok(0));
    let at = at!(
        DriverPtr::<DriverObject>::new(driver),
        DriverObject,
        driver_start_io
    );
    bench.kernel.write(at, start_io).expect("a driver object");
    let cancel = bench.routine(move |kernel, arguments| {
        steps.add(hex(arguments[1]));
        let level = kernel.read(at!(DriverPtr::<Irp>::new(arguments[1]), Irp, cancel_irql))?;
        kernel.io_release_cancel_spin_lock(level.0)?;
        Ok(0)
    });
    let second = bench.on_thread(move |kernel| {
        let (first, second) = (kernel.io_allocate_irp(1, 0)?, kernel.io_allocate_irp(1, 0)?);
        kernel.io_start_packet(device, first, DriverPtr::NULL, cancel)?;
        kernel.io_cancel_irp(second)?;
        kernel.io_start_packet(device, second, DriverPtr::NULL, cancel)?;
        assert_eq!(kernel.irql().0, 0);
        Ok(second)
    });
    assert_eq!(log.take(), [hex(second)]);
}

/// A cancel-safe queue over a Rust queue; what its routines do is logged.
fn csq(bench: &Bench, log: &Log) -> (DriverPtr<IoCsq>, Rc<RefCell<VecDeque<u64>>>) {
    let queue = Rc::new(RefCell::new(VecDeque::new()));
    let csq = DriverPtr::new(bench.variable(64));
    let lock = bench.variable(8);
    let (inserting, removing, peeking) = (queue.clone(), queue.clone(), queue.clone());
    let (inserted, removed, completed) = (log.clone(), log.clone(), log.clone());
    let routines = [
        bench.routine(move |_, arguments| {
            inserted.add("insert");
            inserting.borrow_mut().push_back(arguments[1]);
            Ok(0)
        }),
        bench.routine(move |_, arguments| {
            removed.add("remove");
            removing.borrow_mut().retain(|irp| *irp != arguments[1]);
            Ok(0)
        }),
        bench.routine(move |_, arguments| {
            let queue = peeking.borrow();
            let after = queue
                .iter()
                .position(|irp| *irp == arguments[1])
                .map_or(0, |at| at + 1);
            Ok(queue.get(after).copied().unwrap_or(0))
        }),
        bench.routine(move |kernel, arguments| {
            let level = kernel.ke_acquire_spin_lock_raise_to_dpc(lock)?;
            kernel.write(DriverPtr::new(arguments[1]), level)?;
            Ok(0)
        }),
        bench.routine(move |kernel, arguments| {
            kernel.ke_release_spin_lock(lock, arguments[1] as u8)?;
            Ok(0)
        }),
        bench.routine(move |_, _| {
            completed.add("complete cancelled");
            Ok(0)
        }),
    ];
    assert_eq!(
        bench.kernel.io_csq_initialize(csq, routines, false),
        Ok(NtStatus::SUCCESS)
    );
    (csq, queue)
}

/// On a thread: a request as a dispatch routine has it.
fn current_irp(kernel: &Kernel) -> Ddi<u64> {
    let irp = kernel.io_allocate_irp(1, 0)?;
    let pointer = DriverPtr::<Irp>::new(irp);
    kernel.write(at!(pointer, Irp, current_location), 1)?;
    kernel.write(at!(pointer, Irp, current_stack_location), irp + 208)?;
    Ok(irp)
}

#[test]
fn a_cancel_safe_queue_gives_back_what_went_in() {
    let bench = bench();
    let log = Log::default();
    let (csq, queue) = csq(&bench, &log);
    let context = DriverPtr::<IoCsqIrpContext>::new(bench.variable(24));
    bench.on_thread(move |kernel| {
        let (first, second) = (current_irp(kernel)?, current_irp(kernel)?);
        kernel.io_csq_insert_irp(csq, first, DriverPtr::NULL)?;
        kernel.io_csq_insert_irp(csq, second, context)?;
        assert_eq!(kernel.io_csq_remove_irp(csq, context)?, second);
        assert_eq!(kernel.io_csq_remove_irp(csq, context)?, 0);
        assert_eq!(kernel.io_csq_remove_next_irp(csq, 0)?, first);
        assert_eq!(kernel.io_csq_remove_next_irp(csq, 0)?, 0);
        assert_eq!(
            kernel.read(at!(DriverPtr::<Irp>::new(first), Irp, cancel_routine))?,
            0
        );
        assert_eq!(kernel.irql().0, 0);
        Ok(())
    });
    assert!(queue.borrow().is_empty());
    assert_eq!(log.take(), ["insert", "insert", "remove", "remove"]);
}

#[test]
fn a_cancelled_request_leaves_the_cancel_safe_queue() {
    let bench = bench();
    let log = Log::default();
    let (csq, queue) = csq(&bench, &log);
    bench.on_thread(move |kernel| {
        let (early, late) = (current_irp(kernel)?, current_irp(kernel)?);
        kernel.io_cancel_irp(early)?;
        kernel.io_csq_insert_irp(csq, early, DriverPtr::NULL)?;
        kernel.io_csq_insert_irp(csq, late, DriverPtr::NULL)?;
        assert_eq!(kernel.io_cancel_irp(late)?, 1);
        assert_eq!(kernel.irql().0, 0);
        Ok(())
    });
    assert!(queue.borrow().is_empty());
    assert_eq!(
        log.take(),
        [
            "insert",
            "remove",
            "complete cancelled",
            "insert",
            "remove",
            "complete cancelled"
        ]
    );
    assert!(bench.rules().is_empty());
}

#[test]
fn a_request_that_an_extended_queue_refuses_is_not_pending() {
    let bench = bench();
    let (csq, _) = csq(&bench, &Log::default());
    let refuse = bench.routine(|_, _| Ok(NtStatus::DEVICE_NOT_READY.0 as u32 as u64));
    bench.on_thread(move |kernel| {
        let mut body = kernel.read(csq)?;
        body.type_ = dirql_abi::io::csq_type::IO_TYPE_CSQ_EX;
        body.csq_insert_irp = refuse;
        kernel.write(csq, body)?;
        let irp = current_irp(kernel)?;
        let status = kernel.io_csq_insert_irp_ex(csq, irp, DriverPtr::NULL, 0)?;
        assert_eq!(status, NtStatus::DEVICE_NOT_READY);
        let pointer = DriverPtr::<Irp>::new(irp);
        assert_eq!(kernel.read(at!(pointer, Irp, cancel_routine))?, 0);
        assert_eq!(super::stack(kernel, irp)?.control, 0);
        assert_eq!(kernel.irql().0, 0);
        Ok(())
    });
}

#[test]
fn a_remove_lock_waits_for_its_last_holder() {
    let bench = bench();
    let log = Log::default();
    let lock = DriverPtr::<IoRemoveLock>::new(bench.variable(32));
    let (remover, holder) = (log.clone(), log.clone());
    bench
        .kernel
        .io_initialize_remove_lock_ex(lock)
        .expect("a variable");
    assert_eq!(
        bench.kernel.io_acquire_remove_lock_ex(lock, 1),
        Ok(NtStatus::SUCCESS)
    );
    let body = move |kernel: &Kernel| {
        kernel.io_acquire_remove_lock_ex(lock, 2)?;
        kernel.io_release_remove_lock_and_wait_ex(lock, 2)?;
        remover.add("removed");
        Ok(())
    };
    bench.kernel.spawn_thread(
        "remover",
        8,
        ThreadBody::Native(alloc::boxed::Box::new(body)),
    );
    bench.kernel.run_until_idle();
    assert!(log.take().is_empty());
    bench.on_thread(move |kernel| {
        assert_eq!(
            kernel.io_acquire_remove_lock_ex(lock, 3)?,
            NtStatus::DELETE_PENDING
        );
        holder.add("released");
        kernel.io_release_remove_lock_ex(lock, 1)
    });
    assert_eq!(log.take(), ["released", "removed"]);
    assert!(bench.rules().is_empty());
}

#[test]
fn a_remove_lock_that_nobody_holds_does_not_wait() {
    let bench = bench();
    let lock = DriverPtr::<IoRemoveLock>::new(bench.variable(32));
    bench
        .kernel
        .io_initialize_remove_lock_ex(lock)
        .expect("a variable");
    bench.on_thread(move |kernel| {
        kernel.io_acquire_remove_lock_ex(lock, 0)?;
        kernel.io_release_remove_lock_and_wait_ex(lock, 0)
    });
    assert!(bench.rules().is_empty());
}

#[test]
fn tags_of_a_remove_lock_are_paired() {
    let bench = bench();
    let kernel = &bench.kernel;
    let lock = DriverPtr::<IoRemoveLock>::new(bench.variable(32));
    kernel
        .io_acquire_remove_lock_ex(lock, 1)
        .expect("a variable");
    assert_eq!(bench.rules(), [ids::REMOVE_LOCK], "not initialised");
    kernel
        .io_initialize_remove_lock_ex(lock)
        .expect("a variable");
    kernel
        .io_acquire_remove_lock_ex(lock, 1)
        .expect("a variable");
    kernel
        .io_release_remove_lock_ex(lock, 2)
        .expect("a variable");
    let findings = kernel.findings();
    assert_eq!((findings.len(), findings[1].earlier.is_some()), (2, true));
    kernel
        .io_release_remove_lock_ex(lock, 1)
        .expect("a variable");
    kernel
        .io_release_remove_lock_ex(lock, 1)
        .expect("a variable");
    assert_eq!(bench.rules().len(), 3, "nobody holds it");
}

#[test]
fn an_idle_queue_has_nothing_to_be_removed_by_key() {
    let bench = bench();
    let kernel = &bench.kernel;
    let queue = DriverPtr::<KDeviceQueue>::new(bench.variable(40));
    let entry = entries(&bench, 2);
    kernel
        .ke_initialize_device_queue(queue)
        .expect("a variable");
    let remove = || kernel.ke_remove_by_key_device_queue_if_busy(queue, 0);
    assert_eq!(remove(), Ok(Entry::NULL));
    for one in &entry[..2] {
        kernel
            .ke_insert_device_queue(queue, *one)
            .expect("variables");
    }
    assert_eq!(remove(), Ok(entry[1]));
    assert_eq!(remove(), Ok(Entry::NULL));
    assert_eq!(kernel.read(at!(queue, KDeviceQueue, busy)), Ok(0));
}
