//! From a message to a processor.

use dirql_chips::lapic::Output;
use dirql_chips::{DeliveryMode, InterruptMessage, MessageWrite, Trigger, Vector};

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
        let Some(processor) = self.processor_by_id(addressed) else {
            return;
        };
        match message.delivery {
            DeliveryMode::Fixed => self.bring_vector(addressed, message, written),
            DeliveryMode::LowestPriority => {
                let is_busy = processor.irql.get().0 >= message.vector.class();
                let target = if is_busy {
                    self.least_busy(addressed, message.vector)
                } else {
                    addressed
                };
                self.bring_vector(target, message, written);
            }
            DeliveryMode::Nmi => self.send_nmi(addressed),
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
