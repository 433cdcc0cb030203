//! Lookaside lists: caches of freed blocks in front of an allocator.
//!
//! Drivers allocate and free inline: they take from and put on the list head, keep the
//! counters, and call the routines that lie in the structure. So the structure is the truth;
//! kept beside it is only that it exists.
//!
//! Source: WDK reference, "Using Lookaside Lists", wdm.ExInitializeNPagedLookasideList,
//! wdm.ExDeleteNPagedLookasideList; wdm.h, `GENERAL_LOOKASIDE`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use dirql_abi::NtStatus;
use dirql_abi::list::{ListEntry, SListHeader};
use dirql_abi::memory::{GeneralLookaside, pool_flags, pool_type};
use dirql_rules::{Place, ids};

use crate::{Ddi, DriverPtr, Kernel, at};

/// Depth of a new list and the most that Windows lets it grow to.
const DEPTH: u16 = 4;
const MAXIMUM_DEPTH: u16 = 256;

/// `EX_LOOKASIDE_LIST_EX_FLAGS_`.
const RAISE_ON_FAIL: u32 = 1;
const FAIL_NO_RAISE: u32 = 2;

/// LOOKASIDE_MINIMUM_BLOCK_SIZE: a freed block holds the link of a list.
const SMALLEST: u64 = 8;

/// Elements taken off a list at its end, before the list is taken for a loop.
const MOST_ELEMENTS: u32 = 0x1_0000;

/// A list that was initialised and not deleted.
#[derive(Clone, Debug)]
pub(super) struct Lookaside {
    place: Place,
}

impl Kernel {
    /// `VOID ExInitializeNPagedLookasideList(PNPAGED_LOOKASIDE_LIST, PALLOCATE_FUNCTION, PFREE_FUNCTION, ULONG Flags, SIZE_T, ULONG Tag, USHORT Depth)`
    ///
    /// Makes an empty list. Without routines of the driver's own, blocks come from pool.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: `LOOKASIDE` if the list exists already.
    /// - Source: WDK reference, wdm.ExInitializeNPagedLookasideList.
    #[expect(clippy::too_many_arguments, reason = "the DDI's own list")]
    pub fn ex_initialize_npaged_lookaside_list(
        &self,
        list: DriverPtr<GeneralLookaside>,
        allocate: u64,
        free: u64,
        flags: u32,
        bytes: u64,
        tag: u32,
        _depth: u16,
    ) -> Ddi<()> {
        self.initialize_lookaside(
            list,
            allocate,
            free,
            pool_type::NonPagedPool | flags,
            bytes,
            tag,
        )
    }

    /// `VOID ExInitializePagedLookasideList(PPAGED_LOOKASIDE_LIST, …)`
    ///
    /// As [`Kernel::ex_initialize_npaged_lookaside_list`], for blocks of paged pool.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Findings: `LOOKASIDE` if the list exists already.
    /// - Source: WDK reference, wdm.ExInitializePagedLookasideList.
    #[expect(clippy::too_many_arguments, reason = "the DDI's own list")]
    pub fn ex_initialize_paged_lookaside_list(
        &self,
        list: DriverPtr<GeneralLookaside>,
        allocate: u64,
        free: u64,
        flags: u32,
        bytes: u64,
        tag: u32,
        _depth: u16,
    ) -> Ddi<()> {
        self.initialize_lookaside(
            list,
            allocate,
            free,
            pool_type::PagedPool | flags,
            bytes,
            tag,
        )
    }

