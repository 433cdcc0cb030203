//! What lies behind an MDL, and the copies for devices that do not reach it.

use alloc::vec;
use alloc::vec::Vec;

use dirql_abi::memory::Mdl;

use crate::mm::{Reach, RunKind, frame_at, layout, virtual_address_of};
use crate::{Ddi, DriverPtr, Kernel, at};

use layout::PAGE;

/// MDLs that a driver can chain before the chain is taken for a loop.
const MAX_CHAIN: u32 = 0x1_0000;

/// Physically contiguous memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) physical: u64,
    pub(super) bytes: u32,
}

/// Pages of ours in place of some that the device does not reach.
#[derive(Debug)]
pub(super) struct Bounce {
    /// Where they are visible.
    address: u64,
    /// Where in the first one the transfer begins: as in what it stands for.
    offset: u64,
    /// What they stand for, in order.
    pieces: Vec<Piece>,
}

/// A part of a driver's buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) mdl: DriverPtr<Mdl>,
    pub(super) address: u64,
    pub(super) bytes: u32,
    /// It goes on in the MDLs that follow.
    pub(super) chained: bool,
}

impl Kernel {
    /// The contiguous pieces of `span`; `None` if it is not inside its MDLs.
    pub(super) fn pieces(&self, span: Span) -> Ddi<Option<Vec<Piece>>> {
        let mut pieces: Vec<Piece> = Vec::new();
        let Span { mut mdl, .. } = span;
        let mut value = self.read(mdl)?;
        let first = virtual_address_of(&value);
        let Some(mut offset) = span
            .address
            .checked_sub(first)
            .filter(|offset| *offset < u64::from(value.byte_count))
        else {
            return Ok(None);
        };
        let mut left = u64::from(span.bytes);
        for _ in 0..MAX_CHAIN {
            let end = u64::from(value.byte_count).min(offset.saturating_add(left));
            left -= end - offset;
            while offset < end {
                let at = u64::from(value.byte_offset) + offset;
                let frame: u64 = self.read(frame_at(mdl, at / PAGE))?;
                let bytes = (PAGE - at % PAGE).min(end - offset);
                let physical = frame.wrapping_mul(PAGE).wrapping_add(at % PAGE);
                add(&mut pieces, physical, bytes as u32);
                offset += bytes;
            }
            if left == 0 {
                return Ok(Some(pieces));
            }
            mdl = DriverPtr::new(self.read(at!(mdl, Mdl, next))?);
            if mdl.is_null() || !span.chained {
                return Ok(None);
            }
            value = self.read(mdl)?;
            offset = 0;
        }
        Ok(None)
    }

    /// How many map registers `span` takes: the pages that it touches.
    pub(super) fn pages_of(&self, span: Span) -> Ddi<u32> {
        let mut pages = 0;
        let mut left = u64::from(span.bytes);
        let mut address = span.address;
        let mut mdl = span.mdl;
        for _ in 0..MAX_CHAIN {
            let value = self.read(mdl)?;
            let end = virtual_address_of(&value).wrapping_add(value.byte_count.into());
            let here = end.wrapping_sub(address).min(left);
            pages += layout::pages_spanned(address, here) as u32;
            left -= here;
            mdl = DriverPtr::new(value.next);
            if left == 0 || mdl.is_null() {
                break;
            }
            address = virtual_address_of(&self.read(mdl)?);
        }
        Ok(pages)
    }

    /// Contiguous pages that a device with this reach can have in place of `pieces`, filled
    /// from them if the device is to read. `None` if there are none.
    pub(super) fn bounce(&self, reach: u64, pieces: &[Piece], fill: bool) -> Option<Bounce> {
        let offset = pieces.first()?.physical % PAGE;
        let bytes: u64 = pieces.iter().map(|piece| u64::from(piece.bytes)).sum();
        let reach = Reach::up_to(reach);
        let address = self.allocate_run(RunKind::MapRegisters, offset + bytes, reach);
        if address == 0 {
            return None;
        }
        let bounce = Bounce {
            address,
            offset,
            pieces: pieces.to_vec(),
        };
        if fill {
            let mut at = address + offset;
            for piece in &bounce.pieces {
                self.copy(
                    layout::virtual_address(piece.physical),
                    Some(at),
                    piece.bytes,
                );
                at += u64::from(piece.bytes);
            }
        }
        Some(bounce)
    }

    /// Takes what the device has written to where it belongs, if it has, and frees the pages.
    pub(super) fn end_bounce(&self, bounce: Bounce, to_device: bool) -> Ddi<()> {
        if !to_device {
            let mut at = bounce.address + bounce.offset;
            for piece in &bounce.pieces {
                self.copy(
                    Some(at),
                    layout::virtual_address(piece.physical),
                    piece.bytes,
                );
                at += u64::from(piece.bytes);
            }
        }
        self.free_run(RunKind::MapRegisters, bounce.address, None)
    }

    /// Copies physical memory; what is none is left out, as a bus does.
    fn copy(&self, from: Option<u64>, to: Option<u64>, bytes: u32) {
        let (Some(from), Some(to)) = (from, to) else {
            return;
        };
        let mut buffer = vec![0; bytes as usize];
        if self.platform().read(from, &mut buffer).is_ok() {
            let _ = self.platform().write(to, &buffer);
        }
    }
}

impl Bounce {
    /// The address for the device.
    pub(super) fn logical(&self) -> u64 {
        layout::physical(self.address + self.offset).unwrap_or(0)
    }
}

impl Piece {
    /// Whether a device with this reach gets to all of it.
    pub(super) const fn is_reached(&self, reach: u64) -> bool {
        match self.physical.checked_add(self.bytes as u64 - 1) {
            Some(last) => last <= reach,
            None => false,
        }
    }
}

/// Appends to the last piece if it goes on there.
fn add(pieces: &mut Vec<Piece>, physical: u64, bytes: u32) {
    if let Some(last) = pieces.last_mut()
        && last.physical.wrapping_add(last.bytes.into()) == physical
    {
        last.bytes += bytes;
        return;
    }
    pieces.push(Piece { physical, bytes });
}
