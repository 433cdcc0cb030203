/* The same without the mistake. */
#define FIXED
#include "lost-update-plain.c"
