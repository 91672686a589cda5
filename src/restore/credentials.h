// Credentials of one thread, from full privileges down to the saved ones. The last privileged step
// of a thread: what needs privileges (timers on alarm clocks, real-time scheduling from outside is
// not concerned) comes before. A change of ids also resets the parent death signal and whether the
// process is dumpable: task.h puts those back after.
#pragma once

#include "object/process.pb.h"
#include "restore/remote_calls.h"

namespace perdure::restore {

// An epoch's credentials may ask for more than the restoring engine has; told before anything is
// built. have_*: the engine's own bounding and permitted sets.
Status check_credentials_possible(const object::Credentials& wanted, uint64_t have_permitted,
                                  uint64_t have_bounding, std::string_view who);

// In the thread itself. Up to 90 calls.
void add_credentials(const object::Credentials& credentials, RemoteCalls* calls);

}  // namespace perdure::restore
