//! Small runs, written down.

use dirql_chips::Vector;
use dirql_kernel::mm::layout::IMAGES;

use super::*;

const DATA: u64 = 0x5000;
const FLAG: u64 = 0x6000;
const LOCK: u64 = 0x7000;
const OTHER_LOCK: u64 = 0x7100;

/// Code at these places: a load, the sum, a store, at 0, 2 and 5 of each routine.
const ADD: [u8; 7] = [0x8B, 0x01, 0x8D, 0x50, 0x01, 0x89, 0x11];
/// A test, and the store of a constant, at 0 and 3.
const SET: [u8; 9] = [0x83, 0x39, 0x00, 0xC7, 0x01, 0x01, 0x00, 0x00, 0x00];

const ONE: Context = Context::Thread(1);
const TWO: Context = Context::Thread(2);

#[derive(Default)]
struct Run {
    events: Events,
    accesses: Vec<MemoryAccess>,
    setting: bool,
    processors: u16,
}

impl Run {
    fn new() -> Self {
        Self {
            processors: 2,
            ..Self::default()
        }
    }

    /// Threads run on the processor of their number.
    fn processor(context: Context) -> u16 {
        match context {
            Context::Thread(2) => 1,
            _ => 0,
        }
    }

    fn event(&mut self, context: Context, event: Event) -> &mut Self {
        let stamp = Stamp {
            processor: Self::processor(context),
            irql: if matches!(context, Context::Thread(_)) {
                0
            } else {
                6
            },
            context,
            ..Stamp::default()
        };
        self.events.record(stamp, &event);
        self
    }

    fn access(&mut self, context: Context, place: u64, address: u64, kind: &str) -> &mut Self {
        self.accesses.push(MemoryAccess {
            step: 0,
            events: self.events.0.borrow().len() as u64,
            processor: Self::processor(context),
            irql: if matches!(context, Context::Thread(_)) {
                0
            } else {
                6
            },
            context,
            instruction: IMAGES.start + place,
            address,
            bytes: 4,
            reads: kind.contains('r'),
            writes: kind.contains('w'),
            alone: false,
            interlocked: kind.contains('l'),
        });
        self
    }

    /// Reads and writes back the sum.
    fn add(&mut self, context: Context) -> &mut Self {
        self.access(context, 0, DATA, "r")
            .access(context, 5, DATA, "w")
    }

    /// Tests and sets.
    fn set(&mut self, context: Context) -> &mut Self {
        self.setting = true;
        self.access(context, 0, DATA, "r")
            .access(context, 3, DATA, "w")
    }

    fn locked(
        &mut self,
        context: Context,
        lock: u64,
        inside: impl for<'a> FnOnce(&'a mut Self) -> &'a mut Self,
    ) -> &mut Self {
        self.event(context, Event::LockTaken(lock));
        inside(self);
        self.event(context, Event::LockReleased(lock))
    }

    fn isr(&mut self, inside: impl for<'a> FnOnce(&'a mut Self) -> &'a mut Self) -> &mut Self {
        let vector = Vector(0x60);
        self.event(ONE, Event::Delivered(vector));
        inside(self);
        self.event(Context::Isr(0x60), Event::EndOfInterrupt(vector))
    }

    fn found(&self) -> Vec<String> {
        let code = |address: u64| {
            let code: &[u8] = if self.setting { &SET } else { &ADD };
            code.get((address - IMAGES.start) as usize..)
                .unwrap_or_default()
                .to_vec()
        };
        let races = self.events.races(&self.accesses, self.processors, &code);
        races
            .iter()
            .map(|race| format!("{} {}", race.rule, race.message))
            .collect()
    }

    fn is_clean(&self) {
        assert_eq!(self.found(), [""; 0]);
    }
}

/// A list is looked at, and under the lock again an entry leaves it: the look decides nothing.
#[test]
fn what_is_set_under_the_lock_of_everybody_was_not_decided_before_it() {
    let mut run = Run::new();
    run.setting = true;
    run.locked(ONE, LOCK, |run| run.access(ONE, 0, DATA, "r"))
        .locked(ONE, LOCK, |run| run.access(ONE, 3, DATA, "w"))
        .locked(TWO, LOCK, |run| run.set(TWO))
        .is_clean();
}

