/* The same without the mistake. */
#define FIXED
#include "reference-plain.c"
