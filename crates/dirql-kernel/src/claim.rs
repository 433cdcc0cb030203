//! Driver pointers: claims until checked.

use core::fmt;
use core::marker::PhantomData;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::Kernel;
use crate::stop::BadAddress;

/// An address that a driver gave, or a kernel structure that drivers can see, said to
/// hold a `T`. Reading and writing go through the [`Kernel`] and can fail.
#[repr(transparent)]
pub struct DriverPtr<T> {
    address: u64,
    pointee: PhantomData<fn() -> T>,
}

impl<T> DriverPtr<T> {
    /// The null pointer.
    pub const NULL: Self = Self::new(0);

    /// The claim that `address` holds a `T`.
    #[must_use]
    pub const fn new(address: u64) -> Self {
        Self {
            address,
            pointee: PhantomData,
        }
    }

    /// The address.
    #[must_use]
    pub const fn address(self) -> u64 {
        self.address
    }

    /// Whether this is the null pointer.
    #[must_use]
    pub const fn is_null(self) -> bool {
        self.address == 0
    }

    /// The same address with another type.
    #[must_use]
    pub const fn cast<U>(self) -> DriverPtr<U> {
        DriverPtr::new(self.address)
    }

    /// The member at `offset`. The second argument only fixes the type; use [`crate::at!`].
    #[must_use]
    pub fn member<F>(self, offset: usize, _shape: fn(&T) -> &F) -> DriverPtr<F> {
        DriverPtr::new(self.address.wrapping_add(offset as u64))
    }

    /// Element `index` of the array that starts here.
    #[must_use]
    pub fn element(self, index: usize) -> Self {
        Self::new(self.address.wrapping_add((index * size_of::<T>()) as u64))
    }
}

impl<T> Clone for DriverPtr<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for DriverPtr<T> {}

impl<T> PartialEq for DriverPtr<T> {
    fn eq(&self, other: &Self) -> bool {
        self.address == other.address
    }
}

impl<T> Eq for DriverPtr<T> {}

impl<T> From<DriverPtr<T>> for u64 {
    fn from(pointer: DriverPtr<T>) -> Self {
        pointer.address
    }
}

impl<T> PartialOrd for DriverPtr<T> {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for DriverPtr<T> {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.address.cmp(&other.address)
    }
}

impl<T> fmt::Debug for DriverPtr<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.address)
    }
}

/// `at!(irp, Irp, io_status.status)`: the claim about one member, with its type.
#[macro_export]
macro_rules! at {
    ($pointer:expr, $type:ty, $($member:tt)+) => {
        $pointer.member(
            core::mem::offset_of!($type, $($member)+),
            |pointee: &$type| &pointee.$($member)+,
        )
    };
}

impl Kernel {
    /// Reads what `pointer` claims to point at.
    ///
    /// # Errors
    /// [`BadAddress`] if any byte of it is not readable memory.
    pub fn read<T: FromBytes + IntoBytes>(&self, pointer: DriverPtr<T>) -> Result<T, BadAddress> {
        let mut value = T::new_zeroed();
        self.platform()
            .read(pointer.address, value.as_mut_bytes())?;
        Ok(value)
    }

    /// Writes to where `pointer` claims to point.
    ///
    /// # Errors
    /// [`BadAddress`] if any byte of it is not writable memory.
    pub fn write<T: IntoBytes + Immutable>(
        &self,
        pointer: DriverPtr<T>,
        value: T,
    ) -> Result<(), BadAddress> {
        self.platform().write(pointer.address, value.as_bytes())
    }

    /// Reads `length` bytes. `length` is bounded by the caller.
    ///
    /// # Errors
    /// [`BadAddress`] if any byte is not readable memory; nothing is allocated for more
    /// than a page before the first byte has been read.
    pub fn read_bytes(
        &self,
        address: u64,
        length: usize,
    ) -> Result<alloc::vec::Vec<u8>, BadAddress> {
        let mut bytes = alloc::vec::Vec::new();
        let mut at = address;
        let mut left = length;
        while left > 0 {
            let chunk = left.min(0x1000);
            let start = bytes.len();
            bytes.resize(start + chunk, 0);
            self.platform().read(at, &mut bytes[start..])?;
            at = at.wrapping_add(chunk as u64);
            left -= chunk;
        }
        Ok(bytes)
    }

    /// Writes bytes.
    ///
    /// # Errors
    /// [`BadAddress`] if any byte is not writable memory.
    pub fn write_bytes(&self, address: u64, bytes: &[u8]) -> Result<(), BadAddress> {
        self.platform().write(address, bytes)
    }
}
