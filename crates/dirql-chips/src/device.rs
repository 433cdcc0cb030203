//! The contract between a device model and the machine around it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::wire::Level;

/// How many bytes one access moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Width {
    /// One byte.
    U8 = 1,
    /// Two bytes.
    U16 = 2,
    /// Four bytes.
    U32 = 4,
    /// Eight bytes.
    U64 = 8,
}

impl Width {
    /// The number of bytes, 1, 2, 4 or 8.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self as u64
    }

    /// The width of `bytes`, or `None` if no access has it.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Option<Self> {
        match bytes {
            1 => Some(Self::U8),
            2 => Some(Self::U16),
            4 => Some(Self::U32),
            8 => Some(Self::U64),
            _ => None,
        }
    }

    /// All ones in this width: what a bus reads where nothing answers.
    #[must_use]
    pub const fn ones(self) -> u64 {
        u64::MAX >> (64 - 8 * self.bytes())
    }
}

/// Which of a device's register windows is accessed: the BAR's index for a PCI
/// function, the position in its resource list for a legacy device. 0..=5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(pub u8);

/// Something that leaves a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Interrupt source `source` became asserted or not.
    ///
    /// A legacy device drives its line number `source`; for a PCI function the
    /// surrounding [`crate::pci::Function`] turns this into INTx, MSI or MSI-X.
    Interrupt {
        /// Which of the device's sources, 0 for devices with one.
        source: u16,
        /// [`Level::High`] is asserted, whatever the line's polarity is. Saying it again while
        /// asserted changes nothing on a line; as a message it is another message.
        level: Level,
    },
    /// The device reads `length` bytes of memory; [`Device::dma_data`] brings them.
    DmaRead {
        /// Bus address.
        address: u64,
        /// Bytes.
        length: u32,
        /// Handed back with the data.
        token: u32,
    },
    /// The device writes memory.
    DmaWrite {
        /// Bus address.
        address: u64,
        /// What is written.
        bytes: Vec<u8>,
    },
    /// The device wants [`Device::timer`] called after this many units of 100 ns.
    Timer {
        /// Delay, in 100 ns units of virtual time.
        after_100ns: u64,
        /// Handed back.
        token: u32,
    },
    /// The delays with this token will not be over any more.
    StopTimer {
        /// What [`Effect::Timer`] had.
        token: u32,
    },
    /// Bytes that leave at the device's other end, for example on a serial wire.
    Output(Vec<u8>),
    /// Something other than bytes leaves a serial port.
    Serial(SerialOutput),
}

/// What left a device during one call, in order.
pub type Effects = Vec<Effect>;

/// Something that the world outside the computer does to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stimulus {
    /// A button is pressed.
    Press,
    /// A button is released.
    Release,
    /// Bytes arrive at the device's other end.
    Receive(Vec<u8>),
    /// The other end has these bytes to send, and sends the next one whenever the port asks for
    /// it (RTS is asserted).
    Offer(Vec<u8>),
    /// Something other than good bytes arrives at a serial port.
    Serial(SerialEvent),
    /// A pin of a controller is driven to a level.
    Pin {
        /// Which of its pins.
        pin: u16,
        /// The level from now on.
        level: Level,
    },
    /// This interrupt source fires once although nobody asked the device for it.
    Interrupt(u16),
}

/// What a serial port may get from its other end beside bytes ([`Stimulus::Receive`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SerialEvent {
    /// The line is spacing for longer than a character.
    Break,
    /// A character with wrong parity.
    ParityError(u8),
    /// A character without a stop bit.
    FramingError(u8),
    /// The modem inputs are so from now on.
    Modem(ModemLines),
}

/// What leaves a serial port beside bytes ([`Effect::Output`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SerialOutput {
    /// The modem outputs are so from now on; true is asserted.
    Modem {
        /// Data terminal ready.
        dtr: bool,
        /// Request to send.
        rts: bool,
    },
    /// The line begins to space for longer than a character.
    Break,
}

/// The modem inputs of a serial port; true is asserted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModemLines {
    /// Clear to send.
    pub cts: bool,
    /// Data set ready.
    pub dsr: bool,
    /// Ring indicator.
    pub ri: bool,
    /// Data carrier detect.
    pub dcd: bool,
}

/// A device's registers and behaviour, without the bus that it sits on.
///
/// All methods are pure in the sense that the result depends on the value and the
/// arguments alone. An access that the hardware ignores does nothing and reads as
/// the hardware would; nothing panics, whatever the offset.
pub trait Device: fmt::Debug {
    /// The model's name, for example `"edu"`.
    fn model(&self) -> &'static str;

    /// Whether its registers say when it may interrupt. A driver is to blame for an interrupt of
    /// such a device that comes too early.
    fn can_be_silenced(&self) -> bool {
        true
    }

    /// Reads `width` at `offset` of `region`; side effects go to `out`.
    fn read(&mut self, region: Region, offset: u64, width: Width, out: &mut Effects) -> u64;

    /// Writes the low `width` bytes of `value` at `offset` of `region`.
    fn write(&mut self, region: Region, offset: u64, width: Width, value: u64, out: &mut Effects);

    /// A delay asked for with [`Effect::Timer`] has passed.
    fn timer(&mut self, token: u32, out: &mut Effects) {
        let _ = (token, out);
    }

    /// Memory asked for with [`Effect::DmaRead`]. `bytes` is shorter than asked for if the rest
    /// could not be read; a device must not answer that by asking again at once.
    fn dma_data(&mut self, token: u32, bytes: &[u8], out: &mut Effects) {
        let _ = (token, bytes, out);
    }

    /// The outside world acts. Returns whether the model has such an input.
    fn stimulate(&mut self, stimulus: &Stimulus, out: &mut Effects) -> bool {
        let _ = (stimulus, out);
        false
    }

    /// Back to the state after power-on; asserted sources are released through `out`.
    fn reset(&mut self, out: &mut Effects);

    /// A copy, for exploration.
    fn clone_device(&self) -> Box<dyn Device>;
}

impl Clone for Box<dyn Device> {
    fn clone(&self) -> Self {
        self.clone_device()
    }
}
