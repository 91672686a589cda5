// Expected failures as values. A function that can fail returns Result<T>; PD_TRY passes the error
// on. A user sees the error once: what was being done, to which object, why it failed, and what to
// do about it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "base/assert.h"

namespace perdure {

// Why something failed, as far as a caller may act on it. exit_status() gives each its exit code.
enum class Code : uint8_t {
  kInvalid,      // the request itself is wrong
  kNotFound,     // no such pid, group, epoch, file
  kExists,       // a name or pid is in use
  kPermission,   // missing privileges
  kUnsupported,  // an object kind that Perdure cannot save
  kUnavailable,  // this kernel lacks a feature
  kGone,         // the target died
  kCorrupt,      // stored bytes fail their checks
  kNewer,        // stored by a newer version
  kFull,         // no space left
  kBusy,         // locked by another engine, or being traced
  kChanged,      // a file differs from what the epoch holds
  kIo,           // a device failed
  kTimeout,
  kLimit,     // one of base/limits.h
  kInternal,  // should not happen, yet is not worth dying for
};

const char* code_name(Code code);
int exit_status(Code code);
Code code_of_errno(int error_number);

// operation: what was being done ("open"); object: to what ("/var/lib/x"); detail: why, in words;
// remedy: what to do.
class [[nodiscard]] Error {
 public:
  Error(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  // The failure of a system call: "OPERATION OBJECT: strerror".
  static Error system(int error_number, std::string_view operation, std::string_view object = {});

  // Adds context in front: "context: message".
  Error&& within(std::string_view context) &&;
  Error&& with_remedy(std::string remedy) &&;
  Error&& with_code(Code code) &&;

  Code code() const { return code_; }
  int error_number() const { return errno_; }
  const std::string& message() const { return message_; }
  const std::string& remedy() const { return remedy_; }
  // One line for a user: message, then the remedy if there is one.
  std::string to_string() const;

 private:
  Code code_;
  int errno_ = 0;
  std::string message_;
  std::string remedy_;
};

struct Ok {};

template <typename T>
class [[nodiscard]] Result {
 public:
  using Value = std::conditional_t<std::is_void_v<T>, Ok, T>;

  Result() requires std::is_void_v<T> : state_(Ok{}) {}
  Result(Ok) requires std::is_void_v<T> : state_(Ok{}) {}  // NOLINT
  template <typename U = Value>
  requires(!std::is_void_v<T> && std::is_convertible_v<U&&, Value> &&
           !std::is_same_v<std::decay_t<U>, Error> && !std::is_same_v<std::decay_t<U>, Result>)
      Result(U&& value)
      : state_(std::in_place_index<0>, std::forward<U>(value)) {}            // NOLINT
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

  bool ok() const { return state_.index() == 0; }
  Value& value() & {
    PD_ASSERT(ok());
    return *std::get_if<0>(&state_);
  }
  const Value& value() const& {
    PD_ASSERT(ok());
    return *std::get_if<0>(&state_);
  }
  Value&& value() && {
    PD_ASSERT(ok());
    return std::move(*std::get_if<0>(&state_));
  }
  const Error& error() const& {
    PD_ASSERT(!ok());
    return *std::get_if<1>(&state_);
  }
  Error&& error() && {
    PD_ASSERT(!ok());
    return std::move(*std::get_if<1>(&state_));
  }
  Value* operator->() { return &value(); }
  const Value* operator->() const { return &value(); }
  Value& operator*() & { return value(); }
  const Value& operator*() const& { return value(); }

 private:
  std::variant<Value, Error> state_;
};

using Status = Result<void>;

}  // namespace perdure

// The value of a Result expression, or return its error from the enclosing function.
#define PD_TRY(...)                         \
  __extension__({                           \
    auto pd_result_ = (__VA_ARGS__);        \
    if (!pd_result_.ok()) [[unlikely]]      \
      return std::move(pd_result_).error(); \
    std::move(pd_result_).value();          \
  })

// As PD_TRY, with one line of context added in front of the error.
#define PD_TRY_WITHIN(context, ...)                         \
  __extension__({                                           \
    auto pd_result_ = (__VA_ARGS__);                        \
    if (!pd_result_.ok()) [[unlikely]]                      \
      return std::move(pd_result_).error().within(context); \
    std::move(pd_result_).value();                          \
  })
