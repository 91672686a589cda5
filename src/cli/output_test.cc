#include "cli/output.h"

#include <gtest/gtest.h>

namespace perdure::cli {
namespace {

TEST(Output, AnErrorIsOneLineAndARemedyTheNext) {
  Error error = Error(Code::kGone, "pid 7\nis gone\x1b[31m").with_remedy("start it");
  EXPECT_EQ(error_text(error), "perdure: pid 7 is gone [31m\n  remedy: start it\n");
  EXPECT_EQ(error_text(Error(Code::kGone, "gone")), "perdure: gone\n");
}

TEST(Output, NumbersHaveUnits) {
  EXPECT_EQ(bytes_text(0), "0 B");
  EXPECT_EQ(bytes_text(999), "999 B");
  EXPECT_EQ(bytes_text(1500), "1.5 kB");
  EXPECT_EQ(bytes_text(999'999), "1.0 MB");
  EXPECT_EQ(bytes_text(230'000'000), "230.0 MB");
  EXPECT_EQ(bytes_text(UINT64_MAX), "18.4 EB");
  EXPECT_EQ(duration_text(700), "700 us");
  EXPECT_EQ(duration_text(1'260), "1.3 ms");
  EXPECT_EQ(duration_text(12'000'000), "12.0 s");
  EXPECT_EQ(count_text(0), "0");
  EXPECT_EQ(count_text(999), "999");
  EXPECT_EQ(count_text(1000), "1,000");
  EXPECT_EQ(count_text(12345678), "12,345,678");
}

TEST(Output, AgesNeverRunBackwards) {
  constexpr uint64_t kSecond = 1'000'000'000;
  EXPECT_EQ(age_text(5 * kSecond, 4 * kSecond), "0 s");
  EXPECT_EQ(age_text(kSecond, 61 * kSecond), "60 s");
  EXPECT_EQ(age_text(kSecond, 301 * kSecond), "5 min");
  EXPECT_EQ(age_text(kSecond, 90001 * kSecond), "25 h");
  EXPECT_EQ(age_text(kSecond, 400000 * kSecond), "4 days");
  EXPECT_EQ(age_text(0, kSecond), "-");
}

TEST(Table, ColumnsAlign) {
  Table table;
  table.column("NAME", Align::kLeft).column("SIZE", Align::kRight).column("STATE", Align::kLeft);
  table.row({"a", "1.0 MB", "running"});
  table.row({"Kyōto-x", "12 B", "lost"});
  EXPECT_EQ(table.text(),
            "NAME       SIZE  STATE\n"
            "a        1.0 MB  running\n"
            "Kyōto-x    12 B  lost\n");
}

}  // namespace
}  // namespace perdure::cli
