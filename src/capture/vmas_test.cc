#include "capture/vmas.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>

#include "kernel/abi/userfaultfd.h"
#include "kernel/memory.h"
#include "memory/test_target.h"
#include "object/kind.h"

namespace perdure::capture {
namespace {

using Gate = memory::Target::Gate;
using memory::Target;
using object::MemoryObject;
using object::Vma;

constexpr int kAccess = PROT_READ | PROT_WRITE;

uint8_t* map_pages(size_t pages, int flags, int fd = -1, int protection = kAccess,
                   off_t offset = 0) {
  void* address = mmap(nullptr, pages * kPageSize, protection, flags, fd, offset);
  PD_ASSERT(address != MAP_FAILED);
  return static_cast<uint8_t*>(address);
}
uint64_t number_of(const void* address) { return reinterpret_cast<uint64_t>(address); }

// A file of a few pages in the working directory, removed at the end.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& folder = std::filesystem::current_path(),
                         size_t pages = 4)
      : path_(folder + "/vmas_test." + std::to_string(getpid())) {
    file_ = Fd::adopt(open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640));
    PD_ASSERT(file_.valid());
    std::vector<uint8_t> content(pages * kPageSize, 'f');
    PD_ASSERT(write(file_.get(), content.data(), content.size()) ==
              static_cast<ssize_t>(content.size()));
  }
  ~TemporaryFile() { remove(); }
  void remove() { unlink(path_.c_str()); }
  int fd() const { return file_.get(); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  Fd file_;
};

// A capture of a child that made one mapping.
struct Captured {
  explicit Captured(const std::function<uint8_t*()>& map, VmaOptions options = {})
      : target([&](Gate& gate) { gate.meet(number_of(map())); }), address(target.receive()) {
    again(options);
  }
  void again(VmaOptions options) {
    result.emplace(capture_vmas(target.pid(), options, files, objects));
  }
  const Vma& vma() const {
    if (!result->ok()) ADD_FAILURE() << result->error().to_string();
    for (const Vma& each : (*result)->space.vmas()) {
      if (each.start() == address) return each;
    }
    ADD_FAILURE() << "the mapping is not in the record";
    return Vma::default_instance();
  }
  const MemoryEntry& object() const {
    const MemoryEntry* entry = objects.find(ObjectId(vma().file()));
    PD_ASSERT(entry != nullptr);
    return *entry;
  }
  const object::OpenFile& file() const { return files.records().at(ObjectId(vma().file())); }
  std::optional<memory::AreaKind> area() const {
    for (const memory::Area& each : (*result)->private_areas) {
      if (each.start <= address && address < each.end) return each.kind;
    }
    return {};
  }
  object::IdTable ids{object::kFirstFreeObjectId};
  MappedFiles files{ids};
  MemoryObjects objects{ids};
  Target target;
  uint64_t address;
  std::optional<Result<VmaCapture>> result;
};

uint8_t byte_of(const MemoryEntry& entry, uint64_t offset) {
  uint8_t byte = 0;
  EXPECT_EQ(pread(entry.content.get(), &byte, 1, static_cast<off_t>(offset)), 1);
  return byte;
}

