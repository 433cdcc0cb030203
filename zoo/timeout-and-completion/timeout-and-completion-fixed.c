/* The same without the mistake. */
#define FIXED
#include "timeout-and-completion.c"
