//! `edu`: the PCI device of that name, as QEMU documents it.
//!
//! Source: QEMU documentation, "EDU device" (docs/specs/edu.rst).
//!
//! Where the documentation is silent we do what QEMU's model does:
//! - any write to the raise register sends another message while the status is not 0;
//! - a second number, and any DMA register, is ignored while the first is being worked on;
//! - a command without the start bit is ignored;
//! - a write of 4 bytes to a DMA register clears its upper half.
//!
//! Ours, because QEMU's model is no guide there: a transfer that is not wholly inside the
//! device's buffer moves nothing and still completes; bytes that memory did not bring read as
//! ones.
//!
//! Not modelled: nothing known.

pub mod spec;

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use crate::device::{Device, Effect, Effects, Region, Stimulus, Width};
use crate::wire::Level;
use spec::{
    BUFFER, BUFFER_SIZE, DMA_100NS, DMA_MASK, FACTORIAL_100NS, IDENTIFICATION, cause, dma,
    register, status,
};

/// Tokens of the two delays. One that is left over from before a reset only makes the next
/// one end sooner.
mod token {
    pub(super) const FACTORIAL: u32 = 0;
    pub(super) const DMA: u32 = 1;
}

/// The device behind the PCI function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edu {
    dma_mask: u64,
    liveness: u32,
    factorial: u32,
    status: u32,
    interrupt_status: u32,
    dma: Dma,
    buffer: Vec<u8>,
}

/// The DMA registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Dma {
    source: u64,
    destination: u64,
    count: u64,
    command: u64,
    /// Memory was asked for and has not come yet.
    is_reading: bool,
}

impl Default for Edu {
    fn default() -> Self {
        Self::new(DMA_MASK)
    }
}

impl Edu {
    /// The device after reset. Bits outside of `dma_mask` do not leave it as an address.
    #[must_use]
    pub fn new(dma_mask: u64) -> Self {
        Self {
            dma_mask,
            liveness: 0,
            factorial: 0,
            status: 0,
            interrupt_status: 0,
            dma: Dma::default(),
            buffer: vec![0; BUFFER_SIZE],
        }
    }

    fn raise(&mut self, bits: u32, out: &mut Effects) {
        self.interrupt_status |= bits;
        if self.interrupt_status != 0 {
            out.push(Effect::Interrupt {
                source: 0,
                level: Level::High,
            });
        }
    }

    fn acknowledge(&mut self, bits: u32, out: &mut Effects) {
        self.interrupt_status &= !bits;
        if self.interrupt_status == 0 {
            out.push(Effect::Interrupt {
                source: 0,
                level: Level::Low,
            });
        }
    }

    fn start_factorial(&mut self, number: u32, out: &mut Effects) {
        if self.status & status::COMPUTING != 0 {
            return;
        }
        self.factorial = number;
        self.status |= status::COMPUTING;
        out.push(Effect::Timer {
            after_100ns: FACTORIAL_100NS,
            token: token::FACTORIAL,
        });
    }

    fn end_factorial(&mut self, out: &mut Effects) {
        if self.status & status::COMPUTING == 0 {
            return;
        }
        self.factorial = factorial(self.factorial);
        self.status &= !status::COMPUTING;
        if self.status & status::INTERRUPT != 0 {
            self.raise(cause::FACTORIAL, out);
        }
    }

    fn write_dma(&mut self, offset: u64, value: u64, out: &mut Effects) {
        if self.dma.command & dma::RUN != 0 {
            return;
        }
        match offset {
            register::DMA_SOURCE => self.dma.source = value,
            register::DMA_DESTINATION => self.dma.destination = value,
            register::DMA_COUNT => self.dma.count = value,
            register::DMA_COMMAND if value & dma::RUN != 0 => {
                self.dma.command = value;
                out.push(Effect::Timer {
                    after_100ns: DMA_100NS,
                    token: token::DMA,
                });
            }
            _ => {}
        }
    }

    fn start_transfer(&mut self, out: &mut Effects) {
        if self.dma.command & dma::RUN == 0 || self.dma.is_reading {
            return;
        }
        let to_memory = self.dma.command & dma::TO_MEMORY != 0;
        let (own, other) = if to_memory {
            (self.dma.source, self.dma.destination)
        } else {
            (self.dma.destination, self.dma.source)
        };
        let address = other & self.dma_mask;
        match self.in_buffer(own) {
            Some(bytes) if to_memory => {
                out.push(Effect::DmaWrite {
                    address,
                    bytes: bytes.to_vec(),
                });
            }
            Some(bytes) => {
                // At most the buffer's 4096 bytes.
                let length = bytes.len() as u32;
                out.push(Effect::DmaRead {
                    address,
                    length,
                    token: token::DMA,
                });
                self.dma.is_reading = true;
                return;
            }
            None => {}
        }
        self.end_transfer(out);
    }

