use alloc::format;
use alloc::string::String;

use proptest::prelude::*;
use snapbox::{assert_data_eq, str};

use super::spec::description;
use super::*;
use crate::pci::{Function, Output};

/// Runs steps on a device with three queues: `post Q N`, `take Q N`, `tick Q`, `queue Q` shows
/// requests, completions and how many queues are busy.
fn script(steps: &str) -> String {
    let (mut device, mut text) = (MsixDevice::new(3), String::new());
    for step in steps.split(", ") {
        let mut out = Effects::new();
        let words: Vec<&str> = step.split(' ').collect();
        let number = |index: usize| words[index].parse::<u32>().expect("a number");
        let at = 0x100 + 16 * u64::from(number(1));
        let mut line = String::new();
        match words[0] {
            "post" => device.write(Region(0), at, Width::U32, number(2).into(), &mut out),
            "take" => device.write(Region(0), at + 4, Width::U32, number(2).into(), &mut out),
            "tick" => device.timer(number(1), &mut out),
            "queue" => {
                let [requests, completions, busy] =
                    [at, at + 4, 8].map(|at| device.read(Region(0), at, Width::U32, &mut out));
                line = format!(" {requests} + {completions}, {busy} busy");
            }
            word => panic!("no step {word:?}"),
        }
        for effect in out {
            line += &match effect {
                Effect::Interrupt { source, level } => format!(" {source} {level:?}"),
                Effect::Timer { after_100ns, token } => format!(" timer {token} in {after_100ns}"),
                other => panic!("{other:?}"),
            };
        }
        text += &format!("{step:<8} ->{line}\n");
    }
    text
}

#[test]
fn requests_are_done_later_and_interrupt() {
    assert_data_eq!(
        script(
            "post 1 2, post 1 3, queue 1, tick 1, queue 1, post 1 1, tick 1, take 1 5, take 1 9, queue 1, tick 1"
        ),
        str![[r#"
post 1 2 -> timer 1 in 100
post 1 3 ->
queue 1  -> 5 + 0, 0 busy
tick 1   -> 1 High
queue 1  -> 0 + 5, 1 busy
post 1 1 -> timer 1 in 100
tick 1   -> 1 High
take 1 5 ->
take 1 9 -> 1 Low
queue 1  -> 0 + 0, 0 busy
tick 1   ->

"#]]
    );
}

#[test]
fn queues_are_independent_and_limited() {
    assert_data_eq!(
        script(
            "post 0 0, post 0 1, post 2 1, tick 2, queue 0, queue 2, post 3 1, queue 3, tick 3, tick 65538"
        ),
        str![[r#"
post 0 0 ->
post 0 1 -> timer 0 in 100
post 2 1 -> timer 2 in 100
tick 2   -> 2 High
queue 0  -> 1 + 0, 1 busy
queue 2  -> 0 + 1, 1 busy
post 3 1 ->
queue 3  -> 4294967295 + 4294967295, 1 busy
tick 3   ->
tick 65538 ->

"#]]
    );
}

#[test]
fn each_queue_has_its_message_up_to_2048() {
    let device = Box::new(MsixDevice::new(2048));
    let mut function = Function::new(device, description(2048, None)).expect("valid");
    let mut out = vec![];
    function.write_config(4, Width::U16, 6, &mut out);
    let msix = u16::from(function.config().read8(0x34));
    function.write_config(msix + 2, Width::U16, 0x8000, &mut out);
    for entry in [0u64, 2047] {
        function.write(1, 16 * entry, Width::U64, 0xFEE0_0000, &mut out);
        function.write(1, 16 * entry + 8, Width::U64, 0x40 + (entry & 1), &mut out);
        function.write(0, 0x100 + 16 * entry, Width::U32, 1, &mut out);
        function.timer(entry as u32, &mut out);
    }
    let sent: Vec<(u16, u32)> = out
        .iter()
        .filter_map(|output| match output {
            Output::Message { message, write } => Some((*message, write.data)),
            _ => None,
        })
        .collect();
    assert_eq!(sent, [(0, 0x40), (2047, 0x41)]);
}

#[test]
fn an_interrupt_without_a_completion_leaves_the_source_as_it_is() {
    let (mut device, mut out) = (MsixDevice::new(1), Effects::new());
    let effect = |level| Effect::Interrupt { source: 0, level };
    assert!(device.stimulate(&Stimulus::Interrupt(0), &mut out));
    assert_eq!(out, [effect(Level::High), effect(Level::Low)]);
    device.write(Region(0), 0x100, Width::U32, 1, &mut out);
    device.timer(0, &mut out);
    out.clear();
    assert!(device.stimulate(&Stimulus::Interrupt(0), &mut out));
    assert_eq!(out, [effect(Level::High)]);
}

#[test]
fn other_accesses_do_nothing() {
    let (mut device, mut out) = (MsixDevice::new(1), Effects::new());
    let mut read = |region, at, width| device.read(Region(region), at, width, &mut out);
    assert_eq!(read(0, 0, Width::U32), 0x5849_534D);
    assert_eq!(read(0, 4, Width::U32), 1);
    assert_eq!(read(0, 0, Width::U64), u64::MAX);
    assert_eq!(read(0, 0x108, Width::U32), 0xFFFF_FFFF);
    assert_eq!(read(0, 0x110, Width::U32), 0xFFFF_FFFF);
    assert_eq!(read(0, u64::MAX, Width::U32), 0xFFFF_FFFF);
    assert_eq!(read(1, 0, Width::U32), 0xFFFF_FFFF);
    device.write(Region(0), 0x100, Width::U64, 1, &mut out);
    device.write(Region(1), 0x100, Width::U32, 1, &mut out);
    assert!(!device.stimulate(&Stimulus::Interrupt(1), &mut out));
    assert!(!device.stimulate(&Stimulus::Press, &mut out));
    assert_eq!((device, out), (MsixDevice::new(1), vec![]));
}

proptest! {
    #[test]
    fn any_script_is_repeatable_and_reset_equals_new(
        steps in prop::collection::vec((0u8..4, 0u32..5, any::<u32>()), 0..60)
    ) {
        let mut device = MsixDevice::new(4);
        let mut high = [false; 4];
        for (kind, queue, value) in steps {
            let step = |device: &mut MsixDevice| {
                let (mut out, at) = (Effects::new(), 0x100 + 16 * u64::from(queue));
                let small = value >> (value & 31);
                match kind {
                    0 => device.write(Region(0), at, Width::U32, small.into(), &mut out),
                    1 => device.write(Region(0), at + 4, Width::U32, small.into(), &mut out),
                    2 => device.timer(queue, &mut out),
                    _ => device.write(Region(0), value.into(), Width::U32, 1, &mut out),
                }
                out
            };
            let mut copy = device.clone();
            let (one, other) = (step(&mut device), step(&mut copy));
            prop_assert_eq!(&one, &other);
            prop_assert_eq!(&device, &copy);
            for effect in one {
                if let Effect::Interrupt { source, level } = effect {
                    high[usize::from(source)] = level == Level::High;
                }
            }
            let asserted = device.queues.iter().map(|queue| queue.completions != 0);
            prop_assert!(asserted.eq(high), "a source is high while there are completions");
            prop_assert_eq!(device.busy as usize, high.iter().filter(|&&high| high).count());
        }
        device.reset(&mut Effects::new());
        prop_assert_eq!(device, MsixDevice::new(4));
    }
}
