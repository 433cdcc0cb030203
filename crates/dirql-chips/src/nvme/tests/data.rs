//! Where data is in memory.

use super::host::command;
use super::*;

#[test]
fn a_second_entry_is_a_page_or_a_list() {
    let mut host = Host::ready(1024);
    for (prp1, prp2, blocks, status) in [
        // One page at most: the second entry is not looked at.
        (0x8000, 0xFFF, 8, Status::SUCCESS),
        (0x8E00, 0xFFF, 1, Status::SUCCESS),
        // A page, which must begin where pages begin.
        (0x8E00, 0x9000, 2, Status::SUCCESS),
        (0x8000, 0x9000, 16, Status::SUCCESS),
        (0x8000, 0x9004, 9, Status::PRP_OFFSET),
        (0x8001, 0x9000, 1, Status::PRP_OFFSET),
        (0x8002, 0x9000, 1, Status::PRP_OFFSET),
        (0x8004, 0x9000, 1, Status::SUCCESS),
        // A list, which may begin anywhere at 8 bytes.
        (0x8000, 0x9004, 17, Status::PRP_OFFSET),
        (0x8000, 0xA000, 256, Status::SUCCESS),
        (0x8000, 0xA000, 257, Status::INVALID_FIELD),
    ] {
        for entry in 0..40u64 {
            let page = 0x2_0000 + 0x1000 * entry;
            host.memory[0xA000 + 8 * entry as usize..][..8].copy_from_slice(&page.to_le_bytes());
        }
        let done = host.send(1, command(io::READ, 1, prp1, prp2, [0, 0, blocks - 1]));
        assert_eq!(done.status, status, "{prp1:#x} {prp2:#x} {blocks}");
    }
}

#[test]
fn entries_of_a_list_are_whole_pages() {
    let mut host = Host::ready(1024);
    for (entry, status) in [
        (0x2_0000u64, Status::SUCCESS),
        (0x2_0004, Status::PRP_OFFSET),
    ] {
        host.memory[0xA000..0xA008].copy_from_slice(&entry.to_le_bytes());
        host.memory[0xA008..0xA010].copy_from_slice(&0x3_0000u64.to_le_bytes());
        let done = host.send(1, command(io::WRITE, 1, 0x8000, 0xA000, [0, 0, 16]));
        assert_eq!(done.status, status, "{entry:#x}");
    }
    // The last entry of a page of a list is the next page of it.
    for (next, status) in [(0xB000u64, Status::SUCCESS), (0xB008, Status::PRP_OFFSET)] {
        host.memory[0xAFF8..0xB000].copy_from_slice(&next.to_le_bytes());
        host.memory[0xB000..0xB008].copy_from_slice(&0x2_0000u64.to_le_bytes());
        host.memory[0xB008..0xB010].copy_from_slice(&0x3_0000u64.to_le_bytes());
        let done = host.send(1, command(io::WRITE, 1, 0x8000, 0xAFF8, [0, 0, 16]));
        assert_eq!(done.status, status, "{next:#x}");
    }
}

#[test]
fn data_that_is_not_there_is_an_error() {
    let mut host = Host::ready(1024);
    let beyond = host.memory.len() as u64;
    // The page, and the list.
    for (prp1, prp2, blocks) in [(beyond, 0, 0), (0x8000, beyond, 15), (0x8000, beyond, 16)] {
        let done = host.send(1, command(io::WRITE, 1, prp1, prp2, [0, 0, blocks]));
        assert_eq!(done.status, Status::DATA_TRANSFER, "{prp1:#x} {prp2:#x}");
    }
    assert!(host.nvme.disk.is_empty());
    let done = host.send(1, command(io::FLUSH, 1, 0, 0, [0; 3]));
    assert_eq!(done.status, Status::SUCCESS, "it goes on");
}

#[test]
fn what_was_never_written_is_zeros() {
    let mut host = Host::ready(16);
    host.memory[0x8000..0x8200].fill(0x11);
    host.send(1, command(io::WRITE, 1, 0x8000, 0, [1, 0, 0]));
    host.send(1, command(io::READ, 1, 0x9000, 0, [0, 0, 2]));
    assert_eq!(host.memory[0x9000..0x9200], [0; 512]);
    assert_eq!(host.memory[0x9200..0x9400], [0x11; 512]);
    assert_eq!(host.memory[0x9400..0x9600], [0; 512]);
    assert_eq!(host.memory[0x9600], 0xEE);
}
