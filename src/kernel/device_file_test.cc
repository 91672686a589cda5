#include "kernel/device_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace perdure::kernel {
namespace {

class DeviceFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = std::filesystem::temp_directory_path() / "device-file-XXXXXX";
    ASSERT_NE(mkdtemp(directory_.data()), nullptr);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string path(const std::string& name) const { return directory_ + "/" + name; }

  std::string directory_;
};

TEST_F(DeviceFileTest, WhatIsWrittenIsReadBack) {
  auto fd = open_disk_file(path("f"), OpenFor::kCreate, Caching::kBuffered);
  ASSERT_TRUE(fd.ok());
  const uint8_t bytes[] = {1, 2, 3};
  ASSERT_TRUE(write_file_at(*fd, 10, bytes).ok());
  ASSERT_TRUE(sync_file_data(*fd).ok());
  uint8_t back[20] = {};
  const auto size = read_file_at(*fd, 11, back);
  ASSERT_TRUE(size.ok());
  EXPECT_EQ(*size, 2u);  // short at the end of the file only
  EXPECT_EQ(back[1], 3);
  EXPECT_EQ(*file_size(*fd), 13u);
}

TEST_F(DeviceFileTest, CreatingNeverTakesAnExistingFile) {
  ASSERT_TRUE(open_disk_file(path("f"), OpenFor::kCreate, Caching::kBuffered).ok());
  const auto again = open_disk_file(path("f"), OpenFor::kCreate, Caching::kDirectIfPossible);
  EXPECT_EQ(again.error().code(), Code::kExists);
  EXPECT_EQ(open_disk_file(path("g"), OpenFor::kRead, Caching::kBuffered).error().code(),
            Code::kNotFound);
}

TEST_F(DeviceFileTest, DescriptorsAreClosedOnExecAndFilesPrivate) {
  auto fd = open_disk_file(path("f"), OpenFor::kCreate, Caching::kDirectIfPossible);
  ASSERT_TRUE(fd.ok());
  EXPECT_NE(fcntl(fd->get(), F_GETFD) & FD_CLOEXEC, 0);
  struct stat st;
  ASSERT_EQ(fstat(fd->get(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
}

TEST_F(DeviceFileTest, AllocatedSpaceIsThere) {
  auto fd = open_disk_file(path("f"), OpenFor::kCreate, Caching::kBuffered);
  ASSERT_TRUE(allocate_file(*fd, 1 << 20).ok());
  EXPECT_EQ(*file_size(*fd), 1u << 20);
  ASSERT_TRUE(truncate_file(*fd, 5).ok());
  EXPECT_EQ(*file_size(*fd), 5u);
}

TEST_F(DeviceFileTest, WhereDirectWritesAreRefusedFilesAreBuffered) {
  std::string shm = "/dev/shm/device-file-XXXXXX";
  if (mkdtemp(shm.data()) == nullptr) GTEST_SKIP() << "/dev/shm is not there";
  {
    auto fd = open_disk_file(shm + "/f", OpenFor::kCreate, Caching::kDirectIfPossible);
    ASSERT_TRUE(fd.ok()) << fd.error().to_string();
    const uint8_t byte = 1;  // neither aligned nor a block
    EXPECT_TRUE((fcntl(fd->get(), F_GETFL) & O_DIRECT) != 0 ||
                write_file_at(*fd, 0, bytes_of(byte)).ok());
  }
  std::filesystem::remove_all(shm);
}

TEST_F(DeviceFileTest, ALockIsHeldOnce) {
  auto first = open_lock_file(path("lock"));
  auto second = open_lock_file(path("lock"));
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_TRUE(*try_lock_exclusive(*first));
  EXPECT_FALSE(*try_lock_exclusive(*second));
  first->reset();
  EXPECT_TRUE(*try_lock_exclusive(*second));
}

TEST_F(DeviceFileTest, DirectoriesAreMadeListedAndSynced) {
  EXPECT_TRUE(*make_directory(path("d")));
  EXPECT_FALSE(*make_directory(path("d")));
  ASSERT_TRUE(open_disk_file(path("d/f"), OpenFor::kCreate, Caching::kBuffered).ok());
  EXPECT_EQ(*list_directory(path("d")), std::vector<std::string>{"f"});
  EXPECT_TRUE(sync_directory(path("d")).ok());
  EXPECT_TRUE(remove_file(path("d/f")).ok());
  EXPECT_EQ(remove_file(path("d/f")).error().code(), Code::kNotFound);
  EXPECT_TRUE(list_directory(path("d"))->empty());
  EXPECT_EQ(list_directory(path("nowhere")).error().code(), Code::kNotFound);
  EXPECT_GT(*free_space(directory_), 0u);
}

}  // namespace
}  // namespace perdure::kernel
