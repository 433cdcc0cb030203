//! `IoReportInterruptActive` and `IoReportInterruptInactive`.

use alloc::string::String;

use dirql_abi::interrupt::IoReportInterruptActiveStateParameters;
use dirql_rules::ids;

use crate::ke::InterruptKind;
use crate::ke::interrupt::Connection;
use crate::stop::Ddi;
use crate::{DriverPtr, Kernel};

type Parameters = DriverPtr<IoReportInterruptActiveStateParameters>;

impl Kernel {
    /// `VOID IoReportInterruptActive(PIO_REPORT_INTERRUPT_ACTIVE_STATE_PARAMETERS)`
    ///
    /// Calls of the ISR go on. Repeats are harmless.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: DQ0102; DQ0131 disconnected already; DQ0137 not a Version and context that
    ///   IoConnectInterruptEx returned, and nothing changes.
    /// - Yields: at its end; an interrupt may be waiting.
    /// - Source: WDK reference, wdm.IoReportInterruptActive; Making an ISR Active or Inactive.
    pub fn io_report_interrupt_active(&self, parameters: Parameters) -> Ddi<()> {
        self.report_interrupt(parameters, true)
    }

    /// `VOID IoReportInterruptInactive(PIO_REPORT_INTERRUPT_ACTIVE_STATE_PARAMETERS)`
    ///
    /// Calls of the ISR stop while the registration stays. A line is masked when none of its
    /// ISRs is active; shared with an active one it stays open, and a device that asserts it
    /// is a storm. A message that arrives meanwhile is lost (choice: the pages do not say;
    /// losing it finds drivers that count on it), or waits, which is a
    /// [`Reading`](crate::readings::Reading).
    ///
    /// - IRQL, source: as above.
    /// - Findings: as above; DQ0134 the device still asserts its line.
    pub fn io_report_interrupt_inactive(&self, parameters: Parameters) -> Ddi<()> {
        self.report_interrupt(parameters, false)
    }

    fn report_interrupt(&self, parameters: Parameters, active: bool) -> Ddi<()> {
        let parameters = self.read(parameters)?;
        let handle = parameters.connection_context;
        let found = self
            .ke
            .interrupts
            .connection_of(handle)
            .filter(|(_, connection)| {
                connection.handle == handle
                    && connection.kind == InterruptKind::Ex(parameters.version)
            });
        let Some((id, connection)) = found else {
            return self.no_context(handle);
        };
        if !active && !connection.inactive {
            self.check_silent(&connection, "reported inactive")?;
        }
        for object in &connection.objects {
            self.set_object_active(*object, active);
            if active {
                self.deliver_kept(*object);
            }
        }
        if self.ke.interrupts.set_inactive(id, !active) == active {
            self.turn_lines(&connection, active);
        }
        self.yield_point()
    }

    fn no_context(&self, handle: u64) -> Ddi<()> {
        if let Some(place) = self.ke.interrupts.gone(handle) {
            return Err(self.used_after_disconnect(place));
        }
        let earlier = self.ke.interrupts.connection_of(handle);
        self.find(
            ids::REPORT_CONTEXT,
            String::from("Version and context are not those that IoConnectInterruptEx returned"),
            earlier.and_then(|(_, connection)| Self::connected_here(connection.place)),
        )
    }

    fn turn_lines(&self, connection: &Connection, on: bool) {
        for source in &connection.sources {
            let is_line = self
                .source(*source)
                .is_some_and(|source| source.is_a_line());
            match (is_line, on) {
                (true, true) => self.enable_source(*source),
                (true, false) => self.disable_source(*source),
                // Messages go on, to nobody.
                (false, _) => {}
            }
        }
    }
}
