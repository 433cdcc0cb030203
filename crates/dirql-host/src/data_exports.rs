//! Variables that drivers import.
//!
//! Variables that hold an object type belong to the kernel
//! ([`Kernel::ob_data_export`](dirql_kernel::Kernel::ob_data_export)); the others are
//! plain data, laid out once per computer and only when something asks for them. A driver
//! may write to most of them on Windows as well.
//!
//! Sources: WDK reference and headers, where a variable is declared; the others are as a
//! retail system without a debugger has them.

use dirql_kernel::Kernel;
use dirql_kernel::mm::layout::{HIGHEST_USER_ADDRESS, PHYSICAL_WINDOW};

/// What a variable holds at first.
#[derive(Clone, Copy, Debug)]
enum Value {
    /// One byte.
    U8(u8),
    /// A USHORT.
    U16(u16),
    /// A ULONG.
    U32(u32),
    /// A pointer or a ULONG_PTR.
    U64(u64),
    /// The number of processors, as KeNumberProcessors counts them: in one byte.
    Processors,
    /// The build number, with the mark of a free build above it.
    Build,
    /// The address of the system process.
    Process,
    /// The head of the list of loaded modules, which the kernel keeps.
    Modules,
    /// Zeros.
    Zeros(u16),
    /// The address of so many zeros.
    PointerToZeros(u16),
}

/// What NtBuildNumber holds above the number: this build is not a checked one.
const FREE_BUILD: u32 = 0xF000_0000;

/// Every plain variable, sorted by name.
#[rustfmt::skip] // read as a table
const VARIABLES: &[(&str, Value)] = &[
    // Its length comes first; version 1 has no table of ours behind it.
    ("HalDispatchTable",          Value::Zeros(0x100)),
    ("HalPrivateDispatchTable",   Value::Zeros(0x400)),
    // Not in safe mode.
    ("InitSafeBootMode",          Value::U32(0)),
    ("KdComPortInUse",            Value::U64(0)),
    ("KdDebuggerEnabled",         Value::U8(0)),
    ("KdDebuggerNotPresent",      Value::U8(1)),
    ("KdEnteredDebugger",         Value::U8(0)),
    ("KeNumberProcessors",        Value::Processors),
    ("KiBugCheckData",            Value::Zeros(40)),
    ("MmBadPointer",              Value::U64(0)),
    ("MmHighestUserAddress",      Value::U64(HIGHEST_USER_ADDRESS)),
    ("MmSystemRangeStart",        Value::U64(PHYSICAL_WINDOW)),
    // 64 KiB below the system range, where the user's part ends.
    ("MmUserProbeAddress",        Value::U64(HIGHEST_USER_ADDRESS & !0xFFFF)),
    // Windows-1252 and code page 437.
    ("NlsAnsiCodePage",           Value::U16(1252)),
    ("NlsLeadByteInfo",           Value::PointerToZeros(0x200)),
    ("NlsMbCodePageTag",          Value::U8(0)),
    ("NlsMbOemCodePageTag",       Value::U8(0)),
    ("NlsOemCodePage",            Value::U16(437)),
    ("NlsOemLeadByteInfo",        Value::PointerToZeros(0x200)),
    ("NtBuildNumber",             Value::Build),
    ("NtGlobalFlag",              Value::U32(0)),
    ("PsInitialSystemProcess",    Value::Process),
    ("PsLoadedModuleList",        Value::Modules),
    ("SeExports",                 Value::PointerToZeros(0x400)),
];

/// The address of the variable `name`, which is laid out now if nothing asked before;
/// `None` if there is no such variable.
pub(crate) fn address(kernel: &Kernel, name: &str) -> Option<(&'static str, u64)> {
    let row = VARIABLES
        .binary_search_by_key(&name, |(name, _)| name)
        .ok()?;
    let (name, value) = VARIABLES[row];
    let bytes: Vec<u8> = match value {
        Value::U8(value) => vec![value],
        Value::U16(value) => value.to_le_bytes().into(),
        Value::U32(value) => value.to_le_bytes().into(),
        Value::U64(value) => value.to_le_bytes().into(),
        // The variable is a CCHAR and stops counting in its group; more processors are
        // told by KeQueryActiveProcessorCountEx.
        Value::Processors => vec![kernel.config().processors.min(64) as u8],
        Value::Build => (FREE_BUILD | kernel.config().windows.numbers().2)
            .to_le_bytes()
            .into(),
        Value::Process => kernel.system_process().to_le_bytes().into(),
        Value::Modules => {
            let head = kernel.loaded_module_list();
            return Some((name, head.expect("the list is there from the beginning")));
        }
        Value::Zeros(length) => vec![0; length.into()],
        Value::PointerToZeros(length) => kernel.allocate_system(length.into()).to_le_bytes().into(),
    };
    let variable = kernel.allocate_system(bytes.len() as u64);
    kernel
        .write_bytes(variable, &bytes)
        .expect("the kernel's own memory is writable");
    Some((name, variable))
}

/// The kernel's variables that hold object types.
const OBJECT_TYPES: &[&str] = &[
    "CmKeyObjectType",
    "ExEventObjectType",
    "ExMutantObjectType",
    "ExSemaphoreObjectType",
    "ExTimerObjectType",
    "IoDeviceObjectType",
    "IoDriverObjectType",
    "IoFileObjectType",
    "MmSectionObjectType",
    "PsProcessType",
    "PsThreadType",
];

/// Whether there is a variable of this name.
pub(crate) fn exists(name: &str) -> bool {
    VARIABLES
        .binary_search_by_key(&name, |(name, _)| name)
        .is_ok()
        || OBJECT_TYPES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(VARIABLES.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn the_kernel_has_every_object_type() {
        let host = crate::Host::new(dirql_kernel::Config::default()).unwrap();
        for name in OBJECT_TYPES {
            assert!(
                matches!(host.kernel().ob_data_export(name), Ok(Some(_))),
                "{name}"
            );
        }
    }

    #[test]
    fn a_variable_that_nothing_imports_is_found_by_name() {
        let host = crate::Host::new(dirql_kernel::Config::default()).unwrap();
        let found = |name| host.kernel().system_routine(name).unwrap();
        let first = found("PsInitialSystemProcess").unwrap();
        assert_eq!(found("PsInitialSystemProcess"), Some(first));
        let process: u64 = host
            .kernel()
            .read(dirql_kernel::DriverPtr::new(first))
            .unwrap();
        assert_eq!(Ok(process), host.kernel().io_get_current_process());
        assert_eq!(found("PsNoSuchVariable"), None);
    }

    #[test]
    fn the_users_part_ends_below_the_systems() {
        const { assert!(HIGHEST_USER_ADDRESS < PHYSICAL_WINDOW) };
        assert_eq!(HIGHEST_USER_ADDRESS & 0xFFFF, 0xFFFF);
    }
}
