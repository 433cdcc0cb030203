//! Locks in one order here and in the other there.

use dirql_rules::ids;

use crate::testing::Bench;
use crate::{Config, Ddi, Kernel};

fn nested(kernel: &Kernel, outer: u64, inner: u64) -> Ddi<()> {
    let old = kernel.ke_acquire_spin_lock_raise_to_dpc(outer)?;
    kernel.ke_acquire_spin_lock_at_dpc_level(inner)?;
    kernel.ke_release_spin_lock_from_dpc_level(inner)?;
    kernel.ke_release_spin_lock(outer, old)
}

/// The rules that are broken when each pair of locks is taken, the second inside of the first.
fn found(pairs: &'static [(usize, usize)]) -> usize {
    let bench = Bench::new(Config::default());
    let locks = [0; 3].map(|_: u8| bench.variable(8));
    bench.on_thread(move |kernel| {
        for (outer, inner) in pairs {
            nested(kernel, locks[*outer], locks[*inner])?;
        }
        Ok(())
    });
    let rules = bench.rules();
    assert!(rules.iter().all(|rule| *rule == ids::LOCK_ORDER));
    rules.len()
}

#[test]
fn one_order_is_no_finding() {
    assert_eq!(found(&[(0, 1), (1, 2), (0, 2), (0, 1)]), 0);
}

#[test]
fn the_other_order_is_told_once() {
    assert_eq!(found(&[(0, 1), (1, 0), (1, 0)]), 1);
}

#[test]
fn a_circle_of_three_is_told() {
    assert_eq!(found(&[(0, 1), (1, 2), (2, 0)]), 1);
}

#[test]
fn a_lock_that_is_initialised_again_is_another_one() {
    let bench = Bench::new(Config::default());
    let (one, other) = (bench.variable(8), bench.variable(8));
    bench.on_thread(move |kernel| {
        nested(kernel, one, other)?;
        kernel.ke_initialize_spin_lock(other)?;
        nested(kernel, other, one)
    });
    assert!(bench.rules().is_empty());
}
