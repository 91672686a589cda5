// For tests: a real child process, with a real pty if wanted, behind the interface that the server
// drives.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "daemon/group_control.h"

namespace perdure::daemon {

enum class TestTerminal : uint8_t { kNone, kNew };

class TestGroup final : public GroupControl {
 public:
  static std::unique_ptr<TestGroup> start(const std::vector<std::string>& command,
                                          TestTerminal terminal);
  ~TestGroup() override;

  Result<engine::CheckpointReport> checkpoint(const engine::CheckpointOptions& options) override;
  Status keep_newest(uint64_t newest) override {
    kept = newest;
    return Ok{};
  }
  Status retain(const store::Retention& policy) override {
    kept = policy.newest;
    return retained;
  }
  double slowdown() const override { return slow; }
  Status kill() override;
  Status detach() override;
  const std::string& name() const override { return name_; }
  int end_fd() const override { return pidfd_.get(); }
  std::optional<int> wait_status() override;
  int terminal_fd() const override { return terminal_.get(); }
  std::vector<pid_t> processes() const override { return {pid_}; }
  pid_t root_pid() const override { return pid_; }

  bool awaits_pages() const override { return awaits; }
  int next_service_ms() const override { return awaits ? 1 : -1; }

  std::atomic<bool> awaits = false;  // whether pages of a lazy restore are to come
  uint64_t epochs = 0;
  uint64_t kept = 0;
  Status retained;  // what becomes of that
  double slow = 1;
  bool detached = false;

 private:
  std::string name_ = "test";
  pid_t pid_ = -1;
  Fd pidfd_;
  Fd terminal_;
};

}  // namespace perdure::daemon
