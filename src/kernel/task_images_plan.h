// ImagePlan: which fields of the kernel's structures make an image of a task (task_images.h), where
// the running kernel has them, and the program that copies them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "kernel/bpf_code.h"
#include "kernel/btf.h"

namespace perdure::kernel {

// Values that are more than bytes to compare.
enum class ImageMark : uint8_t {
  kNone,
  kTid,
  kTgid,
  kFlags,   // thread_info.flags
  kLevel,   // of nested PID namespaces
  kGroups,  // struct group_info from its count on
  kSleeps,
  kPending,
  kSharedPending,
  kPosixTimers,
  kIgnoredTimers,
  kRealTimerState,
  kRealTimerAgain,
  kCpuTimers,
  kCoreState,
  kIpcObjects,  // struct ipc_ids of semaphores, message queues and shared memory
  kMm,
  kBrk,
  kLockSequence,
  kProcessGroup,  // struct pid from its level on
  kSession,
  kLimits,
  kStatePermitted,  // of the extended processor state
  kEnd,
};

class ImagePlan {
 public:
  // Groups that a task may have, and PID namespaces, each within the other.
  static constexpr uint32_t kGroupsMax = 32;
  static constexpr uint32_t kNumbersMax = 4;

  static Result<ImagePlan> make(const Btf& btf);

  // One value for each thread, and one for the process. The bytes to compare come first.
  struct Section {
    uint32_t compared = 0;  // bytes
    uint32_t bytes = 0;     // a multiple of 8
  };
  const Section& thread() const { return thread_; }
  const Section& process() const { return process_; }
  uint32_t space_from() const { return space_from_; }  // within the bytes of the process
  // Where a value is; false if this kernel has none.
  bool has(ImageMark mark) const { return places_[static_cast<size_t>(mark)].bytes != 0; }
  struct Place {
    uint32_t at = 0;
    uint32_t bytes = 0;
  };
  const Place& place(ImageMark mark) const { return places_[static_cast<size_t>(mark)]; }

  // For an iterator over the threads of one process. The first 8 bytes of the process's value
  // become the number of threads met.
  BpfCode program(const Fd& process_map, const Fd& thread_map) const;

 private:
  struct Step {
    int from = -1;  // place of the pointer in the same value; -1: the task; see kOfThread
    uint32_t offset = 0;
    uint32_t bytes = 0;
    uint32_t to = 0;
  };
  friend class Planner;
  Section thread_, process_;
  uint32_t space_from_ = 0;
  std::vector<Step> thread_steps_, process_steps_;
  std::vector<Place> places_ = std::vector<Place>(static_cast<size_t>(ImageMark::kEnd));
};

}  // namespace perdure::kernel
