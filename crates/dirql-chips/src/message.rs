//! What an interrupt message asks for, and its form on the bus.
//!
//! Sources: Intel SDM volume 3, "Message Signalled Interrupts" ("Message Address Register
//! Format", "Message Data Register Format") and "Delivery Mode" under "Interrupt Command
//! Register (ICR)".
//!
//! Not modelled: interrupt remapping; an address outside 0xFEEx_xxxx is an ordinary memory
//! write and no message.

use core::fmt;

use crate::wire::{MessageWrite, Trigger, Vector};

/// Bits 31:20 of every message address.
const WINDOW: u64 = 0xFEE0_0000;
/// Which bits say so.
const WINDOW_MASK: u64 = 0xFFFF_FFFF_FFF0_0000;

/// How a destination field selects local APICs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DestinationMode {
    /// The field is a local APIC ID; all ones means every local APIC.
    #[default]
    Physical,
    /// The field is a mask that is compared with each logical destination register.
    Logical,
}

impl DestinationMode {
    /// From the one-bit field: 0 is physical, 1 is logical.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        if bits & 1 == 0 {
            Self::Physical
        } else {
            Self::Logical
        }
    }

    /// To the one-bit field.
    #[must_use]
    pub const fn into_bits(self) -> u8 {
        self as u8
    }
}

/// What is to happen at the destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DeliveryMode {
    /// The vector is delivered to every local APIC of the destination.
    #[default]
    Fixed = 0,
    /// The vector is delivered to the one of lowest priority among the destination.
    LowestPriority = 1,
    /// A system management interrupt.
    Smi = 2,
    /// Encoding 3, which no document defines for messages.
    Reserved = 3,
    /// A non-maskable interrupt; the vector is ignored.
    Nmi = 4,
    /// The processor is put into its INIT state.
    Init = 5,
    /// The processor starts at the page that the vector names.
    Startup = 6,
    /// The vector is asked from an 8259-compatible controller.
    ExtInt = 7,
}

impl DeliveryMode {
    /// From the three-bit field.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 7 {
            0 => Self::Fixed,
            1 => Self::LowestPriority,
            2 => Self::Smi,
            3 => Self::Reserved,
            4 => Self::Nmi,
            5 => Self::Init,
            6 => Self::Startup,
            _ => Self::ExtInt,
        }
    }

    /// To the three-bit field.
    #[must_use]
    pub const fn into_bits(self) -> u8 {
        self as u8
    }
}

/// An interrupt on its way to one or more local APICs.
///
/// Messages of devices, of an IO-APIC and inter-processor interrupts are all this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterruptMessage {
    /// The destination field: a local APIC ID or a mask, as `destination_mode` says.
    pub destination: u8,
    /// A destination of 32 bits in place of `destination`, as local APICs in x2APIC mode have.
    pub wide_destination: Option<u32>,
    /// How `destination` is read.
    pub destination_mode: DestinationMode,
    /// The redirection hint: the chip set may choose one of several destinations.
    pub redirection_hint: bool,
    /// What is to happen there.
    pub delivery: DeliveryMode,
    /// The vector; 0x00..=0x0F arrives as an error (`receive illegal vector`).
    pub vector: Vector,
    /// Whether the sender waits for an EOI.
    pub trigger: Trigger,
}

impl InterruptMessage {
    /// A fixed, edge-triggered message to one local APIC.
    #[must_use]
    pub const fn fixed(destination: u8, vector: Vector) -> Self {
        Self {
            destination,
            wide_destination: None,
            destination_mode: DestinationMode::Physical,
            redirection_hint: false,
            delivery: DeliveryMode::Fixed,
            vector,
            trigger: Trigger::Edge,
        }
    }

    /// A fixed, edge-triggered message to the local APIC of this x2APIC ID.
    #[must_use]
    pub const fn fixed_wide(destination: u32, vector: Vector) -> Self {
        let mut message = Self::fixed(destination as u8, vector);
        message.wide_destination = Some(destination);
        message
    }

    /// Reads a memory write as a message. Destinations have 8 bits: see
    /// [`InterruptMessage::decode_x2apic`].
    ///
    /// # Errors
    /// The address is not in 0xFEE0_0000..=0xFEEF_FFFF.
    pub const fn decode(write: MessageWrite) -> Result<Self, NotAMessage> {
        if write.address & WINDOW_MASK != WINDOW {
            return Err(NotAMessage {
                address: write.address,
            });
        }
        Ok(Self {
            destination: (write.address >> 12) as u8,
            wide_destination: None,
            redirection_hint: write.address & 1 << 3 != 0,
            destination_mode: DestinationMode::from_bits((write.address >> 2) as u8),
            delivery: DeliveryMode::from_bits((write.data >> 8) as u8),
            vector: Vector(write.data as u8),
            trigger: Trigger::from_bits((write.data >> 15) as u8),
        })
    }

