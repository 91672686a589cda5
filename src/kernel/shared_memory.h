// Files that hold memory: memfd, the file behind shared anonymous mappings, files without a name.
#pragma once

#include <cstdint>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace perdure::kernel {

// May be sealed.
Result<Fd> make_memfd(const std::string& name);
Status add_seals(int fd, uint32_t seals);
// The file of a fresh shared anonymous mapping of this size, as mmap(2) makes it: maps of it read
// "/dev/zero (deleted)".
Result<Fd> make_shared_anonymous(uint64_t size);
// O_TMPFILE in a folder, or a file made there and removed where the file system lacks that.
Result<Fd> make_unnamed_file(const std::string& folder);

}  // namespace perdure::kernel
