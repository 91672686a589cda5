#include "base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace perdure {

void assert_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "perdure: internal error: %s is false at %s:%d\n", expression, file, line);
  std::abort();
}

}  // namespace perdure
