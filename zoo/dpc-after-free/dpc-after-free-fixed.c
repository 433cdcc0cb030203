/* The same without the mistake. */
#define FIXED
#include "dpc-after-free.c"
