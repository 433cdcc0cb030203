//! List and arithmetic routines that take a spin lock of their own choice of level.
//!
//! Interrupts of the processor are off while the lock is held, so that an ISR may share it.
//!
//! Source: WDK reference, wdm.ExInterlockedInsertHeadList and its relatives, "Singly and Doubly
//! Linked Lists"; "Bug Check 0x139: KERNEL_SECURITY_CHECK_FAILURE".

use dirql_abi::list::{ListEntry, SingleListEntry};
use dirql_rules::BugCheck;

use crate::{Ddi, DriverPtr, Kernel, WindowsVersion, at};

/// A link that its neighbours do not agree with.
const CORRUPT_LIST_ENTRY: u64 = 3;

impl Kernel {
    /// Runs `body` with the lock held and interrupts off.
    fn interlocked<R>(&self, lock: u64, body: impl FnOnce() -> Ddi<R>) -> Ddi<R> {
        let enabled = self.interrupt_flag();
        self.set_interrupt_flag(false);
        let result = self.acquire_lock_word(lock).and_then(|()| {
            let result = body();
            self.release_lock_word(lock)?;
            result
        });
        self.set_interrupt_flag(enabled);
        result
    }

    /// Newer systems check a link's neighbours before they change them.
    fn check_link(&self, link: DriverPtr<ListEntry>, holds: bool) -> Ddi<()> {
        if holds || self.config().windows < WindowsVersion::Eight {
            return Ok(());
        }
        Err(BugCheck::new(0x139, [CORRUPT_LIST_ENTRY, link.address(), 0, 0]).into())
    }

    /// `PLIST_ENTRY ExInterlockedInsertHeadList(PLIST_ENTRY Head, PLIST_ENTRY, PKSPIN_LOCK)`
    ///
    /// Puts an element at the front of a list.
    ///
    /// - IRQL: any level; list and lock are resident.
    /// - Returns: the element that was first, or NULL if the list was empty.
    /// - Findings: those of a spin lock.
    /// - Yields: while another processor holds the lock.
    /// - Source: WDK reference, wdm.ExInterlockedInsertHeadList.
    ///
    /// # Errors
    /// From Windows 8 on, bug check 0x139 for a damaged list.
    pub fn ex_interlocked_insert_head_list(
        &self,
        head: DriverPtr<ListEntry>,
        entry: DriverPtr<ListEntry>,
        lock: u64,
    ) -> Ddi<u64> {
        self.interlocked(lock, || {
            let first = DriverPtr::new(self.read(at!(head, ListEntry, flink))?);
            let back = self.read(at!(first, ListEntry, blink))?;
            self.check_link(head, back == head.address())?;
            self.write(
                entry,
                ListEntry {
                    flink: first.address(),
                    blink: head.address(),
                },
            )?;
            self.write(at!(first, ListEntry, blink), entry.address())?;
            self.write(at!(head, ListEntry, flink), entry.address())?;
            Ok(if first == head { 0 } else { first.address() })
        })
    }

    /// `PLIST_ENTRY ExInterlockedInsertTailList(PLIST_ENTRY Head, PLIST_ENTRY, PKSPIN_LOCK)`
    ///
    /// Puts an element at the end of a list.
    ///
    /// - IRQL: any level; list and lock are resident.
    /// - Returns: the element that was last, or NULL if the list was empty.
    /// - Findings: those of a spin lock.
    /// - Yields: while another processor holds the lock.
    /// - Source: WDK reference, wdm.ExInterlockedInsertTailList.
    ///
    /// # Errors
    /// From Windows 8 on, bug check 0x139 for a damaged list.
    pub fn ex_interlocked_insert_tail_list(
        &self,
        head: DriverPtr<ListEntry>,
        entry: DriverPtr<ListEntry>,
        lock: u64,
    ) -> Ddi<u64> {
        self.interlocked(lock, || {
            let last = DriverPtr::new(self.read(at!(head, ListEntry, blink))?);
            let forth = self.read(at!(last, ListEntry, flink))?;
            self.check_link(head, forth == head.address())?;
            self.write(
                entry,
                ListEntry {
                    flink: head.address(),
                    blink: last.address(),
                },
            )?;
            self.write(at!(last, ListEntry, flink), entry.address())?;
            self.write(at!(head, ListEntry, blink), entry.address())?;
            Ok(if last == head { 0 } else { last.address() })
        })
    }

