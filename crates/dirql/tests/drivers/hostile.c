/*
 * A driver that does not mean well. What it tries is the name of its service, so that one image is many drivers.
 * Each attempt either ends the run or comes back with STATUS_SUCCESS, which a test must not see; those whose
 * names begin with k do the same as it should be done.
 */
#include "test.h"

/* Linux's numbers. */
#define SYS_WRITE 1
#define SYS_OPEN 2
#define SYS_CLOSE 3
#define SYS_MMAP 9
#define SYS_MPROTECT 10
#define SYS_DUP2 33
#define SYS_FORK 57
#define SYS_EXECVE 59
#define SYS_KILL 62
#define SYS_CREAT 85
#define SYS_SOCKET 41
#define SYS_PTRACE 101
#define SYS_GETPPID 110
#define SYS_PRCTL 157
#define SYS_EXIT_GROUP 231

/* Where the simulated computer ends and the process around it begins. */
#define OUTSIDE 0x200100000000ULL

typedef unsigned long long U64;

static const char Passwords[] = "/etc/passwd";
static const char Trace[] = "dirql-was-here";
static const char Text[] = "written by the driver\n";

static U64 SystemCall(U64 Number, U64 A, U64 B, U64 C)
{
    U64 result;
    register U64 none __asm__("r10") = 0x22;

    __asm__ volatile("syscall" : "=a"(result) : "a"(Number), "D"(A), "S"(B), "d"(C), "r"(none) : "rcx", "r11", "memory");
    return result;
}

/* The address of an instruction of the process around us: where our caller's caller goes on, as the stack tells. */
static U64 Outside(U64 Lowest)
{
    U64 *place = (U64 *)__builtin_frame_address(0);
    ULONG index;

    for (index = 0; index < 4096; index++)
        if (place[index] >= Lowest && place[index] < 0x7ffffffff000ULL)
            return place[index];
    return 0;
}

/*
 * Whether a system call is here. The two bytes may be inside another instruction; compilers set
 * rax just before: mov eax, NUMBER, or mov rax, [rsp + OFFSET].
 */
static BOOLEAN IsSystemCall(const unsigned char *Code)
{
    const unsigned char *before = Code - 5;

    if (Code[0] != 0x0f || Code[1] != 0x05)
        return FALSE;
    if (before[0] == 0xb8)
        return before[2] == 0 && before[3] == 0 && before[4] == 0;
    return before[0] == 0x48 && before[1] == 0x8b && before[2] == 0x44 && before[3] == 0x24;
}

/* Makes a system call with an instruction of the process around us. */
static U64 Borrow(U64 Number, U64 A, U64 B, U64 C)
{
    /* The calls of exports lead there: each ends with jmp [rip], and the target behind it. */
    const unsigned char *thunk = (const unsigned char *)(ULONG_PTR)&DbgPrint;
    const unsigned char *code;
    U64 result;

    /* jmp [import] if the compiler made one. */
    if (thunk[0] == 0xff && thunk[1] == 0x25)
        thunk = *(const unsigned char **)(thunk + 6 + *(const int *)(thunk + 2));
    while (thunk[0] != 0xff || thunk[1] != 0x25)
        thunk++;
    code = *(const unsigned char **)(thunk + 6 + *(const int *)(thunk + 2));
    while (!IsSystemCall(code))
        code++;
    __asm__ volatile("call *%5"
                     : "=a"(result)
                     : "a"(Number), "D"(A), "S"(B), "d"(C), "r"(code)
                     : "rcx", "r8", "r9", "r10", "r11", "memory");
    return result;
}

static void Smash(volatile U64 *From, U64 Count)
{
    U64 index;

    for (index = 0; index < Count; index++)
        From[index] = 0x4141414141414141ULL;
}

static volatile int Deeper = 1;

static int Blow(volatile char *Above)
{
    volatile char here[512];

    here[0] = Above[0];
    return (Deeper ? Blow(here) : 0) + here[0];
}

/* The kernel makes a file; the routine that a system call would end in. */
static VOID CreateByKernel(VOID)
{
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\??\\C:\\dirql-was-here");
    OBJECT_ATTRIBUTES attributes;
    IO_STATUS_BLOCK done;
    HANDLE file;

    InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    if (NT_SUCCESS(ZwCreateFile(&file, GENERIC_WRITE, &attributes, &done, NULL, FILE_ATTRIBUTE_NORMAL, 0, FILE_CREATE,
                                FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0)))
        ZwClose(file);
}

/* What `Borrow` and `Smash` do wrong, with what is the driver's own or the kernel's exports. */
static int Keep(WCHAR Which)
{
    ULONG(__cdecl * volatile print)(PCSTR, ...) = DbgPrint;
    static U64 own[2];
    U64 *block;

    switch (Which) {
    case L'1':
        CreateByKernel();
        return 1;
    case L'b':
        print("called through a pointer\n");
        return 1;
    case L'4':
        block = ExAllocatePoolWithTag(NonPagedPool, 0x8000 * sizeof(U64), 'peeK');
        if (block != NULL) {
            Smash(block, 0x8000);
            ExFreePoolWithTag(block, 'peeK');
        }
        return 1;
    case L'6':
        Smash(own, 1);
        return 1;
    }
    return 0;
}

