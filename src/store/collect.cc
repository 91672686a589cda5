// Store: dropping epochs, and what it all takes.
#include <utility>

#include "store/store_impl.h"

namespace perdure::store {

Result<CollectReport> Store::drop(const std::vector<Epoch>& epochs) {
  if (!impl_->core) return Error(Code::kInvalid, "this store was opened for reading");
  return impl_->core->drop(epochs);
}

Result<CollectReport> Store::retain(const Retention& policy) {
  if (!impl_->core) return Error(Code::kInvalid, "this store was opened for reading");
  return impl_->core->retain(policy);
}

Result<SpaceReport> Store::space() const {
  SpaceReport report;
  const SegmentSet files(impl_->device, impl_->segments()->store_id());
  for (const std::string& file_name : PD_TRY(impl_->device->list())) {
    const uint32_t number = segment_number(file_name);
    if (number == 0) continue;
    const auto file = files.open(number);
    if (!file.ok()) continue;  // deleted beside us
    ++report.segments;
    report.allocated_bytes += PD_TRY((*file)->size());
  }
  return report;
}

}  // namespace perdure::store
