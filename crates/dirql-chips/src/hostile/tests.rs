use super::*;
use crate::edu::Edu;

const AT: (Region, u64) = (Region(0), 0x10);

fn reads(device: &mut Hostile, count: usize) -> (alloc::vec::Vec<u64>, Effects) {
    let mut out = Effects::new();
    let values = (0..count)
        .map(|_| device.read(AT.0, AT.1, Width::U32, &mut out))
        .collect();
    (values, out)
}

#[test]
fn the_same_seed_gives_the_same_answers() {
    let once = |seed| reads(&mut Hostile::new(seed, 2, None), 64);
    assert_eq!(once(7), once(7));
    assert_ne!(once(7).0, once(8).0);
}

#[test]
fn a_reset_begins_anew() {
    let mut device = Hostile::new(3, 1, None);
    let first = reads(&mut device, 32);
    device.reset(&mut Effects::new());
    assert_eq!(reads(&mut device, 32), first);
}

#[test]
fn what_it_reads_fits_the_access() {
    let mut device = Hostile::new(1, 1, None);
    for width in [Width::U8, Width::U16, Width::U32, Width::U64] {
        for offset in 0..64 {
            let value = device.read(Region(5), offset, width, &mut Effects::new());
            assert_eq!(value & !width.ones(), 0);
        }
    }
}

#[test]
fn its_interrupts_are_pulses_of_its_own_sources() {
    let (_, out) = reads(&mut Hostile::new(5, 3, None), 500);
    assert!(!out.is_empty());
    for pair in out.chunks(2) {
        let [
            Effect::Interrupt { source, level },
            Effect::Interrupt {
                source: again,
                level: after,
            },
        ] = pair
        else {
            panic!("{pair:?}")
        };
        assert!(*source < 3 && source == again);
        assert_eq!((*level, *after), (Level::High, Level::Low));
    }
}

#[test]
fn in_front_of_an_honest_device_it_lies_as_often_as_the_seed_says() {
    let identification = u64::from(crate::edu::spec::IDENTIFICATION);
    let truths = |seed| {
        let mut device = Hostile::new(seed, 1, Some(Box::new(Edu::default())));
        let mut out = Effects::new();
        (0..640)
            .filter(|_| device.read(Region(0), 0, Width::U32, &mut out) == identification)
            .count()
    };
    let counts = [truths(0), truths(1), truths(2), truths(3)];
    assert!(counts.is_sorted(), "{counts:?}");
    assert!(counts[0] < 40 && counts[3] > 600, "{counts:?}");
}

#[test]
fn what_an_honest_device_asks_for_later_comes_to_it() {
    use crate::edu::spec::{register, status};
    let mut device = Hostile::new(3, 1, Some(Box::new(Edu::default())));
    let mut out = Effects::new();
    device.write(
        Region(0),
        register::STATUS,
        Width::U32,
        status::INTERRUPT.into(),
        &mut out,
    );
    device.write(Region(0), register::FACTORIAL, Width::U32, 5, &mut out);
    let token = out.iter().find_map(|effect| match effect {
        Effect::Timer { token, .. } if *token != OWN_TIMER => Some(*token),
        _ => None,
    });
    out.clear();
    device.timer(token.expect("the factorial takes a while"), &mut out);
    let interrupts = out.contains(&Effect::Interrupt {
        source: 0,
        level: Level::High,
    });
    assert!(interrupts, "{out:?}");
}
