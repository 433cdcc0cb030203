//! A machine that remembers what it was asked for.

use std::cell::{Cell, RefCell};
use std::ops::Range;

use dirql_chips::Width;
use dirql_kernel::mm::layout;
use dirql_kernel::{BadAddress, Ddi, Stop};

use crate::trap::fault::{Fault, FaultKind};
use crate::trap::{Context, Machine, SystemCall};

/// Bytes of device memory, from the start of the window.
pub(super) const DEVICE_BYTES: usize = 0x4000;

/// What is done when the machine is attended to.
type Attend = Box<dyn Fn() -> Ddi<()>>;

/// What is done to the registers of code that is stopped.
type ChangeContext = Box<dyn Fn(&mut Context)>;

/// Something that the machine was asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    ReadPort(u16, Width),
    WritePort(u16, Width, u64),
    ReadDevice(u64, Width),
    WriteDevice(u64, Width, u64),
    WriteMsr(u32, u64),
    Halt,
}

/// The machine. Ports read as their number times 0x01010101 plus how many were read.
pub(super) struct Twin {
    pub(super) cr8: Cell<u64>,
    pub(super) interrupts: Cell<bool>,
    pub(super) device: RefCell<Vec<u8>>,
    pub(super) asked: RefCell<Vec<Asked>>,
    pub(super) recording: Cell<bool>,
    /// Memory that the checked copies accept.
    pub(super) memory: RefCell<Vec<Range<u64>>>,
    pub(super) code: Cell<(u64, u64)>,
    pub(super) guard: Cell<(u64, u64)>,
    /// One page of zeros that can be read and not written, and is not really there.
    pub(super) read_only: Cell<u64>,
    /// Where the checked copy starts, and where it goes on after a fault.
    pub(super) copy: Cell<(u64, u64)>,
    pub(super) stack: Cell<(u64, u64)>,
    pub(super) attention: Cell<bool>,
    pub(super) on_attend: RefCell<Option<Attend>>,
    pub(super) on_stop: RefCell<Option<ChangeContext>>,
    pub(super) attended: Cell<u32>,
    pub(super) faulted: Cell<Option<Fault>>,
    pub(super) unsupported: RefCell<Vec<String>>,
    /// Where stopped code goes on.
    pub(super) exit: Cell<u64>,
    pub(super) stopped_at: Cell<u64>,
    pub(super) stops: Cell<u32>,
    reads: Cell<u64>,
}

impl Twin {
    pub(super) fn new() -> &'static Self {
        Box::leak(Box::new(Self {
            cr8: Cell::new(0),
            interrupts: Cell::new(true),
            device: RefCell::new(vec![0; DEVICE_BYTES]),
            asked: RefCell::default(),
            recording: Cell::new(true),
            memory: RefCell::default(),
            code: Cell::default(),
            guard: Cell::default(),
            read_only: Cell::new(1),
            copy: Cell::default(),
            stack: Cell::default(),
            attention: Cell::new(false),
            on_attend: RefCell::default(),
            on_stop: RefCell::default(),
            attended: Cell::new(0),
            faulted: Cell::new(None),
            unsupported: RefCell::default(),
            exit: Cell::new(0),
            stopped_at: Cell::new(0),
            stops: Cell::new(0),
            reads: Cell::new(0),
        }))
    }

    fn ask(&self, asked: Asked) {
        if self.recording.get() {
            self.asked.borrow_mut().push(asked);
        }
    }

    /// What was asked since the last time.
    pub(super) fn take_asked(&self) -> Vec<Asked> {
        self.asked.take()
    }

    /// The kind of the last fault.
    pub(super) fn take_fault(&self) -> Option<Fault> {
        self.faulted.take()
    }

    pub(super) fn take_fault_kind(&self) -> Option<FaultKind> {
        self.take_fault().map(|fault| fault.kind)
    }

    fn check(&self, address: u64, length: usize, write: bool) -> Result<(), BadAddress> {
        let memory = self.memory.borrow();
        let missing = (0..length as u64).map(|offset| address.wrapping_add(offset));
        let mut missing =
            missing.filter(|address| !memory.iter().any(|range| range.contains(address)));
        missing
            .next()
            .map_or(Ok(()), |address| Err(BadAddress { address, write }))
    }
}

fn device_offset(physical: u64, width: Width) -> usize {
    assert_eq!(physical % width.bytes(), 0, "devices see aligned accesses");
    (physical - layout::DEVICE_PHYSICAL) as usize
}

impl Machine for Twin {
    fn read_cr8(&self) -> u64 {
        self.cr8.get()
    }

    fn write_cr8(&self, value: u64) {
        assert!(value <= 15);
        self.cr8.set(value);
    }

    fn read_port(&self, port: u16, width: Width) -> u64 {
        self.ask(Asked::ReadPort(port, width));
        let value = u64::from(port) * 0x0101_0101 + self.reads.get();
        if self.recording.get() {
            self.reads.set(self.reads.get() + 1);
        }
        value & width.ones()
    }

