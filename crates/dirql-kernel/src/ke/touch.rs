//! What the parts of a run touch, for who reorders them.
//!
//! Two parts of a run that touch nothing in common have the same effect in either order. What a
//! driver's code does between two yield points is not known: all of it counts as touching one
//! object. So does what routines of the kernel do, except for those that are known to touch
//! less. The time is an object of its own: looking at it, setting an alarm and a delay's end can not
//! change places, and neither can one of them and code that waits on purpose. That each access to
//! a device takes some time, too, counts for nothing. Where the accesses of driver code are recorded, those that meet others' count instead.
//! Interrupts are told apart by processor and level: a processor at a level does not see
//! what is pending below it.

use dirql_chips::Vector;

use crate::Kernel;
use crate::ke::ProcessorId;

/// An object, or a part of one, is read or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// A number for the object.
    pub object: u64,
    /// Which parts of it.
    pub parts: u64,
    /// What is done to them.
    pub access: Access,
}

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It is looked at.
    Look,
    /// It is changed.
    Change,
    /// A lock is taken, which was free.
    Take,
    /// A lock is freed, and nobody else could have taken it before.
    Free,
}

/// Numbers of objects that have no address.
mod object {
    pub(super) const DRIVER: u64 = 1;
    pub(super) const KERNEL: u64 = 2;
    pub(super) const TIME: u64 = 3;
    pub(super) const INTERRUPTS: u64 = 0x1_0000;
    pub(super) const DEVICE: u64 = 0x2_0000;
}

/// Routines that change nothing but their processor's level, what is told separately (locks,
/// interrupts), or memory of the driver that calls them.
const LOCAL: &[&str] = &[
    "DbgPrint",
    "DbgPrintEx",
    "KeAcquireInStackQueuedSpinLock",
    "KeAcquireInStackQueuedSpinLockAtDpcLevel",
    "KeAcquireSpinLockAtDpcLevel",
    "KeAcquireSpinLockRaiseToDpc",
    "KeAcquireSpinLockForDpc",
    "KeGetCurrentIrql",
    "KeGetCurrentProcessorNumberEx",
    "KeLowerIrql",
    "KeQueryInterruptTime",
    "KeQueryPerformanceCounter",
    "KeRaiseIrqlToDpcLevel",
    "KeReleaseInStackQueuedSpinLock",
    "KeReleaseInStackQueuedSpinLockFromDpcLevel",
    "KeReleaseSpinLock",
    "KeReleaseSpinLockForDpc",
    "KeReleaseSpinLockFromDpcLevel",
    "KeStallExecutionProcessor",
    "KfLowerIrql",
    "KfRaiseIrql",
];

/// Routines that look at what the kernel has and change nothing but locks.
const LOOKING: &[&str] = &[
    "KeAcquireInterruptSpinLock",
    "KeReleaseInterruptSpinLock",
    "KeSynchronizeExecution",
];

impl Kernel {
    /// Whether somebody is told of touches.
    #[inline]
    fn tells_touches(&self) -> bool {
        self.ke.choices.tells_touches.get()
    }

    #[inline]
    fn touch(&self, object: u64, parts: u64, access: Access) {
        if self.tells_touches() {
            self.tell_touch(Touch {
                object,
                parts,
                access,
            });
        }
    }

    /// Code of a driver runs.
    #[inline]
    pub(crate) fn touch_driver(&self) {
        if self.ke.choices.tells_memory.get() {
            return;
        }
        self.touch(object::DRIVER, u64::MAX, Access::Change);
    }

    /// From now on [`Kernel::touch_memory`] is told of every access of driver code that can make
    /// a difference; until then driver code counts as touching one object.
    pub fn tell_memory(&self, tells: bool) {
        self.ke.choices.tells_memory.set(tells);
    }

    /// Driver code has accessed `bytes` of memory from `address` on.
    pub fn touch_memory(&self, address: u64, bytes: u64, writes: bool) {
        if !self.tells_touches() {
            return;
        }
        let access = if writes { Access::Change } else { Access::Look };
        let end = address.saturating_add(bytes);
        let mut word = address & !7;
        while word < end {
            let first = address.saturating_sub(word).min(8);
            let last = (end - word).min(8);
            self.touch(word, (1 << last) - (1 << first), access);
            word = word.saturating_add(8);
        }
    }

    /// The kernel's own state is changed.
    #[inline]
    pub(crate) fn touch_kernel(&self) {
        self.touch(object::KERNEL, u64::MAX, Access::Change);
    }

    /// The kernel's own state is looked at.
    #[inline]
    pub(crate) fn look_at_kernel(&self) {
        self.touch(object::KERNEL, u64::MAX, Access::Look);
    }

    /// The time is looked at, or what is due at which time is changed.
    #[inline]
    pub(crate) fn touch_time(&self) {
        self.touch(object::TIME, u64::MAX, Access::Change);
    }

    /// A processor waits for some time. Two that do so can do it in either order: the time after both
    /// is the same.
    #[inline]
    pub(crate) fn spend_time(&self) {
        self.touch(object::TIME, u64::MAX, Access::Look);
    }

    /// A routine of the kernel runs for a driver.
    #[inline]
    pub(crate) fn touch_for_ddi(&self, name: &str) {
        if !self.tells_touches() || LOCAL.contains(&name) {
            return;
        }
        let access = if LOOKING.contains(&name) {
            Access::Look
        } else {
            Access::Change
        };
        self.touch(object::KERNEL, u64::MAX, access);
    }

    /// A lock is taken.
    #[inline]
    pub(crate) fn take_lock(&self, lock: u64) {
        self.touch(lock, u64::MAX, Access::Take);
    }

    /// A lock is freed.
    #[inline]
    pub(crate) fn free_lock(&self, lock: u64) {
        self.touch(lock, u64::MAX, Access::Free);
    }

    /// A device gets an input.
    #[inline]
    pub(crate) fn touch_device(&self, device: u32) {
        self.touch(object::DEVICE + u64::from(device), u64::MAX, Access::Change);
    }

    /// A vector becomes pending at a processor.
    #[inline]
    pub(crate) fn touch_vector(&self, processor: ProcessorId, vector: Vector) {
        let object = object::INTERRUPTS + u64::from(processor.0);
        self.touch(object, 1 << vector.class(), Access::Change);
    }

    /// This processor looks for interrupts above its level.
    #[inline]
    pub(crate) fn look_for_interrupts(&self) {
        if self.tells_touches() {
            let processor = self.processor();
            let above = (u64::MAX << processor.irql.get().0) << 1;
            let object = object::INTERRUPTS + u64::from(processor.id.0);
            self.touch(object, above, Access::Look);
        }
    }
}