    /// Reads a memory write as a message of a machine whose local APICs are in x2APIC mode: bits
    /// 63:40 of the address are bits 31:8 of the destination. Source: Intel Virtualization
    /// Technology for Directed I/O, "Fault Event Upper Address Register".
    ///
    /// # Errors
    /// Bits 39:20 of the address are not 0x00FEE.
    pub const fn decode_x2apic(write: MessageWrite) -> Result<Self, NotAMessage> {
        let low = MessageWrite {
            address: write.address & 0xFF_FFFF_FFFF,
            ..write
        };
        match Self::decode(low) {
            Ok(mut message) => {
                let high = (write.address >> 32) as u32 & 0xFFFF_FF00;
                message.wide_destination = Some(high | message.destination as u32);
                Ok(message)
            }
            Err(_) => Err(NotAMessage {
                address: write.address,
            }),
        }
    }

    /// The memory write that carries this message. A wide destination has its upper bits where
    /// [`InterruptMessage::decode_x2apic`] looks for them.
    ///
    /// Bit 14 (assert) is set for level-triggered messages only; the SDM calls it "don't
    /// care" for edge-triggered ones.
    #[must_use]
    pub const fn encode(self) -> MessageWrite {
        let level = self.trigger.into_bits() as u32;
        let destination = match self.wide_destination {
            Some(wide) => (wide as u64 & 0xFF) << 12 | (wide as u64 & 0xFFFF_FF00) << 32,
            None => (self.destination as u64) << 12,
        };
        MessageWrite {
            address: WINDOW
                | destination
                | (self.redirection_hint as u64) << 3
                | (self.destination_mode.into_bits() as u64) << 2,
            data: level << 15
                | level << 14
                | (self.delivery.into_bits() as u32) << 8
                | self.vector.0 as u32,
        }
    }
}

/// A write that goes to memory, not to a local APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAMessage {
    /// Where it was addressed to.
    pub address: u64,
}

impl fmt::Display for NotAMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "address {:#x} is outside the message window 0xfee00000..=0xfeefffff",
            self.address
        )
    }
}

impl core::error::Error for NotAMessage {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_window_ends_where_it_ends() {
        let at = |address| {
            InterruptMessage::decode(MessageWrite {
                address,
                data: 0x31,
            })
            .is_ok()
        };
        assert!(!at(0xFEDF_FFFF));
        assert!(at(0xFEE0_0000));
        assert!(at(0xFEEF_FFFC));
        assert!(!at(0xFEF0_0000));
        assert!(
            !at(0x1_FEE0_0000),
            "the upper half of a 64-bit message address is zero"
        );
    }

    #[test]
    fn fields_are_where_the_sdm_puts_them() {
        let write = MessageWrite {
            address: 0xFEE0_500C,
            data: 0xC1B3,
        };
        let message = InterruptMessage::decode(write).expect("in the window");
        assert_eq!(message.destination, 5);
        assert_eq!(message.destination_mode, DestinationMode::Logical);
        assert!(message.redirection_hint);
        assert_eq!(message.delivery, DeliveryMode::LowestPriority);
        assert_eq!(message.vector, Vector(0xB3));
        assert_eq!(message.trigger, Trigger::Level);
        assert_eq!(message.encode(), write);
    }

    #[test]
    fn a_wide_destination_has_its_upper_bits_in_the_upper_address() {
        let message = InterruptMessage::fixed_wide(0x1234_56FF, Vector(0x51));
        let write = message.encode();
        assert_eq!(write.address, 0x1234_5600_FEEF_F000);
        assert_eq!(InterruptMessage::decode_x2apic(write), Ok(message));
        assert!(InterruptMessage::decode(write).is_err());
        for address in [0x1_FEE0_0000, 0x80_FEE0_0000, 0xFED0_0000, 0x100_FEF0_0000] {
            let write = MessageWrite { address, data: 0 };
            let refused = Err(NotAMessage { address });
            assert_eq!(InterruptMessage::decode_x2apic(write), refused);
        }
    }

    proptest! {
        #[test]
        fn wide_decoding_undoes_encoding(
            high in 0..0x100_0000u64, low in 0xFEE0_0000u64..0xFEF0_0000, data: u32,
        ) {
            let write = MessageWrite { address: high << 40 | low, data };
            let message = InterruptMessage::decode_x2apic(write).expect("in the window");
            prop_assert_eq!(InterruptMessage::decode_x2apic(message.encode()), Ok(message));
        }

        #[test]
        fn decoding_undoes_encoding(address in 0xFEE0_0000u64..0xFEF0_0000, data: u32) {
            let message = InterruptMessage::decode(MessageWrite { address, data }).expect("in the window");
            prop_assert_eq!(InterruptMessage::decode(message.encode()), Ok(message));
        }
    }
}
