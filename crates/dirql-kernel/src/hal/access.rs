//! Accesses to ports and device registers, and where windows are.

use dirql_chips::pci::{self, Space};
use dirql_chips::{Width, ioapic, lapic};
use dirql_rules::Place;

use crate::hal::machine::{DeviceId, LegacyWindow, PlugError, SlotKind};
use crate::ke::clock::DEVICE_ACCESS;
use crate::mm::layout;
use crate::{Event, Kernel};

/// First port that is given to windows of PCI functions, as PC firmware does.
const PCI_PORTS: core::ops::Range<u64> = 0xC000..0x1_0000;

/// One past the last physical address for windows: the IO-APIC's page and what follows it
/// belong to the chip set.
const MEMORY_END: u64 = ioapic::spec::BASE;

impl Kernel {
    /// Gives the windows of a PCI function their addresses, in order of their registers.
    pub(crate) fn place_bars(&self, address: pci::Address) -> Result<(), PlugError> {
        let bars = {
            let bus = self.hal.pci.borrow();
            bus.get(address)
                .map(|function| function.description().bars.clone())
                .unwrap_or_default()
        };
        for (index, bar) in bars {
            let base = self.reserve(bar.space(), bar.size())?;
            let mut out = pci::Outputs::new();
            if let Some(function) = self.hal.pci.borrow_mut().get_mut(address) {
                function.assign(index, base, &mut out);
            }
        }
        Ok(())
    }

    /// Finds room for a window, aligned to its size.
    fn reserve(&self, space: Space, size: u64) -> Result<u64, PlugError> {
        let (next, end, least) = match space {
            Space::Memory => (&self.hal.next_memory, MEMORY_END, layout::PAGE),
            Space::Port => (&self.hal.next_port, PCI_PORTS.end, 4),
        };
        let step = size.max(least).next_power_of_two();
        let base = next.get().next_multiple_of(step);
        match base.checked_add(step) {
            Some(after) if after <= end => {
                next.set(after);
                Ok(base)
            }
            _ => Err(PlugError::Window { base, size }),
        }
    }

    pub(crate) fn place_window(
        &self,
        window: LegacyWindow,
    ) -> Result<(Space, u64, u64), PlugError> {
        let LegacyWindow { space, base, size } = window;
        let base = match base {
            None => self.reserve(space, size)?,
            Some(base) if self.is_free(space, base, size) => base,
            Some(base) => return Err(PlugError::Window { base, size }),
        };
        Ok((space, base, size))
    }

    fn is_free(&self, space: Space, base: u64, size: u64) -> bool {
        let Some(end) = base.checked_add(size) else {
            return false;
        };
        let (lowest, highest) = match space {
            Space::Memory => (layout::DEVICE_PHYSICAL, MEMORY_END),
            Space::Port => (0, 0x1_0000),
        };
        if base < lowest || end > highest || size == 0 {
            return false;
        }
        let slots = self.hal.slots.borrow();
        !slots.iter().any(|slot| match &slot.kind {
            SlotKind::Legacy { windows, .. } => windows
                .iter()
                .any(|(other, at, length)| *other == space && base < at + length && *at < end),
            SlotKind::Pci(_) | SlotKind::Reported { .. } => false,
        })
    }

    /// Who answers at an address: the device, its region, and the offset there.
    fn claimant(&self, space: Space, address: u64, width: Width) -> Option<(DeviceId, u8, u64)> {
        let last = address.checked_add(width.bytes() - 1)?;
        let pci = self.hal.pci.borrow().claim(space, address, width);
        let slots = self.hal.slots.borrow();
        slots.iter().enumerate().find_map(|(index, slot)| {
            let device = DeviceId(index as u32);
            match &slot.kind {
                SlotKind::Pci(at) => {
                    let (claimed, region, offset) = pci?;
                    (claimed == *at).then_some((device, region, offset))
                }
                SlotKind::Legacy { windows, .. } => {
                    windows
                        .iter()
                        .enumerate()
                        .find_map(|(region, (of, base, size))| {
                            let inside = *of == space && address >= *base && last < base + size;
                            inside.then(|| (device, region as u8, address - base))
                        })
                }
                SlotKind::Reported { .. } => None,
            }
        })
    }

    /// An access is a step and takes time, so that a driver that polls a register for what time
    /// brings comes to an end.
    fn begin_access(&self) {
        self.count_step();
        self.pass_time(DEVICE_ACCESS);
    }

    /// `in`: what is at a port. All ones where nothing answers.
    pub fn read_port(&self, port: u16, width: Width) -> u64 {
        self.begin_access();
        let value = self.read_space(Space::Port, u64::from(port), width);
        self.polled(u64::from(port), value, DEVICE_ACCESS);
        if self.report.is_recording() {
            self.event(Event::DeviceRead {
                address: u64::from(port),
                port: true,
                width,
                value,
                instruction: self.instruction(),
            });
        }
        value
    }

    /// `out`.
    pub fn write_port(&self, port: u16, width: Width, value: u64) {
        self.begin_access();
        if self.report.is_recording() {
            self.event(Event::DeviceWrite {
                address: u64::from(port),
                port: true,
                width,
                value,
                instruction: self.instruction(),
            });
        }
        self.ke.patience.device_is_written();
        self.ke.polls.counts();
        self.write_space(Space::Port, u64::from(port), width, value);
    }

