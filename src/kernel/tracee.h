// Tracee: one seized thread (ptrace). All calls come from the one thread that seized it (ptrace(2)).
// Batch: system calls executed inside a stopped process, in one stop, by an interpreter of a few hundred bytes.
#pragma once

#include <sys/types.h>
#include <sys/user.h>

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"

namespace perdure::kernel {

using Registers = user_regs_struct;

// An argument of a remote call: a number, or the result of an earlier call of the same batch.
struct Arg {
  uint64_t value = 0;
  bool is_result = false;
  Arg() = default;
  template <typename T>
    requires std::is_integral_v<T> || std::is_enum_v<T>
  Arg(T v) : value(static_cast<uint64_t>(static_cast<int64_t>(v))) {}  // NOLINT
  Arg(RemoteAddr address) : value(address.value) {}                   // NOLINT
  static Arg result_of(size_t call) {
    Arg arg;
    arg.value = call;
    arg.is_result = true;
    return arg;
  }
};

enum class OnError : uint8_t { kStop, kContinue };

// A list of system calls with their data. Data is copied into the target's batch area before the run and, for buffers
// made with out(), back after it.
class Batch {
 public:
  // Normally made by BatchArea::batch(), which knows where the data area lies in the target.
  explicit Batch(RemoteAddr data_base) : data_base_(data_base) {}

  // The data area of one batch, bytes; larger transfers go in several batches.
  static constexpr size_t kDataBytesMax = 192 * 1024;

  // Adds a call; returns its index, for result_of() and result().
  size_t call(long number, std::array<Arg, 6> args = {}, OnError on_error = OnError::kStop);
  // Adds bytes to the data area; the address at which the target finds them, aligned to 16.
  RemoteAddr in(Bytes bytes);
  RemoteAddr in(const std::string& text);  // with its NUL
  template <typename T>
  RemoteAddr in_value(const T& value) { return in(bytes_of(value)); }
  // Reserves zeroed bytes that are read back after the run.
  RemoteAddr out(size_t size);

  size_t size() const { return calls_.size(); }
  bool empty() const { return calls_.empty(); }
  // After a run: the result of a call, negative errno on failure; kNotRun if an earlier call stopped the batch.
  static constexpr int64_t kNotRun = INT64_MIN;
  int64_t result(size_t call) const;
  // After a run: the bytes at an address given by out() or in().
  Bytes bytes(RemoteAddr address, size_t size) const;
  template <typename T>
  T value(RemoteAddr address) const { return load_le<T>(bytes(address, sizeof(T)).data()); }

 private:
  friend class BatchArea;
  struct Call {
    long number;
    std::array<Arg, 6> args;
    OnError on_error;
    int64_t result = kNotRun;
  };
  RemoteAddr data_base_;
  std::vector<Call> calls_;
  std::vector<uint8_t> data_;
};

}  // namespace perdure::kernel