/// ONE calls a routine after it has changed the value, TWO another one before it does.
fn between(first: &'static str, second: &'static str) -> Vec<String> {
    let caller = IMAGES.start;
    let mut run = Run::new();
    // A thread that is new comes after who has made it.
    let name = "DbgPrint";
    run.event(TWO, Event::DdiEnter { name, caller }).add(ONE);
    for (context, name) in [(ONE, first), (TWO, second)] {
        run.event(context, Event::DdiEnter { name, caller })
            .event(context, Event::DdiLeave { name, result: 0 });
    }
    run.add(TWO).found()
}

#[test]
fn what_is_signalled_comes_before_what_waits_for_it() {
    assert_eq!(between("KeSetEvent", "KeWaitForSingleObject"), [""; 0]);
    assert_eq!(
        between("IofCompleteRequest", "KeWaitForSingleObject"),
        [""; 0]
    );
    assert_eq!(between("ExFreePoolWithTag", "ExAllocatePool2"), [""; 0]);
    assert_eq!(between("IoCsqInsertIrp", "IoCsqRemoveNextIrp"), [""; 0]);
}

#[test]
fn who_only_signals_or_allocates_comes_after_nobody() {
    assert_eq!(between("KeSetEvent", "KeSetEvent").len(), 1);
    assert_eq!(between("IofCompleteRequest", "KeSetEvent").len(), 1);
    assert_eq!(between("IofCompleteRequest", "ExAllocatePool2").len(), 1);
    assert_eq!(
        between("KeWaitForSingleObject", "KeWaitForSingleObject").len(),
        1
    );
    assert_eq!(
        between("ExFreePoolWithTag", "KeWaitForSingleObject").len(),
        1
    );
}

#[test]
fn users_of_a_remove_lock_are_in_no_order() {
    let call = |run: &mut Run, context, name| {
        let caller = IMAGES.start;
        run.event(context, Event::DdiEnter { name, caller })
            .event(context, Event::DdiLeave { name, result: 0 });
    };
    let mut run = Run::new();
    for user in [ONE, TWO] {
        call(&mut run, user, "IoAcquireRemoveLockEx");
        run.add(user);
        call(&mut run, user, "IoReleaseRemoveLockEx");
    }
    assert_eq!(run.found().len(), 1);

    let mut run = Run::new();
    call(&mut run, ONE, "IoAcquireRemoveLockEx");
    run.add(ONE);
    call(&mut run, ONE, "IoReleaseRemoveLockEx");
    call(&mut run, TWO, "IoReleaseRemoveLockAndWaitEx");
    run.add(TWO).is_clean();
}

#[test]
fn two_that_add_without_a_lock_lose_an_update() {
    assert_eq!(
        Run::new().add(ONE).add(TWO).found(),
        [
            "DQ0555 thread 1 reads 4 bytes and writes back what it made of them, and thread 2 can write them in between: neither holds a lock"
        ]
    );
}

#[test]
fn one_lock_keeps_them_apart_and_two_do_not() {
    let mut run = Run::new();
    run.locked(ONE, LOCK, |run| run.add(ONE));
    run.locked(TWO, LOCK, |run| run.add(TWO));
    run.is_clean();
    let mut run = Run::new();
    run.locked(ONE, LOCK, |run| run.add(ONE));
    run.locked(TWO, OTHER_LOCK, |run| run.add(TWO));
    assert!(run.found()[0].ends_with("each holds a lock, and not the same one"));
}

#[test]
fn what_was_read_outside_the_lock_is_lost() {
    let mut run = Run::new();
    run.access(ONE, 0, DATA, "r");
    run.locked(TWO, LOCK, |run| run.add(TWO));
    run.locked(ONE, LOCK, |run| run.access(ONE, 5, DATA, "w"));
    assert!(run.found()[0].starts_with("DQ0555 thread 1 reads"));
}

#[test]
fn what_is_read_again_inside_the_lock_is_not() {
    let mut run = Run::new();
    run.access(ONE, 0, DATA, "r");
    run.locked(TWO, LOCK, |run| run.add(TWO));
    run.locked(ONE, LOCK, |run| run.add(ONE));
    run.is_clean();
}

