/* The same without the mistake. */
#define FIXED
#include "two-starts.c"
