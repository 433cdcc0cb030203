//! The tracing that Windows 2000 began with, which WPP's macros still use: messages of classic
//! providers.
//!
//! Nobody traces ([`super::etw`]): a provider's enable routine is not called, there is no logger,
//! and a message goes nowhere. A driver whose provider is not enabled gets here only if it sends
//! messages all the same.
//!
//! Source: WDK, "WPP Software Tracing"; evntrace.h and wmistr.h of the Windows SDK for what the
//! routines take and return; WDK reference, wdm.WmiTraceMessage, wdm.WmiQueryTraceInformation.

use dirql_abi::NtStatus;
use dirql_abi::guid::Guid;

use crate::{Ddi, DriverPtr, Kernel};

impl Kernel {
    /// `NTSTATUS WmiTraceMessage(TRACEHANDLE LoggerHandle, ULONG MessageFlags, LPGUID MessageGuid,
    /// USHORT MessageNumber, ...)` and `WmiTraceMessageVa`
    ///
    /// - IRQL: any level.
    /// - Returns: INVALID_HANDLE: no logger has this handle.
    /// - Source: WDK reference, wdm.WmiTraceMessage.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn wmi_trace_message(&self) -> Ddi<NtStatus> {
        Ok(NtStatus::INVALID_HANDLE)
    }

    /// `NTSTATUS WmiQueryTraceInformation(TRACE_INFORMATION_CLASS, PVOID Information, ULONG Length,
    /// PULONG RequiredLength, PVOID Buffer)`
    ///
    /// - IRQL: any level.
    /// - Returns: INVALID_HANDLE for questions about a logger, INVALID_INFO_CLASS for what is no
    ///   question.
    /// - Source: WDK reference, wdm.WmiQueryTraceInformation.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn wmi_query_trace_information(&self, class: u32) -> Ddi<NtStatus> {
        // From TraceIdClass to TraceHandleByNameClass.
        Ok(if class <= 10 {
            NtStatus::INVALID_HANDLE
        } else {
            NtStatus::INVALID_INFO_CLASS
        })
    }

    /// `NTSTATUS EtwRegisterClassicProvider(LPCGUID Provider, ULONG Type, PETW_CLASSIC_CALLBACK,
    /// PVOID Context, PREGHANDLE)`: as [`Kernel::etw_register`]. [`Kernel::etw_unregister`] ends it.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Source: WPP's generated code, which is its only caller; it has no page.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn etw_register_classic_provider(
        &self,
        provider: DriverPtr<Guid>,
        handle: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        self.etw_register(provider, handle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn a_classic_provider_is_registered_and_nobody_listens() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let handle = DriverPtr::<u64>::new(bench.variable(8));
        let guid = DriverPtr::new(bench.variable(16));
        let registered = kernel.etw_register_classic_provider(guid, handle);
        assert_eq!(registered, Ok(NtStatus::SUCCESS));
        assert_eq!(kernel.wmi_trace_message(), Ok(NtStatus::INVALID_HANDLE));
        assert_eq!(
            kernel.wmi_query_trace_information(10),
            Ok(NtStatus::INVALID_HANDLE)
        );
        assert_eq!(
            kernel.wmi_query_trace_information(11),
            Ok(NtStatus::INVALID_INFO_CLASS)
        );
        let handle = kernel.read(handle).unwrap();
        assert_eq!(kernel.etw_unregister(handle), Ok(NtStatus::SUCCESS));
    }
}
