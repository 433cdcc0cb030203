//! Asynchronous procedure calls and alerts.

use alloc::boxed::Box;
use alloc::format;

use dirql_abi::dispatcher::KEvent;
use dirql_abi::processor::KApc;
use dirql_abi::{Irql, NtStatus};
use dirql_rules::BugCheck;

use super::{others, stops};
use crate::hal::testing::Rig;
use crate::ke::{ApcRequest, ThreadBody, ThreadId, WaitMode};
use crate::stop::Ddi;
use crate::{DriverPtr, Kernel, Outcome, Stop};

const USER: u8 = 1;

/// A computer whose APCs write down that they ran.
struct Apcs {
    rig: Rig,
    kernel_routine: u64,
    normal_routine: u64,
}

impl Apcs {
    fn new(processors: u16) -> Self {
        let rig = Rig::new(processors);
        let log = rig.log.clone();
        let kernel_routine = rig.bench.routine(move |kernel, arguments| {
            let [apc, normal, context, one, two] = arguments else {
                panic!("{arguments:?}")
            };
            let read = |at: &u64| kernel.read(DriverPtr::<u64>::new(*at));
            let inserted = crate::at!(DriverPtr::<KApc>::new(*apc), KApc, inserted);
            assert_eq!(kernel.read(inserted)?, 0);
            let name = if read(normal)? == 0 {
                "special"
            } else {
                "kernel"
            };
            assert_eq!(kernel.irql(), Irql::APC);
            log.add(format!("{name} {} {}", read(one)?, read(two)?));
            kernel.write(DriverPtr::new(*context), 7_u64)?;
            Ok(0)
        });
        let log = rig.log.clone();
        let normal_routine = rig.bench.routine(move |kernel, arguments| {
            assert_eq!(kernel.irql(), Irql::PASSIVE);
            log.add(format!("normal {arguments:?}"));
            Ok(0)
        });
        Self {
            rig,
            kernel_routine,
            normal_routine,
        }
    }

    fn apc(&self, kthread: u64, normal_routine: u64, mode: u8) -> DriverPtr<KApc> {
        let apc = DriverPtr::new(self.rig.bench.variable(size_of::<KApc>() as u64));
        let request = self.request(kthread, normal_routine, mode);
        self.rig.kernel().ke_initialize_apc(apc, request).unwrap();
        apc
    }

    fn request(&self, thread: u64, normal_routine: u64, mode: u8) -> ApcRequest {
        ApcRequest {
            thread,
            environment: 0,
            kernel_routine: self.kernel_routine,
            rundown_routine: 0,
            normal_routine,
            mode,
            normal_context: 5,
        }
    }

    fn special(&self, kthread: u64) -> DriverPtr<KApc> {
        self.apc(kthread, 0, 0)
    }

    fn normal(&self, kthread: u64) -> DriverPtr<KApc> {
        self.apc(kthread, self.normal_routine, 0)
    }

    fn event(&self) -> DriverPtr<KEvent> {
        let event = DriverPtr::new(self.rig.bench.variable(24));
        self.rig.kernel().ke_initialize_event(event, 1, 0).unwrap();
        event
    }

    fn spawn(&self, body: impl FnOnce(&Kernel) -> Ddi<()> + 'static) -> ThreadId {
        let body = ThreadBody::Native(Box::new(body));
        self.rig.kernel().spawn_thread("target", 8, body)
    }

    /// Runs `body` on a thread with a special and a normal APC for that thread, which the
    /// routine of the thread queues.
    fn on_thread(
        self,
        body: impl FnOnce(
            &Kernel,
            DriverPtr<KApc>,
            DriverPtr<KApc>,
            &crate::hal::testing::Log,
        ) -> Ddi<()>
        + 'static,
    ) -> alloc::vec::Vec<alloc::string::String> {
        let (log, apcs) = (self.rig.log.clone(), self);
        let bench_log = log.clone();
        let rig_log = log.clone();
        let request = apcs.request(0, 0, 0);
        let normal_routine = apcs.normal_routine;
        let places = [
            apcs.rig.bench.variable(size_of::<KApc>() as u64),
            apcs.rig.bench.variable(size_of::<KApc>() as u64),
        ]
        .map(DriverPtr::<KApc>::new);
        apcs.rig.bench.on_thread(move |kernel| {
            let thread = kernel.current_kthread();
            let special = ApcRequest { thread, ..request };
            kernel.ke_initialize_apc(places[0], special)?;
            let normal = ApcRequest {
                normal_routine,
                ..special
            };
            kernel.ke_initialize_apc(places[1], normal)?;
            body(kernel, places[0], places[1], &bench_log)
        });
        rig_log.take()
    }
}

