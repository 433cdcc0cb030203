//! Memory accesses of devices.

use alloc::vec;

use dirql_chips::Device;

use crate::Kernel;
use crate::hal::DeviceId;
use crate::hal::inputs::Target;
use crate::mm::layout;

/// Bytes that one request of a device may move: more than any register of a model holds.
const LONGEST: u32 = 1 << 24;

impl Kernel {
    /// A device reads memory. What is not RAM reads as all ones, as a bus does.
    pub(crate) fn dma_read(&self, device: DeviceId, address: u64, length: u32, token: u32) {
        let length = length.min(LONGEST) as usize;
        let mut bytes = vec![0xFF; length];
        if let Some(memory) = memory(address, length as u64) {
            // Fails where RAM is not in use; the bytes stay ones.
            let _ = self.platform().read(memory, &mut bytes);
        }
        self.input(device, |target, out, effects| match target {
            Target::Pci(function) => function.dma_data(token, &bytes, out),
            Target::Legacy(device) => Device::dma_data(device, token, &bytes, effects),
        });
    }

    /// A device writes memory. What is not RAM swallows it.
    pub(crate) fn dma_write(&self, address: u64, bytes: &[u8]) {
        if let Some(memory) = memory(address, bytes.len() as u64) {
            let _ = self.platform().write(memory, bytes);
        }
    }
}

/// Where RAM, a user's pages included, is visible; `None` for what is not all RAM.
fn memory(address: u64, length: u64) -> Option<u64> {
    let last = address.checked_add(length.checked_sub(1)?)?;
    let both =
        [address, last].map(|at| layout::virtual_address(at).filter(|_| !layout::is_device(at)));
    match both {
        [Some(first), Some(end)] if end - first == last - address => Some(first),
        _ => None,
    }
}
