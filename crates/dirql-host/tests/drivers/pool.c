/* A driver that goes wrong with pool in every way. Each exported function is an entry point of its own
 * and returns 1 if it comes to its end. Built by `build`. */

typedef unsigned char UCHAR;
typedef unsigned int ULONG;
typedef unsigned long long ULONG64;

#define IMPORT __declspec(dllimport)
#define EXPORT __declspec(dllexport) __declspec(noinline)

IMPORT void *ExAllocatePoolWithTag(int, ULONG64, ULONG);
IMPORT void ExFreePoolWithTag(void *, ULONG);

#define TAG 0x6C6F6F50

static volatile UCHAR *allocate(ULONG64 bytes) { return ExAllocatePoolWithTag(0, bytes, TAG); }
static void release(volatile UCHAR *block) { ExFreePoolWithTag((void *)block, TAG); }

EXPORT int right(void)
{
    volatile UCHAR *block = allocate(48);
    for (int i = 0; i < 48; i++)
        block[i] = (UCHAR)i;
    release(block);
    return 1;
}

EXPORT int writes_past_the_end(void)
{
    volatile UCHAR *block = allocate(48);
    block[48] = 1;
    release(block);
    return 1;
}

EXPORT int reads_past_the_end(void)
{
    volatile UCHAR *block = allocate(48);
    ULONG sum = block[48];
    release(block);
    return sum | 1;
}

/* Within what alignment leaves behind a block. */
EXPORT int writes_just_past_the_end(void)
{
    volatile UCHAR *block = allocate(41);
    block[41] = 1;
    release(block);
    return 1;
}

EXPORT int writes_before_the_beginning(void)
{
    volatile UCHAR *block = allocate(48);
    block[-1] = 1;
    release(block);
    return 1;
}

EXPORT int writes_after_the_free(void)
{
    volatile UCHAR *block = allocate(48);
    release(block);
    block[5] = 1;
    return 1;
}

EXPORT int reads_after_the_free(void)
{
    volatile UCHAR *block = allocate(48);
    release(block);
    return block[5] | 1;
}

EXPORT int frees_twice(void)
{
    volatile UCHAR *block = allocate(48);
    release(block);
    release(block);
    return 1;
}

static int answer(int number) { return number - 41; }

/* A thunk as drivers write them: it reads the IRQL, which traps, and goes on in the image. */
static __attribute__((noinline)) int (*thunk(volatile UCHAR *code))(int)
{
    static const UCHAR head[] = {0x44, 0x0F, 0x20, 0xC0, 0x85, 0xC0, 0x74, 0x01, 0xC3, 0x48, 0xB8};
    int (*volatile target)(int) = answer;
    ULONG64 address = (ULONG64)target;
    for (ULONG i = 0; i < sizeof head; i++)
        code[i] = head[i];
    for (ULONG i = 0; i < 8; i++)
        code[sizeof head + i] = (UCHAR)(address >> 8 * i);
    code[sizeof head + 8] = 0xFF;
    code[sizeof head + 9] = 0xE0;
    return (int (*)(int))(ULONG64)code;
}

EXPORT int runs_what_it_wrote(void)
{
    volatile UCHAR *block = allocate(48);
    int sum = 0;
    for (int i = 0; i < 3; i++)
        sum += thunk(block)(42);
    release(block);
    return sum == 3;
}

/* NonPagedPoolNx, also when code was run in pool before. */
EXPORT int runs_what_is_not_code(void)
{
    thunk(allocate(48))(42);
    return thunk(ExAllocatePoolWithTag(0x200, 48, TAG))(42) + 1;
}

int DriverEntry(void *driver, void *path)
{
    (void)driver;
    (void)path;
    return 0;
}
