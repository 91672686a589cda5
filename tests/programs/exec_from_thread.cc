// Chains of execve(2) by threads that are not the main one, all the time while saves are taken:
// such a thread takes over the main one's number and ends all others. The status of each chain
// tells that it went through all of its programs, with its arguments and descriptors.
#include <pthread.h>

#include <atomic>

#include "support/program.h"

static constexpr int kLinks = 4;    // programs in a chain
static constexpr int kThreads = 3;  // of a program that executes the next one from a thread
static char program[512];
static std::atomic<bool> all_are_there{false};  // threads

struct Chain {
  int left;      // programs that still come
  int seed;      // the status at the end
  int pipe_fd;   // holds the seed all the way
  bool threads;  // execute from a thread
};

[[noreturn]] static void execute(const Chain& chain) {
  char words[3][16];
  snprintf(words[0], sizeof words[0], "%d", chain.left);
  snprintf(words[1], sizeof words[1], "%d", chain.seed);
  snprintf(words[2], sizeof words[2], "%d", chain.pipe_fd);
  execl(program, program, words[0], words[1], words[2], chain.threads ? "threads" : "alone",
        nullptr);
  FAIL("execl: %s", strerror(errno));
}

static void* wait_for_end(void*) {
  for (;;) pause();
}
static void* execute_here(void* chain) {
  while (!all_are_there.load()) pause_ms(1);
  execute(*static_cast<Chain*>(chain));
}

// The one that executes is older or younger than the others, which the kernel ends.
static void execute_from_thread(Chain* chain) {
  for (int i = 0; i < kThreads; ++i) {
    pthread_t thread;
    const bool executes = i == (chain->seed + chain->left) % kThreads;
    CHECK_EQ(pthread_create(&thread, nullptr, executes ? execute_here : wait_for_end, chain), 0);
  }
  all_are_there.store(true);
  for (;;) pause();
}

// One program of a chain.
static int go_on(char** words) {
  Chain chain{atoi(words[1]) - 1, atoi(words[2]), atoi(words[3]), strcmp(words[4], "threads") == 0};
  CHECK_EQ(getpid(), gettid());
  if (chain.left >= 0) chain.threads ? execute_from_thread(&chain) : execute(chain);
  int seed = 0;
  CHECK_EQ(SYS(read(chain.pipe_fd, &seed, sizeof seed)), sizeof seed);
  CHECK_EQ(seed, chain.seed);
  return seed;
}

static void check_status(pid_t child, int expected) {
  int status = 0;
  CHECK_EQ(SYS(waitpid(child, &status, 0)), child);
  if (status != expected << 8)
    FAIL("child %d ended with 0x%x, not with %d", child, status, expected);
}

static void run_chain(int seed, bool threads) {
  int ends[2];
  SYS(pipe(ends));
  CHECK_EQ(SYS(write(ends[1], &seed, sizeof seed)), sizeof seed);
  const pid_t child = SYS(fork());
  if (child == 0) execute({kLinks, seed, ends[0], threads});
  check_status(child, seed);
  close(ends[0]);
  close(ends[1]);
}

int main(int count, char** words) {
  program[SYS(readlink("/proc/self/exe", program, sizeof program - 1))] = 0;
  if (count == 5) return go_on(words);
  uint64_t turn = 0;
  auto storm = [&] {
    ++turn;
    run_chain(1 + int(turn % 100), turn % 4 != 0);
  };
  for (int round = 0; round < 3; ++round) {
    checkpoint_here(storm);
    for (int i = 0; i < 3; ++i) storm();
  }
  done();
}