/* 0 if the attempt has no such name. */
static int Try(const WCHAR *Name)
{
    static const struct {
        const WCHAR *Name;
        U64 Call[4];
    } calls[] = {
        {L"write", {SYS_WRITE, 1, (U64)0, sizeof(Text) - 1}},
        {L"read", {SYS_OPEN, 0, 0, 0}},
        {L"create", {SYS_CREAT, 0, 0644, 0}},
        {L"map", {SYS_MMAP, 0, 0x1000, 7}},
        {L"protect", {SYS_MPROTECT, 0x200010000000ULL, 0x1000, 7}},
        {L"close", {SYS_CLOSE, 2, 0, 0}},
        {L"dup", {SYS_DUP2, 2, 1, 0}},
        {L"fork", {SYS_FORK, 0, 0, 0}},
        {L"execute", {SYS_EXECVE, 0, 0, 0}},
        {L"kill", {SYS_KILL, 0, 0, 0}},
        {L"parent", {SYS_GETPPID, 0, 0, 0}},
        {L"socket", {SYS_SOCKET, 2, 1, 0}},
        {L"trace", {SYS_PTRACE, 0, 0, 0}},
        {L"control", {SYS_PRCTL, 59, 0, 0}},
        {L"exit", {SYS_EXIT_GROUP, 101, 0, 0}},
    };
    BOOLEAN borrow = Name[0] == L'b' && Name[1] == L'-';
    ULONG index, at;
    KIRQL irql;

    if (borrow)
        Name += 2;
    for (index = 0; index < RTL_NUMBER_OF(calls); index++) {
        const U64 *call = calls[index].Call;
        U64 a = call[1], b = call[2];

        for (at = 0; Name[at] != 0 && Name[at] == calls[index].Name[at]; at++)
            ;
        if (Name[at] != calls[index].Name[at])
            continue;
        if (call[0] == SYS_OPEN || call[0] == SYS_EXECVE)
            a = (U64)Passwords;
        if (call[0] == SYS_CREAT)
            a = (U64)Trace;
        if (call[0] == SYS_WRITE)
            b = (U64)Text;
        if (borrow)
            Borrow(call[0], a, b, call[3]);
        else
            SystemCall(call[0], a, b, call[3]);
        return 1;
    }
    switch (Name[0]) {
    case L'k':
        return Keep(Name[1]);
    case L'1': { /* int 0x80 */
        U64 result;
        __asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory");
        return 1;
    }
    case L'2': { /* sysenter */
        U64 result;
        __asm__ volatile("push %%rbp; mov %%rsp, %%rbp; sysenter; pop %%rbp" : "=a"(result) : "a"(20) : "rcx", "rdx", "memory");
        return 1;
    }
    case L'3': { /* What the thread has to itself, from its own pointer on. */
        U64 here;
        __asm__ volatile("mov %%fs:0, %0" : "=r"(here));
        Smash((U64 *)(here - 0x200), 0x80);
        DbgPrint("thread smashed\n");
        return 1;
    }
    case L'4': /* The stack, and those who called us. */
        Smash((U64 *)__builtin_frame_address(0) - 8, 0x8000);
        return 1;
    case L'5': { /* Everything that is pointed to from our callers' frames. */
        U64 *place = (U64 *)__builtin_frame_address(0);
        for (index = 0; index < 2048; index++)
            if (place[index] >= OUTSIDE && place[index] < 0x7ffffffff000ULL && place[index] % 8 == 0)
                Smash((U64 *)place[index], 16);
        DbgPrint("pointers smashed\n");
        return 1;
    }
    case L'6': { /* Code around us. */
        Smash((U64 *)(Outside(OUTSIDE) & ~7ULL), 1);
        return 1;
    }
    case L'7': /* No more stack. */
        return Blow((char *)Name);
    case L'8':
        ((void (*)(void))0)();
        return 1;
    case L'9':
        KeRaiseIrql(HIGH_LEVEL, &irql);
        for (;;)
            ;
    }
    return 0;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    ULONG end = RegistryPath->Length / sizeof(WCHAR), start = end, index;
    WCHAR name[32] = {0};

    UNREFERENCED_PARAMETER(Driver);
    while (start > 0 && RegistryPath->Buffer[start - 1] != L'\\')
        start--;
    for (index = 0; start + index < end && index < RTL_NUMBER_OF(name) - 1; index++)
        name[index] = RegistryPath->Buffer[start + index];
    return Try(name) ? STATUS_SUCCESS : STATUS_NOT_FOUND;
}