    fn write_port(&self, port: u16, width: Width, value: u64) {
        self.ask(Asked::WritePort(port, width, value));
    }

    fn read_device(&self, physical: u64, width: Width) -> u64 {
        self.ask(Asked::ReadDevice(physical, width));
        let at = device_offset(physical, width);
        let device = self.device.borrow();
        let mut value = [0xFF; 8];
        for (to, from) in value.iter_mut().zip(device.iter().skip(at)) {
            *to = *from;
        }
        u64::from_le_bytes(value) & width.ones()
    }

    fn write_device(&self, physical: u64, width: Width, value: u64) {
        self.ask(Asked::WriteDevice(physical, width, value));
        let at = device_offset(physical, width);
        let bytes = value.to_le_bytes();
        for (to, from) in self
            .device
            .borrow_mut()
            .iter_mut()
            .skip(at)
            .zip(&bytes[..width.bytes() as usize])
        {
            *to = *from;
        }
    }

    fn set_interrupt_flag(&self, enabled: bool) {
        self.interrupts.set(enabled);
    }

    fn original(&self, _: u64) -> Option<u64> {
        None
    }

    fn twin(&self, _: u64) -> Option<u64> {
        None
    }

    fn room_for_records(&self, _: u64, _: u64) -> Option<u64> {
        None
    }

    fn interrupt_flag(&self) -> bool {
        self.interrupts.get()
    }

    fn read_msr(&self, register: u32) -> Option<u64> {
        (register == 0x1B).then_some(0x1234_5678_9ABC_DEF0)
    }

    fn write_msr(&self, register: u32, value: u64) -> bool {
        self.ask(Asked::WriteMsr(register, value));
        register == 0x1B
    }

    fn read_shared_data(&self, offset: u64, into: &mut [u8]) {
        for (at, byte) in into.iter_mut().enumerate() {
            *byte = (offset + at as u64) as u8;
        }
    }

    fn time_stamp_counter(&self) -> u64 {
        0x1111_2222_3333_4444
    }

    fn halt(&self) {
        self.ask(Asked::Halt);
    }

    fn needs_attention(&self) -> bool {
        self.attention.get()
    }

    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), BadAddress> {
        if address & !0xFFF == self.read_only.get() {
            into.fill(0);
            return Ok(());
        }
        self.check(address, into.len(), false)?;
        let from = std::ptr::with_exposed_provenance::<u8>(address as usize);
        // SAFETY: the test says that this is its memory.
        unsafe { std::ptr::copy_nonoverlapping(from, into.as_mut_ptr(), into.len()) };
        Ok(())
    }

    fn write(&self, address: u64, from: &[u8]) -> Result<(), BadAddress> {
        self.check(address, from.len(), true)?;
        let to = std::ptr::with_exposed_provenance_mut::<u8>(address as usize);
        // SAFETY: the test says that this is its memory.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) };
        Ok(())
    }

    fn touch(&self, _address: u64) -> bool {
        false
    }

    fn copy_fixup(&self, instruction: u64) -> Option<u64> {
        let (start, landing) = self.copy.get();
        (start..landing).contains(&instruction).then_some(landing)
    }

    fn image_of(&self, address: u64) -> Option<Range<u64>> {
        let code = self.code.get().0..self.code.get().1;
        code.contains(&address).then_some(code)
    }

    fn patch_code(&self, address: u64, byte: u8) -> bool {
        assert!(self.image_of(address).is_some());
        self.write(address, &[byte]).is_ok()
    }

    fn runs_driver(&self) -> bool {
        true
    }

    fn is_driver_code(&self, instruction: u64) -> bool {
        self.image_of(instruction).is_some()
    }

    fn is_stack_guard(&self, address: u64) -> bool {
        (self.guard.get().0..self.guard.get().1).contains(&address)
    }

    fn stack_room(&self, stack_pointer: u64) -> Option<u64> {
        let (start, end) = self.stack.get();
        (start..=end)
            .contains(&stack_pointer)
            .then(|| stack_pointer - start)
    }

    fn attend(&self) -> Ddi<()> {
        self.attention.set(false);
        self.attended.set(self.attended.get() + 1);
        match &*self.on_attend.borrow() {
            Some(attend) => attend(),
            None => Ok(()),
        }
    }

    fn fault(&self, fault: &Fault) -> Stop {
        self.faulted.set(Some(*fault));
        Stop::Ended
    }

    fn system_call(&self, _call: SystemCall) -> Stop {
        unreachable!("no filter is installed")
    }

    fn unsupported(&self, _instruction: u64, text: String) -> Ddi<()> {
        self.unsupported.borrow_mut().push(text);
        Ok(())
    }

    fn stop(&self, stop: Stop, context: &mut Context) {
        assert_eq!(stop, Stop::Ended);
        self.stops.set(self.stops.get() + 1);
        self.stopped_at.set(context.rip);
        context.rip = self.exit.get();
        if let Some(change) = &*self.on_stop.borrow() {
            change(context);
        }
    }
}
