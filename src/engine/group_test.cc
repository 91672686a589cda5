// The whole way, on real processes: start, checkpoint, lose, restore.
#include "engine/group.h"
#include "engine/fault.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "engine/core_file.h"
#include "memory/tracker.h"
#include "store/store.h"

namespace perdure::engine {
namespace {

class GroupTest : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/perdure_group_test.XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    folder_ = path;
    null_ = open_null();
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static Fd open_null() { return Fd::adopt(::open("/dev/null", O_RDWR | O_CLOEXEC)); }

  std::unique_ptr<store::Store> open_store() {
    store::Options options;
    options.directory = folder_ + "/group";
    options.access = store::Access::kWrite;
    options.create = store::Create::kIfMissing;
    Result<std::unique_ptr<store::Store>> store = store::Store::open(options);
    EXPECT_TRUE(store.ok()) << (store.ok() ? "" : store.error().to_string());
    return std::move(store).value();
  }

  std::unique_ptr<Group> start(std::vector<std::string> command) {
    StartOptions options;
    options.name = "test";
    options.command = std::move(command);
    options.environment = {"PATH=/usr/bin:/bin"};
    options.cwd = folder_;
    options.streams = {null_.get(), null_.get(), null_.get()};
    Result<std::unique_ptr<Group>> group = Group::start(options, open_store());
    EXPECT_TRUE(group.ok()) << (group.ok() ? "" : group.error().to_string());
    return group.ok() ? std::move(group).value() : nullptr;
  }

  std::unique_ptr<Group> restore(Epoch epoch = {}) {
    RestoreOptions options;
    options.name = "test";
    options.epoch = epoch;
    options.streams = {null_.get(), null_.get(), null_.get()};
    Result<std::unique_ptr<Group>> group = Group::restore(options, open_store());
    EXPECT_TRUE(group.ok()) << (group.ok() ? "" : group.error().to_string());
    return group.ok() ? std::move(group).value() : nullptr;
  }