    /// `NTSTATUS ExInitializeLookasideListEx(PLOOKASIDE_LIST_EX, PALLOCATE_FUNCTION_EX, PFREE_FUNCTION_EX, POOL_TYPE, ULONG Flags, SIZE_T Size, ULONG Tag, USHORT Depth)`
    ///
    /// As the older lists, with routines that get the list too; the pool's own routines do without.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: SUCCESS; INVALID_PARAMETER_5 for flags that are none, or exclude each other;
    ///   INVALID_PARAMETER_8 for a depth other than 0; INVALID_PARAMETER_4 for another kind of
    ///   pool than paged and nonpaged.
    /// - Findings: `LOOKASIDE` if the list exists already.
    /// - Source: WDK reference, wdm.ExInitializeLookasideListEx.
    ///
    /// # Errors
    /// A list that is not memory.
    #[expect(clippy::too_many_arguments, reason = "the DDI's own list")]
    pub fn ex_initialize_lookaside_list_ex(
        &self,
        list: DriverPtr<GeneralLookaside>,
        allocate: u64,
        free: u64,
        kind: u32,
        flags: u32,
        bytes: u64,
        tag: u32,
        depth: u16,
    ) -> Ddi<NtStatus> {
        let known = [
            pool_type::NonPagedPool,
            pool_type::PagedPool,
            pool_type::NonPagedPoolNx,
        ];
        if !known.contains(&kind) {
            return Ok(NtStatus::INVALID_PARAMETER_4);
        }
        let kind = match flags {
            0 => kind,
            RAISE_ON_FAIL => kind | pool_flags::POOL_RAISE_IF_ALLOCATION_FAILURE,
            FAIL_NO_RAISE => kind | pool_flags::POOL_QUOTA_FAIL_INSTEAD_OF_RAISE,
            _ => return Ok(NtStatus::INVALID_PARAMETER_5),
        };
        if depth != 0 {
            return Ok(NtStatus::INVALID_PARAMETER_8);
        }
        self.initialize_lookaside(list, allocate, free, kind, bytes, tag)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `VOID ExFlushLookasideListEx(PLOOKASIDE_LIST_EX)`: frees the blocks on the list.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: those of freeing the blocks.
    /// - Source: WDK reference, wdm.ExFlushLookasideListEx.
    ///
    /// # Errors
    /// A list that is not memory.
    pub fn ex_flush_lookaside_list(&self, list: DriverPtr<GeneralLookaside>) -> Ddi<()> {
        let own = self.platform().routine("ExFreePool");
        for _ in 0..MOST_ELEMENTS {
            let block =
                self.exp_interlocked_pop_entry_slist(at!(list, GeneralLookaside, list_head))?;
            if block == 0 {
                break;
            }
            let free = self.read(at!(list, GeneralLookaside, free))?;
            if Some(free) == own {
                self.pool_free(block, None)?;
            } else {
                // The older lists' routines have one argument.
                self.call("FreeFunction", free, &[block, list.address()]);
            }
        }
        Ok(())
    }

    fn initialize_lookaside(
        &self,
        list: DriverPtr<GeneralLookaside>,
        allocate: u64,
        free: u64,
        pool_type: u32,
        bytes: u64,
        tag: u32,
    ) -> Ddi<()> {
        let earlier = self.ex.lookasides.borrow().get(&list.address()).cloned();
        if let Some(earlier) = earlier {
            let message = format!(
                "the lookaside list at {:#x} was initialised again",
                list.address()
            );
            self.find(
                ids::LOOKASIDE,
                message,
                Some((String::from("initialised here"), earlier.place)),
            )?;
        }
        let or_own = |routine: u64, name| match routine {
            0 => self.platform().routine(name).unwrap_or(0),
            routine => routine,
        };
        let links = at!(list, GeneralLookaside, list_entry).address();
        let value = GeneralLookaside {
            list_head: SListHeader {
                alignment: 0,
                region: 1,
            },
            depth: DEPTH,
            maximum_depth: MAXIMUM_DEPTH,
            total_allocates: 0,
            allocate_misses: 0,
            total_frees: 0,
            free_misses: 0,
            type_: pool_type,
            tag,
            size: bytes.max(SMALLEST) as u32,
            allocate: or_own(allocate, "ExAllocatePoolWithTag"),
            free: or_own(free, "ExFreePool"),
            list_entry: ListEntry {
                flink: links,
                blink: links,
            },
            last_total_allocates: 0,
            last_allocate_misses: 0,
            future: [0; 2],
            padding96: [0; 4],
        };
        // The last 32 bytes are padding to a cache line, which a driver's structure has too.
        self.write(list, value)?;
        let place = self.here();
        self.ex
            .lookasides
            .borrow_mut()
            .insert(list.address(), Lookaside { place });
        Ok(())
    }

    /// `VOID ExDeleteNPagedLookasideList(PNPAGED_LOOKASIDE_LIST)`, and
    /// `ExDeletePagedLookasideList`
    ///
    /// Frees the blocks on the list, and forgets the list.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL; paged at or below APC_LEVEL.
    /// - Findings: `LOOKASIDE` if there is no such list; those of freeing the blocks.
    /// - Yields: inside the driver's free routine.
    /// - Source: WDK reference, wdm.ExDeleteNPagedLookasideList.
    pub fn ex_delete_lookaside_list(&self, list: DriverPtr<GeneralLookaside>) -> Ddi<()> {
        if self
            .ex
            .lookasides
            .borrow_mut()
            .remove(&list.address())
            .is_none()
        {
            let message = format!(
                "{:#x} was deleted, which is not a lookaside list",
                list.address()
            );
            return self.find(ids::LOOKASIDE, message, None);
        }
        self.ex_flush_lookaside_list(list)
    }

    /// Gives `found` each lookaside list in a range of memory, and where it was initialised.
    pub(crate) fn lookasides_in(&self, range: &Range<u64>, mut found: impl FnMut(u64, &Place)) {
        let all = self.ex.lookasides.borrow();
        for (list, known) in all.range(range.clone()) {
            found(*list, &known.place);
        }
    }

    /// Reports lookaside lists of `driver`, whose image is `image`, that were not deleted. For
    /// the moment after its Unload routine has returned.
    ///
    /// Findings: `LOOKASIDE`.
    pub(crate) fn find_lookasides_left(&self, driver: &str, image: &Range<u64>) -> Ddi<()> {
        let left: Vec<(u64, Lookaside)> = {
            let mut all = self.ex.lookasides.borrow_mut();
            let left = all
                .iter()
                .filter(|(_, one)| image.contains(&one.place.address));
            let left: Vec<_> = left.map(|(list, one)| (*list, one.clone())).collect();
            all.retain(|_, one| !image.contains(&one.place.address));
            left
        };
        for (list, one) in left {
            let message = format!("{driver} was unloaded and left the lookaside list at {list:#x}");
            self.find(
                ids::LOOKASIDE,
                message,
                Some((String::from("initialised here"), one.place)),
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    fn list(bench: &Bench) -> DriverPtr<GeneralLookaside> {
        let memory = bench.variable(192).next_multiple_of(64);
        DriverPtr::new(memory)
    }

    #[test]
    fn a_deleted_list_frees_its_blocks_by_its_routine() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let freed = bench.variable(8);
        let free = bench.routine(move |kernel, arguments| {
            kernel.write(DriverPtr::new(freed), arguments[0])?;
            Ok(0)
        });
        let list = list(&bench);
        kernel
            .ex_initialize_npaged_lookaside_list(list, 1, free, 0, 8, 7, 0)
            .unwrap();
        let value = kernel.read(list).unwrap();
        assert_eq!(
            (value.depth, value.size, value.tag, value.type_),
            (4, 8, 7, 0)
        );
        assert_eq!((value.allocate, value.free), (1, free));
        let block = bench.variable(16);
        let head = at!(list, GeneralLookaside, list_head);
        kernel
            .exp_interlocked_push_entry_slist(head, DriverPtr::new(block))
            .unwrap();
        kernel.ex_delete_lookaside_list(list).unwrap();
        assert_eq!(kernel.read(DriverPtr::<u64>::new(freed)), Ok(block));
        assert!(bench.rules().is_empty());
    }

    #[test]
    fn a_newer_list_hands_itself_to_its_routines_and_checks_its_flags() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let freed = bench.variable(16);
        let free = bench.routine(move |kernel, arguments| {
            kernel.write(DriverPtr::new(freed), arguments[0])?;
            kernel.write(DriverPtr::new(freed + 8), arguments[1])?;
            Ok(0)
        });
        let list = list(&bench);
        let initialize = |kind, flags, depth| {
            kernel
                .ex_initialize_lookaside_list_ex(list, 1, free, kind, flags, 8, 7, depth)
                .unwrap()
        };
        assert_eq!(initialize(9, 0, 0), NtStatus::INVALID_PARAMETER_4);
        assert_eq!(initialize(0, 3, 0), NtStatus::INVALID_PARAMETER_5);
        assert_eq!(initialize(0, 0, 1), NtStatus::INVALID_PARAMETER_8);
        assert_eq!(initialize(512, RAISE_ON_FAIL, 0), NtStatus::SUCCESS);
        assert_eq!(kernel.read(list).unwrap().type_, 512 | 16);
        let block = bench.variable(16);
        let head = at!(list, GeneralLookaside, list_head);
        kernel
            .exp_interlocked_push_entry_slist(head, DriverPtr::new(block))
            .unwrap();
        kernel.ex_flush_lookaside_list(list).unwrap();
        assert_eq!(kernel.read(DriverPtr::<u64>::new(freed)), Ok(block));
        let handed = kernel.read(DriverPtr::<u64>::new(freed + 8));
        assert_eq!(handed, Ok(list.address()));
        kernel.ex_delete_lookaside_list(list).unwrap();
        assert!(bench.rules().is_empty());
    }

    #[test]
    fn a_list_is_initialised_deleted_and_not_left_behind() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let list = list(&bench);
        kernel.ex_delete_lookaside_list(list).unwrap();
        kernel
            .ex_initialize_paged_lookaside_list(list, 1, 1, 0x10, 32, 7, 0)
            .unwrap();
        assert_eq!(kernel.read(list).unwrap().type_, 0x11);
        kernel
            .ex_initialize_paged_lookaside_list(list, 1, 1, 0, 32, 7, 0)
            .unwrap();
        kernel.find_lookasides_left("sample", &(0..1)).unwrap();
        kernel.find_lookasides_left("sample", &(0..1)).unwrap();
        assert_eq!(bench.rules(), [ids::LOOKASIDE; 3]);
    }
}
