/* The same without the mistake. */
#define FIXED
#include "acknowledge-all.c"
