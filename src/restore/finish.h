// Finish: from a tree of skeletons with memory to the group as it was, stopped, one step before it
// runs. Each function works on one process; the engine calls each for all processes before the
// next, because a step may need what the one before made in another process.
#pragma once

#include "base/result.h"
#include "restore/site.h"

namespace perdure::restore {

// Root, working directory, descriptors at their numbers, /proc/PID/exe. The builder's descriptors
// stay open.
Status place_files(Skeleton* skeleton, Site* site);
// Controlling terminals; then closes the builder's descriptors.
Status leave_builder(Skeleton* skeleton, Site* site);
// Makes the other threads, and all that threads and process hold but credentials and limits.
Status make_threads(Skeleton* skeleton, Site* site);
Status set_state(Skeleton* skeleton, Site* site);
// Credentials, limits, locks, armed timers: after this the process can do no more than the program
// could.
Status give_up_privileges(Skeleton* skeleton, Site* site);
// Removes the batch area, makes blocked calls wait again, sets registers and signal masks.
Status put_registers(Skeleton* skeleton, Site* site);
// Lets it run; a process that was stopped has stopped again when this returns. Those come first, so
// that no other process sees them running.
Status let_go(Skeleton* skeleton);

}  // namespace perdure::restore
