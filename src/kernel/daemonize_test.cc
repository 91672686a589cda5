#include "kernel/daemonize.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/fd.h"
#include "kernel/control_socket.h"

namespace perdure::kernel {
namespace {

TEST(Daemonize, ADaemonHasItsOwnSessionAndNoParentWhoWaits) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  Fd reader = Fd::adopt(ends[0]), writer = Fd::adopt(ends[1]);
  Side side = fork_daemon().value();
  if (side == Side::kDaemon) {
    pid_t ids[3] = {::getpid(), ::getsid(0), ::getppid()};
    bool left = leave_caller().ok() && ::isatty(0) == 0;
    if (!left) ids[0] = -1;
    ssize_t wrote = ::write(writer.get(), ids, sizeof(ids));
    ::_exit(wrote == sizeof(ids) ? 0 : 1);
  }
  writer.reset();
  pid_t ids[3] = {};
  ASSERT_EQ(::read(reader.get(), ids, sizeof(ids)), static_cast<ssize_t>(sizeof(ids)));
  EXPECT_GT(ids[0], 0);
  EXPECT_NE(ids[1], ::getsid(0));
  EXPECT_NE(ids[0], ids[1]) << "it must not lead its session";
  EXPECT_TRUE(ids[2] != ::getpid() || ::getpid() == 1) << "only process 1 gets every orphan";
}

TEST(Daemonize, OnlyWhatHasNoNameIsTheCallersOwn) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  Fd reader = Fd::adopt(ends[0]), writer = Fd::adopt(ends[1]);
  auto [a, b] = control_socket_pair().value();
  Fd file = Fd::adopt(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  Fd null = Fd::adopt(::open("/dev/null", O_RDWR | O_CLOEXEC));
  char folder[] = "/tmp/perdure-fifo-XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  const std::string path = std::string(folder) + "/fifo";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  Fd fifo = Fd::adopt(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  EXPECT_TRUE(is_callers_own(reader.get()));
  EXPECT_TRUE(is_callers_own(a.get()));
  EXPECT_TRUE(is_callers_own(1000000)) << "closed";
  EXPECT_FALSE(is_callers_own(file.get()));
  EXPECT_FALSE(is_callers_own(null.get()));
  EXPECT_FALSE(is_callers_own(fifo.get()));
  EXPECT_EQ(::unlink(path.c_str()), 0);
  EXPECT_EQ(::rmdir(folder), 0);
}

TEST(Daemonize, InheritedDescriptorsAreThoseFromThreeOn) {
  Fd null = Fd::adopt(::open("/dev/null", O_RDWR | O_CLOEXEC));
  std::vector<int> numbers = inherited_descriptors();
  EXPECT_NE(std::find(numbers.begin(), numbers.end(), null.get()), numbers.end());
  EXPECT_EQ(std::find(numbers.begin(), numbers.end(), 0), numbers.end());
  close_descriptors({null.release()});
  for (int number : inherited_descriptors()) EXPECT_GE(::fcntl(number, F_GETFD), 0);
}

TEST(Daemonize, SilencedIsDevNull) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  Fd reader = Fd::adopt(ends[0]), writer = Fd::adopt(ends[1]);
  ASSERT_TRUE(silence(writer.get()).ok());
  struct stat status, null;
  ASSERT_EQ(::fstat(writer.get(), &status), 0);
  ASSERT_EQ(::stat("/dev/null", &null), 0);
  EXPECT_EQ(status.st_rdev, null.st_rdev);
}

}  // namespace
}  // namespace perdure::kernel
