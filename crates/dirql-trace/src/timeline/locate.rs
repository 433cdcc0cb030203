//! Which event is meant by the place of a finding.

use std::collections::BTreeMap;

use dirql_kernel::Stamp;
use dirql_rules::Context;

use crate::names;
use crate::record::{PlaceRecord, Record};

/// What can be asked for: of each processor, its events with the steps at which they were.
#[derive(Debug, Default)]
pub(crate) struct Places {
    of_processor: BTreeMap<u16, Vec<Known>>,
    /// The exports' names and the places of calls, each once.
    texts: Vec<String>,
    numbers: BTreeMap<String, u32>,
    /// What was running, by the text that a place has for it.
    contexts: BTreeMap<String, Context>,
    latest: Option<Context>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    event: u64,
    step: u64,
    context: Context,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// A call of an export, from a place.
    Call(u32, u32),
    /// A routine of the driver's has returned.
    Leave,
    /// What a call does that a finding may be about.
    Deed,
    Finding,
    Other,
}

impl Places {
    pub(crate) fn add(&mut self, event: u64, stamp: Stamp, record: &Record<'_>) {
        let what = match record {
            Record::DdiEnter { name, caller } => What::Call(self.number(name), self.number(caller)),
            Record::LockTaken { .. }
            | Record::LockReleased { .. }
            | Record::LockWanted { .. }
            | Record::DpcQueued { .. }
            | Record::WaitBegin { .. }
            | Record::Connection { .. } => What::Deed,
            Record::IsrLeave { .. } | Record::DpcLeave { .. } | Record::RoutineLeave { .. } => {
                What::Leave
            }
            Record::Finding { .. } | Record::BugCheck { .. } => What::Finding,
            _ => What::Other,
        };
        if self.latest != Some(stamp.context) {
            self.latest = Some(stamp.context);
            self.contexts
                .insert(names::context(stamp.context), stamp.context);
        }
        self.of_processor
            .entry(stamp.processor)
            .or_default()
            .push(Known {
                event,
                step: stamp.step,
                context: stamp.context,
                what,
            });
    }

    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.texts.len() as u32;
        self.texts.push(text.into());
        self.numbers.insert(text.into(), number);
        number
    }

    /// The event of `place`, at or before the event `until` of the finding. For a call of an
    /// export: what the call did at that step, else the call. Else the finding, if it was there;
    /// else the last event before of what was running, which comes to an instruction of that step
    /// before it calls anything or returns.
    pub(crate) fn locate(&self, place: &PlaceRecord, until: u64) -> Option<u64> {
        let all = self.of_processor.get(&place.processor)?;
        let end = all.partition_point(|known| known.event <= until);
        let end = all[..end].partition_point(|known| known.step <= place.step);
        let before = &all[..end];
        let last = before.last()?;
        if last.event == until && last.what == What::Finding && last.step == place.step {
            return Some(until);
        }
        if place.ddi.is_none()
            && let Some(context) = self.contexts.get(&place.context)
        {
            let own = before
                .iter()
                .rev()
                .filter(|known| known.context == *context);
            let step = own.clone().take_while(|known| known.step == place.step);
            let after = step
                .filter(|known| matches!(known.what, What::Call(..) | What::Leave))
                .last();
            let end = after.map_or(until + 1, |known| known.event);
            let own = own.clone().find(|known| known.event < end);
            return Some(own.unwrap_or(last).event);
        }
        if let (Some(ddi), at) = (&place.ddi, place.at.as_deref().unwrap_or("0x0")) {
            let wanted = (self.numbers.get(ddi.as_str()), self.numbers.get(at));
            if let (Some(ddi), Some(at)) = wanted {
                let call = before
                    .iter()
                    .rposition(|known| known.what == What::Call(*ddi, *at));
                if let Some(call) = call {
                    let deed = before[call..]
                        .iter()
                        .find(|known| known.what == What::Deed && known.step == place.step);
                    return Some(deed.unwrap_or(&before[call]).event);
                }
            }
        }
        Some(last.event)
    }
}