    /// `PLIST_ENTRY ExInterlockedRemoveHeadList(PLIST_ENTRY Head, PKSPIN_LOCK)`
    ///
    /// Takes the first element off a list.
    ///
    /// - IRQL: any level; list and lock are resident.
    /// - Returns: the element, or NULL.
    /// - Findings: those of a spin lock.
    /// - Yields: while another processor holds the lock.
    /// - Source: WDK reference, wdm.ExInterlockedRemoveHeadList.
    ///
    /// # Errors
    /// From Windows 8 on, bug check 0x139 for a damaged list.
    pub fn ex_interlocked_remove_head_list(
        &self,
        head: DriverPtr<ListEntry>,
        lock: u64,
    ) -> Ddi<u64> {
        self.interlocked(lock, || {
            let first = DriverPtr::new(self.read(at!(head, ListEntry, flink))?);
            if first == head {
                return Ok(0);
            }
            let links = self.read(first)?;
            let next = DriverPtr::<ListEntry>::new(links.flink);
            let back = self.read(at!(next, ListEntry, blink))?;
            self.check_link(
                first,
                links.blink == head.address() && back == first.address(),
            )?;
            self.write(at!(head, ListEntry, flink), next.address())?;
            self.write(at!(next, ListEntry, blink), head.address())?;
            Ok(first.address())
        })
    }

    /// `PSINGLE_LIST_ENTRY ExInterlockedPushEntryList(PSINGLE_LIST_ENTRY Head, PSINGLE_LIST_ENTRY, PKSPIN_LOCK)`
    ///
    /// Puts an element at the front of a singly linked list.
    ///
    /// - IRQL: any level; list and lock are resident.
    /// - Returns: the element that was first, or NULL.
    /// - Findings: those of a spin lock.
    /// - Yields: while another processor holds the lock.
    /// - Source: WDK reference, wdm.ExInterlockedPushEntryList.
    pub fn ex_interlocked_push_entry_list(
        &self,
        head: DriverPtr<SingleListEntry>,
        entry: DriverPtr<SingleListEntry>,
        lock: u64,
    ) -> Ddi<u64> {
        self.interlocked(lock, || {
            let first = self.read(head)?;
            self.write(entry, first)?;
            self.write(
                head,
                SingleListEntry {
                    next: entry.address(),
                },
            )?;
            Ok(first.next)
        })
    }

    /// `PSINGLE_LIST_ENTRY ExInterlockedPopEntryList(PSINGLE_LIST_ENTRY Head, PKSPIN_LOCK)`
    ///
    /// Takes the first element off a singly linked list.
    ///
    /// - IRQL: any level; list and lock are resident.
    /// - Returns: the element, or NULL.
    /// - Findings: those of a spin lock.
    /// - Yields: while another processor holds the lock.
    /// - Source: WDK reference, wdm.ExInterlockedPopEntryList.
    pub fn ex_interlocked_pop_entry_list(
        &self,
        head: DriverPtr<SingleListEntry>,
        lock: u64,
    ) -> Ddi<u64> {
        self.interlocked(lock, || {
            let first = self.read(head)?.next;
            if first != 0 {
                let rest = self.read(DriverPtr::<SingleListEntry>::new(first))?;
                self.write(head, rest)?;
            }
            Ok(first)
        })
    }

    /// `LARGE_INTEGER ExInterlockedAddLargeInteger(PLARGE_INTEGER, LARGE_INTEGER, PKSPIN_LOCK)`
    ///
    /// Adds to 64 bits.
    ///
    /// - IRQL: any level; number and lock are resident.
    /// - Returns: the number before.
    /// - Findings: those of a spin lock.
    /// - Yields: while another processor holds the lock.
    /// - Source: WDK reference, wdm.ExInterlockedAddLargeInteger.
    pub fn ex_interlocked_add_large_integer(
        &self,
        number: DriverPtr<u64>,
        increment: u64,
        lock: u64,
    ) -> Ddi<u64> {
        self.interlocked(lock, || {
            let before = self.read(number)?;
            self.write(number, before.wrapping_add(increment))?;
            Ok(before)
        })
    }

