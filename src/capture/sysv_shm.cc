#include "capture/sysv_shm.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/shm.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <map>
#include <vector>

#include "base/fd.h"
#include "base/limits.h"
#include "kernel/file.h"
#include "kernel/proc/read.h"

namespace perdure::capture {
namespace {

constexpr uint32_t kDestroyed = 01000;  // SHM_DEST in the permissions of /proc/sysvipc/shm

// The calling thread stands in another process's IPC namespace as long as this lives.
class IpcNamespaceVisit {
 public:
  static Result<IpcNamespaceVisit> enter(pid_t pid) {
    Fd home = Fd::adopt(open("/proc/thread-self/ns/ipc", O_RDONLY | O_CLOEXEC));
    const std::string path = kernel::proc::path_of(pid, "ns/ipc");
    Fd there = Fd::adopt(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!home.valid() || !there.valid()) return Error::system(errno, "open", path);
    if (setns(there.get(), CLONE_NEWIPC) != 0) return Error::system(errno, "enter", path);
    return IpcNamespaceVisit(std::move(home));
  }
  IpcNamespaceVisit(IpcNamespaceVisit&&) = default;
  IpcNamespaceVisit& operator=(IpcNamespaceVisit&&) = delete;
  ~IpcNamespaceVisit() {
    if (home_.valid()) PD_ASSERT(setns(home_.get(), CLONE_NEWIPC) == 0);
  }

 private:
  explicit IpcNamespaceVisit(Fd home) : home_(std::move(home)) {}
  Fd home_;
};

constexpr size_t kTableBytesUsual = 4096;
constexpr size_t kTableBytesMax = 16u << 20;  // 32768 segments (SHMMNI) take 6 MB

Result<std::string> read_table(const Fd& file) {
  std::string text;
  for (size_t size = kTableBytesUsual; size <= kTableBytesMax; size *= 16) {
    text = PD_TRY(kernel::read_at(file.get(), 0, size));
    if (text.size() < size) return text;
  }
  return Error(Code::kLimit, "the group has too many SysV shared memory segments");
}

std::vector<object::SysvSegment> parse_segments(const std::string& text) {
  std::vector<object::SysvSegment> segments;
  for (std::string_view line : kernel::proc::lines_of(text)) {
    std::vector<std::string_view> words = kernel::proc::split(line, ' ');
    if (words.size() < 11 || words[0] == "key") continue;
    auto number = [&](size_t word) { return kernel::proc::parse_signed(words[word]).value_or(0); };
    const uint32_t mode =
        static_cast<uint32_t>(kernel::proc::parse_unsigned(words[2], 8).value_or(0));
    object::SysvSegment segment;
    segment.set_key(number(0));
    segment.set_id(static_cast<int32_t>(number(1)));
    segment.set_mode(mode & 0777);
    segment.set_destroyed((mode & kDestroyed) != 0);
    segment.set_size(static_cast<uint64_t>(number(3)));
    segment.set_uid(static_cast<uint32_t>(number(7)));
    segment.set_gid(static_cast<uint32_t>(number(8)));
    segment.set_creator_uid(static_cast<uint32_t>(number(9)));
    segment.set_creator_gid(static_cast<uint32_t>(number(10)));
    segments.push_back(std::move(segment));
  }
  return segments;
}

// A segment that nobody has attached is attached here for the moment in which its file is opened.
Result<ObjectId> open_unattached(int id, uint64_t size, MemoryObjects& objects) {
  void* address = shmat(id, nullptr, SHM_RDONLY);
  if (address == reinterpret_cast<void*>(-1))
    return Error::system(errno, "attach SysV segment", std::to_string(id));
  const uint64_t start = reinterpret_cast<uint64_t>(address);
  char path[96];
  std::snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", start,
                (start + size + kPageSize - 1) & ~(kPageSize - 1));
  Result<ObjectId> object =
      objects.add(path, "/SYSV00000000 (deleted)", MemoryObjects::Tmpfs::kAsMemory);
  (void)shmdt(address);
  return object;
}

}  // namespace

Result<std::vector<object::SysvSegment>> SysvTable::read(pid_t pid, const std::string& ipc) {
  if (!file_.valid() || namespace_ != ipc) {
    IpcNamespaceVisit visit = PD_TRY(IpcNamespaceVisit::enter(pid));
    file_ = PD_TRY(kernel::open_file("/proc/sysvipc/shm", O_RDONLY));
    namespace_ = ipc;
  }
  return parse_segments(PD_TRY(read_table(file_)));
}

Status capture_sysv_segments(pid_t pid, const std::string& ipc, const std::string& engine_ipc,
                             SysvTable* table, MemoryObjects& objects, object::Group* group) {
  std::map<int32_t, ObjectId> mapped;
  for (const auto& [id, entry] : objects.entries()) {
    if (entry.record.kind() == object::MemoryObject::SYSV) mapped[entry.record.sysv_id()] = id;
  }
  const bool own = engine_ipc != ipc;
  if (mapped.empty() && !own) return {};
  for (object::SysvSegment& segment : PD_TRY(table->read(pid, ipc))) {
    auto known = mapped.find(segment.id());
    if (known != mapped.end()) {
      segment.set_memory_object(known->second.value);
    } else if (own) {
      IpcNamespaceVisit visit = PD_TRY(IpcNamespaceVisit::enter(pid));
      segment.set_memory_object(
          PD_TRY(open_unattached(segment.id(), segment.size(), objects)).value);
    } else {
      continue;
    }
    *group->add_sysv_segments() = std::move(segment);
  }
  return {};
}

}  // namespace perdure::capture
