//! `button`: a line with a finger on it.
//!
//! Its line is asserted from press to release or acknowledgement, whether or not anybody is
//! connected: there is nothing to enable. So it can interrupt while a driver's connect has not
//! returned yet.
//!
//! A device of our own, see [`spec`]. Source of the need: WDK reference,
//! "WdmlibIoConnectInterruptEx", Remarks: the ISR may be called before connect returns.

pub mod spec;

#[cfg(test)]
mod tests;

use alloc::boxed::Box;

use crate::device::{Device, Effect, Effects, Region, Stimulus, Width};
use crate::wire::Level;
use spec::{register, state};

/// The button.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Button {
    is_pressed: bool,
    is_asserted: bool,
    presses: u8,
}

impl Button {
    /// A button that nobody presses.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn drive(&mut self, asserted: bool, out: &mut Effects) {
        if core::mem::replace(&mut self.is_asserted, asserted) != asserted {
            let level = if asserted { Level::High } else { Level::Low };
            out.push(Effect::Interrupt { source: 0, level });
        }
    }

    fn byte(&self, offset: u64) -> u8 {
        match offset {
            register::STATE => {
                let pressed = if self.is_pressed { state::PRESSED } else { 0 };
                pressed | if self.is_asserted { state::ASSERTED } else { 0 }
            }
            register::PRESSES => self.presses,
            _ if offset < spec::WINDOW => 0,
            _ => 0xFF,
        }
    }
}

impl Device for Button {
    fn model(&self) -> &'static str {
        "button"
    }

    fn read(&mut self, region: Region, offset: u64, width: Width, _out: &mut Effects) -> u64 {
        if region != Region(0) {
            return width.ones();
        }
        (0..width.bytes()).fold(0, |value, index| {
            value | u64::from(self.byte(offset.saturating_add(index))) << (8 * index)
        })
    }

    fn write(&mut self, region: Region, offset: u64, width: Width, value: u64, out: &mut Effects) {
        let Some(index) = register::ACKNOWLEDGE.checked_sub(offset) else {
            return;
        };
        if region == Region(0) && index < width.bytes() && value >> (8 * index) & 1 != 0 {
            self.drive(false, out);
        }
    }

    /// Pressing a button that is down already is a bounce: it counts, and asserts again after an
    /// acknowledgement. [`Stimulus::Interrupt`] is a press and release too short to be seen.
    fn stimulate(&mut self, stimulus: &Stimulus, out: &mut Effects) -> bool {
        match stimulus {
            Stimulus::Press => {
                self.is_pressed = true;
                self.presses = self.presses.wrapping_add(1);
                self.drive(true, out);
            }
            Stimulus::Release => {
                self.is_pressed = false;
                self.drive(false, out);
            }
            Stimulus::Interrupt(0) => {
                let held = self.is_asserted;
                self.drive(false, out);
                self.drive(true, out);
                self.drive(held, out);
            }
            Stimulus::Interrupt(_) | Stimulus::Receive(_) | Stimulus::Serial(_) => return false,
        }
        true
    }

    /// The finger is taken off, too.
    fn reset(&mut self, out: &mut Effects) {
        self.drive(false, out);
        *self = Self::new();
    }

    fn clone_device(&self) -> Box<dyn Device> {
        Box::new(self.clone())
    }
}
