/* The same without the mistake. */
#define FIXED
#include "dpc-arguments.c"
