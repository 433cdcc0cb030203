//! From a message to a processor, or to several.
//!
//! A destination is the ID of a local APIC, which is its processor's number, or a set by logical
//! IDs, for a driver that has written those into local APICs and messages itself: this kernel uses
//! physical destinations only. On a machine with 256 processors the last one has the number that
//! means all of them elsewhere.

use alloc::vec::Vec;

use dirql_chips::lapic::{Lapic, Output, arbitrate};
use dirql_chips::{DeliveryMode, DestinationMode, InterruptMessage, MessageWrite, Trigger, Vector};

use crate::ke::ProcessorId;
use crate::{Event, Kernel};

impl Kernel {
    /// A device writes a message; one that is not addressed to a processor goes nowhere.
    pub(crate) fn write_message(&self, write: MessageWrite) {
        if self.report.is_recording() {
            self.event(Event::Message(write));
        }
        if let Ok(message) = InterruptMessage::decode(write) {
            self.bring(message, true);
        }
    }

    /// Brings an interrupt controller's message to its processors.
    #[inline]
    pub(crate) fn route(&self, message: InterruptMessage) {
        self.bring(message, false);
    }

    /// `written`: a device wrote it to memory.
    fn bring(&self, message: InterruptMessage, written: bool) {
        let addressed = ProcessorId(u16::from(message.destination));
        if message.destination_mode == DestinationMode::Logical {
            return self.bring_to_set(message, written);
        }
        let Some(processor) = self.processor_by_id(addressed) else {
            return self.bring_to_set(message, written);
        };
        match message.delivery {
            DeliveryMode::LowestPriority => {
                let is_busy = processor.irql.get().0 >= message.vector.class();
                let target = if is_busy {
                    self.least_busy(addressed, message.vector)
                } else {
                    addressed
                };
                self.bring_vector(target, message, written);
            }
            _ => self.deliver(addressed, message, written),
        }
    }

    /// A message whose destination may be several local APICs, or none: a logical one, or the
    /// broadcast of a machine that has no processor with that number.
    #[cold]
    fn bring_to_set(&self, message: InterruptMessage, written: bool) {
        let processors = self.processors().iter();
        let addressed: Vec<_> = processors
            .map(|processor| (processor.id, processor.lapic.borrow()))
            .filter(|(_, lapic)| lapic.is_addressed(&message))
            .collect();
        let targets: Vec<ProcessorId> = if message.delivery == DeliveryMode::LowestPriority {
            let lapics = addressed.iter().map(|(_, lapic)| &**lapic);
            let winner = arbitrate(lapics, message.vector).map(Lapic::id);
            winner
                .map(|id| ProcessorId(id.into()))
                .into_iter()
                .collect()
        } else {
            addressed.iter().map(|(id, _)| *id).collect()
        };
        drop(addressed);
        for target in targets {
            self.deliver(target, message, written);
        }
    }

    fn deliver(&self, target: ProcessorId, message: InterruptMessage, written: bool) {
        match message.delivery {
            DeliveryMode::Fixed | DeliveryMode::LowestPriority => {
                self.bring_vector(target, message, written);
            }
            DeliveryMode::Nmi => self.send_nmi(target),
            // Nothing here answers to the others.
            DeliveryMode::Smi
            | DeliveryMode::Reserved
            | DeliveryMode::Init
            | DeliveryMode::Startup
            | DeliveryMode::ExtInt => {}
        }
    }

    /// A device's vector gets to a processor: at once, or when somebody chooses that it does.
    #[inline]
    fn bring_vector(&self, target: ProcessorId, message: InterruptMessage, written: bool) {
        if self.is_exploring() {
            self.send_vector(target, message, written);
        } else {
            self.request_vector(target, message.vector, message.trigger);
        }
    }

    /// Among the processors on which this vector is connected, the one at the lowest IRQL, the
    /// addressed one among equals. Source: Intel SDM volume 3, "Lowest Priority Delivery
    /// Mode"; which of equals wins is the chip set's choice.
    #[cold]
    fn least_busy(&self, addressed: ProcessorId, vector: Vector) -> ProcessorId {
        let group = addressed.group();
        let connected = {
            let sources = self.hal.sources.borrow();
            let same = sources
                .iter()
                .filter(|source| source.vector == vector && source.group == group);
            same.filter(|source| source.affinity & addressed.mask() != 0)
                .fold(0, |mask, source| mask | source.connected)
        };
        self.processors_of(group, connected)
            .min_by_key(|id| {
                let irql = self
                    .processor_by_id(*id)
                    .map(|processor| processor.irql.get());
                (irql, *id != addressed, *id)
            })
            .unwrap_or(addressed)
    }

    /// A processor has ended a level-triggered vector: lines that are still asserted are
    /// delivered again.
    pub(crate) fn tell_io_apics(&self, vector: Vector) {
        let again = self.hal.io_apic.borrow_mut().end_of_interrupt(vector);
        for out in again {
            self.route(out.message);
        }
    }

    /// Carries out what a driver made its local APIC send.
    pub(crate) fn carry_out_lapic(&self, output: Output) {
        match output {
            Output::EndOfInterrupt(vector) => self.tell_io_apics(vector),
            Output::Ipi(ipi) => {
                for processor in self.processors() {
                    if ipi.reaches(&processor.lapic.borrow()) {
                        self.request_vector(processor.id, ipi.message.vector, Trigger::Edge);
                    }
                }
            }
        }
    }
}
