// A small assembler for BPF programs (kernel:
// Documentation/bpf/standardization/instruction-set.rst). Registers 0 to 5 are lost in a call, 6 to
// 9 stay, 10 is the end of a stack of 512 bytes; 1 holds the context at the start, 0 the result.
#pragma once

#include <linux/bpf.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/fd.h"

namespace perdure::kernel {

enum class BpfRegister : uint8_t { k0, k1, k2, k3, k4, k5, k6, k7, k8, k9, kStackEnd };
enum class BpfSize : uint8_t { k32 = BPF_W, k64 = BPF_DW };
enum class BpfMath : uint8_t {
  kAdd = BPF_ADD,
  kAnd = BPF_AND,
  kMultiply = BPF_MUL,
  kShiftLeft = BPF_LSH,
  kShiftRight = BPF_RSH,
  kXor = BPF_XOR,
};
enum class BpfTest : uint8_t { kEqual = BPF_JEQ, kNotEqual = BPF_JNE, kAnyBit = BPF_JSET };

class BpfCode {
 public:
  using Register = BpfRegister;
  using Instructions = std::vector<bpf_insn>;
  // A place to jump to, forwards only.
  struct Label {
    std::vector<size_t> jumps;
  };

  void set(Register to, int32_t value);
  void copy(Register to, Register from);
  void calculate(BpfMath math, Register to, int32_t value);
  void calculate(BpfMath math, Register to, Register by);
  void load(BpfSize size, Register to, Register base, int16_t offset);
  void store(BpfSize size, Register base, int16_t offset, Register from);
  void store(BpfSize size, Register base, int16_t offset, int32_t value);
  // *(uint64_t*)(base + offset) |= bits, by one processor at a time.
  void atomic_or(Register base, int16_t offset, Register bits);
  // by = *(uint64_t*)(base + offset), which is then more by the old `by`.
  void atomic_add_and_fetch_old(Register base, int16_t offset, Register by);
  // bits = *(uint64_t*)(base + offset), which is then &= the old `bits`.
  void atomic_and_and_fetch_old(Register base, int16_t offset, Register bits);
  void set_map(Register to, const Fd& map);
  // Where the map's value is whose key lies at this place of the stack; jumps if there is none.
  void find_value(Register to, const Fd& map, int16_t key, Label& none);
  // The same where the map itself is in register 0 (of a BpfArraySlot).
  void find_value_in_found(Register to, int16_t key, Label& none);
  // BPF_FUNC_*; arguments are in registers 1 to 5.
  void call(int32_t helper);
  void jump(Label& label);
  void jump_if(Register value, BpfTest test, int32_t with, Label& label);
  void jump_if(Register value, BpfTest test, Register with, Label& label);
  void place(Label& label);
  void exit_with(int32_t result);

  const Instructions& instructions() const { return instructions_; }

 private:
  void add(uint8_t code, Register to, Register from, int16_t offset, int32_t value);
  Instructions instructions_;
};

}  // namespace perdure::kernel
