/* The same without the mistake. */
#define FIXED
#include "busy-flag.c"
