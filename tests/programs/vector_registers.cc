// SSE, AVX and AVX-512 registers, as far as the processor has them, keep their values.
#include <thread>

#include "support/program.h"

static volatile int stop_spinning = 0;
static int spinning = 0;

#define SPIN "lock incl %[started]; 1: cmpl $0, %[stop]; je 1b\n"

static void spin_sse(uint8_t* m) {
  asm volatile(
      "movups 0(%[m]), %%xmm0; movups 16(%[m]), %%xmm1; movups 32(%[m]), %%xmm7; movups 48(%[m]), "
      "%%xmm15\n" SPIN
      "movups %%xmm0, 0(%[m]); movups %%xmm1, 16(%[m]); movups %%xmm7, 32(%[m]); movups %%xmm15, "
      "48(%[m])\n"
      : [started] "+m"(spinning)
      : [m] "r"(m), [stop] "m"(stop_spinning)
      : "xmm0", "xmm1", "xmm7", "xmm15", "memory", "cc");
}

__attribute__((target("avx"))) static void spin_avx(uint8_t* m) {
  asm volatile(
      "vmovups 0(%[m]), %%ymm0; vmovups 32(%[m]), %%ymm3; vmovups 64(%[m]), %%ymm8; vmovups "
      "96(%[m]), "
      "%%ymm15\n" SPIN
      "vmovups %%ymm0, 0(%[m]); vmovups %%ymm3, 32(%[m]); vmovups %%ymm8, 64(%[m]); vmovups "
      "%%ymm15, "
      "96(%[m])\n"
      "vzeroupper\n"
      : [started] "+m"(spinning)
      : [m] "r"(m), [stop] "m"(stop_spinning)
      : "xmm0", "xmm3", "xmm8", "xmm15", "memory", "cc");
}

__attribute__((target("avx512f,avx512bw"))) static void spin_avx512(uint8_t* m) {
  asm volatile(
      "vmovups 0(%[m]), %%zmm0; vmovups 64(%[m]), %%zmm9; vmovups 128(%[m]), %%zmm16; vmovups "
      "192(%[m]), "
      "%%zmm31\n"
      "kmovq 256(%[m]), %%k1; kmovq 264(%[m]), %%k7\n" SPIN
      "vmovups %%zmm0, 0(%[m]); vmovups %%zmm9, 64(%[m]); vmovups %%zmm16, 128(%[m]); vmovups "
      "%%zmm31, "
      "192(%[m])\n"
      "kmovq %%k1, 256(%[m]); kmovq %%k7, 264(%[m]); vzeroupper\n"
      : [started] "+m"(spinning)
      : [m] "r"(m), [stop] "m"(stop_spinning)
      : "xmm0", "xmm9", "xmm16", "xmm31", "k1", "k7", "memory", "cc");
}

struct Case {
  const char* name;
  void (*spin)(uint8_t*);
  size_t size;
  bool present;
  uint8_t memory[512];
};

int main() {
  __builtin_cpu_init();
  Case cases[] = {
      {"SSE", spin_sse, 64, true, {}},
      {"AVX", spin_avx, 128, __builtin_cpu_supports("avx") != 0, {}},
      {"AVX-512",
       spin_avx512,
       272,
       __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"),
       {}},
  };
  std::thread threads[3];
  for (int i = 0; i < 3; ++i) {
    if (!cases[i].present) continue;
    fill(cases[i].memory, cases[i].size, 50 + i);
    threads[i] = std::thread([&, i] { cases[i].spin(cases[i].memory); });
  }
  int expected = 1 + cases[1].present + cases[2].present;
  while (__atomic_load_n(&spinning, __ATOMIC_SEQ_CST) < expected) pause_ms(1);
  // What lies in memory is no proof: only the registers hold the pattern from here on.
  for (Case& c : cases) memset(c.memory, 0, sizeof c.memory);
  checkpoint_here();
  stop_spinning = 1;
  for (int i = 0; i < 3; ++i) {
    if (!cases[i].present) continue;
    threads[i].join();
    check_filled(cases[i].memory, cases[i].size, 50 + i, cases[i].name);
  }
  done();
}
