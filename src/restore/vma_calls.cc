#include "restore/vma_calls.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

namespace perdure::restore {
namespace {

using object::Vma;

constexpr int kMapDroppable = 0x08;       // MAP_DROPPABLE, Linux 6.11
constexpr int kAdviceGuardInstall = 102;  // MADV_GUARD_INSTALL, Linux 6.13
constexpr int kPrSetVma = 0x53564d41;     // PR_SET_VMA
constexpr int kPrSetVmaAnonName = 0;

uint64_t size_of(const Vma& vma) { return vma.end() - vma.start(); }

int placement_flags(const Vma& vma) {
  int flags = MAP_FIXED;
  if (vma.grows_down()) flags |= MAP_GROWSDOWN;
  if (vma.no_reserve()) flags |= MAP_NORESERVE;
  return flags;
}

Error missing_file(const Vma& vma) {
  return Error(Code::kCorrupt, "the file or memory object " + std::to_string(vma.file()) +
                                   " of a mapping is missing");
}

Status add_file_mapping(const Vma& vma, int type, int protection,
                        const std::map<ObjectId, int>& from, CallStream* stream) {
  auto found = from.find(ObjectId(vma.file()));
  if (found == from.end()) return missing_file(vma);
  const int flags = placement_flags(vma) | type;
  if (type != MAP_SHARED || vma.file_writable()) {
    return stream->add("map a file", SYS_mmap,
                       {vma.start(), size_of(vma), protection, flags, found->second, vma.offset()});
  }
  // A shared mapping of a descriptor that may write could be made writable: it takes a read-only
  // one.
  const std::string path = "/proc/self/fd/" + std::to_string(found->second);
  PD_TRY(stream->reserve(3, path.size() + 1));
  RemoteCalls& calls = stream->calls();
  const size_t opened = calls.add("open " + path, SYS_openat,
                                  {AT_FDCWD, calls.batch().in(path), O_RDONLY | O_CLOEXEC});
  calls.add(
      "map a file", SYS_mmap,
      {vma.start(), size_of(vma), protection, flags, kernel::Arg::result_of(opened), vma.offset()});
  calls.add("close " + path, SYS_close, {kernel::Arg::result_of(opened)});
  return {};
}

Status add_shared_memory(const Vma& vma, const Site& site, CallStream* stream) {
  auto object = site.graph.memory_objects.find(ObjectId(vma.file()));
  if (object == site.graph.memory_objects.end()) return missing_file(vma);
  if (object->second.kind() != object::MemoryObject::SYSV) {
    return add_file_mapping(vma, MAP_SHARED, static_cast<int>(vma.protection()), site.opened.memory,
                            stream);
  }
  int flags = SHM_REMAP;
  if ((vma.protection() & PROT_WRITE) == 0 && !vma.file_writable()) flags |= SHM_RDONLY;
  if ((vma.protection() & PROT_EXEC) != 0) flags |= SHM_EXEC;
  return stream->add("attach SysV shared memory", SYS_shmat,
                     {object->second.sysv_id(), vma.start(), flags});
}

Status add_advice(const Vma& vma, int advice, CallStream* stream) {
  return stream->add("advise on a mapping", SYS_madvise, {vma.start(), size_of(vma), advice});
}

}  // namespace

bool holds_pages(const Vma& vma) {
  return vma.kind() == Vma::ANONYMOUS || vma.kind() == Vma::FILE_PRIVATE;
}

bool survives_fork_unchanged(const Vma& parent, const Vma& child) {
  if (parent.dont_fork() || parent.wipe_on_fork()) return false;
  // Rings belong to one address space; the vsyscall page lies outside of all.
  if (parent.kind() == Vma::AIO_RING || parent.kind() == Vma::VSYSCALL) return false;
  return parent.SerializeAsString() == child.SerializeAsString();
}

Status add_mapping(const Vma& vma, const Site& site, CallStream* stream) {
  switch (vma.kind()) {
    case Vma::ANONYMOUS: {
      int type = vma.droppable() ? kMapDroppable : MAP_PRIVATE;
      return stream->add("map memory", SYS_mmap,
                         {vma.start(), size_of(vma), PROT_READ | PROT_WRITE,
                          placement_flags(vma) | type | MAP_ANONYMOUS, -1, 0});
    }
    case Vma::FILE_PRIVATE:
      return add_file_mapping(vma, MAP_PRIVATE, PROT_READ | PROT_WRITE, site.opened.files, stream);
    case Vma::FILE_SHARED:
      return add_file_mapping(vma, MAP_SHARED, static_cast<int>(vma.protection()),
                              site.opened.files, stream);
    case Vma::MEMORY_SHARED:
      return add_shared_memory(vma, site, stream);
    default:
      return {};
  }
}

Status add_mapping_end(const Vma& vma, Origin origin, CallStream* stream) {
  const uint32_t mapped_as = PROT_READ | PROT_WRITE;
  if (holds_pages(vma) && vma.protection() != mapped_as) {
    PD_TRY(stream->add("protect a mapping", SYS_mprotect,
                       {vma.start(), size_of(vma), vma.protection()}));
  }
  for (const object::PageRange& guard : vma.guard_pages()) {
    PD_TRY(stream->add("install guard pages", SYS_madvise,
                       {guard.start(), guard.end() - guard.start(), kAdviceGuardInstall}));
  }
  if (vma.locked()) {
    PD_TRY(stream->add("lock a mapping", SYS_mlock2,
                       {vma.start(), size_of(vma), vma.lock_on_fault() ? MLOCK_ONFAULT : 0}));
  }
  if (origin == Origin::kInherited) return {};
  if (vma.dont_fork()) PD_TRY(add_advice(vma, MADV_DONTFORK, stream));
  if (vma.wipe_on_fork() && !vma.droppable()) PD_TRY(add_advice(vma, MADV_WIPEONFORK, stream));
  if (vma.dont_dump() && !vma.droppable()) PD_TRY(add_advice(vma, MADV_DONTDUMP, stream));
  if (vma.mergeable()) PD_TRY(add_advice(vma, MADV_MERGEABLE, stream));
  if (vma.huge_page()) PD_TRY(add_advice(vma, MADV_HUGEPAGE, stream));
  if (vma.no_huge_page()) PD_TRY(add_advice(vma, MADV_NOHUGEPAGE, stream));
  if (vma.sequential()) PD_TRY(add_advice(vma, MADV_SEQUENTIAL, stream));
  if (vma.random()) PD_TRY(add_advice(vma, MADV_RANDOM, stream));
  if (!vma.name().empty()) {
    PD_TRY(stream->reserve(1, vma.name().size() + 1));
    stream->calls().add("name a mapping", SYS_prctl,
                        {kPrSetVma, kPrSetVmaAnonName, vma.start(), size_of(vma),
                         stream->calls().batch().in(vma.name())});
  }
  return {};
}

}  // namespace perdure::restore
