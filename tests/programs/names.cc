// comm of process and threads, command line (also overwritten), environment, executable link and
// auxiliary vector.
#include <elf.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/prctl.h>

#include <atomic>
#include <string>
#include <thread>

#include "support/program.h"

static std::string read_all(const char* file) {
  std::string text;
  int fd = SYS(open(file, O_RDONLY | O_CLOEXEC));
  char part[4096];
  for (long got; (got = SYS(read(fd, part, sizeof part))) > 0;) text.append(part, size_t(got));
  close(fd);
  return text;
}
static std::string link_target(const char* file) {
  char text[512];
  return std::string(text, size_t(SYS(readlink(file, text, sizeof text))));
}

int main(int, char** argv) {
  memset(argv[0], 'x', strlen(argv[0]));  // as setproctitle() does
  memcpy(argv[0], "title", 5);
  setenv("PERDURE_ADDED", "later", 1);
  SYS(prctl(PR_SET_NAME, "main (odd) 7"));
  std::atomic<int> ready{0}, go{0};
  std::thread threads[5];
  for (int i = 0; i < 5; ++i)
    threads[i] = std::thread([&, i] {
      char name[16], found[16];
      snprintf(name, sizeof name, "worker %d)", i);
      pthread_setname_np(pthread_self(), name);
      ++ready;
      while (!go) pause_ms(1);
      pthread_getname_np(pthread_self(), found, sizeof found);
      CHECK_TEXT(found, name);
    });
  while (ready < 5) pause_ms(1);
  std::string command = read_all("/proc/self/cmdline"),
              environment = read_all("/proc/self/environ");
  std::string executable = link_target("/proc/self/exe"), auxv = read_all("/proc/self/auxv");
  CHECK(command.compare(0, 6, "titlex") == 0);
  checkpoint_here();

  char name[16];
  SYS(prctl(PR_GET_NAME, name));
  CHECK_TEXT(name, "main (odd) 7");
  CHECK(read_all("/proc/self/comm") == "main (odd) 7\n");
  CHECK(read_all("/proc/self/cmdline") == command);
  CHECK(read_all("/proc/self/environ") == environment);
  CHECK(read_all("/proc/self/auxv") == auxv);
  CHECK_TEXT(link_target("/proc/self/exe").c_str(), executable.c_str());
  CHECK_TEXT(getenv("PERDURE_ADDED"), "later");
  CHECK_EQ(getauxval(AT_PAGESZ), 4096);
  // The vdso is where the auxiliary vector says, and is one.
  auto* header = reinterpret_cast<const ElfW(Ehdr)*>(getauxval(AT_SYSINFO_EHDR));
  CHECK(header && memcmp(header->e_ident, ELFMAG, SELFMAG) == 0);
  go = 1;
  for (auto& thread : threads) thread.join();
  done();
}
