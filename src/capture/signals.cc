#include "capture/signals.h"

#include <sys/syscall.h>

#include <csignal>

#include "capture/answer.h"
#include "kernel/abi/signal.h"

namespace perdure::capture {

using kernel::abi::SigAction;
using kernel::abi::signal_bit;

ActionQuery ActionQuery::add(const kernel::proc::TaskStatus& status, kernel::Batch* batch) {
  ActionQuery query;
  // SIGCHLD keeps its SA_NOCLDWAIT and SA_NOCLDSTOP under SIG_DFL too (sigaction(2)), which status
  // does not show.
  const uint64_t asked = status.caught | status.ignored | signal_bit(SIGCHLD);
  for (int signal = 1; signal <= kernel::abi::kSignals; ++signal) {
    if ((asked & signal_bit(signal)) == 0) continue;
    const RemoteAddr answer = batch->out(sizeof(SigAction));
    const size_t call =
        batch->call(SYS_rt_sigaction, {signal, 0, answer, kernel::abi::kSigsetSize});
    query.asked_.push_back({signal, call, answer});
  }
  return query;
}

Status ActionQuery::decode(const kernel::Batch& batch, object::Process* record) const {
  for (const Asked& asked : asked_) {
    PD_TRY(answer_of(batch, asked.call, "read the signal actions"));
    const auto action = batch.value<SigAction>(asked.answer);
    if (action.handler == 0 && action.flags == 0) continue;
    object::SignalAction* out = record->add_actions();
    out->set_signal(static_cast<uint32_t>(asked.signal));
    out->set_handler(action.handler);
    out->set_flags(action.flags);
    out->set_restorer(action.restorer);
    out->set_mask(action.mask);
  }
  return {};
}

Status put_pending(std::span<const SigInfo> queue,
                   google::protobuf::RepeatedPtrField<object::PendingSignal>* records) {
  if (queue.size() > kPendingSignalsMax) {
    return Error(Code::kLimit, "more than " + std::to_string(kPendingSignalsMax) +
                                   " pending signals cannot be saved")
        .with_remedy("try again when the program has taken some");
  }
  for (const SigInfo& info : queue) records->Add()->set_siginfo(info.data(), info.size());
  return {};
}

}  // namespace perdure::capture
