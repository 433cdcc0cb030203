//! `IoDisconnectInterrupt` and `IoDisconnectInterruptEx`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use dirql_abi::bugcheck::code;
use dirql_abi::interrupt::{IoDisconnectInterruptParameters, connect_version};
use dirql_rules::{BugCheck, ids};

use super::connect::passive_vectors;
use crate::ke::interrupt::{Connection, Object};
use crate::ke::{ConnectionId, InterruptKind};
use crate::stop::Ddi;
use crate::{DriverPtr, Kernel};

/// Subcode of bug check 0xCA: the type given at disconnect does not match.
const TYPE_MISMATCH: u64 = 9;

impl Kernel {
    /// `VOID IoDisconnectInterrupt(PKINTERRUPT)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Findings: DQ0101 above PASSIVE_LEVEL; DQ0131 not connected; DQ0130 connected with the
    ///   Ex routine; DQ0134 the device still asserts its line.
    /// - Yields: until no call of the ISR is in progress.
    /// - Source: WDK reference, wdm.IoDisconnectInterrupt.
    pub fn io_disconnect_interrupt(&self, object: u64) -> Ddi<()> {
        let (id, connection) = self.connection_to_end(object)?;
        if connection.kind != InterruptKind::Old {
            self.find(
                ids::DISCONNECT_VERSION,
                String::from("IoDisconnectInterrupt was given an object of IoConnectInterruptEx"),
                Self::connected_here(connection.place.clone()),
            )?;
        }
        self.disconnect(id, &connection)
    }

    /// `VOID IoDisconnectInterruptEx(PIO_DISCONNECT_INTERRUPT_PARAMETERS)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Findings: as above; bug check 0xCA (9, Version) when Version is not the one that connect
    ///   returned.
    /// - Source: WDK reference, wdm.IoDisconnectInterruptEx; bug check 0xCA, parameter 9.
    pub fn io_disconnect_interrupt_ex(
        &self,
        parameters: DriverPtr<IoDisconnectInterruptParameters>,
    ) -> Ddi<()> {
        let IoDisconnectInterruptParameters {
            version,
            connection_context,
            ..
        } = self.read(parameters)?;
        let known = connect_version::CONNECT_FULLY_SPECIFIED
            ..=connect_version::CONNECT_MESSAGE_BASED_PASSIVE;
        let is_known = known.contains(&version);
        if !is_known {
            self.wrong_version(version, &format!("Version {version} is no version"), None)?;
        }
        let (id, connection) = self.connection_to_end(connection_context)?;
        match connection.kind {
            InterruptKind::Ex(returned) if returned == version || !is_known => {}
            InterruptKind::Ex(returned) => {
                let message = format!("Version is {version}; connect returned {returned}");
                self.wrong_version(version, &message, Some(connection.place.clone()))?;
            }
            InterruptKind::Old => {
                self.find(
                    ids::DISCONNECT_VERSION,
                    String::from(
                        "IoDisconnectInterruptEx was given an object of IoConnectInterrupt",
                    ),
                    Self::connected_here(connection.place.clone()),
                )?;
            }
        }
        self.disconnect(id, &connection)
    }

    fn wrong_version(
        &self,
        version: u32,
        message: &str,
        connected: Option<dirql_rules::Place>,
    ) -> Ddi<()> {
        self.find(
            ids::DISCONNECT_VERSION,
            String::from(message),
            connected.and_then(Self::connected_here),
        )?;
        let parameters = [TYPE_MISMATCH, u64::from(version), 0, 0];
        self.outlive(BugCheck::new(code::PNP_DETECTED_FATAL_ERROR, parameters))
    }

    fn connection_to_end(&self, handle: u64) -> Ddi<(ConnectionId, Connection)> {
        match self.ke.interrupts.connection_of(handle) {
            Some((id, connection)) if connection.handle == handle => Ok((id, connection)),
            other => {
                let earlier = match (&other, self.ke.interrupts.gone(handle)) {
                    (Some((_, connection)), _) => Some((
                        String::from("it belongs to the connection made here"),
                        connection.place.clone(),
                    )),
                    (None, Some(place)) => Some((String::from("it was disconnected here"), place)),
                    (None, None) => None,
                };
                let what = match earlier {
                    Some(_) => {
                        "what is disconnected is not what connect returned, or is disconnected already"
                    }
                    None => "what is disconnected was never connected",
                };
                Err(self.refuse(ids::DISCONNECT_UNKNOWN, String::from(what), earlier))
            }
        }
    }

    /// A finding if a device asserts a line that nobody is going to serve, and its driver could
    /// have silenced it: one without registers for that asserts it when it likes, and one that is
    /// gone is not to be touched any more.
    pub(super) fn check_silent(&self, connection: &Connection, when: &str) -> Ddi<()> {
        let is_asserted = connection.sources.iter().any(|number| {
            self.source_is_asserted(*number)
                && self.source(*number).is_some_and(|source| {
                    self.can_be_silenced(source.device) && !self.is_surprise_removed(source.device)
                })
        });
        if !is_asserted {
            return Ok(());
        }
        self.find(
            ids::DEVICE_NOT_SILENT,
            format!("the device still asserts its line when its interrupt is {when}"),
            Self::connected_here(connection.place.clone()),
        )
    }

    /// Ends a connection. When this returns no call of its ISR is in progress on any processor,
    /// and none will start.
    fn disconnect(&self, id: ConnectionId, connection: &Connection) -> Ddi<()> {
        self.check_silent(connection, "disconnected")?;
        let objects: Vec<Object> = connection
            .objects
            .iter()
            .filter_map(|object| self.detach_object(*object))
            .collect();
        for source in &connection.sources {
            // The lines of one that was reported inactive are turned off already.
            let is_off = connection.inactive
                && self
                    .source(*source)
                    .is_some_and(|source| source.is_a_line());
            if !is_off {
                self.disable_source(*source);
            }
        }
        for lock in locks(&objects) {
            self.wait_for_isr(lock)?;
        }
        for (group, vector) in passive_vectors(&objects) {
            self.remove_passive(group, vector)?;
        }
        self.ke.interrupts.remove_connection(id, &self.here());
        self.yield_point()
    }

    /// A call of the ISR that is in progress holds the lock; one that is about to begin wants it.
    fn wait_for_isr(&self, object: &Object) -> Ddi<()> {
        if object.isr.passive {
            self.acquire_event_lock(object.isr.lock)?;
            return self.release_event_lock(object.isr.lock);
        }
        let old = self.raise_irql(object.isr.synchronize_irql);
        self.acquire_lock_word(object.isr.lock)?;
        self.release_lock_word(object.isr.lock)?;
        self.wait_until_unwanted(object.isr.lock)?;
        self.lower_irql(old)
    }
}

/// An object for each lock.
fn locks(objects: &[Object]) -> Vec<&Object> {
    let mut one_each: Vec<&Object> = objects.iter().collect();
    one_each.sort_by_key(|object| object.isr.lock);
    one_each.dedup_by_key(|object| object.isr.lock);
    one_each
}
