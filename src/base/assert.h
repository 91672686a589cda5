// PD_ASSERT: an invariant of our own code. On in release builds, because a wrong checkpoint is
// worse than a dead engine: when the engine dies the kernel detaches it and the group runs on.
#pragma once

namespace perdure {

[[noreturn]] void assert_failed(const char* expression, const char* file, int line);

}  // namespace perdure

#define PD_ASSERT(expression)                                    \
  do {                                                           \
    if (!(expression)) [[unlikely]]                              \
      ::perdure::assert_failed(#expression, __FILE__, __LINE__); \
  } while (false)
