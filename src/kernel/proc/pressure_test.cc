#include "kernel/proc/pressure.h"

#include <gtest/gtest.h>

namespace perdure::kernel::proc {
namespace {

TEST(Pressure, TheTotalOfSomeCounts) {
  const Result<uint64_t> total = parse_processor_pressure(
      "some avg10=0.57 avg60=11.60 avg300=15.95 total=24013129698\n"
      "full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n");
  ASSERT_TRUE(total.ok());
  EXPECT_EQ(*total, 24'013'129'698u);
}

TEST(Pressure, OtherFormsAreUnsupported) {
  for (const char* text :
       {"", "some", "some avg10=0.57", "some total=", "some total=1x", "total=7"}) {
    const Result<uint64_t> total = parse_processor_pressure(text);
    ASSERT_FALSE(total.ok()) << text;
    EXPECT_EQ(total.error().code(), Code::kUnsupported);
  }
}

}  // namespace
}  // namespace perdure::kernel::proc
