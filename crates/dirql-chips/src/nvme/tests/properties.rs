//! What is true of any command and any access.

use proptest::prelude::*;

use super::host::command;
use super::*;

/// Pages of memory that data may be in, and where the list of them is.
const FIRST_PAGE: u64 = 0x40;
const LIST: u64 = 0x1_0000;

/// Lays data of `length` bytes out: `offset` into the first of `pages`, which are then in order.
/// Returns both entries of the command, and where each byte is.
fn lay_out(
    host: &mut Host,
    pages: &[u64],
    offset: u64,
    length: usize,
    list: u64,
) -> (u64, u64, Vec<usize>) {
    let place = |page: u64| (FIRST_PAGE + page) * PAGE;
    let first = place(pages[0]) + offset;
    let bytes = (0..length as u64).map(|index| {
        let at = offset + index;
        (place(pages[(at / PAGE) as usize]) + at % PAGE) as usize
    });
    let bytes: Vec<usize> = bytes.collect();
    let count = (offset + length as u64).div_ceil(PAGE) as usize;
    let second = match count {
        1 => 0xDEAD_BEEF,
        2 => place(pages[1]),
        _ => {
            let mut entries: Vec<u64> = pages[1..count].iter().map(|&page| place(page)).collect();
            let fit = ((PAGE - list % PAGE) / 8) as usize;
            if entries.len() > fit {
                // The next page of the list.
                entries.insert(fit - 1, LIST + PAGE);
            }
            let mut at = LIST + list;
            for (index, entry) in entries.iter().enumerate() {
                if index == fit {
                    at = LIST + PAGE;
                }
                host.memory[at as usize..][..8].copy_from_slice(&entry.to_le_bytes());
                at += 8;
            }
            LIST + list
        }
    };
    (first, second, bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_whatever_the_pages(
        order in Just((0..64u64).collect::<Vec<_>>()).prop_shuffle(),
        offsets in any::<[u16; 2]>(),
        lists in any::<[u16; 2]>(),
        blocks in 1..=240u32,
        first in 0..100u32,
        seed: u8,
    ) {
        let mut host = Host::ready(1024);
        let length = blocks as usize * 512;
        let offsets = offsets.map(|offset| (u64::from(offset) % PAGE) & !3);
        // Often near the end of a page.
        let lists = lists.map(|list| PAGE - 8 - u64::from(list) % 40 * 8);
        let (from, to) = order.split_at(32);
        let (prp1, prp2, bytes) = lay_out(&mut host, from, offsets[0], length, lists[0]);
        for (index, &at) in bytes.iter().enumerate() {
            host.memory[at] = (index as u8).wrapping_mul(31).wrapping_add((index >> 8) as u8) ^ seed;
        }
        let expected: Vec<u8> = bytes.iter().map(|&at| host.memory[at]).collect();
        let done = host.send(1, command(io::WRITE, 1, prp1, prp2, [first, 0, blocks - 1]));
        prop_assert_eq!(done.status, Status::SUCCESS);

        let (prp1, prp2, bytes) = lay_out(&mut host, to, offsets[1], length, lists[1]);
        let untouched = host.memory.clone();
        let done = host.send(1, command(io::READ, 1, prp1, prp2, [first, 0, blocks - 1]));
        prop_assert_eq!(done.status, Status::SUCCESS);
        let read: Vec<u8> = bytes.iter().map(|&at| host.memory[at]).collect();
        prop_assert_eq!(read, expected);
        // Nothing else above the queues was touched.
        let mut rest = host.memory.clone();
        for &at in &bytes {
            rest[at] = untouched[at];
        }
        prop_assert!(rest[0x5000..] == untouched[0x5000..]);
    }

    #[test]
    fn any_accesses_and_any_memory_keep_the_invariants(
        acts in prop::collection::vec(
            (0..5u8, 0..0x20u64, any::<u32>(), prop::collection::vec(any::<u8>(), 64)),
            0..60,
        ),
    ) {
        let mut host = Host::ready(64);
        for (kind, offset, value, bytes) in acts {
            let before = host.clone();
            let act = |host: &mut Host| match kind {
                0 => host.write(offset * 4, value),
                1 => host.write(register::DOORBELLS + offset % 6 * 4, value % 5),
                2 => {
                    let at = 0x1000 + offset as usize * 0x200;
                    host.memory[at..at + 64].copy_from_slice(&bytes);
                }
                // A command that means something, with fields that do not.
                3 => {
                    let at = 0x1000 + (offset as usize % 4) * 64 + (value as usize & 1) * 0x2000;
                    host.memory[at..at + 64].copy_from_slice(&bytes);
                    host.memory[at] %= 0x0D;
                    host.memory[at + 1] = 0;
                    host.memory[at + 4..at + 8].copy_from_slice(&[1, 0, 0, 0]);
                    host.memory[at + 28..at + 32].fill(0);
                    host.memory[at + 36..at + 40].fill(0);
                    host.memory[at + 41..at + 48].fill(0);
                    host.memory[at + 49..at + 52].fill(0);
                }
                _ => { host.tick(); }
            };
            let mut copy = before;
            act(&mut host);
            act(&mut copy);
            prop_assert_eq!(&host.nvme, &copy.nvme);
            for source in 0..2 {
                prop_assert_eq!(host.high[source], host.nvme.asserted >> source & 1 != 0);
            }
        }
        host.run();
        let mut out = Effects::new();
        host.nvme.reset(&mut out);
        host.absorb(out);
        prop_assert_eq!(host.high, [false; 2]);
        let mut expected = Nvme::new(64, 2);
        expected.disk = host.nvme.disk.clone();
        prop_assert_eq!(host.nvme, expected);
    }
}
