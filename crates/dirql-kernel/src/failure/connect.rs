//! Connects that fail, with each status that the routine's page has.
//!
//! Source: wdm.IoConnectInterrupt, Return value; iointex.WdmlibIoConnectInterruptEx, Return value;
//! wdm.IoConnectInterruptEx, Remarks.

use dirql_abi::NtStatus;

use super::FailureKind;
use crate::Kernel;

/// What `IoConnectInterrupt` fails with.
pub(crate) const OLD: &[NtStatus] = &[
    NtStatus::INVALID_PARAMETER,
    NtStatus::INSUFFICIENT_RESOURCES,
];

/// What `IoConnectInterruptEx` fails with. The first is for a Version that is not known, and comes
/// with the highest known one: a driver may try again with that.
pub(crate) const EX: &[NtStatus] = &[
    NtStatus::INVALID_PARAMETER_1,
    NtStatus::INVALID_PARAMETER,
    NtStatus::INVALID_PARAMETER_10,
    NtStatus::NOT_FOUND,
    NtStatus::INVALID_DEVICE_REQUEST,
    NtStatus::INSUFFICIENT_RESOURCES,
];

impl Kernel {
    /// A driver connects an interrupt: the status with which that is to fail. Each connect is as
    /// many points as there are statuses.
    pub(crate) fn connect_fails(&self, statuses: &[NtStatus]) -> Option<NtStatus> {
        // The parallel port's driver is part of the system.
        let by_driver = matches!(
            self.here().ddi,
            Some("IoConnectInterrupt" | "IoConnectInterruptEx")
        );
        if !by_driver {
            return None;
        }
        let mut counts = self.failures.counts.get();
        let first = counts.connects + 1;
        counts.connects += statuses.len() as u64;
        self.failures.counts.set(counts);
        let numbered = (first..).zip(statuses);
        let mut due = numbered.filter(|(number, _)| self.is_due(FailureKind::Connect, *number));
        due.next().map(|(_, status)| *status)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use dirql_abi::interrupt::connect_version::{CONNECT_FULLY_SPECIFIED, CONNECT_LINE_BASED};
    use dirql_abi::interrupt::{IoConnectInterruptParameters, LineBased};

    use super::*;
    use crate::hal::testing::Rig;
    use crate::{Config, DriverPtr, at};

    fn rig(number: u64) -> Rig {
        let fail = alloc::format!("connect:{number}");
        Rig::with(Config {
            fail: Some(fail.parse().expect("a failure point")),
            ..Config::default()
        })
    }

    #[test]
    fn the_old_routine_fails_with_each_of_its_statuses_and_stores_null() {
        for (number, expected) in (1..).zip(OLD) {
            let rig = rig(number);
            let device = rig.line("a", 5);
            let arguments = device.arguments(rig.refusing_isr("a"));
            let result = DriverPtr::<u64>::new(rig.bench.variable(8));
            let (status, stored) = rig.bench.on_thread(move |kernel| {
                kernel.write(result, 0x5A)?;
                let status = kernel.ddi("IoConnectInterrupt", None, |kernel| {
                    kernel.io_connect_interrupt(result, arguments)
                })?;
                Ok((status, kernel.read(result)?))
            });
            assert_eq!((status, stored), (*expected, 0));
            assert_eq!(rig.kernel().failure_counts().connects, 2);
        }
    }

    #[test]
    fn the_ex_routine_fails_with_each_of_its_statuses() {
        let mut seen = Vec::new();
        for (number, expected) in (1..).zip(EX) {
            let rig = rig(number);
            let device = rig.line("a", 5);
            let routine = rig.refusing_isr("a");
            let block = DriverPtr::<IoConnectInterruptParameters>::new(rig.bench.variable(80));
            let result = rig.bench.variable(8);
            let (status, version, stored) = rig.bench.on_thread(move |kernel| {
                let version = at!(block, IoConnectInterruptParameters, version);
                let line: DriverPtr<LineBased> =
                    at!(block, IoConnectInterruptParameters, block_words).cast();
                kernel.write(version, CONNECT_LINE_BASED)?;
                kernel.write(at!(line, LineBased, physical_device_object), device.pdo)?;
                kernel.write(at!(line, LineBased, interrupt_object), result)?;
                kernel.write(at!(line, LineBased, service_routine), routine)?;
                kernel.write(DriverPtr::new(result), 0x5A_u64)?;
                let status = kernel.ddi("IoConnectInterruptEx", None, |kernel| {
                    kernel.io_connect_interrupt_ex(block)
                })?;
                let stored: u64 = kernel.read(DriverPtr::new(result))?;
                Ok((status, kernel.read(version)?, stored))
            });
            assert_eq!(status, *expected);
            seen.push((version, stored));
        }
        assert_eq!(seen[0], (CONNECT_FULLY_SPECIFIED, 0x5A));
        assert_eq!(seen[1..], [(CONNECT_LINE_BASED, 0); 5]);
    }
}
