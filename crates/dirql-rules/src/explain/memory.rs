//! Memory: pool, MDLs, mappings, DMA, lists and handles.

super::explanations! {
150: "What an unloaded driver has allocated stays until the system ends.",
"Table = ExAllocatePoolWithTag(...);    // in DriverEntry\nVOID Unload(PDRIVER_OBJECT d) { }",
"VOID Unload(PDRIVER_OBJECT d) { ExFreePoolWithTag(Table, 'tseT'); }";
151: "The block belongs to somebody else by then, or is no block.",
"ExFreePool(Context->Buffer);           // on cancel\nExFreePool(Context->Buffer);           // and on completion",
"buffer = InterlockedExchangePointer(&Context->Buffer, NULL);\nif (buffer != NULL) ExFreePool(buffer);";
181: "The name stays taken, and an open of it leads to freed code.",
"VOID Unload(PDRIVER_OBJECT d) { }",
"VOID Unload(PDRIVER_OBJECT d)\n{\n    IoDeleteSymbolicLink(&Link);\n    IoDeleteDevice(d->DeviceObject);\n}";
301: "What lies behind the block is another's.",
"p = ExAllocatePoolWithTag(NonPagedPoolNx, length, 'tseT');\np[length] = 0;",
"p = ExAllocatePoolWithTag(NonPagedPoolNx, length + 1, 'tseT');\np[length] = 0;";
302: "The next allocation has the memory.",
"ExFreePool(Context);\nContext->Count--;",
"Context->Count--;\nExFreePool(Context);";
303: "The block has no byte that may be used, and is still to be freed.",
"p = ExAllocatePoolWithTag(NonPagedPoolNx, count * sizeof(*p), 'tseT');   // count is 0",
"if (count == 0) return STATUS_INVALID_PARAMETER;";
310: "Another size leaves part of the mapping, or takes part of somebody else's.",
"MmUnmapIoSpace(Registers, PAGE_SIZE);  // 64 bytes were mapped",
"MmUnmapIoSpace(Extension->Registers, Extension->Length);";
311: "The mapping stays until the system ends.",
"case IRP_MN_REMOVE_DEVICE:\n    IoDeleteDevice(Device);",
"case IRP_MN_REMOVE_DEVICE:\n    MmUnmapIoSpace(Extension->Registers, Extension->Length);\n    IoDeleteDevice(Device);";
320: "Pages that are still locked or mapped stay so for ever; those unlocked twice go while others use them.",
"MmProbeAndLockPages(Mdl, KernelMode, IoReadAccess);\nIoFreeMdl(Mdl);",
"MmProbeAndLockPages(Mdl, KernelMode, IoReadAccess);\n...\nMmUnlockPages(Mdl);\nIoFreeMdl(Mdl);";
321: "The section's count decides when it may be paged again.",
"MmLockPagableCodeSection(Routine);     // at each open\nMmUnlockPagableImageSection(Handle);   // at the last close",
"Handle = MmLockPagableCodeSection(Routine);\n...\nMmUnlockPagableImageSection(Handle);   // once for each lock";
331: "The system walks all lookaside lists, that of the unloaded driver too.",
"ExInitializeNPagedLookasideList(&List, ...);\nVOID Unload(PDRIVER_OBJECT d) { }",
"VOID Unload(PDRIVER_OBJECT d) { ExDeleteNPagedLookasideList(&List); }";
332: "The resource is on a list of the system's, and its owners are counted.",
"ExInitializeResourceLite(&Context->Resource);\nExFreePool(Context);",
"ExDeleteResourceLite(&Context->Resource);\nExFreePool(Context);";
333: "The callback object calls the routine whenever it is notified.",
"ExRegisterCallback(Object, OnPower, c);\nVOID Unload(PDRIVER_OBJECT d) { }",
"VOID Unload(PDRIVER_OBJECT d) { ExUnregisterCallback(Registration); }";
350: "The key stays open as long as the system runs.",
"ZwOpenKey(&Key, KEY_READ, &Attributes);\nif (failed) return status;",
"if (failed) {\n    ZwClose(Key);\n    return status;\n}";
360: "The routine is called at the next image, thread or process.",
"PsSetLoadImageNotifyRoutine(OnImage);\nVOID Unload(PDRIVER_OBJECT d) { }",
"VOID Unload(PDRIVER_OBJECT d) { PsRemoveLoadImageNotifyRoutine(OnImage); }";
431: "Who reads the list walks as far as the counts say.",
"list->List[0].Count++;                 // without room for one more",
"bigger = Copy(list, list->ListSize + sizeof(IO_RESOURCE_DESCRIPTOR));\nbigger->ListSize += sizeof(IO_RESOURCE_DESCRIPTOR);\nbigger->List[0].Count++;";
440: "Map registers and buffers are the adapter's; after PutDmaAdapter there is none.",
"Adapter->DmaOperations->PutDmaAdapter(Adapter);\nAdapter->DmaOperations->FreeCommonBuffer(Adapter, ...);",
"Adapter->DmaOperations->FreeCommonBuffer(Adapter, ...);\nAdapter->DmaOperations->PutDmaAdapter(Adapter);";
441: "The device reads or writes past the buffer, or past what is mapped for it.",
"AllocateAdapterChannel(Adapter, Device, 1, Control, c);\nMapTransfer(Adapter, Mdl, base, va, &length, TRUE);    // two pages",
"n = ADDRESS_AND_SIZE_TO_SPAN_PAGES(va, length);\nAllocateAdapterChannel(Adapter, Device, n, Control, c);";
442: "What lies in map registers has not reached the buffer.",
"FreeMapRegisters(Adapter, base, n);",
"FlushAdapterBuffers(Adapter, Mdl, base, va, length, FALSE);\nFreeMapRegisters(Adapter, base, n);";
444: "The run-down waits until all who acquired have released.",
"if (!ExAcquireRundownProtection(&Ref)) return;\nif (failed) return;",
"if (!ExAcquireRundownProtection(&Ref)) return;\n...\nExReleaseRundownProtection(&Ref);";
446: "The provider's callback is called when somebody listens to it.",
"EtwRegister(&Id, OnEnable, NULL, &Handle);\nVOID Unload(PDRIVER_OBJECT d) { }",
"VOID Unload(PDRIVER_OBJECT d) { EtwUnregister(Handle); }";
523: "The address belongs to nobody after the call, or to whoever maps something next.",
"MmUnmapIoSpace(Extension->Registers, Extension->Length);\nIoDisconnectInterrupt(Extension->Interrupt);   // the ISR may still read them",
"IoDisconnectInterrupt(Extension->Interrupt);\nKeFlushQueuedDpcs();\nMmUnmapIoSpace(Extension->Registers, Extension->Length);";
524: "The thread goes on in code that is not there any more.",
"VOID Unload(PDRIVER_OBJECT d) { KeSetEvent(&Stop, 0, FALSE); }",
"VOID Unload(PDRIVER_OBJECT d) {\n    KeSetEvent(&Stop, 0, FALSE);\n    KeWaitForSingleObject(Thread, Executive, KernelMode, FALSE, NULL);\n    ObDereferenceObject(Thread);\n}";
525: "The system looks for its driver and its neighbours in the object.",
"RtlZeroMemory(DeviceObject, sizeof(EXTENSION));",
"RtlZeroMemory(DeviceObject->DeviceExtension, sizeof(EXTENSION));";
531: "An APC that comes while the lock is held may suspend its holder, and everybody waits.",
"ExAcquirePushLockExclusive(&Lock);",
"KeEnterCriticalRegion();\nExAcquirePushLockExclusive(&Lock);\n...\nExReleasePushLockExclusive(&Lock);\nKeLeaveCriticalRegion();";
532: "The routines follow the links without a check.",
"ExFreePool(Node);                      // still in the tree",
"Root = RtlDelete(&Node->Links);\nExFreePool(Node);";
533: "The power manager calls back into code that is gone.",
"PoRegisterPowerSettingCallback(..., &Handle);\nVOID Unload(PDRIVER_OBJECT d) { }",
"VOID Unload(PDRIVER_OBJECT d) { PoUnregisterPowerSettingCallback(Handle); }";
534: "The framework waits for each answer, and a component stays active as long as somebody has it.",
"PoFxActivateComponent(Handle, 0, 0);\nif (failed) return status;",
"PoFxActivateComponent(Handle, 0, 0);\n...\nPoFxIdleComponent(Handle, 0, 0);";
535: "The system still has it on a list, and writes there when its time comes.",
"ExFreePool(Context);                   // with a timer that is set",
"KeCancelTimer(&Context->Timer);\nKeFlushQueuedDpcs();\nExFreePool(Context);";
536: "The links that the thread's list goes through are overwritten with zeros.",
"KeInitializeApc(Apc, Thread, ...); KeInsertQueueApc(Apc, NULL, NULL, 0);\nKeInitializeApc(Apc, Thread, ...);   // it has perhaps not run",
"KeWaitForSingleObject(&Extension->ApcHasRun, Executive, KernelMode, FALSE, NULL);\nKeInitializeApc(Apc, Thread, ...);";
537: "While the part of a base class is made or destroyed, the object's virtual functions are those of that class.",
"Base::Base() { Start(); }              // Start is pure virtual in Base",
"NTSTATUS Derived::Create() { return Start(); }";
538: "The links that the system's list of timers goes through are overwritten, and the timer that was set never comes, or comes twice.",
"KeSetTimer(&Extension->Timer, Due, &Extension->Dpc);\n/* the next request */\nKeInitializeTimer(&Extension->Timer);   // it is perhaps still set\nKeSetTimer(&Extension->Timer, Due, &Extension->Dpc);",
"KeInitializeTimer(&Extension->Timer);   // once, in AddDevice\n/* each request: a timer that is set is set anew */\nKeSetTimer(&Extension->Timer, Due, &Extension->Dpc);";
}
