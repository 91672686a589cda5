// Programs that start programs all the time while saves are taken: chains of execve(2), and
// vfork(2) by posix_spawn(3). The status of each tells that it went through all of its chain, with
// its arguments and descriptors.
#include <spawn.h>

#include "support/program.h"

extern char** environ;

static constexpr int kLinks = 4;  // programs in a chain
static char program[512];

struct Chain {
  int left;     // programs that still come
  int seed;     // the status at the end
  int pipe_fd;  // holds the seed all the way
};

[[noreturn]] static void execute(const Chain& chain) {
  char words[3][16];
  snprintf(words[0], sizeof words[0], "%d", chain.left);
  snprintf(words[1], sizeof words[1], "%d", chain.seed);
  snprintf(words[2], sizeof words[2], "%d", chain.pipe_fd);
  execl(program, program, words[0], words[1], words[2], nullptr);
  FAIL("execl: %s", strerror(errno));
}

// One program of a chain.
static int go_on(char** words) {
  Chain chain{atoi(words[1]) - 1, atoi(words[2]), atoi(words[3])};
  CHECK_EQ(getpid(), gettid());
  if (chain.left >= 0) execute(chain);
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

static void run_chain(int seed) {
  int ends[2];
  SYS(pipe(ends));
  CHECK_EQ(SYS(write(ends[1], &seed, sizeof seed)), sizeof seed);
  const pid_t child = SYS(fork());
  if (child == 0) execute({kLinks, seed, ends[0]});
  check_status(child, seed);
  close(ends[0]);
  close(ends[1]);
}

static void spawn(int seed) {
  char number[16];
  snprintf(number, sizeof number, "%d", seed);
  const char* words[] = {"/bin/sh", "-c", "exit $0", number, nullptr};
  pid_t child = 0;
  CHECK_EQ(posix_spawn(&child, words[0], nullptr, nullptr, const_cast<char**>(words), environ), 0);
  check_status(child, seed);
}

int main(int count, char** words) {
  program[SYS(readlink("/proc/self/exe", program, sizeof program - 1))] = 0;
  if (count == 4) return go_on(words);
  uint64_t turn = 0;
  auto storm = [&] {
    ++turn;
    run_chain(1 + int(turn % 100));
    spawn(1 + int(turn % 90));
  };
  for (int round = 0; round < 3; ++round) {
    checkpoint_here(storm);
    for (int i = 0; i < 3; ++i) storm();
  }
  done();
}
