use proptest::prelude::*;

use super::*;
use crate::pci::{Function, Output, Outputs, spec as pci};

fn read(device: &mut Ivshmem, offset: u64) -> u64 {
    device.read(Region(0), offset, Width::U32, &mut Effects::new())
}

fn ring(device: &mut Ivshmem, value: u64) -> Effects {
    let mut out = Effects::new();
    device.write(Region(0), register::DOORBELL, Width::U32, value, &mut out);
    out
}

#[test]
fn the_position_is_the_own_id() {
    let mut device = Ivshmem::new(7, 0, 1, 16);
    assert_eq!(read(&mut device, register::POSITION), 7);
    device.write(
        Region(0),
        register::POSITION,
        Width::U32,
        9,
        &mut Effects::new(),
    );
    assert_eq!(read(&mut device, register::POSITION), 7);
    assert_eq!(read(&mut device, register::DOORBELL), 0);
    assert_eq!(read(&mut device, 0x10), 0);
}

#[test]
fn reading_the_status_clears_it_and_nothing_interrupts() {
    let mut device = Ivshmem::new(0, 0, 1, 16);
    let mut out = Effects::new();
    device.write(Region(0), register::MASK, Width::U32, u64::MAX, &mut out);
    device.write(Region(0), register::STATUS, Width::U32, 1, &mut out);
    assert!(out.is_empty());
    assert_eq!(read(&mut device, register::MASK), 0xFFFF_FFFF);
    assert_eq!(read(&mut device, register::STATUS), 1);
    assert_eq!(read(&mut device, register::STATUS), 0);
}

#[test]
fn a_doorbell_reaches_connected_peers_and_their_vectors_only() {
    let mut device = Ivshmem::new(0xFFFE, 2, 3, 16);
    for (value, expected) in [
        (0xFFFE_0002, Some(interrupt(2))),
        (0xFFFE_0003, None),
        (0xFFFF_0000u64, Some(Effect::Output(vec![0, 0, 0xFF, 0xFF]))),
        // IDs have 16 bits.
        (0x0000_0002, Some(Effect::Output(vec![2, 0, 0, 0]))),
        (0x0000_0003, None),
        (0x0001_0000, None),
        (0xFFFD_0000, None),
        (0xFFFE_FFFF, None),
    ] {
        assert_eq!(
            ring(&mut device, value),
            Vec::from_iter(expected),
            "{value:#x}"
        );
    }
    let mut out = Effects::new();
    for width in [Width::U8, Width::U16, Width::U64] {
        device.write(Region(0), register::DOORBELL, width, 0xFFFE_0000, &mut out);
    }
    assert!(out.is_empty());
}

#[test]
fn memory_is_memory_to_its_end() {
    let mut device = Ivshmem::new(0, 0, 1, 16);
    let mut out = Effects::new();
    device.write(Region(2), 8, Width::U64, 0x0807_0605_0403_0201, &mut out);
    assert_eq!(
        device.read(Region(2), 12, Width::U32, &mut out),
        0x0807_0605
    );
    assert_eq!(device.read(Region(2), 15, Width::U8, &mut out), 8);
    assert_eq!(device.read(Region(2), 15, Width::U16, &mut out), 0xFFFF);
    assert_eq!(
        device.read(Region(2), u64::MAX, Width::U64, &mut out),
        u64::MAX
    );
    device.write(Region(2), 9, Width::U64, 0, &mut out);
    device.write(Region(2), u64::MAX, Width::U64, 0, &mut out);
    assert_eq!(device.memory()[8..], [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(device.read(Region(3), 0, Width::U8, &mut out), 0xFF);
}

#[test]
fn a_peer_writes_memory_and_rings() {
    let mut device = Ivshmem::new(0, 0, 2, 4);
    let mut out = Effects::new();
    assert!(device.stimulate(&Stimulus::Receive(b"peers".to_vec()), &mut out));
    assert_eq!(device.memory(), b"peer");
    assert!(device.stimulate(&Stimulus::Interrupt(1), &mut out));
    assert!(!device.stimulate(&Stimulus::Interrupt(2), &mut out));
    assert!(!device.stimulate(&Stimulus::Press, &mut out));
    assert_eq!(out, [interrupt(0), interrupt(1)]);
    device.reset(&mut out);
    assert_eq!(device.memory(), b"peer");
}

/// "There is no way for software to clear the pending bit."
#[test]
fn a_masked_message_stays_pending() {
    let device = Box::new(Ivshmem::new(0, 0, 2, 0x1000));
    let mut function = Function::new(device, spec::description(2, 0x1000)).expect("valid");
    let mut out = Outputs::new();
    let command = pci::command::MEMORY | pci::command::BUS_MASTER;
    function.write_config(pci::offset::COMMAND, Width::U16, command.into(), &mut out);
    function.write_config(0x42, Width::U16, pci::msix::ENABLE.into(), &mut out);
    function.write(1, 0x10, Width::U64, 0xFEE0_0000, &mut out);
    function.write(1, 0x18, Width::U32, 0x51, &mut out);
    out.clear();
    function.write(0, register::DOORBELL, Width::U32, 1, &mut out);
    function.write(0, register::DOORBELL, Width::U32, 1, &mut out);
    assert!(out.is_empty(), "masked");
    assert_eq!(function.read(1, 0x800, Width::U64, &mut out), 2);
    function.write(1, 0x1C, Width::U32, 0, &mut out);
    function.write(0, register::DOORBELL, Width::U32, 1, &mut out);
    let messages = out
        .iter()
        .filter(|output| matches!(output, Output::Message { message: 1, .. }));
    assert_eq!(
        messages.count(),
        2,
        "one that was pending, one that was not"
    );
}

proptest! {
    #[test]
    fn any_access_is_repeatable(
        accesses in prop::collection::vec((0..4u8, 0..0x20u64, 0..4u8, any::<u64>(), any::<bool>()), 0..40)
    ) {
        let mut device = Ivshmem::new(1, 3, 4, 0x18);
        for (region, offset, width, value, write) in accesses {
            let width = Width::from_bytes(1 << width).expect("a width");
            let mut copy = device.clone();
            let (mut one, mut other) = (Effects::new(), Effects::new());
            if write {
                device.write(Region(region), offset, width, value, &mut one);
                copy.write(Region(region), offset, width, value, &mut other);
            } else {
                let read = device.read(Region(region), offset, width, &mut one);
                prop_assert_eq!(read, copy.read(Region(region), offset, width, &mut other));
                prop_assert_eq!(read & !width.ones(), 0);
            }
            prop_assert_eq!(one, other);
            prop_assert_eq!(&device, &copy);
        }
    }
}
