//! A life that is put back by the lines that are known to change.

use std::cell::{Cell, RefCell};

use dirql_host::{Arena, Host, Life, Stopped, ask, outside, pause};
use dirql_kernel::ke::ThreadBody;
use dirql_kernel::{Config, Ddi, DriverPtr, Kernel};

#[global_allocator]
static ALLOCATOR: Arena = Arena;

/// Answers of a run.
const ANSWERS: usize = 3;

thread_local! {
    /// What the run that is next is answered, and how far it is.
    static SCRIPT: Cell<([u64; ANSWERS], usize)> = const { Cell::new(([0; ANSWERS], 0)) };
    /// What it has told at its end.
    static TOLD: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Leaves numbers on the stack, as deep as it is told, and some in the heap.
#[inline(never)]
fn leave_behind(depth: u64) -> u64 {
    let numbers: [u64; 40] = std::array::from_fn(|index| depth * 0x101 + index as u64);
    let numbers = std::hint::black_box(numbers);
    let deeper = if depth == 0 {
        0
    } else {
        leave_behind(depth - 1)
    };
    deeper + numbers[depth as usize % 40] + Vec::from(numbers).len() as u64
}

fn changes(kernel: &Kernel) -> Ddi<()> {
    let word = DriverPtr::<u64>::new(kernel.allocate_system(0x1000));
    let mut kept = vec![0_u64; 8];
    pause();
    for _ in 0..ANSWERS {
        let answer = ask(|| {
            let (answers, at) = SCRIPT.get();
            SCRIPT.set((answers, at + 1));
            answers[at]
        });
        let count = kernel.read(word)?;
        match answer {
            0 => kernel.write(word, count + 1)?,
            1 => kept.push(leave_behind(answer + count)),
            2 => kernel.yield_point()?,
            // This comes in by another way.
            _ => kept.push(outside(|| SCRIPT.get().1 as u64)),
        }
        kept[0] += answer * 3 + count;
    }
    kept.push(kernel.read(word)?);
    ask(|| {
        TOLD.with_borrow_mut(|told| told.clone_from(&kept));
        0
    });
    pause();
    Ok(())
}

fn live() {
    let host = Host::new(Config::default()).expect("there is one at a time");
    let body = ThreadBody::Native(Box::new(changes));
    host.kernel().spawn_thread("test", 8, body);
    host.kernel().run_until_idle();
}

/// Runs with these answers, one after the other. Each tells what the first run with its answers has
/// told. How many were put back by lines alone.
fn put_back_by_lines(scripts: impl Iterator<Item = [u64; ANSWERS]>) -> u64 {
    let mut life = Life::new(live).expect("the allocator is an arena");
    assert_eq!(life.go_on(), Stopped::Paused);
    assert!(life.mark());
    let mut known = std::collections::BTreeMap::new();
    for script in scripts {
        life.back_to(0);
        SCRIPT.set((script, 0));
        assert_eq!(life.go_on(), Stopped::Paused);
        let told = TOLD.take();
        let first = known.entry(script).or_insert_with(|| told.clone());
        assert_eq!(*first, told, "{script:?}");
    }
    let by_lines = life.put_back_by_lines();
    life.finish();
    by_lines
}

/// All runs with answers below `bound`, in an order that changes, so often.
fn scripts(bound: u64, rounds: u64) -> impl Iterator<Item = [u64; ANSWERS]> {
    let all = bound.pow(ANSWERS as u32);
    (0..rounds * all).map(move |number| {
        // 7 has no factor in common with 8 or 27.
        let number = number * 7 + number / all;
        std::array::from_fn(|at| number / bound.pow(at as u32) % bound)
    })
}

#[test]
fn ways_that_are_gone_again_are_put_back_by_their_lines_and_do_the_same() {
    let by_lines = put_back_by_lines(scripts(2, 4).chain(scripts(3, 12)));
    assert!(by_lines >= 27 * 6, "{by_lines}");
}

#[test]
fn what_comes_in_otherwise_has_all_pages_put_back() {
    let disturbed = scripts(2, 12).map(|[first, second, _]| [first, second, 3]);
    assert_eq!(put_back_by_lines(disturbed), 0);
}

#[test]
fn one_disturbance_makes_all_ways_unknown_for_a_time() {
    let quiet = || scripts(2, 6);
    let before = put_back_by_lines(quiet());
    let with = |between| put_back_by_lines(quiet().chain([between]).chain(quiet()));
    let (disturbed, undisturbed) = (with([0, 3, 0]), with([0, 1, 0]));
    assert!(before > 0 && before < disturbed, "{before}, {disturbed}");
    assert!(disturbed < undisturbed, "{disturbed}, {undisturbed}");
}

#[test]
fn a_panic_of_who_answers_goes_on_inside() {
    fn asks() {
        let asked = std::panic::catch_unwind(|| ask(|| panic!("no answer")));
        assert!(asked.is_err());
    }
    let mut life = Life::new(asks).expect("the allocator is an arena");
    assert_eq!(life.go_on(), Stopped::Ended);
}
