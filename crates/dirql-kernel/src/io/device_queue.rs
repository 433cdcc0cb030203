//! Device queues.
//!
//! A queue is busy or not. Inserting into one that is not makes it busy and does not queue;
//! removing from an empty one makes it not busy.
//!
//! Source: WDK, "Device Queue Objects"; the pages of the routines.

use dirql_abi::dispatcher::{KDeviceQueue, KDeviceQueueEntry, kernel_object_type};

use super::list;
use crate::{Ddi, DriverPtr, Kernel, at};

type Queue = DriverPtr<KDeviceQueue>;
type Entry = DriverPtr<KDeviceQueueEntry>;

fn head(queue: Queue) -> u64 {
    at!(queue, KDeviceQueue, device_list_head).address()
}

impl Kernel {
    /// `VOID KeInitializeDeviceQueue(PKDEVICE_QUEUE)`
    ///
    /// Makes a queue that is empty and not busy.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Source: WDK reference, wdm.KeInitializeDeviceQueue.
    ///
    /// # Errors
    /// The queue is not memory.
    pub fn ke_initialize_device_queue(&self, queue: Queue) -> Ddi<()> {
        let body = KDeviceQueue {
            type_: i16::from(kernel_object_type::DeviceQueueObject),
            size: size_of::<KDeviceQueue>() as i16,
            ..super::driver::zeroed()
        };
        self.write(queue, body)?;
        list::initialize(self, head(queue))
    }

    /// `BOOLEAN KeInsertDeviceQueue(PKDEVICE_QUEUE, PKDEVICE_QUEUE_ENTRY)`
    ///
    /// Queues an entry at the end if the queue is busy, else makes it busy.
    ///
    /// - IRQL: DISPATCH_LEVEL.
    /// - Returns: TRUE if the entry was queued.
    /// - Source: WDK reference, wdm.KeInsertDeviceQueue.
    ///
    /// # Errors
    /// An argument that is not memory; bug check 0x139 for a damaged list.
    pub fn ke_insert_device_queue(&self, queue: Queue, entry: Entry) -> Ddi<u8> {
        self.insert_entry(queue, entry, None)
    }

    /// `BOOLEAN KeInsertByKeyDeviceQueue(PKDEVICE_QUEUE, PKDEVICE_QUEUE_ENTRY, ULONG SortKey)`
    ///
    /// As [`Kernel::ke_insert_device_queue`], behind the last entry with a key that is not
    /// greater.
    ///
    /// - IRQL: DISPATCH_LEVEL.
    /// - Returns: TRUE if the entry was queued.
    /// - Source: WDK reference, wdm.KeInsertByKeyDeviceQueue.
    ///
    /// # Errors
    /// As [`Kernel::ke_insert_device_queue`].
    pub fn ke_insert_by_key_device_queue(&self, queue: Queue, entry: Entry, key: u32) -> Ddi<u8> {
        self.insert_entry(queue, entry, Some(key))
    }

    fn insert_entry(&self, queue: Queue, entry: Entry, key: Option<u32>) -> Ddi<u8> {
        if let Some(key) = key {
            self.write(at!(entry, KDeviceQueueEntry, sort_key), key)?;
        }
        let busy = at!(queue, KDeviceQueue, busy);
        let queued = self.read(busy)? != 0;
        if queued {
            let before = match key {
                Some(key) => self.first_above(queue, key)?,
                None => None,
            };
            list::insert_before(self, before.unwrap_or(head(queue)), entry.address())?;
        } else {
            self.write(busy, 1)?;
        }
        self.write(at!(entry, KDeviceQueueEntry, inserted), u8::from(queued))?;
        Ok(u8::from(queued))
    }

    /// The first entry with a key of more than `key`.
    fn first_above(&self, queue: Queue, key: u32) -> Ddi<Option<u64>> {
        let mut at = list::first(self, head(queue))?;
        while let Some(entry) = at {
            let other = at!(Entry::new(entry), KDeviceQueueEntry, sort_key);
            if self.read(other)? > key {
                return Ok(Some(entry));
            }
            at = list::next(self, head(queue), entry)?;
        }
        Ok(None)
    }

