// bpf(2): maps, tracing programs and what they are attached to. Everything lives as long as its
// descriptor. kUnavailable where the kernel lacks it, kPermission without CAP_BPF and CAP_PERFMON.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "kernel/bpf_code.h"

namespace perdure::kernel {

// An array whose values programs and we share: entry `key` begins at key * value_bytes.
class BpfArray {
 public:
  // kReplaced: for a BpfArraySlot.
  enum class Use : uint8_t { kAlone, kReplaced };
  // value_bytes: a multiple of 8.
  static Result<BpfArray> create(uint32_t value_bytes, uint32_t entries, Use use = Use::kAlone);
  BpfArray(BpfArray&& other) noexcept;
  BpfArray& operator=(BpfArray&&) = delete;
  BpfArray(const BpfArray&) = delete;
  BpfArray& operator=(const BpfArray&) = delete;
  ~BpfArray();

  const Fd& map() const { return map_; }
  void* at(uint32_t key) const;

 private:
  BpfArray() = default;
  Fd map_;
  void* memory_ = nullptr;
  size_t bytes_ = 0;
  uint32_t value_bytes_ = 0;
};

// A place for an array, which a program finds under key 0 of the place's map. What is put there has
// entries of the same size as all before; a program that found the one before goes on with that.
class BpfArraySlot {
 public:
  static Result<BpfArraySlot> create(uint32_t value_bytes);
  const Fd& map() const { return map_; }
  Status put(const BpfArray& array);

 private:
  Fd map_;
};

// A table from a number of 64 bits to one of 64 bits.
class BpfTable {
 public:
  static Result<BpfTable> create(uint32_t entries_max);
  const Fd& map() const { return map_; }
  // kExists if the key has a value.
  Status add(uint64_t key, uint64_t value);
  void remove(uint64_t key);

 private:
  Fd map_;
};

// A program for a tracepoint of the kernel ("page_fault_user") that sees the tracepoint's arguments
// from offset 0 of its context on, 8 bytes each.
Result<Fd> load_tracepoint_program(uint32_t tracepoint_type, const BpfCode& code);
// It runs from now on.
Result<Fd> attach_tracepoint_program(const Fd& program);

// A program that is called for tasks when it is asked to: its context has the task at offset 8, or
// nothing there at the end.
Result<Fd> load_task_program(uint32_t iterator_type, const BpfCode& code);
// Runs it for one thread. Linux 6.1.
Status run_task_program(const Fd& program, pid_t tid);
// The same in two steps, for all threads of a process: what is returned can be run again and again.
Result<Fd> link_process_program(const Fd& program, pid_t pid);
Result<Fd> link_thread_program(const Fd& program, pid_t tid);
Status run_linked_program(const Fd& link);

}  // namespace perdure::kernel
