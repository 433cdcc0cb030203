//! A PCI function: a device behind configuration space.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::bar::{Space, Window};
use super::config::Config;
use super::description::{Description, DescriptionError, IntPin, Layout};
use super::msi::Msi;
use super::msix::Msix;
use super::spec::{CONFIG_SIZE, command, offset, status};
use crate::device::{Device, Effect, Effects, Region, SerialOutput, Stimulus, Width};
use crate::wire::{Level, MessageWrite};

/// What a function tried to do on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transfer {
    /// Read memory.
    Read,
    /// Write memory.
    Write,
    /// Send an interrupt message.
    Message,
}

/// What leaves a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Its interrupt pin is asserted from now on, or not.
    Line {
        /// Asserted, whatever the line's polarity is.
        asserted: bool,
    },
    /// It sends an interrupt message.
    Message {
        /// The message's number in the capability.
        message: u16,
        /// What is written.
        write: MessageWrite,
    },
    /// It reads memory; [`Function::dma_data`] brings what is there.
    DmaRead {
        /// Bus address.
        address: u64,
        /// Bytes.
        length: u32,
        /// Handed back with the data.
        token: u32,
    },
    /// It writes memory.
    DmaWrite {
        /// Bus address.
        address: u64,
        /// What is written.
        bytes: Vec<u8>,
    },
    /// [`Function::timer`] is to be called after this many units of 100 ns.
    Timer {
        /// Delay, in 100 ns units of virtual time.
        after_100ns: u64,
        /// Handed back.
        token: u32,
    },
    /// [`Function::timer`] is not to be called with this token any more.
    StopTimer {
        /// What [`Output::Timer`] had.
        token: u32,
    },
    /// Bytes leave at the device's other end.
    Sent(Vec<u8>),
    /// What else leaves a serial port, see [`Effect::Serial`].
    Serial(SerialOutput),
    /// The function tried to reach memory but may not be a bus master. Nothing happened;
    /// a read brought nothing.
    Blocked {
        /// Bus address.
        address: u64,
        /// What it tried.
        transfer: Transfer,
    },
    /// What [`Function::windows`] answers may have changed.
    WindowsMoved,
}

/// What left a function during one call, in order.
pub type Outputs = Vec<Output>;

/// A PCI function.
///
/// It turns its device's sources into line changes or messages, and lets accesses through as
/// the command register says.
#[derive(Clone, Debug)]
pub struct Function {
    device: Box<dyn Device>,
    layout: Layout,
    config: Config,
    msi: Option<Msi>,
    msix: Option<Msix>,
    /// The device's sources that are asserted, ascending. A vector, which keeps its memory.
    asserted: Vec<u16>,
    /// What was last said about the line.
    line: bool,
    /// It is in a power state below D0.
    sleeps: bool,
    /// There are more functions beside this one.
    is_one_of_several: bool,
    /// Empty between calls; kept for its memory.
    scratch: Effects,
}

impl Function {
    /// A function after power-up: nothing decodes, no address is given, its line is enabled.
    ///
    /// # Errors
    /// The description asks for what configuration space cannot say.
    pub fn new(
        device: Box<dyn Device>,
        description: Description,
    ) -> Result<Self, DescriptionError> {
        let layout = Layout::new(description)?;
        let (config, msi, msix) = layout.power_up();
        let (asserted, scratch) = (Vec::new(), Effects::new());
        Ok(Self {
            device,
            layout,
            config,
            msi,
            msix,
            asserted,
            line: false,
            sleeps: false,
            is_one_of_several: false,
            scratch,
        })
    }

    /// Back to the state after power-up. The line is released through `out`.
    pub fn reset(&mut self, out: &mut Outputs) {
        let had_windows = self.windows().next().is_some();
        // Before the device releases its sources one by one: with messages off now, those that
        // are left must not appear on the line in between.
        self.asserted.clear();
        self.sleeps = false;
        (self.config, self.msi, self.msix) = self.layout.power_up();
        self.set_one_of_several(self.is_one_of_several);
        self.with_device(out, |device, effects| device.reset(effects));
        self.update_line(out);
        if had_windows {
            out.push(Output::WindowsMoved);
        }
    }

