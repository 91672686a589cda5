#include "cli/watch_page.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "daemon/histogram.h"

namespace perdure::cli {
namespace {

control::Persistence counts(uint64_t captured, uint64_t running_ms,
                            const std::vector<uint64_t>& stops_us) {
  control::Persistence counts;
  counts.set_period_ns(10'000'000);
  counts.set_period_now_ns(10'000'000);
  counts.set_captured(captured);
  counts.set_durable(captured);
  counts.set_running_ns(running_ms * 1'000'000);
  counts.set_copied_bytes(captured * 1'000'000);
  counts.set_written_bytes(captured * 500'000);
  counts.set_durable_lag_last_ns(1'900'000);
  daemon::Histogram histogram;
  uint64_t longest = 0;
  for (uint64_t us : stops_us) {
    histogram.add(us);
    longest = std::max(longest, us);
  }
  counts.set_stop_max_us(longest);
  for (uint64_t count : histogram.counts()) counts.add_stop_histogram(count);
  return counts;
}

WatchSample sample(uint64_t at_ms, control::Persistence counts) {
  return {at_ms * 1'000'000, std::move(counts)};
}

TEST(WatchFigures, RatesAreOfTheTimeBetweenTwoSamples) {
  WatchSample before = sample(5000, counts(100, 1000, {100})),
              now = sample(7000, counts(300, 3000, {100, 5000}));
  WatchFigures figures = figures_of(&before, now);
  EXPECT_DOUBLE_EQ(figures.epochs_per_s, 100);
  EXPECT_DOUBLE_EQ(figures.dirty_per_s, 100e6);
  EXPECT_DOUBLE_EQ(figures.written_per_s, 50e6);
  EXPECT_EQ(figures.stop_p50_us, 5000u);  // the first stop was before
  EXPECT_EQ(std::count(figures.stops.begin(), figures.stops.end(), 1u), 1);
}

TEST(WatchFigures, WithoutAnEarlierSampleTheyAreSinceTheEngineBegan) {
  EXPECT_DOUBLE_EQ(figures_of(nullptr, sample(9000, counts(100, 2000, {}))).epochs_per_s, 50);
  WatchSample other_engine = sample(8000, counts(900, 60'000, {}));
  WatchFigures figures = figures_of(&other_engine, sample(9000, counts(100, 2000, {})));
  EXPECT_DOUBLE_EQ(figures.epochs_per_s, 50);
  EXPECT_FALSE(figures.stop_p50_us.has_value());
}

TEST(WatchFigures, HistoryReachesTenSeconds) {
  WatchHistory history;
  for (uint64_t second = 0; second <= 30; ++second) {
    // A hundred a second, but two hundred in the last five.
    uint64_t captured = second * 100 + (second > 25 ? (second - 25) * 100 : 0);
    history.add(sample(1000 * (second + 1), counts(captured, 1000 * (second + 1), {})));
  }
  EXPECT_DOUBLE_EQ(history.figures().epochs_per_s, 150);
  history.add(sample(40'000, counts(10, 100, {})));
  EXPECT_DOUBLE_EQ(history.figures().epochs_per_s, 100);  // a new engine: its own time only
}

WatchRow row(const std::string& name, control::Persistence persistence) {
  WatchRow row;
  row.name = name;
  row.state = "running";
  row.figures = figures_of(nullptr, sample(60'000, persistence));
  row.counts = std::move(persistence);
  row.store_bytes = 230'000'000;
  return row;
}

size_t width_of(const std::string& line) {
  return static_cast<size_t>(std::count_if(
      line.begin(), line.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; }));
}

std::string page(const std::vector<WatchRow>& rows, PageSize size = {24, 200}) {
  std::string text;
  for (const std::string& line : watch_page(rows, "12:00:00", size, Characters::kAscii))
    text += line + "\n";
  return text;
}

TEST(WatchPage, ShowsWhatAGroupDoes) {
  control::Persistence shop = counts(5000, 50'000, {100, 100, 100, 100, 3000});
  shop.set_stop_max_us(3100);
  shop.set_missed(12);
  const std::string text = page({row("shop", shop)});
  for (const char* word : {"shop", "running", "10ms", "100.0", "3.1 ms", "100.0 MB/s", "50.0 MB/s",
                           "1.9 ms", "12", "230.0 MB", "@"}) {
    EXPECT_NE(text.find(word), std::string::npos) << word << "\n" << text;
  }
}

TEST(WatchPage, SaysThatAPeriodIsStretchedOrPaused) {
  control::Persistence slow = counts(1, 1000, {});
  slow.set_period_now_ns(25'000'000);
  EXPECT_NE(page({row("slow", slow)}).find("10ms, now 25.0 ms"), std::string::npos);
  slow.set_paused(true);
  EXPECT_NE(page({row("slow", slow)}).find("paused"), std::string::npos);
  slow.set_period_ns(0);
  EXPECT_NE(page({row("slow", slow)}).find("on request"), std::string::npos);
}

TEST(WatchPage, TroubleStandsBelowTheTable) {
  control::Persistence full = counts(1, 1000, {});
  full.set_last_error("no space\nleft");
  full.set_failures(3);
  EXPECT_NE(page({row("full", full)}).find("full: no space left (3 failures)"), std::string::npos);
}

TEST(WatchPage, FitsAnySize) {
  std::vector<WatchRow> rows;
  for (int at = 0; at < 30; ++at) {
    control::Persistence persistence = counts(100, 1000, {100, 200, 900});
    persistence.set_last_error("trouble");
    rows.push_back(row("a-group-with-a-name-" + std::to_string(at), persistence));
  }
  for (Characters characters : {Characters::kUtf8, Characters::kAscii}) {
    for (size_t height : {0u, 1u, 2u, 3u, 10u, 24u, 34u, 80u}) {
      for (size_t columns : {1u, 20u, 80u, 300u}) {
        auto lines = watch_page(rows, "12:00:00", {height, columns}, characters);
        EXPECT_LE(lines.size(), height);
        for (const std::string& line : lines) EXPECT_LE(width_of(line), columns) << line;
      }
    }
  }
  EXPECT_NE(page(rows, {10, 80}).find("... and 24 more"), std::string::npos);
}

TEST(WatchPage, AGroupWithoutAnEngineHasAStateOnly) {
  WatchRow lost;
  lost.name = "gone";
  lost.state = "lost";
  EXPECT_NE(page({lost}).find("lost"), std::string::npos);
  EXPECT_NE(page({}).find("no groups"), std::string::npos);
}

TEST(WatchPage, AFrameOverwritesRatherThanClears) {
  const std::string frame = frame_of({"one", "two"});
  EXPECT_EQ(frame, "\x1b[Hone\x1b[K\r\ntwo\x1b[K\x1b[J");
}

}  // namespace
}  // namespace perdure::cli
