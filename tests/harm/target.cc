// The victim of the harm tests: it works, waits and holds state in many ways, and tells on request
// (a file ask.N) what it can see of itself, in state.N. Whatever failed around it, state must not
// differ, and nothing may have been disturbed.
#include <dirent.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>

#include "support/program.h"

static constexpr size_t kSize = 4 << 20;
static std::atomic<uint64_t> rounds[4], disturbances{0};
static std::atomic<int> finish{0};
static char report[1 << 20];
static size_t report_size = 0;

// Writes one line of the report; uses no memory but its own.
__attribute__((format(printf, 1, 2))) static void say(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int wrote = vsnprintf(report + report_size, sizeof report - report_size, format, arguments);
  va_end(arguments);
  report_size += size_t(wrote);
}

static bool any_line(const char*) { return true; }
static bool about_signals(const char* line) {
  for (const char* key : {"Name:", "SigPnd:", "ShdPnd:", "SigBlk:", "SigIgn:", "SigCgt:",
                          "TracerPid:", "Uid:", "CapEff:"})
    if (strncmp(line, key, strlen(key)) == 0) return true;
  return false;
}

static void say_file(const char* path, bool (*wanted)(const char*)) {
  static char text[1 << 18];
  int fd = SYS(open(path, O_RDONLY | O_CLOEXEC));
  size_t size = 0;
  for (long got; (got = SYS(read(fd, text + size, sizeof text - 1 - size))) > 0;)
    size += size_t(got);
  text[size] = 0;
  close(fd);
  for (char *line = text, *next; *line; line = next) {
    next = line + strcspn(line, "\n");
    next += *next == '\n';
    if (wanted(line)) say("%.*s", int(next - line), line);
  }
}

static void say_descriptors() {
  char name[64], target[256];
  for (int fd = 0; fd < 64; ++fd) {
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    long size = readlink(name, target, sizeof target - 1);
    if (size < 0) continue;
    target[size] = 0;
    say("fd %d: %s flags 0%o cloexec %d position %ld\n", fd, target, fcntl(fd, F_GETFL),
        fcntl(fd, F_GETFD), long(lseek(fd, 0, SEEK_CUR)));
  }
}

static void say_threads(const pid_t* tids, int count) {
  char name[64];
  for (int i = 0; i < count; ++i) {
    snprintf(name, sizeof name, "/proc/self/task/%d/status", tids[i]);
    say("thread %d\n", i);
    say_file(name, about_signals);
  }
}

