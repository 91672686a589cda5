#include "kernel/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "base/assert.h"
#include "base/limits.h"
#include "kernel/abi/userfaultfd.h"

namespace perdure::kernel {
namespace {

// One private page of our own, to try a feature on.
class ProbePage {
 public:
  ProbePage()
      : address_(
            mmap(nullptr, kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {}
  ProbePage(const ProbePage&) = delete;
  ProbePage& operator=(const ProbePage&) = delete;
  ~ProbePage() {
    if (valid()) munmap(address_, kPageSize);
  }
  bool valid() const { return address_ != MAP_FAILED; }
  uint64_t address() const { return reinterpret_cast<uint64_t>(address_); }
  void write() { *static_cast<volatile uint8_t*>(address_) = 1; }

 private:
  void* address_;
};

bool scan_knows(uint64_t categories) {
  ProbePage page;
  Result<Fd> pagemap = open_proc_file(getpid(), "pagemap", O_RDONLY);
  if (!page.valid() || !pagemap.ok()) return false;
  page.write();
  abi::PageRegion region{};
  abi::PmScanArg argument{};
  argument.start = page.address();
  argument.end = page.address() + kPageSize;
  argument.vec = reinterpret_cast<uint64_t>(&region);
  argument.vec_len = 1;
  argument.category_anyof_mask = abi::kPageIsPresent;
  argument.return_mask = categories;
  return pagemap_scan(*pagemap, argument).ok();
}

Code code_of_uffd(int error_number) {
  switch (error_number) {
    case ESRCH:
      return Code::kGone;
    case EINVAL:
    case EPERM:
      return Code::kUnavailable;
    default:
      return code_of_errno(error_number);
  }
}

// UFFDIO_REGISTER gives ENOMEM both for an address space that has ended and for want of memory;
// UFFDIO_WRITEPROTECT tells them apart. Lifting the protection of one page is harmless: it counts
// as written.
bool address_space_ended(const Fd& uffd, uint64_t start) {
  abi::UffdioWriteprotect argument{{start, kPageSize}, abi::kUffdWriteprotectDontWake};
  return ioctl(uffd.get(), abi::kUffdioWriteprotect, &argument) != 0 && errno == ESRCH;
}

}  // namespace

Result<Fd> create_userfaultfd() {
  long number = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | abi::kUffdUserModeOnly);
  if (number < 0) return Error::system(errno, "userfaultfd");
  return Fd::adopt(static_cast<int>(number));
}

Status enable_uffd(const Fd& uffd, uint64_t features) {
  abi::UffdioApi api{abi::kUffdApiVersion, features, 0};
  if (ioctl(uffd.get(), abi::kUffdioApi, &api) != 0) {
    return Error::system(errno, "UFFDIO_API").with_code(code_of_uffd(errno));
  }
  return {};
}

Status register_uffd_wp(const Fd& uffd, uint64_t start, uint64_t length) {
  abi::UffdioRegister argument{{start, length}, abi::kUffdRegisterWp, 0};
  if (ioctl(uffd.get(), abi::kUffdioRegister, &argument) != 0) {
    int error_number = errno;
    if (error_number == ENOMEM && address_space_ended(uffd, start)) error_number = ESRCH;
    return Error::system(error_number, "UFFDIO_REGISTER").with_code(code_of_uffd(error_number));
  }
  return {};
}

Result<Fd> open_proc_file(pid_t pid, const char* name, int flags) {
  std::string path = "/proc/" + std::to_string(pid) + "/" + name;
  Fd file = Fd::adopt(open(path.c_str(), flags | O_CLOEXEC));
  if (file.valid()) return file;
  Error error = Error::system(errno, "open", path);
  if (errno == ENOENT || errno == ESRCH) return std::move(error).with_code(Code::kGone);
  return error;
}

Result<size_t> pagemap_scan(const Fd& pagemap, abi::PmScanArg& argument) {
  argument.size = sizeof(argument);
  int regions = 0;
  do {
    regions = ioctl(pagemap.get(), abi::kPagemapScan, &argument);
  } while (regions < 0 && errno == EINTR);
  if (regions >= 0) return static_cast<size_t>(regions);
  bool missing = errno == ENOTTY || errno == EINVAL || errno == EOPNOTSUPP;
  Error error = Error::system(errno, "PAGEMAP_SCAN");
  if (missing) return std::move(error).with_code(Code::kUnavailable);
  return error;
}

Result<size_t> read_pagemap(const Fd& pagemap, uint64_t first_page, std::span<uint64_t> entries) {
  ssize_t got = 0;
  do {
    got = pread(pagemap.get(), entries.data(), entries.size_bytes(),
                static_cast<off_t>(first_page * sizeof(uint64_t)));
  } while (got < 0 && errno == EINTR);
  if (got < 0) return Error::system(errno, "read pagemap");
  return static_cast<size_t>(got) / sizeof(uint64_t);
}

Status clear_soft_dirty(pid_t pid) {
  Fd file = PD_TRY(open_proc_file(pid, "clear_refs", O_WRONLY));
  ssize_t written = 0;
  do {
    written = write(file.get(), "4", 1);
  } while (written < 0 && errno == EINTR);
  if (written != 1) return Error::system(errno, "write clear_refs");
  return {};
}

Result<size_t> read_process(pid_t pid, std::span<const iovec> remote, MutableBytes local) {
  iovec to{local.data(), local.size()};
  ssize_t got = 0;
  do {
    got = process_vm_readv(pid, &to, 1, remote.data(), remote.size(), 0);
  } while (got < 0 && errno == EINTR);
  if (got >= 0) return static_cast<size_t>(got);
  Error error = Error::system(errno, "process_vm_readv", std::to_string(pid));
  if (errno == ESRCH) return std::move(error).with_code(Code::kGone);
  if (errno == EFAULT) return std::move(error).with_code(Code::kIo);
  return error;
}

Result<size_t> read_process_mem(const Fd& mem, RemoteAddr address, MutableBytes local) {
  ssize_t got = 0;
  do {
    got = pread(mem.get(), local.data(), local.size(), static_cast<off_t>(address.value));
  } while (got < 0 && errno == EINTR);
  if (got >= 0) return static_cast<size_t>(got);
  Error error = Error::system(errno, "read /proc/PID/mem");
  if (errno == EIO || errno == EFAULT) return std::move(error).with_code(Code::kIo);
  return error;
}

Result<Extent> next_data(int file, uint64_t from, uint64_t size) {
  off_t start = lseek(file, static_cast<off_t>(from), SEEK_DATA);
  if (start < 0 && errno == ENXIO) return Extent{size, size};
  if (start < 0) return Error::system(errno, "lseek SEEK_DATA");
  off_t end = lseek(file, start, SEEK_HOLE);
  if (end < 0 && errno == ENXIO) return Extent{size, size};  // cut short between the two calls
  if (end < 0) return Error::system(errno, "lseek SEEK_HOLE");
  return Extent{std::min<uint64_t>(static_cast<uint64_t>(start), size),
                std::min<uint64_t>(static_cast<uint64_t>(end), size)};
}

Result<size_t> read_at(int file, uint64_t offset, MutableBytes into) {
  size_t done = 0;
  while (done < into.size()) {
    ssize_t got =
        pread(file, into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error::system(errno, "pread");
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

Result<uint32_t> memfd_seals(const Fd& memfd) {
  int seals = fcntl(memfd.get(), F_GET_SEALS);
  if (seals < 0) return Error::system(errno, "fcntl F_GET_SEALS");
  return static_cast<uint32_t>(seals);
}

bool is_internal_memory(uint64_t device) {
  static const uint64_t internal = [] {
    Fd probe = Fd::adopt(memfd_create("probe", MFD_CLOEXEC));
    struct stat file {};
    PD_ASSERT(probe.valid() && fstat(probe.get(), &file) == 0);
    return static_cast<uint64_t>(file.st_dev);
  }();
  return device == internal;
}

bool has_pagemap_scan() { return scan_knows(abi::kPageIsPresent | abi::kPageIsWritten); }

bool has_guard_pages_in_scan() { return scan_knows(abi::kPageIsPresent | abi::kPageIsGuard); }

bool has_async_write_protection() {
  Result<Fd> uffd = create_userfaultfd();
  return uffd.ok() &&
         enable_uffd(*uffd, abi::kUffdFeatureWpAsync | abi::kUffdFeatureWpUnpopulated).ok();
}

// A page just written is soft-dirty wherever the kernel keeps the bit; no clear_refs is needed to
// see it.
bool has_soft_dirty() {
  ProbePage page;
  Result<Fd> pagemap = open_proc_file(getpid(), "pagemap", O_RDONLY);
  if (!page.valid() || !pagemap.ok()) return false;
  page.write();
  uint64_t entry = 0;
  Result<size_t> got = read_pagemap(*pagemap, page.address() / kPageSize, {&entry, 1});
  return got.ok() && *got == 1 && (entry & abi::kEntrySoftDirty) != 0;
}

}  // namespace perdure::kernel
