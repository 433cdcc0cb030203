/* The same without the mistake. */
#define FIXED
#include "allocated-twice.c"
