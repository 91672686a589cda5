// KnownFiles: regular files that were found by images of their descriptors (kernel/file_images.h),
// from one capture to the next. A record still holds if the description and the inode's ctime are
// as they were, and the path of its folder leads to the same folder: on the file systems that are
// believed, writing, truncating, renaming, removing, linking and replacing a file, and changing its
// owner or mode, changes its ctime. So in a stop an open file costs a comparison, not a look at its
// path; only the position may be another one. A mount on the file itself is not seen: the record
// then names the path that it hides, and a restore refuses what it finds there.
//
// A ctime is believed once it is a second older than the look at the file. Until then a second
// change might have the same, as the kernel's clock ticks, or a write that it is of might last.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "capture/path_look.h"
#include "kernel/file_images.h"
#include "object/file.pb.h"

namespace perdure::capture {

class KnownFiles {
 public:
  static constexpr int64_t kBelievedAfterNs = 1'000'000'000;
  explicit KnownFiles(int64_t believed_after_ns = kBelievedAfterNs)
      : believed_after_ns_(believed_after_ns) {}
  class File {
   public:
    const std::string& key() const { return key_; }  // of its id
    uint64_t version() const { return version_; }    // as object::Graph::versions has it

   private:
    friend class KnownFiles;
    std::string link_;      // what /proc/PID/fd/N said
    uint64_t capture_ = 0;  // that met it last
    // The rest is of one that is kept.
    enum class Record : uint8_t { kNone, kHere, kLent } state_ = Record::kNone;
    kernel::FileImage image_;
    pid_t holder_ = 0;
    std::string key_, folder_;
    dev_t folder_device_ = 0;
    ino_t folder_inode_ = 0;
    object::OpenFile record_;
    uint64_t version_ = 0;
  };

  // A capture, from begin() to end(): the group is stopped. now_ns: CLOCK_REALTIME, before anything
  // is looked at.
  void begin(int64_t now_ns);
  // What the last capture noted under kernel::FileImage::file; null: nothing.
  const std::string* link_of(uint64_t file) const;
  // A file whose record, but for its position, holds. Null: it must be looked at.
  File* find(const kernel::FileImage& image, pid_t holder, PathLook* paths);
  // Its record as it is now. Lent: it is known again when it was taken back.
  object::OpenFile lend(File* file, ObjectId id, uint64_t position);
  // A file that was looked at in this capture.
  void note(uint64_t file, const std::string& link);
  // The same of one that `holder` has: its record will be taken back, and may hold. Null: it
  // cannot.
  File* keep(const kernel::FileImage& image, pid_t holder, ObjectId id, std::string key,
             PathLook* paths);
  // What this capture did not meet is forgotten.
  void end();
  void forget() { files_.clear(); }

  // After it: the records of what was lent or kept.
  void take_back(std::map<ObjectId, object::OpenFile>* records);

 private:
  int64_t believed_after_ns_;
  std::unordered_map<uint64_t, File> files_;
  std::vector<std::pair<ObjectId, uint64_t>> lent_;  // in files_
  uint64_t capture_ = 0;
  size_t met_ = 0;
  int64_t now_ns_ = 0;
};

}  // namespace perdure::capture