/// As a driver calls it: what may run by then has run when it returns.
fn insert(kernel: &Kernel, apc: DriverPtr<KApc>, number: u64) -> Ddi<u8> {
    kernel.ddi("KeInsertQueueApc", None, |kernel| {
        kernel.ke_insert_queue_apc(apc, number, 2, 0)
    })
}

fn leave(kernel: &Kernel, region: fn(&Kernel) -> Ddi<()>) -> Ddi<u8> {
    kernel.ddi("KeLeave", None, |kernel| region(kernel).map(|()| 0))
}

#[test]
fn an_apc_for_the_caller_runs_before_it_is_queued_for_good() {
    let ran = Apcs::new(1).on_thread(|kernel, special, normal, log| {
        assert_eq!(insert(kernel, normal, 1)?, 1);
        log.add("after");
        assert_eq!(insert(kernel, special, 3)?, 1);
        assert_eq!(kernel.irql(), Irql::PASSIVE);
        Ok(())
    });
    // The kernel routine has changed the context.
    let expected = ["kernel 1 2", "normal [7, 1, 2]", "after", "special 3 2"];
    assert_eq!(ran, expected);
}

#[test]
fn at_apc_level_all_are_held_back_and_special_ones_come_first() {
    let ran = Apcs::new(1).on_thread(|kernel, special, normal, log| {
        kernel.raise_irql(Irql::APC);
        assert_eq!(insert(kernel, normal, 1)?, 1);
        assert_eq!(insert(kernel, normal, 1)?, 0, "it is queued already");
        assert_eq!(insert(kernel, special, 3)?, 1);
        log.add("held back");
        kernel.lower_irql(Irql::PASSIVE)
    });
    let expected = ["held back", "special 3 2", "kernel 1 2", "normal [7, 1, 2]"];
    assert_eq!(ran, expected);
}

#[test]
fn a_critical_region_holds_normal_apcs_back_and_a_guarded_one_all() {
    let ran = Apcs::new(1).on_thread(|kernel, special, normal, log| {
        kernel.ke_enter_critical_region()?;
        insert(kernel, normal, 1)?;
        insert(kernel, special, 3)?;
        log.add("critical");
        kernel.ke_enter_guarded_region()?;
        insert(kernel, special, 4)?;
        log.add("guarded");
        leave(kernel, Kernel::ke_leave_critical_region)?;
        log.add("still guarded");
        leave(kernel, Kernel::ke_leave_guarded_region)?;
        Ok(())
    });
    let expected = [
        "special 3 2",
        "critical",
        "guarded",
        "still guarded",
        "special 4 2",
        "kernel 1 2",
        "normal [7, 1, 2]",
    ];
    assert_eq!(ran, expected);
}

/// A normal routine is not interrupted by another one; a special APC comes in between.
#[test]
fn normal_routines_do_not_nest() {
    let mut apcs = Apcs::new(1);
    let places = [0, 1].map(|_| DriverPtr::<KApc>::new(apcs.rig.bench.variable(88)));
    let (log, ordinary) = (apcs.rig.log.clone(), apcs.normal_routine);
    let [inner_normal, inner_special] = places;
    apcs.normal_routine = apcs.rig.bench.routine(move |kernel, _| {
        log.add("begins");
        insert(kernel, inner_normal, 10)?;
        insert(kernel, inner_special, 11)?;
        log.add("ends");
        Ok(0)
    });
    let request = apcs.request(0, 0, 0);
    let ran = apcs.on_thread(move |kernel, _, normal, _| {
        let thread = kernel.current_kthread();
        let special = ApcRequest { thread, ..request };
        kernel.ke_initialize_apc(inner_special, special)?;
        let normal_routine = ordinary;
        kernel.ke_initialize_apc(
            inner_normal,
            ApcRequest {
                normal_routine,
                ..special
            },
        )?;
        insert(kernel, normal, 1)?;
        Ok(())
    });
    let expected = [
        "kernel 1 2",
        "begins",
        "special 11 2",
        "ends",
        "kernel 10 2",
        "normal [7, 10, 2]",
    ];
    assert_eq!(ran, expected);
}

