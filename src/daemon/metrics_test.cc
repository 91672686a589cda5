#include "daemon/metrics.h"

#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "daemon/histogram.h"

namespace perdure::daemon {
namespace {

GroupMetrics group(const std::string& name) {
  GroupMetrics metrics;
  metrics.status.set_name(name);
  metrics.status.set_store("/var/lib/perdure");
  metrics.status.add_processes(17);
  metrics.status.set_lazy_pages_left(3);
  control::Persistence& counts = *metrics.status.mutable_persistence();
  counts.set_period_ns(10'000'000);
  counts.set_captured(123'456'789);
  counts.set_durable_lag_last_ns(1'900'000);
  Histogram stops;
  for (uint64_t us : {100, 100, 3000}) stops.add(us);
  for (uint64_t count : stops.counts()) counts.add_stop_histogram(count);
  metrics.store_bytes = 230'000'000;
  return metrics;
}

bool has_line(const std::string& text, const std::string& wanted) {
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (line == wanted) return true;
  }
  return false;
}

const std::string kLabels = R"({group="shop",store="/var/lib/perdure"})";

TEST(Metrics, ValuesAreInBaseUnitsAndExact) {
  const GroupMetrics shop = group("shop");
  const std::string text = metrics_text({&shop, 1});
  for (const char* line :
       {"perdure_period_seconds{} 0.01", "perdure_epochs_captured_total{} 123456789",
        "perdure_durable_lag_seconds{} 0.0019", "perdure_store_bytes{} 230000000",
        "perdure_restore_left_bytes{} 12288", "perdure_processes{} 1", "perdure_paused{} 0",
        "perdure_stop_window_seconds_count{} 3"}) {
    std::string wanted = line;
    wanted.replace(wanted.find("{}"), 2, kLabels);
    EXPECT_TRUE(has_line(text, wanted)) << wanted << "\n" << text;
  }
}

TEST(Metrics, EachIsDescribedOnceHoweverManyGroupsThereAre) {
  const GroupMetrics groups[] = {group("shop"), group("web")};
  std::istringstream in(metrics_text(groups));
  std::set<std::string> described;
  size_t samples = 0;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("# TYPE ")) {
      EXPECT_TRUE(described.insert(line).second) << line;
    }
    samples += line.starts_with("perdure_paused{") ? 1 : 0;
  }
  EXPECT_GT(described.size(), 15u);
  EXPECT_EQ(samples, 2u);
}

TEST(Metrics, BucketsOfTheHistogramAreCumulative) {
  const GroupMetrics shop = group("shop");
  std::istringstream in(metrics_text({&shop, 1}));
  double last_bound = 0;
  uint64_t last = 0;
  size_t buckets = 0;
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("perdure_stop_window_seconds_bucket")) continue;
    ++buckets;
    const std::string bound = line.substr(line.find("le=\"") + 4);
    const uint64_t count = std::stoull(line.substr(line.rfind(' ') + 1));
    EXPECT_GE(count, last);
    last = count;
    if (bound.starts_with("+Inf")) continue;
    EXPECT_GT(std::stod(bound), last_bound);
    last_bound = std::stod(bound);
    if (last_bound >= 0.0002 && last_bound < 0.003) {
      EXPECT_EQ(count, 2u) << line;
    }
  }
  EXPECT_GT(buckets, 10u);
  EXPECT_EQ(last, 3u);
}

TEST(Metrics, ForeignTextIsEscaped) {
  GroupMetrics odd = group("shop");
  odd.status.set_store("/a \"b\\c\nd");
  EXPECT_NE(metrics_text({&odd, 1}).find(R"(store="/a \"b\\c\nd"})"), std::string::npos);
}

TEST(Metrics, WhatIsNotKnownIsNotTold) {
  GroupMetrics shop = group("shop");
  shop.store_bytes.reset();
  EXPECT_EQ(metrics_text({&shop, 1}).find("perdure_store_bytes{"), std::string::npos);
  EXPECT_EQ(metrics_text({}).find('{'), std::string::npos);
}

}  // namespace
}  // namespace perdure::daemon
