// A system call that a signal interrupted before it did anything is made again.
#pragma once

#include <cerrno>

namespace perdure::kernel {

// The first result of call() that is not -1 with EINTR.
template <typename Call>
auto retrying(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result;
}

}  // namespace perdure::kernel
