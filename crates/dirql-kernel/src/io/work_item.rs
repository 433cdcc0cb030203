//! Work items: routines that system threads call at PASSIVE_LEVEL.
//!
//! A worker is made when work comes and none is idle, up to [`MOST_WORKERS`] of each kind;
//! Windows does the same with other numbers.
//!
//! Source: WDK, "System Worker Threads"; the pages of the routines; Bug check 0xE4.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use core::cell::{Cell, RefCell};

use dirql_abi::io::work_queue_type;
use dirql_rules::{BugCheck, Place, ids};

use crate::ke::ThreadBody;
use crate::{Ddi, DriverPtr, Kernel};

/// Bytes of an IO_WORKITEM; its members are nobody's business.
const ITEM: u64 = 88;

/// Workers of each kind. Choice.
const MOST_WORKERS: u32 = 16;

/// A native piece of work.
pub(crate) type NativeWork = Box<dyn FnOnce(&Kernel) -> Ddi<()>>;

/// Something for a worker to do.
pub(crate) enum Job {
    /// The work item at this address.
    Item(u64),
    /// `routine(parameter)`, as ExQueueWorkItem has it.
    Routine { routine: u64, parameter: u64 },
    /// The kernel's own.
    Native(NativeWork),
}

struct Queued {
    routine: u64,
    context: u64,
    /// The routine is given the work item too, as IoQueueWorkItemEx has it.
    extended: bool,
    place: Place,
}

struct Item {
    /// Device or driver object, referenced while queued.
    object: u64,
    /// Uninitialised memory of the driver's own (IoInitializeWorkItem).
    embedded: bool,
    queued: Option<Queued>,
}

#[derive(Default)]
struct Queue {
    jobs: RefCell<VecDeque<Job>>,
    /// Events of workers that wait.
    idle: RefCell<VecDeque<u64>>,
    workers: Cell<u32>,
}

/// All work.
#[derive(Default)]
pub(super) struct Work {
    items: RefCell<BTreeMap<u64, Item>>,
    /// Critical, delayed, hypercritical.
    queues: [Queue; 3],
}

/// Thread priorities of the three kinds. Source: "System Worker Threads" for the order;
/// numbers as public kernel sources have them.
const PRIORITY: [u8; 3] = [13, 12, 15];

impl Kernel {
    /// `PIO_WORKITEM IoAllocateWorkItem(PDEVICE_OBJECT)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the work item, or NULL.
    /// - Source: WDK reference, wdm.IoAllocateWorkItem.
    ///
    /// # Errors
    /// The bug check if the device is none.
    pub fn io_allocate_work_item(&self, object: u64) -> Ddi<u64> {
        if self.ob_kind(object).is_none() {
            return Err(self.not_io_object(object, "device or driver object"));
        }
        let item = self.allocate_zeroed(ITEM, super::tag(b"IoWI"))?;
        if item != 0 {
            self.io.work.items.borrow_mut().insert(
                item,
                Item {
                    object,
                    embedded: false,
                    queued: None,
                },
            );
        }
        Ok(item)
    }

    /// `ULONG IoSizeofWorkItem(VOID)`
    ///
    /// - IRQL: any.
    /// - Source: WDK reference, wdm.IoSizeofWorkItem.
    ///
    /// # Errors
    /// None.
    pub fn io_sizeof_work_item(&self) -> Ddi<u32> {
        Ok(ITEM as u32)
    }

    /// `VOID IoInitializeWorkItem(PVOID IoObject, PIO_WORKITEM)`
    ///
    /// Makes memory of the driver's own a work item.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: bug check 0xE4 if it is queued.
    /// - Source: WDK reference, wdm.IoInitializeWorkItem.
    ///
    /// # Errors
    /// The item is not memory; the bug check.
    pub fn io_initialize_work_item(&self, object: u64, item: u64) -> Ddi<()> {
        self.check_item(item, 3, "initialised")?;
        self.zero(item, ITEM)?;
        self.io.work.items.borrow_mut().insert(
            item,
            Item {
                object,
                embedded: true,
                queued: None,
            },
        );
        Ok(())
    }

    /// `VOID IoUninitializeWorkItem(PIO_WORKITEM)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: bug check 0xE4 if it is queued.
    /// - Source: WDK reference, wdm.IoUninitializeWorkItem.
    ///
    /// # Errors
    /// The bug check.
    pub fn io_uninitialize_work_item(&self, item: u64) -> Ddi<()> {
        self.check_item(item, 2, "uninitialised")?;
        self.io.work.items.borrow_mut().remove(&item);
        Ok(())
    }

    /// `VOID IoFreeWorkItem(PIO_WORKITEM)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: DQ0216 and bug check 0xE4 if it is queued or is no work item.
    /// - Source: WDK reference, wdm.IoFreeWorkItem.
    ///
    /// # Errors
    /// The bug check.
    pub fn io_free_work_item(&self, item: u64) -> Ddi<()> {
        self.check_item(item, 2, "freed")?;
        let known = self.io.work.items.borrow_mut().remove(&item);
        match known {
            Some(Item {
                embedded: false, ..
            }) => self.pool_free(item, None),
            _ => Err(self.not_a_work_item(item)),
        }
    }

