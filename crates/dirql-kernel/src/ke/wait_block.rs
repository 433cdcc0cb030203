//! Wait blocks: what hangs on an object for each thread that waits for it.
//!
//! The kernel keeps who waits for what by itself. The blocks are laid out for those who look at
//! them: in the KTHREAD, or in what the caller of a wait for many gave for it.

use dirql_abi::dispatcher::{DispatcherHeader, KWaitBlock};
use dirql_abi::list::ListEntry;
use dirql_abi::processor::kthread;

use crate::at;
use crate::ke::thread::ThreadId;
use crate::ke::wait::Wait;
use crate::stop::Ddi;
use crate::{DriverPtr, Kernel};

impl Kernel {
    /// Hangs a wait block on each object, and returns the address of the first. `blocks` is
    /// memory of the caller for them; without it the thread has some.
    pub(super) fn link_wait_blocks(
        &self,
        thread: ThreadId,
        objects: &[u64],
        all: bool,
        blocks: u64,
    ) -> Ddi<u64> {
        let kthread = self.kthread_of(thread);
        let own = kthread + kthread::WAIT_BLOCK as u64;
        let is_plain = blocks == 0 && !all && objects.len() == 1;
        // Most waits are alike: what does not change from one to the next is written once.
        let is_known = self.note_plain_wait(thread, is_plain) && is_plain;
        let blocks = if blocks == 0 { own } else { blocks };
        let first = DriverPtr::<KWaitBlock>::new(blocks);
        for (index, object) in objects.iter().enumerate() {
            let block = first.element(index);
            let next = first.element((index + 1) % objects.len());
            let head = at!(
                DriverPtr::<DispatcherHeader>::new(*object),
                DispatcherHeader,
                wait_list_head
            );
            let last = self.read(head)?.blink;
            let links = at!(block, KWaitBlock, wait_list_entry);
            // The members up to NextWaitBlock at once; behind the others, the thread keeps some of
            // its own.
            let members = [head.address(), last, kthread, *object, next.address()];
            self.write(links.cast::<[u64; 5]>(), members)?;
            if !is_known {
                self.write(at!(block, KWaitBlock, wait_key), index as u16)?;
                self.write(at!(block, KWaitBlock, wait_type), u8::from(!all))?;
            }
            if last == head.address() {
                self.write(
                    head,
                    ListEntry {
                        flink: links.address(),
                        blink: links.address(),
                    },
                )?;
            } else {
                self.write(DriverPtr::<u64>::new(last), links.address())?;
                self.write(at!(head, ListEntry, blink), links.address())?;
            }
        }
        if !is_known {
            self.write(
                DriverPtr::new(kthread + kthread::WAIT_BLOCK_LIST as u64),
                blocks,
            )?;
        }
        Ok(blocks)
    }

    /// Takes a wait's blocks off their objects. An object or a block whose memory is gone, or
    /// was laid out again meanwhile, has no list that could be mended.
    pub(super) fn unlink_wait_blocks(&self, wait: &Wait) {
        let first = DriverPtr::<KWaitBlock>::new(wait.blocks);
        for index in 0..wait.objects.len() {
            let links = at!(first.element(index), KWaitBlock, wait_list_entry);
            if self.unlink_only_block(wait.objects[index], links.address()) {
                continue;
            }
            let Ok(ListEntry { flink, blink }) = self.read(links) else {
                continue;
            };
            let (next, last) = (
                DriverPtr::<ListEntry>::new(flink),
                DriverPtr::<ListEntry>::new(blink),
            );
            let here = links.address();
            let Ok(after) = self.read(next) else {
                continue;
            };
            let is_linked = after.blink == here
                && if flink == blink {
                    after.flink == here
                } else {
                    self.read(last).is_ok_and(|last| last.flink == here)
                };
            if is_linked {
                // Both were just read; memory that can be read but not written stays damaged.
                let _ = self.write(at!(last, ListEntry, flink), flink);
                let _ = self.write(at!(next, ListEntry, blink), blink);
            }
        }
    }

    /// Whether the block whose links are at `here` was the only one of an object, which has none
    /// now.
    fn unlink_only_block(&self, object: u64, here: u64) -> bool {
        let header = DriverPtr::<DispatcherHeader>::new(object);
        let head = at!(header, DispatcherHeader, wait_list_head);
        let list = |entry| ListEntry {
            flink: entry,
            blink: entry,
        };
        self.read(head).is_ok_and(|found| {
            (found.flink, found.blink) == (here, here)
                && self.write(head, list(head.address())).is_ok()
        })
    }
}
