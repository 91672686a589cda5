// The BPF programs of a write guide, assembled for the running kernel. Each looks up the address
// space that it is told of in a table, and does nothing if it is not watched.
#pragma once

#include <sys/types.h>

#include "base/fd.h"
#include "base/result.h"
#include "kernel/bpf_code.h"
#include "kernel/btf.h"

namespace perdure::memory {

// Where the running kernel has what the programs read. Offsets in bytes.
struct KernelLayout {
  uint32_t task_mm = 0;
  uint32_t task_flags = 0;
  uint32_t task_status = 0;
  uint32_t task_robust_list = 0;
  uint32_t mm_brk = 0;
  static Result<KernelLayout> read(const kernel::Btf& btf);
};

struct GuideMaps {
  const Fd& spaces;       // from mm_struct* to a key of states
  const Fd& states;       // of SpaceState
  const Fd& held_blocks;  // of HeldBlock, by held_place()
  const Fd& held_round;   // one HeldRound
  const Fd& held_copies;  // a BpfArraySlot of HeldCopy
};

class GuidePrograms {
 public:
  // engine: the process that asks the guide.
  GuidePrograms(const KernelLayout& layout, const GuideMaps& maps, pid_t engine)
      : layout_(layout), maps_(maps), engine_(engine) {}

  // Tracepoints page_fault_user and page_fault_kernel, called before a fault is handled.
  kernel::BpfCode user_fault() const;
  kernel::BpfCode kernel_fault() const;
  // mmap_lock_acquire_returned, called with the lock held, and mmap_lock_released, called before it
  // is given up.
  kernel::BpfCode lock_acquired() const;
  kernel::BpfCode lock_released() const;
  // io_uring_submit_req: its operations are done anywhere and at any time.
  kernel::BpfCode uring_submit() const;
  // An iterator's: leaves the task's mm_struct* in the only entry of `answer`.
  kernel::BpfCode find_space(const Fd& answer) const;

 private:
  kernel::BpfCode fault(bool of_kernel) const;
  void record_fault(kernel::BpfCode& code) const;
  void copy_held_page(kernel::BpfCode& code) const;
  void find_state(kernel::BpfCode& code, kernel::BpfCode::Label& none) const;
  void skip_harmless(kernel::BpfCode& code, kernel::BpfCode::Label& harmless) const;
  void record_lock(kernel::BpfCode& code) const;
  void record_stack(kernel::BpfCode& code) const;

  KernelLayout layout_;
  GuideMaps maps_;
  pid_t engine_;
};

}  // namespace perdure::memory
