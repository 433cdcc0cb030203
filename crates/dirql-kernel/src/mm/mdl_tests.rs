//! Tests of the MDL routines together.

use dirql_abi::memory::{Mdl, mdl_flags};
use dirql_abi::{Irql, NtStatus};
use dirql_rules::{BugCheck, ids};

use super::layout::{self, PAGE};
use crate::testing::Bench;
use crate::{Access, Config, DriverPtr, Platform, Stop};

fn bench() -> Bench {
    let bench = Bench::new(Config::default());
    let user = layout::USER.start;
    bench
        .platform
        .protect(user..user + 2 * PAGE, Access::ReadWrite);
    bench
        .platform
        .protect(user + 2 * PAGE..user + 3 * PAGE, Access::Read);
    bench
}

fn mdl(bench: &Bench, address: u64, length: u32) -> DriverPtr<Mdl> {
    bench
        .kernel
        .io_allocate_mdl(address, length, 0, 0, DriverPtr::NULL)
        .unwrap()
}

fn frames(bench: &Bench, mdl: DriverPtr<Mdl>, count: u64) -> alloc::vec::Vec<u64> {
    (0..count)
        .map(|index| bench.kernel.read(super::mdl::frame_at(mdl, index)).unwrap())
        .collect()
}

#[test]
fn an_mdl_for_pool_describes_its_pages_and_is_mapped_where_they_are() {
    let bench = bench();
    let kernel = &bench.kernel;
    let pool = kernel.pool_allocate(0, 2 * PAGE, 1).unwrap();
    let mdl = mdl(&bench, pool + 0x234, PAGE as u32);
    kernel.mm_build_mdl_for_non_paged_pool(mdl).unwrap();
    let value = kernel.read(mdl).unwrap();
    assert_eq!(
        (value.start_va, value.byte_offset, value.byte_count),
        (pool, 0x234, PAGE as u32)
    );
    assert_eq!(value.size, 48 + 2 * 8);
    assert_eq!(value.mapped_system_va, pool + 0x234);
    let first = layout::physical(pool).unwrap() / PAGE;
    assert_eq!(frames(&bench, mdl, 2), [first, first + 1]);
    let mapped = kernel
        .mm_map_locked_pages_specify_cache(mdl, 0, 1, 0, 0, 16)
        .unwrap();
    assert_eq!(mapped, pool + 0x234);
    kernel.io_free_mdl(mdl).unwrap();
    assert!(bench.rules().is_empty(), "{:?}", kernel.findings());
}

#[test]
fn an_mdl_is_put_first_or_last_among_those_of_an_irp() {
    let bench = bench();
    let kernel = &bench.kernel;
    let irp = DriverPtr::new(bench.variable(0xD0));
    let allocate = |secondary| {
        kernel
            .io_allocate_mdl(0x1000, 16, secondary, 0, irp)
            .unwrap()
    };
    let first = allocate(0);
    let second = allocate(1);
    let third = allocate(1);
    let head: u64 = kernel.read(DriverPtr::new(irp.address() + 8)).unwrap();
    assert_eq!(head, first.address());
    assert_eq!(kernel.read(first).unwrap().next, second.address());
    assert_eq!(kernel.read(second).unwrap().next, third.address());
    assert_eq!(
        kernel.io_allocate_mdl(0, 0xFFFF_F001, 0, 0, irp),
        Ok(DriverPtr::NULL)
    );
}

#[test]
fn user_pages_are_locked_mapped_and_unlocked() {
    let bench = bench();
    let kernel = &bench.kernel;
    let user = layout::USER.start + 0x10;
    let mdl = mdl(&bench, user, 2 * PAGE as u32 - 0x10);
    kernel.mm_probe_and_lock_pages(mdl, 1, 1).unwrap();
    let flags = kernel.read(mdl).unwrap().mdl_flags;
    assert_eq!(
        flags,
        mdl_flags::MDL_PAGES_LOCKED | mdl_flags::MDL_WRITE_OPERATION
    );
    assert_eq!(frames(&bench, mdl, 1), [layout::USER_PHYSICAL / PAGE]);
    assert_eq!(kernel.mm_map_locked_pages(mdl, 0), Ok(user));
    kernel.mm_unlock_pages(mdl).unwrap();
    assert_eq!(kernel.read(mdl).unwrap().mdl_flags, 0);
    kernel.io_free_mdl(mdl).unwrap();
    assert!(bench.rules().is_empty(), "{:?}", kernel.findings());
}

#[test]
fn a_lock_raises_an_exception_for_what_the_caller_may_not_touch() {
    let bench = bench();
    let kernel = &bench.kernel;
    let user = layout::USER.start;
    let lock = |address, length, mode, operation| {
        kernel.mm_probe_and_lock_pages(mdl(&bench, address, length), mode, operation)
    };
    let violation = |write, address| {
        let code = NtStatus::ACCESS_VIOLATION;
        Err(Stop::Exception {
            code,
            parameters: [write, address, 0, 0],
        })
    };
    let read_only = user + 2 * PAGE;
    assert_eq!(lock(read_only, PAGE as u32, 1, 0), Ok(()));
    assert_eq!(lock(read_only, PAGE as u32, 1, 1), violation(1, read_only));
    assert_eq!(
        lock(read_only, PAGE as u32 + 1, 1, 0),
        violation(0, user + 3 * PAGE)
    );
    let pool = kernel.pool_allocate(0, 16, 1).unwrap();
    assert_eq!(lock(pool, 16, 1, 0), violation(0, pool));
    assert_eq!(lock(pool, 16, 0, 2), Ok(()));
}

