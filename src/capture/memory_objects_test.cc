#include "capture/memory_objects.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "kernel/file.h"
#include "kernel/proc/read.h"
#include "object/kind.h"

namespace perdure::capture {
namespace {

using object::MemoryObject;
using Tmpfs = MemoryObjects::Tmpfs;

class MemoryObjectsTest : public testing::Test {
 protected:
  // Adds a descriptor of ours, under the link that /proc shows for it.
  Result<ObjectId> add(int fd, Tmpfs tmpfs = Tmpfs::kAsMemory) {
    std::string path = kernel::path_of_fd(fd);
    return objects_.add_fd(fd, kernel::proc::read_link(path).value(), tmpfs);
  }
  object::IdTable ids_{object::kFirstFreeObjectId};
  MemoryObjects objects_{ids_};
};

TEST_F(MemoryObjectsTest, AMemfdIsOneObjectHoweverItIsReached) {
  Fd memfd = Fd::adopt(memfd_create("one", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(ftruncate(memfd.get(), 2 * kPageSize), 0);
  Fd again = Fd::adopt(open(kernel::path_of_fd(memfd.get()).c_str(), O_RDONLY | O_CLOEXEC));
  ObjectId id = add(memfd.get()).value();
  EXPECT_NE(id, ObjectId());
  EXPECT_EQ(add(again.get()).value(), id);
  void* mapping = mmap(nullptr, kPageSize, PROT_READ, MAP_SHARED, memfd.get(), 0);
  char path[80];
  uint64_t start = reinterpret_cast<uint64_t>(mapping);
  snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", start, start + kPageSize);
  EXPECT_EQ(objects_.add(path, "/memfd:one", Tmpfs::kAsMemory).value(), id);
  munmap(mapping, kPageSize);
  EXPECT_EQ(objects_.entries().size(), 1u);
  EXPECT_EQ(objects_.find(id)->record.name(), "one");
}

TEST_F(MemoryObjectsTest, ContentIsReadableThoughTheDescriptorOnlyWrites) {
  Fd memfd = Fd::adopt(memfd_create("content", MFD_CLOEXEC));
  ASSERT_EQ(write(memfd.get(), "hello", 5), 5);
  Fd write_only = Fd::adopt(open(kernel::path_of_fd(memfd.get()).c_str(), O_WRONLY | O_CLOEXEC));
  ObjectId id = add(write_only.get()).value();
  write_only.reset();
  memfd.reset();
  char text[6] = {};
  EXPECT_EQ(pread(objects_.find(id)->content.get(), text, 5, 0), 5);
  EXPECT_STREQ(text, "hello");
  EXPECT_EQ(objects_.find(id)->record.size(), 5u);
}

TEST_F(MemoryObjectsTest, IdsOutliveTheCheckpoint) {
  Fd memfd = Fd::adopt(memfd_create("stable", MFD_CLOEXEC));
  ObjectId id = add(memfd.get()).value();
  objects_.clear();
  EXPECT_EQ(objects_.find(id), nullptr);
  EXPECT_EQ(add(memfd.get()).value(), id);
}

TEST_F(MemoryObjectsTest, OrdinaryFilesPipesAndDevicesAreNone) {
  Fd file = Fd::adopt(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(add(file.get()).value(), ObjectId());
  Fd device = Fd::adopt(open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_EQ(add(device.get()).value(), ObjectId());
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  Fd in = Fd::adopt(ends[0]), out = Fd::adopt(ends[1]);
  EXPECT_EQ(add(in.get()).value(), ObjectId());
  EXPECT_TRUE(objects_.entries().empty());
}

TEST_F(MemoryObjectsTest, TmpfsFilesAreMemoryOrFilesAsAskedAndMemoryOnceDeleted) {
  std::string path = "/dev/shm/memory_objects_test." + std::to_string(getpid());
  Fd file = Fd::adopt(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_TRUE(file.valid());
  EXPECT_EQ(add(file.get(), Tmpfs::kAsFile).value(), ObjectId());
  ObjectId id = add(file.get(), Tmpfs::kAsMemory).value();
  EXPECT_EQ(objects_.find(id)->record.kind(), MemoryObject::POSIX_SHM);
  EXPECT_EQ(objects_.find(id)->record.name(), path);
  EXPECT_EQ(objects_.find(id)->record.mode(), 0600u);
  unlink(path.c_str());
  objects_.clear();
  EXPECT_EQ(add(file.get(), Tmpfs::kAsFile).value(), id);
  EXPECT_EQ(objects_.find(id)->record.kind(), MemoryObject::DELETED_FILE);
}

TEST_F(MemoryObjectsTest, FilesWithoutANameAreDeletedFiles) {
  Fd file = Fd::adopt(open(".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
  if (!file.valid()) GTEST_SKIP() << "this file system has no O_TMPFILE";
  ObjectId id = add(file.get()).value();
  EXPECT_EQ(objects_.find(id)->record.kind(), MemoryObject::DELETED_FILE);
}

TEST_F(MemoryObjectsTest, HugeAndSecretMemoryAreRefused) {
  Fd huge = Fd::adopt(memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB));
  if (!huge.valid()) GTEST_SKIP() << "this kernel has no hugetlbfs";
  auto refused = add(huge.get());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kUnsupported);
}

}  // namespace
}  // namespace perdure::capture
