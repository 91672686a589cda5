// EpochReader: one epoch, read at random. Holds the segment files that it needs open, so that it
// stays readable whatever happens to the store. Every byte that it hands out has passed its
// checksum; damage is Code::kCorrupt with file and offset.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "store/epoch_writer.h"
#include "store/page_map.h"

namespace perdure::store {

class SegmentSet;
struct EpochState;

struct ObjectSummary {
  ObjectId object;
  uint32_t kind = 0;
  uint32_t record_bytes = 0;  // 0 and kind 0: pages without a record
  uint64_t pages = 0;
};

class EpochReader {
 public:
  EpochReader(EpochInfo info, std::shared_ptr<const EpochState> state,
              std::shared_ptr<SegmentSet> segments);
  ~EpochReader();

  const EpochInfo& info() const { return info_; }
  std::vector<ObjectSummary> objects() const;

  // By ascending id. The bytes are valid during the callback.
  using RecordCallback = std::function<Status(ObjectId, uint32_t kind, Bytes)>;
  Status for_each_record(const RecordCallback& callback) const;
  Result<std::string> record(ObjectId object) const;

  // The stored pages of an object, ascending; what lies between is zeros.
  std::vector<PageExtent> extents(ObjectId memory) const;
  std::vector<PageExtent> extents(ObjectId memory, uint64_t first_page, uint64_t count) const;

  // Reads one extent (of extents(), or a part of one): out is extent.count pages.
  Status read_pages(const PageExtent& extent, MutableBytes out) const;
  // Reads a range of an object, zeros where nothing is stored.
  Status read_range(ObjectId memory, uint64_t first_page, MutableBytes out) const;

  // The same for bytes that are needed once, into page-aligned memory: what is not in the page
  // cache is not brought there, if direct_fd() was called for its segment.
  Status stream_range(ObjectId memory, uint64_t first_page, MutableBytes out) const;
  // Whether stream_range() reads an extent so: to have it read ahead would be in vain.
  static bool is_streamed(const PageExtent& extent);

  // Reads and checks these extents without handing the bytes out.
  Status verify_extents(std::span<const PageExtent> extents) const;
  // Checks bytes that were read from the segment file by other means (pread at
  // location.byte_offset()).
  Status verify_pages(const PageExtent& extent, Bytes pages) const;
  // Of whole pages in memory, by stored checksums: calls with the runs that are not as this epoch
  // has them, ascending. What it does not have counts as changed, zeros too.
  using ChangeCallback = std::function<Status(uint64_t first_page, Bytes)>;
  Status for_each_change(ObjectId memory, uint64_t first_page, Bytes pages,
                         const ChangeCallback& callback) const;

  // Has these pages read from the disk into the page cache, without waiting; a hint.
  void read_ahead(std::vector<PageExtent> extents) const;

  // A descriptor (buffered, read-only) of a segment that this epoch refers to; borrowed, valid as
  // long as this reader.
  Result<int> segment_fd(uint32_t segment) const;
  // Opens another one, for stream_range(); -1 if the file system has none.
  Result<int> direct_fd(uint32_t segment) const;

 private:
  using ReadExtent = Status (*)(const SegmentSet&, const PageExtent&, MutableBytes);
  Status read_range_by(ReadExtent read, ObjectId memory, uint64_t first_page,
                       MutableBytes out) const;

  EpochInfo info_;
  std::shared_ptr<const EpochState> state_;
  std::shared_ptr<SegmentSet> segments_;
};

}  // namespace perdure::store
