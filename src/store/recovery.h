// Recovery: finds the epochs of a store from nothing but its segment files, whatever the last crash
// did to them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "store/catalog.h"
#include "store/device.h"
#include "store/frame.h"

namespace perdure::store {

struct Recovered {
  uint64_t store_id = 0;  // 0: an empty directory, or one in which creating a store was interrupted
  Catalog catalog;        // the last one of the log, and the commits behind it
  FramePlace catalog_place;
  uint64_t commits_since_catalog = 0;
  uint64_t bytes_since_catalog = 0;

  FramePlace end;      // behind the last frame
  bool clean = false;  // closed cleanly: the log may go on at end
  uint64_t anchor_sequence = 0;

  std::vector<std::string> warnings;  // damage that recovery went around

  std::vector<uint32_t> segments;   // all that exist, ascending
  std::vector<uint32_t> unwritten;  // those among them that hold nothing: created, then the crash
  uint64_t allocated_bytes = 0;
  std::shared_ptr<SegmentSet> files;
};

// A writer looks behind damaged frames for later ones; a reader does not, because it may see one
// that is being written.
enum class Thoroughness : uint8_t { kReader, kWriter };

Result<Recovered> recover(const std::shared_ptr<Device>& device, Thoroughness thoroughness);

// Whether a frame is exactly the one that a commit names, down to the last page.
Status verify_frame(const SegmentSet& segments, const VerifyEntry& entry);

}  // namespace perdure::store
