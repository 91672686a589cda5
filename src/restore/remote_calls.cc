#include "restore/remote_calls.h"

#include <cerrno>
#include <utility>

namespace perdure::restore {

using kernel::Arg;
using kernel::Batch;
using kernel::OnError;

size_t RemoteCalls::append(Step step, long number, const std::array<Arg, 6>& args) {
  step.call = batch_->call(number, args, step.tolerated == 0 ? OnError::kStop : OnError::kContinue);
  steps_.push_back(std::move(step));
  return steps_.back().call;
}

size_t RemoteCalls::add(std::string_view what, long number, std::array<Arg, 6> args) {
  return append({.what = std::string(what)}, number, args);
}

size_t RemoteCalls::add_expecting(int64_t result, std::string_view what, long number,
                                  std::array<Arg, 6> args) {
  return append({.what = std::string(what), .result = result}, number, args);
}

size_t RemoteCalls::add_tolerating(int error_number, std::string_view what, long number,
                                   std::array<Arg, 6> args) {
  return append({.what = std::string(what), .tolerated = error_number}, number, args);
}

void RemoteCalls::expect_value(int32_t value, RemoteAddr at, std::string_view what) {
  values_.push_back({std::string(what), at, value});
}

void RemoteCalls::remedy(std::string text) {
  PD_ASSERT(!steps_.empty());
  steps_.back().remedy = std::move(text);
}

Status RemoteCalls::check_step(const Step& step) const {
  const int64_t result = batch_->result(step.call);
  const std::string what = who_ + ": " + step.what;
  if (result == Batch::kNotRun) {
    return Error(Code::kInternal, what + ": an earlier call failed");
  }
  if (result < 0 && result == -step.tolerated) return {};
  if (result < 0 && step.result != result) {
    Error error = Error::system(static_cast<int>(-result), what);
    if (result == -EPERM && !step.remedy.empty()) {
      return std::move(error).with_remedy(step.remedy);
    }
    return error;
  }
  if (step.result && *step.result != result) {
    return Error(Code::kInternal, what + ": got " + std::to_string(result) + " instead of " +
                                      std::to_string(*step.result));
  }
  return {};
}

Status RemoteCalls::check() const {
  for (const Step& step : steps_) PD_TRY(check_step(step));
  for (const Value& value : values_) {
    const auto found = batch_->value<int32_t>(value.at);
    if (found == value.value) continue;
    return Error(Code::kUnavailable, who_ + ": " + value.what + ": got " + std::to_string(found) +
                                         " instead of " + std::to_string(value.value));
  }
  return {};
}

}  // namespace perdure::restore
