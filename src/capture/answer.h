// The answer to a call of a query batch, or an Error that says what was asked.
#pragma once

#include <cerrno>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "kernel/tracee.h"

namespace perdure::capture {

// The result of a call that ran and succeeded.
inline Result<int64_t> answer_of(const kernel::Batch& batch, size_t call, std::string_view what) {
  const int64_t result = batch.result(call);
  if (result == kernel::Batch::kNotRun) {
    return Error(Code::kInternal, std::string(what) + ": an earlier call of the batch failed");
  }
  if (result < 0) return Error::system(static_cast<int>(-result), what);
  return result;
}

// For a call that this kernel may lack (EINVAL, ENOSYS): its result, or what such a kernel means by
// lacking it.
inline Result<int64_t> answer_or(const kernel::Batch& batch, size_t call, int64_t absent,
                                 std::string_view what) {
  const int64_t result = batch.result(call);
  if (result == -EINVAL || result == -ENOSYS || result == -EIO) return absent;
  return answer_of(batch, call, what);
}

}  // namespace perdure::capture
