// Robust mutexes: the kernel still knows each thread's list after a restore, so the death of an
// owner is noticed.
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include <atomic>
#include <thread>

#include "support/program.h"

static void create(pthread_mutex_t* mutex, int shared) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutexattr_setpshared(&attributes, shared);
  CHECK_EQ(pthread_mutex_init(mutex, &attributes), 0);
}

int main() {
  static pthread_mutex_t of_thread;
  auto* of_child = static_cast<pthread_mutex_t*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  create(&of_thread, PTHREAD_PROCESS_PRIVATE);
  create(of_child, PTHREAD_PROCESS_SHARED);

  pid_t child = SYS(fork());
  if (child == 0) {
    pthread_mutex_lock(of_child);
    mark("child-locked");
    for (;;) pause_ms(1000);
  }
  std::atomic<int> locked{0}, go{0};
  std::thread thread([&] {
    pthread_mutex_lock(&of_thread);
    locked = 1;
    while (!go) pause_ms(1);
  });
  while (!locked) pause_ms(1);
  await_mark("child-locked");
  void *head = nullptr, *head_after = nullptr;
  size_t length = 0, length_after = 0;
  SYS(syscall(SYS_get_robust_list, 0, &head, &length));
  checkpoint_here();

  SYS(syscall(SYS_get_robust_list, 0, &head_after, &length_after));
  CHECK(head == head_after && length == length_after);
  go = 1;
  thread.join();  // ends while it holds the mutex
  CHECK_EQ(pthread_mutex_trylock(&of_thread), EOWNERDEAD);
  CHECK_EQ(pthread_mutex_trylock(of_child), EBUSY);
  SYS(kill(child, SIGKILL));
  int status = 0;
  CHECK_EQ(waitpid(child, &status, 0), child);
  CHECK_EQ(status, SIGKILL);
  CHECK_EQ(pthread_mutex_lock(of_child), EOWNERDEAD);
  done();
}
