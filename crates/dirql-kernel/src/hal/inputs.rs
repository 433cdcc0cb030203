//! What devices are told, what then leaves them, and the lines that they drive.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use dirql_chips::pci::{self, Output, Outputs};
use dirql_chips::{
    Device, Effect, Effects, Level, LineSource, Polarity, Stimulus, Trigger, Width, WiredOr,
};
use dirql_rules::Context;

use crate::hal::machine::SlotKind;
use crate::hal::{DeviceId, LineWish, Pretence, SourceKind};
use crate::ke::ClockAction;
use crate::{Event, Kernel};

/// Who asserts a line and is no device of the machine.
const STRANGER: LineSource = LineSource(u32::MAX);

impl Kernel {
    /// The world outside the computer acts on a device. Returns whether the model has such
    /// an input. May be called outside strands; interrupts are taken at the next yield point.
    pub fn stimulate(&self, device: DeviceId, stimulus: &Stimulus) -> bool {
        self.input(device, |target, out, effects| match target {
            Target::Pci(function) => function.stimulate(stimulus, out),
            Target::Legacy(device) => device.stimulate(stimulus, effects),
        })
        .unwrap_or_default()
    }

    /// The next ISR that reads a register of the device gets this in its place, once: a cause for
    /// an interrupt, whatever the registers are. May be called outside strands.
    pub fn pretend_cause(&self, device: DeviceId, cause: Pretence) {
        self.touch_device(device.0);
        if let Some(slot) = self.hal.slots.borrow_mut().get_mut(device.0 as usize) {
            slot.pretence = Some(cause);
        }
    }

    /// What an ISR reads from a device that pretends, and nothing afterwards.
    pub(super) fn take_pretence(&self, device: DeviceId) -> Option<Pretence> {
        if !matches!(self.context(), Context::Isr(_)) {
            return None;
        }
        let mut slots = self.hal.slots.borrow_mut();
        slots.get_mut(device.0 as usize)?.pretence.take()
    }

    /// A device's delay is over.
    pub(crate) fn device_timer(&self, device: u32, token: u32) {
        self.input(DeviceId(device), |target, out, effects| match target {
            Target::Pci(function) => function.timer(token, out),
            Target::Legacy(device) => device.timer(token, effects),
        });
    }

    /// Back to the state after power-on.
    pub fn reset_device(&self, device: DeviceId) {
        self.input(device, |target, out, effects| match target {
            Target::Pci(function) => function.reset(out),
            Target::Legacy(device) => device.reset(effects),
        });
    }

    /// Somebody pulls a device out: from now on nobody answers where it was, its lines are
    /// released, and it does nothing any more. Drivers are not told; see
    /// [`Kernel::surprise_remove_device`].
    pub fn pull_device(&self, device: DeviceId) {
        self.touch_device(device.0);
        let lines = self.with_slot(device, |slot| {
            slot.is_gone = true;
            slot.lines.len()
        });
        for source in 0..lines.unwrap_or_default() as u16 {
            self.drive_line(device, source, false);
        }
    }

    /// Whether a device was pulled out.
    #[must_use]
    pub fn device_is_gone(&self, device: DeviceId) -> bool {
        self.with_slot(device, |slot| slot.is_gone)
            .unwrap_or_default()
    }

    /// Another device, which has no driver here, asserts the shared lines of this one: a
    /// level-sensitive one until every ISR here has said that it was not its device, any other for
    /// a moment. Returns whether there are such lines.
    pub fn assert_shared_lines(&self, device: DeviceId) -> bool {
        let lines = self.with_slot(device, |slot| {
            let shared = slot.lines.iter().filter(|(_, wish)| wish.shared);
            shared.copied().collect::<Vec<(u32, LineWish)>>()
        });
        let lines = lines.unwrap_or_default();
        self.hal
            .stranger
            .set(self.hal.stranger.get() || !lines.is_empty());
        for (gsi, wish) in &lines {
            self.drive_gsi(*gsi, STRANGER, true);
            if wish.trigger == Trigger::Edge {
                self.drive_gsi(*gsi, STRANGER, false);
            }
        }
        !lines.is_empty()
    }

    /// Whether a device without a driver here asserts one of these lines.
    pub(super) fn stranger_asserts(&self, lines: &BTreeSet<u32>) -> bool {
        let all = self.hal.lines.borrow();
        lines.iter().any(|gsi| {
            let line = all.get(*gsi as usize).and_then(Option::as_ref);
            line.is_some_and(|line| line.sources().any(|source| source == STRANGER))
        })
    }

    /// The ISR of a device without a driver here is called, which silences it.
    pub(super) fn serve_stranger(&self, lines: &BTreeSet<u32>) {
        for gsi in lines {
            self.drive_gsi(*gsi, STRANGER, false);
        }
    }

