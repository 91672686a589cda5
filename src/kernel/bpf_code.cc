#include "kernel/bpf_code.h"

#include "base/assert.h"

namespace perdure::kernel {
namespace {

constexpr BpfRegister kNone = BpfRegister::k0;

}  // namespace

void BpfCode::add(uint8_t code, Register to, Register from, int16_t offset, int32_t value) {
  bpf_insn instruction = {};
  instruction.code = code;
  instruction.dst_reg = static_cast<uint8_t>(to) & 15;
  instruction.src_reg = static_cast<uint8_t>(from) & 15;
  instruction.off = offset;
  instruction.imm = value;
  instructions_.push_back(instruction);
}

void BpfCode::set(Register to, int32_t value) {
  add(BPF_ALU64 | BPF_MOV | BPF_K, to, kNone, 0, value);
}

void BpfCode::copy(Register to, Register from) { add(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0); }

void BpfCode::calculate(BpfMath math, Register to, int32_t value) {
  add(static_cast<uint8_t>(BPF_ALU64 | BPF_K | static_cast<int>(math)), to, kNone, 0, value);
}

void BpfCode::calculate(BpfMath math, Register to, Register by) {
  add(static_cast<uint8_t>(BPF_ALU64 | BPF_X | static_cast<int>(math)), to, by, 0, 0);
}

void BpfCode::load(BpfSize size, Register to, Register base, int16_t offset) {
  add(static_cast<uint8_t>(BPF_LDX | BPF_MEM | static_cast<int>(size)), to, base, offset, 0);
}

void BpfCode::store(BpfSize size, Register base, int16_t offset, Register from) {
  add(static_cast<uint8_t>(BPF_STX | BPF_MEM | static_cast<int>(size)), base, from, offset, 0);
}

void BpfCode::store(BpfSize size, Register base, int16_t offset, int32_t value) {
  add(static_cast<uint8_t>(BPF_ST | BPF_MEM | static_cast<int>(size)), base, kNone, offset, value);
}

void BpfCode::atomic_or(Register base, int16_t offset, Register bits) {
  add(BPF_STX | BPF_DW | BPF_ATOMIC, base, bits, offset, BPF_OR);
}

void BpfCode::atomic_add_and_fetch_old(Register base, int16_t offset, Register by) {
  add(BPF_STX | BPF_DW | BPF_ATOMIC, base, by, offset, BPF_ADD | BPF_FETCH);
}

void BpfCode::atomic_and_and_fetch_old(Register base, int16_t offset, Register bits) {
  add(BPF_STX | BPF_DW | BPF_ATOMIC, base, bits, offset, BPF_AND | BPF_FETCH);
}

void BpfCode::set_map(Register to, const Fd& map) {
  PD_ASSERT(map.valid());
  add(BPF_LD | BPF_DW | BPF_IMM, to, static_cast<Register>(BPF_PSEUDO_MAP_FD), 0, map.get());
  add(0, kNone, kNone, 0, 0);
}

void BpfCode::find_value(Register to, const Fd& map, int16_t key, Label& none) {
  copy(Register::k2, Register::kStackEnd);
  calculate(BpfMath::kAdd, Register::k2, key);
  set_map(Register::k1, map);
  call(BPF_FUNC_map_lookup_elem);
  jump_if(Register::k0, BpfTest::kEqual, 0, none);
  if (to != Register::k0) copy(to, Register::k0);
}

void BpfCode::find_value_in_found(Register to, int16_t key, Label& none) {
  copy(Register::k1, Register::k0);
  copy(Register::k2, Register::kStackEnd);
  calculate(BpfMath::kAdd, Register::k2, key);
  call(BPF_FUNC_map_lookup_elem);
  jump_if(Register::k0, BpfTest::kEqual, 0, none);
  if (to != Register::k0) copy(to, Register::k0);
}

void BpfCode::call(int32_t helper) { add(BPF_JMP | BPF_CALL, kNone, kNone, 0, helper); }

void BpfCode::jump(Label& label) {
  label.jumps.push_back(instructions_.size());
  add(BPF_JMP | BPF_JA, kNone, kNone, 0, 0);
}

void BpfCode::jump_if(Register value, BpfTest test, int32_t with, Label& label) {
  label.jumps.push_back(instructions_.size());
  add(static_cast<uint8_t>(BPF_JMP | BPF_K | static_cast<int>(test)), value, kNone, 0, with);
}

void BpfCode::jump_if(Register value, BpfTest test, Register with, Label& label) {
  label.jumps.push_back(instructions_.size());
  add(static_cast<uint8_t>(BPF_JMP | BPF_X | static_cast<int>(test)), value, with, 0, 0);
}

void BpfCode::place(Label& label) {
  for (size_t jump : label.jumps) {
    const size_t distance = instructions_.size() - jump - 1;
    PD_ASSERT(distance <= INT16_MAX);
    instructions_[jump].off = static_cast<int16_t>(distance);
  }
  label.jumps.clear();
}

void BpfCode::exit_with(int32_t result) {
  set(Register::k0, result);
  add(BPF_JMP | BPF_EXIT, kNone, kNone, 0, 0);
}

}  // namespace perdure::kernel
