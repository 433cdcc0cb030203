//! `KeAcquireSpinLockRaiseToDpc` and `KeReleaseSpinLock` through the table of exports, against
//! taking and freeing an atomic lock that nobody else wants.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use dirql_benches::{compare, each, report};
use dirql_host::Host;
use dirql_kernel::Config;
use dirql_kernel::ke::ThreadBody;

dirql_host::import! {
    fn ExAllocatePoolWithTag(pool: u32, bytes: u64, tag: u32) -> u64;
    fn KeInitializeSpinLock(lock: u64);
}

type Acquire = extern "win64" fn(u64) -> u8;
type Release = extern "win64" fn(u64, u8);

fn main() {
    let host = Host::new(Config {
        max_steps: u64::MAX,
        ..Config::default()
    })
    .expect("a computer");
    host.kernel().spawn_thread(
        "bench",
        8,
        ThreadBody::Native(Box::new(|_| {
            let lock = ExAllocatePoolWithTag(0, 8, 0x6B63_6F4C);
            KeInitializeSpinLock(lock);
            let acquire: Acquire = dirql_host::native::routine("KeAcquireSpinLockRaiseToDpc");
            let release: Release = dirql_host::native::routine("KeReleaseSpinLock");
            let word = AtomicU64::new(0);
            let comparison = compare(
                (
                    2_000,
                    each(|| {
                        let old = acquire(lock);
                        release(lock, old);
                    }),
                ),
                (
                    10_000,
                    each(|| {
                        while black_box(&word)
                            .compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed)
                            .is_err()
                        {}
                        black_box(&word).swap(0, Ordering::Release);
                    }),
                ),
            );
            report(
                "acquire and release a spin lock through exports",
                "uncontended atomic lock",
                &comparison,
                "ratio at most 10",
            );
            Ok(())
        })),
    );
    host.run_until_idle();
}