// Keeps patterns in registers for a while, again and again.
static void compute() {
  for (uint64_t round = 1; !finish; ++round) {
    uint64_t a = test::mix(round), b = test::mix(a), c = test::mix(b), a2 = a, b2 = b, c2 = c;
    double x = double(round), y = 0.5;
    asm volatile(
        "mov $300000, %%ecx; movq %[x], %%xmm9; movq %[x], %%xmm14\n"
        "1: xchg %[a], %[b]; xchg %[b], %[c]; xchg %[a], %[c]; xchg %[a], %[b]; addsd %%xmm14, "
        "%%xmm9\n"
        "subsd %%xmm14, %%xmm9; xchg %[a], %[b]; xchg %[a], %[b]; dec %%ecx; jnz 1b\n"
        "movq %%xmm9, %[y]\n"
        : [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [y] "=x"(y)
        : [x] "x"(x)
        : "rcx", "xmm9", "xmm14", "cc");
    // Three turns of these swaps are the identity.
    if (a != a2 || b != b2 || c != c2 || y != x) ++disturbances;
    rounds[0] = round;
  }
}

static void sleep_often() {
  while (!finish) {
    int64_t begin = now_ns();
    timespec wanted{0, 3'000'000};
    if (nanosleep(&wanted, nullptr) != 0 || now_ns() - begin < 3'000'000) ++disturbances;
    ++rounds[1];
  }
}

static void converse(int in, int out, int counter) {
  for (uint64_t expected = 1, got = 0; !finish; ++expected, ++rounds[counter]) {
    if (out >= 0 && write(out, &expected, 8) != 8) ++disturbances;
    if (read(in, &got, 8) != 8 || (got != expected && !finish)) ++disturbances;
    if (out < 0) pause_ms(1);
  }
}

int main() {
  auto* memory = static_cast<uint8_t*>(
      mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  auto* shared = static_cast<uint8_t*>(
      mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  fill(memory, kSize, 1);
  fill(shared, kSize, 2);
  SYS(mprotect(memory + kSize / 2, 4096, PROT_NONE));
  int file = SYS(open(test::path("data"), O_RDWR | O_CREAT | O_APPEND, 0644)), pair[2], quiet[2];
  CHECK_EQ(SYS(write(file, "content", 7)), 7);
  SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  SYS(pipe(quiet));
  SYS(eventfd(5, EFD_CLOEXEC));
  sigset_t blocked;
  sigemptyset(&blocked);
  for (int i = 0; i < 3; ++i) sigaddset(&blocked, SIGRTMIN + i);
  sigprocmask(SIG_BLOCK, &blocked, nullptr);
  for (int i = 0; i < 3; ++i) SYS(sigqueue(getpid(), SIGRTMIN + i, sigval{.sival_int = 100 + i}));
  signal(SIGUSR1, [](int) { ++disturbances; });
  signal(SIGCHLD, [](int) { ++disturbances; });

  pid_t echo = SYS(fork());
  if (echo == 0) {
    uint64_t value;
    close(pair[0]);
    while (read(pair[1], &value, 8) == 8 && write(pair[1], &value, 8) == 8) continue;
    _exit(0);
  }
  close(pair[1]);
  std::atomic<pid_t> started[3] = {};
  std::thread threads[] = {std::thread([&] {
                             started[0] = gettid();
                             compute();
                           }),
                           std::thread([&] {
                             started[1] = gettid();
                             sleep_often();
                           }),
                           std::thread([&] {
                             started[2] = gettid();
                             converse(pair[0], pair[0], 2);
                           })};
  for (auto& tid : started)
    while (!tid) pause_ms(1);
  pid_t tids[] = {gettid(), started[0], started[1], started[2]};
  mark("ready.0");
  for (int number = 0; !test::marked("end"); pause_ms(1)) {
    char ask[32], state[32];
    snprintf(ask, sizeof ask, "ask.%d", number);
    if (!test::marked(ask)) continue;
    uint64_t before[3] = {rounds[0], rounds[1], rounds[2]};
    for (int i = 0; i < 3; ++i)  // everybody goes on
      while (rounds[i] == before[i]) pause_ms(1);
    report_size = 0;
    say_file("/proc/self/maps", any_line);
    say_descriptors();
    say_threads(tids, 4);
    check_filled(memory, kSize / 2, 1, "private memory");
    check_filled(shared, kSize, 2, "shared memory");
    say("disturbances %lu\n", disturbances.load());
    snprintf(state, sizeof state, "draft.%d", number);
    int out = SYS(open(test::path(state), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    CHECK_EQ(SYS(write(out, report, report_size)), report_size);
    close(out);
    char from[512];
    snprintf(from, sizeof from, "%s", test::path(state));
    snprintf(state, sizeof state, "state.%d", number++);
    SYS(rename(from, test::path(state)));
  }
  finish = 1;
  for (auto& thread : threads) thread.join();
  signal(SIGCHLD, SIG_DFL);
  close(pair[0]);
  check_child(echo);
  for (int i = 0; i < 3; ++i) {
    siginfo_t info;
    CHECK_EQ(SYS(sigwaitinfo(&blocked, &info)), SIGRTMIN + i);
    CHECK_EQ(info.si_value.sival_int, 100 + i);
  }
  CHECK_EQ(disturbances, 0);
  done();
}
