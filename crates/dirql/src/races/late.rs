//! What an ISR writes after it has requested the DPC that reads it.
//!
//! The DPC may be queued already, on another processor, by an earlier interrupt: then it can run as
//! soon as it is requested, and what is written afterwards is not seen by it, nor is another run of
//! it requested. On the processor of the ISR, as in most runs, it comes later by itself, so nothing
//! goes wrong there.
//!
//! What the DPC reads under a lock that the ISR holds, such as the interrupt's, it reads when the ISR
//! is over.

use std::collections::BTreeMap;
use std::rc::Rc;

use dirql_host::MemoryAccess;
use dirql_kernel::{Event, Stamp};
use dirql_rules::{Context, Finding, Place, ids};

use super::Recorded;
use super::order::Order;

/// Something that an ISR has written after it requested a DPC.
struct Late {
    address: u64,
    bytes: u64,
    locks: Rc<Vec<u64>>,
    place: Place,
    requested: Place,
}

/// What the processors do with DPCs.
#[derive(Default)]
struct Requests {
    /// The call of the kernel that each processor made last.
    call: BTreeMap<u16, Place>,
    /// DPCs that the ISR on a processor has requested, and where.
    by_isr: BTreeMap<u16, Vec<(u64, Place)>>,
    /// What was written since, by the DPC.
    late: BTreeMap<u64, Vec<Late>>,
    /// The same for the DPC that runs on a processor.
    running: BTreeMap<u16, Vec<Late>>,
}

/// Finds such writes in a run on several processors.
pub(super) fn writes(run: &Recorded<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    if run.processors < 2 {
        return found;
    }
    let mut order = Order::default();
    let mut requests = Requests::default();
    let mut accesses = run.accesses.iter().peekable();
    for number in 0..=run.events.len() {
        while let Some(access) = accesses.next_if(|access| access.events <= number as u64) {
            let actor = order.access(access);
            let doing = order.doing(actor);
            found.extend(requests.access(access, &doing.locks, order.time_100ns()));
        }
        if let Some((stamp, event)) = run.events.get(number) {
            order.event(stamp, event);
            requests.event(stamp, event);
        }
    }
    found
}

impl Requests {
    fn event(&mut self, stamp: &Stamp, event: &Event) {
        let processor = stamp.processor;
        match event {
            Event::DdiEnter { name, caller } => {
                self.call.insert(processor, called(stamp, name, *caller));
            }
            Event::DpcQueued { dpc, .. } if matches!(stamp.context, Context::Isr(_)) => {
                if let Some(place) = self.call.get(&processor) {
                    let own = self.by_isr.entry(processor).or_default();
                    own.push((*dpc, place.clone()));
                }
            }
            Event::IsrEnter { .. } | Event::IsrLeave { .. } => {
                self.by_isr.remove(&processor);
            }
            Event::DpcEnter { dpc, .. } => {
                let late = self.late.remove(dpc).unwrap_or_default();
                self.running.insert(processor, late);
            }
            Event::DpcLeave { .. } => {
                self.running.remove(&processor);
            }
            _ => {}
        }
    }

    fn access(
        &mut self,
        access: &MemoryAccess,
        locks: &Rc<Vec<u64>>,
        time_100ns: u64,
    ) -> Option<Finding> {
        match access.context {
            Context::Isr(_) if access.writes => {
                for (dpc, requested) in self.by_isr.get(&access.processor)? {
                    self.late.entry(*dpc).or_default().push(Late {
                        address: access.address,
                        bytes: access.bytes,
                        locks: locks.clone(),
                        place: Place {
                            step: access.step,
                            time_100ns,
                            processor: access.processor,
                            irql: access.irql,
                            context: access.context,
                            ddi: None,
                            address: access.instruction,
                        },
                        requested: requested.clone(),
                    });
                }
                None
            }
            Context::Dpc if access.reads => {
                let late = self.running.get(&access.processor)?;
                let missed = late.iter().find(|late| {
                    let end = late.address + late.bytes;
                    access.address < end
                        && late.address < access.address + access.bytes
                        && !late.locks.iter().any(|lock| locks.contains(lock))
                })?;
                Some(Finding {
                    rule: ids::LATE_WRITE,
                    message: String::from(
                        "the ISR writes what its DPC reads after it has requested that: the DPC may have been queued already, on another processor, and have looked before",
                    ),
                    place: missed.place.clone(),
                    earlier: Some((
                        "the DPC was requested here".into(),
                        missed.requested.clone(),
                    )),
                })
            }
            _ => None,
        }
    }
}

fn called(stamp: &Stamp, name: &'static str, caller: u64) -> Place {
    Place {
        step: stamp.step,
        time_100ns: stamp.time_100ns,
        processor: stamp.processor,
        irql: stamp.irql,
        context: stamp.context,
        ddi: Some(name),
        address: caller,
    }
}
