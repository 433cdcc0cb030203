//! Levels and locks.

super::explanations! {
100: "A routine relies on what its level promises: at PASSIVE_LEVEL it may wait and touch pageable memory, at DISPATCH_LEVEL it may not be interrupted by other threads. Called elsewhere it works until a page is out or another processor comes in between.",
"KeAcquireSpinLock(&Lock, &irql);\nZwClose(Key);                      // PASSIVE_LEVEL only",
"KeAcquireSpinLock(&Lock, &irql);\nkey = Key;\nKey = NULL;\nKeReleaseSpinLock(&Lock, irql);\nZwClose(key);";
101: "Connecting allocates, waits for other processors and touches pageable code of the plug and play manager. The verifier looks at the two older routines only; nothing in Windows looks at the Ex routines.",
"KeAcquireSpinLock(&Lock, &irql);\nIoDisconnectInterrupt(Interrupt);",
"case IRP_MN_REMOVE_DEVICE:             // at PASSIVE_LEVEL\n    IoDisconnectInterrupt(Interrupt);";
102: "The routines take a lock of the kernel that is held at DISPATCH_LEVEL; an ISR that interrupts its holder waits for ever.",
"BOOLEAN Isr(PKINTERRUPT i, PVOID c) { IoReportInterruptInactive(&Parameters); ...",
"VOID DpcForIsr(...) { IoReportInterruptInactive(&Parameters); ...";
103: "The routine raises to the interrupt's level. From above it would have to lower, and what keeps the caller's data would be gone.",
"KeRaiseIrql(HIGH_LEVEL, &irql);\nKeSynchronizeExecution(Interrupt, Routine, Context);",
"KeSynchronizeExecution(Interrupt, Routine, Context);   // from a dispatch or DPC routine";
104: "The lock is what its ISR holds. Taken above the ISR's level, the ISR may already be in it on this processor; released elsewhere, the ISR runs in the middle.",
"old = KeAcquireInterruptSpinLock(Interrupt);\nKeReleaseInterruptSpinLock(Interrupt, PASSIVE_LEVEL);   // was at DISPATCH_LEVEL",
"old = KeAcquireInterruptSpinLock(Interrupt);\nKeReleaseInterruptSpinLock(Interrupt, old);";
105: "A level that KeRaiseIrql lowers lets in what the caller had kept out. A level that KeLowerIrql raises was never promised to the code that runs.",
"KeRaiseIrql(APC_LEVEL, &irql);          // called at DISPATCH_LEVEL",
"if (KeGetCurrentIrql() < DISPATCH_LEVEL)\n    KeRaiseIrql(DISPATCH_LEVEL, &irql);";
106: "A passive-level ISR runs in a thread and is kept out by an event, not by a spin lock. There is no lock to be taken.",
"old = KeAcquireInterruptSpinLock(PassiveInterrupt);",
"KeSynchronizeExecution(PassiveInterrupt, Routine, Context);";
110: "A spin lock has no owner that may come again. A processor that waits for its own lock waits for ever, with everything else at that level.",
"BOOLEAN Isr(PKINTERRUPT i, PVOID c)\n{\n    KeAcquireInterruptSpinLock(i);      // the ISR holds it already",
"BOOLEAN Isr(PKINTERRUPT i, PVOID c)\n{\n    // what the interrupt's lock guards may be used here as it is";
111: "Each waits for what another holds; none goes on.",
"// processor 0              // processor 1\nAcquire(A); Acquire(B);     Acquire(B); Acquire(A);",
"// processor 0              // processor 1\nAcquire(A); Acquire(B);     Acquire(A); Acquire(B);";
112: "Releasing a lock that another processor holds lets two into what it guards.",
"if (failed) KeReleaseSpinLock(&Lock, irql);\nKeReleaseSpinLock(&Lock, irql);",
"if (!failed) Work();\nKeReleaseSpinLock(&Lock, irql);";
113: "A queued lock keeps a list of who waits in the lock's word, an ordinary one a bit. Each destroys the other.",
"KeAcquireInStackQueuedSpinLock(&Lock, &handle);   // here\nKeAcquireSpinLock(&Lock, &irql);                  // there",
"KeAcquireInStackQueuedSpinLock(&Lock, &handle);   // in both places";
114: "The routine lowers to what it is given. A level from another acquire, or the counterpart that does not lower, leaves the processor at the wrong one.",
"KeAcquireSpinLock(&A, &irql); KeAcquireSpinLock(&B, &irql);\nKeReleaseSpinLock(&B, irql); KeReleaseSpinLock(&A, irql);   // now at DISPATCH_LEVEL",
"KeAcquireSpinLock(&A, &irql); KeAcquireSpinLockAtDpcLevel(&B);\nKeReleaseSpinLockFromDpcLevel(&B); KeReleaseSpinLock(&A, irql);";
115: "The number is an index into the processor's own table, which is not checked.",
"KeAcquireQueuedSpinLock(99);",
"KeAcquireInStackQueuedSpinLock(&MyLock, &handle);";
120: "The kernel goes on at the level that the ISR leaves; the chain's next ISR and the end of the interrupt rely on it.",
"BOOLEAN Isr(PKINTERRUPT i, PVOID c)\n{\n    KeRaiseIrql(HIGH_LEVEL, &irql);\n    return TRUE;",
"    KeRaiseIrql(HIGH_LEVEL, &irql);\n    ...\n    KeLowerIrql(irql);\n    return TRUE;";
121: "DPCs run one after the other at DISPATCH_LEVEL. The next one would run where it does not expect to.",
"VOID Dpc(...) { KeLowerIrql(PASSIVE_LEVEL); Work(); }",
"VOID Dpc(...) { IoQueueWorkItem(Item, Work, DelayedWorkQueue, Context); }";
124: "With interrupts off, neither the clock nor another processor gets through, and the caller does not know.",
"_disable();\nif (!Ready()) return STATUS_DEVICE_NOT_READY;\n_enable();",
"_disable();\nready = Ready();\n_enable();\nif (!ready) return STATUS_DEVICE_NOT_READY;";
160: "At DISPATCH_LEVEL the scheduler does not run; who waits there is never woken, and keeps everybody else from being.",
"VOID Dpc(...) { KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL); }",
"VOID Dpc(...) { IoQueueWorkItem(Item, WaitInThread, DelayedWorkQueue, Context); }";
161: "A thread that has left more often than it entered gets APCs where others think that it gets none; one that stays inside gets none for ever.",
"KeEnterCriticalRegion();\nif (failed) return status;\nKeLeaveCriticalRegion();",
"KeEnterCriticalRegion();\nif (!failed) Work();\nKeLeaveCriticalRegion();\nreturn status;";
200: "Whoever called goes on at the level that is left. A level that is too high keeps threads and DPCs out; one too low lets them in.",
"KeAcquireSpinLock(&Lock, &irql);\nif (Empty) return STATUS_NO_MORE_ENTRIES;\nKeReleaseSpinLock(&Lock, irql);",
"KeAcquireSpinLock(&Lock, &irql);\nstatus = Empty ? STATUS_NO_MORE_ENTRIES : Take();\nKeReleaseSpinLock(&Lock, irql);\nreturn status;";
300: "Paged pool may not be in memory; fetching it waits.",
"VOID Dpc(...) { p = ExAllocatePoolWithTag(PagedPool, 64, 'tseT'); }",
"VOID Dpc(...) { p = ExAllocatePoolWithTag(NonPagedPoolNx, 64, 'tseT'); }";
330: "Only its owner knows what level and which APC state the mutex has saved.",
"ExAcquireFastMutex(&M);    // in one thread\nExReleaseFastMutex(&M);    // in another",
"ExAcquireFastMutex(&M);\nWork();\nExReleaseFastMutex(&M);";
370: "The tables that convert wide characters are pageable.",
"VOID Dpc(...) { DbgPrint(\"%wZ\\n\", &Name); }",
"VOID Dpc(...) { DbgPrint(\"%p\\n\", Name.Buffer); }";
430: "The table is guarded by raising to the device's DIRQL; from above there is nothing that keeps two changes apart.",
"KeRaiseIrql(HIGH_LEVEL, &irql);\nTable.MaskTableEntry(Table.Context, 0);",
"KeSynchronizeExecution(Interrupt, MaskEntry, Context);";
443: "The routine runs at the interrupt's level with its lock held. An exception that leaves it leaves both.",
"BOOLEAN Section(PVOID c) { ExRaiseStatus(STATUS_UNSUCCESSFUL); }",
"BOOLEAN Section(PVOID c) { ((PCONTEXT)c)->Status = STATUS_UNSUCCESSFUL; return FALSE; }";
447: "Pageable memory is usually there, until it is not. At DISPATCH_LEVEL and above nobody can fetch it.",
"#pragma alloc_text(PAGE, Dpc)\nVOID Dpc(...)",
"VOID Dpc(...)                      // in .text, which is never paged";
490: "One processor holds the first and waits for the second, the other the reverse: neither goes on. It needs only the right moment.",
"Acquire(A); Acquire(B);     // here\nAcquire(B); Acquire(A);     // there",
"Acquire(A); Acquire(B);     // everywhere";
555: "Between the read and the write of one context another one's change is lost.",
"Extension->Count++;                    // dispatch routine and ISR",
"InterlockedIncrement(&Extension->Count);   // both";
556: "Between the test and what follows from it, another context finds the same.",
"if (!Extension->Busy) {\n    Extension->Busy = TRUE;",
"if (InterlockedCompareExchange(&Extension->Busy, TRUE, FALSE) == FALSE) {";
557: "One word is read before the change and the other after it; together they never were.",
"low = Extension->Low; high = Extension->High;      // the ISR writes both",
"KeSynchronizeExecution(Extension->Interrupt, CopyBoth, &copy);";
579: "What has raised its level keeps its processor: the thread that it interrupted, other DPCs and whoever wants its locks wait until it is done. A loop that waits for one of them never is. IoCsqRemoveNextIrp passes over requests that are being cancelled, for example, and the list stays as it is until their cancel routine, which was interrupted, goes on.",
"while (!IsListEmpty(&Extension->Requests)) {          // in a DPC\n    irp = IoCsqRemoveNextIrp(&Extension->Csq, NULL);\n    if (irp != NULL) Complete(irp);\n}",
"while ((irp = IoCsqRemoveNextIrp(&Extension->Csq, NULL)) != NULL)\n    Complete(irp);                     // those being cancelled are their cancel routine's";
605: "Completion routines of the drivers above run inside IoCompleteRequest. They may send the next request, which asks for the same lock.",
"KeAcquireSpinLock(&Lock, &irql);\nRemoveEntryList(&Irp->Tail.Overlay.ListEntry);\nIoCompleteRequest(Irp, IO_NO_INCREMENT);\nKeReleaseSpinLock(&Lock, irql);",
"KeAcquireSpinLock(&Lock, &irql);\nRemoveEntryList(&Irp->Tail.Overlay.ListEntry);\nKeReleaseSpinLock(&Lock, irql);\nIoCompleteRequest(Irp, IO_NO_INCREMENT);";
607: "While an ISR runs nothing at or below its level does on that processor; while a DPC runs, no thread. Other devices lose data.",
"BOOLEAN Isr(PKINTERRUPT i, PVOID c) { KeStallExecutionProcessor(500); ...",
"VOID Dpc(...) { KeSetTimer(&Timer, Microseconds500, &SecondDpc); }";
608: "Drivers below take it that such requests come at PASSIVE_LEVEL, wait and touch pageable memory.",
"KeRaiseIrql(DISPATCH_LEVEL, &irql);\nIoCallDriver(Lower, PnpIrp);",
"IoCallDriver(Lower, PnpIrp);            // at PASSIVE_LEVEL";
}