/// A thread that waits at PASSIVE_LEVEL runs the APC and waits on, with the time that is left.
#[test]
fn a_thread_that_waits_is_woken_for_an_apc_and_waits_again() {
    let apcs = Apcs::new(2);
    let (event, log) = (apcs.event(), apcs.rig.log.clone());
    let timeout = DriverPtr::new(apcs.rig.bench.variable(8));
    apcs.rig.kernel().write(timeout, -10_000_i64).unwrap();
    let target = apcs.spawn(move |kernel| {
        let begin = kernel.time_100ns();
        let object = event.address();
        let status = kernel.ke_wait_for_single_object(object, 0, 0, 0, timeout)?;
        // Had it begun anew after the APC, it would be 15,000.
        assert!(kernel.time_100ns() - begin < 12_500);
        log.add(format!("{status:?}"));
        let status = kernel.ke_wait_for_single_object(object, 0, 0, 0, DriverPtr::NULL)?;
        log.add(format!("{status:?}"));
        kernel.ke_delay_execution_thread(WaitMode::KERNEL, timeout)?;
        log.add("delayed");
        Ok(())
    });
    let kthread = apcs.rig.kernel().kthread_of(target);
    let (special, normal) = (apcs.special(kthread), apcs.normal(kthread));
    apcs.rig.bench.on_thread(move |kernel| {
        kernel.ke_stall_execution_processor(500)?;
        insert(kernel, special, 1)?;
        kernel.ke_stall_execution_processor(600)?;
        others(kernel)?;
        insert(kernel, normal, 2)?;
        others(kernel)?;
        kernel.ke_set_event(event, 0, 0)?;
        others(kernel)?;
        insert(kernel, special, 3)?;
        Ok(())
    });
    apcs.rig.run();
    let expected = [
        "special 1 2",
        "STATUS_TIMEOUT (0x00000102)",
        "kernel 2 2",
        "normal [7, 2, 2]",
        "STATUS_SUCCESS (0x00000000)",
        "special 3 2",
        "delayed",
    ];
    assert_eq!(apcs.rig.log.take(), expected);
}

/// One that waits at APC_LEVEL, as with a fast mutex, is not.
#[test]
fn a_thread_that_waits_at_apc_level_is_left_alone() {
    let apcs = Apcs::new(2);
    let (event, log) = (apcs.event(), apcs.rig.log.clone());
    let target = apcs.spawn(move |kernel| {
        kernel.raise_irql(Irql::APC);
        kernel.wait_for(event.address(), None)?;
        log.add("waited");
        kernel.lower_irql(Irql::PASSIVE)
    });
    let special = apcs.special(apcs.rig.kernel().kthread_of(target));
    apcs.rig.bench.on_thread(move |kernel| {
        others(kernel)?;
        insert(kernel, special, 1)?;
        others(kernel)?;
        kernel.ke_set_event(event, 0, 0).map(|_| ())
    });
    apcs.rig.run();
    assert_eq!(apcs.rig.log.take(), ["waited", "special 1 2"]);
}

#[test]
fn a_thread_that_runs_elsewhere_or_has_not_begun_gets_its_apc() {
    let apcs = Apcs::new(2);
    let done = apcs.event();
    let log = apcs.rig.log.clone();
    let target = apcs.spawn(move |kernel| {
        log.add("begins");
        while kernel.ke_read_state_event(done)? == 0 {
            others(kernel)?;
        }
        Ok(())
    });
    let special = apcs.special(apcs.rig.kernel().kthread_of(target));
    insert(apcs.rig.kernel(), special, 1).unwrap();
    apcs.rig.bench.on_thread(move |kernel| {
        others(kernel)?;
        insert(kernel, special, 2)?;
        others(kernel)?;
        kernel.ke_set_event(done, 0, 0).map(|_| ())
    });
    apcs.rig.run();
    let expected = ["special 1 2", "begins", "special 2 2"];
    assert_eq!(apcs.rig.log.take(), expected);
    assert_eq!(insert(apcs.rig.kernel(), special, 3), Ok(0), "it has ended");
}

#[test]
fn a_thread_does_not_end_with_apcs_that_are_disabled() {
    let apcs = Apcs::new(1);
    let place = DriverPtr::<KApc>::new(apcs.rig.bench.variable(88));
    let request = apcs.request(0, apcs.normal_routine, 0);
    let stop = stops(&apcs.rig, move |kernel| {
        let thread = kernel.current_kthread();
        kernel.ke_initialize_apc(place, ApcRequest { thread, ..request })?;
        kernel.ke_enter_critical_region()?;
        insert(kernel, place, 1)?;
        kernel
            .ps_terminate_system_thread(NtStatus::SUCCESS)
            .map(|_| ())
    });
    let Stop::BugCheck(BugCheck {
        code, parameters, ..
    }) = stop
    else {
        panic!("{stop:?}")
    };
    assert_eq!(
        (code, parameters[0], parameters[1]),
        (0x20, place.address(), 0xFFFF)
    );
}

#[test]
fn an_apc_that_is_queued_is_not_initialised_again() {
    let apcs = Apcs::new(1);
    let request = apcs.request(0, 0, 0);
    let place = DriverPtr::<KApc>::new(apcs.rig.bench.variable(88));
    apcs.rig.bench.on_thread(move |kernel| {
        let thread = kernel.current_kthread();
        let request = ApcRequest { thread, ..request };
        kernel.ke_initialize_apc(place, request)?;
        kernel.raise_irql(Irql::APC);
        insert(kernel, place, 1)?;
        kernel.ke_initialize_apc(place, request)?;
        kernel.lower_irql(Irql::PASSIVE)?;
        kernel.ke_initialize_apc(place, request)
    });
    assert_eq!(apcs.rig.findings(), [536]);
}

