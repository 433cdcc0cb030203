//! Sequenced lists: singly linked stacks that are changed without a lock.
//!
//! The head is the x64 form of two words: depth (bits 0 to 15) and sequence (above); then the
//! next element's address, with bit 0 set, in the bits above 3. Drivers clear a head themselves
//! (all zeros is an empty list) and otherwise use the routines.
//!
//! Source: WDK reference, "Singly and Doubly Linked Lists", wdm.ExInterlockedPushEntrySList,
//! wdm.ExInterlockedPopEntrySList, wdm.ExQueryDepthSList; wdm.h, `SLIST_HEADER`.

use dirql_abi::NtStatus;
use dirql_abi::list::{SListEntry, SListHeader};

use crate::{Ddi, DriverPtr, Kernel, Stop, at};

/// A head as its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    depth: u16,
    sequence: u64,
    next: u64,
}

impl Head {
    const fn of(header: SListHeader) -> Self {
        Self {
            depth: header.alignment as u16,
            sequence: header.alignment >> 16,
            next: header.region & !0xF,
        }
    }

    const fn header(self) -> SListHeader {
        SListHeader {
            alignment: self.depth as u64 | self.sequence << 16,
            region: self.next | 1,
        }
    }
}

impl Kernel {
    fn head(&self, head: DriverPtr<SListHeader>) -> Ddi<Head> {
        if !head.address().is_multiple_of(16) {
            return Err(misaligned(head.address()));
        }
        Ok(Head::of(self.read(head)?))
    }

    /// `VOID InitializeSListHead(PSLIST_HEADER)`
    ///
    /// Makes a list empty.
    ///
    /// - IRQL: any level.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.ExInitializeSListHead.
    ///
    /// # Errors
    /// Raises `STATUS_DATATYPE_MISALIGNMENT` for a head that is not 16-aligned.
    pub fn initialize_slist_head(&self, head: DriverPtr<SListHeader>) -> Ddi<()> {
        self.head(head)?;
        self.write(
            head,
            Head {
                depth: 0,
                sequence: 0,
                next: 0,
            }
            .header(),
        )?;
        Ok(())
    }

    /// `PSLIST_ENTRY ExpInterlockedPushEntrySList(PSLIST_HEADER, PSLIST_ENTRY)`
    ///
    /// Puts an element at the front.
    ///
    /// - IRQL: any level; the list is resident.
    /// - Returns: the element that was first, or NULL.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.ExInterlockedPushEntrySList.
    ///
    /// # Errors
    /// Raises `STATUS_DATATYPE_MISALIGNMENT` for a head or element that is not 16-aligned.
    pub fn exp_interlocked_push_entry_slist(
        &self,
        head: DriverPtr<SListHeader>,
        entry: DriverPtr<SListEntry>,
    ) -> Ddi<u64> {
        let now = self.head(head)?;
        if !entry.address().is_multiple_of(16) {
            return Err(misaligned(entry.address()));
        }
        self.write(at!(entry, SListEntry, next), now.next)?;
        let next = Head {
            depth: now.depth.wrapping_add(1),
            sequence: now.sequence.wrapping_add(1),
            next: entry.address(),
        };
        self.write(head, next.header())?;
        Ok(now.next)
    }

    /// `PSLIST_ENTRY ExpInterlockedPopEntrySList(PSLIST_HEADER)`
    ///
    /// Takes the first element off.
    ///
    /// - IRQL: any level; the list is resident.
    /// - Returns: the element, or NULL.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.ExInterlockedPopEntrySList.
    ///
    /// # Errors
    /// Raises `STATUS_DATATYPE_MISALIGNMENT` for a head that is not 16-aligned; an element that
    /// is not memory faults.
    pub fn exp_interlocked_pop_entry_slist(&self, head: DriverPtr<SListHeader>) -> Ddi<u64> {
        let now = self.head(head)?;
        if now.next == 0 {
            return Ok(0);
        }
        let next = self.read(at!(
            DriverPtr::<SListEntry>::new(now.next),
            SListEntry,
            next
        ))?;
        self.write(
            head,
            Head {
                depth: now.depth.wrapping_sub(1),
                next,
                ..now
            }
            .header(),
        )?;
        Ok(now.next)
    }

    /// `PSLIST_ENTRY ExpInterlockedFlushSList(PSLIST_HEADER)`
    ///
    /// Takes all elements off.
    ///
    /// - IRQL: any level; the list is resident.
    /// - Returns: the element that was first, or NULL; the others hang on it.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.ExInterlockedFlushSList.
    ///
    /// # Errors
    /// As [`Kernel::exp_interlocked_pop_entry_slist`].
    pub fn exp_interlocked_flush_slist(&self, head: DriverPtr<SListHeader>) -> Ddi<u64> {
        let now = self.head(head)?;
        self.write(
            head,
            Head {
                depth: 0,
                next: 0,
                ..now
            }
            .header(),
        )?;
        Ok(now.next)
    }

    /// `USHORT ExQueryDepthSList(PSLIST_HEADER)`
    ///
    /// - IRQL: any level; the list is resident.
    /// - Returns: the number of elements.
    /// - Findings: none.
    /// - Source: WDK reference, wdm.ExQueryDepthSList.
    pub fn ex_query_depth_slist(&self, head: DriverPtr<SListHeader>) -> Ddi<u16> {
        Ok(self.head(head)?.depth)
    }
}

fn misaligned(address: u64) -> Stop {
    Stop::Exception {
        code: NtStatus::DATATYPE_MISALIGNMENT,
        parameters: [0, address, 0, 0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn elements_come_off_in_the_reverse_order() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let head = DriverPtr::new(bench.variable(16));
        let entries: alloc::vec::Vec<u64> = (0..3).map(|_| bench.variable(16)).collect();
        for (count, entry) in entries.iter().enumerate() {
            assert_eq!(kernel.ex_query_depth_slist(head), Ok(count as u16));
            let before = if count == 0 { 0 } else { entries[count - 1] };
            assert_eq!(
                kernel.exp_interlocked_push_entry_slist(head, DriverPtr::new(*entry)),
                Ok(before)
            );
        }
        assert_eq!(kernel.exp_interlocked_pop_entry_slist(head), Ok(entries[2]));
        assert_eq!(kernel.exp_interlocked_flush_slist(head), Ok(entries[1]));
        assert_eq!(kernel.exp_interlocked_pop_entry_slist(head), Ok(0));
        assert_eq!(kernel.ex_query_depth_slist(head), Ok(0));
    }

    #[test]
    fn heads_and_elements_are_16_aligned() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let memory = bench.variable(64);
        let head = DriverPtr::new(memory);
        let off = kernel.exp_interlocked_push_entry_slist(head, DriverPtr::new(memory + 24));
        assert_eq!(off, Err(misaligned(memory + 24)));
        assert_eq!(
            kernel.initialize_slist_head(DriverPtr::new(memory + 8)),
            Err(misaligned(memory + 8))
        );
    }

    #[test]
    fn the_sequence_does_not_run_into_the_depth() {
        let full = Head {
            depth: u16::MAX,
            sequence: (1 << 48) - 1,
            next: 0xFFFF_FFFF_FFFF_FFF0,
        };
        assert_eq!(Head::of(full.header()), full);
    }
}