    fn end_transfer(&mut self, out: &mut Effects) {
        self.dma.command &= !dma::RUN;
        self.dma.is_reading = false;
        if self.dma.command & dma::INTERRUPT != 0 {
            self.raise(cause::DMA, out);
        }
    }

    /// The part of the buffer that `address` and the count name; `None` if there is none, or if
    /// it is not wholly inside.
    fn in_buffer(&mut self, address: u64) -> Option<&mut [u8]> {
        let begin = usize::try_from(address.checked_sub(BUFFER)?).ok()?;
        let end = begin.checked_add(usize::try_from(self.dma.count).ok()?)?;
        self.buffer
            .get_mut(begin..end)
            .filter(|bytes| !bytes.is_empty())
    }
}

impl Device for Edu {
    fn model(&self) -> &'static str {
        "edu"
    }

    fn read(&mut self, region: Region, offset: u64, width: Width, _out: &mut Effects) -> u64 {
        if !is_allowed(region, offset, width) {
            return width.ones();
        }
        let value = match offset {
            register::IDENTIFICATION => IDENTIFICATION.into(),
            register::LIVENESS => self.liveness.into(),
            register::FACTORIAL => self.factorial.into(),
            register::STATUS => self.status.into(),
            register::INTERRUPT_STATUS => self.interrupt_status.into(),
            register::DMA_SOURCE => self.dma.source,
            register::DMA_DESTINATION => self.dma.destination,
            register::DMA_COUNT => self.dma.count,
            register::DMA_COMMAND => self.dma.command,
            _ => u64::MAX,
        };
        value & width.ones()
    }

    fn write(&mut self, region: Region, offset: u64, width: Width, value: u64, out: &mut Effects) {
        if !is_allowed(region, offset, width) {
            return;
        }
        let value = value & width.ones();
        let word = value as u32;
        match offset {
            register::LIVENESS => self.liveness = !word,
            register::FACTORIAL => self.start_factorial(word, out),
            register::STATUS => {
                self.status = self.status & status::COMPUTING | word & status::INTERRUPT;
            }
            register::INTERRUPT_RAISE => self.raise(word, out),
            register::INTERRUPT_ACKNOWLEDGE => self.acknowledge(word, out),
            _ => self.write_dma(offset, value, out),
        }
    }

    fn timer(&mut self, token: u32, out: &mut Effects) {
        match token {
            token::FACTORIAL => self.end_factorial(out),
            token::DMA => self.start_transfer(out),
            _ => {}
        }
    }

    fn dma_data(&mut self, token: u32, bytes: &[u8], out: &mut Effects) {
        if token != token::DMA || !self.dma.is_reading {
            return;
        }
        if let Some(buffer) = self.in_buffer(self.dma.destination) {
            buffer.fill(0xFF);
            let length = buffer.len().min(bytes.len());
            buffer[..length].copy_from_slice(&bytes[..length]);
        }
        self.end_transfer(out);
    }

    /// [`Stimulus::Interrupt`]: an interrupt without a cause. The status stays, so an ISR that
    /// looks at it does not claim the interrupt.
    fn stimulate(&mut self, stimulus: &Stimulus, out: &mut Effects) -> bool {
        if *stimulus != Stimulus::Interrupt(0) {
            return false;
        }
        out.push(Effect::Interrupt {
            source: 0,
            level: Level::High,
        });
        if self.interrupt_status == 0 {
            out.push(Effect::Interrupt {
                source: 0,
                level: Level::Low,
            });
        }
        true
    }

    fn reset(&mut self, out: &mut Effects) {
        if self.interrupt_status != 0 {
            out.push(Effect::Interrupt {
                source: 0,
                level: Level::Low,
            });
        }
        *self = Self::new(self.dma_mask);
    }

    fn clone_device(&self) -> Box<dyn Device> {
        Box::new(self.clone())
    }
}

/// "Only size == 4 accesses are allowed for addresses < 0x80. size == 4 or size == 8 for the
/// rest."
fn is_allowed(region: Region, offset: u64, width: Width) -> bool {
    let fits = match width {
        Width::U8 | Width::U16 => false,
        Width::U32 => true,
        Width::U64 => offset >= register::FIRST_WIDE,
    };
    region == Region(0) && fits
}

/// The factorial modulo 2^32, which is 0 from 34 on: 34! has 32 factors of two.
fn factorial(number: u32) -> u32 {
    (1..=number.min(34)).fold(1, u32::wrapping_mul)
}