#[test]
fn an_apc_that_is_queued_is_not_freed() {
    let apcs = Apcs::new(1);
    let request = apcs.request(0, 0, 0);
    apcs.rig.bench.on_thread(move |kernel| {
        let block = kernel.pool_allocate(0, 88, 1)?;
        let thread = kernel.current_kthread();
        let apc = DriverPtr::<KApc>::new(block);
        kernel.ke_initialize_apc(apc, ApcRequest { thread, ..request })?;
        kernel.raise_irql(Irql::APC);
        insert(kernel, apc, 1)?;
        kernel.ex_free_pool(block)
    });
    assert_eq!(apcs.rig.findings()[0], 535);
}

#[test]
fn a_user_apc_ends_alertable_waits_and_is_run_down_with_its_thread() {
    let apcs = Apcs::new(1);
    let (event, log) = (apcs.event(), apcs.rig.log.clone());
    let rundown_log = apcs.rig.log.clone();
    let rundown_routine = apcs.rig.bench.routine(move |_, arguments| {
        assert_eq!(arguments.len(), 1);
        rundown_log.add("run down");
        Ok(0)
    });
    let target = apcs.spawn(move |kernel| {
        let wait = |mode, alertable| {
            kernel.ke_wait_for_single_object(event.address(), 0, mode, alertable, DriverPtr::NULL)
        };
        log.add(format!("{:?}", wait(USER, 1)?));
        // It has been told once, so that every wait in user mode ends.
        log.add(format!("{:?}", wait(USER, 0)?));
        log.add(format!("{:?}", wait(0, 1)?));
        Ok(())
    });
    let kthread = apcs.rig.kernel().kthread_of(target);
    let apc = DriverPtr::<KApc>::new(apcs.rig.bench.variable(88));
    let request = ApcRequest {
        rundown_routine,
        ..apcs.request(kthread, 0x1_0000, USER)
    };
    apcs.rig.kernel().ke_initialize_apc(apc, request).unwrap();
    apcs.rig.run();
    apcs.rig.bench.on_thread(move |kernel| {
        insert(kernel, apc, 1)?;
        others(kernel)?;
        kernel.ke_set_event(event, 0, 0).map(|_| ())
    });
    apcs.rig.run();
    let expected = [
        "STATUS_USER_APC (0x000000C0)",
        "STATUS_USER_APC (0x000000C0)",
        "STATUS_SUCCESS (0x00000000)",
        "run down",
    ];
    assert_eq!(apcs.rig.log.take(), expected);
}

#[test]
fn an_alert_ends_an_alertable_wait_or_the_next_one() {
    let apcs = Apcs::new(1);
    let (event, log) = (apcs.event(), apcs.rig.log.clone());
    let interval = DriverPtr::new(apcs.rig.bench.variable(8));
    apcs.rig.kernel().write(interval, -10_000_i64).unwrap();
    let target = apcs.spawn(move |kernel| {
        let object = event.address();
        let status = kernel.ke_wait_for_single_object(object, 0, 0, 1, DriverPtr::NULL)?;
        log.add(format!("{status:?}"));
        assert_eq!(kernel.ke_alert_thread(kernel.current_kthread(), 0)?, 0);
        assert_eq!(kernel.ke_alert_thread(kernel.current_kthread(), 0)?, 1);
        let status = kernel.ke_delay_execution_thread(WaitMode::KERNEL, interval)?;
        assert_eq!(status, NtStatus::SUCCESS, "it is not alertable");
        let status = kernel.ke_delay_execution_thread(WaitMode::new(0, 1), interval)?;
        log.add(format!("{status:?}"));
        assert_eq!(kernel.ke_test_alert_thread(0)?, 0);
        kernel.ke_alert_thread(kernel.current_kthread(), USER)?;
        assert_eq!(kernel.ke_test_alert_thread(USER)?, 1);
        assert_eq!(kernel.ke_test_alert_thread(USER)?, 0);
        Ok(())
    });
    apcs.rig.run();
    let kthread = apcs.rig.kernel().kthread_of(target);
    apcs.rig.bench.on_thread(move |kernel| {
        // A wait in kernel mode is for alerts of kernel mode.
        kernel.ke_alert_thread(kthread, USER)?;
        others(kernel)?;
        kernel.ke_alert_thread(kthread, 0).map(|_| ())
    });
    apcs.rig.run();
    let alerted = "STATUS_ALERTED (0x00000101)";
    assert_eq!(apcs.rig.log.take(), [alerted, alerted]);
    assert_eq!(apcs.rig.kernel().outcome(), None::<Outcome>);
}
