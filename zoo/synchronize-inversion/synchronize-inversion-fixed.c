/* The same without the mistake. */
#define FIXED
#include "synchronize-inversion.c"