#[test]
fn interlocked_operations_help_if_all_use_them() {
    let mut run = Run::new();
    run.access(ONE, 0, DATA, "rwl").access(TWO, 0, DATA, "rwl");
    run.is_clean();
    let mut run = Run::new();
    run.add(ONE).access(TWO, 5, DATA, "rwl");
    assert!(run.found()[0].ends_with("thread 2 uses an interlocked operation, thread 1 does not"));
}

#[test]
fn a_flag_that_is_polled_is_none_of_these() {
    let mut run = Run::new();
    run.access(TWO, 0, FLAG, "r")
        .access(ONE, 5, FLAG, "w")
        .access(TWO, 0, FLAG, "r");
    run.is_clean();
}

#[test]
fn a_flag_hands_on_what_was_written_before_it() {
    let mut run = Run::new();
    run.add(ONE)
        .access(ONE, 20, FLAG, "w")
        .access(TWO, 30, FLAG, "r")
        .add(TWO);
    run.is_clean();
    // Nobody has waited for it.
    let mut run = Run::new();
    run.add(ONE).access(ONE, 20, FLAG, "w").add(TWO);
    assert_eq!(run.found().len(), 1);
}

#[test]
fn an_isr_is_not_ordered_with_what_it_interrupts() {
    let isr = Context::Isr(0x60);
    let mut run = Run::new();
    run.add(ONE).isr(|run| run.add(isr)).add(ONE);
    let found = run.found();
    assert!(found[0].starts_with("DQ0555 thread 1 reads"), "{found:?}");
    assert_eq!(found.len(), 1);
}

#[test]
fn connecting_and_the_access_that_makes_it_interrupt_come_before_an_isr() {
    let isr = Context::Isr(0x60);
    let connection = Event::Connection {
        object: 1,
        vector: Vector(0x60),
        connected: true,
    };
    let mut run = Run::new();
    run.add(ONE).event(ONE, connection);
    run.isr(|run| run.add(isr));
    run.is_clean();

    let write = Event::DeviceWrite {
        address: 0x1000,
        port: false,
        width: dirql_chips::Width::U32,
        value: 1,
        instruction: 0,
    };
    let line = Event::Line {
        gsi: 16,
        level: dirql_chips::Level::High,
    };
    let mut run = Run::new();
    run.add(ONE).event(ONE, write).event(ONE, line);
    run.isr(|run| run.add(isr));
    run.is_clean();
}

#[test]
fn queueing_comes_before_the_dpc() {
    let queued = Event::DpcQueued {
        dpc: 0x8000,
        target: 0,
    };
    let enter = Event::DpcEnter {
        dpc: 0x8000,
        routine: IMAGES.start,
    };
    let mut run = Run::new();
    run.add(TWO).event(TWO, queued).event(ONE, enter.clone());
    run.add(Context::Dpc);
    run.is_clean();
    let mut run = Run::new();
    run.add(TWO).event(ONE, enter).add(Context::Dpc);
    assert_eq!(run.found().len(), 1);
}

/// A slot is filled and looked at; another thread ends and frees it under a lock; the next turn takes
/// it under that lock and fills it again.
#[test]
fn what_a_loop_has_written_before_is_not_tested_by_reading_it() {
    let run = |reads_first: bool, lock: bool| {
        let mut run = Run::new();
        if reads_first {
            run.set(ONE);
        } else {
            run.setting = true;
            run.access(ONE, 3, DATA, "w").access(ONE, 0, DATA, "r");
        }
        run.locked(TWO, LOCK, |run| {
            run.access(TWO, 0, DATA, "r").access(TWO, 3 + 6, DATA, "w")
        });
        if lock {
            run.locked(ONE, LOCK, |run| run);
        }
        run.access(ONE, 3, DATA, "w");
        run.found().len()
    };
    assert_eq!(run(false, true), 0);
    // Nobody has handed it over, or it was tested before.
    assert_ne!(run(false, false), 0);
    assert_ne!(run(true, true), 0);
}

