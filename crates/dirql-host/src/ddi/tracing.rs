//! Tracing by the messages of classic providers.

use dirql_abi::NtStatus;
use dirql_abi::guid::Guid;
use dirql_kernel::DriverPtr;

use super::exports;

exports! {
    fn EtwRegisterClassicProvider(provider: DriverPtr<Guid>, _kind: u32, _callback: u64, _context: u64, handle: DriverPtr<u64>) -> NtStatus
        = |k| k.etw_register_classic_provider(provider, handle);
    // What follows the four arguments depends on the message, and nobody reads it.
    fn WmiTraceMessage(_logger: u64, _flags: u32, _guid: u64, _number: u16) -> NtStatus = |k| k.wmi_trace_message();
    fn WmiTraceMessageVa(_logger: u64, _flags: u32, _guid: u64, _number: u16, _arguments: u64) -> NtStatus
        = |k| k.wmi_trace_message();
    fn WmiQueryTraceInformation(class: u32, _information: u64, _length: u32, _required: u64, _buffer: u64) -> NtStatus
        = |k| k.wmi_query_trace_information(class);
}
