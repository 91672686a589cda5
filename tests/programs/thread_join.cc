// pthread_join() of threads that end after the restore: the kernel clears their tid word and wakes
// the joiner.
#include <sys/prctl.h>

#include <atomic>
#include <thread>

#include "support/program.h"

int main() {
  std::atomic<int> go{0}, joined{0}, tids[8] = {};
  std::thread threads[8], joiner;
  for (int i = 0; i < 8; ++i)
    threads[i] = std::thread([&, i] {
      tids[i] = gettid();
      while (!go) pause_ms(1);
      CHECK_EQ(gettid(), tids[i]);
      CHECK_EQ(syscall(SYS_gettid), tids[i]);
    });
  // Blocked in the join while the checkpoint is taken.
  joiner = std::thread([&] {
    threads[0].join();
    joined = 1;
  });
  for (auto& tid : tids)
    while (!tid) pause_ms(1);
  pause_ms(10);
  checkpoint_here();
  CHECK_EQ(joined, 0);
  go = 1;
  joiner.join();
  CHECK_EQ(joined, 1);
  for (int i = 1; i < 8; ++i) threads[i].join();
  std::thread fresh([&] { joined = 2; });  // new threads work as before
  fresh.join();
  CHECK_EQ(joined, 2);
  done();
}
