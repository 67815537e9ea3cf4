#include <stdint.h>
#include <stddef.h>
#include "shim.h"

int shim_version(void) { return 1; }
