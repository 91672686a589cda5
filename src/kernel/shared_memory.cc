#include "kernel/shared_memory.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>

#include "kernel/file.h"

namespace perdure::kernel {

Result<Fd> make_memfd(const std::string& name) {
  Fd fd = Fd::adopt(::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return Error::system(errno, "make a memfd");
  return fd;
}

Status add_seals(int fd, uint32_t seals) {
  if (::fcntl(fd, F_ADD_SEALS, seals) != 0) return Error::system(errno, "seal a memfd");
  return {};
}

Result<Fd> make_shared_anonymous(uint64_t size) {
  void* mapping = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) return Error::system(errno, "map shared memory");
  const auto start = reinterpret_cast<uintptr_t>(mapping);
  char path[64];
  std::snprintf(path, sizeof(path), "/proc/self/map_files/%" PRIxPTR "-%" PRIxPTR, start,
                start + size);
  Result<Fd> file = open_file(path, O_RDWR);
  ::munmap(mapping, size);
  return file;
}

Result<Fd> make_unnamed_file(const std::string& folder) {
  Result<Fd> file = open_file(folder, O_RDWR | O_TMPFILE, 0600);
  if (file.ok()) return file;
  std::string name = folder + "/.perdure-XXXXXX";
  Fd made = Fd::adopt(::mkostemp(name.data(), O_CLOEXEC));
  if (!made.valid()) return Error::system(errno, "make a file in", folder);
  PD_TRY(unlink_path(name));
  return made;
}

}  // namespace perdure::kernel
