#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "kernel/file.h"
#include "kernel/pidfd.h"
#include "kernel/socket.h"
#include "trip.h"

namespace perdure::trip {
namespace {

TEST(RegularFile, OffsetFlagsAndSharingComeBack) {
  const Folder folder;
  const std::string path = folder / "data";
  put_content(path, "0123456789");
  Plan plan;
  plan.processes = 2;
  plan.set_up = [&] {
    place(::open(path.c_str(), O_RDWR), 10);
    REQUIRE(::lseek(10, 4, SEEK_SET) == 4);
    REQUIRE(::dup2(10, 11) == 11);
    REQUIRE(::dup3(10, 13, O_CLOEXEC) == 13);
    place(::open(path.c_str(), O_WRONLY | O_APPEND | O_NONBLOCK), 12);
    REQUIRE(::fcntl(12, F_SETFD, FD_CLOEXEC) == 0);
  };
  plan.check = [](int index) {
    // The position is shared within and across processes.
    REQUIRE(::lseek(10, 0, SEEK_CUR) == 4 + index);
    REQUIRE(::lseek(11, 1, SEEK_CUR) == 5 + index);
    REQUIRE(::lseek(13, 0, SEEK_CUR) == 5 + index);
    REQUIRE((::fcntl(12, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK)) ==
            (O_WRONLY | O_APPEND | O_NONBLOCK));
    REQUIRE(::fcntl(12, F_GETFD) == FD_CLOEXEC);
    REQUIRE(::fcntl(13, F_GETFD) == FD_CLOEXEC);
    REQUIRE(::fcntl(10, F_GETFD) == 0);
  };
  expect_round_trip(plan);
}

Plan writer_of(const std::string& path) {
  Plan plan;
  plan.set_up = [path] { place(::open(path.c_str(), O_RDWR), 10); };
  plan.check = [](int) { REQUIRE(::fcntl(10, F_GETFL) >= 0); };
  return plan;
}

TEST(RegularFile, AChangedFileIsRefusedUnlessVolatile) {
  const Folder folder;
  const std::string path = folder / "data";
  put_content(path, "0123456789");
  Group group(writer_of(path));
  ASSERT_TRUE(group.capture().ok());
  put_content(path, "0123456789ab");
  const Status checked = restore::FileBuilder::check(group.graph(), {});
  ASSERT_FALSE(checked.ok());
  EXPECT_EQ(checked.error().code(), Code::kChanged);
  EXPECT_EQ(checked.error().message(),
            "file " + path + " is not as in the epoch: it has 12 bytes instead of 10");
  EXPECT_NE(checked.error().remedy().find("--files volatile"), std::string::npos);
  restore::FileBuildOptions options;
  options.policy = restore::FilePolicy::kVolatile;
  EXPECT_EQ(group.restore(options), "");
}

TEST(RegularFile, AChangeOfContentAloneIsSeenByChecksum) {
  const Folder folder;
  const std::string path = folder / "data";
  put_content(path, "0123456789");
  struct stat before;
  ASSERT_EQ(::stat(path.c_str(), &before), 0);
  Group group(writer_of(path));
  ASSERT_TRUE(group.capture().ok());
  put_content(path, "0123456780");
  const timespec times[2] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  const Status checked = restore::FileBuilder::check(group.graph(), {});
  ASSERT_FALSE(checked.ok());
  EXPECT_NE(checked.error().message().find("checksum"), std::string::npos);
}

TEST(RegularFile, AMissingFileIsRefusedByName) {
  const Folder folder;
  const std::string path = folder / "data";
  put_content(path, "x");
  Group group(writer_of(path));
  ASSERT_TRUE(group.capture().ok());
  ASSERT_EQ(::unlink(path.c_str()), 0);
  restore::FileBuildOptions options;
  options.policy = restore::FilePolicy::kVolatile;
  const Status checked = restore::FileBuilder::check(group.graph(), options);
  ASSERT_FALSE(checked.ok());
  EXPECT_EQ(checked.error().code(), Code::kChanged);
  EXPECT_EQ(checked.error().message(),
            "file " + path + " is not as in the epoch: there is no such file");
}

TEST(RegularFile, ARemovedFileKeepsContentAndModeAndStaysRemoved) {
  const Folder folder;
  const std::string path = folder / "data";
  Plan plan;
  plan.set_up = [&] {
    place(::open(path.c_str(), O_RDWR | O_CREAT, 0640), 10);
    write_text(10, "kept content");
    place(::open(path.c_str(), O_RDONLY), 11);
    REQUIRE(::lseek(11, 5, SEEK_SET) == 5);
    REQUIRE(::unlink(path.c_str()) == 0);
    place(::open(folder.path().c_str(), O_TMPFILE | O_RDWR, 0600), 12);
    write_text(12, "unnamed");
  };
  plan.check = [&](int) {
    REQUIRE(read_text(11) == "content");
    REQUIRE(::lseek(10, 0, SEEK_CUR) == 12);
    struct stat file;
    REQUIRE(::fstat(10, &file) == 0);
    REQUIRE(file.st_nlink == 0);
    REQUIRE((file.st_mode & 07777) == 0640);
    write_text(10, "!");
    REQUIRE(read_text(11) == "!");
    REQUIRE(::lseek(12, 0, SEEK_SET) == 0);
    REQUIRE(read_text(12) == "unnamed");
    REQUIRE(::access(path.c_str(), F_OK) != 0);
  };
  expect_round_trip(plan);
}

TEST(RegularFile, AFileThatHasOnlyAnotherNameIsRefused) {
  const Folder folder;
  const std::string path = folder / "data";
  const std::string refused = refusal_of([&] {
    place(::open(path.c_str(), O_RDWR | O_CREAT, 0600), 10);
    REQUIRE(::link(path.c_str(), (folder / "other").c_str()) == 0);
    REQUIRE(::unlink(path.c_str()) == 0);
  });
  EXPECT_NE(refused.find("fd 10"), std::string::npos) << refused;
  EXPECT_NE(refused.find(path), std::string::npos) << refused;
}

TEST(RegularFile, FilesOfTheKernelAreOpenedByPathAlone) {
  Plan plan;
  plan.set_up = [] { place(::open("/proc/sys/kernel/hostname", O_RDONLY), 10); };
  plan.check = [](int) { REQUIRE(!read_text(10).empty()); };
  expect_round_trip(plan);
  EXPECT_NE(
      refusal_of([] { place(::open("/proc/self/stat", O_RDONLY), 10); }).find("of one process"),
      std::string::npos);
}

TEST(Directory, PositionComesBack) {
  const Folder folder;
  for (int i = 0; i < 50; ++i) put_content(folder / std::to_string(i), "");
  std::string rest;
  Plan plan;
  plan.set_up = [&] {
    DIR* dir = ::opendir(folder.path().c_str());
    for (int i = 0; i < 20; ++i) ::readdir(dir);
    const long place_there = ::telldir(dir);
    place(::open(folder.path().c_str(), O_RDONLY | O_DIRECTORY), 10);
    REQUIRE(::lseek(10, place_there, SEEK_SET) == place_there);
    ::closedir(dir);
  };
  plan.check = [](int) {
    DIR* dir = ::fdopendir(10);
    int left = 0;
    while (::readdir(dir) != nullptr) ++left;
    REQUIRE(left == 32);
  };
  expect_round_trip(plan);
}

TEST(Directory, ARemovedOneIsRefused) {
  const Folder folder;
  const std::string refused = refusal_of([&] {
    REQUIRE(::mkdir((folder / "gone").c_str(), 0700) == 0);
    place(::open((folder / "gone").c_str(), O_RDONLY), 10);
    REQUIRE(::rmdir((folder / "gone").c_str()) == 0);
  });
  EXPECT_NE(refused.find("removed folder"), std::string::npos) << refused;
}

TEST(PathOnly, PlacesOfEachTypeComeBack) {
  const Folder folder;
  put_content(folder / "file", "text");
  ASSERT_EQ(::symlink("file", (folder / "link").c_str()), 0);
  Plan plan;
  plan.set_up = [&] {
    place(::open((folder / "file").c_str(), O_PATH), 10);
    place(::open(folder.path().c_str(), O_PATH | O_DIRECTORY), 11);
    place(::open((folder / "link").c_str(), O_PATH | O_NOFOLLOW), 12);
  };
  plan.check = [](int) {
    char byte;
    REQUIRE(::read(10, &byte, 1) < 0 && errno == EBADF);
    struct stat file;
    REQUIRE(::fstatat(11, "file", &file, 0) == 0);
    char target[16];
    REQUIRE(::readlinkat(12, "", target, sizeof(target)) == 4);
    REQUIRE((::fcntl(10, F_GETFL) & O_PATH) != 0);
  };
  expect_round_trip(plan);
}

TEST(Device, StatelessDevicesComeBack) {
  Plan plan;
  plan.set_up = [] {
    place(::open("/dev/null", O_RDWR), 10);
    place(::open("/dev/zero", O_RDONLY), 11);
    place(::open("/dev/urandom", O_RDONLY | O_NONBLOCK), 12);
  };
  plan.check = [](int) {
    REQUIRE(read_text(10) == "EOF");
    REQUIRE(read_text(11, 3) == std::string(3, '\0'));
    REQUIRE(read_text(12, 16).size() == 16);
    struct stat file;
    REQUIRE(::fstat(10, &file) == 0 && file.st_rdev == makedev(1, 3));
  };
  expect_round_trip(plan);
}

TEST(Device, OneWithStateIsRefused) {
  if (::access("/dev/fuse", R_OK | W_OK) != 0) GTEST_SKIP() << "no /dev/fuse";
  const std::string refused = refusal_of([] { place(::open("/dev/fuse", O_RDWR), 10); });
  EXPECT_EQ(refused.substr(refused.find(": ")), ": character device /dev/fuse cannot be saved");
}

TEST(MemFd, ContentSealsAndOffsetsComeBack) {
  Plan plan;
  plan.set_up = [] {
    place(::memfd_create("notes", MFD_ALLOW_SEALING), 10);
    write_text(10, "memory content");
    REQUIRE(::fcntl(10, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW) == 0);
    place(::open("/proc/self/fd/10", O_RDONLY), 11);
    REQUIRE(::lseek(11, 7, SEEK_SET) == 7);
    place(::memfd_create("open", 0), 12);
    write_text(12, "x");
  };
  plan.check = [](int) {
    REQUIRE(::fcntl(10, F_GET_SEALS) == (F_SEAL_WRITE | F_SEAL_GROW));
    REQUIRE(read_text(11) == "content");
    REQUIRE(::lseek(10, 0, SEEK_CUR) == 14);
    REQUIRE(::write(10, "x", 1) < 0 && errno == EPERM);
    REQUIRE(::fcntl(12, F_GET_SEALS) == F_SEAL_SEAL);
    char link[64] = {};
    REQUIRE(::readlink("/proc/self/fd/10", link, sizeof(link)) > 0);
    REQUIRE(std::string(link) == "/memfd:notes (deleted)");
  };
  expect_round_trip(plan);
}

TEST(PosixSharedMemory, ContentIsRestoredWhereverTheFileWent) {
  const std::string name = "/dev/shm/perdure-trip-" + std::to_string(::getpid());
  Plan plan;
  plan.set_up = [&] {
    place(::open(name.c_str(), O_RDWR | O_CREAT, 0640), 10);
    REQUIRE(::ftruncate(10, 0) == 0);
    write_text(10, "shared");
  };
  plan.check = [&](int) { REQUIRE(content_of(name) == "shared"); };
  expect_round_trip(plan);
  Group group(plan);
  ASSERT_TRUE(group.capture().ok());
  // Somebody else uses it now, then nobody.
  group.lose();
  const int used = ::open(name.c_str(), O_RDWR);
  EXPECT_NE(group.restore().find("shared memory " + name + " is in use by pid"), std::string::npos);
  ::close(used);
  put_content(name, "later and longer");
  EXPECT_EQ(group.restore(), "");
  ASSERT_EQ(::unlink(name.c_str()), 0);
  EXPECT_EQ(group.restore(), "");
  ASSERT_EQ(::unlink(name.c_str()), 0);
  put_content(name + "-new", "somebody else's");
  ASSERT_EQ(::rename((name + "-new").c_str(), name.c_str()), 0);
  restore::FileBuildOptions shared;
  shared.fresh_namespaces = false;
  EXPECT_NE(group.restore(shared).find("is not the file that the epoch holds"), std::string::npos);
  ASSERT_EQ(::unlink(name.c_str()), 0);
}

TEST(FileLock, LocksOfEachKindComeBack) {
  const Folder folder;
  const std::string path = folder / "data";
  put_content(path, "0123456789");
  Plan plan;
  plan.set_up = [&] {
    place(::open(path.c_str(), O_RDWR), 10);
    place(::open(path.c_str(), O_RDWR), 11);
    struct flock range = {};
    range.l_type = F_RDLCK;
    range.l_start = 7;
    REQUIRE(::fcntl(11, F_OFD_SETLK, &range) == 0);
    put_content(path + "2", "");
    place(::open((path + "2").c_str(), O_RDWR), 12);
    REQUIRE(::flock(12, LOCK_EX) == 0);
    // Last: closing any descriptor of the file drops the process's own locks.
    range = {};
    range.l_type = F_WRLCK;
    range.l_start = 2;
    range.l_len = 3;
    REQUIRE(::fcntl(10, F_SETLK, &range) == 0);
  };
  plan.check = [&](int) {
    // Another description of another process meets them.
    const pid_t other = ::fork();
    if (other == 0) {
      const int fd = ::open(path.c_str(), O_RDWR);
      struct flock range = {};
      range.l_type = F_WRLCK;
      range.l_start = 4;
      range.l_len = 1;
      REQUIRE(::fcntl(fd, F_GETLK, &range) == 0);
      REQUIRE(range.l_type == F_WRLCK && range.l_start == 2 && range.l_len == 3);
      REQUIRE(range.l_pid == ::getppid());
      range = {};
      range.l_type = F_WRLCK;
      range.l_start = 100;
      range.l_len = 1;
      REQUIRE(::fcntl(fd, F_GETLK, &range) == 0);
      REQUIRE(range.l_type == F_RDLCK && range.l_pid == -1 && range.l_start == 7 &&
              range.l_len == 0);
      const int second = ::open((path + "2").c_str(), O_RDWR);
      REQUIRE(::flock(second, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK);
      ::_exit(0);
    }
    int status = 1;
    REQUIRE(::waitpid(other, &status, 0) == other && status == 0);
    REQUIRE(::flock(12, LOCK_UN) == 0);
    const int second = ::open((path + "2").c_str(), O_RDWR);
    REQUIRE(::flock(second, LOCK_EX | LOCK_NB) == 0);
  };
  expect_round_trip(plan);
}

// Captures with images and one memo, which gets its records back, in the processes of one group.
class RememberedFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    if (file_images() == nullptr) GTEST_SKIP() << "needs the feature: BPF iterators over tasks";
    options_.images = file_images();
    options_.memo = &memo_;
  }
  void begin(std::function<void()> set_up) {
    Plan plan;
    plan.set_up = std::move(set_up);
    plan.check = [](int) {};
    group_.emplace(plan);
  }
  // The record of a file, and whether it held since the last capture.
  struct Found {
    object::OpenFile record;
    bool held = false;
  };
  Found capture(int fd = 20) {
    const Status status = group_->capture(options_);
    EXPECT_TRUE(status.ok()) << status.error().to_string();
    object::Graph& graph = group_->graph();
    Found found{group_->file(fd), false};
    for (const auto& [id, version] : graph.versions) {
      const auto before = versions_.find(id);
      if (&graph.open_files.at(id) == &group_->file(fd))
        found.held = before != versions_.end() && before->second == version;
    }
    versions_ = graph.versions;
    memo_.known.take_back(&graph.open_files);
    return found;
  }
  // Until the time of the last change is believed.
  static void wait() { ::usleep(60'000); }

  Folder folder_;
  capture::FileMemo memo_ = memo_that_believes_soon();
  capture::FileOptions options_;
  std::optional<Group> group_;
  std::map<ObjectId, uint64_t> versions_;
};

// That others rename, replace or change files between two captures is seen.
TEST_F(RememberedFiles, AreLookedAtWhenTheyChange) {
  const std::string one = folder_ / "one", other = folder_ / "other";
  begin([one] { place(::open(one.c_str(), O_RDWR | O_CREAT, 0600), 20); });
  const auto path = [](const Found& found) { return found.record.regular().identity().path(); };
  for (const bool waits : {false, true}) {
    const auto next = [&] {
      if (!waits) return capture();
      wait();  // so that the file may be remembered
      capture();
      capture();
      return capture();
    };
    Found found = next();
    EXPECT_EQ(path(found), one);
    EXPECT_EQ(found.held, waits);
    EXPECT_EQ(::truncate(one.c_str(), 12), 0);
    found = next();
    EXPECT_EQ(found.record.regular().identity().size(), 12u);
    EXPECT_EQ(found.held, waits);
    put_content(one, "another text");
    found = next();
    const uint64_t checksum = found.record.regular().identity().checksum();
    EXPECT_NE(checksum, 0u);
    put_content(one, "another word");
    EXPECT_NE(next().record.regular().identity().checksum(), checksum);
    EXPECT_EQ(::chmod(one.c_str(), 0640), 0);
    EXPECT_EQ(next().record.regular().identity().mode() & 07777, 0640u);
    EXPECT_EQ(::rename(one.c_str(), other.c_str()), 0);
    EXPECT_EQ(path(next()), other);
    EXPECT_EQ(::rename(other.c_str(), one.c_str()), 0);
    EXPECT_EQ(path(next()), one);
    EXPECT_EQ(::truncate(one.c_str(), 0), 0);
    next();
  }
  ::close(::open(other.c_str(), O_RDWR | O_CREAT, 0600));
  EXPECT_EQ(::rename(other.c_str(), one.c_str()), 0);
  EXPECT_TRUE(capture().record.regular().deleted());
  EXPECT_TRUE(capture().record.regular().deleted());
  group_->go_on();
}

TEST_F(RememberedFiles, HaveTheirPosition) {
  const std::string one = folder_ / "one";
  put_content(one, "0123456789");
  begin([one] { place(::open(one.c_str(), O_RDWR), 20); });
  const Fd pidfd = kernel::pidfd_open(group_->pid()).value();
  const Fd ours = kernel::pidfd_getfd(pidfd.get(), 20).value();
  wait();
  for (int i = 0; i < 3; ++i) capture();
  ASSERT_EQ(::lseek(ours.get(), 7, SEEK_SET), 7);
  const Found moved = capture();
  EXPECT_EQ(moved.record.regular().offset(), 7u);
  EXPECT_FALSE(moved.held);
  const Found still = capture();
  EXPECT_EQ(still.record.regular().offset(), 7u);
  EXPECT_TRUE(still.held);
  group_->lose();
}

// The file itself is as it was.
TEST_F(RememberedFiles, AreLookedForWhereTheirFolderHasGone) {
  const std::string folder = folder_ / "folder", moved = folder_ / "moved";
  ASSERT_EQ(::mkdir(folder.c_str(), 0700), 0);
  begin([folder] { place(::open((folder + "/one").c_str(), O_RDWR | O_CREAT, 0600), 20); });
  wait();
  for (int i = 0; i < 3; ++i) capture();
  ASSERT_EQ(::rename(folder.c_str(), moved.c_str()), 0);
  EXPECT_EQ(capture().record.regular().identity().path(), moved + "/one");
  ASSERT_EQ(::mkdir(folder.c_str(), 0700), 0);
  EXPECT_EQ(capture().record.regular().identity().path(), moved + "/one");
  capture();
  EXPECT_TRUE(capture().held);
  group_->lose();
}

// A description that is known, and in flight, is one. (Each capture here is compared with others.)
TEST_F(RememberedFiles, AreFoundInFlight) {
  const std::string one = folder_ / "one";
  put_content(one, "text");
  begin([one] {
    place(::open(one.c_str(), O_RDWR), 20);
    place(::open(one.c_str(), O_RDWR), 21);
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    place(ends[0], 30);
    place(ends[1], 31);
    REQUIRE(kernel::send_message(30, {"x", {20}, {}}).ok());
  });
  wait();
  for (int i = 0; i < 2; ++i) capture();
  EXPECT_TRUE(capture().held);
  group_->lose();
}

}  // namespace
}  // namespace perdure::trip