    /// The device behind this function.
    #[must_use]
    pub fn device(&self) -> &dyn Device {
        &*self.device
    }

    /// Puts another device behind the same configuration space.
    pub fn replace_device(&mut self, device: Box<dyn Device>) {
        self.device = device;
    }

    /// Puts the function into a power state below D0, in which it does not assert its line, or back
    /// into D0. What its command register lets through is its bus driver's affair.
    ///
    /// Source: PCI Bus Power Management Interface Specification 1.2, "PCI Function Power States":
    /// below D0 nothing but PME# comes from a function.
    pub fn set_sleeping(&mut self, sleeps: bool, out: &mut Outputs) {
        self.sleeps = sleeps;
        self.update_line(out);
    }

    /// What the function is made of.
    #[must_use]
    pub const fn description(&self) -> &Description {
        &self.layout.description
    }

    /// The pin that [`Output::Line`] is about.
    #[must_use]
    pub const fn pin(&self) -> Option<IntPin> {
        self.layout.description.pin
    }

    /// Configuration space as software sees it.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Writes configuration space.
    pub fn write_config(&mut self, at: u16, width: Width, value: u64, out: &mut Outputs) {
        if at >= CONFIG_SIZE {
            return;
        }
        let before: Vec<Window> = self.windows().collect();
        self.config.write(at, width, value);
        if !self.windows().eq(before) {
            out.push(Output::WindowsMoved);
        }
        self.update_line(out);
        self.send_pending(out);
    }

    /// Gives a base address register its address, as firmware does. The command register is
    /// left alone.
    pub fn assign(&mut self, bar: u8, base: u64, out: &mut Outputs) {
        let Some(wanted) = self.layout.bars.get(bar) else {
            return;
        };
        let register = offset::BAR + 4 * u16::from(bar);
        let width = if wanted.is_64_bit() {
            Width::U64
        } else {
            Width::U32
        };
        self.write_config(register, width, base, out);
    }

