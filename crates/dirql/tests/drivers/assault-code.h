/* Jumps, stacks, instructions and flags that a driver has no business with. */

/* --- Jumps ------------------------------------------------------------------ */

static VOID Call(U64 Address)
{
    ((VOID(*)(VOID))Address)();
}

static VOID JumpToZero(VOID)
{
    Call(0);
}

static VOID JumpToNonCanonical(VOID)
{
    Call(0x8000000000000000ULL);
}

static VOID JumpToUpperHalf(VOID)
{
    Call(0xfffff80000001000ULL);
}

/* Linux has a page there whose entries are system calls: gettimeofday, time, getcpu. */
static VOID JumpToVsyscall(VOID)
{
    U64 result;

    __asm__ volatile("call *%1" : "=a"(result) : "r"(0xffffffffff600400ULL), "D"(0) : "rcx", "r11", "memory");
    *(volatile U64 *)Scratch = result;
}

static VOID JumpToStack(VOID)
{
    volatile UCHAR code[16] = {0xc3};

    Call((U64)code);
}

static VOID JumpToPool(VOID)
{
    PUCHAR code = ExAllocatePoolWithTag(NonPagedPoolNx, 16, TAG);

    code[0] = 0xc3;
    Call((U64)code);
}

static VOID JumpToData(VOID)
{
    Scratch[0] = 0xc3;
    Call((U64)Scratch);
}

static VOID JumpToDevice(VOID)
{
    Call((U64)Registers);
}

/* --- Stacks ----------------------------------------------------------------- */

static volatile int Deeper = 1;

static int Blow(volatile char *Above)
{
    volatile char here[512];

    here[0] = Above[0];
    return (Deeper ? Blow(here) : 0) + here[0];
}

static VOID NoMoreStack(VOID)
{
    Blow((char *)Scratch);
}

static VOID StackAt(U64 Address)
{
    __asm__ volatile("mov %0, %%rsp; push %%rax; pop %%rax; sub $0x28, %%rsp; call *%1"
                     :
                     : "r"(Address), "r"(&KeGetCurrentIrql)
                     : "memory");
    for (;;)
        ;
}

static VOID StackAtZero(VOID)
{
    StackAt(0);
}

static VOID StackNonCanonical(VOID)
{
    StackAt(0x8000000000000000ULL);
}

static VOID StackInData(VOID)
{
    StackAt((U64)(Scratch + 48) & ~15ULL);
}

static VOID StackInOurText(VOID)
{
    StackAt(Outside() & ~15ULL);
}

static VOID StackUnaligned(VOID)
{
    __asm__ volatile("mov %%rsp, %%rbx; sub $0x33, %%rsp; call *%0; mov %%rbx, %%rsp"
                     :
                     : "r"(&KeGetCurrentIrql)
                     : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "rbx", "memory");
}

/* --- Instructions -------------------------------------------------------------- */

#define INSTRUCTION(Name, Text, ...)                                   \
    static VOID Name(VOID)                                            \
    {                                                                 \
        __asm__ volatile(Text : : __VA_ARGS__ : "rax", "rcx", "rdx", "rbx", "r11", "memory", "cc"); \
    }

