#include "restore/sysv_shm.h"

#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstring>

#include "base/limits.h"
#include "kernel/proc/read.h"

namespace perdure::restore {
namespace {

Status fill(const object::SysvSegment& segment, const store::EpochReader& reader) {
  void* address = shmat(segment.id(), nullptr, 0);
  if (address == reinterpret_cast<void*>(-1)) {
    return Error::system(errno, "attach SysV segment", std::to_string(segment.id()));
  }
  std::memset(address, 0, segment.size());
  Status filled;
  const uint64_t pages = (segment.size() + kPageSize - 1) >> kPageShift;
  for (const store::PageExtent& extent :
       reader.extents(ObjectId(segment.memory_object()), 0, pages)) {
    uint8_t* to = static_cast<uint8_t*>(address) + extent.first_page * kPageSize;
    filled = reader.read_pages(extent, MutableBytes(to, uint64_t{extent.count} * kPageSize));
    if (!filled.ok()) break;
  }
  (void)shmdt(address);
  return filled;
}

// In the host's IPC namespace the segment outlives the group: the very same one is filled anew.
bool is_still_there(const object::SysvSegment& segment) {
  shmid_ds state{};
  return shmctl(segment.id(), IPC_STAT, &state) == 0 && state.shm_segsz == segment.size() &&
         state.shm_perm.__key == static_cast<key_t>(segment.key());
}

Status make_segment(const object::SysvSegment& segment, const store::EpochReader& reader) {
  const std::string name = std::to_string(segment.id());
  if (is_still_there(segment)) return fill(segment, reader);
  PD_TRY(kernel::proc::write_text("/proc/sys/kernel/shm_next_id", name));
  const int id = shmget(static_cast<key_t>(segment.key()), segment.size(),
                        IPC_CREAT | IPC_EXCL | static_cast<int>(segment.mode()));
  if (id < 0) return Error::system(errno, "make SysV segment", name);
  if (id != segment.id()) {
    (void)shmctl(id, IPC_RMID, nullptr);
    return Error(Code::kExists, "SysV segment id " + name + " is in use")
        .with_remedy("remove it with ipcrm, or restore with --isolate");
  }
  shmid_ds state{};
  if (shmctl(id, IPC_STAT, &state) != 0) return Error::system(errno, "examine SysV segment", name);
  state.shm_perm.uid = segment.uid();
  state.shm_perm.gid = segment.gid();
  if (shmctl(id, IPC_SET, &state) != 0)
    return Error::system(errno, "set the owner of SysV segment", name);
  return fill(segment, reader);
}

}  // namespace

Status make_sysv_segments(const object::Graph& graph, const store::EpochReader& reader) {
  for (const object::SysvSegment& segment : graph.group.sysv_segments())
    PD_TRY(make_segment(segment, reader));
  return {};
}

void add_destroyed_marks(const object::Graph& graph, RemoteCalls* calls) {
  for (const object::SysvSegment& segment : graph.group.sysv_segments()) {
    if (segment.destroyed()) {
      calls->add("mark a SysV segment destroyed", SYS_shmctl, {segment.id(), IPC_RMID, 0});
    }
  }
}

}  // namespace perdure::restore
