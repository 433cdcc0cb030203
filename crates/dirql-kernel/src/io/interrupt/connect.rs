//! `IoConnectInterrupt`, and what all ways of connecting share.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use dirql_abi::interrupt::KInterrupt;
use dirql_abi::{Irql, NtStatus};
use dirql_chips::Vector;

use super::Wish;
use crate::failure::CONNECT_FAILURES;
use crate::hal::Source;
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
    pub(super) source: u32,
    pub(super) vector: Vector,
    pub(super) processors: Vec<ProcessorId>,
}

/// What becomes a connection.
pub(super) struct Plan {
    pub(super) id: ConnectionId,
    pub(super) kind: InterruptKind,
    /// What the driver gets.
    pub(super) handle: u64,
    pub(super) table_bytes: u64,
    pub(super) pdo: u64,
    pub(super) objects: Vec<Object>,
    pub(super) sources: Vec<u32>,
}

impl Kernel {
    /// `NTSTATUS IoConnectInterrupt(PKINTERRUPT*, PKSERVICE_ROUTINE, PVOID, PKSPIN_LOCK, ULONG,
    /// KIRQL, KIRQL, KINTERRUPT_MODE, BOOLEAN, KAFFINITY, BOOLEAN)`
    ///
    /// Connects the ISR to the vector on every processor of the mask, in group 0.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: STATUS_INVALID_PARAMETER if the mask has no processor; also (not on the page,
    ///   what Windows is known to do) if SynchronizeIrql is below Irql, the mode is no mode, the
    ///   vector belongs to no device, or it is connected already and either side is not shared
    ///   or the modes differ. STATUS_INSUFFICIENT_RESOURCES. The pointer is NULL after a
    ///   failure.
    /// - Findings: DQ0101 above PASSIVE_LEVEL; DQ0125, DQ0126, DQ0139 the lock; DQ0133 a raw
    ///   vector; DQ0135 mode or sharing other than the descriptor's; DQ0138 not all processors;
    ///   DQ0522 what can never be connected; DQ0575 a pageable context; DQ0576 the device
    ///   interrupts already.
    /// - Yields: at its end. A line that is asserted already interrupts before the return.
    /// - Source: WDK reference, wdm.IoConnectInterrupt.
    pub fn io_connect_interrupt(
        &self,
        result: DriverPtr<u64>,
        arguments: ConnectArguments,
    ) -> Ddi<NtStatus> {
        self.write(result, 0)?;
        if let Some(status) = self.connect_fails(CONNECT_FAILURES) {
            return Ok(status);
        }
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
            passive: false,
            pdo: 0,
        };
        let place = match self.place(&wish)? {
            Ok(place) => place,
            // This routine has one status for everything that is wrong with an argument.
            Err(_) => return Ok(NtStatus::INVALID_PARAMETER),
        };
        self.connect_one(result, wish, &place, InterruptKind::Old)
    }

    /// Checks a wish, and says where the ISR would hang.
    ///
    /// The inner error is the status of `IoConnectInterruptEx`.
    pub(super) fn place(&self, wish: &Wish) -> Ddi<Result<Place, NtStatus>> {
        let mask = wish.mask & self.active_mask(wish.group);
        if self.check_arguments(wish, mask)? {
            return Ok(Err(match mask {
                0 => NtStatus::INVALID_PARAMETER_10,
                _ => NtStatus::INVALID_PARAMETER,
            }));
        }
        let Some((number, source)) = self.wanted_source(wish, mask) else {
            if !self.check_for_raw_vector(wish)? {
                let why = format!("no device interrupts with vector {:#x}", wish.vector);
                self.refused_connect(why)?;
            }
            return Ok(Err(NtStatus::NOT_FOUND));
        };
        if source.passive && !wish.passive {
            // Such an interrupt never arrives above PASSIVE_LEVEL.
            let why = format!("Irql is {} for a passive-level interrupt", wish.irql);
            self.refused_connect(why)?;
            return Ok(Err(NtStatus::INVALID_PARAMETER));
        }
        let processors: Vec<ProcessorId> = self.processors_of(wish.group, mask).collect();
        if let Some(other) = self.in_the_way(wish, source.vector, &processors) {
            self.refused_share(wish, &other)?;
            return Ok(Err(NtStatus::INVALID_PARAMETER));
        }
        self.check_wish(wish, &source, mask)?;
        Ok(Ok(Place {
            source: number,
            vector: source.vector,
            processors,
        }))
    }

    /// The source that a wish is about. On a shared line several devices have the vector: then
    /// the one that the PDO names, else the one whose driver has the ISR, else one that
    /// nobody has connected yet.
    fn wanted_source(&self, wish: &Wish, mask: u64) -> Option<(u32, Source)> {
        let sources = self.sources();
        let matching = sources.into_iter().filter(|(_, source)| {
            u32::from(source.vector.0) == wish.vector
                && source.group == wish.group
                && source.affinity & mask != 0
        });
        let named = self.device_of_pdo(wish.pdo);
        matching.min_by_key(|(_, source)| {
            (
                Some(source.device) != named,
                !self.is_drivers_device(source.device, wish.routine),
                source.users > 0,
            )
        })
    }

    /// Whether the code at `routine` belongs to the driver that a device is for.
    fn is_drivers_device(&self, device: crate::hal::DeviceId, routine: u64) -> bool {
        let driver = self
            .pdo_of_device(device)
            .and_then(|pdo| self.node(pdo)?.driver);
        let image = driver.and_then(|driver| self.driver_image(driver));
        image.is_some_and(|image| {
            routine >= image.base && routine - image.base < u64::from(image.size)
        })
    }

    /// A vector can have several ISRs if all of them say that it is shared and agree on the mode.
    /// The first for which this is not so.
    fn in_the_way(
        &self,
        wish: &Wish,
        vector: Vector,
        processors: &[ProcessorId],
    ) -> Option<Object> {
        processors
            .iter()
            .flat_map(|processor| self.connected_isrs(*processor, vector))
            .find(|other| !other.shared || !wish.shared || other.isr.mode != wish.mode)
    }

    /// Makes a connection of one vector: stores the result, then lets the interrupt in.
    pub(super) fn connect_one(
        &self,
        result: DriverPtr<u64>,
        wish: Wish,
        place: &Place,
        kind: InterruptKind,
    ) -> Ddi<NtStatus> {
        let id = self.ke.interrupts.new_connection_id();
        let Some(objects) = self.make_objects(wish, place, id, None)? else {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        };
        let Some(first) = objects.first().map(|object| object.isr.object) else {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        };
        let sources = alloc::vec![place.source];
        let plan = Plan {
            id,
            kind,
            handle: first,
            table_bytes: 0,
            pdo: wish.pdo,
            objects,
            sources,
        };
        self.establish(result, plan)?;
        Ok(NtStatus::SUCCESS)
    }

    /// One interrupt object for each processor, with one lock; `None` without memory. The
    /// objects are not connected yet. `lock` overrides the driver's and ours.
    pub(super) fn make_objects(
        &self,
        wish: Wish,
        place: &Place,
        connection: ConnectionId,
        lock: Option<u64>,
    ) -> Ddi<Option<Vec<Object>>> {
        let mut lock = lock.unwrap_or(wish.lock);
        if lock == 0 && wish.passive {
            lock = self.new_event_lock()?;
        }
        // The processor is at the vector's level when it gets there.
        let level = if wish.passive {
            Irql::PASSIVE
        } else {
            Irql(place.vector.class())
        };
        let mut objects = Vec::new();
        for processor in &place.processors {
            let object = self.interrupt_memory(size_of::<KInterrupt>() as u64)?;
            if object == 0 {
                return Ok(None);
            }
            if lock == 0 {
                lock = object + core::mem::offset_of!(KInterrupt, spin_lock) as u64;
                self.forget_lock_order(lock);
            }
            let isr = Isr {
                object,
                routine: wish.routine,
                context: wish.context,
                lock,
                irql: level,
                synchronize_irql: wish.synchronize_irql.max(level),
                mode: wish.mode,
                message: wish.message,
                active: true,
                passive: wish.passive,
                source: place.source,
                number: self.ke.interrupts.new_object_number(),
            };
            objects.push(Object {
                isr,
                vector: place.vector,
                processor: *processor,
                shared: wish.shared,
                connection,
            });
        }
        Ok(Some(objects))
    }

    /// Stores the result, registers the connection, hangs the objects on their chains, and
    /// turns its sources on, in this order: an ISR may run before this returns.
    pub(super) fn establish(&self, result: DriverPtr<u64>, plan: Plan) -> Ddi<()> {
        self.write(result, plan.handle)?;
        let connection = Connection {
            kind: plan.kind,
            handle: plan.handle,
            table_bytes: plan.table_bytes,
            objects: plan
                .objects
                .iter()
                .map(|object| object.isr.object)
                .collect(),
            sources: plan.sources.clone(),
            inactive: false,
            pdo: plan.pdo,
            place: self.here(),
        };
        self.ke.interrupts.add_connection(plan.id, connection);
        for (group, vector) in passive_vectors(&plan.objects) {
            self.add_passive(group, vector)?;
        }
        for object in plan.objects {
            self.attach_object(object)?;
        }
        self.check_silent_before(&plan.sources)?;
        for source in plan.sources {
            self.enable_source(source);
        }
        self.yield_point()
    }

    /// What is said of a connection in reports.
    pub(super) fn connected_here(
        place: dirql_rules::Place,
    ) -> Option<(String, dirql_rules::Place)> {
        Some((String::from("it was connected here"), place))
    }
}

/// The groups and vectors for which a thread has to call ISRs, each once.
pub(super) fn passive_vectors(objects: &[Object]) -> BTreeSet<(u16, Vector)> {
    let passive = objects.iter().filter(|object| object.isr.passive);
    passive
        .map(|object| (object.processor.group(), object.vector))
        .collect()
}
