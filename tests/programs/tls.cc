// Thread local storage and thread specific data of 16 threads.
#include <pthread.h>

#include <atomic>
#include <thread>

#include "support/program.h"

static thread_local uint64_t number = 17;
static thread_local char block[3000];
static thread_local int saved_errno_like;

int main() {
  pthread_key_t key;
  CHECK_EQ(pthread_key_create(&key, nullptr), 0);
  std::atomic<int> ready{0}, go{0};
  std::thread threads[16];
  for (int i = 0; i < 16; ++i)
    threads[i] = std::thread([&, i] {
      number = 1000 + i;
      saved_errno_like = -i;
      fill(block, sizeof block, i);
      pthread_setspecific(key, reinterpret_cast<void*>(0x5000L + i));
      pthread_t self = pthread_self();
      uint64_t* address = &number;
      ++ready;
      while (!go) pause_ms(1);
      CHECK_EQ(number, 1000 + i);
      CHECK_EQ(saved_errno_like, -i);
      check_filled(block, sizeof block, i, "thread local block");
      CHECK_EQ(reinterpret_cast<long>(pthread_getspecific(key)), 0x5000 + i);
      CHECK(pthread_equal(self, pthread_self()) && address == &number);
    });
  while (ready < 16) pause_ms(1);
  errno = ENOTTY;
  checkpoint_here();
  CHECK_EQ(number, 17);
  go = 1;
  for (auto& thread : threads) thread.join();
  done();
}
