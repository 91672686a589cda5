#include "restore/site.h"

#include "restore/task.h"

namespace perdure::restore {

std::string Skeleton::name() const {
  return node->transient() ? "a transient process" : name_of(process());
}

Status CallStream::reserve(size_t calls, size_t data) {
  PD_ASSERT(calls <= kernel::BatchArea::kCallsMax && data <= kernel::Batch::kDataBytesMax);
  // in() and out() align to 16 bytes.
  const size_t wanted = data + 16 * calls;
  if (batch_.size() + calls > kernel::BatchArea::kCallsMax ||
      data_used_ + wanted > kernel::Batch::kDataBytesMax) {
    PD_TRY(flush());
  }
  data_used_ += wanted;
  return {};
}

Status CallStream::add(std::string_view what, long number, std::array<kernel::Arg, 6> args) {
  PD_TRY(reserve(1, 0));
  calls_.add(what, number, args);
  return {};
}

Status CallStream::flush() {
  if (!batch_.empty()) {
    PD_TRY_WITHIN("restore " + who_, site_.area.run(tracee_, &batch_));
    PD_TRY(calls_.check());
  }
  batch_ = site_.area.batch();
  calls_ = RemoteCalls(&batch_, who_);
  data_used_ = 0;
  return {};
}

Status run_calls(const Site& site, kernel::Tracee* tracee, const std::string& who,
                 const std::function<void(RemoteCalls*)>& step) {
  kernel::Batch batch = site.area.batch();
  RemoteCalls calls(&batch, who);
  step(&calls);
  if (batch.empty()) return {};
  PD_TRY_WITHIN("restore " + who, site.area.run(tracee, &batch));
  return calls.check();
}

}  // namespace perdure::restore
