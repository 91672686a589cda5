// Remote calls that must succeed: system calls appended to a Batch, each with what it is for and
// which answer is right. After the run, check() turns the first wrong answer into an Error that
// names the process and the step. A call that fails stops its batch, unless its failure is
// expected.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "kernel/tracee.h"

namespace perdure::restore {

class RemoteCalls {
 public:
  // who: "pid 12 (redis-server)". The batch is borrowed until check().
  RemoteCalls(kernel::Batch* batch, std::string who) : batch_(batch), who_(std::move(who)) {}

  kernel::Batch& batch() { return *batch_; }
  const std::string& who() const { return who_; }

  // what: "set the limit of open files". The call must not fail.
  size_t add(std::string_view what, long number, std::array<kernel::Arg, 6> args = {});
  // The call must give this very result.
  size_t add_expecting(int64_t result, std::string_view what, long number,
                       std::array<kernel::Arg, 6> args = {});
  // The call may fail with this errno, which then means that there is nothing to do.
  size_t add_tolerating(int error_number, std::string_view what, long number,
                        std::array<kernel::Arg, 6> args = {});
  // The 32-bit number at an address of the data area must be this after the run.
  void expect_value(int32_t value, RemoteAddr at, std::string_view what);
  // What a user can do if the call added last is refused for lack of privileges.
  void remedy(std::string text);

  Status check() const;

 private:
  struct Step {
    std::string what;
    size_t call = 0;
    std::optional<int64_t> result = std::nullopt;
    int tolerated = 0;
    std::string remedy = {};
  };
  struct Value {
    std::string what;
    RemoteAddr at;
    int32_t value;
  };
  size_t append(Step step, long number, const std::array<kernel::Arg, 6>& args);
  Status check_step(const Step& step) const;

  kernel::Batch* batch_;
  std::string who_;
  std::vector<Step> steps_;
  std::vector<Value> values_;
};

}  // namespace perdure::restore
