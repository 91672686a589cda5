// WriterCore: filling an epoch. Everything goes to the log as it comes; the delta says what it
// means.
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "store/writer_core.h"

namespace perdure::store {
namespace {

// Records gather in one frame up to here.
constexpr size_t kRecordsFrameBytes = 256u << 10;
// What a window may take beyond what waits for the disk.
constexpr uint64_t kParkedBytesMax = 256u << 20;

Status check_range(ObjectId object, uint64_t first_page, uint64_t count) {
  if (object.value == 0) return Error(Code::kInvalid, "object id 0 cannot be stored");
  if (first_page >= kPagesEnd || count > kPagesEnd - first_page) {
    return Error(Code::kInvalid, "page " + std::to_string(first_page) + " of object " +
                                     std::to_string(object.value) + " is out of range");
  }
  return Ok{};
}

// Length of the run of zero pages (or of others) at the front.
size_t run_of_pages(Bytes pages, bool zero) {
  size_t count = 0;
  while ((count + 1) * kPageSize <= pages.size() &&
         all_zero(pages.subspan(count * kPageSize, kPageSize)) == zero) {
    ++count;
  }
  return count;
}

}  // namespace

Status WriterCore::put_record(ObjectId object, uint32_t kind, Bytes record) {
  PD_ASSERT(filling());
  PD_TRY(check_range(object, 0, 0));
  if (record.size() > kRecordBytesMax) {
    return Error(Code::kLimit,
                 "the record of object " + std::to_string(object.value) + " is larger than 64 MiB");
  }
  if (records_.size() + record.size() > kRecordsFrameBytes) PD_TRY(seal_records());
  records_.resize(aligned8(records_.size()));
  ObjectDelta& change = delta_.objects[object];
  change.has_record = true;
  change.kind = kind;
  change.record = {
      {}, static_cast<uint32_t>(records_.size()), static_cast<uint32_t>(record.size())};
  records_.insert(records_.end(), record.begin(), record.end());
  records_of_.push_back(object);
  ++records_changed_;
  return Ok{};
}

Status WriterCore::erase_object(ObjectId object) {
  PD_ASSERT(filling());
  PD_TRY(check_range(object, 0, 0));
  ObjectDelta& change = delta_.objects[object];
  change = {};
  change.forget = true;
  ++records_changed_;
  return Ok{};
}

Status WriterCore::store_run(ObjectDelta& change, uint64_t first_page, Bytes pages) {
  pages_changed_ += pages.size() / kPageSize;
  while (!pages.empty()) {
    const LogWriter::Placed placed = PD_TRY(log_.append_pages(epoch_, pages));
    change.pages.assign({first_page, placed.count, placed.location});
    first_page += placed.count;
    pages = pages.subspan(placed.count * kPageSize);
  }
  return Ok{};
}

Status WriterCore::put_pages(ObjectId memory, uint64_t first_page, Bytes data, Zeros zeros) {
  PD_ASSERT(filling());
  PD_TRY(check_range(memory, first_page, data.size() / kPageSize));
  if (data.size() % kPageSize != 0) return Error(Code::kInvalid, "pages are stored whole");
  if (parking_.is_open()) return park_pages(memory, first_page, data, zeros);
  return store_pages(memory, first_page, data, zeros);
}

Status WriterCore::store_pages(ObjectId memory, uint64_t first_page, Bytes data, Zeros zeros) {
  ObjectDelta& change = delta_.objects[memory];
  if (zeros == Zeros::kStored) return store_run(change, first_page, data);
  while (!data.empty()) {
    if (const size_t absent = run_of_pages(data, true); absent != 0) {
      erase_range(change, first_page, absent);
      first_page += absent;
      data = data.subspan(absent * kPageSize);
    }
    const size_t pages = run_of_pages(data, false);
    PD_TRY(store_run(change, first_page, data.first(pages * kPageSize)));
    first_page += pages;
    data = data.subspan(pages * kPageSize);
  }
  return Ok{};
}

void WriterCore::erase_range(ObjectDelta& change, uint64_t first_page, uint64_t count) {
  if (!change.pages.empty()) change.pages.erase(first_page, count);
  // An epoch that begins with nothing has nothing to erase but its own.
  if (!from_empty_ && !change.forget) change.erased.add(first_page, count);
}

Status WriterCore::erase_pages(ObjectId memory, uint64_t first_page, uint64_t count) {
  PD_ASSERT(filling());
  PD_TRY(check_range(memory, first_page, count));
  if (count == 0) return Ok{};
  if (parking_.is_open()) {
    parking_.add({Parking::What::kErase, {}, memory, first_page, count, nullptr, {}, 0});
  } else {
    erase_range(delta_.objects[memory], first_page, count);
  }
  return Ok{};
}

// What a range of an object is in this epoch so far.
PageMap WriterCore::pages_now(ObjectId memory, uint64_t first_page, uint64_t count) const {
  const uint64_t end = first_page + count;
  PageMap pages;
  const auto change = delta_.objects.find(memory);
  const bool changed = change != delta_.objects.end();
  const auto base = state_.objects.find(memory);
  if (!from_empty_ && base != state_.objects.end() && !(changed && change->second.forget)) {
    for (const PageExtent& extent : base->second.pages.extents(first_page, end))
      pages.assign(extent);
  }
  if (!changed) return pages;
  for (const auto& [from, to] : change->second.erased.ranges()) pages.erase(from, to - from);
  for (const PageExtent& extent : change->second.pages.extents(first_page, end))
    pages.assign(extent);
  return pages;
}

Status WriterCore::share_pages(ObjectId memory, uint64_t first_page, uint64_t count,
                               ObjectId source, uint64_t source_first_page) {
  PD_ASSERT(filling());
  PD_TRY(check_range(memory, first_page, count));
  PD_TRY(check_range(source, source_first_page, count));
  if (count == 0) return Ok{};
  if (parking_.is_open()) {
    parking_.add(
        {Parking::What::kShare, {}, memory, first_page, count, nullptr, source, source_first_page});
  } else {
    store_share(memory, first_page, count, source, source_first_page);
  }
  return Ok{};
}

void WriterCore::store_share(ObjectId memory, uint64_t first_page, uint64_t count, ObjectId source,
                             uint64_t source_first_page) {
  const PageMap pages = pages_now(source, source_first_page, count);
  ObjectDelta& change = delta_.objects[memory];
  erase_range(change, first_page, count);
  for (PageExtent extent : pages.extents()) {
    extent.first_page = extent.first_page - source_first_page + first_page;
    change.pages.assign(extent);
  }
}

Result<MutableBytes> WriterCore::page_buffer() {
  PD_ASSERT(filling());
  if (parking_.is_open()) return parking_.room();
  return log_.page_buffer(epoch_);
}

// --- the window

Status WriterCore::make_room(uint64_t bytes) {
  PD_ASSERT(filling() && !parking_.is_open());
  const uint64_t front = PD_TRY(log_.page_buffer(epoch_)).size();
  PD_TRY(log_.make_room(epoch_, bytes));
  parking_.make_room(std::min(bytes - std::min(bytes, front), kParkedBytesMax));
  return Ok{};
}

void WriterCore::enter_window() {
  PD_ASSERT(filling());
  parking_.open(log_.room_in_frame());
}

Status WriterCore::leave_window() {
  PD_ASSERT(filling() && parking_.is_open());
  return do_parked();
}

Status WriterCore::park_pages(ObjectId memory, uint64_t first_page, Bytes data, Zeros zeros) {
  parking_.put(memory, first_page, data, zeros);
  if (parking_.bytes() < kParkedBytesMax) return Ok{};
  PD_TRY(do_parked());
  parking_.open(log_.room_in_frame());
  return Ok{};
}

Status WriterCore::do_parked() {
  Status status;
  for (const Parking::Order& order : parking_.orders()) {
    status = do_parked(order);
    if (!status.ok()) break;
  }
  parking_.clear();
  return status;
}

Status WriterCore::do_parked(const Parking::Order& order) {
  switch (order.what) {
    case Parking::What::kPut: {
      AlignedBuffer* const begun = parking_.buffer_begun_by(order.bytes);
      if (begun != nullptr) (void)log_.adopt(begun);
      return store_pages(order.object, order.first_page,
                         Bytes(order.bytes, order.count * kPageSize), order.zeros);
    }
    case Parking::What::kErase:
      erase_range(delta_.objects[order.object], order.first_page, order.count);
      break;
    case Parking::What::kShare:
      store_share(order.object, order.first_page, order.count, order.source,
                  order.source_first_page);
  }
  return Ok{};
}

}  // namespace perdure::store
