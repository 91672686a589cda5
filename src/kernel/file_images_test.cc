#include "kernel/file_images.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "kernel/file.h"
#include "kernel/proc/fdinfo.h"
#include "kernel/proc/read.h"
#include "kernel/socket.h"

namespace perdure::kernel {
namespace {

std::unique_ptr<FileImages> make_images() {
  const auto btf = Btf::read_kernel();
  if (!btf.ok()) return nullptr;
  auto made = FileImages::create(*btf);
  return made.ok() ? std::move(*made) : nullptr;
}

#define SKIP_WITHOUT(images) \
  if ((images) == nullptr) GTEST_SKIP() << "needs the feature: BPF iterators over tasks"

FileImage image_of(FileImages& images, int fd) {
  const auto all = images.look(::getpid());
  EXPECT_TRUE(all.ok());
  const auto found = std::find_if(all->begin(), all->end(),
                                  [fd](const FileImage& image) { return image.fd == fd; });
  EXPECT_NE(found, all->end());
  return found == all->end() ? FileImage() : *found;
}

// Each number that /proc lists is there, with what stat(2), fdinfo and kcmp(2) tell.
TEST(FileImages, TellWhatIsAskedOneByOne) {
  const std::unique_ptr<FileImages> images = make_images();
  SKIP_WITHOUT(images);
  const Fd file = open_file("/proc/self/exe", O_RDONLY).value();
  ASSERT_TRUE(seek(file.get(), 12345).ok());
  const Fd null = open_file("/dev/null", O_WRONLY | O_APPEND).value();
  const Fd folder = open_file("/", O_PATH).value();
  const Fd twin = duplicate_above(file.get(), 70).value();
  ASSERT_TRUE(set_descriptor_flags(twin.get(), 0).ok());
  const Fd event = Fd::adopt(::eventfd(3, EFD_NONBLOCK));
  const auto pair = make_socket_pair(SOCK_STREAM).value();
  const Fd internet = make_socket(AF_INET, SOCK_STREAM, 0).value();
  const auto look = images->look(::getpid());
  ASSERT_TRUE(look.ok());
  // Looking at ourselves needs a descriptor, which is closed by now.
  std::vector<FileImage> all(look->begin(), look->end());
  std::erase_if(all, [](const FileImage& image) { return !is_open(image.fd); });
  std::vector<pid_t> numbers;
  for (const FileImage& image : all) {
    numbers.push_back(image.fd);
    const auto info = proc::read_fdinfo(::getpid(), image.fd);
    const auto status = stat_fd(image.fd);
    ASSERT_TRUE(info.ok() && status.ok());
    EXPECT_EQ(image.position, info->position);
    EXPECT_EQ(image.flags | (image.close_on_exec ? O_CLOEXEC : 0u), info->flags) << image.fd;
    EXPECT_EQ(image.inode, status->st_ino);
    EXPECT_EQ(image.mode, status->st_mode);
    EXPECT_EQ(image.special, status->st_rdev);
    if (S_ISSOCK(image.mode)) {
      EXPECT_EQ(image.device, status->st_dev);
    }
    for (const FileImage& other : all) {
      const bool same = compare_files(::getpid(), image.fd, ::getpid(), other.fd).value() == 0;
      EXPECT_EQ(same, image.file == other.file) << image.fd << " and " << other.fd;
    }
  }
  auto listed = proc::list_numbers("/proc/self/fd").value();
  std::erase_if(listed, [](pid_t fd) { return !is_open(fd); });
  EXPECT_EQ(numbers, listed);
  EXPECT_EQ(image_of(*images, pair.first.get()).family, AF_UNIX);
  EXPECT_EQ(image_of(*images, internet.get()).family, AF_INET);
}

TEST(FileImages, TellOwnersLocksAndFilters) {
  const std::unique_ptr<FileImages> images = make_images();
  SKIP_WITHOUT(images);
  const auto pair = make_socket_pair(SOCK_STREAM).value();
  FileImage image = image_of(*images, pair.first.get());
  EXPECT_FALSE(image.owned || image.locks || image.has_filter);
  ASSERT_EQ(::fcntl(pair.first.get(), F_SETOWN, ::getpid()), 0);
  EXPECT_TRUE(image_of(*images, pair.first.get()).owned);
  ASSERT_EQ(::fcntl(pair.second.get(), F_SETSIG, SIGUSR1), 0);
  EXPECT_TRUE(image_of(*images, pair.second.get()).owned);
  struct {
    uint16_t code;
    uint8_t jt, jf;
    uint32_t k;
  } keep = {6, 0, 0, ~0u};
  struct {
    uint16_t length;
    void* filter;
  } program = {1, &keep};
  ASSERT_EQ(::setsockopt(pair.second.get(), SOL_SOCKET, SO_ATTACH_FILTER, &program, 16), 0);
  EXPECT_TRUE(image_of(*images, pair.second.get()).has_filter);
  const std::string path = "/tmp/perdure-test-lock-" + std::to_string(::getpid());
  const Fd file = open_file(path, O_RDWR | O_CREAT, 0600).value();
  (void)unlink_path(path);
  EXPECT_FALSE(image_of(*images, file.get()).locks);
  ASSERT_EQ(::flock(file.get(), LOCK_EX), 0);
  EXPECT_TRUE(image_of(*images, file.get()).locks);
}

TEST(FileImages, FollowsWhatChanges) {
  const std::unique_ptr<FileImages> images = make_images();
  SKIP_WITHOUT(images);
  const Fd null = open_file("/dev/null", O_RDWR).value();
  Fd file = duplicate_above(null.get(), 100).value();  // looking at ourselves opens the lowest
  const int number = file.get();
  const FileImage before = image_of(*images, number);
  ASSERT_TRUE(set_status_flags(number, O_RDWR | O_NONBLOCK).ok());
  EXPECT_NE(before.flags, image_of(*images, number).flags);
  ASSERT_TRUE(set_descriptor_flags(number, 0).ok());
  EXPECT_FALSE(image_of(*images, number).close_on_exec);
  file = Fd();
  const auto all = images->look(::getpid());
  EXPECT_TRUE(std::none_of(all->begin(), all->end(),
                           [number](const FileImage& image) { return image.fd == number; }));
}

}  // namespace
}  // namespace perdure::kernel
