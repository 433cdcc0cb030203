//! `IoReportInterruptActive` and `IoReportInterruptInactive`.

use alloc::string::String;

use dirql_abi::interrupt::IoReportInterruptActiveStateParameters;
use dirql_rules::ids;

use crate::ke::InterruptKind;
use crate::stop::Ddi;
use crate::{DriverPtr, Kernel};

type Parameters = DriverPtr<IoReportInterruptActiveStateParameters>;

impl Kernel {
    /// `VOID IoReportInterruptActive(PIO_REPORT_INTERRUPT_ACTIVE_STATE_PARAMETERS)`
    ///
    /// Calls of the ISR go on. Repeats are harmless.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: DQ0102; DQ0131 not a context of IoConnectInterruptEx.
    /// - Yields: at its end; an interrupt may be waiting.
    /// - Source: WDK reference, wdm.IoReportInterruptActive; Making an ISR Active or Inactive.
    pub fn io_report_interrupt_active(&self, parameters: Parameters) -> Ddi<()> {
        self.report_interrupt(parameters, true)
    }

    /// `VOID IoReportInterruptInactive(PIO_REPORT_INTERRUPT_ACTIVE_STATE_PARAMETERS)`
    ///
    /// Calls of the ISR stop while the registration stays. A message that arrives meanwhile is
    /// lost (choice: the pages do not say; losing it finds drivers that count on it).
    pub fn io_report_interrupt_inactive(&self, parameters: Parameters) -> Ddi<()> {
        self.report_interrupt(parameters, false)
    }

    fn report_interrupt(&self, parameters: Parameters, active: bool) -> Ddi<()> {
        let parameters = self.read(parameters)?;
        let connection = self.ke.interrupts.connection_of(parameters.connection_context);
        let Some((_, connection)) = connection.filter(|(_, connection)| match connection.kind {
            InterruptKind::Ex(version) => version == parameters.version,
            InterruptKind::Old => false,
        }) else {
            return Err(self.find_fatal(
                ids::DISCONNECT_UNKNOWN,
                String::from("Version and context are not those that IoConnectInterruptEx returned"),
                None,
            ));
        };
        for object in &connection.objects {
            self.set_object_active(*object, active);
        }
        self.yield_point()
    }
}
