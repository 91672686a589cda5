// SSE, AVX and AVX-512 registers, as far as the processor has them, keep their values.
#include <thread>

#include "support/program.h"

static volatile int stop_spinning = 0;
static volatile int spinning = 0;

#define SPIN "1: cmpl $0, %[stop]; je 1b\n"

static void spin_sse(uint8_t* m) {
  asm volatile(
      "movups 0(%0), %%xmm0; movups 16(%0), %%xmm1; movups 32(%0), %%xmm7; movups 48(%0), "
      "%%xmm15\n" SPIN
      "movups %%xmm0, 0(%0); movups %%xmm1, 16(%0); movups %%xmm7, 32(%0); movups %%xmm15, 48(%0)\n"
      :
      : "r"(m), [stop] "m"(stop_spinning)
      : "xmm0", "xmm1", "xmm7", "xmm15", "memory", "cc");
}

__attribute__((target("avx"))) static void spin_avx(uint8_t* m) {
  asm volatile(
      "vmovups 0(%0), %%ymm0; vmovups 32(%0), %%ymm3; vmovups 64(%0), %%ymm8; vmovups 96(%0), "
      "%%ymm15\n" SPIN
      "vmovups %%ymm0, 0(%0); vmovups %%ymm3, 32(%0); vmovups %%ymm8, 64(%0); vmovups %%ymm15, "
      "96(%0)\n"
      "vzeroupper\n"
      :
      : "r"(m), [stop] "m"(stop_spinning)
      : "xmm0", "xmm3", "xmm8", "xmm15", "memory", "cc");
}

__attribute__((target("avx512f,avx512bw"))) static void spin_avx512(uint8_t* m) {
  asm volatile(
      "vmovups 0(%0), %%zmm0; vmovups 64(%0), %%zmm9; vmovups 128(%0), %%zmm16; vmovups 192(%0), "
      "%%zmm31\n"
      "kmovq 256(%0), %%k1; kmovq 264(%0), %%k7\n" SPIN
      "vmovups %%zmm0, 0(%0); vmovups %%zmm9, 64(%0); vmovups %%zmm16, 128(%0); vmovups %%zmm31, "
      "192(%0)\n"
      "kmovq %%k1, 256(%0); kmovq %%k7, 264(%0); vzeroupper\n"
      :
      : "r"(m), [stop] "m"(stop_spinning)
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
    threads[i] = std::thread([&, i] {
      spinning = spinning + 1;
      cases[i].spin(cases[i].memory);
    });
  }
  pause_ms(20);
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
