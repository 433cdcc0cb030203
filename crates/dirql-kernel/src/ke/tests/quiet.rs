//! Yield points that the platform passes by itself.

use alloc::boxed::Box;

use crate::ke::ThreadBody;
use crate::testing::Bench;
use crate::{Config, Ddi, Kernel};

fn on_a_thread(bench: &Bench, body: impl FnOnce(&Kernel) -> Ddi<()> + 'static) {
    bench
        .kernel
        .spawn_thread("test", 8, ThreadBody::Native(Box::new(body)));
    bench.kernel.run_until_idle();
}

#[test]
fn a_point_that_is_passed_by_is_a_step() {
    let bench = Bench::new(Config::default());
    on_a_thread(&bench, |kernel| {
        kernel.yield_point()?;
        let step = kernel.step();
        let left = kernel.let_pass().expect("nothing waits");
        assert_eq!(kernel.step(), step);
        left.set(left.get() - 3);
        assert_eq!(kernel.step(), step + 3);
        kernel.yield_point()?;
        assert_eq!((kernel.step(), left.get()), (step + 4, 0));
        Ok(())
    });
}

#[test]
fn whoever_enters_the_kernel_is_asked_again() {
    let bench = Bench::new(Config::default());
    on_a_thread(&bench, |kernel| {
        kernel.yield_point()?;
        let step = kernel.step();
        let left = kernel.let_pass().expect("nothing waits");
        left.set(left.get() - 1);
        kernel.end_passing();
        assert_eq!((kernel.step(), left.get()), (step + 1, 0));
        Ok(())
    });
}

#[test]
fn the_end_of_a_turn_is_not_passed_by() {
    let bench = Bench::new(Config::default());
    on_a_thread(&bench, |kernel| {
        kernel.yield_point()?;
        let left = kernel.let_pass().expect("nothing waits");
        left.set(0);
        let time = kernel.time_100ns();
        assert!(kernel.let_pass().is_none());
        kernel.yield_point()?;
        assert!(kernel.time_100ns() > time, "a turn takes time");
        Ok(())
    });
}
