#include "restore/limits.h"

#include <sys/syscall.h>

#include <string>

#include "kernel/proc/limits.h"

namespace perdure::restore {
namespace {

struct RemoteLimit {  // struct rlimit64
  uint64_t soft, hard;
};

std::string text_of(uint64_t value) {
  return value == kernel::proc::kLimitInfinity ? "unlimited" : std::to_string(value);
}

}  // namespace

void add_limits(const object::Process& process, RemoteCalls* calls) {
  for (const object::Limit& limit : process.limits()) {
    const char* name = kernel::proc::limit_name(limit.resource());
    const RemoteAddr at = calls->batch().in_value(RemoteLimit{limit.soft(), limit.hard()});
    calls->add("set its limit of " + std::string(name) + " to " + text_of(limit.hard()),
               SYS_prlimit64, {0, limit.resource(), at, 0});
    calls->remedy("raise the hard limit of " + std::string(name) +
                  " for the restore, or run it with CAP_SYS_RESOURCE");
  }
}

}  // namespace perdure::restore
