// Signal actions of a process. What a handler is, only the process can ask (rt_sigaction(2)); which
// signals have one is in /proc/PID/status. Pending signals, masks and alternate stacks are asked
// elsewhere (Tracee, ThreadQuery).
#pragma once

#include <array>
#include <span>
#include <vector>

#include "base/result.h"
#include "kernel/proc/status.h"
#include "kernel/tracee.h"
#include "object/process.pb.h"

namespace perdure::capture {

// Calls added to a batch that runs in any thread of the stopped process, and what they told.
class ActionQuery {
 public:
  static ActionQuery add(const kernel::proc::TaskStatus& status, kernel::Batch* batch);
  // Appends the actions that differ from the default, by signal number.
  Status decode(const kernel::Batch& batch, object::Process* record) const;

 private:
  struct Asked {
    int signal;
    size_t call;
    RemoteAddr answer;
  };
  std::vector<Asked> asked_;
};

// Pending signals as Tracee::pending() gives them.
using SigInfo = std::array<uint8_t, 128>;
// One call each has to fit into a batch at restore; only real-time signals queue more than once.
inline constexpr size_t kPendingSignalsMax = 300;
Status put_pending(std::span<const SigInfo> queue,
                   google::protobuf::RepeatedPtrField<object::PendingSignal>* records);

}  // namespace perdure::capture
