/* The same without the mistake. */
#define FIXED
#include "interrupt-after-disconnect.c"
