// The stacks: deep frames are whole, the main stack grows further, thread stacks keep their guard
// page.
#include <pthread.h>
#include <sys/resource.h>

#include <atomic>
#include <thread>

#include "support/program.h"

// Recurses with a patterned frame of 3000 bytes at every level, calling at the bottom; verifies on
// the way up.
template <typename Bottom>
__attribute__((noinline)) static int descend(int depth, const Bottom& bottom) {
  volatile char frame[3000];
  for (int i = 0; i < 3000; i += 100) frame[i] = char(depth + i);
  int below = depth == 0 ? (bottom(), 0) : descend(depth - 1, bottom);
  for (int i = 0; i < 3000; i += 100)
    if (frame[i] != char(depth + i)) FAIL("stack frame at depth %d was changed", depth);
  return below + 1;
}

int main() {
  std::atomic<int> ready{0}, go{0};
  std::thread thread([&] {
    CHECK_EQ(descend(800,
                     [&] {
                       ready = 1;
                       while (!go) pause_ms(1);
                     }),
             801);
    CHECK_EQ(descend(2000, [] {}), 2001);
  });
  while (!ready) pause_ms(1);
  CHECK_EQ(descend(300, [] { checkpoint_here(); }), 301);
  CHECK_EQ(descend(2200, [] {}), 2201);  // about 6.6 MB: far below what was ever touched
  go = 1;
  thread.join();
  pthread_attr_t attributes;
  pthread_getattr_np(pthread_self(), &attributes);
  size_t size = 0;
  void* base = nullptr;
  pthread_attr_getstack(&attributes, &base, &size);
  CHECK(size >= 1 << 20);
  done();
}
