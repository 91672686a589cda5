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
#include "kernel/shared_memory.h"
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
    if (S_ISREG(image.mode)) {
      EXPECT_EQ(image.size, static_cast<uint64_t>(status->st_size));
    }
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

// Also after somebody has asked for it, which the kernel notes beside it.
TEST(FileImages, TellWhenAFileChanged) {
  const std::unique_ptr<FileImages> images = make_images();
  SKIP_WITHOUT(images);
  const Fd file = make_memfd("changes").value();
  if (image_of(*images, file.get()).ctime_ns == 0)
    GTEST_SKIP() << "needs the feature: images of this kernel's inodes";
  int64_t before = 0;
  for (int i = 1; i <= 5; ++i) {
    ASSERT_TRUE(truncate_file(file.get(), static_cast<uint64_t>(i)).ok());
    const int64_t asked = ctime_ns_of(stat_fd(file.get()).value());
    EXPECT_EQ(image_of(*images, file.get()).ctime_ns, asked);
    EXPECT_GT(asked, before);
    before = asked;
    ::usleep(20'000);
  }
}

TEST(FileImages, TellOfManyDescriptors) {
  const std::unique_ptr<FileImages> images = make_images();
  SKIP_WITHOUT(images);
  constexpr size_t kMany = 3000;
  raise_descriptor_limit();
  std::vector<Fd> files;
  while (files.size() < kMany) files.push_back(open_file("/dev/null", O_RDONLY).value());
  const auto look = images->look(::getpid());
  ASSERT_TRUE(look.ok()) << look.error().to_string();
  EXPECT_GE(look->size(), kMany);
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

void expect_as_asked(const UnixSocketInfo& image, const UnixSocketInfo& asked) {
  EXPECT_EQ(image.type, asked.type);
  EXPECT_EQ(image.state, asked.state);
  EXPECT_EQ(image.has_peer, asked.has_peer);
  EXPECT_EQ(image.peer_inode, asked.peer_inode);
  EXPECT_EQ(image.has_file, asked.has_file);
  EXPECT_EQ(image.file_inode, asked.file_inode);
  EXPECT_EQ(image.file_device, asked.file_device);
  EXPECT_EQ(image.shutdown, asked.shutdown);
  EXPECT_EQ(image.address, asked.address);
  EXPECT_EQ(image.bytes_waiting > 0, asked.bytes_waiting > 0);
  EXPECT_TRUE(asked.waiting.empty());
}

// Of every socket here: all that is connected, as sock_diag tells it, and nothing of the others.
void expect_streams_as_asked(FileImages& images) {
  const SocketDiag diag = SocketDiag::open().value();
  const auto all = images.look(::getpid()).value();
  for (const FileImage& image : std::vector<FileImage>(all.begin(), all.end())) {
    if (image.family != AF_UNIX || !is_open(image.fd)) continue;
    const auto asked = diag.unix_socket(image.inode);
    ASSERT_TRUE(asked.ok()) << asked.error().to_string();
    const bool connected = asked->type == SOCK_STREAM && asked->state == 1;
    ASSERT_EQ(image.unix_stream.has_value(), connected) << image.fd;
    if (connected) expect_as_asked(*image.unix_stream, *asked);
  }
}

// A listener with one client that was accepted and one that waits.
struct Connections {
  Fd listener, accepted, clients[2];
};

Connections connect_twice(const std::string& name) {
  Connections all;
  all.listener = make_socket(AF_UNIX, SOCK_STREAM, 0).value();
  EXPECT_TRUE(bind_socket(all.listener.get(), unix_address(name)).ok());
  EXPECT_TRUE(listen_socket(all.listener.get(), 7).ok());
  for (Fd& client : all.clients) {
    client = make_socket(AF_UNIX, SOCK_STREAM, 0).value();
    EXPECT_TRUE(connect_socket(client.get(), unix_address(name)).ok());
  }
  all.accepted = accept_socket(all.listener.get()).value();
  return all;
}

// Peers, names in a file system and without one, data, shutdown, and ends that were closed.
TEST(FileImages, TellOfUnixStreamsWhatSockDiagTells) {
  const std::unique_ptr<FileImages> images = make_images();
  SKIP_WITHOUT(images);
  auto pair = make_socket_pair(SOCK_STREAM).value();
  if (!image_of(*images, pair.first.get()).unix_stream) {
    GTEST_SKIP() << "needs the feature: images of this kernel's Unix sockets";
  }
  const auto packets = make_socket_pair(SOCK_SEQPACKET).value();
  const auto datagrams = make_socket_pair(SOCK_DGRAM).value();
  const std::string unique = "perdure-images-" + std::to_string(::getpid());
  const std::string long_path = "/tmp/" + unique + std::string(100 - unique.size(), 'x');
  Connections in_folder = connect_twice(long_path);
  Connections nowhere = connect_twice(std::string(1, '\0') + unique);
  expect_streams_as_asked(*images);
  ASSERT_TRUE(send_message(pair.first.get(), {"twelve bytes", {}, {}}).ok());
  ASSERT_TRUE(send_message(in_folder.clients[0].get(), {"x", {}, {}}).ok());
  ASSERT_TRUE(shutdown_socket(pair.second.get(), SHUT_WR).ok());
  expect_streams_as_asked(*images);
  ASSERT_TRUE(unlink_path(long_path).ok());
  for (Fd* closed : {&in_folder.accepted, &nowhere.clients[0], &pair.first}) *closed = Fd();
  expect_streams_as_asked(*images);
  nowhere.listener = Fd();
  expect_streams_as_asked(*images);
}

}  // namespace
}  // namespace perdure::kernel