    /// A load from a physical address above RAM. All ones where nothing answers.
    pub fn read_device(&self, physical: u64, width: Width) -> u64 {
        self.begin_access();
        self.check_mapped(physical);
        let value = self.read_space(Space::Memory, physical, width);
        self.polled(physical, value, DEVICE_ACCESS);
        if self.report.is_recording() {
            self.event(Event::DeviceRead {
                address: physical,
                port: false,
                width,
                value,
                instruction: self.instruction(),
            });
        }
        value
    }

    /// A store to a physical address above RAM.
    pub fn write_device(&self, physical: u64, width: Width, value: u64) {
        self.begin_access();
        self.check_mapped(physical);
        if self.report.is_recording() {
            self.event(Event::DeviceWrite {
                address: physical,
                port: false,
                width,
                value,
                instruction: self.instruction(),
            });
        }
        self.ke.patience.device_is_written();
        self.ke.polls.counts();
        self.write_space(Space::Memory, physical, width, value);
    }

    fn read_space(&self, space: Space, address: u64, width: Width) -> u64 {
        if let Some((device, region, offset)) = self.claimant(space, address, width) {
            let read = self.input(device, |mut target, out, effects| {
                target.read(region, offset, width, out, effects)
            });
            self.land_messages();
            let told = read.and_then(|_| self.take_pretence(device));
            return told.map_or(read.unwrap_or(width.ones()), |cause| cause.value(width));
        }
        let chip_set = match space {
            Space::Port => self.hal.pci.borrow().read_port(address as u16, width),
            Space::Memory => self.read_controller(address, width),
        };
        chip_set.unwrap_or(width.ones())
    }

    fn write_space(&self, space: Space, address: u64, width: Width, value: u64) {
        if let Some((device, region, offset)) = self.claimant(space, address, width) {
            self.note_write(device);
            self.input(device, |mut target, out, effects| {
                target.write((region, offset), width, value, out, effects);
            });
            return;
        }
        match space {
            Space::Port => {
                let mut out = pci::Outputs::new();
                let at =
                    self.hal
                        .pci
                        .borrow_mut()
                        .write_port(address as u16, width, value, &mut out);
                if let Some(device) = at.flatten().and_then(|at| self.device_at(at)) {
                    self.carry_out(device, &mut out, &mut dirql_chips::Effects::new());
                }
            }
            Space::Memory => self.write_controller(address, width, value),
        }
    }

    fn note_write(&self, device: DeviceId) {
        let instruction = self.instruction();
        let place = match instruction {
            0 => self.here(),
            instruction => self.here_at(instruction),
        };
        self.with_slot(device, |slot| slot.written = Some(place));
    }

    /// Where a driver wrote to the registers of a device last; `None` if none has, or if they do
    /// not say whether the device interrupts.
    pub(crate) fn last_write(&self, device: DeviceId) -> Option<Place> {
        self.with_slot(device, |slot| slot.written.clone())
            .flatten()
            .filter(|_| self.can_be_silenced(device))
    }

    /// Whether a device's registers say when it may interrupt.
    pub(crate) fn can_be_silenced(&self, device: DeviceId) -> bool {
        let mut can_be_silenced = false;
        self.input(device, |target, _, _| {
            can_be_silenced = target.can_be_silenced()
        });
        can_be_silenced
    }

    fn read_controller(&self, address: u64, width: Width) -> Option<u64> {
        if let Some(offset) = within(address, ioapic::spec::BASE, ioapic::spec::SIZE) {
            return Some(self.hal.io_apic.borrow().read(offset, width));
        }
        let offset = within(address, lapic::spec::BASE, lapic::spec::SIZE)?;
        Some(self.processor().lapic.borrow_mut().read(offset, width))
    }

    fn write_controller(&self, address: u64, width: Width, value: u64) {
        if let Some(offset) = within(address, ioapic::spec::BASE, ioapic::spec::SIZE) {
            let messages = self.hal.io_apic.borrow_mut().write(offset, width, value);
            for out in messages {
                self.route(out.message);
            }
        } else if let Some(offset) = within(address, lapic::spec::BASE, lapic::spec::SIZE) {
            let output = self
                .processor()
                .lapic
                .borrow_mut()
                .write(offset, width, value);
            if let Some(output) = output {
                self.carry_out_lapic(output);
            }
        }
    }

    /// The device at an address of the PCI bus.
    pub(crate) fn device_at(&self, address: pci::Address) -> Option<DeviceId> {
        let slots = self.hal.slots.borrow();
        let index = slots
            .iter()
            .position(|slot| matches!(slot.kind, SlotKind::Pci(at) if at == address))?;
        Some(DeviceId(index as u32))
    }

    /// Reads a PCI function's configuration space; all ones where there is none.
    #[must_use]
    pub fn read_pci_config(&self, address: pci::Address, offset: u16, width: Width) -> u64 {
        let device = self.device_at(address);
        if device.is_some_and(|device| self.device_is_gone(device)) {
            return width.ones();
        }
        self.hal.pci.borrow().read_config(address, offset, width)
    }

    /// Writes a PCI function's configuration space.
    pub fn write_pci_config(&self, address: pci::Address, offset: u16, width: Width, value: u64) {
        let device = self.device_at(address);
        if device.is_some_and(|device| self.device_is_gone(device)) {
            return;
        }
        let mut out = pci::Outputs::new();
        self.hal
            .pci
            .borrow_mut()
            .write_config(address, offset, width, value, &mut out);
        if let Some(device) = device {
            self.carry_out(device, &mut out, &mut dirql_chips::Effects::new());
        }
    }
}

const fn within(address: u64, base: u64, size: u64) -> Option<u64> {
    if address >= base && address - base < size {
        Some(address - base)
    } else {
        None
    }
}
