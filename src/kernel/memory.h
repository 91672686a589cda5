// System calls about another process's memory: userfaultfd(2), the PAGEMAP_SCAN ioctl,
// process_vm_readv(2) and pidfd files under /proc/PID. One wrapper each; EINTR is settled here.
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"
#include "kernel/abi/pagemap.h"

namespace perdure::kernel {

// userfaultfd(2) for the calling process, close-on-exec and non-blocking; faults of user mode only.
Result<Fd> create_userfaultfd();
// UFFDIO_API; may be done once for a descriptor. kUnavailable if the kernel lacks one of the
// features.
Status enable_uffd(const Fd& uffd, uint64_t features);
// UFFDIO_REGISTER for write protection. Holes in the range are passed over. kGone if the address
// space of the descriptor has ended (exit, execve); kUnavailable if a mapping of the range cannot
// be protected; kBusy if another userfaultfd has it.
Status register_uffd_wp(const Fd& uffd, uint64_t start, uint64_t length);

// A file of /proc/PID, by name ("pagemap", "mem"). kGone if there is no such process.
Result<Fd> open_proc_file(pid_t pid, const char* name, int flags);

// PAGEMAP_SCAN. argument.size is set here; returns the number of regions written to argument.vec.
// walk_end tells where a full vector stopped the walk. kUnavailable if the kernel lacks the ioctl
// or a category.
Result<size_t> pagemap_scan(const Fd& pagemap, abi::PmScanArg& argument);
// Entries of a pagemap file from a page on; fewer than asked for at the end of the address space.
Result<size_t> read_pagemap(const Fd& pagemap, uint64_t first_page, std::span<uint64_t> entries);

// Resets the soft-dirty bits of a process (clear_refs, 4).
Status clear_soft_dirty(pid_t pid);

// process_vm_readv(2) into one buffer. Returns the bytes read, which are fewer than asked for if a
// page is not readable; kIo if the first is not; kGone if the process is gone.
Result<size_t> read_process(pid_t pid, std::span<const iovec> remote, MutableBytes local);
// pread(2) of a /proc/PID/mem file, which also reads PROT_NONE. kIo if the first page is not
// readable.
Result<size_t> read_process_mem(const Fd& mem, RemoteAddr address, MutableBytes local);

// Bytes of a file.
struct Extent {
  uint64_t start = 0;
  uint64_t end = 0;
};
// The next bytes of a file from `from` on that are no hole (lseek(2), SEEK_DATA and SEEK_HOLE), cut
// off at `size`; {size, size} if there are none.
Result<Extent> next_data(int file, uint64_t from, uint64_t size);
// pread(2) of as much as there is: fewer bytes than asked for only at the end of the file.
Result<size_t> read_at(int file, uint64_t offset, MutableBytes into);

// F_GET_SEALS (fcntl(2)): F_SEAL_* of a memfd.
Result<uint32_t> memfd_seals(const Fd& memfd);
// Whether st_dev is the kernel's own tmpfs, in which memfd, shared anonymous and SysV memory lives.
bool is_internal_memory(uint64_t device);

// Features of this kernel, each found out by trying on ourselves. has_guard_pages implies
// has_pagemap_scan.
bool has_pagemap_scan();
bool has_guard_pages_in_scan();
bool has_async_write_protection();
bool has_soft_dirty();

}  // namespace perdure::kernel
