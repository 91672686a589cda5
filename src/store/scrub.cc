// Scrub: every checksum of every epoch, each stored byte once.
#include <bitset>
#include <map>
#include <utility>

#include "store/page_read.h"
#include "store/store_impl.h"
#include "store/usage.h"

namespace perdure::store {
namespace {

constexpr uint64_t kProgressEveryNs = 200'000'000;
constexpr int kAttempts = 5;

class Scrubber {
 public:
  Scrubber(std::shared_ptr<SegmentSet> segments, const Clock& clock,
           const std::function<void(const ScrubProgress&)>& progress)
      : segments_(std::move(segments)), clock_(clock), progress_(progress), walker_(segments_) {}

  // Damage is a value in the report; an error is something else (the disk).
  Result<ScrubReport> run(const Catalog& catalog) {
    now_.epochs_total = catalog.epochs.size();
    for (const EpochRecord& record : catalog.epochs) {
      const Status status = check_epoch(record);
      if (!status.ok()) {
        const Code code = status.error().code();
        if (code != Code::kCorrupt && code != Code::kNewer && code != Code::kIo)
          return status.error();
        report_.damage.push_back({record.info.epoch, status.error().message()});
      }
      ++now_.epochs_done;
      tell(false);
    }
    tell(true);
    report_.epochs = catalog.epochs.size();
    report_.bytes_checked = now_.bytes_checked;
    return report_;
  }

 private:
  using Slots = std::bitset<kFramePagesMax>;
  struct Checked {
    Slots good, bad;
  };

  void tell(bool last) {
    if (!progress_) return;
    const uint64_t time = clock_.monotonic_ns();
    if (!last && time - told_ns_ < kProgressEveryNs) return;
    told_ns_ = time;
    progress_(now_);
  }

  Status check_epoch(const EpochRecord& record) {
    const EpochState& state = *PD_TRY(walker_.read(record.commit));
    for (const auto& [object, entry] : state.objects) {
      if (entry.has_record) PD_TRY(check_records(entry.record));
      for (const PageExtent& extent : entry.pages.extents()) PD_TRY(check_extent(extent));
    }
    return Ok{};
  }

  Status check_records(const RecordPlace& place) {
    const auto known = record_frames_.find(place.frame);
    uint64_t size = known != record_frames_.end() ? known->second : 0;
    if (known == record_frames_.end()) {
      const Frame frame = PD_TRY(segments_->read_metadata(place.frame));
      size = frame.payload.size();
      now_.bytes_checked += size;
      record_frames_.emplace(place.frame, size);
    }
    if (uint64_t{place.offset} + place.length <= size) return Ok{};
    return corrupt(place_name(place.frame), place.offset,
                   "an index refers to a record behind its frame");
  }

  Status check_extent(const PageExtent& extent) {
    Checked& checked = page_frames_[{extent.location.segment, extent.location.block}];
    bool all_good = true, any_bad = false;
    for (uint32_t at = 0; at < extent.count; ++at) {
      all_good = all_good && checked.good[extent.location.slot + at];
      any_bad = any_bad || checked.bad[extent.location.slot + at];
    }
    if (all_good) return Ok{};
    if (!any_bad && read(extent).ok()) {
      for (uint32_t at = 0; at < extent.count; ++at) checked.good.set(extent.location.slot + at);
      return Ok{};
    }
    return check_each(extent, checked);
  }

  // Finds the damaged pages, so that epochs that need only the others are not blamed.
  Status check_each(const PageExtent& extent, Checked& checked) {
    std::optional<Error> first;
    for (uint32_t at = 0; at < extent.count; ++at) {
      const uint64_t page = extent.first_page + at;
      const Status status = read(extent.clipped(page, page + 1));
      if (status.ok()) {
        checked.good.set(extent.location.slot + at);
      } else {
        checked.bad.set(extent.location.slot + at);
        if (!first) first = status.error();
      }
    }
    if (first) return *first;
    return Ok{};
  }

  Status read(const PageExtent& extent) {
    buffer_.resize(extent.count * kPageSize);
    now_.bytes_checked += buffer_.size();
    tell(false);
    return read_extent(*segments_, extent, buffer_);
  }

  std::shared_ptr<SegmentSet> segments_;
  const Clock& clock_;
  const std::function<void(const ScrubProgress&)>& progress_;
  StateWalker walker_;
  std::map<FramePlace, uint64_t> record_frames_;
  std::map<FramePlace, Checked> page_frames_;
  std::vector<uint8_t> buffer_;
  ScrubProgress now_;
  ScrubReport report_;
  uint64_t told_ns_ = 0;
};

}  // namespace

// Who reads beside a writer finds epochs gone that were dropped since, and others in new places: of
// what looks damaged, those are forgotten, and these are checked there.
Result<ScrubReport> Store::scrub(const std::function<void(const ScrubProgress&)>& progress) const {
  const auto check = [&](const Catalog& catalog) {
    auto files = std::make_shared<SegmentSet>(impl_->device, impl_->segments()->store_id());
    return Scrubber(std::move(files), *impl_->clock, progress).run(catalog);
  };
  Catalog catalog = *PD_TRY(impl_->readable_catalog());
  ScrubReport report = PD_TRY(check(catalog));
  for (int attempt = 1; !impl_->core && !report.damage.empty() && attempt < kAttempts; ++attempt) {
    const Catalog now = PD_TRY(recover_for_reading(impl_->device)).catalog;
    Catalog moved;
    std::erase_if(report.damage, [&](const auto& damage) {
      const EpochRecord* const record = now.find(damage.epoch);
      if (record == nullptr) return true;
      if (record->commit == catalog.find(damage.epoch)->commit) return false;
      moved.epochs.push_back(*record);
      return true;
    });
    if (moved.epochs.empty()) break;
    const ScrubReport again = PD_TRY(check(moved));
    report.bytes_checked += again.bytes_checked;
    report.damage.insert(report.damage.end(), again.damage.begin(), again.damage.end());
    for (const EpochRecord& record : moved.epochs) *catalog.find(record.info.epoch) = record;
  }
  // Damage that recovery went around has cost epochs that are in no catalog any more.
  for (const std::string& warning : impl_->warnings) report.damage.push_back({Epoch(), warning});
  return report;
}

}  // namespace perdure::store
