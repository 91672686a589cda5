#include "daemon/message.h"

#include <string.h>
#include <sys/wait.h>

namespace perdure::daemon {

void write_error(const Error& error, control::Failure& failure) {
  failure.set_code(static_cast<uint32_t>(error.code()));
  failure.set_message(error.message());
  failure.set_remedy(error.remedy());
}

Error read_error(const control::Failure& failure) {
  bool known = failure.code() <= static_cast<uint32_t>(Code::kInternal);
  Code code = known ? static_cast<Code>(failure.code()) : Code::kInternal;
  return Error(code, failure.message()).with_remedy(failure.remedy());
}

void write_report(const engine::CheckpointReport& report, control::CheckpointReply& reply) {
  reply.set_epoch(report.epoch.value);
  reply.set_stop_us(report.stop_us);
  reply.set_precopy_us(report.precopy_us);
  reply.set_total_us(report.total_us);
  reply.set_bytes_written(report.bytes_written);
  reply.set_pages(report.pages);
  reply.set_processes(report.processes);
  reply.set_threads(report.threads);
  reply.set_timing_json(report.timing_json);
}

engine::CheckpointReport read_report(const control::CheckpointReply& reply) {
  engine::CheckpointReport report;
  report.epoch = Epoch(reply.epoch());
  report.stop_us = reply.stop_us();
  report.precopy_us = reply.precopy_us();
  report.total_us = reply.total_us();
  report.bytes_written = reply.bytes_written();
  report.pages = reply.pages();
  report.processes = reply.processes();
  report.threads = reply.threads();
  report.timing_json = reply.timing_json();
  return report;
}

std::string describe_wait_status(int wait_status) {
  if (WIFEXITED(wait_status))
    return "exited with status " + std::to_string(WEXITSTATUS(wait_status));
  if (!WIFSIGNALED(wait_status)) return "ended";
  int signal = WTERMSIG(wait_status);
  const char* name = ::sigabbrev_np(signal);
  std::string text =
      name == nullptr ? "signal " + std::to_string(signal) : "SIG" + std::string(name);
  return "was killed by " + text;
}

int shell_status(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

}  // namespace perdure::daemon
