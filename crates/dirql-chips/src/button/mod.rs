//! `button`: a line with a finger on it, and another for the finger that goes away.
//!
//! Its first line is asserted from press to release or acknowledgement, whether or not anybody is
//! connected: there is nothing to enable. So it can interrupt while a driver's connect has not
//! returned yet. The second line, if there is one, is asserted from release to acknowledgement: a
//! new press leaves it alone, since no register counts releases as one counts presses.
//!
//! A device of our own, see [`spec`]. Source of the need: WDK reference,
//! "WdmlibIoConnectInterruptEx", Remarks: the ISR may be called before connect returns.

pub mod spec;

#[cfg(test)]
mod tests;

use alloc::boxed::Box;

use crate::device::{Device, Effect, Effects, Region, Stimulus, Width};
use crate::wire::Level;
use spec::{PRESS_LINE, RELEASE_LINE, register, state};

/// The button.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Button {
    /// There is a second line.
    has_release_line: bool,
    is_pressed: bool,
    /// By line.
    is_asserted: [bool; 2],
    presses: u8,
}

impl Button {
    /// A button with one line that nobody presses.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A button that says on a second line that it was released.
    #[must_use]
    pub fn with_release_line() -> Self {
        Self {
            has_release_line: true,
            ..Self::default()
        }
    }

    /// Lines that the button does not have stay as they are.
    fn drive(&mut self, line: u16, asserted: bool, out: &mut Effects) {
        if line == RELEASE_LINE && !self.has_release_line {
            return;
        }
        let Some(now) = self.is_asserted.get_mut(usize::from(line)) else {
            return;
        };
        if core::mem::replace(now, asserted) != asserted {
            let level = if asserted { Level::High } else { Level::Low };
            out.push(Effect::Interrupt {
                source: line,
                level,
            });
        }
    }

    fn byte(&self, offset: u64) -> u8 {
        let [press, release] = self.is_asserted;
        let state = [
            (self.is_pressed, state::PRESSED),
            (press, state::ASSERTED),
            (release, state::RELEASE_ASSERTED),
        ];
        match offset {
            register::STATE => state
                .into_iter()
                .filter(|&(is_set, _)| is_set)
                .fold(0, |byte, (_, bit)| byte | bit),
            register::PRESSES => self.presses,
            _ if offset < spec::WINDOW => 0,
            _ => 0xFF,
        }
    }

    /// Pulls a line high for a moment, or low if it is high already.
    fn glitch(&mut self, line: u16, out: &mut Effects) {
        let held = self.is_asserted[usize::from(line)];
        self.drive(line, false, out);
        self.drive(line, true, out);
        self.drive(line, held, out);
    }
}

impl Device for Button {
    fn model(&self) -> &'static str {
        "button"
    }

    fn can_be_silenced(&self) -> bool {
        false
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
        if region != Region(0) || index >= width.bytes() {
            return;
        }
        for line in [PRESS_LINE, RELEASE_LINE] {
            if value >> (8 * index) >> line & 1 != 0 {
                self.drive(line, false, out);
            }
        }
    }

    /// Pressing a button that is down already is a bounce: it counts, and asserts again after an
    /// acknowledgement. Releasing one that is up already asserts again, too.
    /// [`Stimulus::Interrupt`] is a press and release too short to be seen, or a release and press.
    fn stimulate(&mut self, stimulus: &Stimulus, out: &mut Effects) -> bool {
        match stimulus {
            Stimulus::Press => {
                self.is_pressed = true;
                self.presses = self.presses.wrapping_add(1);
                self.drive(PRESS_LINE, true, out);
            }
            Stimulus::Release => {
                self.is_pressed = false;
                self.drive(PRESS_LINE, false, out);
                self.drive(RELEASE_LINE, true, out);
            }
            Stimulus::Interrupt(PRESS_LINE) => self.glitch(PRESS_LINE, out),
            Stimulus::Interrupt(RELEASE_LINE) if self.has_release_line => {
                self.glitch(RELEASE_LINE, out);
            }
            _ => return false,
        }
        true
    }

    /// The finger is taken off, too, without a word about it.
    fn reset(&mut self, out: &mut Effects) {
        self.drive(PRESS_LINE, false, out);
        self.drive(RELEASE_LINE, false, out);
        let has_release_line = self.has_release_line;
        *self = Self {
            has_release_line,
            ..Self::new()
        };
    }

    fn clone_device(&self) -> Box<dyn Device> {
        Box::new(self.clone())
    }
}
