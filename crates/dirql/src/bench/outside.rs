//! What is done to devices from outside.

use dirql_chips::Stimulus;
use dirql_kernel::Kernel;

use super::error::BenchError;
use super::state::{Answer, State, inner};

impl State {
    /// Does something to a device from outside, and lets it interrupt.
    pub(crate) fn stimulate(&self, kernel: &Kernel, name: &str, stimulus: &Stimulus) -> Answer<()> {
        let device = inner!(self.device(name));
        let known = kernel.stimulate(device.id, stimulus);
        kernel.yield_point()?;
        if known {
            return Ok(Ok(()));
        }
        Ok(Err(BenchError::NoInput {
            device: name.into(),
            what: stimulus_name(stimulus),
        }))
    }

    /// Each interrupt source fires once.
    pub(crate) fn interrupt_once(&self, kernel: &Kernel, name: &str) -> Answer<()> {
        let device = inner!(self.device(name));
        let natural = [
            Stimulus::Press,
            Stimulus::Release,
            Stimulus::Receive(b"U".to_vec()),
        ];
        let mut known = false;
        for stimulus in &natural {
            known |= kernel.stimulate(device.id, stimulus);
            kernel.yield_point()?;
        }
        if known {
            return Ok(Ok(()));
        }
        for source in 0..=u16::MAX {
            if !kernel.stimulate(device.id, &Stimulus::Interrupt(source)) {
                break;
            }
            known = true;
            kernel.yield_point()?;
        }
        if known {
            return Ok(Ok(()));
        }
        Ok(Err(BenchError::NoInput {
            device: name.into(),
            what: "made to interrupt",
        }))
    }

    /// What has left at a device's other end since this was last asked.
    pub(crate) fn take_sent(&self, kernel: &Kernel, name: &str) -> Result<Vec<u8>, BenchError> {
        Ok(kernel.take_sent(self.device(name)?.id))
    }
}

/// What was done, as in "pressed".
pub(crate) const fn stimulus_name(stimulus: &Stimulus) -> &'static str {
    match stimulus {
        Stimulus::Press => "pressed",
        Stimulus::Release => "released",
        Stimulus::Receive(_) => "sent bytes",
        Stimulus::Offer(_) => "offered bytes",
        Stimulus::Serial(_) => "sent a serial event",
        Stimulus::Pin { .. } => "driven at a pin",
        Stimulus::Interrupt(_) => "made to interrupt",
    }
}
