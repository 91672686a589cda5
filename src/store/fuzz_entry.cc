#include "store/fuzz_entry.h"

#include <algorithm>

#include "base/checksum.h"
#include "store/catalog.h"
#include "store/page_read.h"
#include "store/recovery.h"
#include "store/sim_device.h"
#include "store/store.h"

namespace perdure::store {
namespace {

constexpr uint64_t kStoreId = 7;

template <typename T>
void ignore(const Result<T>& result) {
  (void)result;
}

void decode_raw(uint8_t which, Bytes input) {
  const FramePlace place{1, kFirstFrameBlock};
  FrameHeader header{};
  header.kind = static_cast<uint16_t>(FrameKind::kPages);
  header.place = place;
  header.pages = input.empty() ? 1 : 1 + input[0] % kFramePagesMax;
  header.flags = which % 2;
  header.stored_bytes = static_cast<uint32_t>(input.size());
  EpochState state;
  switch (which % 6) {
    case 0:
      return ignore(decode_frame_header(input, place, kStoreId, "fuzz"));
    case 1:
      return ignore(decode_page_table(header, input, "fuzz"));
    case 2:
      return ignore(decode_index(input, place, state));
    case 3:
      return ignore(decode_commit(input));
    case 4:
      return ignore(decode_catalog(input));
    default:
      return ignore(decode_metadata(input));
  }
}

// Appends a frame: kind and flags from the input, everything that a checksum covers made valid.
void append_frame(std::vector<uint8_t>& segment, uint8_t kind, uint8_t flags, Bytes payload) {
  const std::vector<uint8_t> zeros(kPageSize);
  std::vector<uint8_t> table((1 + flags / 2) * sizeof(uint64_t));
  for (size_t at = 0; at < table.size(); at += sizeof(uint64_t)) {
    store_le(table.data() + at, checksum(zeros));
  }
  FrameHeader header{};
  header.magic = kFrameMagic;
  header.kind = static_cast<uint16_t>(1 + kind % 4);
  header.flags = flags % 2;
  header.place = {1, static_cast<uint32_t>(segment.size() / kBlockSize)};
  header.store_id = kStoreId;
  if (header.kind == static_cast<uint16_t>(FrameKind::kPages)) {
    header.pages = 1 + flags / 2;
    if (payload.empty()) payload = table;
  }
  header.stored_bytes = header.raw_bytes = static_cast<uint32_t>(payload.size());
  if (header.flags != 0) header.raw_bytes = static_cast<uint32_t>(payload.size() * flags);
  header.blocks = header.pages != 0
                      ? 1 + header.pages
                      : static_cast<uint32_t>(blocks_of(sizeof(header) + payload.size()));
  header.payload_checksum = checksum(payload);
  const size_t at = segment.size();
  segment.resize(at + header.blocks * kBlockSize);
  encode_frame_header(header, segment.data() + at);
  std::copy_n(payload.begin(),
              std::min<size_t>(payload.size(), segment.size() - at - sizeof(header)),
              segment.begin() + static_cast<ptrdiff_t>(at + sizeof(header)));
}

std::vector<uint8_t> segment_of(Bytes input) {
  std::vector<uint8_t> segment(kFirstFrameBlock * kBlockSize);
  SegmentHeader header{};
  header.magic = kSegmentMagic;
  header.version = kFormatVersion;
  header.number = 1;
  header.store_id = kStoreId;
  header.checksum = checksum(bytes_of(header).first(offsetof(SegmentHeader, checksum)));
  store_le(segment.data(), header);
  while (input.size() >= 4 && segment.size() < (1u << 20)) {
    const size_t size = std::min<size_t>(load_le<uint16_t>(input.data() + 2), input.size() - 4);
    append_frame(segment, input[0], input[1], input.subspan(4, size));
    input = input.subspan(4 + size);
  }
  return segment;
}

// Everything that a reader can do with a store.
void read_all(const Store& store) {
  for (const EpochInfo& info : store.epochs()) {
    const auto reader = store.read_epoch(info.epoch);
    if (!reader.ok()) continue;
    ignore((*reader)->for_each_record([](ObjectId, uint32_t, Bytes) -> Status { return Ok{}; }));
    for (const ObjectSummary& object : (*reader)->objects()) {
      const std::vector<PageExtent> extents = (*reader)->extents(object.object);
      ignore((*reader)->verify_extents(extents));
    }
  }
  ignore(store.scrub({}));
}

void use_segment(Bytes input, Access access) {
  Options options;
  options.device = fuzz_device(input);
  options.access = access;
  options.writing = Writing::kInline;
  options.segment_bytes = 256 << 10;
  const auto store = Store::open(options);
  if (!store.ok()) return;
  read_all(**store);
  if (access == Access::kWrite) {
    ignore((*store)->begin_epoch());
    ignore((*store)->retain({1, {}}));
  }
}

}  // namespace

std::shared_ptr<Device> fuzz_device(Bytes input) {
  const auto disk = SimDisk::create(1);
  ignore(disk->device()->open(segment_name(1), FileMode::kCreate));
  disk->content(segment_name(1)) = segment_of(input);
  return disk->device();
}

void fuzz_store(Bytes input) {
  if (input.empty()) return;
  const uint8_t which = input[0];
  if (which < 128) return decode_raw(which, input.subspan(1));
  use_segment(input.subspan(1), which % 2 == 0 ? Access::kRead : Access::kWrite);
}

}  // namespace perdure::store
