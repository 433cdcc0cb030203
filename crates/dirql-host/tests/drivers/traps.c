/* A driver that does what needs no import: privileged instructions, device memory, shared data, and
 * mistakes. Each exported function is an entry point of its own; it returns 1 if all was right.
 * Built by `build`. */

typedef unsigned char UCHAR;
typedef unsigned short USHORT;
typedef unsigned int ULONG;
typedef unsigned long long ULONG64;
typedef int NTSTATUS;

#define EXPORT __declspec(dllexport) __attribute__((noinline))
#define EXCEPTION_EXECUTE_HANDLER 1
#define INTERRUPT_FLAG 0x200
#define DEVICE ((volatile UCHAR *)0x2000D0000000)
#define SHARED ((volatile UCHAR *)0xFFFFF78000000000)

void *_AddressOfReturnAddress(void);

static ULONG64 read_cr8(void)
{
    ULONG64 level;
    __asm__ volatile("mov %%cr8, %0" : "=r"(level));
    return level;
}

static void write_cr8(ULONG64 level)
{
    __asm__ volatile("mov %0, %%cr8" : : "r"(level) : "memory");
}

static __attribute__((noinline)) ULONG64 flags(void)
{
    ULONG64 value;
    __asm__ volatile("pushfq\n\tpopq %0" : "=r"(value));
    return value;
}

static __attribute__((noinline)) ULONG64 disable(void)
{
    ULONG64 value;
    __asm__ volatile("pushfq\n\tpopq %0\n\tcli" : "=r"(value) : : "memory");
    return value;
}

static __attribute__((noinline)) void restore(ULONG64 value)
{
    __asm__ volatile("pushq %0\n\tpopfq" : : "r"(value) : "memory", "cc");
}

EXPORT NTSTATUS levels(void)
{
    ULONG64 before = read_cr8();
    write_cr8(2);
    ULONG64 raised = read_cr8();
    write_cr8(before);
    return before == 0 && raised == 2 && read_cr8() == 0;
}

EXPORT NTSTATUS interrupt_flag(void)
{
    for (int round = 0; round < 3; round++) {
        ULONG64 outer = disable();
        ULONG64 inner = disable();
        if (!(outer & INTERRUPT_FLAG) || (inner & INTERRUPT_FLAG) || (flags() & INTERRUPT_FLAG))
            return 0;
        restore(inner);
        if (flags() & INTERRUPT_FLAG)
            return 0;
        restore(outer);
        if (!(flags() & INTERRUPT_FLAG))
            return 0;
    }
    return 1;
}

EXPORT NTSTATUS nothing_answers(void)
{
    UCHAR byte;
    UCHAR string[8] = {0};
    void *place = string;
    ULONG64 count = sizeof string;
    __asm__ volatile("inb %w1, %0" : "=a"(byte) : "d"(0x1234));
    __asm__ volatile("cld\n\trep insb" : "+D"(place), "+c"(count) : "d"(0x1234) : "memory");
    if (byte != 0xFF || count != 0 || string[7] != 0xFF || DEVICE[1] != 0xFF)
        return 0;
    *(volatile ULONG64 *)(DEVICE + 8) = 1;
    return *(volatile ULONG64 *)(DEVICE + 8) == ~0ULL && *(volatile USHORT *)(DEVICE + 3) == 0xFFFF;
}

EXPORT NTSTATUS shared_data(void)
{
    ULONG64 first = *(volatile ULONG64 *)(SHARED + 0x08);
    for (int look = 0; look < 1000; look++) {
        if (*(volatile ULONG64 *)(SHARED + 0x08) > first)
            return *(volatile ULONG *)(SHARED + 0x26C) == 10 && *(volatile USHORT *)(SHARED + 0x30) == 'C';
    }
    return 0;
}

/* In a function of its own: the compiler thinks that assembly raises nothing. */
static __attribute__((noinline)) void read_msr(ULONG number)
{
    __asm__ volatile("rdmsr" : : "c"(number) : "rax", "rdx");
}

EXPORT NTSTATUS bad_msr(void)
{
    __try {
        read_msr(0x12345678);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return 1;
    }
    return 0;
}

EXPORT NTSTATUS nowhere(void)
{
    return *(volatile NTSTATUS *)0x10;
}

EXPORT NTSTATUS raised(void)
{
    write_cr8(2);
    return *(volatile NTSTATUS *)0x2000b0000000;
}

EXPORT NTSTATUS writes_shared_data(void)
{
    *(volatile ULONG64 *)SHARED = 0;
    return 1;
}

EXPORT NTSTATUS jumps(void)
{
    NTSTATUS (*volatile routine)(void) = 0;
    return routine() + 1;
}

EXPORT NTSTATUS jumps_raised(void)
{
    NTSTATUS (*volatile routine)(void) = 0;
    write_cr8(2);
    return routine() + 1;
}

/* What is left of a frame that was overrun. The address is a user's, or none at all. */
EXPORT NTSTATUS returns_to_nowhere(void)
{
    (void)flags();
    *(volatile ULONG64 *)_AddressOfReturnAddress() = 0x41424344;
    return 1;
}

EXPORT NTSTATUS returns_to_no_address(void)
{
    (void)flags();
    *(volatile ULONG64 *)_AddressOfReturnAddress() = 0x4141414141414141;
    return 1;
}

EXPORT NTSTATUS catches_a_jump(void)
{
    NTSTATUS (*volatile routine)(void) = 0;
    __try {
        return routine() + 2;
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return 1;
    }
}

static UCHAR data[16] = {0xC3};

EXPORT NTSTATUS runs_data(void)
{
    NTSTATUS (*volatile routine)(void) = (NTSTATUS(*)(void))data;
    return routine() + 1;
}

static __attribute__((noinline)) int deeper(volatile int *above)
{
    volatile int here[64];
    here[0] = above[0] + 1;
    return here[0] < 0 ? 0 : deeper(here) + here[0];
}

EXPORT NTSTATUS overflows(void)
{
    volatile int start = 0;
    return deeper(&start);
}

EXPORT NTSTATUS fails_fast(void)
{
    __asm__ volatile("int $0x29" : : "c"(3));
    return 1;
}

EXPORT NTSTATUS breaks(void)
{
    __asm__ volatile("int3");
    return 1;
}

EXPORT NTSTATUS loads_descriptors(void)
{
    UCHAR table[10] = {0};
    __asm__ volatile("lgdt %0" : : "m"(table));
    return 1;
}

EXPORT NTSTATUS DriverEntry(void *object, void *path)
{
    (void)object;
    (void)path;
    return 1;
}
