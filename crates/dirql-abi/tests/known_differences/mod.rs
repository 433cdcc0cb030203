//! Where the headers of mingw-w64 and this crate differ, and why.
//!
//! As of mingw-w64 10. Where both are numbers, the reason says which is right about Windows.

/// Differences that have one reason.
pub(crate) struct Known {
    /// What is compared: `structures`, `constants` or `guids`.
    pub(crate) group: &'static str,
    /// Why they differ.
    pub(crate) reason: &'static str,
    /// As the test prints them, one per line.
    pub(crate) differences: &'static str,
}

/// Structures that end in an array of one element in C and before it here: the element count is
/// told at run time. The offset of the array is compared in place of the size.
pub(crate) const TAILS: &[(&str, &str)] = &[
    (
        "CM_FULL_RESOURCE_DESCRIPTOR",
        "PartialResourceList.PartialDescriptors",
    ),
    ("CM_PARTIAL_RESOURCE_LIST", "PartialDescriptors"),
    ("CM_RESOURCE_LIST", "List"),
    ("DEVICE_RELATIONS", "Objects"),
    ("IO_ERROR_LOG_PACKET", "DumpData"),
    ("IO_INTERRUPT_MESSAGE_INFO", "MessageInfo"),
    ("IO_RESOURCE_LIST", "Descriptors"),
    ("IO_RESOURCE_REQUIREMENTS_LIST", "List"),
    ("KEY_BASIC_INFORMATION", "Name"),
    ("KEY_FULL_INFORMATION", "Class"),
    ("KEY_NODE_INFORMATION", "Name"),
    ("KEY_VALUE_BASIC_INFORMATION", "Name"),
    ("KEY_VALUE_FULL_INFORMATION", "Name"),
    ("KEY_VALUE_PARTIAL_INFORMATION", "Data"),
    ("KEY_VALUE_PARTIAL_INFORMATION_ALIGN64", "Data"),
    ("KUSER_SHARED_DATA", "XState"),
    ("SCATTER_GATHER_LIST", "Elements"),
    ("SCOPE_TABLE_AMD64", "ScopeRecord"),
];

/// Members that are themselves such a structure; their sizes are not compared.
pub(crate) const MEMBERS_WITH_TAIL: &[&str] = &["CM_FULL_RESOURCE_DESCRIPTOR.PartialResourceList"];

/// Modules of values that the headers need not have; those that they have are compared.
pub(crate) const MAY_BE_MISSING: &[(&str, &str)] = &[
    (
        "code",
        "bugcodes.h has the bug checks of Windows XP and not all of them",
    ),
    (
        "capability_flags",
        "bit fields in C: they have no value and no offset",
    ),
];

/// Constants that C spells otherwise: here, in C, why.
pub(crate) const RENAMED: &[(&str, &str, &str)] = &[(
    "NO_SPIN_LOCK_AVAILABLE",
    "NO_SPINLOCK_AVAILABLE",
    "the debugger reference writes SPIN_LOCK",
)];

