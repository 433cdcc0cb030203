use std::sync::mpsc;

use super::*;
use dirql_kernel::mm::layout::{NONPAGED_POOL, SYSTEM};

const PLACE: u64 = NONPAGED_POOL.start + 0x10_0000;

fn bad(address: u64, write: bool) -> Result<(), BadAddress> {
    Err(BadAddress { address, write })
}

fn word(space: &AddressSpace, address: u64) -> Result<u64, BadAddress> {
    let mut bytes = [0; 8];
    space.read(address, &mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

#[test]
fn what_is_written_is_read_at_every_length() {
    let space = AddressSpace::take().unwrap();
    space.protect(PLACE..PLACE + 0x1000, Access::ReadWrite);
    let pattern: Vec<u8> = (0..600_u32).map(|n| (n * 7 + 1) as u8).collect();
    for length in (0..20).chain([31, 32, 33, 63, 64, 255, 256, 257, 600]) {
        space.write(PLACE + 3, &vec![0; 601]).unwrap();
        space.write(PLACE + 3, &pattern[..length]).unwrap();
        let mut back = vec![0xAA; length + 1];
        space.read(PLACE + 3, &mut back).unwrap();
        assert_eq!(back[..length], pattern[..length], "{length} bytes");
        assert_eq!(back[length], 0, "nothing behind {length} bytes");
    }
}

#[test]
fn the_first_byte_that_is_not_memory_is_named() {
    let space = AddressSpace::take().unwrap();
    space.protect(PLACE..PLACE + 0x1000, Access::ReadWrite);
    let end = PLACE + 0x1000;
    for length in [1, 2, 4, 8, 24, 255, 256, 257, 4000] {
        let mut bytes = vec![0; length];
        assert_eq!(
            space.read(end - length as u64, &mut bytes),
            Ok(()),
            "{length} bytes to the end"
        );
        assert_eq!(
            space.write(end - length as u64, &bytes),
            Ok(()),
            "{length} bytes to the end"
        );
        assert_eq!(
            space.read(end - length as u64 + 1, &mut bytes),
            bad(end, false),
            "{length} bytes past the end"
        );
        assert_eq!(
            space.write(end - length as u64 + 1, &bytes),
            bad(end, true),
            "{length} bytes past the end"
        );
        assert_eq!(
            space.read(PLACE - 1, &mut bytes),
            bad(PLACE - 1, false),
            "{length} bytes from before"
        );
    }
}

#[test]
fn read_only_memory_can_be_read() {
    let space = AddressSpace::take().unwrap();
    space.protect(PLACE..PLACE + 0x1000, Access::ReadWrite);
    space.write(PLACE, &7_u64.to_le_bytes()).unwrap();
    for access in [Access::Read, Access::ReadExecute] {
        space.protect(PLACE..PLACE + 0x1000, access);
        assert_eq!(word(&space, PLACE), Ok(7));
        assert_eq!(space.write(PLACE + 8, &[1]), bad(PLACE + 8, true));
    }
    space.protect(PLACE..PLACE + 0x1000, Access::None);
    assert_eq!(
        word(&space, PLACE),
        Err(BadAddress {
            address: PLACE,
            write: false
        })
    );
    space.protect(PLACE..PLACE + 0x1000, Access::ReadWrite);
    assert_eq!(
        word(&space, PLACE),
        Ok(7),
        "an access that was taken away does not lose the bytes"
    );
}

#[test]
fn what_is_not_memory_is_refused_without_touching_it() {
    let space = AddressSpace::take().unwrap();
    let mut bytes = [0; 8];
    let device = PHYSICAL_WINDOW + DEVICE_PHYSICAL;
    let here = std::ptr::from_ref(&bytes).addr() as u64;
    for address in [
        0,
        1,
        device,
        device + 0x1000,
        layout::SHARED_DATA,
        u64::MAX,
        1 << 47,
        here,
        USER.end,
    ] {
        assert_eq!(
            space.read(address, &mut bytes),
            bad(address, false),
            "{address:#x}"
        );
        assert_eq!(
            space.write(address, &bytes),
            bad(address, true),
            "{address:#x}"
        );
    }
    assert_eq!(space.read(RAM.end - 4, &mut bytes), bad(RAM.end, false));
    assert_eq!(space.read(0, &mut []), Ok(()), "no byte of nothing is bad");
}

#[test]
fn the_process_is_memory_for_an_in_process_driver_only() {
    let space = AddressSpace::take().unwrap();
    let value = 0x1122_3344_5566_7788_u64;
    let here = std::ptr::from_ref(&value).addr() as u64;
    assert!(word(&space, here).is_err());
    space.allow_process_memory();
    assert_eq!(word(&space, here), Ok(value));
    assert!(word(&space, 8).is_err(), "null is still null");
    assert!(word(&space, layout::SHARED_DATA).is_err());
    assert!(
        word(&space, PHYSICAL_WINDOW + DEVICE_PHYSICAL).is_err(),
        "devices are still devices"
    );
}

#[test]
fn discarded_pages_are_gone_and_zero_afterwards() {
    let space = AddressSpace::take().unwrap();
    let region = PLACE..PLACE + 0x3000;
    space.protect(region.clone(), Access::ReadWrite);
    space.write(PLACE + 0x1000, &[9; 8]).unwrap();
    space.discard(PLACE + 0x1000..PLACE + 0x2000);
    assert!(word(&space, PLACE + 0x1000).is_err());
    assert_eq!(space.access(PLACE + 0x1000), Access::None);
    assert_eq!(word(&space, PLACE + 0x2000), Ok(0), "its neighbour stays");
    space.protect(region, Access::ReadWrite);
    assert_eq!(word(&space, PLACE + 0x1000), Ok(0));
}

#[test]
fn the_next_computer_finds_nothing_of_this_one() {
    // Small, large, closed, read-only, and on a stack: each is cleared in its own way.
    let regions = [
        (SYSTEM.start..SYSTEM.start + 0x1000, Access::ReadWrite),
        (
            SYSTEM.start + 0x10_0000..SYSTEM.start + 0x20_0000,
            Access::ReadWrite,
        ),
        (PLACE..PLACE + 0x1000, Access::None),
        (PLACE + 0x1000..PLACE + 0x2000, Access::Read),
        (STACKS.start..STACKS.start + 0x4_0000, Access::ReadWrite),
        (USER.start..USER.start + 0x1000, Access::ReadWriteExecute),
    ];
    let space = AddressSpace::take().unwrap();
    for (region, access) in &regions {
        space.protect(region.clone(), Access::ReadWrite);
        space.write(region.start, &[1; 8]).unwrap();
        space.write(region.end - 8, &[1; 8]).unwrap();
        space.protect(region.clone(), *access);
    }
    drop(space);
    let space = AddressSpace::take().unwrap();
    for (region, _) in &regions {
        assert!(
            word(&space, region.start).is_err(),
            "{region:#x?} is closed"
        );
        space.protect(region.clone(), Access::ReadWrite);
        assert_eq!(
            (word(&space, region.start), word(&space, region.end - 8)),
            (Ok(0), Ok(0)),
            "{region:#x?}"
        );
    }
}

#[test]
fn a_second_computer_in_the_same_thread_is_an_error() {
    let space = AddressSpace::take().unwrap();
    assert_eq!(AddressSpace::take().unwrap_err(), MemoryError::Busy);
    drop(space);
    AddressSpace::take().unwrap();
}

#[test]
fn another_thread_waits_for_its_turn() {
    let (sender, receiver) = mpsc::channel();
    let space = AddressSpace::take().unwrap();
    let other = std::thread::spawn(move || {
        let _space = AddressSpace::take().unwrap();
        sender.send(()).unwrap();
    });
    assert_eq!(receiver.try_recv(), Err(mpsc::TryRecvError::Empty));
    drop(space);
    receiver.recv().unwrap();
    other.join().unwrap();
}

#[test]
#[should_panic(expected = "is not in a window")]
fn a_device_register_is_never_opened() {
    let space = AddressSpace::take().unwrap();
    let device = PHYSICAL_WINDOW + DEVICE_PHYSICAL;
    space.protect(device..device + 0x1000, Access::ReadWrite);
}
