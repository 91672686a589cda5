#include "daemon/message.h"

#include <gtest/gtest.h>

namespace perdure::daemon {
namespace {

TEST(Message, AnErrorCrossesTheSocketWhole) {
  Error error = Error(Code::kUnsupported, "pid 7 (x) fd 3: inotify").with_remedy("close it");
  control::Failure failure;
  write_error(error, failure);
  Error other = read_error(failure);
  EXPECT_EQ(other.code(), Code::kUnsupported);
  EXPECT_EQ(other.message(), error.message());
  EXPECT_EQ(other.remedy(), error.remedy());
}

TEST(Message, AnUnknownErrorCodeIsInternal) {
  control::Failure failure;
  failure.set_code(12345);
  EXPECT_EQ(read_error(failure).code(), Code::kInternal);
}

TEST(Message, AReportCrossesTheSocketWhole) {
  engine::CheckpointReport report;
  report.epoch = Epoch(9);
  report.stop_us = 1;
  report.precopy_us = 2;
  report.total_us = 3;
  report.bytes_written = 4;
  report.pages = 5;
  report.processes = 6;
  report.threads = 7;
  report.timing_json = "{}";
  control::CheckpointReply reply;
  write_report(report, reply);
  engine::CheckpointReport other = read_report(reply);
  EXPECT_EQ(other.epoch, report.epoch);
  EXPECT_EQ(other.stop_us + other.precopy_us * 10 + other.total_us * 100, 321u);
  EXPECT_EQ(other.bytes_written, 4u);
  EXPECT_EQ(other.pages, 5u);
  EXPECT_EQ(other.processes, 6u);
  EXPECT_EQ(other.threads, 7u);
  EXPECT_EQ(other.timing_json, "{}");
}

TEST(Message, AWaitStatusReadsAsAShellDoes) {
  EXPECT_EQ(shell_status(3 << 8), 3);
  EXPECT_EQ(describe_wait_status(3 << 8), "exited with status 3");
  EXPECT_EQ(shell_status(15), 143);
  EXPECT_EQ(describe_wait_status(15), "was killed by SIGTERM");
  EXPECT_EQ(shell_status(9 | 0x80), 137);
}

}  // namespace
}  // namespace perdure::daemon
