/* A driver that imports from another one, and variables. DriverEntry returns 1 if all it got was
 * right. Built by `build`. */

typedef int NTSTATUS;

__declspec(dllimport) int Answer(int);
__declspec(dllimport) int NotThere(int);
__declspec(dllimport) extern char KeNumberProcessors;
__declspec(dllimport) extern void *MmHighestUserAddress;
__declspec(dllimport) extern void *IoFileObjectType;
__declspec(dllimport) extern unsigned char KdDebuggerEnabled;

static int constant = 1;
int *const pointer = &constant;

NTSTATUS DriverEntry(void *driver, void *path)
{
    (void)path;
    return Answer(2) == 42 && KeNumberProcessors == 2 && IoFileObjectType != 0 && !KdDebuggerEnabled
        && (unsigned long long)MmHighestUserAddress < (unsigned long long)driver && **(int *const volatile *)&pointer;
}

/* Another entry point. */
__declspec(dllexport) NTSTATUS Missing(void *driver, void *path)
{
    (void)driver;
    (void)path;
    return NotThere(1) + 1;
}
