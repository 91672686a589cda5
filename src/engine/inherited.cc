#include "engine/inherited.h"

#include <utility>

#include "base/limits.h"

namespace perdure::engine {

Inherited::Inherited(std::shared_ptr<const store::EpochReader> epoch, ObjectId space)
    : epoch_(std::move(epoch)), space_(space) {
  for (const store::PageExtent& extent : epoch_->extents(space_))
    pages_.add({extent.first_page, extent.count});
}

Status Inherited::pass_on(uint64_t first_page, Bytes bytes, const memory::PageSink& sink) {
  const memory::PageRun all{first_page, bytes.size() >> kPageShift};
  const auto pass = [&](uint64_t first, Bytes part) -> Status {
    passed_.add({first, part.size() >> kPageShift});
    return sink(first, part);
  };
  const auto part_of = [&](uint64_t first, uint64_t end) {
    return bytes.subspan((first - first_page) << kPageShift, (end - first) << kPageShift);
  };
  uint64_t at = first_page;
  memory::PageSet wanted;
  wanted.add(all);
  for (const memory::PageRun& run : wanted.intersected(pages_).runs()) {
    if (run.first > at) PD_TRY(pass(at, part_of(at, run.first)));
    PD_TRY(epoch_->for_each_change(space_, run.first, part_of(run.first, run.end()), pass));
    at = run.end();
  }
  if (at < all.end()) PD_TRY(pass(at, part_of(at, all.end())));
  return {};
}

void Inherited::end_pass() { pages_ = pages_.without(std::exchange(passed_, {})); }

}  // namespace perdure::engine
