//! A PCI bus as the processor reaches it: configuration mechanism #1, ECAM, and windows.
//!
//! Sources: PCI Local Bus Specification 3.0, "Software Generation of Configuration
//! Transactions"; PCI Express Base Specification, "PCI Express Enhanced Configuration Access
//! Mechanism (ECAM)".

use alloc::collections::BTreeMap;
use core::fmt;

use super::bar::Space;
use super::function::{Function, Outputs};
use super::spec::{CONFIG_SIZE, port};
use crate::device::Width;

/// Where a function is: bus, device 0..=31, function 0..=7.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(u16);

impl Address {
    /// `None` if a number is out of range.
    #[must_use]
    pub const fn new(bus: u8, device: u8, function: u8) -> Option<Self> {
        if device < 32 && function < 8 {
            Some(Self(
                (bus as u16) << 8 | (device as u16) << 3 | function as u16,
            ))
        } else {
            None
        }
    }

    /// The bus.
    #[must_use]
    pub const fn bus(self) -> u8 {
        (self.0 >> 8) as u8
    }

    /// The device, 0..=31.
    #[must_use]
    pub const fn device(self) -> u8 {
        (self.0 >> 3) as u8 & 31
    }

    /// The function, 0..=7.
    #[must_use]
    pub const fn function(self) -> u8 {
        self.0 as u8 & 7
    }

    const fn with_function(self, function: u8) -> Self {
        Self(self.0 & !7 | function as u16 & 7)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:02x}:{:02x}.{}",
            self.bus(),
            self.device(),
            self.function()
        )
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a function cannot be where it was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InsertError {
    /// There is one already.
    Occupied(Address),
    /// Nobody looks for functions of a device without function 0.
    NoFunctionZero(Address),
}

impl fmt::Display for InsertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Occupied(address) => write!(f, "there is a function at {address} already"),
            Self::NoFunctionZero(address) => {
                write!(
                    f,
                    "{address} would not be found: its device has no function 0"
                )
            }
        }
    }
}

impl core::error::Error for InsertError {}

/// All functions of the machine, by address.
#[derive(Clone, Debug, Default)]
pub struct Bus {
    functions: BTreeMap<Address, Function>,
    /// CONFIG_ADDRESS.
    selected: u32,
}

/// Bits of CONFIG_ADDRESS that exist.
const SELECTED_MASK: u32 = 0x80FF_FFFC;
/// Accesses to CONFIG_DATA go to configuration space.
const SELECTED_ENABLE: u32 = 1 << 31;

impl Bus {
    /// No functions.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            functions: BTreeMap::new(),
            selected: 0,
        }
    }

    /// Plugs a function in.
    ///
    /// # Errors
    /// The place is taken, or it is not function 0 and there is no function 0.
    pub fn insert(&mut self, address: Address, mut function: Function) -> Result<(), InsertError> {
        if self.functions.contains_key(&address) {
            return Err(InsertError::Occupied(address));
        }
        if address.function() != 0 {
            let zero = self.functions.get_mut(&address.with_function(0));
            zero.ok_or(InsertError::NoFunctionZero(address))?
                .set_one_of_several(true);
            function.set_one_of_several(true);
        }
        self.functions.insert(address, function);
        Ok(())
    }

    /// Pulls a function out.
    pub fn remove(&mut self, address: Address) -> Option<Function> {
        self.functions.remove(&address)
    }

    /// The function at an address.
    #[must_use]
    pub fn get(&self, address: Address) -> Option<&Function> {
        self.functions.get(&address)
    }

    /// The function at an address.
    pub fn get_mut(&mut self, address: Address) -> Option<&mut Function> {
        self.functions.get_mut(&address)
    }

    /// Every function, ascending by address.
    pub fn iter(&self) -> impl Iterator<Item = (Address, &Function)> + '_ {
        self.functions
            .iter()
            .map(|(&address, function)| (address, function))
    }

    /// Reads configuration space; ones where there is no function.
    #[must_use]
    pub fn read_config(&self, address: Address, offset: u16, width: Width) -> u64 {
        self.get(address).map_or(width.ones(), |function| {
            function.config().read(offset, width)
        })
    }

    /// Writes configuration space. Returns whether there is a function.
    pub fn write_config(
        &mut self,
        address: Address,
        offset: u16,
        width: Width,
        value: u64,
        out: &mut Outputs,
    ) -> bool {
        let Some(function) = self.get_mut(address) else {
            return false;
        };
        function.write_config(offset, width, value, out);
        true
    }

    /// Reads CONFIG_ADDRESS or CONFIG_DATA; `None` if the port is neither.
    #[must_use]
    pub fn read_port(&self, number: u16, width: Width) -> Option<u64> {
        if (number, width) == (port::ADDRESS, Width::U32) {
            return Some(self.selected.into());
        }
        let within = data_offset(number, width)?;
        Some(match self.selected_register(within) {
            Some((address, offset)) => self.read_config(address, offset, width),
            None => width.ones(),
        })
    }

    /// Writes CONFIG_ADDRESS or CONFIG_DATA; `None` if the port is neither. What left goes to
    /// `out`, and whose it is is answered.
    pub fn write_port(
        &mut self,
        number: u16,
        width: Width,
        value: u64,
        out: &mut Outputs,
    ) -> Option<Option<Address>> {
        if (number, width) == (port::ADDRESS, Width::U32) {
            self.selected = value as u32 & SELECTED_MASK;
            return Some(None);
        }
        let within = data_offset(number, width)?;
        let Some((address, offset)) = self.selected_register(within) else {
            return Some(None);
        };
        let exists = self.write_config(address, offset, width, value, out);
        Some(exists.then_some(address))
    }

    /// Which function and register an offset into the ECAM window is; the window has 4 KiB
    /// for each function, 256 MiB in all.
    #[must_use]
    pub const fn decode_ecam(offset: u64) -> Option<(Address, u16)> {
        if offset >> 28 != 0 {
            return None;
        }
        Some((Address((offset >> 12) as u16), (offset & 0xFFF) as u16))
    }

    /// The function that answers an access of `width` at `address`, its base address register
    /// and the offset in that window. The lowest address wins if several do.
    #[must_use]
    pub fn claim(&self, space: Space, address: u64, width: Width) -> Option<(Address, u8, u64)> {
        let last = address.checked_add(width.bytes() - 1)?;
        self.iter().find_map(|(at, function)| {
            function.windows().find_map(|window| {
                window.offset_of(space, last)?;
                Some((at, window.bar, window.offset_of(space, address)?))
            })
        })
    }

    fn selected_register(&self, within: u16) -> Option<(Address, u16)> {
        if self.selected & SELECTED_ENABLE == 0 {
            return None;
        }
        let offset = self.selected as u16 % CONFIG_SIZE + within;
        Some((Address((self.selected >> 8) as u16), offset))
    }
}

/// How far into CONFIG_DATA an access is, if it is within.
const fn data_offset(number: u16, width: Width) -> Option<u16> {
    let Some(within) = number.checked_sub(port::DATA) else {
        return None;
    };
    if within as u64 + width.bytes() <= 4 {
        Some(within)
    } else {
        None
    }
}
