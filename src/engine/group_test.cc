// The whole way, on real processes: start, checkpoint, lose, restore.
#include "engine/group.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "engine/test_group.h"
#include "memory/tracker.h"

namespace perdure::engine {
namespace {

// Does what the group wants done in so many milliseconds.
void serve_for(Group* group, int milliseconds) {
  for (int i = 0; i < milliseconds; ++i) {
    if (group->next_service_ms() == 0) group->serve();
    usleep(1000);
  }
}

TEST_F(GroupTest, CommandsStatusIsTheGroups) {
  std::unique_ptr<Group> group = start({"sh", "-c", "exit 7"});
  ASSERT_NE(group, nullptr);
  EXPECT_EQ(WEXITSTATUS(wait_end(group.get())), 7);
}

TEST_F(GroupTest, CommandThatDoesNotExistIsOneClearError) {
  StartOptions options;
  options.name = "test";
  options.command = {"no-such-command-here"};
  options.streams = {null_.get(), null_.get(), null_.get()};
  Result<std::unique_ptr<Group>> group = Group::start(options, open_store());
  ASSERT_FALSE(group.ok());
  EXPECT_EQ(group.error().code(), Code::kNotFound);
  EXPECT_NE(group.error().message().find("no-such-command-here"), std::string::npos);
}

TEST_F(GroupTest, SleepComesBackAndEndsWithItsOwnStatus) {
  std::unique_ptr<Group> group = start({"sleep", "3"});
  ASSERT_NE(group, nullptr);
  expect_ok(group->checkpoint({}));
  lose(std::move(group));
  group = restore();
  ASSERT_NE(group, nullptr);
  EXPECT_EQ(wait_end(group.get()), 0);
}

TEST_F(GroupTest, ShellGoesOnWhereItWas) {
  std::unique_ptr<Group> group = start(
      {"sh", "-c",
       "x=kept; echo ready > ready; while [ ! -e go ]; do sleep 0.02; done; echo $x $$ > result"});
  ASSERT_NE(group, nullptr);
  wait_for_file("ready");
  expect_ok(group->checkpoint({}));
  expect_ok(group->checkpoint({}));
  lose(std::move(group));
  std::ofstream(folder_ + "/go") << "go";
  group = restore();
  ASSERT_NE(group, nullptr);
  EXPECT_EQ(wait_end(group.get()), 0);
  EXPECT_EQ(read_file("result"), "kept 2\n");
}

// What the engine itself does to a process must not make its guide say that anything may have
// changed.
// Parent and child have 8 MB in common, which are stored once whether or not the group was entered
// before.
TEST_F(GroupTest, AGroupThatWasPreparedSharesPagesAsAnyOther) {
  uint64_t pages[2] = {};
  for (const bool prepared : {false, true}) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directory(folder_);
    std::unique_ptr<Group> group =
        start({"bash", "-c",
               "mkfifo f; x=$(head -c 8000000 /dev/zero | tr '\\0' x); "
               "(read _ <f; echo ${#x} >size) & echo ready >ready; wait"});
    ASSERT_NE(group, nullptr);
    wait_for_file("ready");
    if (prepared) serve_for(group.get(), 200);
    Result<CheckpointReport> report = group->checkpoint({});
    expect_ok(report);
    EXPECT_EQ(report->processes, 2u);
    pages[prepared] = report->pages;
    lose(std::move(group));
    std::unique_ptr<Group> again = restore();
    ASSERT_NE(again, nullptr);
    std::ofstream(folder_ + "/f") << "go\n";
    EXPECT_EQ(wait_end(again.get()), 0);
    EXPECT_EQ(read_file("size"), "8000000\n");
  }
  constexpr uint64_t kVariablePages = 8'000'000 / 4096;  // of which a shell has up to two
  for (const uint64_t stored : pages) {
    EXPECT_GT(stored, kVariablePages);
    EXPECT_LT(stored, 3 * kVariablePages);
  }
}

TEST_F(GroupTest, AGroupIsEnteredSoonAfterItsStart) {
  std::unique_ptr<Group> group = start({"sleep", "1000"});
  ASSERT_NE(group, nullptr);
  EXPECT_GE(group->next_service_ms(), 0);
  serve_for(group.get(), 200);
  EXPECT_LT(group->next_service_ms(), 0);
  std::ifstream maps("/proc/" + std::to_string(group->processes().front()) + "/maps");
  const std::string text(std::istreambuf_iterator<char>(maps), {});
  EXPECT_NE(text.find("perdure-batch"), std::string::npos);
  expect_ok(group->checkpoint({}));
  lose(std::move(group));
}

TEST_F(GroupTest, WhatOthersChangeOfAGroupThatWasEnteredIsInItsFirstEpoch) {
  std::unique_ptr<Group> group = start({"sleep", "1000"});
  ASSERT_NE(group, nullptr);
  serve_for(group.get(), 200);
  const rlimit fewer{77, 78};
  ASSERT_EQ(prlimit(group->processes().front(), RLIMIT_NOFILE, &fewer, nullptr), 0);
  Result<CheckpointReport> report = group->checkpoint({});
  expect_ok(report);
  const object::Graph graph = graph_of(*group, report->epoch);
  ASSERT_EQ(graph.processes.size(), 1u);
  bool found = false;
  for (const object::Limit& limit : graph.processes.begin()->second.limits())
    found = found || (limit.soft() == 77 && limit.hard() == 78);
  EXPECT_TRUE(found);
  lose(std::move(group));
}

using FilesByNumber = std::map<int, std::string>;  // "" where it is no regular file

FilesByNumber saved_files(const object::Graph& graph) {
  FilesByNumber files;
  for (const object::FdEntry& entry : graph.processes.begin()->second.fds())
    files[entry.fd()] = graph.open_files.at(ObjectId(entry.file())).regular().identity().path();
  return files;
}

FilesByNumber open_files(const std::filesystem::path& process) {
  FilesByNumber files;
  for (const auto& entry : std::filesystem::directory_iterator(process / "fd")) {
    const std::string path = std::filesystem::read_symlink(entry);
    files[std::stoi(entry.path().filename())] = entry.is_regular_file() ? path : "";
  }
  return files;
}

// The record of a process is only encoded when it is another one than in the epoch before.
class ObedientGroupTest : public GroupTest {
 protected:
  void SetUp() override {
    GroupTest::SetUp();
    ASSERT_EQ(::mkfifo((folder_ + "/f").c_str(), 0600), 0);
    const std::string did = folder_ + "/did";
    group_ = start({"perl", "-e",
                    "open($f, '+<', 'f'); while (<$f>) { eval $_; open($r, '>', '" + did +
                        ".part'); print $r 'x'; close $r; rename('" + did + ".part', '" + did +
                        "'); }"});
    ASSERT_NE(group_, nullptr);
    proc_ = "/proc/" + std::to_string(group_->processes().front());
  }
  void TearDown() override {
    if (group_ != nullptr) lose(std::move(group_));
    GroupTest::TearDown();
  }

