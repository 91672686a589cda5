// A call whose time limit the kernel keeps to itself (nanosleep, poll, futex with a relative limit)
// is made to wait again for what is left without touching the program's memory or registers: the
// thread enters the same call with its limit in the batch area, is interrupted at once, and then
// has in the kernel exactly the restart block that it had when it was saved. Its registers are then
// set as if it had made its own call.
#pragma once

#include "base/result.h"
#include "restore/site.h"

namespace perdure::restore {

// True for these; other calls with a limit are made again as they were, and the engine ends them at
// their deadline.
bool is_primed(long number);

// The registers that the thread is to run with. The batch area is still mapped.
Result<kernel::Registers> final_registers(const object::Thread& thread, kernel::Tracee* tracee,
                                          const Site& site);

}  // namespace perdure::restore