TEST(CaptureVmas, DescribesTheWholeAddressSpace) {
  Captured captured([] {
    PD_ASSERT(sbrk(3 * kPageSize) != reinterpret_cast<void*>(-1));
    // Two flags that no neighbour has, so that it stays a mapping of its own.
    uint8_t* bytes = map_pages(3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
    madvise(bytes, 3 * kPageSize, MADV_DONTFORK);
    return bytes;
  });
  EXPECT_EQ(captured.vma().kind(), Vma::ANONYMOUS);
  EXPECT_EQ(captured.vma().end() - captured.vma().start(), 3 * kPageSize);
  EXPECT_EQ(captured.vma().protection(), static_cast<uint32_t>(kAccess));
  EXPECT_TRUE(captured.vma().dont_fork());
  EXPECT_TRUE(captured.vma().no_reserve());
  EXPECT_EQ(captured.area(), memory::AreaKind::kAnonymous);
  const object::AddressSpace& space = (*captured.result)->space;
  int stacks = 0, heaps = 0, vdsos = 0, vvars = 0;
  for (const Vma& vma : space.vmas()) {
    stacks += vma.stack() && vma.grows_down() && vma.start() < space.start_stack() &&
              space.start_stack() < vma.end();
    heaps += vma.heap() && vma.end() == space.brk();
    vdsos += vma.kind() == Vma::VDSO;
    vvars += vma.kind() == Vma::VVAR;
  }
  EXPECT_EQ(stacks, 1);
  EXPECT_GE(heaps, 1);
  EXPECT_EQ(vdsos, 1);
  EXPECT_GE(vvars, 1);
  EXPECT_FALSE(space.auxv().empty());
  EXPECT_GT(space.env_end(), space.env_start());
  captured.again({.watch = EngineWatch::kNone, .brk = space.brk() - 100, .known_flags = {}});
  EXPECT_EQ((*captured.result)->space.brk(), space.brk());
}

TEST(CaptureVmas, PrivateFileMappingsReferToTheFile) {
  TemporaryFile file;
  Captured captured([&] { return map_pages(2, MAP_PRIVATE, file.fd(), kAccess, kPageSize); });
  EXPECT_EQ(captured.vma().kind(), Vma::FILE_PRIVATE);
  EXPECT_EQ(captured.vma().offset(), kPageSize);
  EXPECT_EQ(captured.area(), memory::AreaKind::kFilePrivate);
  const object::OpenFile& record = captured.file();
  EXPECT_EQ(record.flags(), static_cast<uint32_t>(O_RDONLY));
  const object::FileIdentity& identity = record.regular().identity();
  struct stat stat_of_file {};
  ASSERT_EQ(fstat(file.fd(), &stat_of_file), 0);
  EXPECT_EQ(identity.path(), file.path());
  EXPECT_EQ(identity.inode(), stat_of_file.st_ino);
  EXPECT_EQ(identity.size(), 4 * kPageSize);
  EXPECT_FALSE(identity.checked());
  EXPECT_FALSE(record.regular().deleted());
  EXPECT_TRUE(captured.objects.entries().empty());
}

TEST(CaptureVmas, LibrariesCarryTheirBuildIdsAndAreOneRecordEach) {
  Captured captured([] { return map_pages(1, MAP_PRIVATE | MAP_ANONYMOUS); });
  ASSERT_TRUE(captured.result->ok());
  std::map<std::string, int> paths;
  for (const auto& [id, record] : captured.files.records()) {
    const object::FileIdentity& identity = record.regular().identity();
    ++paths[identity.path()];
    if (identity.path().find("libc.so") == std::string::npos) continue;
    EXPECT_EQ(identity.build_id().size(), 20u);
  }
  EXPECT_GE(paths.size(), 3u);
  for (const auto& [path, count] : paths) EXPECT_EQ(count, 1) << path;
}

TEST(CaptureVmas, WritableSharedFileMappingsAreChecked) {
  TemporaryFile file;
  Captured written([&] { return map_pages(4, MAP_SHARED, file.fd()); });
  EXPECT_EQ(written.vma().kind(), Vma::FILE_SHARED);
  EXPECT_TRUE(written.vma().file_writable());
  EXPECT_EQ(written.file().flags(), static_cast<uint32_t>(O_RDWR));
  EXPECT_TRUE(written.file().regular().identity().checked());
  EXPECT_NE(written.file().regular().identity().checksum(), 0u);
  EXPECT_FALSE(written.area());
  Captured could_be([&] { return map_pages(4, MAP_SHARED, file.fd(), PROT_READ); });
  EXPECT_TRUE(could_be.file().regular().identity().checked());
  Fd read_only = Fd::adopt(open(file.path().c_str(), O_RDONLY | O_CLOEXEC));
  Captured read([&] { return map_pages(4, MAP_SHARED, read_only.get(), PROT_READ); });
  EXPECT_EQ(read.vma().kind(), Vma::FILE_SHARED);
  EXPECT_FALSE(read.vma().file_writable());
  EXPECT_EQ(read.file().flags(), static_cast<uint32_t>(O_RDONLY));
  EXPECT_FALSE(read.file().regular().identity().checked());
}

TEST(CaptureVmas, SharedMemoryOfEveryKindIsAnObject) {
  Captured anonymous([] {
    uint8_t* bytes = map_pages(3, MAP_SHARED | MAP_ANONYMOUS);
    bytes[kPageSize] = 11;
    return bytes;
  });
  EXPECT_EQ(anonymous.vma().kind(), Vma::MEMORY_SHARED);
  EXPECT_EQ(anonymous.object().record.kind(), MemoryObject::ANONYMOUS);
  EXPECT_EQ(anonymous.object().record.size(), 3 * kPageSize);
  EXPECT_EQ(byte_of(anonymous.object(), kPageSize), 11);
  EXPECT_FALSE(anonymous.area());

  Captured memfd([] {
    int fd = memfd_create("my memory", MFD_ALLOW_SEALING);
    PD_ASSERT(ftruncate(fd, 5 * kPageSize) == 0 && pwrite(fd, "\x0c", 1, 4 * kPageSize) == 1);
    PD_ASSERT(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW) == 0);
    return map_pages(4, MAP_SHARED, fd, kAccess, kPageSize);
  });
  const MemoryObject& record = memfd.object().record;
  EXPECT_EQ(record.kind(), MemoryObject::MEMFD);
  EXPECT_EQ(record.name(), "my memory");
  EXPECT_EQ(record.seals(), static_cast<uint32_t>(F_SEAL_GROW));
  EXPECT_EQ(record.memfd_flags(), static_cast<uint32_t>(MFD_ALLOW_SEALING));
  EXPECT_EQ(memfd.vma().offset(), kPageSize);
  EXPECT_EQ(byte_of(memfd.object(), 4 * kPageSize), 12);

  int id = shmget(IPC_PRIVATE, 2 * kPageSize, 0640 | IPC_CREAT);
  ASSERT_GE(id, 0);
  Captured sysv([&] {
    auto* bytes = static_cast<uint8_t*>(shmat(id, nullptr, 0));
    bytes[0] = 13;
    return bytes;
  });
  shmctl(id, IPC_RMID, nullptr);
  EXPECT_EQ(sysv.object().record.kind(), MemoryObject::SYSV);
  EXPECT_EQ(sysv.object().record.sysv_id(), id);
  EXPECT_EQ(byte_of(sysv.object(), 0), 13);

  TemporaryFile file("/dev/shm");
  Captured posix([&] { return map_pages(4, MAP_SHARED, file.fd()); });
  EXPECT_EQ(posix.object().record.kind(), MemoryObject::POSIX_SHM);
  EXPECT_EQ(posix.object().record.name(), file.path());
  EXPECT_EQ(byte_of(posix.object(), 0), 'f');
}

