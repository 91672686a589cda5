#include "daemon/copy_epoch.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "base/limits.h"

namespace perdure::daemon {
namespace {

using store::EpochReader;
using store::EpochWriter;
using store::PageExtent;

constexpr uint64_t kPagesAtOnce = 256;

class PageCopy {
 public:
  PageCopy(const EpochReader& from, EpochWriter& to) : from_(from), to_(to) {}

  Status copy(ObjectId memory) {
    for (const PageExtent& extent : from_.extents(memory)) {
      for (uint64_t first = extent.first_page; first < extent.end(); first += kPagesAtOnce) {
        uint64_t end = std::min(extent.end(), first + kPagesAtOnce);
        PD_TRY(copy_part(memory, extent.clipped(first, end)));
      }
    }
    return Ok{};
  }

 private:
  // Where in the log a run of pages lies; runs that several objects share begin and end alike.
  using Place = std::pair<std::pair<uint32_t, uint32_t>, std::pair<uint32_t, uint32_t>>;
  static Place place_of(const PageExtent& extent) {
    return {{extent.location.segment, extent.location.block}, {extent.location.slot, extent.count}};
  }

  Status copy_part(ObjectId memory, const PageExtent& extent) {
    auto [at, first_time] = copied_.try_emplace(place_of(extent), memory, extent.first_page);
    if (!first_time) {
      const auto& [source, page] = at->second;
      return to_.share_pages(memory, extent.first_page, extent.count, source, page);
    }
    bytes_.resize(extent.count * kPageSize);
    PD_TRY(from_.read_pages(extent, bytes_));
    // What is stored is stored for a reason, zeros too.
    return to_.put_pages(memory, extent.first_page, bytes_, store::Zeros::kStored);
  }

  const EpochReader& from_;
  EpochWriter& to_;
  std::map<Place, std::pair<ObjectId, uint64_t>> copied_;
  std::vector<uint8_t> bytes_;
};

}  // namespace

Result<Epoch> copy_epoch(const std::string& source, Epoch epoch, store::Store& target) {
  store::Options options;
  options.directory = source;
  auto store = PD_TRY(store::Store::open(std::move(options)));
  if (epoch.value == 0) {
    auto newest = store->newest();
    if (!newest) return Error(Code::kNotFound, "there is no epoch in " + source);
    epoch = newest->epoch;
  }
  auto reader = PD_TRY(store->read_epoch(epoch));
  auto writer =
      PD_TRY(target.begin_epoch({.parent = Epoch(0), .contents = store::Contents::kEmpty}));
  PD_TRY(reader->for_each_record([&writer](ObjectId id, uint32_t kind, Bytes bytes) {
    return writer->put_record(id, kind, bytes);
  }));
  PageCopy pages(*reader, *writer);
  for (const store::ObjectSummary& object : reader->objects()) {
    if (object.pages > 0) PD_TRY(pages.copy(object.object));
  }
  store::EpochInfo copied =
      PD_TRY(writer->commit({reader->info().captured_realtime_ns, reader->info().note}));
  return copied.epoch;
}

}  // namespace perdure::daemon
