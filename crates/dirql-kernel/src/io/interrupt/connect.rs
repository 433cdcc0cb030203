//! `IoConnectInterrupt`, and what all ways of connecting share.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use dirql_abi::{Irql, NtStatus};
use dirql_abi::interrupt::{KInterrupt, interrupt_mode};
use dirql_chips::Vector;
use dirql_rules::ids;

use super::Wish;
use crate::hal::{Source, SourceKind};
use crate::ke::interrupt::{Connection, Isr, Object};
use crate::ke::{ConnectionId, InterruptKind, ProcessorId};
use crate::stop::Ddi;
use crate::{DriverPtr, Kernel};

/// Arguments of `IoConnectInterrupt` behind the first, in order.
#[derive(Clone, Copy, Debug)]
pub struct ConnectArguments {
    /// `PKSERVICE_ROUTINE ServiceRoutine`
    pub service_routine: u64,
    /// `PVOID ServiceContext`
    pub service_context: u64,
    /// `PKSPIN_LOCK SpinLock`, optional
    pub spin_lock: u64,
    /// `ULONG Vector`
    pub vector: u32,
    /// `KIRQL Irql`
    pub irql: Irql,
    /// `KIRQL SynchronizeIrql`
    pub synchronize_irql: Irql,
    /// `KINTERRUPT_MODE InterruptMode`
    pub interrupt_mode: u32,
    /// `BOOLEAN ShareVector`
    pub share_vector: u8,
    /// `KAFFINITY ProcessorEnableMask`
    pub processor_enable_mask: u64,
}

/// Where an ISR is going to hang.
pub(super) struct Place {
    pub(super) sources: Vec<u32>,
    pub(super) vector: Vector,
    pub(super) processors: Vec<ProcessorId>,
}

impl Kernel {
    /// `NTSTATUS IoConnectInterrupt(PKINTERRUPT*, PKSERVICE_ROUTINE, PVOID, PKSPIN_LOCK, ULONG,
    /// KIRQL, KIRQL, KINTERRUPT_MODE, BOOLEAN, KAFFINITY, BOOLEAN)`
    ///
    /// Connects the ISR to the vector on every processor of the mask, in group 0.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: STATUS_INVALID_PARAMETER if the mask has no processor; also (not on the page,
    ///   what Windows is known to do) if SynchronizeIrql is below Irql, the vector belongs to no
    ///   device, or it is connected already and either side is not shared or the modes differ.
    ///   STATUS_INSUFFICIENT_RESOURCES. The pointer is NULL after a failure.
    /// - Findings: DQ0101 above PASSIVE_LEVEL; DQ0133 a raw vector; DQ0135 mode or sharing
    ///   other than the descriptor's.
    /// - Yields: at its end. A line that is asserted already interrupts before the return.
    /// - Source: WDK reference, wdm.IoConnectInterrupt.
    pub fn io_connect_interrupt(
        &self,
        result: DriverPtr<u64>,
        arguments: ConnectArguments,
    ) -> Ddi<NtStatus> {
        self.write(result, 0)?;
        let wish = Wish {
            routine: arguments.service_routine,
            context: arguments.service_context,
            lock: arguments.spin_lock,
            vector: arguments.vector,
            irql: arguments.irql,
            synchronize_irql: arguments.synchronize_irql,
            mode: arguments.interrupt_mode,
            shared: arguments.share_vector != 0,
            group: 0,
            mask: arguments.processor_enable_mask,
            message: None,
        };
        let place = match self.place(&wish)? {
            Ok(place) => place,
            // This routine has one status for everything that is wrong with an argument.
            Err(_) => return Ok(NtStatus::INVALID_PARAMETER),
        };
        self.connect_one(result, wish, &place, InterruptKind::Old, 0)
    }

    /// Checks a wish, and says where the ISR would hang.
    ///
    /// The inner error is the status of `IoConnectInterruptEx`.
    pub(super) fn place(&self, wish: &Wish) -> Ddi<Result<Place, NtStatus>> {
        let mask = wish.mask & self.active_mask(wish.group);
        if mask == 0 {
            return Ok(Err(NtStatus::INVALID_PARAMETER_10));
        }
        if wish.routine == 0 || wish.synchronize_irql < wish.irql || wish.synchronize_irql > Irql::HIGH {
            return Ok(Err(NtStatus::INVALID_PARAMETER));
        }
        let matching: Vec<(u32, Source)> = self
            .sources()
            .into_iter()
            .filter(|(_, source)| {
                u32::from(source.vector.0) == wish.vector
                    && source.group == wish.group
                    && source.affinity & mask != 0
            })
            .collect();
        let Some((_, source)) = matching.first() else {
            self.check_for_raw_vector(wish)?;
            return Ok(Err(NtStatus::NOT_FOUND));
        };
        let vector = source.vector;
        self.check_descriptor(wish, source)?;
        let processors: Vec<ProcessorId> = self.processors_of(wish.group, mask).collect();
        if !self.may_share(wish, vector, &processors) {
            return Ok(Err(NtStatus::INVALID_PARAMETER));
        }
        let sources = matching.iter().map(|(number, _)| *number).collect();
        Ok(Ok(Place { sources, vector, processors }))
    }

