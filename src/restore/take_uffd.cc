#include "restore/take_uffd.h"

#include <fcntl.h>
#include <sys/syscall.h>

#include "kernel/abi/userfaultfd.h"
#include "kernel/file.h"
#include "kernel/pidfd.h"

namespace perdure::restore {

Result<Fd> take_uffd(Skeleton* skeleton, const Site& site, Faults faults) {
  const int flags =
      O_CLOEXEC | O_NONBLOCK | (faults == Faults::kUserMode ? kernel::abi::kUffdUserModeOnly : 0);
  kernel::Batch making = site.area.batch();
  const size_t made = making.call(SYS_userfaultfd, {flags});
  PD_TRY(site.area.run(&skeleton->leader, &making));
  const int64_t number = making.result(made);
  if (number < 0) return Fd();
  const Fd pidfd = PD_TRY(kernel::pidfd_open(skeleton->pid));
  Fd uffd = PD_TRY(kernel::pidfd_getfd(pidfd.get(), static_cast<int>(number)));
  PD_TRY(run_calls(site, &skeleton->leader, skeleton->name(), [&](RemoteCalls* calls) {
    calls->add("close a userfaultfd", SYS_close, {number});
  }));
  return uffd;
}

}  // namespace perdure::restore