  static int wait_end(Group* group) {
    pollfd end{group->end_fd(), POLLIN, 0};
    EXPECT_EQ(poll(&end, 1, 20'000), 1) << "the group does not end";
    std::optional<int> status;
    for (int i = 0; i < 1000 && !status; ++i) {
      status = group->wait_status();
      if (!status) usleep(1000);
    }
    return status.value_or(-1);
  }

  static void lose(std::unique_ptr<Group> group) {
    ASSERT_TRUE(group->kill().ok());
    wait_end(group.get());
  }

  std::string read_file(const std::string& name) {
    std::ifstream in(folder_ + "/" + name);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }
  void wait_for_file(const std::string& name) {
    for (int i = 0; i < 20'000 && read_file(name).empty(); ++i) usleep(1000);
  }

  // While a file `refuse` is there, the program has something that cannot be saved, and says so by
  // a file `refused`.
  void refuse_once(Group* group) {
    std::ofstream(folder_ + "/refuse") << "x";
    wait_for_file("refused");
    EXPECT_FALSE(group->checkpoint({}).ok());
    std::filesystem::remove(folder_ + "/refuse");
    for (int i = 0; i < 20'000 && std::filesystem::exists(folder_ + "/refused"); ++i) usleep(1000);
  }
  // The program checks itself when asked to.
  void expect_whole_after_loss(std::unique_ptr<Group> group) {
    lose(std::move(group));
    std::ofstream(folder_ + "/check") << "x";
    std::unique_ptr<Group> again = restore();
    ASSERT_NE(again, nullptr);
    EXPECT_EQ(wait_end(again.get()), 0);
    EXPECT_EQ(read_file("verdict"), "whole");
  }
  static Result<CheckpointReport> checkpoint_at_last(Group* group) {
    Result<CheckpointReport> report = group->checkpoint({});
    for (int i = 0; i < 1000 && !report.ok(); ++i, usleep(1000)) report = group->checkpoint({});
    return report;
  }

  std::string folder_;
  Fd null_;
};

// Does what the group wants done in so many milliseconds.
void serve_for(Group* group, int milliseconds) {
  for (int i = 0; i < milliseconds; ++i) {
    if (group->next_service_ms() == 0) group->serve();
    usleep(1000);
  }
}

void expect_ok(const Result<CheckpointReport>& report) {
  ASSERT_TRUE(report.ok()) << report.error().to_string();
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
  auto reader = group->store().read_epoch(report->epoch);
  ASSERT_TRUE(reader.ok());
  Result<object::Graph> graph = load_graph(**reader);
  ASSERT_TRUE(graph.ok());
  ASSERT_EQ(graph->processes.size(), 1u);
  const object::Process& process = graph->processes.begin()->second;
  bool found = false;
  for (const object::Limit& limit : process.limits())
    found = found || (limit.soft() == 77 && limit.hard() == 78);
  EXPECT_TRUE(found);
  lose(std::move(group));
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

// The microseconds of a part; 0 without.
uint64_t part_us(const CheckpointReport& report, const std::string& name) {
  const size_t at = report.timing_json.find('"' + name + "\":");
  if (at == std::string::npos) return 0;
  return std::strtoull(report.timing_json.c_str() + at + name.size() + 3, nullptr, 10);
}

// Writes so many bytes of 100 MB again and again; 10 MB, and passes before a stop only look where,
// because it is held. What else it does in each round, perl.
std::vector<std::string> busy_writer(const std::string& bytes, const std::string& more) {
  return {"perl", "-e",
          "my $x = 'x' x 100e6; open(my $r, '>', 'ready'); print $r 'x'; close $r; my $f;"
          "for (;;) { for (my $i = 0; $i < " +
              bytes + "; $i += 4096) { substr($x, $i, 1) = 'y'; }" + more +
              " select(undef, undef, undef, 0.002); }"};
}

class HoldingGroupTest : public GroupTest {
 protected:
  // Saved until pages are held, or are hot.
  std::unique_ptr<Group> start_writer(const std::string& more, const std::string& bytes = "10e6",
                                      const char* hot_pages_max = "0") {
    return start_holding(busy_writer(bytes, more), hot_pages_max);
  }
  std::unique_ptr<Group> start_holding(const std::vector<std::string>& command,
                                       const char* hot_pages_max) {
    EXPECT_EQ(setenv("PERDURE_GUIDED_PAGES_MIN", "0", 1), 0);
    EXPECT_EQ(setenv("PERDURE_HELD_PAGES_MIN", "1", 1), 0);
    EXPECT_EQ(setenv("PERDURE_HOT_PAGES_MAX", hot_pages_max, 1), 0);
    std::unique_ptr<Group> group = start(command);
    EXPECT_EQ(unsetenv("PERDURE_GUIDED_PAGES_MIN"), 0);
    EXPECT_EQ(unsetenv("PERDURE_HELD_PAGES_MIN"), 0);
    EXPECT_EQ(unsetenv("PERDURE_HOT_PAGES_MAX"), 0);
    wait_for_file("ready");
    for (int epoch = 0; epoch < 10 && group != nullptr; ++epoch, usleep(20'000))
      expect_ok(group->checkpoint({}));
    return group;
  }
  // Many pages, and more time before the stop than in it.
  static void expect_copied_before(const CheckpointReport& report) {
    EXPECT_GT(report.pages, 10'000u);
    EXPECT_GT(part_us(report, "precopy"), 2 * part_us(report, "memory")) << report.timing_json;
  }
};

#define SKIP_WITHOUT_GUIDE() \
  if (!memory::probe_tracker_features("").write_guide) GTEST_SKIP() << "no write_guide"

// Forks between two rounds, in which it has written pages that are held, or hot: what the child
// shares with it is what it was at the fork, not what the epoch before has.
class ForkTest : public HoldingGroupTest {
 protected:
  // Now and then nothing is held in the one epoch that counts: then this would show nothing.
  void fork_and_look(const std::string& bytes, const char* hot_pages_max) {
    for (int attempt = 0; attempt < 5; ++attempt) {
      if (fork_once(bytes, hot_pages_max) || HasFailure()) return;
      for (const char* name : {"ready", "fork", "forked", "check", "verdict"})
        std::filesystem::remove(folder_ + "/" + name);
    }
    FAIL() << "nothing was held, or hot";
  }

 private:
  bool fork_once(const std::string& bytes, const char* hot_pages_max) {
    const std::string pages = "(my $i = 1; $i < " + bytes + "; $i += 4096)";
    std::unique_ptr<Group> group = start_writer(
        "$n++; for " + pages + " { substr($x, $i, 8) = pack('Q', $n); }" +
            "if (-e 'fork' && fork() == 0) {"
            "  open(my $r, '>', 'forked'); print $r 'x'; close $r;"
            "  select(undef, undef, undef, 0.001) while (!-e 'check'); my $bad = 0;"
            "  for " +
            pages + " { $bad++ if unpack('Q', substr($x, $i, 8)) != $n; }" +
            "  open(my $v, '>', 'verdict'); print $v $bad ? \"$bad pages\" : 'whole'; exit 0; }"
            "if (-e 'fork') { select(undef, undef, undef, 0.001) while (!-e 'check'); wait; exit "
            "0; }",
        bytes, hot_pages_max);
    EXPECT_NE(group, nullptr);
    if (group == nullptr) return false;
    std::ofstream(folder_ + "/fork") << "x";
    wait_for_file("forked");
    const Result<CheckpointReport> report = group->checkpoint({});
    expect_ok(report);
    const bool hot = report->hot_pages > 100, held = report->held_pages > 100;
    expect_whole_after_loss(std::move(group));
    return *hot_pages_max == '0' ? held : hot;
  }
};

TEST_F(ForkTest, AChildHasWhatItsParentHeld) {
  SKIP_WITHOUT_GUIDE();
  fork_and_look("10e6", "0");
}

TEST_F(ForkTest, AChildHasHotPagesOfItsParent) {
  SKIP_WITHOUT_GUIDE();
  fork_and_look("1e6", "1024");
}

// Once a file `drop` is there, drops what it has written while that is copied, so that held pages
// are lost and the group is stopped again. It counts in pages that are hot.
constexpr const char* kDropper = R"(
import mmap, os
def pages(count):
    return mmap.mmap(-1, count * 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
counters, dropped, n = pages(200), pages(400), 0
with open('ready', 'w') as ready: ready.write('x')
while not os.path.exists('check'):
    n += 1
    for at in range(0, len(counters), 4096): counters[at:at + 8] = n.to_bytes(8, 'little')
    if not os.path.exists('drop'): continue
    for at in range(0, len(dropped), 4096): dropped[at] = 1
    dropped.madvise(mmap.MADV_DONTNEED)
bad = sum(counters[at:at + 8] != n.to_bytes(8, 'little') for at in range(0, len(counters), 4096))
with open('verdict', 'w') as verdict: verdict.write(f'{bad} pages' if bad else 'whole')
)";

TEST_F(HoldingGroupTest, WhatIsHotIsInAnEpochWhoseHeldPagesWereLost) {
  SKIP_WITHOUT_GUIDE();
  std::unique_ptr<Group> group = start_holding({"python3", "-c", kDropper}, "1024");
  ASSERT_NE(group, nullptr);
  std::ofstream(folder_ + "/drop") << "x";
  bool lost = false;
  // After some losses nothing is held for a while.
  for (int epoch = 0; epoch < 300 && !lost; ++epoch, usleep(20'000)) {
    const Result<CheckpointReport> report = group->checkpoint({});
    expect_ok(report);
    lost = report->hot_pages >= 200 && part_us(*report, "lost") > 0;
  }
  EXPECT_TRUE(lost);  // or this would show nothing
  expect_whole_after_loss(std::move(group));
}

// Forks once more with every file `fork.N`, after it has written what the child then shares with
// it, and drops other pages while that is copied: their addresses are higher, so that they come
// last.
constexpr const char* kForkingDropper = R"(
import mmap, os, time
def pages(count):
    return mmap.mmap(-1, count * 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
def say(name, text):
    with open(name, 'w') as file: file.write(text)
dropped, counters, n = pages(1600), pages(400), 0
def wanted(): return os.path.exists('check') or os.path.exists(f'fork.{n}')
while not os.path.exists('check'):
    n += 1
    for at in range(0, len(counters), 4096): counters[at:at + 8] = n.to_bytes(8, 'little')
    child = os.fork()
    if child == 0:
        while not wanted(): time.sleep(0.001)
        bad = sum(counters[at:at + 8] != n.to_bytes(8, 'little') for at in range(0, len(counters), 4096))
        if os.path.exists('check'): say('verdict', f'{bad} pages' if bad else 'whole')
        os._exit(0)
    say('ready' if n == 1 else f'forked.{n - 1}', 'x')
    while not wanted():
        first = n % 200 * 8 * 4096  # what was lost once is not held again
        for at in range(first, first + 8 * 4096, 4096): dropped[at] = 1
        dropped.madvise(mmap.MADV_DONTNEED, first, 8 * 4096)
    os.waitpid(child, 0)
)";

TEST_F(HoldingGroupTest, AChildThatIsNewWhenPagesAreLostHasWhatItShares) {
  SKIP_WITHOUT_GUIDE();
  std::unique_ptr<Group> group = start_holding({"python3", "-c", kForkingDropper}, "0");
  ASSERT_NE(group, nullptr);
  bool lost = false;
  for (int count = 1; count < 200 && !lost; ++count) {
    std::ofstream(folder_ + "/fork." + std::to_string(count)) << "x";
    wait_for_file("forked." + std::to_string(count));
    const Result<CheckpointReport> report = group->checkpoint({});
    expect_ok(report);
    lost = part_us(*report, "lost") > 0 && report->processes == 2;
  }
  EXPECT_TRUE(lost);  // or this would show nothing
  expect_whole_after_loss(std::move(group));
}

// While a file `refuse` is there, the program has something open that cannot be saved.
constexpr const char* kRefusable =
    "if (-e 'refuse' && !$f) { open($f, '<', '/proc/self/stat');"
    "  open(my $r, '>', 'refused'); print $r 'x'; close $r; }"
    "if (!-e 'refuse' && $f) { close $f; undef $f; unlink 'refused'; }";

// Nothing is watched then that could be held.
TEST_F(HoldingGroupTest, AfterAFailureMemoryIsCopiedBeforeTheStop) {
  SKIP_WITHOUT_GUIDE();
  std::unique_ptr<Group> group = start_writer("");
  ASSERT_NE(group, nullptr);
  constexpr long kInTheStop = 1;
  fail_at(kInTheStop);
  EXPECT_FALSE(group->checkpoint({}).ok());
  fail_at(-1);
  const Result<CheckpointReport> whole = group->checkpoint({});
  expect_ok(whole);
  EXPECT_TRUE(whole->whole);
  expect_copied_before(*whole);
  lose(std::move(group));
}

// In each round writes its number to all of $y and to one page of $z, and checks both when asked
// to: a page that an epoch missed keeps an old number, in $z for two thousand rounds.
constexpr const char* kRounds =
    "if (-e 'check') { my $bad = 0;"
    "  for (my $i = 0; $i < 8e6; $i += 4096) { $bad++ if unpack('Q', substr($y, $i, 8)) != $n; }"
    "  for my $k (0 .. 1999) { my $last = $n - ($n - $k) % 2000;"
    "    $bad++ if $last > 0 && unpack('Q', substr($z, $k * 4096, 8)) != $last; }"
    "  open(my $r, '>', 'verdict'); print $r $bad ? \"$bad pages\" : 'whole'; exit 0; }"
    "$n++; substr($z, ($n % 2000) * 4096, 8) = pack('Q', $n);"
    "for (my $i = 0; $i < 8e6; $i += 4096) { substr($y, $i, 8) = pack('Q', $n); }";

// What passes had copied before the refusal is in the next epoch, which is no whole one.
TEST_F(GroupTest, AfterARefusalTheNextEpochHasWhatPassesTook) {
  std::unique_ptr<Group> group = start(
      {"perl", "-e",
       std::string("my ($n, $f) = (0); my $y = 'x' x 8e6; my $z = 'x' x 8.2e6; my $x = 'x' x 30e6;"
                   "open(my $r, '>', 'ready'); print $r 'x'; close $r; for (;;) {") +
           kRefusable + kRounds + "select(undef, undef, undef, 0.003); }"});
  ASSERT_NE(group, nullptr);
  wait_for_file("ready");
  expect_ok(group->checkpoint({}));
  for (int round = 0; round < 5; ++round) {
    refuse_once(group.get());
    const Result<CheckpointReport> report = checkpoint_at_last(group.get());
    expect_ok(report);
    EXPECT_FALSE(report->whole);
    EXPECT_LT(report->pages, 9'000u);
  }
  expect_whole_after_loss(std::move(group));
}

TEST_F(HoldingGroupTest, AProcessThatIsNewIsCopiedBeforeTheStop) {
  SKIP_WITHOUT_GUIDE();
  std::unique_ptr<Group> group = start_writer(
      "if (-e 'grow' && !$f) { $f = 1; if (fork() == 0) { exec('perl', '-e',"
      "  q(my $x = 'x' x 60e6; open(my $r, '>', 'child'); print $r 'x'; close $r; sleep 100)); } "
      "}");
  ASSERT_NE(group, nullptr);
  std::ofstream(folder_ + "/grow") << "x";
  wait_for_file("child");
  Result<CheckpointReport> report = group->checkpoint({});
  expect_ok(report);
  EXPECT_FALSE(report->whole);
  expect_copied_before(*report);
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
