//! What Identify and Get Log Page answer.
//!
//! Source: NVM Express Base Specification 1.4, "Identify Controller data structure", "Identify
//! Namespace data structure", "SMART / Health Information Log", "Firmware Slot Information Log".

use alloc::vec;
use alloc::vec::Vec;

use super::spec::{BLOCK, MAX_EVENT_REQUESTS, MAX_TRANSFER, VENDOR, VERSION, WARNING_KELVINS};

/// IEEE extended unique identifier of the namespace, in the range for local use.
const EUI64: [u8; 8] = [0x02, 0, 0, 0, 0, 0, 0, 0x01];
/// The only firmware there is.
const FIRMWARE: &[u8; 8] = b"1       ";

/// Bytes of what Identify answers.
const SIZE: usize = 4096;

fn put(data: &mut [u8], at: usize, bytes: &[u8]) {
    data[at..at + bytes.len()].copy_from_slice(bytes);
}

/// "Identify Controller".
pub(super) fn controller() -> Vec<u8> {
    let mut data = vec![0; SIZE];
    put(&mut data, 0, &VENDOR.to_le_bytes());
    put(&mut data, 2, &VENDOR.to_le_bytes());
    put(&mut data, 4, b"1                   ");
    put(&mut data, 24, b"dirql nvme                              ");
    put(&mut data, 64, FIRMWARE);
    data[77] = MAX_TRANSFER;
    put(&mut data, 80, &VERSION.to_le_bytes());
    // An I/O controller.
    data[111] = 1;
    // Limits are less 1.
    data[259] = (MAX_EVENT_REQUESTS - 1) as u8;
    // One firmware slot, read only.
    data[260] = 0x03;
    // Warning and critical temperature, kelvins.
    put(&mut data, 266, &(WARNING_KELVINS as u16).to_le_bytes());
    put(&mut data, 268, &353u16.to_le_bytes());
    // Sizes of queue entries: the least and the most.
    put(&mut data, 512, &[0x66, 0x44]);
    // One namespace.
    put(&mut data, 516, &1u32.to_le_bytes());
    put(
        &mut data,
        768,
        b"nqn.2014-08.org.nvmexpress:uuid:00000000-0000-4000-8000-000000000001",
    );
    data
}

/// "Identify Namespace": one format, of 512 bytes without metadata.
pub(super) fn namespace(blocks: u64) -> Vec<u8> {
    let mut data = vec![0; SIZE];
    for at in [0, 8, 16] {
        put(&mut data, at, &blocks.to_le_bytes());
    }
    put(&mut data, 120, &EUI64);
    data[130] = BLOCK.trailing_zeros() as u8;
    data
}

/// "Active Namespace ID list": those above `after`.
pub(super) fn namespaces(after: u32) -> Vec<u8> {
    let mut data = vec![0; SIZE];
    if after == 0 {
        data[0] = 1;
    }
    data
}

/// "Namespace Identification Descriptor list".
pub(super) fn descriptors() -> Vec<u8> {
    let mut data = vec![0; SIZE];
    put(&mut data, 0, &[1, 8]);
    put(&mut data, 4, &EUI64);
    data
}

/// A log page; `None` if it does not exist. What is asked for beyond its end is zeros.
pub(super) fn log_page(page: u8) -> Option<Vec<u8>> {
    let mut data = vec![0; 512];
    match page {
        // No error was logged.
        0x01 => {}
        0x02 => {
            // 300 kelvins; all of the spare is left, 10 percent are too few.
            put(&mut data, 1, &300u16.to_le_bytes());
            put(&mut data, 3, &[100, 10]);
        }
        0x03 => {
            data[0] = 1;
            put(&mut data, 8, FIRMWARE);
        }
        _ => return None,
    }
    Some(data)
}