TEST(CaptureVmas, TwoMappingsOfOneMemoryShareItsObject) {
  Captured captured([] {
    int fd = memfd_create("twice", 0);
    PD_ASSERT(ftruncate(fd, 4 * kPageSize) == 0);
    map_pages(4, MAP_SHARED, fd, PROT_READ);
    return map_pages(4, MAP_SHARED, fd);
  });
  EXPECT_EQ(captured.objects.entries().size(), 1u);
  // Without MFD_ALLOW_SEALING.
  EXPECT_EQ(captured.object().record.memfd_flags(), 0u);
  EXPECT_EQ(captured.object().record.seals(), static_cast<uint32_t>(F_SEAL_SEAL));
}

TEST(CaptureVmas, DeletedFilesKeepTheirContent) {
  for (int flags : {MAP_SHARED, MAP_PRIVATE}) {
    TemporaryFile file;
    Captured captured([&] {
      uint8_t* bytes = map_pages(4, flags, file.fd());
      file.remove();
      return bytes;
    });
    ASSERT_EQ(captured.objects.entries().size(), 1u);
    const MemoryEntry& content = captured.objects.entries().begin()->second;
    EXPECT_EQ(content.record.kind(), MemoryObject::DELETED_FILE);
    EXPECT_EQ(content.record.name(), file.path());
    EXPECT_EQ(byte_of(content, 100), 'f');
    if (flags == MAP_SHARED) {
      EXPECT_EQ(captured.vma().kind(), Vma::MEMORY_SHARED);
      EXPECT_EQ(captured.vma().file(), content.id.value);
    } else {
      EXPECT_EQ(captured.vma().kind(), Vma::FILE_PRIVATE);
      EXPECT_TRUE(captured.file().regular().deleted());
      EXPECT_EQ(captured.file().regular().content(), content.id.value);
    }
  }
}

TEST(CaptureVmas, PrivateMappingsOfMemoryReferToTheObject) {
  Captured captured([] {
    int fd = memfd_create("private", 0);
    PD_ASSERT(ftruncate(fd, kPageSize) == 0);
    return map_pages(1, MAP_PRIVATE, fd);
  });
  EXPECT_EQ(captured.vma().kind(), Vma::FILE_PRIVATE);
  EXPECT_EQ(captured.file().memfd().memory_object(),
            captured.objects.entries().begin()->first.value);
  EXPECT_EQ(captured.area(), memory::AreaKind::kFilePrivate);
  Captured zero([] { return map_pages(2, MAP_PRIVATE, open("/dev/zero", O_RDWR)); });
  EXPECT_EQ(zero.vma().kind(), Vma::DEVICE_ZERO);
  EXPECT_EQ(zero.area(), memory::AreaKind::kAnonymous);
}

