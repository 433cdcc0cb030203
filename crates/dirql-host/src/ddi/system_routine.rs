//! Looking up routines by name.

use dirql_abi::string::UnicodeString;
use dirql_kernel::DriverPtr;

use crate::ddi::exports;

exports! {
    fn MmGetSystemRoutineAddress(name: DriverPtr<UnicodeString>) -> u64
        = |k| k.mm_get_system_routine_address(name);
}
