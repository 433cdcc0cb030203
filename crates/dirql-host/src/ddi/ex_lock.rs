//! The executive's lists and its locks for threads.

use dirql_abi::NtStatus;
use dirql_abi::dispatcher::{EResource, FastMutex};
use dirql_abi::list::{ListEntry, SListEntry, SListHeader, SingleListEntry};
use dirql_abi::memory::GeneralLookaside;
use dirql_kernel::DriverPtr;

use super::{Nothing, exports};

type Mutex = DriverPtr<FastMutex>;
type Resource = DriverPtr<EResource>;
type List = DriverPtr<ListEntry>;
type Single = DriverPtr<SingleListEntry>;
type SHead = DriverPtr<SListHeader>;
type SEntry = DriverPtr<SListEntry>;
type Lookaside = DriverPtr<GeneralLookaside>;

exports! {
    fn ExAcquireFastMutex(mutex: Mutex) -> Nothing = |k| k.ex_acquire_fast_mutex(mutex).map(Nothing::from);
    fn ExAcquireFastMutexUnsafe(mutex: Mutex) -> Nothing
        = |k| k.ex_acquire_fast_mutex_unsafe(mutex).map(Nothing::from);
    fn ExReleaseFastMutex(mutex: Mutex) -> Nothing = |k| k.ex_release_fast_mutex(mutex).map(Nothing::from);
    fn ExReleaseFastMutexUnsafe(mutex: Mutex) -> Nothing
        = |k| k.ex_release_fast_mutex_unsafe(mutex).map(Nothing::from);
    fn ExTryToAcquireFastMutex(mutex: Mutex) -> u8 = |k| k.ex_try_to_acquire_fast_mutex(mutex);

    fn ExAcquireResourceExclusiveLite(resource: Resource, wait: u8) -> u8
        = |k| k.ex_acquire_resource_exclusive_lite(resource, wait);
    fn ExAcquireResourceSharedLite(resource: Resource, wait: u8) -> u8
        = |k| k.ex_acquire_resource_shared_lite(resource, wait);
    fn ExAcquireSharedStarveExclusive(resource: Resource, wait: u8) -> u8
        = |k| k.ex_acquire_shared_starve_exclusive(resource, wait);
    fn ExAcquireSharedWaitForExclusive(resource: Resource, wait: u8) -> u8
        = |k| k.ex_acquire_shared_wait_for_exclusive(resource, wait);
    fn ExConvertExclusiveToSharedLite(resource: Resource) -> Nothing
        = |k| k.ex_convert_exclusive_to_shared_lite(resource).map(Nothing::from);
    fn ExDeleteResourceLite(resource: Resource) -> NtStatus = |k| k.ex_delete_resource_lite(resource);
    fn ExGetExclusiveWaiterCount(resource: Resource) -> u32 = |k| k.ex_get_exclusive_waiter_count(resource);
    fn ExGetSharedWaiterCount(resource: Resource) -> u32 = |k| k.ex_get_shared_waiter_count(resource);
    fn ExInitializeResourceLite(resource: Resource) -> NtStatus = |k| k.ex_initialize_resource_lite(resource);
    fn ExIsResourceAcquiredExclusiveLite(resource: Resource) -> u8
        = |k| k.ex_is_resource_acquired_exclusive_lite(resource);
    fn ExIsResourceAcquiredSharedLite(resource: Resource) -> u32
        = |k| k.ex_is_resource_acquired_shared_lite(resource);
    fn ExReleaseResourceForThreadLite(resource: Resource, thread: u64) -> Nothing
        = |k| k.ex_release_resource_for_thread_lite(resource, thread).map(Nothing::from);
    fn ExReleaseResourceLite(resource: Resource) -> Nothing
        = |k| k.ex_release_resource_lite(resource).map(Nothing::from);
    fn ExTryToAcquireResourceExclusiveLite(resource: Resource) -> u8
        = |k| k.ex_try_to_acquire_resource_exclusive_lite(resource);

    fn ExInterlockedAddLargeInteger(number: DriverPtr<u64>, increment: u64, lock: u64) -> u64
        = |k| k.ex_interlocked_add_large_integer(number, increment, lock);
    fn ExInterlockedAddUlong(number: DriverPtr<u32>, increment: u32, lock: u64) -> u32
        = |k| k.ex_interlocked_add_ulong(number, increment, lock);
    fn ExInterlockedInsertHeadList(head: List, entry: List, lock: u64) -> u64
        = |k| k.ex_interlocked_insert_head_list(head, entry, lock);
    fn ExInterlockedInsertTailList(head: List, entry: List, lock: u64) -> u64
        = |k| k.ex_interlocked_insert_tail_list(head, entry, lock);
    fn ExInterlockedPopEntryList(head: Single, lock: u64) -> u64
        = |k| k.ex_interlocked_pop_entry_list(head, lock);
    fn ExInterlockedPushEntryList(head: Single, entry: Single, lock: u64) -> u64
        = |k| k.ex_interlocked_push_entry_list(head, entry, lock);
    fn ExInterlockedRemoveHeadList(head: List, lock: u64) -> u64
        = |k| k.ex_interlocked_remove_head_list(head, lock);

    fn ExInterlockedFlushSList(head: SHead) -> u64 = |k| k.exp_interlocked_flush_slist(head);
    fn ExInterlockedPopEntrySList(head: SHead, _lock: u64) -> u64
        = |k| k.exp_interlocked_pop_entry_slist(head);
    fn ExInterlockedPushEntrySList(head: SHead, entry: SEntry, _lock: u64) -> u64
        = |k| k.exp_interlocked_push_entry_slist(head, entry);
    fn ExQueryDepthSList(head: SHead) -> u16 = |k| k.ex_query_depth_slist(head);
    fn ExpInterlockedFlushSList(head: SHead) -> u64 = |k| k.exp_interlocked_flush_slist(head);
    fn ExpInterlockedPopEntrySList(head: SHead) -> u64 = |k| k.exp_interlocked_pop_entry_slist(head);
    fn ExpInterlockedPushEntrySList(head: SHead, entry: SEntry) -> u64
        = |k| k.exp_interlocked_push_entry_slist(head, entry);
    fn InitializeSListHead(head: SHead) -> Nothing = |k| k.initialize_slist_head(head).map(Nothing::from);

    fn ExDeleteNPagedLookasideList(list: Lookaside) -> Nothing
        = |k| k.ex_delete_lookaside_list(list).map(Nothing::from);
    fn ExDeletePagedLookasideList(list: Lookaside) -> Nothing
        = |k| k.ex_delete_lookaside_list(list).map(Nothing::from);
    fn ExInitializeNPagedLookasideList(list: Lookaside, allocate: u64, free: u64, flags: u32, bytes: u64, tag: u32, depth: u16) -> Nothing
        = |k| k.ex_initialize_npaged_lookaside_list(list, allocate, free, flags, bytes, tag, depth).map(Nothing::from);
    fn ExInitializePagedLookasideList(list: Lookaside, allocate: u64, free: u64, flags: u32, bytes: u64, tag: u32, depth: u16) -> Nothing
        = |k| k.ex_initialize_paged_lookaside_list(list, allocate, free, flags, bytes, tag, depth).map(Nothing::from);
}