/// The list.
pub(crate) const KNOWN: &[Known] = &[
    Known {
        group: "structures",
        reason: "Windows aligns a device object to 16 bytes, mingw-w64 does not",
        differences: "sizeof(DEVICE_OBJECT): C 0x148, here 0x150",
    },
    Known {
        group: "structures",
        reason: "mingw-w64 ends before the padding that aligns the control block to 0x180",
        differences: "sizeof(KPCR): C 0x178, here 0x180",
    },
    Known {
        group: "structures",
        reason: "bit fields have no offset in C; the members around them are compared",
        differences: "offsetof(DEVICE_CAPABILITIES, DeviceD1): not in the headers",
    },
    Known {
        group: "structures",
        reason: "the policy members are of the Windows Vista headers, mingw-w64 has the older ones",
        differences: "
            sizeof(IO_RESOURCE_DESCRIPTOR.u.Interrupt): C 0x8, here 0x18
            offsetof(IO_RESOURCE_DESCRIPTOR.u.Interrupt, AffinityPolicy): not in the headers
            offsetof(IO_RESOURCE_DESCRIPTOR.u.Interrupt, Group): not in the headers
            offsetof(IO_RESOURCE_DESCRIPTOR.u.Interrupt, PriorityPolicy): not in the headers
            offsetof(IO_RESOURCE_DESCRIPTOR.u.Interrupt, TargetedProcessors): not in the headers",
    },
    Known {
        group: "structures",
        reason: "opaque by the reference, so no header has them; layout as read by drivers",
        differences: "
            sizeof(KINTERRUPT): not in the headers
            sizeof(KPRCB): not in the headers",
    },
    Known {
        group: "structures",
        reason: "on reference pages, not in mingw-w64",
        differences: "
            sizeof(IO_REPORT_INTERRUPT_ACTIVE_STATE_PARAMETERS): not in the headers
            sizeof(PARALLEL_INTERRUPT_INFORMATION): not in the headers
            sizeof(PARPORT_REMOVAL_RELATIONS): not in the headers
            sizeof(PCI_MSIX_CAPABILITY): not in the headers",
    },
    Known {
        group: "constants",
        reason: "mingw-w64 gives the message identifier of the same name, or an old number",
        differences: "
            BUGCODE_ID_DRIVER: C 0x80000080, here 0xd2
            IMPERSONATING_WORKER_THREAD: C 0xfa, here 0xdf",
    },
    Known {
        group: "constants",
        reason: "KOBJECTS: the headers have no names for the kernel's object types",
        differences: "
            EventNotificationObject: not in the headers
            EventSynchronizationObject: not in the headers
            MutantObject: not in the headers
            ProcessObject: not in the headers
            QueueObject: not in the headers
            SemaphoreObject: not in the headers
            ThreadObject: not in the headers
            GateObject: not in the headers
            TimerNotificationObject: not in the headers
            TimerSynchronizationObject: not in the headers
            ApcObject: not in the headers
            DpcObject: not in the headers
            DeviceQueueObject: not in the headers
            EventPairObject: not in the headers
            InterruptObject: not in the headers
            ProfileObject: not in the headers
            ThreadedDpcObject: not in the headers",
    },
    Known {
        group: "constants",
        reason: "newer than mingw-w64's headers",
        differences: "
            CM_RESOURCE_INTERRUPT_ALLOW_RESERVED_IDT: not in the headers
            CM_RESOURCE_INTERRUPT_SECONDARY_INTERRUPT: not in the headers
            CM_RESOURCE_INTERRUPT_WAKE_HINT: not in the headers
            CONNECT_MESSAGE_BASED_PASSIVE: not in the headers
            POOL_NX_ALLOCATION: not in the headers
            RTL_QUERY_REGISTRY_TYPECHECK: not in the headers
            STATUS_ALREADY_COMPLETE: not in the headers
            STATUS_DEVICE_FEATURE_NOT_SUPPORTED: not in the headers
            STATUS_DEVICE_INSUFFICIENT_RESOURCES: not in the headers
            STATUS_DEVICE_UNREACHABLE: not in the headers
            STATUS_INVALID_TOKEN: not in the headers",
    },
    Known {
        group: "constants",
        reason: "fast fail codes of Windows 8.1 and later; mingw-w64 has those of Windows 8",
        differences: "
            FAST_FAIL_GUARD_ICALL_CHECK_FAILURE: not in the headers
            FAST_FAIL_GUARD_WRITE_CHECK_FAILURE: not in the headers
            FAST_FAIL_INVALID_FIBER_SWITCH: not in the headers
            FAST_FAIL_INVALID_SET_OF_CONTEXT: not in the headers
            FAST_FAIL_INVALID_REFERENCE_COUNT: not in the headers
            FAST_FAIL_INVALID_JUMP_BUFFER: not in the headers
            FAST_FAIL_MRDATA_MODIFIED: not in the headers
            FAST_FAIL_CERTIFICATION_FAILURE: not in the headers
            FAST_FAIL_INVALID_EXCEPTION_CHAIN: not in the headers",
    },
    Known {
        group: "constants",
        reason: "mingw-w64's parallel.h lacks these; codes from the reference's list of functions",
        differences: "
            ECR_BYTE_MODE: not in the headers
            ECR_ECP_MODE: not in the headers
            ECR_EPP_MODE: not in the headers
            ECR_SPP_MODE: not in the headers
            IOCTL_INTERNAL_DISABLE_END_OF_CHAIN_BUS_RESCAN: not in the headers
            IOCTL_INTERNAL_ENABLE_END_OF_CHAIN_BUS_RESCAN: not in the headers
            IOCTL_INTERNAL_GET_PARPORT_FDO: not in the headers
            IOCTL_INTERNAL_PARCHIP_CONNECT: not in the headers
            IOCTL_INTERNAL_PARDOT3_CONNECT: not in the headers
            IOCTL_INTERNAL_PARDOT3_DISCONNECT: not in the headers
            IOCTL_INTERNAL_PARDOT3_RESET: not in the headers
            IOCTL_INTERNAL_PARDOT3_SIGNAL: not in the headers
            IOCTL_INTERNAL_REGISTER_FOR_REMOVAL_RELATIONS: not in the headers
            IOCTL_INTERNAL_UNREGISTER_FOR_REMOVAL_RELATIONS: not in the headers
            PAR_LEGACY_ZIP_DEVICE: not in the headers",
    },
    Known {
        group: "guids",
        reason: "mingw-w64 has the interface's structure but not its GUID",
        differences: "GUID_MSIX_TABLE_CONFIG_INTERFACE: not in the headers",
    },
];
