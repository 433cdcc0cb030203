//! Lists that are linked through driver memory.
//!
//! Every link is a claim. A list whose neighbours do not point back is what Windows 8 and
//! later stop for with bug check 0x139, subcode 3.

use dirql_abi::list::ListEntry;
use dirql_rules::BugCheck;

use crate::{Ddi, DriverPtr, Kernel, at};

/// KERNEL_SECURITY_CHECK_FAILURE.
const SECURITY_CHECK: u32 = 0x139;

/// A LIST_ENTRY has been corrupted.
const CORRUPT_LIST: u64 = 3;

fn corrupt(entry: u64) -> crate::Stop {
    BugCheck::new(SECURITY_CHECK, [CORRUPT_LIST, entry, 0, 0]).into()
}

fn flink(entry: u64) -> DriverPtr<u64> {
    at!(DriverPtr::<ListEntry>::new(entry), ListEntry, flink)
}

fn blink(entry: u64) -> DriverPtr<u64> {
    at!(DriverPtr::<ListEntry>::new(entry), ListEntry, blink)
}

/// Makes `head` an empty list.
pub(crate) fn initialize(kernel: &Kernel, head: u64) -> Ddi<()> {
    Ok(kernel.write(
        DriverPtr::new(head),
        ListEntry {
            flink: head,
            blink: head,
        },
    )?)
}

/// The first element, if there is one.
pub(crate) fn first(kernel: &Kernel, head: u64) -> Ddi<Option<u64>> {
    let first = kernel.read(flink(head))?;
    Ok((first != head).then_some(first))
}

/// The element after `entry`, if there is one.
pub(crate) fn next(kernel: &Kernel, head: u64, entry: u64) -> Ddi<Option<u64>> {
    let next = kernel.read(flink(entry))?;
    Ok((next != head).then_some(next))
}

/// Puts `entry` in front of `at`, which is the head or an element.
pub(crate) fn insert_before(kernel: &Kernel, at: u64, entry: u64) -> Ddi<()> {
    let last = kernel.read(blink(at))?;
    if kernel.read(flink(last))? != at {
        return Err(corrupt(at));
    }
    kernel.write(
        DriverPtr::new(entry),
        ListEntry {
            flink: at,
            blink: last,
        },
    )?;
    kernel.write(flink(last), entry)?;
    Ok(kernel.write(blink(at), entry)?)
}

/// Takes `entry` out of its list.
pub(crate) fn remove(kernel: &Kernel, entry: u64) -> Ddi<()> {
    let link = kernel.read(DriverPtr::<ListEntry>::new(entry))?;
    if kernel.read(blink(link.flink))? != entry || kernel.read(flink(link.blink))? != entry {
        return Err(corrupt(entry));
    }
    kernel.write(flink(link.blink), link.flink)?;
    Ok(kernel.write(blink(link.flink), link.blink)?)
}
