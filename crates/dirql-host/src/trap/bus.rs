//! Accesses of the interrupted instruction, sent to where their addresses lead.
//!
//! A device sees the accesses that a processor would send it: naturally aligned ones of
//! 1, 2, 4 or 8 bytes, in ascending order. What an instruction accesses beyond that is
//! split (Intel SDM volume 3, Guaranteed Atomic Operations; the PCI specification's
//! byte enables are the same split seen from the other side).

use dirql_chips::Width;
use dirql_kernel::mm::layout::{self, PAGE, SHARED_DATA};

use super::fault::{FaultAccess, Trouble};
use super::machine::Machine;

/// What an address leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A device's register, at this physical address.
    Device(u64),
    /// KUSER_SHARED_DATA, at this offset.
    SharedData(u64),
    /// Memory, or nothing.
    Memory,
}

impl Target {
    pub(super) fn of(address: u64) -> Self {
        let shared = address.wrapping_sub(SHARED_DATA);
        if shared < PAGE {
            Self::SharedData(shared)
        } else if layout::DEVICE.contains(&address) {
            layout::physical(address).map_or(Self::Memory, Self::Device)
        } else {
            Self::Memory
        }
    }

    /// Whether accesses fault although the driver may make them.
    pub(super) fn is_carried_out(address: u64) -> bool {
        Self::of(address) != Self::Memory
    }
}

/// One part of an access: all of it goes to one target.
struct Piece {
    address: u64,
    /// Where it starts in the access's bytes.
    offset: usize,
    length: usize,
    target: Target,
}

/// Splits `length` bytes at `address`.
fn pieces(address: u64, length: usize) -> impl Iterator<Item = Piece> {
    let mut offset = 0;
    std::iter::from_fn(move || {
        let left = length - offset;
        if left == 0 {
            return None;
        }
        let address = address.wrapping_add(offset as u64);
        let target = Target::of(address);
        let piece = match target {
            Target::Device(_) => {
                let aligned = 1 << address.trailing_zeros().min(3);
                aligned.min(1 << left.ilog2())
            }
            Target::SharedData(_) | Target::Memory => left.min((PAGE - address % PAGE) as usize),
        };
        let start = offset;
        offset += piece;
        Some(Piece {
            address,
            offset: start,
            length: piece,
            target,
        })
    })
}

fn width(length: usize) -> Width {
    match length {
        1 => Width::U8,
        2 => Width::U16,
        4 => Width::U32,
        _ => Width::U64,
    }
}

/// Whether an access touches two pages, so that one of them can be missing.
pub(super) fn crosses(address: u64, length: usize) -> bool {
    address % PAGE + length as u64 > PAGE
}

/// Reads. If part of it is not there, no device has been touched.
pub(super) fn read(machine: &dyn Machine, address: u64, into: &mut [u8]) -> Result<(), Trouble> {
    if crosses(address, into.len()) {
        for piece in pieces(address, into.len()).filter(|piece| piece.target == Target::Memory) {
            machine.read(piece.address, &mut into[piece.offset..][..piece.length])?;
        }
    }
    for piece in pieces(address, into.len()) {
        let bytes = &mut into[piece.offset..][..piece.length];
        match piece.target {
            Target::Device(physical) => {
                let value = machine.read_device(physical, width(piece.length));
                bytes.copy_from_slice(&value.to_le_bytes()[..piece.length]);
            }
            Target::SharedData(offset) => machine.read_shared_data(offset, bytes),
            Target::Memory => machine.read(piece.address, bytes)?,
        }
    }
    Ok(())
}

/// Whether a write can succeed as far as that is known without writing: shared data
/// cannot be written.
pub(super) fn check_write(address: u64, length: usize) -> Result<(), Trouble> {
    let shared =
        pieces(address, length).find(|piece| matches!(piece.target, Target::SharedData(_)));
    shared.map_or(Ok(()), |piece| {
        Err(Trouble::page(piece.address, FaultAccess::Write))
    })
}

/// Writes. If part of it is not there, no device has been touched.
pub(super) fn write(machine: &dyn Machine, address: u64, from: &[u8]) -> Result<(), Trouble> {
    check_write(address, from.len())?;
    let memory = |piece: &Piece| piece.target == Target::Memory;
    if crosses(address, from.len()) {
        for piece in pieces(address, from.len()).filter(memory) {
            machine.write(piece.address, &from[piece.offset..][..piece.length])?;
        }
    }
    for piece in pieces(address, from.len()) {
        let bytes = &from[piece.offset..][..piece.length];
        if let Target::Device(physical) = piece.target {
            machine.write_device(physical, width(piece.length), number(bytes));
        } else if !crosses(address, from.len()) {
            machine.write(piece.address, bytes)?;
        }
    }
    Ok(())
}

/// At most 8 bytes as a little-endian number.
pub(super) fn number(bytes: &[u8]) -> u64 {
    let mut whole = [0; 8];
    let length = bytes.len().min(8);
    whole[..length].copy_from_slice(&bytes[..length]);
    u64::from_le_bytes(whole)
}
