// General purpose registers and flags keep their values while a thread computes.
#include <atomic>
#include <thread>

#include "support/program.h"

static volatile int stop_spinning = 0;
static std::atomic<int> spinning{0};

// Loads every register that a compiler lets us use, spins on memory, and hands the values back.
static void spin(uint64_t seed, uint64_t (&out)[12]) {
  for (int i = 0; i < 12; ++i) out[i] = test::mix(seed + i);
  spinning = 1;
  asm volatile(
      "mov 0(%[o]), %%rax; mov 8(%[o]), %%rbx; mov 16(%[o]), %%rcx; mov 24(%[o]), %%rdx\n"
      "mov 32(%[o]), %%rsi; mov 40(%[o]), %%r8; mov 48(%[o]), %%r9; mov 56(%[o]), %%r10\n"
      "mov 64(%[o]), %%r11; mov 72(%[o]), %%r12; mov 80(%[o]), %%r13; mov 88(%[o]), %%r14\n"
      "std\n"
      "1: cmpl $0, %[stop]; je 1b\n"
      "lea -128(%%rsp), %%rsp; pushfq; popq %%r15; lea 128(%%rsp), %%rsp; cld\n"
      "mov %%rax, 0(%[o]); mov %%rbx, 8(%[o]); mov %%rcx, 16(%[o]); mov %%rdx, 24(%[o])\n"
      "mov %%rsi, 32(%[o]); mov %%r8, 40(%[o]); mov %%r9, 48(%[o]); mov %%r10, 56(%[o])\n"
      "mov %%r11, 64(%[o]); mov %%r12, 72(%[o]); mov %%r13, 80(%[o]); mov %%r14, 88(%[o])\n"
      "shr $10, %%r15; and $1, %%r15; mov %%r15, %%rax\n"
      "test %%rax, %%rax; jnz 2f; ud2; 2:\n"  // the direction flag was lost
      :
      : [o] "D"(out), [stop] "m"(stop_spinning), "m"(out)
      : "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
        "memory", "cc");
}

int main() {
  uint64_t out[12];
  std::thread thread([&] { spin(7, out); });
  while (!spinning) pause_ms(1);
  checkpoint_here();
  stop_spinning = 1;
  thread.join();
  for (int i = 0; i < 12; ++i) CHECK_EQ(out[i], test::mix(7 + i));
  done();
}