    /// `BOOLEAN IoTryQueueWorkItem(PIO_WORKITEM, PIO_WORKITEM_ROUTINE_EX, WORK_QUEUE_TYPE, PVOID Context)`
    ///
    /// As `IoQueueWorkItemEx`, unless the item is queued already.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: FALSE if it is.
    /// - Source: WDK reference, wdm.IoTryQueueWorkItem.
    ///
    /// # Errors
    /// As [`Kernel::io_queue_work_item`].
    pub fn io_try_queue_work_item(
        &self,
        item: u64,
        routine: u64,
        queue_type: u32,
        context: u64,
    ) -> Ddi<u8> {
        let items = self.io.work.items.borrow();
        let is_queued = items.get(&item).is_some_and(|known| known.queued.is_some());
        drop(items);
        if is_queued {
            return Ok(0);
        }
        self.io_queue_work_item(item, routine, queue_type, context, true)?;
        Ok(1)
    }

    /// `VOID IoQueueWorkItem(PIO_WORKITEM, PIO_WORKITEM_ROUTINE, WORK_QUEUE_TYPE, PVOID Context)`
    ///
    /// Has a system thread call `routine(device, context)`; the device is kept until then.
    /// `IoQueueWorkItemEx` calls `routine(object, context, item)`.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: DQ0216 and bug check 0xE4 if it is queued already.
    /// - Source: WDK reference, wdm.IoQueueWorkItem.
    ///
    /// # Errors
    /// The bug check.
    pub fn io_queue_work_item(
        &self,
        item: u64,
        routine: u64,
        queue_type: u32,
        context: u64,
        extended: bool,
    ) -> Ddi<()> {
        self.check_item(item, 1, "queued")?;
        let place = self.here();
        let object = self.io.work.items.borrow_mut().get_mut(&item).map(|known| {
            known.queued = Some(Queued {
                routine,
                context,
                extended,
                place,
            });
            known.object
        });
        let Some(object) = object else {
            return Err(self.not_a_work_item(item));
        };
        self.obf_reference_object(object)?;
        self.queue_job(queue_type, Job::Item(item))
    }

    /// Gives a system thread something to do.
    pub(crate) fn queue_job(&self, queue_type: u32, job: Job) -> Ddi<()> {
        let kind = match queue_type {
            work_queue_type::CriticalWorkQueue => 0,
            work_queue_type::HyperCriticalWorkQueue => 2,
            _ => 1,
        };
        let queue = &self.io.work.queues[kind];
        queue.jobs.borrow_mut().push_back(job);
        let idle = queue.idle.borrow_mut().pop_front();
        if let Some(event) = idle {
            self.ke_set_event(DriverPtr::new(event), 0, 0)?;
        } else if queue.workers.get() < MOST_WORKERS {
            queue.workers.set(queue.workers.get() + 1);
            let body = ThreadBody::Native(Box::new(move |kernel| kernel.work(kind)));
            self.spawn_thread("system worker", PRIORITY[kind], body);
        }
        Ok(())
    }

    /// A worker's life.
    fn work(&self, kind: usize) -> Ddi<()> {
        let event = self.take_event()?;
        let queue = &self.io.work.queues[kind];
        loop {
            let job = queue.jobs.borrow_mut().pop_front();
            match job {
                Some(job) => self.do_job(job)?,
                None => {
                    self.ke_clear_event(DriverPtr::new(event))?;
                    queue.idle.borrow_mut().push_back(event);
                    self.wait_for(event, None)?;
                }
            }
        }
    }

    fn do_job(&self, job: Job) -> Ddi<()> {
        match job {
            Job::Routine { routine, parameter } => {
                self.call_at_same_level("WorkerRoutine", routine, &[parameter])?;
            }
            Job::Native(work) => work(self)?,
            Job::Item(item) => {
                let taken = {
                    let mut items = self.io.work.items.borrow_mut();
                    items
                        .get_mut(&item)
                        .and_then(|known| Some((known.object, known.queued.take()?)))
                };
                let Some((object, queued)) = taken else {
                    return Ok(());
                };
                let arguments = [object, queued.context, item];
                let arguments = if queued.extended {
                    &arguments[..]
                } else {
                    &arguments[..2]
                };
                self.call_at_same_level("WorkItem", queued.routine, arguments)?;
                self.obf_dereference_object(object)?;
            }
        }
        Ok(())
    }

    /// The bug check for a work item that is queued where it must not be.
    fn check_item(&self, item: u64, code: u64, what: &str) -> Ddi<()> {
        let place = {
            let items = self.io.work.items.borrow();
            items
                .get(&item)
                .and_then(|known| Some(known.queued.as_ref()?.place.clone()))
        };
        let Some(place) = place else { return Ok(()) };
        let message = format!("the work item {item:#x} was {what} while it is queued");
        self.find(
            ids::WORK_ITEM,
            message,
            Some((String::from("it was queued here"), place)),
        )?;
        Err(BugCheck::new(0xE4, [code, item, item, item + ITEM]).into())
    }

    fn not_a_work_item(&self, item: u64) -> crate::Stop {
        let message = format!("{item:#x} is not a work item");
        if self.find(ids::WORK_ITEM, message, None).is_err() {
            return crate::Stop::Ended;
        }
        BugCheck::new(0xE4, [3, item, item, item.wrapping_add(ITEM)]).into()
    }
}
