//! Kernel queues: threads that wait for entries, so many of them busy at a time.
//!
//! The list of entries and the counts lie in the driver's memory. Which thread serves which queue
//! is kept here: a thread serves the queue that it last removed an entry from, or waited at. It
//! counts as busy until it waits for anything; then another thread may have an entry in its place.
//!
//! Source: WDK reference, ntifs.KeInitializeQueue, KeInsertQueue, KeInsertHeadQueue, KeRemoveQueue,
//! KeRundownQueue, KeReadStateQueue.

use alloc::collections::BTreeMap;
use core::cell::RefCell;

use dirql_abi::NtStatus;
use dirql_abi::dispatcher::{KQueue, object_type};
use dirql_abi::list::ListEntry;

use crate::ke::thread::ThreadId;
use crate::{Ddi, DriverPtr, Kernel, at};

/// A thread that serves a queue.
#[derive(Clone, Copy, Debug)]
struct Server {
    queue: u64,
    /// It is counted in `CurrentCount`.
    busy: bool,
}

/// Who serves which queue, and what threads have been given.
#[derive(Default)]
pub(crate) struct Queues {
    servers: RefCell<BTreeMap<ThreadId, Server>>,
    /// The entry that ended a thread's wait, by its KTHREAD.
    given: RefCell<BTreeMap<u64, u64>>,
}

type Queue = DriverPtr<KQueue>;

fn head(queue: Queue) -> DriverPtr<ListEntry> {
    at!(queue, KQueue, entry_list_head)
}

impl Kernel {
    /// `VOID KeInitializeQueue(PRKQUEUE Queue, ULONG Count)`: `count` threads may be busy at a time,
    /// as many as there are processors if it is 0. IRQL: any level.
    ///
    /// # Errors
    /// The queue is not memory.
    pub fn ke_initialize_queue(&self, queue: Queue, count: u32) -> Ddi<()> {
        self.write_header(
            queue.address(),
            object_type::QueueObject,
            size_of::<KQueue>(),
            0,
        )?;
        for list in [head(queue), at!(queue, KQueue, thread_list_head)] {
            let empty = ListEntry {
                flink: list.address(),
                blink: list.address(),
            };
            self.write(list, empty)?;
        }
        let most = if count == 0 {
            u32::from(self.config().processors)
        } else {
            count
        };
        self.write(at!(queue, KQueue, current_count), 0)?;
        Ok(self.write(at!(queue, KQueue, maximum_count), most)?)
    }

    /// `LONG KeReadStateQueue(PRKQUEUE Queue)`: the number of entries. IRQL: at or below
    /// DISPATCH_LEVEL.
    ///
    /// # Errors
    /// The queue is not memory.
    pub fn ke_read_state_queue(&self, queue: Queue) -> Ddi<i32> {
        Ok(self.read(Self::signal_state(queue.address()))?)
    }

    /// `LONG KeInsertQueue(PRKQUEUE Queue, PLIST_ENTRY Entry)`, and `KeInsertHeadQueue` with `first`
    ///
    /// Gives the entry to a thread that waits, the one that has waited shortest; keeps it if there
    /// is none, or enough threads are busy.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the number of entries there were.
    /// - Source: WDK reference, ntifs.KeInsertQueue, ntifs.KeInsertHeadQueue.
    ///
    /// # Errors
    /// The queue, the entry or a neighbour is not memory.
    pub fn ke_insert_queue(&self, queue: Queue, entry: u64, first: bool) -> Ddi<i32> {
        let list = head(queue);
        let before = self.ke_read_state_queue(queue)?;
        let ListEntry { flink, blink } = self.read(list)?;
        let (next, last) = if first {
            (flink, list.address())
        } else {
            (list.address(), blink)
        };
        let links = ListEntry {
            flink: next,
            blink: last,
        };
        self.write(DriverPtr::new(entry), links)?;
        self.write(
            at!(DriverPtr::<ListEntry>::new(last), ListEntry, flink),
            entry,
        )?;
        self.write(
            at!(DriverPtr::<ListEntry>::new(next), ListEntry, blink),
            entry,
        )?;
        self.write(Self::signal_state(queue.address()), before + 1)?;
        self.signal(queue.address())?;
        Ok(before)
    }

    /// `PLIST_ENTRY KeRemoveQueue(PRKQUEUE Queue, KPROCESSOR_MODE, PLARGE_INTEGER Timeout)`
    ///
    /// The calling thread serves this queue from now on.
    ///
    /// - IRQL: at or below APC_LEVEL; at DISPATCH_LEVEL with a timeout of zero.
    /// - Returns: an entry; or, in place of its address, STATUS_TIMEOUT, or STATUS_ABANDONED after
    ///   the queue was run down.
    /// - Yields: while it waits.
    /// - Source: WDK reference, ntifs.KeRemoveQueue.
    ///
    /// # Errors
    /// The queue or the timeout is not memory; as for any wait.
    pub fn ke_remove_queue(&self, queue: Queue, timeout: DriverPtr<i64>) -> Ddi<u64> {
        let timeout = self.read_timeout(timeout)?;
        let thread = self.current_thread();
        if let Some(thread) = thread {
            self.serve_queue(thread, queue.address())?;
        }
        let status = self.wait_for(queue.address(), timeout)?;
        if let Some(thread) = thread {
            self.server_goes_on(thread)?;
        }
        let kthread = self.current_kthread();
        let given = self.ke.queues.given.borrow_mut().remove(&kthread);
        Ok(given.unwrap_or(status.0 as u32 as u64))
    }

