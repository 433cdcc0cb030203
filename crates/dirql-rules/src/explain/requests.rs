//! Requests, devices, plug and play, power.

super::explanations! {
170: "The second completion works on a request that may be freed, or be another one by then.",
"if (!IoCancelIrp(Irp)) ;\nIoCompleteRequest(Irp, IO_NO_INCREMENT);   // the timer completes it, too",
"if (IoSetCancelRoutine(Irp, NULL) != NULL)       // who gets it completes\n    IoCompleteRequest(Irp, IO_NO_INCREMENT);";
171: "Nobody will ever complete it, and its thread cannot end.",
"if (length == 0) return STATUS_INVALID_PARAMETER;",
"if (length == 0) return Complete(Irp, STATUS_INVALID_PARAMETER);";
203: "A pointer to something else is read and written as if it were one.",
"IoCallDriver(Extension, Irp);          // the extension, not the device",
"IoCallDriver(Extension->LowerDevice, Irp);";
204: "The device above still sends its requests to memory that is free.",
"IoDeleteDevice(Device);\nIoDetachDevice(Lower);",
"IoDetachDevice(Lower);\nIoDeleteDevice(Device);";
205: "The argument is the device below, to which ours was attached.",
"IoDetachDevice(Device);",
"IoDetachDevice(Extension->LowerDevice);";
206: "Each way to make a request has its own owner for the memory.",
"irp = IoBuildDeviceIoControlRequest(...);\nIoCallDriver(Lower, irp);\nIoFreeIrp(irp);                        // the I/O manager has freed it",
"irp = IoBuildDeviceIoControlRequest(...);\nIoCallDriver(Lower, irp);";
207: "A cancel afterwards calls a routine for a request that is not the driver's any more.",
"IoCompleteRequest(Irp, IO_NO_INCREMENT);",
"if (IoSetCancelRoutine(Irp, NULL) == NULL) return;   // it is being cancelled\nIoCompleteRequest(Irp, IO_NO_INCREMENT);";
208: "Who sent the request looks at the status to see whether it may touch it again.",
"IoMarkIrpPending(Irp);\nreturn STATUS_SUCCESS;",
"IoMarkIrpPending(Irp);\nreturn STATUS_PENDING;";
209: "Who sent the request believes the returned status, who waits for it the stored one.",
"Irp->IoStatus.Status = STATUS_UNSUCCESSFUL;\nIoCompleteRequest(Irp, IO_NO_INCREMENT);\nreturn STATUS_SUCCESS;",
"IoCompleteRequest(Irp, IO_NO_INCREMENT);\nreturn STATUS_UNSUCCESSFUL;";
210: "STATUS_PENDING is no result; who waits goes on with it.",
"Irp->IoStatus.Status = STATUS_PENDING;\nIoCompleteRequest(Irp, IO_NO_INCREMENT);",
"Irp->IoStatus.Status = STATUS_SUCCESS;\nIoCompleteRequest(Irp, IO_NO_INCREMENT);";
211: "The drivers above do not learn that the request was pending, and the I/O manager does not wake who waits.",
"NTSTATUS Done(PDEVICE_OBJECT d, PIRP Irp, PVOID c) { return STATUS_CONTINUE_COMPLETION; }",
"    if (Irp->PendingReturned) IoMarkIrpPending(Irp);\n    return STATUS_CONTINUE_COMPLETION;";
212: "The lock is the whole system's: nothing is cancelled any more.",
"VOID Cancel(PDEVICE_OBJECT d, PIRP Irp) { Complete(Irp, STATUS_CANCELLED); }",
"    IoReleaseCancelSpinLock(Irp->CancelIrql);\n    Complete(Irp, STATUS_CANCELLED);";
213: "The I/O manager copies as many bytes to the caller: what lies behind the buffer, or over its end.",
"Irp->IoStatus.Information = sizeof(ANSWER);",
"Irp->IoStatus.Information = min(sizeof(ANSWER), length);";
214: "The I/O manager frees or reuses what the driver still has.",
"NTSTATUS Done(PDEVICE_OBJECT d, PIRP Irp, PVOID c) { IoFreeIrp(Irp); return STATUS_SUCCESS; }",
"    IoFreeIrp(Irp);\n    return STATUS_MORE_PROCESSING_REQUIRED;";
215: "The removal waits for the count to fall; one release too few and it waits for ever, one too many and the device goes too early.",
"IoAcquireRemoveLock(&Lock, Irp);\nif (failed) return Complete(Irp, status);",
"IoAcquireRemoveLock(&Lock, Irp);\nif (failed) {\n    IoReleaseRemoveLock(&Lock, Irp);\n    return Complete(Irp, status);\n}";
216: "The item is on a list of the system's worker threads.",
"IoQueueWorkItem(Item, Work, DelayedWorkQueue, c);\nIoFreeWorkItem(Item);",
"VOID Work(PDEVICE_OBJECT d, PVOID c) { ...; IoFreeWorkItem(Item); }";
218: "The entry belongs to the log from then on.",
"IoWriteErrorLogEntry(entry);\nIoFreeErrorLogEntry(entry);",
"IoWriteErrorLogEntry(entry);";
219: "The provider is asked twice, and deregistered once.",
"IoWMIRegistrationControl(Device, WMIREG_ACTION_REGISTER);   // at each start",
"IoWMIRegistrationControl(Device, WMIREG_ACTION_REGISTER);   // once, in AddDevice";
220: "One too few and the object is freed under its users; one too many and it stays for ever.",
"ObReferenceObjectByHandle(Handle, ...);\nreturn STATUS_SUCCESS;",
"ObReferenceObjectByHandle(Handle, ...);\n...\nObDereferenceObject(Object);";
221: "Until the flag is clear nobody can open the device or attach to it.",
"return STATUS_SUCCESS;                 // at the end of AddDevice",
"Device->Flags &= ~DO_DEVICE_INITIALIZING;\nreturn STATUS_SUCCESS;";
222: "Each driver in the stack writes its parameters to its own location.",
"irp = IoAllocateIrp(1, FALSE);\nIoCallDriver(Lower, irp);",
"irp = IoAllocateIrp(Lower->StackSize, FALSE);\nIoCallDriver(Lower, irp);";
223: "The device goes whether the driver agrees or not; a failure leaves the stack half way.",
"case IRP_MN_REMOVE_DEVICE:\n    return Complete(Irp, STATUS_DEVICE_BUSY);",
"case IRP_MN_REMOVE_DEVICE:\n    Irp->IoStatus.Status = STATUS_SUCCESS;\n    return PassOn(Irp);";
224: "The power manager sends the next power request to a device only then.",
"case IRP_MN_SET_POWER:\n    return PoCallDriver(Lower, Irp);",
"    PoStartNextPowerIrp(Irp);\n    IoSkipCurrentIrpStackLocation(Irp);\n    return PoCallDriver(Lower, Irp);";
460: "A thread that ends cancels its requests and waits for them.",
"IoMarkIrpPending(Irp);\nInsertTailList(&Queue, &Irp->Tail.Overlay.ListEntry);\nreturn STATUS_PENDING;",
"IoCsqInsertIrp(&Csq, Irp, NULL);       // can be cancelled\nreturn STATUS_PENDING;";
586: "Requests that hold the lock use the device extension, which goes with the device. What nobody waits for, the lock does not keep away.",
"IoReleaseRemoveLock(&Extension->RemoveLock, Irp);\nIoDetachDevice(Extension->Lower);\nIoDeleteDevice(DeviceObject);",
"IoReleaseRemoveLockAndWait(&Extension->RemoveLock, Irp);\nIoDetachDevice(Extension->Lower);\nIoDeleteDevice(DeviceObject);";
606: "Handles that are open still lead to the device after a surprise removal. The device goes with IRP_MN_REMOVE_DEVICE, when the last is closed.",
"case IRP_MN_SURPRISE_REMOVAL:\n    IoDetachDevice(Lower);\n    IoDeleteDevice(Device);",
"case IRP_MN_SURPRISE_REMOVAL:\n    IoDisconnectInterrupt(Interrupt);\n    return PassOn(Irp);\ncase IRP_MN_REMOVE_DEVICE:\n    ...\n    IoDeleteDevice(Device);";
}
