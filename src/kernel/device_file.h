// Files as a log needs them: direct I/O where the file system has it, allocation ahead of writing,
// fdatasync, advisory locks, directories. Each wrapper settles EINTR and short transfers. Errors
// name the operation; callers add the path.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/result.h"

namespace perdure::kernel {

enum class OpenFor : uint8_t { kRead, kWrite, kCreate };
enum class Caching : uint8_t { kBuffered, kDirectIfPossible };

// Opens with O_CLOEXEC; kCreate makes a file of mode 0600 and fails if it exists. Where O_DIRECT is
// refused (tmpfs), buffered.
Result<Fd> open_disk_file(const std::string& path, OpenFor open_for, Caching caching);
// Opens for reading and writing, creating the file (0600) if there is none.
Result<Fd> open_lock_file(const std::string& path);

// Bytes read: less than out.size() only at the end of the file.
Result<size_t> read_file_at(const Fd& fd, uint64_t offset, MutableBytes out);
// Past the page cache, into two parts that follow each other in the file; all is aligned to blocks.
// False if the file system does not let us, or not all could be read.
bool read_file_directly(const Fd& fd, uint64_t offset, MutableBytes head, MutableBytes rest);
// The same file, opened once more for that; invalid where O_DIRECT is refused.
Fd reopen_directly(const Fd& fd);
// Whether half of a range or more is in the page cache (cachestat(2), Linux 6.5), or may be.
bool is_mostly_cached(const Fd& fd, uint64_t offset, uint64_t size);
Status write_file_at(const Fd& fd, uint64_t offset, Bytes data);
// Hands a buffered range to the disk without waiting (sync_file_range(2)); a hint, so it cannot
// fail.
void start_writing(const Fd& fd, uint64_t offset, uint64_t size);
// Has a range read into the page cache without waiting (posix_fadvise(2)); a hint, too.
void start_reading(int fd, uint64_t offset, uint64_t size);
// Lets this process open so many files more, where its limits can be raised.
void allow_descriptors(uint64_t more);
// Makes the file this large with its space reserved (fallocate), or only this large where reserving
// is not supported.
Status allocate_file(const Fd& fd, uint64_t size);
Status truncate_file(const Fd& fd, uint64_t size);
Status sync_file_data(const Fd& fd);
Result<uint64_t> file_size(const Fd& fd);

// True if the lock was taken; false if another open file holds it. It goes when the last duplicate
// of fd is closed.
Result<bool> try_lock_exclusive(const Fd& fd);

// One directory (mode 0700), not its parents. True if it was made, false if it was there.
Result<bool> make_directory(const std::string& path);
Result<std::vector<std::string>> list_directory(const std::string& path);
Status sync_directory(const std::string& path);
Status remove_file(const std::string& path);
// Bytes that an unprivileged user can still write to the file system that holds path.
Result<uint64_t> free_space(const std::string& path);

int own_pid();

}  // namespace perdure::kernel