    /// A vector can have several ISRs if all of them say that it is shared and agree on the mode.
    fn may_share(&self, wish: &Wish, vector: Vector, processors: &[ProcessorId]) -> bool {
        processors
            .iter()
            .flat_map(|processor| self.connected_isrs(*processor, vector))
            .all(|other| other.shared && wish.shared && other.isr.mode == wish.mode)
    }

    fn check_for_raw_vector(&self, wish: &Wish) -> Ddi<()> {
        let raw = self.sources().into_iter().any(|(_, source)| match source.kind {
            SourceKind::Line { gsi, .. } => gsi == wish.vector,
            SourceKind::Message { .. } => false,
        });
        if !raw {
            return Ok(());
        }
        self.find(
            ids::RAW_RESOURCE,
            format!("{:#x} is the raw vector of an assigned interrupt, and no translated one", wish.vector),
            None,
        )
    }

    fn check_descriptor(&self, wish: &Wish, source: &Source) -> Ddi<()> {
        let latched = wish.mode == interrupt_mode::Latched;
        if latched != source.is_latched() {
            let (is, says) = if latched { ("level-sensitive", "Latched") } else { ("latched", "LevelSensitive") };
            self.find(
                ids::MISMATCHED_MODE,
                format!("the interrupt is {is}, InterruptMode says {says}"),
                None,
            )?;
        }
        if wish.shared != source.shared {
            let (is, says) =
                if wish.shared { ("exclusive", "TRUE") } else { ("shared", "FALSE") };
            self.find(
                ids::MISMATCHED_MODE,
                format!("the interrupt's share disposition is {is}, ShareVector says {says}"),
                None,
            )?;
        }
        if wish.irql != source.irql() {
            self.find(
                ids::MISMATCHED_MODE,
                format!("the interrupt's level is {}, Irql says {}", source.irql(), wish.irql),
                None,
            )?;
        }
        Ok(())
    }

    /// Makes a connection of one vector: stores the result, then lets the interrupt in.
    pub(super) fn connect_one(
        &self,
        result: DriverPtr<u64>,
        wish: Wish,
        place: &Place,
        kind: InterruptKind,
        pdo: u64,
    ) -> Ddi<NtStatus> {
        let id = self.ke.interrupts.new_connection_id();
        let objects = self.make_objects(wish, place, id, None)?;
        let Some(first) = objects.first().map(|object| object.isr.object) else {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        };
        self.write(result, first)?;
        self.establish(id, kind, first, pdo, &objects, place.sources.clone())?;
        Ok(NtStatus::SUCCESS)
    }

    /// One interrupt object for each processor, with one lock. The objects are not connected
    /// yet. `lock` overrides the driver's and ours.
    pub(super) fn make_objects(
        &self,
        wish: Wish,
        place: &Place,
        connection: ConnectionId,
        lock: Option<u64>,
    ) -> Ddi<Vec<Object>> {
        let mut lock = lock.unwrap_or(wish.lock);
        let mut objects = Vec::new();
        for processor in &place.processors {
            let object = self.allocate_system(size_of::<KInterrupt>() as u64);
            if lock == 0 {
                lock = object + core::mem::offset_of!(KInterrupt, spin_lock) as u64;
            }
            let isr = Isr {
                object,
                routine: wish.routine,
                context: wish.context,
                lock,
                irql: Irql(place.vector.class()),
                // The processor is at the vector's level when it gets there.
                synchronize_irql: wish.synchronize_irql.max(Irql(place.vector.class())),
                mode: wish.mode,
                message: wish.message,
                active: true,
            };
            objects.push(Object { isr, vector: place.vector, processor: *processor, shared: wish.shared, connection });
        }
        Ok(objects)
    }

    /// Hangs the objects on their chains, registers the connection, and turns its sources on,
    /// in this order: an ISR may run before this returns.
    pub(super) fn establish(
        &self,
        id: ConnectionId,
        kind: InterruptKind,
        handle: u64,
        pdo: u64,
        objects: &[Object],
        sources: Vec<u32>,
    ) -> Ddi<()> {
        let connection = Connection {
            kind,
            handle,
            objects: objects.iter().map(|object| object.isr.object).collect(),
            sources: sources.clone(),
            pdo,
            place: self.here(),
        };
        self.ke.interrupts.add_connection(id, connection);
        for object in objects {
            self.attach_object(*object)?;
        }
        for source in sources {
            self.enable_source(source);
        }
        self.yield_point()
    }

    /// What is said of a connection in reports.
    pub(super) fn connected_here(place: dirql_rules::Place) -> Option<(String, dirql_rules::Place)> {
        Some((String::from("it was connected here"), place))
    }
}
