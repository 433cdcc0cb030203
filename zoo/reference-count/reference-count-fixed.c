/* The same without the mistake. */
#define FIXED
#include "reference-count.c"
