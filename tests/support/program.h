// What a test program uses to meet its harness (run_program.py). A program sets state up, calls
// checkpoint_here(), checks that everything is as before, and ends with done() or fail(). Meeting
// happens through files in $PERDURE_TEST_DIR that nobody holds open: ready.N (the program waits),
// go.N (it may go on), result ("ok", or what is wrong; the first writer wins). Nothing else is
// used, so that a program depends only on what it tests, and on nanosleep.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <initializer_list>

namespace test {

inline char directory[256];  // cached, so that a program may change its environment or root
inline int checkpoints = 0;  // checkpoint_here() calls so far

inline const char* path(const char* name) {
  static thread_local char text[512];
  if (!directory[0]) snprintf(directory, sizeof directory, "%s", getenv("PERDURE_TEST_DIR") ?: ".");
  snprintf(text, sizeof text, "%s/%s", directory, name);
  return text;
}

inline bool write_result(const char* text) {
  char draft[64];
  snprintf(draft, sizeof draft, "result.%d.%ld", getpid(), syscall(SYS_gettid));
  char from[512];
  snprintf(from, sizeof from, "%s", path(draft));
  int fd = open(from, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0666);
  bool written = fd >= 0 && write(fd, text, strlen(text)) > 0;
  close(fd);
  written = written && link(from, path("result")) == 0;
  unlink(from);
  return written;
}

[[noreturn]] __attribute__((format(printf, 3, 4))) inline void fail(const char* file, int line,
                                                                    const char* format, ...) {
  char text[1024];
  int used = snprintf(text, sizeof text,
                      "%s:%d: ", strrchr(file, '/') ? strrchr(file, '/') + 1 : file, line);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text + used, sizeof text - used - 2, format, arguments);
  va_end(arguments);
  strcat(text, "\n");
  write_result(text);
  _exit(1);
}

[[noreturn]] inline void done() { _exit(write_result("ok\n") ? 0 : 1); }

#define FAIL(...) test::fail(__FILE__, __LINE__, __VA_ARGS__)
#define CHECK(condition) ((condition) ? void() : FAIL("not true: %s", #condition))
#define CHECK_EQ(actual, expected)                                                         \
  do {                                                                                     \
    long long actual_ = (long long)(actual), expected_ = (long long)(expected);            \
    if (actual_ != expected_)                                                              \
      FAIL("%s is %lld (0x%llx), not %lld (0x%llx)", #actual, actual_, actual_, expected_, \
           expected_);                                                                     \
  } while (0)
#define CHECK_TEXT(actual, expected)                               \
  do {                                                             \
    if (strcmp(actual, expected) != 0)                             \
      FAIL("%s is \"%s\", not \"%s\"", #actual, actual, expected); \
  } while (0)
// The value of a system call that must succeed.
#define SYS(call)                                                   \
  ({                                                                \
    auto value_ = (call);                                           \
    if ((long)value_ == -1) FAIL("%s: %s", #call, strerror(errno)); \
    value_;                                                         \
  })

inline int64_t now_ns(clockid_t clock = CLOCK_MONOTONIC) {
  timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}
inline int64_t now_ms() { return now_ns() / 1'000'000; }

inline void pause_ms(int ms) {
  timespec left{ms / 1000, ms % 1000 * 1'000'000L};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) continue;
}

// How much later than asked for something may end, milliseconds. Large where clocks may not
// continue (attach).
inline int64_t slack_ms() { return atoll(getenv("PERDURE_TEST_SLACK_MS") ?: "800"); }
inline bool mode_is(const char* prefix) {
  return strncmp(getenv("PERDURE_TEST_MODE") ?: "native", prefix, strlen(prefix)) == 0;
}

// Marks: how the processes of one program wait for each other without sharing anything but a
// folder.
inline void mark(const char* name) {
  int fd = SYS(open(path(name), O_CREAT | O_WRONLY | O_CLOEXEC, 0666));
  close(fd);
}
inline bool marked(const char* name) { return access(path(name), F_OK) == 0; }
inline void await_mark(const char* name) {
  while (!marked(name)) pause_ms(2);
}

// Waits for the harness to let the program go on; work() is called again and again meanwhile.
template <typename Work>
void checkpoint_here(Work work) {
  char ready[32], go[32];
  int number = checkpoints++;
  snprintf(ready, sizeof ready, "ready.%d", number);
  snprintf(go, sizeof go, "go.%d", number);
  mark(ready);
  while (!marked(go)) {
    pause_ms(1);
    work();
  }
}
inline void checkpoint_here() {
  checkpoint_here([] {});
}
// For other processes of the program: waits until the checkpoint that was next at fork() is over.
inline void await_go() {
  char go[32];
  snprintf(go, sizeof go, "go.%d", checkpoints++);
  await_mark(go);
}

// The wait status of a child that must exit with 0.
inline void check_child(pid_t pid) {
  int status = 0;
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  if (status != 0) FAIL("child %d ended with status 0x%x", pid, status);
}

// A reproducible byte for every (seed, index).
inline uint64_t mix(uint64_t value) {
  value = (value ^ (value >> 31)) * 0x7fb5d329728ea185ULL;
  value = (value ^ (value >> 27)) * 0x81dadef4bc2dd44dULL;
  return value ^ (value >> 33);
}
inline void fill(void* memory, size_t size, uint64_t seed) {
  for (size_t i = 0; i < size; ++i)
    static_cast<uint8_t*>(memory)[i] = uint8_t(mix(seed * 1'000'003 + i));
}
inline void check_filled(const void* memory, size_t size, uint64_t seed, const char* what) {
  for (size_t i = 0; i < size; ++i) {
    uint8_t expected = uint8_t(mix(seed * 1'000'003 + i)),
            actual = static_cast<const uint8_t*>(memory)[i];
    if (actual != expected)
      FAIL("%s differs at byte %zu: 0x%02x, not 0x%02x", what, i, actual, expected);
  }
}

// One line of a /proc file that starts with key, without key and blanks; empty if there is none.
inline const char* proc_line(const char* file, const char* key) {
  static thread_local char line[1024];
  FILE* stream = fopen(file, "re");
  if (!stream) FAIL("%s: %s", file, strerror(errno));
  bool found = false;
  while (!found && fgets(line, sizeof line, stream)) found = strncmp(line, key, strlen(key)) == 0;
  fclose(stream);
  if (!found) return "";
  line[strcspn(line, "\n")] = 0;
  return line + strlen(key) + strspn(line + strlen(key), " \t");
}

}  // namespace test

using test::await_go;
using test::await_mark;
using test::check_child;
using test::check_filled;
using test::checkpoint_here;
using test::done;
using test::fill;
using test::mark;
using test::now_ms;
using test::now_ns;
using test::pause_ms;
using test::slack_ms;