// A file that was replaced by rename while it has a second name.
TEST(CaptureVmas, FilesWhoseNameLeadsElsewhereKeepTheirContentOrAreRefused) {
  for (int flags : {MAP_SHARED, MAP_PRIVATE}) {
    TemporaryFile file;
    std::string second = file.path() + ".second";
    ASSERT_EQ(link(file.path().c_str(), second.c_str()), 0);
    Captured captured([&] {
      uint8_t* bytes = map_pages(4, flags, file.fd());
      file.remove();
      PD_ASSERT(close(open(file.path().c_str(), O_CREAT | O_RDWR, 0600)) == 0);
      return bytes;
    });
    unlink(second.c_str());
    if (flags == MAP_SHARED) {
      ASSERT_FALSE(captured.result->ok());
      EXPECT_EQ(captured.result->error().code(), Code::kUnsupported);
    } else {
      EXPECT_TRUE(captured.file().regular().deleted());
      EXPECT_EQ(captured.objects.entries().size(), 1u);
    }
  }
}

TEST(CaptureVmas, OddFileNamesAreExact) {
  TemporaryFile file;
  for (const char* odd : {"a\nb", "a\\012b", "a (deleted)"}) {
    std::string path = file.path() + odd;
    Fd other = Fd::adopt(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_EQ(ftruncate(other.get(), kPageSize), 0);
    Captured captured([&] { return map_pages(1, MAP_PRIVATE, other.get()); });
    unlink(path.c_str());
    EXPECT_EQ(captured.file().regular().identity().path(), path);
    EXPECT_FALSE(captured.file().regular().deleted());
  }
}

// A context for asynchronous I/O, which has read a page of /proc/self/exe if it is to be used; null
// if the kernel has none.
uint8_t* make_aio_ring(bool used) {
  aio_context_t context = 0;
  if (syscall(SYS_io_setup, 8, &context) != 0) return nullptr;
  if (!used) return reinterpret_cast<uint8_t*>(context);
  static char page[kPageSize];
  iocb request{};
  request.aio_lio_opcode = IOCB_CMD_PREAD;
  request.aio_fildes = static_cast<uint32_t>(open("/proc/self/exe", O_RDONLY));
  request.aio_buf = number_of(page);
  request.aio_nbytes = sizeof(page);
  iocb* requests[] = {&request};
  io_event event{};
  PD_ASSERT(syscall(SYS_io_submit, context, 1, requests) == 1);
  PD_ASSERT(syscall(SYS_io_getevents, context, 1, 1, &event, nullptr) == 1);
  return reinterpret_cast<uint8_t*>(context);
}

TEST(CaptureVmas, AioRingsAreSavedUntilTheyAreUsed) {
  Captured unused([] { return make_aio_ring(false); });
  if (unused.address == 0) GTEST_SKIP() << "this kernel has no aio";
  EXPECT_EQ(unused.vma().kind(), Vma::AIO_RING);
  EXPECT_FALSE(unused.area());
  Captured used([] { return make_aio_ring(true); });
  ASSERT_FALSE(used.result->ok());
  EXPECT_EQ(used.result->error().code(), Code::kUnsupported);
  EXPECT_NE(used.result->error().message().find("/[aio]: an AIO ring"), std::string::npos);
}

TEST(CaptureVmas, TheEnginesOwnMappingIsNoPartOfTheProgram) {
  Captured captured([] {
    int fd = memfd_create("perdure-batch", 0);
    PD_ASSERT(ftruncate(fd, kPageSize) == 0);
    return map_pages(1, MAP_PRIVATE, fd);
  });
  ASSERT_TRUE(captured.result->ok());
  for (const Vma& vma : (*captured.result)->space.vmas()) EXPECT_NE(vma.start(), captured.address);
  EXPECT_TRUE(captured.objects.entries().empty());
  EXPECT_FALSE(captured.area());
}

TEST(CaptureVmas, KnownFlagsAreTakenWhereNothingChanged) {
  Captured captured([] {
    uint8_t* bytes = map_pages(3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
    madvise(bytes, 3 * kPageSize, MADV_DONTFORK);
    return bytes;
  });
  ASSERT_TRUE(captured.result->ok());
  std::vector<kernel::proc::MapsEntry> known = (*captured.result)->entries;
  for (auto& entry : known)
    entry.vm_flags |= static_cast<uint64_t>(kernel::proc::VmFlag::kMergeable);
  captured.again({.watch = EngineWatch::kNone, .brk = 0, .known_flags = known});
  EXPECT_TRUE(captured.vma().mergeable()) << "smaps was read although everything was known";
  known.erase(known.begin() + 3);
  captured.again({.watch = EngineWatch::kNone, .brk = 0, .known_flags = known});
  EXPECT_FALSE(captured.vma().mergeable()) << "a new mapping needs smaps";
}

TEST(CaptureVmas, TheEnginesOwnMappingNeedsNoFlags) {
  Captured captured([] {
    const int fd = memfd_create("perdure-batch", 0);
    PD_ASSERT(ftruncate(fd, kPageSize) == 0);
    map_pages(1, MAP_PRIVATE, fd);
    return map_pages(3, MAP_PRIVATE | MAP_ANONYMOUS);
  });
  ASSERT_TRUE(captured.result->ok());
  std::vector<kernel::proc::MapsEntry> known = (*captured.result)->entries;
  std::erase_if(known, [](const auto& entry) { return entry.path == kBatchMappingPath; });
  ASSERT_LT(known.size(), (*captured.result)->entries.size());
  for (auto& entry : known)
    entry.vm_flags |= static_cast<uint64_t>(kernel::proc::VmFlag::kMergeable);
  captured.again({.watch = EngineWatch::kNone, .brk = 0, .known_flags = known});
  EXPECT_TRUE(captured.vma().mergeable()) << "smaps was read although everything was known";
}

TEST(KnowMappings, ReadsFlagsOfNewMappingsAndOfAllAfterAWhile) {
  Target target([](Gate& gate) { gate.meet(); });
  SystemClock clock;
  KnownMappings known;
  know_mappings(target.pid(), clock, &known);
  ASSERT_FALSE(known.entries.empty());
  EXPECT_GE(known.read_again_ns, clock.monotonic_ns());
  const auto merge = static_cast<uint64_t>(kernel::proc::VmFlag::kMergeable);
  known.entries.front().vm_flags |= merge;
  known.read_again_ns = clock.monotonic_ns() + 3'600'000'000'000;
  know_mappings(target.pid(), clock, &known);
  EXPECT_NE(known.entries.front().vm_flags & merge, 0u) << "smaps was read before its time";
  known.read_again_ns = 0;
  know_mappings(target.pid(), clock, &known);
  EXPECT_EQ(known.entries.front().vm_flags & merge, 0u) << "smaps was not read again";
  known.entries.front().vm_flags |= merge;
  known.read_again_ns = clock.monotonic_ns() + 3'600'000'000'000;
  known.entries.pop_back();
  know_mappings(target.pid(), clock, &known);
  EXPECT_EQ(known.entries.front().vm_flags & merge, 0u) << "a new mapping has no flags";
}

// Each makes a mapping that cannot be saved, or returns null where the kernel lacks it.
struct Refusal {
  const char* name;
  uint8_t* (*map)();
  const char* message;
};

uint8_t* map_or_null(size_t size, int protection, int flags, int fd, off_t offset = 0) {
  void* address = fd == -2 ? MAP_FAILED : mmap(nullptr, size, protection, flags, fd, offset);
  return address == MAP_FAILED ? nullptr : static_cast<uint8_t*>(address);
}

const Refusal kRefusals[] = {
    {"io_uring",
     [] {
       io_uring_params params{};
       long ring = syscall(SYS_io_uring_setup, 4, &params);
       return ring < 0 ? nullptr
                       : map_or_null(kPageSize, kAccess, MAP_SHARED, static_cast<int>(ring),
                                     IORING_OFF_SQ_RING);
     },
     "anon_inode:[io_uring]: a ring of io_uring cannot be saved"},
    {"hugetlb",
     [] { return map_or_null(2u << 20, kAccess, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1); },
     "huge pages"},
    {"userfaultfd",
     [] {
       uint8_t* bytes = map_pages(1, MAP_PRIVATE | MAP_ANONYMOUS);
       Result<Fd> uffd = kernel::create_userfaultfd();
       bool watched = uffd.ok() &&
                      kernel::enable_uffd(*uffd, kernel::abi::kUffdFeatureWpAsync).ok() &&
                      kernel::register_uffd_wp(*uffd, number_of(bytes), kPageSize).ok();
       if (uffd.ok()) uffd->release();
       return watched ? bytes : nullptr;
     },
     "watches with userfaultfd"},
    {"secret memory",
     [] {
       long fd = syscall(SYS_memfd_secret, 0);
       if (fd < 0 || ftruncate(static_cast<int>(fd), kPageSize) != 0)
         return static_cast<uint8_t*>(nullptr);
       return map_or_null(kPageSize, kAccess, MAP_SHARED, static_cast<int>(fd));
     },
     "secret memory"},
    {"sealed",
     [] {
       uint8_t* bytes = map_pages(1, MAP_PRIVATE | MAP_ANONYMOUS);
       constexpr long kMseal = 462;
       return syscall(kMseal, bytes, kPageSize, 0) == 0 ? bytes : nullptr;
     },
     "sealed with mseal"},
    {"protection key",
     [] {
       uint8_t* bytes = map_pages(1, MAP_PRIVATE | MAP_ANONYMOUS);
       int key = pkey_alloc(0, 0);
       return key > 0 && pkey_mprotect(bytes, kPageSize, kAccess, key) == 0 ? bytes : nullptr;
     },
     "protection key"},
    {"device",
     [] {
       return map_or_null(kPageSize, PROT_READ, MAP_SHARED, open("/dev/mem", O_RDONLY), 0xF0000);
     },
     "/dev/mem: memory of a device cannot be saved"},
};

TEST(CaptureVmas, RefusesWhatCannotBeSavedByName) {
  int tried = 0;
  for (const Refusal& refusal : kRefusals) {
    Captured captured([&] { return refusal.map(); });
    if (captured.address == 0) continue;  // not on this kernel
    ++tried;
    ASSERT_FALSE(captured.result->ok()) << refusal.name;
    const Error& error = captured.result->error();
    EXPECT_EQ(error.code(), Code::kUnsupported) << refusal.name;
    char range[40];
    snprintf(range, sizeof(range), " mapping %lx-", captured.address);
    EXPECT_NE(error.message().find("pid " + std::to_string(captured.target.pid()) + " ("),
              std::string::npos);
    EXPECT_NE(error.message().find(range), std::string::npos) << error.message();
    EXPECT_NE(error.message().find(refusal.message), std::string::npos) << error.message();
  }
  EXPECT_GE(tried, 3);
}

TEST(CaptureVmas, TheEnginesWriteProtectionIsNotTheProgramsUserfaultfd) {
  Captured captured([] { return kRefusals[2].map(); },
                    {.watch = EngineWatch::kWrites, .brk = 0, .known_flags = {}});
  if (captured.address == 0) GTEST_SKIP() << "userfaultfd with WP_ASYNC is missing";
  EXPECT_TRUE(captured.result->ok());
}

TEST(CaptureVmas, SaysThatAProcessIsGone) {
  pid_t child = fork();
  if (child == 0) _exit(0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  object::IdTable ids{object::kFirstFreeObjectId};
  MappedFiles files{ids};
  MemoryObjects objects{ids};
  auto captured = capture_vmas(child, {}, files, objects);
  ASSERT_FALSE(captured.ok());
  EXPECT_EQ(captured.error().code(), Code::kGone);
}

TEST(SetGuardPages, PutsThemIntoTheVmasThatHoldThem) {
  object::AddressSpace space;
  for (uint64_t start : {0x10000u, 0x20000u}) {
    Vma& vma = *space.add_vmas();
    vma.set_start(start);
    vma.set_end(start + 0x10000);
  }
  memory::PageSet guard;
  guard.add_bytes(0x1F000, 0x21000);
  guard.add_bytes(0x23000, 0x24000);
  set_guard_pages(guard, space);
  ASSERT_EQ(space.vmas(0).guard_pages_size(), 1);
  EXPECT_EQ(space.vmas(0).guard_pages(0).start(), 0x1F000u);
  ASSERT_EQ(space.vmas(1).guard_pages_size(), 2);
  EXPECT_EQ(space.vmas(1).guard_pages(0).end(), 0x21000u);
  EXPECT_EQ(space.vmas(1).guard_pages(1).start(), 0x23000u);
  set_guard_pages({}, space);
  EXPECT_EQ(space.vmas(1).guard_pages_size(), 0);
}

}  // namespace
}  // namespace perdure::capture
