// mxcsr, the x87 control word and values on the x87 stack, in two threads with different settings.
#include <thread>

#include "support/program.h"

static volatile int stop_spinning = 0;
static volatile int started = 0;

static void spin(uint32_t mxcsr, uint16_t control_word, double value) {
  uint32_t mxcsr_after = 0;
  uint16_t control_after = 0;
  double sum = 0;
  asm volatile(
      "ldmxcsr %[mxcsr]; fldcw %[control]; fldl %[value]; fldpi; fld1\n"
      "movl $1, %[started]\n"
      "1: cmpl $0, %[stop]; je 1b\n"
      "faddp; faddp; fstpl %[sum]; stmxcsr %[mxcsr_after]; fnstcw %[control_after]; fninit\n"
      : [sum] "=m"(sum), [mxcsr_after] "=m"(mxcsr_after), [control_after] "=m"(control_after),
        [started] "=m"(started)
      :
      [mxcsr] "m"(mxcsr), [control] "m"(control_word), [value] "m"(value), [stop] "m"(stop_spinning)
      : "memory", "cc");
  CHECK_EQ(mxcsr_after & 0xffc0, mxcsr & 0xffc0);
  CHECK_EQ(control_after, control_word);
  CHECK(sum > value + 4.1415 && sum < value + 4.1417);
}

int main() {
  std::thread first([] { spin(0x1f80, 0x037f, 1.0); });  // round to nearest, extended precision
  while (!started) pause_ms(1);
  started = 0;
  std::thread second([] { spin(0x7f80, 0x0f7f, 1000.25); });  // round to zero
  while (!started) pause_ms(1);
  checkpoint_here();
  stop_spinning = 1;
  first.join();
  second.join();
  done();
}
