//! Interrupts, DPCs and timers.

super::explanations! {
122: "A level-sensitive line stays asserted until the device drops it. An ISR that claims the interrupt and does not see to that is called again at once, for ever.",
"BOOLEAN Isr(PKINTERRUPT i, PVOID c) { return TRUE; }",
"BOOLEAN Isr(PKINTERRUPT i, PVOID c)\n{\n    WRITE_REGISTER_ULONG(Registers->Acknowledge, status);\n    return TRUE;\n}";
123: "On a shared line the first ISR that returns TRUE ends the round. If its device was quiet, the one that interrupted is not asked.",
"BOOLEAN Isr(PKINTERRUPT i, PVOID c) { Acknowledge(); return TRUE; }",
"status = READ_REGISTER_ULONG(Registers->Status);\nif (status == 0) return FALSE;";
125: "Without a lock of the driver's each vector has its own, so that the same ISR runs twice at once.",
"IoConnectInterrupt(&I1, Isr, c, NULL, v1, l1, l1, ...);\nIoConnectInterrupt(&I2, Isr, c, NULL, v2, l2, l2, ...);",
"top = max(l1, l2);\nIoConnectInterrupt(&I1, Isr, c, &Lock, v1, l1, top, ...);\nIoConnectInterrupt(&I2, Isr, c, &Lock, v2, l2, top, ...);";
126: "The lock is taken at each interrupt from now on, on any processor. Garbage looks like a lock that is held.",
"KSPIN_LOCK lock;                       // on the stack, not initialised\nIoConnectInterrupt(&I, Isr, c, &lock, ...);",
"KeInitializeSpinLock(&Extension->Lock);\nIoConnectInterrupt(&I, Isr, c, &Extension->Lock, ...);";
130: "The version says what the context is: an interrupt object or a message table. Connect may have returned another one than was asked for.",
"out.Version = CONNECT_MESSAGE_BASED;\nIoDisconnectInterruptEx(&out);",
"Extension->Version = in.Version;       // after IoConnectInterruptEx\n...\nout.Version = Extension->Version;";
131: "An interrupt object that is disconnected is freed memory.",
"IoDisconnectInterrupt(Extension->Interrupt);   // in stop\nIoDisconnectInterrupt(Extension->Interrupt);   // and in remove",
"if (Extension->Interrupt != NULL) {\n    IoDisconnectInterrupt(Extension->Interrupt);\n    Extension->Interrupt = NULL;\n}";
132: "The next interrupt calls an ISR whose device, extension or code is gone.",
"case IRP_MN_STOP_DEVICE:\n    return PassOn(Irp);",
"case IRP_MN_STOP_DEVICE:\n    Silence(Extension);\n    IoDisconnectInterrupt(Extension->Interrupt);\n    return PassOn(Irp);";
133: "Raw numbers are those of the bus: the line is no vector, and no processor knows it.",
"d = stack->Parameters.StartDevice.AllocatedResources->List[0]...;",
"d = stack->Parameters.StartDevice.AllocatedResourcesTranslated->List[0]...;";
134: "A device that still interrupts when nobody is connected asserts a line that nobody drops. On a shared line the other devices' ISRs run for ever. Nothing is told of a device that has no registers to silence it, nor after IRP_MN_SURPRISE_REMOVAL, when a driver leaves the device alone.",
"IoDisconnectInterrupt(Interrupt);\nWRITE_REGISTER_ULONG(Registers->InterruptMask, 0);",
"WRITE_REGISTER_ULONG(Registers->InterruptMask, 0);\nIoDisconnectInterrupt(Interrupt);";
135: "A level-sensitive source that is connected as latched loses interrupts, the reverse repeats them, and an exclusive connect fails where another is.",
"IoConnectInterrupt(..., Latched, FALSE, ...);",
"mode = d->Flags & CM_RESOURCE_INTERRUPT_LATCHED ? Latched : LevelSensitive;\nshare = d->ShareDisposition == CmResourceShareShared;";
136: "The system has assigned the vector when it starts the device. What the old routine computes may be another.",
"v = HalGetInterruptVector(PCIBus, 0, line, line, &irql, &affinity);",
"v = descriptor->u.Interrupt.Vector;    // of IRP_MN_START_DEVICE, translated";
137: "The routines find the interrupt by what IoConnectInterruptEx stored. An interrupt object of the older routine is something else.",
"parameters.ConnectionContext.InterruptObject = ObjectOfIoConnectInterrupt;\nIoReportInterruptInactive(&parameters);",
"parameters.Version = Extension->Version;\nparameters.ConnectionContext = Extension->Context;";
138: "A processor that is left out takes the interrupt without an ISR; where the system routes it is not the driver's choice.",
"IoConnectInterrupt(..., 1, FALSE);     // processor 0 only",
"IoConnectInterrupt(..., descriptor->u.Interrupt.Affinity, FALSE);";
139: "With the lower level of two, the ISR at the higher one interrupts the other while that holds the lock.",
"IoConnectInterrupt(&I1, Isr, c, &Lock, v1, 5, 5, ...);\nIoConnectInterrupt(&I2, Isr, c, &Lock, v2, 8, 8, ...);",
"IoConnectInterrupt(&I1, Isr, c, &Lock, v1, 5, 8, ...);\nIoConnectInterrupt(&I2, Isr, c, &Lock, v2, 8, 8, ...);";
140: "The processor's queue still points to it. When the DPC's turn comes, its routine or its context is gone.",
"IoDisconnectInterrupt(Interrupt);\nIoDeleteDevice(Device);                // the DPC is in its extension",
"IoDisconnectInterrupt(Interrupt);\nKeRemoveQueueDpc(&Extension->Dpc);\nKeFlushQueuedDpcs();\nIoDeleteDevice(Device);";
141: "The clock writes to the timer and queues its DPC when it expires, whoever has the memory then.",
"ExFreePool(Context);                   // with a KTIMER that is set",
"KeCancelTimer(&Context->Timer);\nKeFlushQueuedDpcs();\nExFreePool(Context);";
142: "The queue is linked through fields that hold anything.",
"KeInsertQueueDpc(&Extension->Dpc, NULL, NULL);",
"KeInitializeDpc(&Extension->Dpc, Routine, Extension);   // in AddDevice";
143: "A DPC that is queued stays as it is, and the call returns FALSE. What was to be told with it is lost.",
"KeInsertQueueDpc(&Dpc, (PVOID)status, NULL);    // at each interrupt",
"InterlockedOr(&Extension->Status, status);\nKeInsertQueueDpc(&Dpc, NULL, NULL);";
144: "The DPC is in a queue already, which was chosen by what it said then.",
"KeInsertQueueDpc(&Dpc, NULL, NULL);\nKeSetImportanceDpc(&Dpc, HighImportance);",
"KeSetImportanceDpc(&Dpc, HighImportance);\nKeInsertQueueDpc(&Dpc, NULL, NULL);";
145: "The callback is called when the system stops, when nothing else works any more; then it should be there.",
"VOID Unload(PDRIVER_OBJECT d) { }",
"VOID Unload(PDRIVER_OBJECT d) { KeDeregisterBugCheckCallback(&Record); }";
217: "A second initialisation changes a timer that may be on the list; one that was not initialised has no routine.",
"IoStartTimer(Device);",
"IoInitializeTimer(Device, OnTimer, Extension);   // in AddDevice\nIoStartTimer(Device);                            // in start";
410: "Without a place for it the interrupt object is lost: nobody can disconnect it.",
"p.MessageBased.ConnectionContext.InterruptMessageTable = NULL;",
"p.MessageBased.ConnectionContext.InterruptMessageTable = &Extension->Table;";
445: "After ExDeleteTimer the memory is the system's.",
"ExDeleteTimer(Timer, TRUE, FALSE, NULL);\nExCancelTimer(Timer, NULL);",
"ExCancelTimer(Timer, NULL);\nExDeleteTimer(Timer, TRUE, TRUE, NULL);";
470: "What guards the port at passive and dispatch level does not guard it from the port's ISR, and the reverse.",
"BOOLEAN Isr(PKINTERRUPT i, PVOID c) { Info->TryAllocatePort(Info->Context); ...",
"BOOLEAN Isr(PKINTERRUPT i, PVOID c) { Interrupt->TryAllocatePortAtInterruptLevel(Interrupt->Context); ...";
471: "The second free ends the turn of whoever has the port now.",
"if (!Info->TryAllocatePort(Info->Context)) { ... }\nInfo->FreePort(Info->Context);",
"if (Info->TryAllocatePort(Info->Context)) {\n    ...\n    Info->FreePort(Info->Context);\n}";
472: "The port's ISR calls every client's routine.",
"VOID Unload(PDRIVER_OBJECT d) { IoDeleteDevice(d->DeviceObject); }",
"VOID Unload(PDRIVER_OBJECT d)\n{\n    Send(IOCTL_INTERNAL_PARALLEL_DISCONNECT_INTERRUPT, &Connection);\n    IoDeleteDevice(d->DeviceObject);\n}";
473: "The port stays allocated to a driver that is gone; everybody else waits for ever.",
"if (!NT_SUCCESS(status)) return status;          // with the port",
"if (!NT_SUCCESS(status)) {\n    Info->FreePort(Info->Context);\n    return status;\n}";
474: "The port's driver connects or disconnects its interrupt for its first and last client.",
"VOID Dpc(...) { IoCallDriver(Port, ConnectIrp); }",
"VOID WorkItem(...) { IoCallDriver(Port, ConnectIrp); }";
475: "The flag says that the caller has the port, and the routines of PARCLASS_INFORMATION rely on it. Without the port, two clients drive its lines.",
"Send(IOCTL_INTERNAL_SELECT_DEVICE, PAR_HAVE_PORT_KEEP_PORT);",
"if (Info->TryAllocatePort(Info->Context))\n    Send(IOCTL_INTERNAL_SELECT_DEVICE, PAR_HAVE_PORT_KEEP_PORT);";
476: "The structure allows it; a published driver calls the routine without looking.",
"Connection.InterruptServiceRoutine = NULL;\nConnection.DeferredPortCheckRoutine = Check;",
"BOOLEAN None(PKINTERRUPT i, PVOID c) { return FALSE; }\nConnection.InterruptServiceRoutine = None;";
477: "The context is the port's own memory; anything else is taken for it.",
"Info->FreePort(Extension);",
"Info->FreePort(Info->Context);";
522: "Connect refuses it, on every computer: the driver does not start, and why is not to be seen from the status.",
"IoConnectInterrupt(..., Vector, Irql, PASSIVE_LEVEL, ...);",
"IoConnectInterrupt(..., Vector, Irql, Irql, ...);   // SynchronizeIrql is at least Irql";
575: "Paged memory may be on disk, and nothing can be read from there at or above DISPATCH_LEVEL.",
"PVOID c = ExAllocatePoolWithTag(PagedPool, n, TAG);\nIoConnectInterrupt(&Interrupt, Isr, c, ...);",
"PVOID c = ExAllocatePoolWithTag(NonPagedPoolNx, n, TAG);\nIoConnectInterrupt(&Interrupt, Isr, c, ...);";
576: "Until the ISR is connected nobody can silence the device. On a shared line the others' ISRs are called over and over, and what the device had to say may be lost.",
"WRITE_REGISTER_ULONG(&Registers->Enable, 1);\nIoConnectInterruptEx(&Connect);",
"IoConnectInterruptEx(&Connect);\nWRITE_REGISTER_ULONG(&Registers->Enable, 1);";
577: "The processor's state beyond SSE is not saved around an ISR, and KeSaveExtendedProcessorState is not for its level. What was interrupted finds other values in its registers.",
"BOOLEAN Isr(...) { CopyWithAvx(Context->Buffer, Registers); ...",
"BOOLEAN Isr(...) { KeInsertQueueDpc(&Context->Dpc, NULL, NULL); ...";
578: "The parameter is a leftover: it has to be FALSE on some processors and does nothing on others. An ISR that counts on it has its registers saved by nobody.",
"IoConnectInterrupt(&Interrupt, Isr, c, NULL, v, l, l, Latched, FALSE, mask, TRUE);",
"IoConnectInterrupt(&Interrupt, Isr, c, NULL, v, l, l, Latched, FALSE, mask, FALSE);";
580: "The routine refuses, and entries go on sending what they sent. On a computer that gives fewer messages than the device asks for, the driver waits at the wrong message.",
"table.SetTableEntry(table.Context, queue, queue);       // for every queue of the device",
"table.SetTableEntry(table.Context, queue, queue % MessageCount);";
581: "A processor has one bit for a vector that waits: messages that come before the ISR is called are one call. What the ISR does not take stays in the device, which has sent its messages already.",
"BOOLEAN Isr(PKINTERRUPT i, PVOID c, ULONG message)\n{\n    CompleteOne(c, message);            // each message stands for one\n    return TRUE;",
"BOOLEAN Isr(PKINTERRUPT i, PVOID c, ULONG message)\n{\n    while (HasCompletion(c, message))\n        CompleteOne(c, message);\n    return TRUE;";
582: "FALSE says that another device interrupted. The system looks for that one, calls every ISR on the line, and may take the interrupt for one that nobody owns.",
"if (status == 0) return FALSE;\nWRITE_REGISTER_ULONG(&Registers->Acknowledge, status);\nreturn (status & DONE) != 0;            // FALSE for an error of the device's",
"if (status == 0) return FALSE;\nWRITE_REGISTER_ULONG(&Registers->Acknowledge, status);\nreturn TRUE;";
583: "The interrupt is routed to the processors of its affinity. An ISR on others is never called, and where processors have groups the mask means some of another group.",
"IoConnectInterrupt(..., (KAFFINITY)-1, FALSE);",
"IoConnectInterrupt(..., Descriptor->u.Interrupt.Affinity, FALSE);";
584: "A DPC that was queued on another processor can run as soon as the ISR has asked for it. What the ISR writes afterwards it may miss, and nobody asks for it again.",
"IoRequestDpc(Device, NULL, Extension);\nExtension->Causes |= status;            // the DPC may have looked already",
"Extension->Causes |= status;\nIoRequestDpc(Device, NULL, Extension);";
585: "FALSE says that the DPC is on no queue: that it was never queued, or that it has been taken off to be run. On another processor its routine may be in the middle of the memory that is freed.",
"if (!KeRemoveQueueDpc(&Work->Dpc))\n    ExFreePool(Work);                   // not queued: done",
"KeRemoveQueueDpc(&Work->Dpc);\nKeFlushQueuedDpcs();\nExFreePool(Work);";
603: "Set-power requests may come while the disk with the page file sleeps. A routine for PASSIVE_LEVEL may wait for a page that cannot be read until this request is through.",
"case IRP_MN_SET_POWER:\n    IoDisconnectInterrupt(Extension->Interrupt);",
"case IRP_MN_SET_POWER:\n    IoReportInterruptInactive(&Extension->Connection);   // keeps it connected";
604: "The port driver owns the adapter's interrupt, its locks and its queues; a miniport that goes past it races with it.",
"KeAcquireSpinLock(&Lock, &irql);       // in a miniport",
"StorPortAcquireSpinLock(Extension, InterruptLock, NULL, &handle);";
}