  // Returns when the program waits for the next line.
  void obey(const std::string& line) {
    std::ofstream(folder_ + "/f") << line << "\n";
    wait_for_file("did");
    std::filesystem::remove(folder_ + "/did");
  }
  object::Graph save() {
    const Result<CheckpointReport> report = group_->checkpoint({});
    expect_ok(report);
    object::Graph graph = graph_of(*group_, report->epoch);
    EXPECT_EQ(graph.processes.size(), 1u);
    return graph;
  }

  std::unique_ptr<Group> group_;
  std::filesystem::path proc_;
};

TEST_F(ObedientGroupTest, WhatItHasOpenIsInEachEpoch) {
  for (const char* line : {"open(A, '>', 'one')", "open(B, '>&', A)", "open(A, '>', 'two')",
                           "close A; open(A, '>', '/dev/null')", "chdir '/'", "close A; close B"}) {
    obey(line);
    for (int i = 0; i < 3; ++i) {
      const object::Graph graph = save();
      EXPECT_EQ(saved_files(graph), open_files(proc_));
      EXPECT_EQ(graph.processes.begin()->second.cwd(),
                std::filesystem::read_symlink(proc_ / "cwd"));
    }
  }
}

TEST_F(ObedientGroupTest, ItsLocksAreInEachEpoch) {
  obey("open(A, '+>', 'locked')");
  const std::vector<std::pair<std::string, std::string>> steps = {
      {"", ""}, {"1", "read"}, {"2", "write"}, {"1", "read"}, {"8", ""}};  // LOCK_SH, _EX, _UN
  for (const auto& [operation, lock] : steps) {
    if (!operation.empty()) obey("flock(A, " + operation + ")");
    for (int i = 0; i < 3; ++i) {
      const object::Graph graph = save();
      std::string saved;
      for (const object::FileLock& each : graph.processes.begin()->second.locks())
        saved += each.write() ? "write" : "read";
      EXPECT_EQ(saved, lock) << "after flock(" << operation << ")";
    }
  }
}

// New memory is copied while the group runs, though the group was known when it had less.
TEST_F(GroupTest, AGroupThatHasGrownIsStoppedTwice) {
  std::unique_ptr<Group> group =
      start({"bash", "-c",
             "mkfifo f; read _ <f; x=$(head -c 40000000 /dev/zero | tr '\\0' x); "
             "echo ready >ready; read _ <f; echo ${#x} >size"});
  ASSERT_NE(group, nullptr);
  serve_for(group.get(), 200);
  std::ofstream(folder_ + "/f") << "go\n";
  wait_for_file("ready");
  Result<CheckpointReport> report = group->checkpoint({});
  expect_ok(report);
  EXPECT_NE(report->timing_json.find("survey"), std::string::npos) << report->timing_json;
  Result<CheckpointReport> next = group->checkpoint({});
  expect_ok(next);
  EXPECT_EQ(next->timing_json.find("survey"), std::string::npos) << next->timing_json;
  lose(std::move(group));
  std::unique_ptr<Group> again = restore();
  ASSERT_NE(again, nullptr);
  std::ofstream(folder_ + "/f") << "go\n";
  EXPECT_EQ(wait_end(again.get()), 0);
  EXPECT_EQ(read_file("size"), "40000000\n");
}

// Its mappings are as they were, so that nothing of it but its memory is read again.
TEST_F(GroupTest, WhatAGroupHasGrownByIsCountedOnce) {
  std::unique_ptr<Group> group =
      start({"python3", "-c",
             "import mmap, os, time\n"
             "m = mmap.mmap(-1, 100 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n"
             "open('ready', 'w').write('x')\n"
             "at = 0\n"
             "while True:\n"
             "  time.sleep(0.01)\n"
             "  if os.path.exists('grow') and at < 60 << 20:\n"
             "    for at in range(at, at + (1 << 18), 4096): m[at] = 1\n"
             "    at += 4096\n"});
  ASSERT_NE(group, nullptr);
  wait_for_file("ready");
  for (int i = 0; i < 12; ++i) expect_ok(group->checkpoint({}));
  std::ofstream(folder_ + "/grow") << "x";
  uint64_t pages = 0;
  for (int i = 0; i < 1000 && pages < 6'000; ++i, usleep(10'000)) {
    Result<CheckpointReport> report = group->checkpoint({});
    expect_ok(report);
    pages += report->pages;
    EXPECT_EQ(report->timing_json.find("survey"), std::string::npos) << pages << " pages so far";
  }
  EXPECT_GE(pages, 6'000u);
  lose(std::move(group));
}

// What a look found stays true of a group that has not run since.
TEST_F(GroupTest, AGroupThatRestedBeforeItsFirstCheckpointIsStoppedTwice) {
  std::unique_ptr<Group> group = start(
      {"bash", "-c",
       "mkfifo f; x=$(head -c 40000000 /dev/zero | tr '\\0' x); echo ready >ready; read _ <f"});
  ASSERT_NE(group, nullptr);
  wait_for_file("ready");
  serve_for(group.get(), 200);
  Result<CheckpointReport> report = group->checkpoint({});
  expect_ok(report);
  EXPECT_NE(report->timing_json.find("survey"), std::string::npos) << report->timing_json;
  lose(std::move(group));
}

TEST_F(GroupTest, AWindowLooksOnlyWhereAGuidedProcessWrote) {
  if (!memory::probe_tracker_features("").write_guide) GTEST_SKIP() << "no write_guide";
  ASSERT_EQ(setenv("PERDURE_GUIDED_PAGES_MIN", "0", 1), 0);
  std::unique_ptr<Group> group = start({"sh", "-c", "mkfifo pipe && echo > ready && read x <pipe"});
  ASSERT_EQ(unsetenv("PERDURE_GUIDED_PAGES_MIN"), 0);
  ASSERT_NE(group, nullptr);
  wait_for_file("ready");
  Result<CheckpointReport> first = group->checkpoint({});
  ASSERT_TRUE(first.ok());
  uint64_t least = first->looked_pages;
  for (int epoch = 0; epoch < 5; ++epoch) {
    Result<CheckpointReport> next = group->checkpoint({});
    ASSERT_TRUE(next.ok());
    least = std::min(least, next->looked_pages);
  }
  EXPECT_LT(least, 16'384u) << "of " << first->looked_pages;
  lose(std::move(group));
}

TEST_F(GroupTest, EngineThatIsGoneIsReplaced) {
  std::unique_ptr<Group> group = start({"sleep", "100"});
  ASSERT_NE(group, nullptr);
  expect_ok(group->checkpoint({}));
  group.reset();
  Result<std::unique_ptr<Group>> taken = Group::take_over(open_store());
  ASSERT_TRUE(taken.ok()) << taken.error().to_string();
  expect_ok((*taken)->checkpoint({}));
  EXPECT_TRUE((*taken)->kill().ok());
  pollfd end{(*taken)->end_fd(), POLLIN, 0};
  EXPECT_EQ(poll(&end, 1, 10'000), 1);
}

}  // namespace
}  // namespace perdure::engine
