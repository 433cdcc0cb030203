/* The same without the mistake. */
#define FIXED
#include "index-of-gone.c"