    /// `PKDEVICE_QUEUE_ENTRY KeRemoveDeviceQueue(PKDEVICE_QUEUE)`
    ///
    /// Takes the first entry out; without one the queue is not busy any more.
    ///
    /// - IRQL: DISPATCH_LEVEL.
    /// - Returns: the entry, or NULL.
    /// - Source: WDK reference, wdm.KeRemoveDeviceQueue.
    ///
    /// # Errors
    /// As [`Kernel::ke_insert_device_queue`].
    pub fn ke_remove_device_queue(&self, queue: Queue) -> Ddi<Entry> {
        let first = list::first(self, head(queue))?;
        self.take_entry(queue, first)
    }

    /// `PKDEVICE_QUEUE_ENTRY KeRemoveByKeyDeviceQueue(PKDEVICE_QUEUE, ULONG SortKey)`
    ///
    /// Takes out the first entry whose key is not less than `SortKey`, or the first at all if
    /// there is none such.
    ///
    /// - IRQL: DISPATCH_LEVEL.
    /// - Returns: the entry, or NULL.
    /// - Source: WDK reference, wdm.KeRemoveByKeyDeviceQueue.
    ///
    /// # Errors
    /// As [`Kernel::ke_insert_device_queue`].
    pub fn ke_remove_by_key_device_queue(&self, queue: Queue, key: u32) -> Ddi<Entry> {
        let mut chosen = None;
        if key > 0 {
            chosen = self.first_above(queue, key - 1)?;
        }
        let chosen = match chosen {
            Some(entry) => Some(entry),
            None => list::first(self, head(queue))?,
        };
        self.take_entry(queue, chosen)
    }

    /// `PKDEVICE_QUEUE_ENTRY KeRemoveByKeyDeviceQueueIfBusy(PKDEVICE_QUEUE, ULONG SortKey)`: as
    /// [`Kernel::ke_remove_by_key_device_queue`], for a queue that may be idle; then NULL.
    ///
    /// - IRQL: DISPATCH_LEVEL.
    /// - Source: WDK reference, wdm.KeRemoveByKeyDeviceQueueIfBusy.
    ///
    /// # Errors
    /// As [`Kernel::ke_insert_device_queue`].
    pub fn ke_remove_by_key_device_queue_if_busy(&self, queue: Queue, key: u32) -> Ddi<Entry> {
        if self.read(at!(queue, KDeviceQueue, busy))? == 0 {
            return Ok(Entry::NULL);
        }
        self.ke_remove_by_key_device_queue(queue, key)
    }

    fn take_entry(&self, queue: Queue, entry: Option<u64>) -> Ddi<Entry> {
        let Some(entry) = entry else {
            self.write(at!(queue, KDeviceQueue, busy), 0)?;
            return Ok(Entry::NULL);
        };
        list::remove(self, entry)?;
        self.write(at!(Entry::new(entry), KDeviceQueueEntry, inserted), 0)?;
        Ok(Entry::new(entry))
    }

    /// `BOOLEAN KeRemoveEntryDeviceQueue(PKDEVICE_QUEUE, PKDEVICE_QUEUE_ENTRY)`
    ///
    /// Takes this entry out; the queue stays busy.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: TRUE if it was queued.
    /// - Source: WDK reference, wdm.KeRemoveEntryDeviceQueue.
    ///
    /// # Errors
    /// As [`Kernel::ke_insert_device_queue`].
    pub fn ke_remove_entry_device_queue(&self, _queue: Queue, entry: Entry) -> Ddi<u8> {
        let inserted = at!(entry, KDeviceQueueEntry, inserted);
        if self.read(inserted)? == 0 {
            return Ok(0);
        }
        list::remove(self, entry.address())?;
        self.write(inserted, 0)?;
        Ok(1)
    }
}