    /// The windows that answer now, by number of their base address register.
    pub fn windows(&self) -> impl Iterator<Item = Window> + '_ {
        let windows = self.layout.bars.windows(&self.config);
        windows.filter(|window| self.decodes(window.space))
    }

    /// Reads through the window of base address register `bar`.
    ///
    /// All ones if it does not answer, or not for so many bytes there.
    pub fn read(&mut self, bar: u8, at: u64, width: Width, out: &mut Outputs) -> u64 {
        if !self.answers(bar, at, width) {
            return width.ones();
        }
        if let Some(value) = self
            .msix
            .as_ref()
            .and_then(|msix| msix.read(bar, at, width))
        {
            return value;
        }
        let value = self.with_device(out, |device, effects| {
            device.read(Region(bar), at, width, effects)
        });
        value & width.ones()
    }

    /// Writes through the window of base address register `bar`, if it answers.
    pub fn write(&mut self, bar: u8, at: u64, width: Width, value: u64, out: &mut Outputs) {
        if !self.answers(bar, at, width) {
            return;
        }
        let value = value & width.ones();
        if let Some(msix) = &mut self.msix
            && msix.write(bar, at, width, value).is_some()
        {
            self.send_pending(out);
            return;
        }
        self.with_device(out, |device, effects| {
            device.write(Region(bar), at, width, value, effects);
        });
    }

    /// A delay asked for with [`Output::Timer`] has passed.
    pub fn timer(&mut self, token: u32, out: &mut Outputs) {
        self.with_device(out, |device, effects| device.timer(token, effects));
    }

    /// Memory asked for with [`Output::DmaRead`]; fewer bytes than asked for if there is no
    /// more memory there.
    pub fn dma_data(&mut self, token: u32, bytes: &[u8], out: &mut Outputs) {
        self.with_device(out, |device, effects| {
            device.dma_data(token, bytes, effects)
        });
    }

    /// The outside world acts. Returns whether the device has such an input.
    pub fn stimulate(&mut self, stimulus: &Stimulus, out: &mut Outputs) -> bool {
        self.with_device(out, |device, effects| device.stimulate(stimulus, effects))
    }

    /// Says in the header whether there are more functions beside this one.
    pub(super) fn set_one_of_several(&mut self, several: bool) {
        self.is_one_of_several = several;
        self.config
            .set(offset::HEADER_TYPE, Width::U8, u64::from(several) << 7);
    }

    /// Lets the device do something and turns what leaves it into what leaves the function.
    fn with_device<T>(
        &mut self,
        out: &mut Outputs,
        act: impl FnOnce(&mut dyn Device, &mut Effects) -> T,
    ) -> T {
        let mut effects = core::mem::take(&mut self.scratch);
        let answer = act(&mut *self.device, &mut effects);
        while !effects.is_empty() {
            effects = self.absorb(effects, out);
        }
        self.scratch = effects;
        answer
    }

    /// Returns what the device says to reads that were blocked, which is rarely anything.
    ///
    /// A device that asks for memory again whenever it got none would never come to an end here;
    /// [`Device::dma_data`] forbids it.
    fn absorb(&mut self, mut effects: Effects, out: &mut Outputs) -> Effects {
        let mut more = Effects::new();
        for effect in effects.drain(..) {
            match effect {
                Effect::Interrupt { source, level } => self.signal(source, level, out),
                Effect::DmaRead {
                    address,
                    length,
                    token,
                } if self.is_bus_master() => {
                    out.push(Output::DmaRead {
                        address,
                        length,
                        token,
                    });
                }
                Effect::DmaRead { address, token, .. } => {
                    out.push(Output::Blocked {
                        address,
                        transfer: Transfer::Read,
                    });
                    self.device.dma_data(token, &[], &mut more);
                }
                Effect::DmaWrite { address, bytes } if self.is_bus_master() => {
                    out.push(Output::DmaWrite { address, bytes });
                }
                Effect::DmaWrite { address, .. } => {
                    out.push(Output::Blocked {
                        address,
                        transfer: Transfer::Write,
                    });
                }
                Effect::Timer { after_100ns, token } => {
                    out.push(Output::Timer { after_100ns, token });
                }
                Effect::StopTimer { token } => out.push(Output::StopTimer { token }),
                Effect::Output(bytes) => out.push(Output::Sent(bytes)),
                Effect::Serial(serial) => out.push(Output::Serial(serial)),
            }
        }
        if more.is_empty() { effects } else { more }
    }

    /// Whether the device has something for its driver: a source of its is asserted, whatever becomes
    /// of it.
    #[must_use]
    pub fn asserts_anything(&self) -> bool {
        !self.asserted.is_empty()
    }

    /// A source changed. In the message modes each assertion is a message, also when the source
    /// was asserted already: devices like `edu` say so for each event.
    fn signal(&mut self, source: u16, level: Level, out: &mut Outputs) {
        match level {
            Level::High => {
                if let Err(place) = self.asserted.binary_search(&source) {
                    self.asserted.insert(place, source);
                }
                self.send(source, out);
            }
            Level::Low => {
                if let Ok(place) = self.asserted.binary_search(&source) {
                    self.asserted.remove(place);
                }
                self.withdraw(source);
            }
        }
        self.update_line(out);
    }

    fn send(&mut self, source: u16, out: &mut Outputs) {
        let sent = if let Some(msix) = self.enabled_msix() {
            let message = msix.message_of(source);
            self.msix
                .as_mut()
                .and_then(|msix| Some((message, msix.trigger(&self.config, message)?)))
        } else if let Some(msi) = self.enabled_msi() {
            let message = msi.message_of(&self.config, source);
            let msi = self.msi.as_ref();
            msi.and_then(|msi| Some((message.into(), msi.trigger(&mut self.config, message)?)))
        } else {
            None
        };
        if let Some((message, write)) = sent {
            self.put(message, write, out);
        }
    }

    /// A message that is masked and pending is forgotten when nothing asserts it any more.
    fn withdraw(&mut self, source: u16) {
        if let Some(msix) = self.enabled_msix() {
            let message = msix.message_of(source);
            let wanted = self
                .asserted
                .iter()
                .any(|&other| msix.message_of(other) == message);
            if let (false, Some(msix)) = (wanted, &mut self.msix) {
                msix.withdraw(message);
            }
        } else if let Some(msi) = self.enabled_msi() {
            let message = msi.message_of(&self.config, source);
            let mut others = self.asserted.iter();
            if !others.any(|&other| msi.message_of(&self.config, other) == message)
                && let Some(msi) = &self.msi
            {
                msi.withdraw(&mut self.config, message);
            }
        }
    }

    /// Messages that were masked and are not any more.
    fn send_pending(&mut self, out: &mut Outputs) {
        loop {
            let msix = self
                .msix
                .as_mut()
                .and_then(|msix| msix.take_pending(&self.config));
            let sent = match (msix, &self.msi) {
                (None, Some(msi)) => msi.take_pending(&mut self.config),
                (sent, _) => sent,
            };
            let Some((message, write)) = sent else { return };
            self.put(message, write, out);
        }
    }

    /// A message is a write to memory and needs what those need.
    fn put(&self, message: u16, write: MessageWrite, out: &mut Outputs) {
        out.push(if self.is_bus_master() {
            Output::Message { message, write }
        } else {
            Output::Blocked {
                address: write.address,
                transfer: Transfer::Message,
            }
        });
    }

    /// "Interrupt Status": an interrupt is pending inside. "Interrupt Disable" keeps the line
    /// from being asserted, not the status from being read. A function whose messages are
    /// enabled must not use its line.
    fn update_line(&mut self, out: &mut Outputs) {
        let uses_line = self.pin().is_some() && !self.uses_messages();
        let pending = uses_line && !self.asserted.is_empty();
        let mut status = self.config.read16(offset::STATUS) & !status::INTERRUPT;
        if pending {
            status |= status::INTERRUPT;
        }
        self.config.set(offset::STATUS, Width::U16, status.into());
        let line = pending && !self.sleeps && self.command() & command::INTX_DISABLE == 0;
        if core::mem::replace(&mut self.line, line) != line {
            out.push(Output::Line { asserted: line });
        }
    }

    fn answers(&self, bar: u8, at: u64, width: Width) -> bool {
        let Some(bar) = self.layout.bars.get(bar) else {
            return false;
        };
        let end = at.checked_add(width.bytes());
        self.decodes(bar.space()) && end.is_some_and(|end| end <= bar.size())
    }

    fn decodes(&self, space: Space) -> bool {
        let bit = match space {
            Space::Memory => command::MEMORY,
            Space::Port => command::IO,
        };
        self.command() & bit != 0
    }

    fn is_bus_master(&self) -> bool {
        self.command() & command::BUS_MASTER != 0
    }

    /// Whether interrupts leave as messages rather than on the line.
    #[must_use]
    pub fn uses_messages(&self) -> bool {
        self.enabled_msix().is_some() || self.enabled_msi().is_some()
    }

    fn enabled_msix(&self) -> Option<&Msix> {
        self.msix
            .as_ref()
            .filter(|msix| msix.is_enabled(&self.config))
    }

    fn enabled_msi(&self) -> Option<&Msi> {
        self.msi.as_ref().filter(|msi| msi.is_enabled(&self.config))
    }

    fn command(&self) -> u16 {
        self.config.read16(offset::COMMAND)
    }
}
