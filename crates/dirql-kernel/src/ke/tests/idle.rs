//! Idle strands: which processor takes an interrupt on which.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;

use dirql_chips::{Stimulus, Trigger};

use crate::Kernel;
use crate::hal::testing::{Rig, Started};
use crate::ke::ProcessorId;
use crate::ke::processor::Spin;

/// Less than the stacks of two strands are apart.
const STACK: usize = 0x4000;

/// The strand that a processor is on.
fn strand(kernel: &Kernel, processor: u16) -> u32 {
    let processor = kernel.processor_by_id(ProcessorId(processor)).unwrap();
    processor.strand.get().0
}

/// A device with a line for each processor, whose ISR notes processor and strand, and then does
/// what it is told to. That the strand is the one that runs is seen in its stack.
fn message_each(
    rig: &Rig,
    processors: u16,
    then: impl Fn(&Kernel) -> crate::Ddi<()> + 'static,
) -> Vec<Started> {
    let log = rig.log.clone();
    let stacks = Rc::new(RefCell::new(BTreeMap::new()));
    let isr = rig.bench.routine(move |kernel, _| {
        let id = kernel.processor().id.0;
        let strand = strand(kernel, id);
        log.add(alloc::format!("{id} on {strand}"));
        let here = core::ptr::from_ref(&strand).addr();
        let stack = *stacks.borrow_mut().entry(strand).or_insert(here);
        assert!(stack.abs_diff(here) < STACK, "strand {strand} runs");
        then(kernel)?;
        Ok(1)
    });
    let devices = (0..processors).map(|id| {
        let device = rig.lines(
            &alloc::format!("device {id}"),
            &[(5 + u32::from(id), Trigger::Edge)],
            false,
        );
        let mut arguments = device.arguments(isr);
        arguments.processor_enable_mask = 1 << id;
        assert!(rig.connect(arguments).0.is_success());
        device
    });
    devices.collect()
}

#[test]
fn processors_that_idle_take_turns_on_one_strand() {
    let rig = Rig::new(4);
    let devices = message_each(&rig, 4, |_| Ok(()));
    let last = rig.kernel().ke.idled_last.get();
    let warm = strand(rig.kernel(), last);
    for id in [2, 0, 3, 3, 1] {
        rig.pulse(&devices[id], 0);
        rig.run();
        assert_eq!(rig.log.take(), [alloc::format!("{id} on {warm}")]);
    }
    let mut strands: Vec<u32> = (0..4).map(|id| strand(rig.kernel(), id)).collect();
    strands.sort_unstable();
    assert_eq!(strands, [0, 1, 2, 3], "each has one of its own");
}

#[test]
fn a_processor_that_waits_in_an_isr_keeps_its_strand() {
    let rig = Rig::new(3);
    let word = rig.bench.variable(8);
    let devices = message_each(&rig, 3, move |kernel| {
        if kernel.processor().id.0 != 1 {
            return Ok(());
        }
        // Somebody else's lock: others run until it is free.
        while kernel.read(crate::DriverPtr::<u64>::new(word))? != 0 {
            kernel.spin(Spin::Lock(word))?;
        }
        Ok(())
    });
    rig.kernel()
        .write(crate::DriverPtr::new(word), 1_u64)
        .unwrap();
    let first = devices[1].device;
    let second = devices[2].device;
    rig.kernel().stimulate(first, &Stimulus::Interrupt(0));
    let log = rig.log.clone();
    rig.spawn_on(0, move |kernel| {
        super::until(kernel, || log.len() == 1)?;
        kernel.stimulate(second, &Stimulus::Interrupt(0));
        super::until(kernel, || log.len() == 2)?;
        // What comes as soon as the first has rested.
        kernel.stimulate(second, &Stimulus::Interrupt(0));
        Ok(kernel.write(crate::DriverPtr::new(word), 0_u64)?)
    });
    rig.run();
    let log = rig.log.take();
    let on = |line: &str| line.split(' ').next_back().map(alloc::string::String::from);
    assert!(
        log[0].starts_with("1 on ") && log[1].starts_with("2 on "),
        "{log:?}"
    );
    assert_ne!(on(&log[0]), on(&log[1]));
    for device in &devices {
        rig.pulse(device, 0);
    }
    rig.run();
    assert_eq!(rig.log.len(), 3);
}

#[test]
fn others_are_known_to_sleep_until_one_is_woken() {
    for processors in [1, 2, 63, 64, 65] {
        let rig = Rig::new(processors);
        rig.bench.on_thread(move |kernel| {
            assert!(kernel.first_runnable(1..usize::from(processors)).is_none());
            assert_eq!(kernel.others_sleep(), processors <= 64, "{processors}");
            kernel.wake(ProcessorId(processors - 1));
            assert_eq!(kernel.others_sleep(), processors == 1, "{processors}");
            Ok(())
        });
    }
}
