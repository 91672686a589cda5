// KnownSpace: the mappings of a process as they were captured last. The kernel counts who takes an
// address space's lock for writing (mm_struct.mm_lock_seq, include/linux/mmap_lock.h), and nobody
// changes, makes or removes a mapping without it; so as long as the count stands still, maps(5)
// need not be read. Names of mapped files, which change without the lock, are looked at before each
// stop (MappedFiles::look_again).
#pragma once

#include <cstdint>
#include <vector>

#include "capture/mapped_files.h"
#include "capture/vmas.h"
#include "kernel/task_images.h"

namespace perdure::capture {

class KnownSpace {
 public:
  // look: of before the mappings were read. Nothing is kept if some file would have to be looked at
  // in each stop.
  void keep(const kernel::TaskLook& look, const VmaCapture& capture, const MappedFiles& files,
            uint64_t now_ns);
  // Whether they are the same; then the records of their files are in `files`.
  bool holds(const kernel::TaskLook& look, uint64_t now_ns, MappedFiles* files) const;
  void forget() { kept_ = lent_ = false; }

  // After holds(). The record is lent: nothing holds until it is given back.
  void lend(object::AddressSpace* record);
  void take_back(object::AddressSpace* record);
  const std::vector<memory::Area>& private_areas() const { return private_areas_; }
  // Of the record that is kept; no other has had it. 0: none is.
  uint64_t version() const { return kept_ ? version_ : 0; }

 private:
  bool kept_ = false, lent_ = false;
  uint64_t space_at_ = 0;
  uint32_t changes_ = 0;
  uint64_t kept_ns_ = 0, version_ = 0;
  std::vector<uint8_t> layout_;
  object::AddressSpace space_;
  std::vector<memory::Area> private_areas_;
  std::vector<kernel::proc::MapsEntry> files_;  // one mapping of each
};

}  // namespace perdure::capture
