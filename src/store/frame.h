// Frames: the checks that every byte from the disk passes before anything believes it, and the
// segment files to read from. SegmentSet may be used by several threads; files that it has opened
// stay readable after the store deletes them.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "store/device.h"
#include "store/format.h"

namespace perdure::store {

std::string segment_name(uint32_t number);
// 0 if the name is not that of a segment.
uint32_t segment_number(const std::string& name);

// "segment-00000001 at byte 16384".
std::string place_name(FramePlace place);
Error corrupt(const std::string& file, uint64_t offset, const std::string& what);

// The header of a frame at `place`, from its first bytes (at least 64). Checks everything but the
// payload.
Result<FrameHeader> decode_frame_header(Bytes bytes, FramePlace place, uint64_t store_id,
                                        const std::string& file);
// Fills in the checksum.
void encode_frame_header(FrameHeader header, uint8_t* out);

// The payload as it was before compression. stored is header.stored_bytes long.
Result<std::vector<uint8_t>> decode_payload(const FrameHeader& header, Bytes stored,
                                            const std::string& file);

struct Frame {
  FrameHeader header;
  std::vector<uint8_t> payload;  // decompressed
};

// The table of a frame of pages.
struct PageTable {
  FrameHeader header;
  std::vector<uint64_t> checksums;
  std::vector<uint32_t> unit_bytes;  // compressed frames only
};
Result<PageTable> decode_page_table(const FrameHeader& header, Bytes payload,
                                    const std::string& file);

class SegmentSet {
 public:
  // kSome: so many files at most are kept open (a large store has more segments than a process may
  // have descriptors). kAll: what was opened stays readable when the store deletes it.
  enum class Keep : uint8_t { kSome, kAll };
  static constexpr size_t kFilesMax = 64;
  SegmentSet(std::shared_ptr<Device> device, uint64_t store_id, Keep keep = Keep::kSome)
      : device_(std::move(device)), store_id_(store_id), keep_(keep) {}

  Result<std::shared_ptr<File>> open(uint32_t segment) const;
  // Metadata, commit or catalog; kind is what it must be.
  Result<Frame> read_frame(FramePlace place, FrameKind kind) const;
  // A metadata or a commit frame.
  Result<Frame> read_metadata(FramePlace place) const;
  // Remembered, because scattered pages of one frame are read one by one.
  Result<std::shared_ptr<const PageTable>> read_page_table(FramePlace place) const;
  // The same of the frame's first block, which was read already.
  Result<std::shared_ptr<const PageTable>> take_page_table(FramePlace place, Bytes block) const;
  // Null if it has not been read yet.
  std::shared_ptr<const PageTable> known_page_table(FramePlace place) const;
  // Forgets files that are not among these, so that their space is given back.
  void keep_only(const std::vector<uint32_t>& segments);
  void forget(uint32_t segment);

  uint64_t store_id() const { return store_id_; }

 private:
  Result<Frame> read_any(FramePlace place) const;

  std::shared_ptr<Device> device_;
  uint64_t store_id_;
  Keep keep_;
  mutable std::mutex mutex_;
  mutable std::map<uint32_t, std::shared_ptr<File>> files_;                // under mutex_
  mutable std::map<FramePlace, std::shared_ptr<const PageTable>> tables_;  // under mutex_
};

}  // namespace perdure::store
