// Site: what all steps of one restore share, and Skeleton: one process on its way to become a
// process of the group. The engine (tracer thread) works on skeletons from outside, with batches of
// system calls; every skeleton is stopped and has every signal blocked, from its birth until
// resume.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"
#include "kernel/features.h"
#include "kernel/tracee.h"
#include "kernel/uffd_serve.h"
#include "object/graph.h"
#include "restore/files.h"
#include "restore/lazy_space.h"
#include "restore/outlook.h"
#include "restore/plan.h"
#include "restore/remote_calls.h"
#include "store/epoch_reader.h"

namespace perdure::restore {

struct Skeleton {
  const Node* node = nullptr;
  pid_t pid = 0;  // in the engine's PID namespace
  kernel::Tracee leader = kernel::Tracee::adopt(0);
  std::vector<kernel::Tracee> threads;  // the others, in the order of the record
  ObjectId memory_of;                   // whose pages it holds now; 0: stripped
  bool ended = false;

  const object::Process& process() const { return *node->process; }
  std::string name() const;
};

// Which pages are left for the pager to bring (lazy_loader.h).
struct LazyPolicy {
  // Empty: none are.
  std::function<Status(const LazySpace&, const Fd& uffd)> hand_over;
  const Outlook* outlook = nullptr;
  kernel::Placing placing = kernel::Placing::kWritable;
};

struct Site {
  Site(const object::Graph& records, const store::EpochReader& epoch,
       const kernel::Features& probed, OpenedFiles files)
      : graph(records), reader(epoch), features(probed), opened(std::move(files)) {}

  const object::Graph& graph;
  const store::EpochReader& reader;
  const kernel::Features& features;
  OpenedFiles opened;
  kernel::BatchArea area =
      kernel::BatchArea::at(RemoteAddr());  // at the same address in every skeleton
  RemoteAddr scratch;  // free in every address space, for moving the vdso; kScratchBytes
  const Plan* plan = nullptr;
  LazyPolicy lazy;
  uint64_t pages_loaded = 0;
  uint64_t pages_lazy = 0;  // left for the pager
  std::vector<store::PageExtent>
      unverified;  // read plainly; their checksums are still to be looked at
};
inline constexpr uint64_t kScratchBytes = 1u << 20;

// Calls in one stopped task, run in as many batches as they need.
class CallStream {
 public:
  CallStream(const Site& site, kernel::Tracee* tracee, std::string who)
      : site_(site),
        tracee_(tracee),
        who_(std::move(who)),
        batch_(site.area.batch()),
        calls_(&batch_, who_) {}

  // Room for a step that adds up to `calls` calls and `data` bytes to one batch; runs what is there
  // if it is short.
  Status reserve(size_t calls, size_t data);
  RemoteCalls& calls() { return calls_; }
  Status add(std::string_view what, long number, std::array<kernel::Arg, 6> args = {});
  Status flush();

 private:
  const Site& site_;
  kernel::Tracee* tracee_;
  std::string who_;
  kernel::Batch batch_;
  RemoteCalls calls_;
  size_t data_used_ = 0;
};

// One batch, checked: step adds its calls.
Status run_calls(const Site& site, kernel::Tracee* tracee, const std::string& who,
                 const std::function<void(RemoteCalls*)>& step);

}  // namespace perdure::restore
