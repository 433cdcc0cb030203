//! `msix`: a device with up to 2048 queues, each with its own message.
//!
//! A driver posts requests to a queue; a while later they are done and the queue interrupts. It
//! asserts its source while there are completions, so that it works with a line, too; as messages
//! each batch of completions is one. A device of our own, see [`spec`].

pub mod spec;

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use crate::device::{Device, Effect, Effects, Region, Stimulus, Width};
use crate::wire::Level;
use spec::{IDENTIFICATION, MAX_QUEUES, WORK_100NS, register};

/// The device behind the PCI function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MsixDevice {
    queues: Vec<Queue>,
    /// How many queues have completions.
    busy: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Queue {
    /// Posted, not done. A timer runs while this is not 0.
    requests: u32,
    /// Done, not taken.
    completions: u32,
}

impl MsixDevice {
    /// A device with so many queues, taken into 1..=2048.
    #[must_use]
    pub fn new(queues: u16) -> Self {
        let queues = usize::from(queues.clamp(1, MAX_QUEUES));
        Self {
            queues: vec![Queue::default(); queues],
            busy: 0,
        }
    }

    /// The queue and the register in it that an offset names.
    fn queue(&mut self, offset: u64) -> Option<(u16, u64, &mut Queue)> {
        let within = offset.checked_sub(register::FIRST_QUEUE)?;
        let index = u16::try_from(within / register::QUEUE_SIZE).ok()?;
        let queue = self.queues.get_mut(usize::from(index))?;
        Some((index, within % register::QUEUE_SIZE, queue))
    }

    /// "Requests": saturates, as posting 2^32 requests at once is no use to anybody.
    fn post(queue: &mut Queue, index: u16, count: u32, out: &mut Effects) {
        if queue.requests == 0 && count != 0 {
            out.push(Effect::Timer {
                after_100ns: WORK_100NS,
                token: index.into(),
            });
        }
        queue.requests = queue.requests.saturating_add(count);
    }
}

impl Device for MsixDevice {
    fn model(&self) -> &'static str {
        "msix"
    }

    fn read(&mut self, region: Region, offset: u64, width: Width, _out: &mut Effects) -> u64 {
        if region != Region(0) || width != Width::U32 {
            return width.ones();
        }
        let value = match offset {
            register::IDENTIFICATION => IDENTIFICATION,
            register::QUEUES => self.queues.len() as u32,
            register::BUSY_QUEUES => self.busy,
            _ => match self.queue(offset) {
                Some((_, register::REQUESTS, queue)) => queue.requests,
                Some((_, register::COMPLETIONS, queue)) => queue.completions,
                _ => u32::MAX,
            },
        };
        value.into()
    }

    fn write(&mut self, region: Region, offset: u64, width: Width, value: u64, out: &mut Effects) {
        if region != Region(0) || width != Width::U32 {
            return;
        }
        let count = value as u32;
        match self.queue(offset) {
            Some((index, register::REQUESTS, queue)) => Self::post(queue, index, count, out),
            Some((index, register::COMPLETIONS, queue)) => {
                let before = queue.completions;
                queue.completions = before.saturating_sub(count);
                if before != 0 && queue.completions == 0 {
                    self.busy -= 1;
                    out.push(Effect::Interrupt {
                        source: index,
                        level: Level::Low,
                    });
                }
            }
            _ => {}
        }
    }

    /// A delay that is left over from before a reset only makes later requests be done sooner.
    fn timer(&mut self, token: u32, out: &mut Effects) {
        let Ok(source) = u16::try_from(token) else {
            return;
        };
        let Some(queue) = self.queues.get_mut(usize::from(source)) else {
            return;
        };
        let done = core::mem::take(&mut queue.requests);
        if done == 0 {
            return;
        }
        if queue.completions == 0 {
            self.busy += 1;
        }
        queue.completions = queue.completions.saturating_add(done);
        out.push(Effect::Interrupt {
            source,
            level: Level::High,
        });
    }

    /// [`Stimulus::Interrupt`]: a queue interrupts without a completion.
    fn stimulate(&mut self, stimulus: &Stimulus, out: &mut Effects) -> bool {
        let Stimulus::Interrupt(source) = *stimulus else {
            return false;
        };
        let Some(queue) = self.queues.get(usize::from(source)) else {
            return false;
        };
        out.push(Effect::Interrupt {
            source,
            level: Level::High,
        });
        if queue.completions == 0 {
            out.push(Effect::Interrupt {
                source,
                level: Level::Low,
            });
        }
        true
    }

    fn reset(&mut self, out: &mut Effects) {
        for (source, queue) in (0..).zip(&mut self.queues) {
            if core::mem::take(queue).completions != 0 {
                out.push(Effect::Interrupt {
                    source,
                    level: Level::Low,
                });
            }
        }
        self.busy = 0;
    }

    fn clone_device(&self) -> Box<dyn Device> {
        Box::new(self.clone())
    }
}