#[test]
fn unlocking_twice_stops_the_system() {
    let bench = bench();
    let mdl = mdl(&bench, layout::USER.start, 16);
    bench.kernel.mm_probe_and_lock_pages(mdl, 1, 0).unwrap();
    bench.kernel.mm_unlock_pages(mdl).unwrap();
    let frame = layout::USER_PHYSICAL / PAGE;
    let stop = Stop::BugCheck(BugCheck::new(0x4E, [7, frame, 0, 0]));
    assert_eq!(bench.kernel.mm_unlock_pages(mdl), Err(stop));
    assert_eq!(bench.rules(), [ids::MDL_STATE]);
}

#[test]
fn locking_twice_mapping_unlocked_and_freeing_locked_are_findings() {
    let bench = bench();
    let kernel = &bench.kernel;
    let one = mdl(&bench, layout::USER.start, 16);
    assert_eq!(
        kernel.mm_map_locked_pages_specify_cache(one, 0, 1, 0, 0, 0),
        Ok(0)
    );
    kernel.mm_probe_and_lock_pages(one, 1, 0).unwrap();
    kernel.mm_probe_and_lock_pages(one, 1, 0).unwrap();
    kernel.io_free_mdl(one).unwrap();
    assert_eq!(bench.rules(), [ids::MDL_STATE; 3]);
}

#[test]
fn pageable_memory_is_not_locked_above_apc_level_nor_built_as_nonpaged() {
    let bench = bench();
    let kernel = &bench.kernel;
    let paged = kernel.pool_allocate(1, 16, 1).unwrap();
    kernel
        .mm_build_mdl_for_non_paged_pool(mdl(&bench, paged, 16))
        .unwrap();
    kernel.raise_irql(Irql::DISPATCH);
    kernel
        .mm_probe_and_lock_pages(mdl(&bench, paged, 16), 0, 0)
        .unwrap();
    assert_eq!(bench.rules(), [ids::MDL_STATE, ids::POOL_LEVEL]);
}

#[test]
fn a_partial_mdl_takes_over_pages_and_mapping_of_its_part() {
    let bench = bench();
    let kernel = &bench.kernel;
    let user = layout::USER.start;
    let source = mdl(&bench, user + 8, 2 * PAGE as u32 - 8);
    kernel.mm_probe_and_lock_pages(source, 1, 0).unwrap();
    let target = mdl(&bench, user, 2 * PAGE as u32);
    kernel
        .io_build_partial_mdl(source, target, user + PAGE + 4, 0)
        .unwrap();
    let value = kernel.read(target).unwrap();
    assert_eq!((value.start_va, value.byte_offset), (user + PAGE, 4));
    assert_eq!(value.byte_count, PAGE as u32 - 4);
    assert_eq!(value.mdl_flags, mdl_flags::MDL_PARTIAL);
    assert_eq!(
        frames(&bench, target, 1),
        [layout::USER_PHYSICAL / PAGE + 1]
    );
    kernel.mm_map_locked_pages(target, 0).unwrap();
    let mapped = mdl_flags::MDL_MAPPED_TO_SYSTEM_VA | mdl_flags::MDL_PARTIAL_HAS_BEEN_MAPPED;
    assert_eq!(
        kernel.read(target).unwrap().mdl_flags,
        mdl_flags::MDL_PARTIAL | mapped
    );
    kernel.io_free_mdl(target).unwrap();
    kernel.mm_map_locked_pages(source, 0).unwrap();
    let target = mdl(&bench, user, 16);
    kernel
        .io_build_partial_mdl(source, target, user + 16, 16)
        .unwrap();
    let value = kernel.read(target).unwrap();
    assert_eq!(value.mapped_system_va, user + 16);
    assert_ne!(value.mdl_flags & mdl_flags::MDL_PARENT_MAPPED_SYSTEM_VA, 0);
    assert!(bench.rules().is_empty(), "{:?}", kernel.findings());
}

#[test]
fn a_partial_mdl_lies_inside_its_source_and_has_room() {
    let bench = bench();
    let kernel = &bench.kernel;
    let user = layout::USER.start;
    let source = mdl(&bench, user + 8, PAGE as u32);
    let small = mdl(&bench, user, 16);
    let build = |address, length| kernel.io_build_partial_mdl(source, small, address, length);
    kernel.mm_probe_and_lock_pages(source, 1, 0).unwrap();
    assert_eq!(
        build(user + 8, PAGE as u32),
        Err(BugCheck::new(0x40, [0; 4]).into())
    );
    assert_eq!(build(user + PAGE, 8), Ok(()));
    assert_eq!(build(user + PAGE, 9), Err(Stop::Ended));
    assert_eq!(build(user + 7, 1), Err(Stop::Ended));
    assert_eq!(bench.rules(), [ids::MDL_STATE; 2]);
}