INSTRUCTION(SystemCall, "mov $39, %%eax; syscall", "D"(0))
INSTRUCTION(SystemCall32, "mov $20, %%eax; int $0x80", "D"(0))
INSTRUCTION(SystemEnter, "mov $20, %%eax; sysenter", "D"(0))
INSTRUCTION(SystemReturn, "sysretq", "D"(0))
INSTRUCTION(InterruptReturn, "push $0; push $0; push $0; push $0; push $0; iretq", "D"(0))
INSTRUCTION(FarReturn, "push $0x23; push $0; lretq", "D"(0))
INSTRUCTION(FarReturnTo32, "lea 1f(%%rip), %%rax; push $0x23; push %%rax; lretq; 1: nop", "D"(0))
INSTRUCTION(Interrupt3, "int $3; int $3", "D"(0))
INSTRUCTION(Interrupt1, ".byte 0xf1", "D"(0))
INSTRUCTION(FastFail, "mov $5, %%ecx; int $0x29", "D"(0))
INSTRUCTION(Interrupt255, "int $255", "D"(0))
INSTRUCTION(HaltForEver, "cli; hlt", "D"(0))
INSTRUCTION(LoopWithoutInterrupts, "cli; 1: jmp 1b", "D"(0))
INSTRUCTION(LoopForEver, "1: jmp 1b", "D"(0))
INSTRUCTION(LoopWithPause, "1: pause; jmp 1b", "D"(0))
INSTRUCTION(LoadGdt, "lgdt (%%rdi)", "D"(Scratch))
INSTRUCTION(LoadIdt, "lidt (%%rdi)", "D"(Scratch))
INSTRUCTION(LoadTask, "mov $0x40, %%eax; ltr %%ax", "D"(0))
INSTRUCTION(LoadLdt, "xor %%eax, %%eax; lldt %%ax", "D"(0))
INSTRUCTION(WriteCr0, "xor %%eax, %%eax; mov %%rax, %%cr0", "D"(0))
INSTRUCTION(WriteCr3, "xor %%eax, %%eax; mov %%rax, %%cr3", "D"(0))
INSTRUCTION(WriteCr4, "xor %%eax, %%eax; mov %%rax, %%cr4", "D"(0))
INSTRUCTION(WriteCr8, "mov $255, %%eax; mov %%rax, %%cr8", "D"(0))
INSTRUCTION(WriteDr7, "mov $0x401, %%eax; mov %%rdi, %%dr0; mov %%rax, %%dr7", "D"(Scratch))
INSTRUCTION(ReadMsr, "mov $0x12345678, %%ecx; rdmsr", "D"(0))
INSTRUCTION(WriteMsr, "mov $0xc0000082, %%ecx; xor %%eax, %%eax; xor %%edx, %%edx; wrmsr", "D"(0))
INSTRUCTION(SetXcr0, "xor %%ecx, %%ecx; mov $3, %%eax; xor %%edx, %%edx; xsetbv", "D"(0))
INSTRUCTION(GetXcr7, "mov $7, %%ecx; xgetbv", "D"(0))
INSTRUCTION(Undefined, "ud2", "D"(0))
INSTRUCTION(TooLong, ".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x90", "D"(0))
INSTRUCTION(LockedNop, ".byte 0xf0,0x90", "D"(0))
INSTRUCTION(WritePorts, "mov $0xcafe, %%edx; mov $-1, %%rcx; mov %0, %%rsi; rep outsb", "r"(Scratch))
INSTRUCTION(SwapGs, "swapgs; mov %%gs:0x18, %%rax; mov (%%rax), %%rax", "D"(0))
INSTRUCTION(MoveGs, "mov $0x1000, %%eax; wrgsbase %%rax; sub $0x28, %%rsp; call *%0; add $0x28, %%rsp", "r"(&KeGetCurrentIrql))
INSTRUCTION(MoveFs, "xor %%eax, %%eax; wrfsbase %%rax; sub $0x28, %%rsp; call *%0; add $0x28, %%rsp", "r"(&KeGetCurrentIrql))
INSTRUCTION(LoadGs, "xor %%eax, %%eax; mov %%ax, %%gs; sub $0x28, %%rsp; call *%0; add $0x28, %%rsp", "r"(&KeGetCurrentIrql))
INSTRUCTION(LoadFs, "xor %%eax, %%eax; mov %%ax, %%fs; sub $0x28, %%rsp; call *%0; add $0x28, %%rsp", "r"(&KeGetCurrentIrql))
INSTRUCTION(LoadSs, "xor %%eax, %%eax; mov %%ax, %%ss; push %%rax; pop %%rax", "D"(0))
INSTRUCTION(Divide, "xor %%ecx, %%ecx; xor %%edx, %%edx; div %%ecx", "D"(0))
INSTRUCTION(ReadNonCanonical, "mov $0x8000000000000000, %%rax; mov (%%rax), %%rax", "D"(0))
INSTRUCTION(ReadUserZero, "xor %%eax, %%eax; mov (%%rax), %%rax", "D"(0))

