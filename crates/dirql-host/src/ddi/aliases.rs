//! Names under which the kernel exports a routine a second time.
//!
//! Threads of the system are in kernel mode already: for them an `Nt` routine does what the `Zw`
//! routine does. Source: WDK, "Using Nt and Zw Versions of the Native System Services Routines".

use std::sync::LazyLock;

use super::{Export, families};

/// The other name, and the one that the families know.
#[rustfmt::skip] // read as a table
const NAMES: &[(&str, &str)] = &[
    ("IoCallDriver",                 "IofCallDriver"),
    ("IoCompleteRequest",            "IofCompleteRequest"),
    ("IoForwardAndCatchIrp",         "IoForwardIrpSynchronously"),
    ("NtAllocateVirtualMemory",      "ZwAllocateVirtualMemory"),
    ("NtClose",                      "ZwClose"),
    ("NtCreateEvent",                "ZwCreateEvent"),
    ("NtCreateFile",                 "ZwCreateFile"),
    ("NtCreateSection",              "ZwCreateSection"),
    ("NtDeviceIoControlFile",        "ZwDeviceIoControlFile"),
    ("NtFreeVirtualMemory",          "ZwFreeVirtualMemory"),
    ("NtMapViewOfSection",           "ZwMapViewOfSection"),
    ("NtOpenFile",                   "ZwOpenFile"),
    ("NtOpenProcess",                "ZwOpenProcess"),
    ("NtOpenProcessToken",           "ZwOpenProcessToken"),
    ("NtOpenProcessTokenEx",         "ZwOpenProcessTokenEx"),
    ("NtOpenThreadToken",            "ZwOpenThreadToken"),
    ("NtOpenThreadTokenEx",          "ZwOpenThreadTokenEx"),
    ("NtQueryInformationFile",       "ZwQueryInformationFile"),
    ("NtQueryInformationToken",      "ZwQueryInformationToken"),
    ("NtQuerySystemInformation",     "ZwQuerySystemInformation"),
    ("NtReadFile",                   "ZwReadFile"),
    ("NtSetEvent",                   "ZwSetEvent"),
    ("NtSetInformationFile",         "ZwSetInformationFile"),
    ("NtSetSecurityObject",          "ZwSetSecurityObject"),
    ("NtWaitForSingleObject",        "ZwWaitForSingleObject"),
    ("NtWriteFile",                  "ZwWriteFile"),
    ("PsGetCurrentThreadProcess",    "PsGetCurrentProcess"),
    ("PsGetCurrentThreadProcessId",  "PsGetCurrentProcessId"),
    ("RtlAnsiStringToUnicodeSize",   "RtlxAnsiStringToUnicodeSize"),
    ("RtlUnicodeStringToAnsiSize",   "RtlxUnicodeStringToAnsiSize"),
];

/// The exports under their other names.
pub(super) static EXPORTS: LazyLock<Vec<Export>> = LazyLock::new(|| {
    let named = |name: &str| {
        families()
            .into_iter()
            .flatten()
            .find(|export| export.name == name)
    };
    NAMES
        .iter()
        .filter_map(|(name, known)| {
            Some(Export {
                name,
                ..*named(known)?
            })
        })
        .collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_name_is_of_a_routine_that_there_is() {
        let names: Vec<&str> = EXPORTS.iter().map(|export| export.name).collect();
        let wanted: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, wanted);
    }
}
