#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/device.h"
#include "store/format.h"
#include "store/testing.h"

namespace perdure::store {
namespace {

using testing::TemporaryDirectory;

TEST(LinuxDevice, ErrorsNameThePath) {
  TemporaryDirectory directory;
  const auto device = linux_device(directory.path());
  const auto file = device->open("nothing", FileMode::kRead);
  EXPECT_EQ(file.error().code(), Code::kNotFound);
  EXPECT_NE(file.error().message().find(directory.file("nothing")), std::string::npos);
}

TEST(LinuxDevice, BlocksAreWrittenAndReadBackOnEveryFileSystem) {
  for (const char* parent : {"/tmp", "/dev/shm", "."}) {
    TemporaryDirectory directory(parent);
    const auto device = linux_device(directory.path());
    const auto file = PD_ASSERT_OK(device->open("f", FileMode::kCreate));
    PD_ASSERT_OK(file->allocate(10 * kBlockSize));
    struct Free {
      void operator()(void* memory) const { std::free(memory); }
    };
    const std::unique_ptr<void, Free> memory(std::aligned_alloc(kBlockSize, kBlockSize));
    std::memset(memory.get(), 7, kBlockSize);
    PD_ASSERT_OK(file->write_at(kBlockSize, Bytes(static_cast<uint8_t*>(memory.get()), kBlockSize),
                                Through::kDirect));
    PD_ASSERT_OK(file->sync());
    const auto reader = PD_ASSERT_OK(device->open("f", FileMode::kRead));
    uint8_t back[2] = {};
    EXPECT_EQ(PD_ASSERT_OK(reader->read_at(2 * kBlockSize - 1, back)), 2u);
    EXPECT_EQ(back[0], 7);
    EXPECT_EQ(back[1], 0);
    EXPECT_EQ(PD_ASSERT_OK(reader->size()), 10 * kBlockSize);
  }
}

TEST(LinuxDevice, TheLockGoesWithTheProcessThatHoldsIt) {
  TemporaryDirectory directory;
  int ready[2], stop[2];
  ASSERT_EQ(pipe(ready), 0);
  ASSERT_EQ(pipe(stop), 0);
  const pid_t child = fork();
  if (child == 0) {
    const auto device = linux_device(directory.path());
    const auto lock = device->lock();
    char byte = lock.ok() ? 'y' : 'n';
    (void)!write(ready[1], &byte, 1);
    (void)!read(stop[0], &byte, 1);
    _exit(0);  // without giving it back
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  ASSERT_EQ(byte, 'y');
  const auto device = linux_device(directory.path());
  const auto busy = device->lock();
  EXPECT_EQ(busy.error().code(), Code::kBusy);
  EXPECT_NE(busy.error().message().find("pid " + std::to_string(child)), std::string::npos);
  ASSERT_EQ(write(stop[1], &byte, 1), 1);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(device->lock().ok());
  for (const int fd : {ready[0], ready[1], stop[0], stop[1]}) close(fd);
}

}  // namespace
}  // namespace perdure::store