    /// Gives a device an input and carries out what leaves it.
    pub(crate) fn input<R>(
        &self,
        device: DeviceId,
        body: impl FnOnce(Target<'_>, &mut Outputs, &mut Effects) -> R,
    ) -> Option<R> {
        self.touch_device(device.0);
        // An effect can be an input of the same or another device; that one has its own lists.
        let Ok(mut scratch) = self.hal.scratch.try_borrow_mut() else {
            return self.input_with(device, body, &mut (Vec::new(), Vec::new()));
        };
        self.input_with(device, body, &mut scratch)
    }

    fn input_with<R>(
        &self,
        device: DeviceId,
        body: impl FnOnce(Target<'_>, &mut Outputs, &mut Effects) -> R,
        (outputs, effects): &mut (Outputs, Effects),
    ) -> Option<R> {
        let result = {
            let mut slots = self.hal.slots.borrow_mut();
            let slot = slots.get_mut(device.0 as usize)?;
            if slot.is_gone {
                return None;
            }
            match &mut slot.kind {
                SlotKind::Pci(address) => {
                    let mut bus = self.hal.pci.borrow_mut();
                    Some(body(Target::Pci(bus.get_mut(*address)?), outputs, effects))
                }
                SlotKind::Legacy { device, .. } => {
                    Some(body(Target::Legacy(&mut **device), outputs, effects))
                }
                SlotKind::Reported { .. } => None,
            }
        };
        self.carry_out(device, outputs, effects);
        result
    }

    /// Carries out what left a device, in order. Looked at where it is, since moving it costs more
    /// than most of it does.
    pub(crate) fn carry_out(&self, device: DeviceId, outputs: &mut Outputs, effects: &mut Effects) {
        for output in outputs.iter() {
            self.carry_out_output(device, output);
        }
        outputs.clear();
        for effect in effects.iter() {
            self.carry_out_effect(device, effect);
        }
        effects.clear();
    }

    fn carry_out_output(&self, device: DeviceId, output: &Output) {
        match *output {
            Output::Line { asserted } => self.drive_line(device, 0, asserted),
            Output::Message { write, .. } => self.write_message(write),
            Output::DmaRead {
                address,
                length,
                token,
            } => self.dma_read(device, address, length, token),
            Output::DmaWrite { address, ref bytes } => self.dma_write(address, bytes),
            Output::Timer { after_100ns, token } => {
                self.start_device_timer(device, after_100ns, token)
            }
            Output::StopTimer { token } => self.stop_device_timer(device, token),
            Output::Sent(ref bytes) => self.sent(device, bytes),
            Output::Serial(serial) => self.sent_serial(device, serial),
            // A function that may not be a bus master is not heard; that is its driver's doing.
            Output::Blocked { .. } | Output::WindowsMoved => {}
        }
    }

    fn carry_out_effect(&self, device: DeviceId, effect: &Effect) {
        match *effect {
            Effect::Interrupt { source, level } => {
                self.drive_line(device, source, level == Level::High)
            }
            Effect::DmaRead {
                address,
                length,
                token,
            } => self.dma_read(device, address, length, token),
            Effect::DmaWrite { address, ref bytes } => self.dma_write(address, bytes),
            Effect::Timer { after_100ns, token } => {
                self.start_device_timer(device, after_100ns, token)
            }
            Effect::StopTimer { token } => self.stop_device_timer(device, token),
            Effect::Output(ref bytes) => self.sent(device, bytes),
            Effect::Serial(serial) => self.sent_serial(device, serial),
        }
    }

    fn start_device_timer(&self, device: DeviceId, after_100ns: u64, token: u32) {
        let due = self.time_100ns().saturating_add(after_100ns);
        self.set_alarm(
            due,
            ClockAction::Device {
                device: device.0,
                token,
            },
        );
    }

    fn stop_device_timer(&self, device: DeviceId, token: u32) {
        let device = device.0;
        self.cancel_alarms(ClockAction::Device { device, token });
    }

    /// A device's source drives its line.
    fn drive_line(&self, device: DeviceId, source: u16, asserted: bool) {
        let gsi = {
            let mut slots = self.hal.slots.borrow_mut();
            let Some(slot) = slots.get_mut(device.0 as usize) else {
                return;
            };
            let Some((gsi, _)) = slot.lines.get(usize::from(source)) else {
                return;
            };
            slot.assertions = slot.assertions.wrapping_add(u32::from(asserted));
            *gsi
        };
        self.drive_gsi(
            gsi,
            LineSource(device.0 << 16 | u32::from(source)),
            asserted,
        );
    }

    fn drive_gsi(&self, gsi: u32, by: LineSource, asserted: bool) {
        let level = {
            let mut lines = self.hal.lines.borrow_mut();
            let Some(line) = lines.get_mut(gsi as usize) else {
                return;
            };
            line.get_or_insert(WiredOr::new(Polarity::ActiveHigh))
                .drive(by, asserted)
        };
        let Some(level) = level else { return };
        if self.report.is_recording() {
            self.event(Event::Line { gsi, level });
        }
        let message = self.hal.io_apic.borrow_mut().drive(gsi as u8, level);
        if let Some(out) = message {
            self.route(out.message);
        }
    }

    /// Whether `device` asserts a line; any device if `None`.
    pub(crate) fn line_is_asserted(&self, gsi: u32, device: Option<DeviceId>) -> bool {
        let lines = self.hal.lines.borrow();
        let line = lines.get(gsi as usize).and_then(Option::as_ref);
        line.is_some_and(|line| match device {
            Some(device) => line.sources().any(|source| source.0 >> 16 == device.0),
            None => line.is_asserted(),
        })
    }

    /// Whether the device that a source of interrupts was given to asserts its line.
    pub(crate) fn source_is_asserted(&self, source: u32) -> bool {
        let source = self.source(source);
        source.is_some_and(|source| match source.kind {
            SourceKind::Line { gsi, .. } => self.line_is_asserted(gsi, Some(source.device)),
            SourceKind::Message { .. } => false,
        })
    }

    /// Whether a device asserts any of its sources, over a line or by messages.
    pub(crate) fn asserts_anything(&self, device: DeviceId) -> bool {
        let mut asserts = false;
        self.input(device, |target, _, _| asserts = target.asserts_anything());
        asserts
    }

    /// How often the device that a source of interrupts was given to has asserted a line.
    pub(crate) fn assertions_of(&self, source: u32) -> u32 {
        let device = self.source(source).map(|source| source.device);
        let count = device.and_then(|device| self.with_slot(device, |slot| slot.assertions));
        count.unwrap_or_default()
    }
}

/// Who gets an input.
pub(crate) enum Target<'a> {
    Pci(&'a mut pci::Function),
    Legacy(&'a mut dyn Device),
}

/// So that an access has one spelling for both kinds of device.
impl Target<'_> {
    fn asserts_anything(&self) -> bool {
        match self {
            Self::Pci(function) => function.asserts_anything(),
            // It has lines only, and they are asked.
            Self::Legacy(_) => false,
        }
    }

    pub(super) fn can_be_silenced(&self) -> bool {
        match self {
            Self::Pci(function) => function.device().can_be_silenced(),
            Self::Legacy(device) => device.can_be_silenced(),
        }
    }

    pub(crate) fn read(
        &mut self,
        region: u8,
        offset: u64,
        width: Width,
        out: &mut Outputs,
        effects: &mut Effects,
    ) -> u64 {
        match self {
            Self::Pci(function) => function.read(region, offset, width, out),
            Self::Legacy(device) => {
                device.read(dirql_chips::Region(region), offset, width, effects)
            }
        }
    }

    pub(crate) fn write(
        &mut self,
        (region, offset): (u8, u64),
        width: Width,
        value: u64,
        out: &mut Outputs,
        effects: &mut Effects,
    ) {
        match self {
            Self::Pci(function) => function.write(region, offset, width, value, out),
            Self::Legacy(device) => {
                device.write(dirql_chips::Region(region), offset, width, value, effects);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use dirql_chips::{Stimulus, Width};

    use crate::hal::testing::{Rig, register};
    use crate::hal::{Pretence, Resource};

    #[test]
    fn an_isr_reads_a_pretended_cause_once_and_nobody_else_does() {
        let rig = Rig::new(1);
        let device = rig.line("a", 5);
        let resources = rig
            .kernel()
            .assignment(device.device)
            .expect("it is started")
            .resources;
        let Resource::Memory { base, .. } = resources[0] else {
            panic!("{resources:?}");
        };
        let (log, id) = (rig.log.clone(), device.device);
        let isr = rig.bench.routine(move |kernel, _| {
            for width in [Width::U32, Width::U32] {
                log.add(kernel.read_device(base + register::DONE, width));
            }
            kernel.stimulate(id, &Stimulus::Release);
            Ok(1)
        });
        rig.connect(device.arguments(isr));
        for cause in [Pretence::First, Pretence::Second, Pretence::Most] {
            rig.kernel().pretend_cause(id, cause);
            let outside = rig
                .bench
                .on_thread(move |kernel| Ok(kernel.read_device(base + register::DONE, Width::U32)));
            assert_eq!(outside, 0);
            rig.press(&device);
            rig.run();
        }
        assert_eq!(rig.log.take(), ["1", "0", "6", "0", "2147483647", "0"]);
    }
}