    /// `ULONG KeRemoveQueueEx(PRKQUEUE, KPROCESSOR_MODE, BOOLEAN Alertable, PLARGE_INTEGER Timeout,
    /// PLIST_ENTRY *EntryArray, ULONG Count)`: as [`Kernel::ke_remove_queue`], for up to `count`
    /// entries.
    ///
    /// - Returns: how many entries were written; or 1 with the status in place of the entry.
    /// - Source: wdm.h and ntifs.h, whose declaration says what it takes; the routine has no page.
    ///
    /// # Errors
    /// As [`Kernel::ke_remove_queue`]; the array is not memory.
    pub fn ke_remove_queue_ex(
        &self,
        queue: Queue,
        timeout: DriverPtr<i64>,
        entries: DriverPtr<u64>,
        count: u32,
    ) -> Ddi<u32> {
        let first = self.ke_remove_queue(queue, timeout)?;
        self.write(entries, first)?;
        let mut written = 1;
        while written < count {
            let Some(entry) = self.take_queued(queue)? else {
                break;
            };
            self.write(entries.element(written as usize), entry)?;
            written += 1;
        }
        Ok(written)
    }

    /// `PLIST_ENTRY KeRundownQueue(PRKQUEUE Queue)`
    ///
    /// Ends all waits for the queue; nobody serves it any more.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the first of the entries that were left, linked in a ring; NULL without any.
    /// - Source: WDK reference, ntifs.KeRundownQueue.
    ///
    /// # Errors
    /// The queue or an entry is not memory.
    pub fn ke_rundown_queue(&self, queue: Queue) -> Ddi<u64> {
        let list = head(queue);
        let ListEntry { flink, blink } = self.read(list)?;
        let empty = ListEntry {
            flink: list.address(),
            blink: list.address(),
        };
        self.write(list, empty)?;
        self.write(Self::signal_state(queue.address()), 0)?;
        let mut servers = self.ke.queues.servers.borrow_mut();
        servers.retain(|_, server| server.queue != queue.address());
        drop(servers);
        self.write(at!(queue, KQueue, current_count), 0)?;
        self.end_waits_for(queue.address(), NtStatus::ABANDONED_WAIT_0);
        if flink == list.address() {
            return Ok(0);
        }
        self.write(
            at!(DriverPtr::<ListEntry>::new(flink), ListEntry, blink),
            blink,
        )?;
        self.write(
            at!(DriverPtr::<ListEntry>::new(blink), ListEntry, flink),
            flink,
        )?;
        Ok(flink)
    }

    /// Whether a thread that waits for the queue may have an entry.
    pub(super) fn queue_is_signaled(&self, queue: u64) -> Ddi<bool> {
        let queue = Queue::new(queue);
        let busy = self.read(at!(queue, KQueue, current_count))?;
        let most = self.read(at!(queue, KQueue, maximum_count))?;
        Ok(busy < most && self.ke_read_state_queue(queue)? > 0)
    }

    /// The effect on a queue of a wait that it ends.
    pub(super) fn give_entry(&self, queue: u64, kthread: u64) -> Ddi<()> {
        if let Some(entry) = self.take_queued(Queue::new(queue))? {
            self.ke.queues.given.borrow_mut().insert(kthread, entry);
        }
        Ok(())
    }

    /// Takes the first entry off the list.
    fn take_queued(&self, queue: Queue) -> Ddi<Option<u64>> {
        let list = head(queue);
        let entry = self.read(list)?.flink;
        if entry == list.address() {
            return Ok(None);
        }
        let next = self.read(DriverPtr::<ListEntry>::new(entry))?.flink;
        self.write(at!(list, ListEntry, flink), next)?;
        self.write(
            at!(DriverPtr::<ListEntry>::new(next), ListEntry, blink),
            list.address(),
        )?;
        let state = Self::signal_state(queue.address());
        self.write(state, self.read(state)? - 1)?;
        Ok(Some(entry))
    }

    /// From now on the thread serves the queue, and is not busy.
    fn serve_queue(&self, thread: ThreadId, queue: u64) -> Ddi<()> {
        let before = self.ke.queues.servers.borrow().get(&thread).copied();
        match before {
            // It comes for the next entry itself.
            Some(Server { queue: same, busy }) if same == queue => {
                self.change_busy(queue, -i32::from(busy))?;
            }
            _ => self.server_waits(thread)?,
        }
        let server = Server { queue, busy: false };
        self.ke.queues.servers.borrow_mut().insert(thread, server);
        Ok(())
    }

    /// A thread begins to wait for something, or ends: another may be busy in its place.
    pub(super) fn server_waits(&self, thread: ThreadId) -> Ddi<()> {
        let Some(queue) = self.set_busy(thread, false) else {
            return Ok(());
        };
        self.change_busy(queue, -1)?;
        self.signal(queue)
    }

    /// A thread goes on after a wait.
    pub(super) fn server_goes_on(&self, thread: ThreadId) -> Ddi<()> {
        match self.set_busy(thread, true) {
            Some(queue) => self.change_busy(queue, 1),
            None => Ok(()),
        }
    }

    /// A thread has ended.
    pub(super) fn server_ends(&self, thread: ThreadId) -> Ddi<()> {
        self.server_waits(thread)?;
        self.ke.queues.servers.borrow_mut().remove(&thread);
        Ok(())
    }

    /// The queue that a thread serves, if it was not as busy as that before.
    fn set_busy(&self, thread: ThreadId, busy: bool) -> Option<u64> {
        let mut servers = self.ke.queues.servers.borrow_mut();
        let server = servers.get_mut(&thread)?;
        (core::mem::replace(&mut server.busy, busy) != busy).then_some(server.queue)
    }

    fn change_busy(&self, queue: u64, by: i32) -> Ddi<()> {
        let busy = at!(Queue::new(queue), KQueue, current_count);
        Ok(self.write(busy, self.read(busy)?.wrapping_add_signed(by))?)
    }
}
