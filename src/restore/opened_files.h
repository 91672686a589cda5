// OpenedFiles as bytes, for the way from the builder to the engine.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "restore/files.h"

namespace perdure::restore {

struct BuilderAnswer {
  OpenedFiles opened;
  std::vector<pid_t>
      roots;  // pids in the builder's PID namespace, in the order of the plan's roots
};

std::string encode_answer(const BuilderAnswer& answer);
Result<BuilderAnswer> decode_answer(const std::string& bytes);

}  // namespace perdure::restore
