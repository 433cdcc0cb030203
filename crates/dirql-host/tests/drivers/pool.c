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

int DriverEntry(void *driver, void *path)
{
    (void)driver;
    (void)path;
    return 0;
}
