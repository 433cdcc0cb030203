/*
 * IoConnectInterruptEx and its companions for drivers that must also load on systems whose
 * kernel does not export them. Include this after wdm.h or ntddk.h (of the Windows 7 kit,
 * mingw-w64, or later) and link libiointex.a; x64 only.
 *
 * Where the kernel has the routine, it is called. Where it has not:
 *
 *   connect      CONNECT_FULLY_SPECIFIED works. Any other version fails, and Version is set
 *                to CONNECT_FULLY_SPECIFIED: clear the block, fill it again, and retry.
 *   disconnect   undoes CONNECT_FULLY_SPECIFIED; another version is bug check 0xCA.
 *   affinity     all active processors, group 0.
 *   report       nothing: the ISR stays active and must cope.
 *
 * The first call of any of them must be at PASSIVE_LEVEL; a connect always is.
 */
#ifndef DIRQL_IOINTEX_H
#define DIRQL_IOINTEX_H

#ifdef __cplusplus
extern "C" {
#endif

#undef IoConnectInterruptEx
#define IoConnectInterruptEx WdmlibIoConnectInterruptEx
NTSTATUS NTAPI WdmlibIoConnectInterruptEx(PIO_CONNECT_INTERRUPT_PARAMETERS Parameters);

/* STATUS_SUCCESS always; the kernel's own routine returns nothing. */
#undef IoDisconnectInterruptEx
#define IoDisconnectInterruptEx WdmlibIoDisconnectInterruptEx
NTSTATUS NTAPI WdmlibIoDisconnectInterruptEx(PIO_DISCONNECT_INTERRUPT_PARAMETERS Parameters);

#undef IoGetAffinityInterrupt
#define IoGetAffinityInterrupt WdmlibIoGetAffinityInterrupt
NTSTATUS NTAPI WdmlibIoGetAffinityInterrupt(PKINTERRUPT InterruptObject,
                                            PGROUP_AFFINITY GroupAffinity);

/*
 * The parameter block of the report routines came with Windows 8, with the same members as
 * that of IoDisconnectInterruptEx; pass either.
 */
#undef IoReportInterruptActive
#define IoReportInterruptActive WdmlibIoReportInterruptActive
VOID NTAPI WdmlibIoReportInterruptActive(PVOID Parameters);

#undef IoReportInterruptInactive
#define IoReportInterruptInactive WdmlibIoReportInterruptInactive
VOID NTAPI WdmlibIoReportInterruptInactive(PVOID Parameters);

/* What the library was compiled for. */
C_ASSERT(FIELD_OFFSET(IO_CONNECT_INTERRUPT_PARAMETERS, FullySpecified.PhysicalDeviceObject) == 8);
C_ASSERT(FIELD_OFFSET(IO_CONNECT_INTERRUPT_PARAMETERS, FullySpecified.InterruptObject) == 16);
C_ASSERT(FIELD_OFFSET(IO_CONNECT_INTERRUPT_PARAMETERS, FullySpecified.ServiceRoutine) == 24);
C_ASSERT(FIELD_OFFSET(IO_CONNECT_INTERRUPT_PARAMETERS, FullySpecified.ServiceContext) == 32);
C_ASSERT(FIELD_OFFSET(IO_CONNECT_INTERRUPT_PARAMETERS, FullySpecified.SpinLock) == 40);
C_ASSERT(FIELD_OFFSET(IO_CONNECT_INTERRUPT_PARAMETERS, FullySpecified.SynchronizeIrql) == 48);
C_ASSERT(FIELD_OFFSET(IO_CONNECT_INTERRUPT_PARAMETERS, FullySpecified.FloatingSave) == 49);
C_ASSERT(FIELD_OFFSET(IO_CONNECT_INTERRUPT_PARAMETERS, FullySpecified.ShareVector) == 50);
C_ASSERT(FIELD_OFFSET(IO_CONNECT_INTERRUPT_PARAMETERS, FullySpecified.Vector) == 52);
C_ASSERT(FIELD_OFFSET(IO_CONNECT_INTERRUPT_PARAMETERS, FullySpecified.Irql) == 56);
C_ASSERT(FIELD_OFFSET(IO_CONNECT_INTERRUPT_PARAMETERS, FullySpecified.InterruptMode) == 60);
C_ASSERT(FIELD_OFFSET(IO_CONNECT_INTERRUPT_PARAMETERS, FullySpecified.ProcessorEnableMask) == 64);
C_ASSERT(FIELD_OFFSET(IO_DISCONNECT_INTERRUPT_PARAMETERS, ConnectionContext) == 8);
C_ASSERT(FIELD_OFFSET(GROUP_AFFINITY, Mask) == 0);
C_ASSERT(FIELD_OFFSET(GROUP_AFFINITY, Group) == 8);

#ifdef __cplusplus
}
#endif

#endif /* DIRQL_IOINTEX_H */
