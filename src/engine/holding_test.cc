// What is copied before and after the stop of a real group: pages that are held or hot, and what
// becomes of them when something fails.
#include "engine/fault.h"
#include "engine/test_group.h"
#include "memory/tracker.h"

namespace perdure::engine {
namespace {

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

// What is new is not written again and again.
TEST_F(HoldingGroupTest, WhatAGroupHasGrownByIsCopiedBeforeTheStop) {
  SKIP_WITHOUT_GUIDE();
  std::unique_ptr<Group> group = start_writer(
      "if (-e 'grow' && !$f) { $f = 'x' x 80e6; open($r, '>', 'grown');"
      " print $r 'x'; close $r; }");
  ASSERT_NE(group, nullptr);
  std::ofstream(folder_ + "/grow") << "x";
  wait_for_file("grown");
  const Result<CheckpointReport> report = group->checkpoint({});
  expect_ok(report);
  expect_copied_before(*report);
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

}  // namespace
}  // namespace perdure::engine
