//! The driver as a whole, and the process that it runs in.

super::explanations! {
1: "Windows stops when going on could do more damage. The code and the four parameters say what it saw; the stack says where the drivers were, from the inside out, with what an interrupt had interrupted.",
"*(ULONG *)NULL = 0;",
"if (Extension->Registers != NULL)\n    WRITE_REGISTER_ULONG(Extension->Registers, 0);";
2: "dirql makes nothing up: a routine that it does not have ends the run where it is called.",
"",
"";
3: "A loop over plain memory, or one that polls a device that will not answer, takes the processor for good.",
"while (!(READ_REGISTER_ULONG(Status) & READY))\n    ;",
"for (tries = 0; tries < 1000; tries++) {\n    if (READ_REGISTER_ULONG(Status) & READY) break;\n    KeStallExecutionProcessor(1);\n}";
4: "Without a debugger a breakpoint is an exception that nobody handles.",
"DbgBreakPoint();",
"if (KD_DEBUGGER_ENABLED) DbgBreakPoint();";
5: "The instruction means something to real hardware only, or nothing at all.",
"",
"";
180: "The scenario says what comes out of a request. Another result, or none, is what a user of the driver sees.",
"",
"";
371: "The driver's author wrote down what must be so, and it is not.",
"ASSERT(Count > 0);                     // and a path on which it is 0",
"if (Count == 0) return STATUS_NO_MORE_ENTRIES;";
450: "A driver that writes to or jumps to what is not its own can end or change the process that simulates the computer. `dirql explain DQ0602` and DQ0601 are the same with a place, where it is known.",
"*(ULONG_PTR *)GuessedAddress = 0;",
"Extension->Value = 0;";
600: "The instruction calls another kernel than Windows: here it would be Linux. It is not carried out.",
"__asm__ volatile (\"syscall\");",
"ZwClose(Handle);";
601: "The pointer led out of the driver and out of the simulated computer.",
"((PROUTINE)Table[index])();            // index is too large",
"if (index < Count) Table[index]();";
602: "The address is none of the simulated computer's. On Windows it could be anybody's.",
"*(ULONG_PTR *)(Value + Garbage) = 1;",
"*Pointer = 1;                          // as the system gave it";
}
