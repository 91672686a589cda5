// A disk that really runs full: a small tmpfs, mounted in a mount namespace of its own that goes
// with the test.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/store.h"
#include "store/testing.h"

namespace perdure::store {
namespace {

using testing::page_of;
using testing::read_model;

Options writing(const std::string& directory) {
  Options options;
  options.directory = directory;
  options.access = Access::kWrite;
  options.create = Create::kIfMissing;
  return options;
}

Status put_many(EpochWriter& writer, uint64_t pages) {
  for (uint64_t page = 0; page < pages; ++page) {
    PD_TRY(writer.put_pages(ObjectId(1), page, page_of(page)));
  }
  return Ok{};
}

// In the child: a failure is an exit code that names its line.
#define CHILD_EXPECT(condition)        \
  do {                                 \
    if (!(condition)) return __LINE__; \
  } while (false)

int fill_a_small_disk(const std::string& directory) {
  const auto store = PD_ASSERT_OK(Store::open(writing(directory + "/store")));
  const auto first = PD_ASSERT_OK(store->begin_epoch());
  PD_ASSERT_OK(put_many(*first, 100));
  PD_ASSERT_OK(first->commit({}));
  const auto reader = PD_ASSERT_OK(store->read_epoch(Epoch(1)));
  const auto before = PD_ASSERT_OK(read_model(*reader));
  {
    const auto writer = PD_ASSERT_OK(store->begin_epoch());
    const Status status = put_many(*writer, 10'000);  // 40 MB into 16
    CHILD_EXPECT(!status.ok() && status.error().code() == Code::kFull);
    CHILD_EXPECT(status.error().message().find(directory) != std::string::npos);
    CHILD_EXPECT(!status.error().remedy().empty());
  }
  CHILD_EXPECT(store->epochs().size() == 1);
  const auto again = PD_ASSERT_OK(store->read_epoch(Epoch(1)));
  CHILD_EXPECT(PD_ASSERT_OK(read_model(*again)) == before);
  const auto second = PD_ASSERT_OK(store->begin_epoch());  // what was taken is given back
  PD_ASSERT_OK(put_many(*second, 500));
  PD_ASSERT_OK(second->commit({}));
  CHILD_EXPECT(store->epochs().size() == 2);
  return 0;
}

TEST(FullDisk, TheEpochFailsEarlierOnesStayAndLaterOnesSucceed) {
  testing::TemporaryDirectory directory;
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (unshare(CLONE_NEWNS) != 0 || mount("", "/", "", MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("tmpfs", directory.path().c_str(), "tmpfs", 0, "size=16m") != 0) {
      _exit(77);
    }
    _exit(fill_a_small_disk(directory.path()) % 256);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "this process may not mount a tmpfs";
  EXPECT_EQ(WEXITSTATUS(status), 0) << "the line of this file (modulo 256) that failed";
}

}  // namespace
}  // namespace perdure::store
