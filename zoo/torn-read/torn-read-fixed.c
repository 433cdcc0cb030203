/* The same without the mistake. */
#define FIXED
#include "torn-read.c"
