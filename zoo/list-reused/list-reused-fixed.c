/* The same without the mistake. */
#define FIXED
#include "list-reused.c"