/* A flag that our callers do not expect, while the kernel works for us. */
static VOID WithFlag(ULONG Flag)
{
    PUCHAR block;

    __asm__ volatile("pushfq; or %0, (%%rsp); popfq" : : "r"((U64)Flag) : "memory", "cc");
    block = ExAllocatePoolWithTag(NonPagedPool, 301, TAG);
    (memset)(block + 1, 0x55, 299);
    (memcpy)(block, block + 3, 290);
    DbgPrint("%d %s %wZ\n", 5, "text", &Driver->DriverName);
    ExFreePoolWithTag(block, TAG);
    KeSetEvent(&Event, IO_NO_INCREMENT, FALSE);
}

static VOID TrapFlag(VOID)
{
    WithFlag(0x100);
}

static VOID DirectionFlag(VOID)
{
    WithFlag(0x400);
}

static VOID NestedFlag(VOID)
{
    WithFlag(0x4000);
}

static VOID AlignmentFlag(VOID)
{
    WithFlag(0x40000);
}

static VOID EveryFlag(VOID)
{
    WithFlag(0x240dd5);
}

static VOID SseException(VOID)
{
    ULONG control = 0;
    double one = 1.0, zero = Zero, result;

    __asm__ volatile("ldmxcsr %1; movq %2, %%xmm0; divsd %3, %%xmm0; movq %%xmm0, %0"
                     : "=m"(result)
                     : "m"(control), "m"(one), "m"(zero)
                     : "xmm0");
    *(volatile double *)Scratch = result;
}

static VOID X87Exception(VOID)
{
    USHORT control = 0;

    __asm__ volatile("fninit; fldcw %0; fld1; fldz; fdivrp; fwait" : : "m"(control) : "memory");
}

/* Unmasked, and rounding upwards, while the kernel works for us; the x87 stack is full. */
static VOID FloatingPointLeft(VOID)
{
    ULONG sse = 0x4000;
    USHORT x87 = 0x0800;

    __asm__ volatile("fninit; fld1; fld1; fld1; fld1; fld1; fld1; fld1; fld1; fldcw %0; ldmxcsr %1" : : "m"(x87), "m"(sse) : "memory");
    WithFlag(0);
}

/* --- Unwinding ------------------------------------------------------------------ */

NTSYSAPI VOID NTAPI RtlRestoreContext(PCONTEXT Context, PEXCEPTION_RECORD Record);
NTSYSAPI VOID NTAPI RtlRaiseException(PEXCEPTION_RECORD Record);
NTSYSAPI VOID NTAPI RtlUnwindEx(PVOID Frame, PVOID Ip, PEXCEPTION_RECORD Record, PVOID Value, PCONTEXT Context, PVOID History);

static VOID RestoreNothing(VOID)
{
    static CONTEXT context;

    context.ContextFlags = CONTEXT_ALL;
    context.Rip = 0x4141414141414141ULL;
    context.Rsp = OurThread();
    RtlRestoreContext(&context, NULL);
}

static VOID UnwindToNowhere(VOID)
{
    static EXCEPTION_RECORD record;
    static CONTEXT context;

    RtlUnwindEx((PVOID)OurThread(), (PVOID)0x4141, &record, NULL, &context, NULL);
}

static VOID RaiseNothing(VOID)
{
    static EXCEPTION_RECORD record;

    record.NumberParameters = 0xFFFFFFFF;
    record.ExceptionRecord = &record;
    RtlRaiseException(&record);
}
