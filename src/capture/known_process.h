// KnownProcess: the records of a process as they were captured last, with images of the kernel's
// own structures (kernel/task_images.h) that tell whether they still hold. If they do, only what a
// running program changes all the time is read: registers, masks, pending signals, scheduling, and
// names of files, which others change.
//
// All functions: the process is stopped.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "capture/freeze.h"
#include "capture/vmas.h"
#include "kernel/task_images.h"
#include "object/process.pb.h"

namespace perdure::capture {

class KnownProcess {
 public:
  // Before records are read: remembers what the process is like now.
  void begin(const StoppedProcess& process, kernel::TaskImages* images);
  // After it: the records hold as long as the process stays as it was at begin(), if it still is.
  void keep(const StoppedProcess& process, const object::Process& record,
            const std::map<pid_t, object::Thread>& threads, kernel::TaskImages* images);
  // Whether the records of the last keep() hold.
  bool holds(const StoppedProcess& process, kernel::TaskImages* images);
  void forget();

  // The last look, after holds() or if something is kept.
  const kernel::TaskLook* look() const { return kept_ ? look_ : nullptr; }

  // After holds(). The records are lent: nothing holds until they are given back, as they are then.
  void lend(object::Process* record);
  void lend_thread(pid_t tid, object::Thread* record);
  void take_back(object::Process* record);
  void take_back_thread(pid_t tid, object::Thread* record);
  // After keep() or holds(): what the records are now, as object::Graph::versions has it. 0:
  // nothing is kept.
  uint64_t version() const { return kept_ ? version_ : 0; }
  uint64_t thread_version(pid_t tid) const { return kept_ ? threads_.at(tid).version : 0; }
  // A record that was lent is another one now.
  void note_change();
  void note_thread_change(pid_t tid);
  const kernel::proc::TaskStatus& status() const { return status_; }
  const kernel::ThreadImage& image(pid_t tid) const { return *images_now_.at(tid); }

 private:
  struct Thread {
    std::vector<uint8_t> image;
    object::Thread record;
    uint64_t version = 0;
  };
  bool is_simple(const StoppedProcess& process, const kernel::TaskLook& look) const;
  bool is_as_begun(const StoppedProcess& process, const kernel::TaskLook& look) const;
  bool kept_ = false, begun_ = false;
  size_t lent_ = 0;  // records
  uint64_t version_ = 0;
  pid_t parent_ = 0;
  std::vector<uint8_t> process_;
  std::map<pid_t, Thread> threads_;
  object::Process record_;
  kernel::proc::TaskStatus status_;
  const kernel::TaskLook* look_ = nullptr;
  std::map<pid_t, const kernel::ThreadImage*> images_now_;
};

}  // namespace perdure::capture
