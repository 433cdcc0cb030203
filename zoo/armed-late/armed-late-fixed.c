/* The same without the mistake. */
#define FIXED
#include "armed-late.c"
