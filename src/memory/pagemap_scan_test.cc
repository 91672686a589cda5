#include "memory/pagemap_scan.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <string>

#include "memory/test_target.h"
#include "memory/write_guide.h"

namespace perdure::memory {
namespace {

using Gate = Target::Gate;

void expect_other_space_is_noticed(LazyGuide* guide) {
  TrackerFeatures features = probe_tracker_features("");
  if (best_tracker(features) != TrackerKind::kPagemapScan)
    GTEST_SKIP() << "no PAGEMAP_SCAN with WP_ASYNC";
  Target target([](Gate& gate) {
    gate.meet();
    execl("/bin/sleep", "sleep", "100", nullptr);
  });
  features.guided_pages_min = 0;
  auto tracker =
      Tracker::create(TrackerKind::kPagemapScan, target.pid(), target.take_uffd(), features, guide);
  ASSERT_TRUE(tracker.ok());
  target.receive();
  ASSERT_TRUE((*tracker)->scan(target.areas(), Mode::kPrecopy).ok());
  ASSERT_TRUE((*tracker)->scan(target.areas(), Mode::kCut).ok());
  target.go();
  std::string exe = "/proc/" + std::to_string(target.pid()) + "/exe";
  char link[256] = {};
  while (readlink(exe.c_str(), link, sizeof(link) - 1) > 0 &&
         std::string(link).find("sleep") == std::string::npos) {
    sched_yield();
  }
  auto scan = (*tracker)->scan(target.areas(), Mode::kCut);
  ASSERT_FALSE(scan.ok());
  EXPECT_EQ(scan.error().code(), Code::kGone);
}

TEST(PagemapScanTracker, SaysThatTheAddressSpaceIsAnother) {
  expect_other_space_is_noticed(nullptr);
}

TEST(PagemapScanTracker, SaysSoWithAGuideToo) {
  LazyGuide guide(LazyGuide::Use::kAllowed);
  if (guide.get() == nullptr) GTEST_SKIP() << "no write_guide";
  expect_other_space_is_noticed(&guide);
}

}  // namespace
}  // namespace perdure::memory
