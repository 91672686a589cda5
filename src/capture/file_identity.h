// FileIdentity: how a file on disk is recognised at restore, read from an open descriptor or a
// path.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "base/result.h"
#include "object/file.pb.h"

namespace perdure::capture {

// Files up to this size carry a checksum: 1 MiB is read and hashed in about 0.2 ms.
inline constexpr uint64_t kChecksumBytesMax = 1u << 20;

// Checksums by (device, inode), valid while size, mtime and ctime are the same. A file changed in
// the second before it was read is not kept: a later change could carry the same times.
class ChecksumCache {
 public:
  const uint64_t* find(const struct stat& file) const;
  void keep(const struct stat& file, uint64_t checksum, int64_t now_ns);

 private:
  struct Entry {
    int64_t size = 0;
    int64_t mtime_ns = 0;
    int64_t ctime_ns = 0;
    uint64_t checksum = 0;
  };
  std::map<std::pair<uint64_t, uint64_t>, Entry> entries_;
};

// Everything but checksum and build id.
object::FileIdentity identity_of(const struct stat& file, const std::string& path);

// The checksum of a file's content (never 0), or 0 if it is larger than kChecksumBytesMax.
// proc_path: any path that open(2) follows to the file, such as /proc/PID/fd/N. cache may be null.
Result<uint64_t> checksum_of_file(const std::string& proc_path, const struct stat& file,
                                  ChecksumCache* cache);

}  // namespace perdure::capture
