//! `ivshmem-doorbell`: memory shared with other machines, and a bell for each of them.
//!
//! Source: QEMU documentation, "Device Specification for Inter-VM shared memory device", revision 1
//! of the device.
//!
//! An interrupt is an event, never a level: nothing takes it back, so a message that is masked
//! stays pending. Interrupt mask and status are registers that nothing comes of.
//!
//! Ours: peers have the IDs that follow the device's own, and as many vectors. What is rung at
//! them leaves as [`Effect::Output`], the four bytes of the doorbell register. Bytes that arrive
//! ([`Stimulus::Receive`]) are written by a peer to the beginning of the memory, which then rings
//! vector 0. Accesses to the registers have 4 bytes.

pub mod spec;

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use crate::device::{Device, Effect, Effects, Region, Stimulus, Width};
use crate::wire::Level;
use spec::{MAX_VECTORS, register};

/// The device behind the PCI function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ivshmem {
    id: u16,
    peers: u16,
    vectors: u16,
    mask: u32,
    status: u32,
    memory: Vec<u8>,
}

impl Ivshmem {
    /// A device of this ID with so many vectors, taken into 1..=64, so many peers, and so many
    /// bytes of memory.
    #[must_use]
    pub fn new(id: u16, peers: u16, vectors: u16, memory: usize) -> Self {
        Self {
            id,
            peers,
            vectors: vectors.clamp(1, MAX_VECTORS),
            mask: 0,
            status: 0,
            memory: vec![0; memory],
        }
    }

    /// What the device shares.
    #[must_use]
    pub fn memory(&self) -> &[u8] {
        &self.memory
    }

    /// "If the peer with the requested ID isn't connected, or it has fewer interrupt vectors
    /// connected, the write is ignored."
    fn ring(&self, value: u32, out: &mut Effects) {
        let (peer, vector) = ((value >> 16) as u16, value as u16);
        if vector >= self.vectors {
            return;
        }
        if peer == self.id {
            out.push(interrupt(vector));
        } else if peer.wrapping_sub(self.id) <= self.peers {
            out.push(Effect::Output(value.to_le_bytes().to_vec()));
        }
    }

    fn shared(&mut self, offset: u64, width: Width) -> Option<&mut [u8]> {
        let begin = usize::try_from(offset).ok()?;
        let end = begin.checked_add(width.bytes() as usize)?;
        self.memory.get_mut(begin..end)
    }
}

impl Device for Ivshmem {
    fn model(&self) -> &'static str {
        "ivshmem-doorbell"
    }

    fn read(&mut self, region: Region, offset: u64, width: Width, _out: &mut Effects) -> u64 {
        match (region, offset, width) {
            (Region(0), register::MASK, Width::U32) => self.mask.into(),
            (Region(0), register::STATUS, Width::U32) => core::mem::take(&mut self.status).into(),
            (Region(0), register::POSITION, Width::U32) => self.id.into(),
            (Region(0), _, _) => 0,
            (Region(2), _, _) => self.shared(offset, width).map_or(width.ones(), |bytes| {
                let bytes = bytes.iter().rev();
                bytes.fold(0, |value, &byte| value << 8 | u64::from(byte))
            }),
            _ => width.ones(),
        }
    }

    fn write(&mut self, region: Region, offset: u64, width: Width, value: u64, out: &mut Effects) {
        match (region, offset, width) {
            (Region(0), register::MASK, Width::U32) => self.mask = value as u32,
            (Region(0), register::STATUS, Width::U32) => self.status = value as u32,
            (Region(0), register::DOORBELL, Width::U32) => self.ring(value as u32, out),
            (Region(2), _, _) => {
                if let Some(bytes) = self.shared(offset, width) {
                    let length = bytes.len();
                    bytes.copy_from_slice(&value.to_le_bytes()[..length]);
                }
            }
            _ => {}
        }
    }

    /// [`Stimulus::Interrupt`]: a peer rings that vector.
    fn stimulate(&mut self, stimulus: &Stimulus, out: &mut Effects) -> bool {
        match stimulus {
            Stimulus::Interrupt(vector) if *vector < self.vectors => out.push(interrupt(*vector)),
            Stimulus::Receive(bytes) => {
                let length = bytes.len().min(self.memory.len());
                self.memory[..length].copy_from_slice(&bytes[..length]);
                out.push(interrupt(0));
            }
            _ => return false,
        }
        true
    }

    /// The memory belongs to the peers, too, and stays.
    fn reset(&mut self, _out: &mut Effects) {
        self.mask = 0;
        self.status = 0;
    }

    fn clone_device(&self) -> Box<dyn Device> {
        Box::new(self.clone())
    }
}

/// An event: asserted again each time, and never released.
fn interrupt(vector: u16) -> Effect {
    Effect::Interrupt {
        source: vector,
        level: Level::High,
    }
}
