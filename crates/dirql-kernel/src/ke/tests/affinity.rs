//! Threads that are bound to processors.

use dirql_abi::processor::GroupAffinity;

use super::others;
use crate::hal::testing::Rig;
use crate::{DriverPtr, Kernel};

fn here(kernel: &Kernel) -> u16 {
    kernel.processor().id.0
}

#[test]
fn the_thread_moves_and_comes_back() {
    let rig = Rig::new(4);
    rig.bench.on_thread(|kernel| {
        for processor in [3, 0, 2, 1] {
            kernel.ke_set_system_affinity_thread(1 << processor)?;
            assert_eq!(here(kernel), processor);
            for _ in 0..3 {
                others(kernel)?;
                assert_eq!(here(kernel), processor);
            }
        }
        kernel.ke_revert_to_user_affinity_thread()
    });
}

#[test]
fn the_ex_routines_hand_back_what_was_set_before() {
    let rig = Rig::new(4);
    rig.bench.on_thread(|kernel| {
        assert_eq!(kernel.ke_set_system_affinity_thread_ex(0b0010)?, 0);
        assert_eq!(kernel.ke_set_system_affinity_thread_ex(0b1000)?, 0b0010);
        assert_eq!(here(kernel), 3);
        kernel.ke_revert_to_user_affinity_thread_ex(0b0010)?;
        assert_eq!(here(kernel), 1);
        kernel.ke_revert_to_user_affinity_thread_ex(0)?;
        assert_eq!(kernel.ke_set_system_affinity_thread_ex(1)?, 0);
        Ok(())
    });
}

/// Processors that do not exist do not count; without any nothing changes.
#[test]
fn a_mask_without_processors_changes_nothing() {
    let rig = Rig::new(2);
    rig.bench.on_thread(|kernel| {
        kernel.ke_set_system_affinity_thread(0b10)?;
        kernel.ke_set_system_affinity_thread(0b100)?;
        assert_eq!(kernel.ke_set_system_affinity_thread_ex(0)?, 0);
        assert_eq!(
            (
                here(kernel),
                kernel.ke_set_system_affinity_thread_ex(u64::MAX)?
            ),
            (1, 0b10)
        );
        Ok(())
    });
}

#[test]
fn at_dispatch_level_the_thread_moves_when_the_level_falls() {
    let rig = Rig::new(2);
    rig.bench.on_thread(|kernel| {
        kernel.ke_set_system_affinity_thread(1)?;
        kernel.ke_raise_irql(2)?;
        kernel.ke_set_system_affinity_thread(2)?;
        assert_eq!(here(kernel), 0);
        kernel.ke_lower_irql(0)?;
        assert_eq!(here(kernel), 1);
        Ok(())
    });
}

#[test]
fn groups_are_reached_with_the_group_routines() {
    let rig = Rig::new(130);
    let (wanted, previous) = (rig.bench.variable(16), rig.bench.variable(16));
    let (wanted, previous) = (
        DriverPtr::<GroupAffinity>::new(wanted),
        DriverPtr::<GroupAffinity>::new(previous),
    );
    rig.bench.on_thread(move |kernel| {
        kernel.write(
            wanted,
            GroupAffinity {
                mask: 2,
                group: 2,
                reserved: [0; 3],
            },
        )?;
        kernel.ke_set_system_group_affinity_thread(wanted, previous)?;
        assert_eq!(here(kernel), 129);
        assert_eq!(kernel.read(previous)?.mask, 0);
        kernel.write(
            wanted,
            GroupAffinity {
                mask: 4,
                group: 2,
                reserved: [0; 3],
            },
        )?;
        kernel.ke_set_system_group_affinity_thread(wanted, previous)?;
        assert_eq!(
            (here(kernel), kernel.read(previous)?.mask),
            (129, 0),
            "there is no such processor"
        );
        kernel.write(
            wanted,
            GroupAffinity {
                mask: 1,
                group: 1,
                reserved: [0; 3],
            },
        )?;
        kernel.ke_set_system_group_affinity_thread(wanted, previous)?;
        assert_eq!(here(kernel), 64);
        kernel.ke_revert_to_user_group_affinity_thread(previous)?;
        assert_eq!(here(kernel), 129);
        Ok(())
    });
}

#[test]
fn a_bound_thread_waits_for_its_processor_though_others_are_idle() {
    let rig = Rig::new(3);
    let log = rig.log.clone();
    rig.spawn_on(1, move |kernel| {
        for _ in 0..5 {
            others(kernel)?;
        }
        log.add("first");
        Ok(())
    });
    let log = rig.log.clone();
    rig.spawn_on(1, move |kernel| {
        log.add(alloc::format!("second on {}", here(kernel)));
        Ok(())
    });
    rig.run();
    let log = rig.log.take();
    assert!(log.contains(&"second on 1".into()) && log.len() == 2);
}

#[test]
fn processors_are_numbered_in_groups_of_64() {
    use dirql_abi::NtStatus;
    use dirql_abi::processor::ProcessorNumber;

    let rig = Rig::new(256);
    let kernel = rig.kernel();
    let at = DriverPtr::<ProcessorNumber>::new(rig.bench.variable(4));
    for index in [0, 63, 64, 255] {
        assert_eq!(
            kernel.ke_get_processor_number_from_index(index, at),
            Ok(NtStatus::SUCCESS)
        );
        let number = kernel.read(at).unwrap();
        assert_eq!(
            (u32::from(number.group), u32::from(number.number)),
            (index / 64, index % 64)
        );
        assert_eq!(kernel.ke_get_processor_index_from_number(at), Ok(index));
    }
    assert_eq!(
        kernel.ke_get_processor_number_from_index(256, at),
        Ok(NtStatus::INVALID_PARAMETER)
    );
    kernel
        .write(
            at,
            ProcessorNumber {
                group: 4,
                number: 0,
                reserved: 0,
            },
        )
        .unwrap();
    assert_eq!(kernel.ke_get_processor_index_from_number(at), Ok(u32::MAX));
    assert_eq!(kernel.ke_query_active_group_count(), Ok(4));
    assert_eq!(kernel.ke_query_active_processor_count_ex(0xFFFF), Ok(256));
    assert_eq!(kernel.ke_query_active_processor_count_ex(3), Ok(64));
    assert_eq!(kernel.ke_query_active_processor_count_ex(4), Ok(0));
    assert_eq!(kernel.ke_query_group_affinity(3), Ok(u64::MAX));
    assert_eq!(kernel.ke_query_active_processors(), Ok(u64::MAX));
}

/// More than the local APIC IDs can name, and none, are taken to what there can be.
#[test]
fn there_are_1_to_256_processors() {
    for (asked, there) in [(0, 1), (1, 1), (256, 256), (300, 256)] {
        assert_eq!(Rig::new(asked).kernel().processors().len(), there);
    }
}
