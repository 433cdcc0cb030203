/* The same without the mistake. */
#define FIXED
#include "empty-list.c"