#[test]
fn two_that_test_and_set_can_both_have_tested() {
    assert_eq!(
        Run::new().set(ONE).set(TWO).found(),
        [
            "DQ0556 thread 1 tests 4 bytes and sets them, and thread 2 can have done the same in between: neither holds a lock"
        ]
    );
    // Who sets it without a test does not decide anything.
    let mut run = Run::new();
    run.set(ONE).access(TWO, 3, DATA, "w");
    run.is_clean();
}

#[test]
fn words_that_are_written_together_are_read_torn() {
    let writes = |run: &mut Run| {
        run.access(TWO, 40, DATA, "w")
            .access(TWO, 44, DATA + 4, "w");
    };
    let mut run = Run::new();
    run.access(ONE, 0, DATA, "r").access(ONE, 5, DATA + 4, "r");
    writes(&mut run);
    assert_eq!(
        run.found(),
        [
            "DQ0557 thread 1 reads 8 bytes one part after the other, and thread 2 can write both parts in between: neither holds a lock"
        ]
    );
    // Who reads the first one again sees it.
    let mut run = Run::new();
    run.access(ONE, 0, DATA, "r")
        .access(ONE, 5, DATA + 4, "r")
        .access(ONE, 9, DATA, "r");
    writes(&mut run);
    run.is_clean();
    // Who counts the first one up in one step, and looks at a flag beside it, reads no value of both.
    let mut run = Run::new();
    run.access(ONE, 0, DATA, "rwl")
        .access(ONE, 5, DATA + 4, "r");
    writes(&mut run);
    assert!(run.found().iter().all(|found| !found.starts_with("DQ0557")));
    // In the other order the first is a flag for the second.
    let mut run = Run::new();
    run.access(ONE, 0, DATA + 4, "r").access(ONE, 5, DATA, "r");
    writes(&mut run);
    run.is_clean();
    // Far apart they are two values.
    let mut run = Run::new();
    run.access(ONE, 0, DATA, "r")
        .access(ONE, 5, DATA + 0x40, "r");
    run.access(TWO, 40, DATA, "w")
        .access(TWO, 44, DATA + 0x40, "w");
    run.is_clean();
}

#[test]
fn no_interrupt_comes_inside_an_instruction() {
    let isr = Context::Isr(0x60);
    let build = |processors| {
        let mut run = Run::new();
        run.processors = processors;
        run.access(ONE, 0, DATA, "rw");
        run.isr(|run| run.access(isr, 0, DATA, "rw"));
        run.access(ONE, 0, DATA, "rw");
        run
    };
    build(1).is_clean();
    // The thread may run on another processor.
    assert_eq!(build(2).found().len(), 1);
}

#[test]
fn what_an_isr_writes_after_it_has_requested_its_dpc_may_be_missed() {
    const DPC: u64 = 0x9000;
    let (isr, caller) = (Context::Isr(0x60), IMAGES.start + 0x30);
    let request = |run: &mut Run| {
        let name = "KeInsertQueueDpc";
        run.event(isr, Event::DdiEnter { name, caller })
            .event(
                isr,
                Event::DpcQueued {
                    dpc: DPC,
                    target: 0,
                },
            )
            .event(isr, Event::DdiLeave { name, result: 1 });
    };
    let build = |last: bool, locked: bool| {
        let mut run = Run::new();
        run.isr(|run| {
            run.event(isr, Event::LockTaken(LOCK));
            if last {
                run.access(isr, 5, DATA, "w");
            }
            request(run);
            if !last {
                run.access(isr, 5, DATA, "w");
            }
            run.event(isr, Event::LockReleased(LOCK))
        });
        let (dpc, routine) = (Context::Dpc, IMAGES.start);
        run.event(dpc, Event::DpcEnter { dpc: DPC, routine });
        if locked {
            run.locked(dpc, LOCK, |run| run.access(dpc, 0, DATA, "r"));
        } else {
            run.access(dpc, 0, DATA, "r");
        }
        run.event(dpc, Event::DpcLeave { dpc: DPC });
        run
    };
    let found = build(false, false).found();
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("DQ0584"), "{found:?}");
    // In order, and under a lock that the ISR holds.
    build(true, false).is_clean();
    build(false, true).is_clean();
    // On one processor it comes later by itself.
    let mut run = build(false, false);
    run.processors = 1;
    run.is_clean();
}
