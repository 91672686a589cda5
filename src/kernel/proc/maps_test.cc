#include "kernel/proc/maps.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/limits.h"

namespace perdure::kernel::proc {
namespace {

// Pages of our own, between guard mappings so that they are a mapping of their own in maps.
class Pages {
 public:
  Pages(int protection, int flags, int fd = -1, size_t pages = 3) : size_(pages * kPageSize) {
    fence_ = static_cast<char*>(mmap(nullptr, size_ + 2 * kPageSize, PROT_NONE,
                                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    address_ = mmap(fence_ + kPageSize, size_, protection, flags | MAP_FIXED, fd, 0);
  }
  Pages(const Pages&) = delete;
  ~Pages() { munmap(fence_, size_ + 2 * kPageSize); }
  void* address() const { return address_; }
  size_t size() const { return size_; }
  MapsEntry entry() const {
    Result<std::vector<MapsEntry>> entries = read_maps(getpid());
    EXPECT_TRUE(entries.ok());
    for (const MapsEntry& each : *entries) {
      if (each.start != reinterpret_cast<uint64_t>(address_)) continue;
      std::vector<MapsEntry> ours{each};  // what else we have mapped changes by reading
      EXPECT_TRUE(add_vm_flags(getpid(), ours).ok());
      return ours.front();
    }
    ADD_FAILURE() << "mapping not found";
    return {};
  }

 private:
  size_t size_;
  char* fence_;
  void* address_;
};

constexpr int kAnonymous = MAP_PRIVATE | MAP_ANONYMOUS;

TEST(ParseMaps, ReadsEveryFieldOfALine) {
  auto entries =
      parse_maps("7f0000001000-7f0000003000 rw-s 00010000 fe:01 332383     /lib/a b.so\n");
  ASSERT_TRUE(entries.ok());
  ASSERT_EQ(entries->size(), 1u);
  const MapsEntry& entry = (*entries)[0];
  EXPECT_EQ(entry.start, 0x7f0000001000u);
  EXPECT_EQ(entry.end, 0x7f0000003000u);
  EXPECT_EQ(entry.protection, static_cast<uint32_t>(PROT_READ | PROT_WRITE));
  EXPECT_TRUE(entry.shared);
  EXPECT_EQ(entry.offset, 0x10000u);
  EXPECT_EQ(entry.device, makedev(0xfe, 1));
  EXPECT_EQ(entry.inode, 332383u);
  EXPECT_EQ(entry.path, "/lib/a b.so");
  EXPECT_FALSE(entry.deleted);
}

TEST(ParseMaps, KeepsNamesInBracketsAndCutsDeleted) {
  auto entries = parse_maps(
      "1000-2000 ---p 00000000 00:00 0 \n"
      "2000-3000 r-xp 00000000 00:00 0     [vdso]\n"
      "3000-4000 rw-s 00000000 00:01 7     /memfd:x (deleted) (deleted)\n"
      "4000-5000 rw-p 00000000 00:00 0     [anon:my heap]\n"
      "5000-6000 rw-p 00000000 08:01 9     /tmp/a\\012b\n"
      "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0   [vsyscall]\n");
  ASSERT_TRUE(entries.ok());
  ASSERT_EQ(entries->size(), 6u);
  EXPECT_EQ((*entries)[0].path, "");
  EXPECT_EQ((*entries)[0].protection, 0u);
  EXPECT_EQ((*entries)[1].path, "[vdso]");
  EXPECT_EQ((*entries)[2].path, "/memfd:x (deleted)");
  EXPECT_TRUE((*entries)[2].deleted);
  EXPECT_EQ((*entries)[3].path, "[anon:my heap]");
  EXPECT_EQ((*entries)[4].path, "/tmp/a\nb");
  EXPECT_EQ((*entries)[5].start, 0xffffffffff600000u);
}

TEST(ParseMaps, RefusesLinesThatDoNotParse) {
  for (const char* bad :
       {"x", "1000-2000", "2000-1000 rw-p 0 00:00 0", "1001-2000 rw-p 0 00:00 0", "1000-2000 rw",
        "\n", "1000-2000 rw-p 00000000 00:00 ", "1000-2000 rw-p zz 00:00 0"}) {
    EXPECT_FALSE(parse_maps(bad).ok()) << bad;
  }
}

TEST(ParseVmFlags, FailsIfAMappingIsMissing) {
  std::vector<MapsEntry> entries(1);
  entries[0].start = 0x1000;
  entries[0].end = 0x2000;
  EXPECT_FALSE(parse_vm_flags("2000-3000 rw-p\nVmFlags: rd wr\n", entries).ok());
  EXPECT_TRUE(parse_vm_flags("1000-2000 rw-p\nProtectionKey:  3\nVmFlags: rd dc\n", entries).ok());
  EXPECT_EQ(entries[0].protection_key, 3u);
  EXPECT_TRUE(entries[0].has(VmFlag::kDontFork));
}

TEST(ReadMaps, MatchesWhatWeMapped) {
  Pages pages(PROT_READ, kAnonymous);
  MapsEntry entry = pages.entry();
  EXPECT_EQ(entry.size(), pages.size());
  EXPECT_EQ(entry.protection, static_cast<uint32_t>(PROT_READ));
  EXPECT_FALSE(entry.shared);
  EXPECT_EQ(entry.inode, 0u);
  EXPECT_TRUE(entry.has_vm_flags);
}

TEST(ReadMaps, ShowsFileOffsetsAndDeletion) {
  char path_name[] = "maps_test.XXXXXX";
  Fd file = Fd::adopt(mkostemp(path_name, O_CLOEXEC));
  const std::string path = path_name;
  ASSERT_EQ(ftruncate(file.get(), 3 * kPageSize), 0);
  Pages pages(PROT_READ | PROT_WRITE, MAP_SHARED, file.get());
  struct stat stat_of_file {};
  ASSERT_EQ(fstat(file.get(), &stat_of_file), 0);
  EXPECT_EQ(pages.entry().inode, stat_of_file.st_ino);
  EXPECT_TRUE(pages.entry().path.ends_with(path));
  EXPECT_FALSE(pages.entry().deleted);
  ASSERT_EQ(unlink(path.c_str()), 0);
  EXPECT_TRUE(pages.entry().deleted);
  EXPECT_TRUE(pages.entry().path.ends_with(path));
}

TEST(ReadMaps, NamesSharedMemoryOfEveryKind) {
  Pages anonymous(PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
  EXPECT_EQ(anonymous.entry().path, "/dev/zero");
  EXPECT_TRUE(anonymous.entry().deleted);
  Fd memfd = Fd::adopt(memfd_create("maps test", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(memfd.get(), 3 * kPageSize), 0);
  Pages shared(PROT_READ, MAP_SHARED, memfd.get());
  EXPECT_EQ(shared.entry().path, "/memfd:maps test");
  int id = shmget(IPC_PRIVATE, kPageSize, 0600 | IPC_CREAT);
  ASSERT_GE(id, 0);
  Pages place(PROT_NONE, kAnonymous);
  ASSERT_NE(shmat(id, place.address(), SHM_REMAP), reinterpret_cast<void*>(-1));
  shmctl(id, IPC_RMID, nullptr);
  EXPECT_EQ(place.entry().path, "/SYSV00000000");
  EXPECT_EQ(place.entry().inode, static_cast<uint64_t>(id));
}

struct Advice {
  int advice;
  VmFlag flag;
};

TEST(AddVmFlags, ShowsAdvice) {
  for (Advice advice :
       {Advice{MADV_DONTFORK, VmFlag::kDontFork}, Advice{MADV_WIPEONFORK, VmFlag::kWipeOnFork},
        Advice{MADV_DONTDUMP, VmFlag::kDontDump}, Advice{MADV_HUGEPAGE, VmFlag::kHugePage},
        Advice{MADV_NOHUGEPAGE, VmFlag::kNoHugePage}, Advice{MADV_SEQUENTIAL, VmFlag::kSequential},
        Advice{MADV_RANDOM, VmFlag::kRandom}}) {
    Pages pages(PROT_READ | PROT_WRITE, kAnonymous);
    EXPECT_FALSE(pages.entry().has(advice.flag)) << advice.advice;
    ASSERT_EQ(madvise(pages.address(), pages.size(), advice.advice), 0) << advice.advice;
    EXPECT_TRUE(pages.entry().has(advice.flag)) << advice.advice;
  }
}

TEST(AddVmFlags, ShowsMappingFlags) {
  EXPECT_TRUE(
      Pages(PROT_READ | PROT_WRITE, kAnonymous | MAP_NORESERVE).entry().has(VmFlag::kNoReserve));
  EXPECT_TRUE(
      Pages(PROT_READ | PROT_WRITE, kAnonymous | MAP_GROWSDOWN).entry().has(VmFlag::kGrowsDown));
  EXPECT_TRUE(Pages(PROT_READ | PROT_WRITE, kAnonymous).entry().has(VmFlag::kMayWrite));
}

TEST(AddVmFlags, ShowsLocks) {
  Pages locked(PROT_READ | PROT_WRITE, kAnonymous);
  ASSERT_EQ(mlock2(locked.address(), locked.size(), 0), 0);  // sanitizers make mlock do nothing
  EXPECT_TRUE(locked.entry().has(VmFlag::kLocked));
  EXPECT_FALSE(locked.entry().has(VmFlag::kLockOnFault));
  Pages on_fault(PROT_READ | PROT_WRITE, kAnonymous);
  ASSERT_EQ(mlock2(on_fault.address(), on_fault.size(), MLOCK_ONFAULT), 0);
  EXPECT_TRUE(on_fault.entry().has(VmFlag::kLocked));
  EXPECT_TRUE(on_fault.entry().has(VmFlag::kLockOnFault));
}

TEST(ReadAuxv, IsAListOfPairs) {
  auto auxv = read_auxv(getpid());
  ASSERT_TRUE(auxv.ok());
  EXPECT_EQ(auxv->size() % 16, 0u);
  EXPECT_GT(auxv->size(), 64u);
}

TEST(ReadMaps, SaysThatAProcessIsGone) {
  pid_t child = fork();
  if (child == 0) _exit(0);
  siginfo_t info{};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  auto of_zombie = read_maps(child);
  ASSERT_FALSE(of_zombie.ok());
  EXPECT_EQ(of_zombie.error().code(), Code::kGone);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  auto of_nothing = read_maps(child);
  ASSERT_FALSE(of_nothing.ok());
  EXPECT_EQ(of_nothing.error().code(), Code::kGone);
}

}  // namespace
}  // namespace perdure::kernel::proc
