#include "engine/fault.h"

#include <cstdlib>

namespace perdure::engine {
namespace {

struct FaultPoints {
  long wanted = -1;
  long passed = 0;
  bool held = false;
  FaultPoints() {
    const char* text = std::getenv("PERDURE_FAIL_STEP");
    if (text != nullptr) wanted = std::strtol(text, nullptr, 10);
  }
};

FaultPoints& points() {
  static FaultPoints instance;
  return instance;
}

}  // namespace

Status fault_point(const char* name) {
  if (points().wanted < 0 || points().held || points().passed++ != points().wanted) return {};
  return Error(Code::kIo, std::string("failure injected at step ") +
                              std::to_string(points().wanted) + " (" + name + ")");
}

void reset_fault_points() { points().passed = 0; }

void fail_at(long point) {
  points().wanted = point;
  reset_fault_points();
}

FaultsHeld::FaultsHeld() { points().held = true; }
FaultsHeld::~FaultsHeld() { points().held = false; }

}  // namespace perdure::engine