    /// `ULONG ExInterlockedAddUlong(PULONG, ULONG, PKSPIN_LOCK)`
    ///
    /// Adds to 32 bits.
    ///
    /// - IRQL: any level; number and lock are resident.
    /// - Returns: the number before.
    /// - Findings: those of a spin lock.
    /// - Yields: while another processor holds the lock.
    /// - Source: WDK reference, wdm.ExInterlockedAddUlong.
    pub fn ex_interlocked_add_ulong(
        &self,
        number: DriverPtr<u32>,
        increment: u32,
        lock: u64,
    ) -> Ddi<u32> {
        self.interlocked(lock, || {
            let before = self.read(number)?;
            self.write(number, before.wrapping_add(increment))?;
            Ok(before)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;
    use crate::{Config, Stop};

    struct List {
        bench: Bench,
        head: DriverPtr<ListEntry>,
        lock: u64,
    }

    fn list(windows: WindowsVersion) -> List {
        let bench = Bench::new(Config {
            windows,
            ..Config::default()
        });
        let head = DriverPtr::new(bench.variable(16));
        let empty = ListEntry {
            flink: head.address(),
            blink: head.address(),
        };
        bench.kernel.write(head, empty).unwrap();
        let lock = bench.variable(8);
        List { bench, head, lock }
    }

    #[test]
    fn elements_are_put_in_front_or_behind_and_taken_from_the_front() {
        let List { bench, head, lock } = list(WindowsVersion::Ten);
        let kernel = &bench.kernel;
        let [a, b, c] = [0; 3].map(|_| bench.variable(16));
        let tail =
            |entry| kernel.ex_interlocked_insert_tail_list(head, DriverPtr::new(entry), lock);
        assert_eq!(tail(a), Ok(0));
        assert_eq!(tail(b), Ok(a));
        assert_eq!(
            kernel.ex_interlocked_insert_head_list(head, DriverPtr::new(c), lock),
            Ok(a)
        );
        for expected in [c, a, b, 0] {
            assert_eq!(
                kernel.ex_interlocked_remove_head_list(head, lock),
                Ok(expected)
            );
        }
        assert_eq!(kernel.read(DriverPtr::<u64>::new(lock)), Ok(0));
        assert!(kernel.interrupt_flag());
    }

    #[test]
    fn a_damaged_list_stops_newer_systems() {
        for (windows, stops) in [
            (WindowsVersion::Seven, false),
            (WindowsVersion::Eight, true),
        ] {
            let List { bench, head, lock } = list(windows);
            let kernel = &bench.kernel;
            let entry = bench.variable(16);
            kernel
                .ex_interlocked_insert_tail_list(head, DriverPtr::new(entry), lock)
                .unwrap();
            kernel
                .write(at!(DriverPtr::new(entry), ListEntry, blink), entry)
                .unwrap();
            let taken = kernel.ex_interlocked_remove_head_list(head, lock);
            assert_eq!(
                matches!(taken, Err(Stop::BugCheck(b)) if b.code == 0x139),
                stops
            );
        }
    }

    #[test]
    fn a_singly_linked_list_is_a_stack() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let head = DriverPtr::new(bench.variable(8));
        let lock = bench.variable(8);
        let [a, b] = [0; 2].map(|_| bench.variable(8));
        assert_eq!(
            kernel.ex_interlocked_push_entry_list(head, DriverPtr::new(a), lock),
            Ok(0)
        );
        assert_eq!(
            kernel.ex_interlocked_push_entry_list(head, DriverPtr::new(b), lock),
            Ok(a)
        );
        for expected in [b, a, 0] {
            assert_eq!(
                kernel.ex_interlocked_pop_entry_list(head, lock),
                Ok(expected)
            );
        }
    }

    #[test]
    fn additions_wrap_and_give_the_number_before() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let number = bench.variable(8);
        let lock = bench.variable(8);
        assert_eq!(
            kernel.ex_interlocked_add_large_integer(DriverPtr::new(number), u64::MAX, lock),
            Ok(0)
        );
        assert_eq!(
            kernel.ex_interlocked_add_ulong(DriverPtr::new(number), 1, lock),
            Ok(u32::MAX)
        );
        assert_eq!(
            kernel.read(DriverPtr::<u64>::new(number)),
            Ok(0xFFFF_FFFF_0000_0000)
        );
    }
}