#[test]
fn pages_for_an_mdl_are_zero_and_freed_apart_from_it() {
    let bench = bench();
    let kernel = &bench.kernel;
    let mdl = kernel
        .mm_allocate_pages_for_mdl(0, u64::MAX, 0, PAGE + 1)
        .unwrap();
    assert_eq!(kernel.read(mdl).unwrap().byte_count, 2 * PAGE as u32);
    let mapped = kernel
        .mm_map_locked_pages_specify_cache(mdl, 0, 1, 0, 0, 16)
        .unwrap();
    assert_eq!(
        kernel.read_bytes(mapped, 2 * PAGE as usize).unwrap(),
        alloc::vec![0; 2 * PAGE as usize]
    );
    kernel.mm_unmap_locked_pages(mapped, mdl).unwrap();
    kernel.mm_free_pages_from_mdl(mdl).unwrap();
    kernel.pool_free(mdl.address(), None).unwrap();
    assert!(bench.rules().is_empty(), "{:?}", kernel.findings());
    assert_eq!(
        kernel.mm_allocate_pages_for_mdl(0, 0xFFF, 0, 1),
        Ok(DriverPtr::NULL)
    );
    assert_eq!(
        kernel.mm_allocate_pages_for_mdl(0, u64::MAX, 0, u64::MAX),
        Ok(DriverPtr::NULL)
    );
}

#[test]
fn reserved_addresses_take_one_mdl_that_fits() {
    let bench = bench();
    let kernel = &bench.kernel;
    let reserved = kernel.mm_allocate_mapping_address(PAGE, 7).unwrap();
    let mdl = mdl(&bench, layout::USER.start, PAGE as u32 + 1);
    kernel.mm_probe_and_lock_pages(mdl, 1, 0).unwrap();
    assert_eq!(
        kernel.mm_map_locked_pages_with_reserved_mapping(reserved, 7, mdl, 1),
        Ok(0)
    );
    let wide = kernel.mm_allocate_mapping_address(PAGE + 1, 7).unwrap();
    let mapped = kernel
        .mm_map_locked_pages_with_reserved_mapping(wide, 7, mdl, 1)
        .unwrap();
    assert_eq!(mapped, layout::USER.start);
    assert!(bench.rules().is_empty());
    assert!(
        matches!(kernel.mm_free_mapping_address(wide, 7), Err(Stop::BugCheck(b)) if b.parameters[0] == 0x102)
    );
    kernel.mm_unmap_reserved_mapping(wide, 7, mdl).unwrap();
    kernel.mm_free_mapping_address(wide, 7).unwrap();
    assert!(
        matches!(kernel.mm_free_mapping_address(wide, 7), Err(Stop::BugCheck(b)) if b.parameters[0] == 0x101)
    );
    kernel.mm_unmap_reserved_mapping(reserved, 8, mdl).unwrap();
    assert_eq!(
        bench.rules(),
        [ids::BAD_FREE, ids::BAD_FREE, ids::MDL_STATE]
    );
}

#[test]
fn an_mdl_that_is_advanced_describes_what_follows() {
    let bench = bench();
    let kernel = &bench.kernel;
    let pool = kernel.pool_allocate(0, 3 * PAGE, 1).unwrap();
    let mdl = mdl(&bench, pool + 0x10, 0x2800);
    kernel.mm_build_mdl_for_non_paged_pool(mdl).unwrap();
    let before = frames(&bench, mdl, 3);
    let advance = |bytes| kernel.mm_advance_mdl(mdl, bytes).unwrap();
    assert_eq!(advance(0x2801), NtStatus::INVALID_PARAMETER_2);
    assert_eq!(advance(0x1100), NtStatus::SUCCESS);
    let now = kernel.read(mdl).unwrap();
    assert_eq!((now.start_va, now.byte_offset), (pool + PAGE, 0x110));
    assert_eq!(now.byte_count, 0x1700);
    assert_eq!(now.mapped_system_va, pool + 0x1110);
    assert_eq!(frames(&bench, mdl, 2), before[1..]);
    assert_eq!(advance(0x1700), NtStatus::SUCCESS);
    assert_eq!(kernel.read(mdl).unwrap().byte_count, 0);
}

#[test]
fn the_size_of_an_mdl_counts_the_pages_that_are_touched() {
    let kernel = bench().kernel;
    assert_eq!(kernel.mm_size_of_mdl(0, PAGE), Ok(56));
    assert_eq!(kernel.mm_size_of_mdl(1, PAGE), Ok(64));
    assert_eq!(kernel.mm_size_of_mdl(0, 0), Ok(48));
    assert!(kernel.mm_size_of_mdl(u64::MAX, u64::MAX).is_ok());
}
