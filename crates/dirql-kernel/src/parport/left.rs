//! What a client leaves behind when it is unloaded.
//!
//! Source: WDK, "Connecting an Interrupt Service Routine to a Parallel Port": a driver with an
//! Unload routine disconnects there.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use dirql_rules::{Place, ids};

use super::Port;
use crate::{Ddi, Kernel};

/// A client whose code is in `code`, and where it was connected.
fn left_connected<'a>(port: &'a Port, code: &'a Range<u64>) -> impl Iterator<Item = Place> + 'a {
    let inside =
        |client: &&super::Client| code.contains(&client.isr) || code.contains(&client.check);
    port.clients
        .iter()
        .filter(inside)
        .map(|client| client.place.clone())
}

impl Kernel {
    /// Findings for the ports that a driver whose image was at `code` is still connected to, or
    /// still has.
    ///
    /// Its entries stay: the next interrupt jumps to where its code was, as on Windows, and that
    /// is what the run comes to.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] if a finding ends the run.
    pub(crate) fn check_ports_left(&self, code: &Range<u64>, when: &str) -> Ddi<()> {
        let left: Vec<(u32, Vec<Place>, Option<Place>)> = {
            let ports = self.parport.ports.borrow();
            let look = |port: &Port| {
                let owner = port.queue.owner().cloned();
                (
                    port.number,
                    left_connected(port, code).collect(),
                    owner.filter(|place| code.contains(&place.address)),
                )
            };
            ports.values().map(look).collect()
        };
        for (number, clients, owner) in left {
            for place in clients {
                self.find(
                    ids::PORT_LEFT_CONNECTED,
                    format!(
                        r"an ISR or a deferred port check is still connected to \Device\ParallelPort{number} after {when}"
                    ),
                    Some((String::from("it was connected here"), place)),
                )?;
            }
            if owner.is_some() {
                self.find(
                    ids::PORT_LEFT_ALLOCATED,
                    format!(r"\Device\ParallelPort{number} is still allocated after {when}"),
                    Self::allocated_here(owner),
                )?;
            }
        }
        Ok(())
    }
}
