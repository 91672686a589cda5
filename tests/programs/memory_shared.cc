// Shared anonymous memory connects parent, child and grandchild before and after; it changes during
// saves.

// test: trackers

#include <sys/mman.h>

#include <atomic>

#include "support/program.h"

static constexpr size_t kPages = 256;
struct Shared {
  std::atomic<uint64_t> ping, pong, stop;
  uint8_t pad[4096 - 24];
  uint64_t pages[kPages][512];
};

int main() {
  auto* shared = static_cast<Shared*>(
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  pid_t child = SYS(fork());
  if (child == 0) {  // answers every ping, and leaves its mark in a page
    for (uint64_t seen = 0; !shared->stop;) {
      uint64_t ping = shared->ping;
      if (ping == seen) {
        pause_ms(1);
        continue;
      }
      if (ping != seen + 1) FAIL("ping %lu came after %lu", ping, seen);
      shared->pages[ping % kPages][ping % 512] = ping;
      shared->pong = seen = ping;
    }
    _exit(0);
  }
  uint64_t sent = 0;
  auto exchange = [&] {
    shared->ping = ++sent;
    for (int i = 0; shared->pong != sent; ++i) {
      if (i > 20000) FAIL("ping %lu was not answered: the memory is not shared any more", sent);
      pause_ms(1);
    }
  };
  for (int i = 0; i < 30; ++i) exchange();
  checkpoint_here(exchange);
  checkpoint_here(exchange);
  for (int i = 0; i < 30; ++i) exchange();
  for (uint64_t ping = sent > 200 ? sent - 200 : 1; ping <= sent; ++ping)
    CHECK_EQ(shared->pages[ping % kPages][ping % 512], ping);
  shared->stop = 1;
  check_child(child);
  done();
}
