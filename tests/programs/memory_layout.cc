// The address space is the same to the byte: ranges, protections, offsets and names in
// /proc/self/maps.
#include <sys/mman.h>

#include <string>
#include <vector>

#include "support/program.h"

static std::string maps() {
  std::string text;
  text.reserve(1 << 16);
  int fd = SYS(open("/proc/self/maps", O_RDONLY | O_CLOEXEC));
  char part[4096];
  for (long got; (got = SYS(read(fd, part, sizeof part))) > 0;) text.append(part, size_t(got));
  close(fd);
  // Without device and inode, which shared memory gets anew; neighbours that only differ in how
  // often they were written are one.
  std::string kept, last_kind;
  unsigned long last_start = 0, last_end = 0, last_offset = 0;
  auto flush = [&] {
    char line[600];
    snprintf(line, sizeof line, "%lx-%lx %s at %lx\n", last_start, last_end, last_kind.c_str(),
             last_offset);
    if (last_end) kept += line;
  };
  for (size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
    char protection[8], name[400] = {};
    unsigned long start, stop, offset;
    sscanf(text.substr(at, end - at).c_str(), "%lx-%lx %7s %lx %*s %*s %399[^\n]", &start, &stop,
           protection, &offset, name);
    if (strstr(name, "perdure-batch")) continue;  // the engine's, while a group is attached
    std::string kind =
        std::string(protection) + " " + (strncmp(name, "/dev/zero", 9) == 0 ? "shared" : name);
    bool continues = name[0] != '/' || offset == last_offset + (last_end - last_start);
    if (start == last_end && kind == last_kind && continues) {
      last_end = stop;
      continue;
    }
    flush();
    last_start = start, last_end = stop, last_kind = kind, last_offset = offset;
  }
  flush();
  return kept;
}

int main() {
  constexpr int kRw = PROT_READ | PROT_WRITE, kAnonymous = MAP_PRIVATE | MAP_ANONYMOUS;
  char* area = static_cast<char*>(mmap(nullptr, 64 * 4096, kRw, kAnonymous, -1, 0));
  SYS(mprotect(area + 4 * 4096, 4096, PROT_READ));
  SYS(mprotect(area + 8 * 4096, 4096, PROT_NONE));
  SYS(mprotect(area + 12 * 4096, 4096, PROT_READ | PROT_EXEC));
  SYS(munmap(area + 20 * 4096, 3 * 4096));
  mmap(nullptr, 16 * 4096, kRw, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  mmap(nullptr, 1UL << 36, PROT_NONE, kAnonymous | MAP_NORESERVE, -1, 0);
  mmap(nullptr, 3 * 4096, PROT_READ, MAP_PRIVATE, SYS(open("/proc/self/exe", O_RDONLY)), 4096);
  fill(area + 30 * 4096, 4096, 3);
  SYS(mprotect(area + 30 * 4096, 4096, PROT_READ));
  char* moved = static_cast<char*>(mremap(area + 40 * 4096, 4 * 4096, 9 * 4096, MREMAP_MAYMOVE));
  fill(moved, 4 * 4096, 8);
  maps();
  std::string before = maps();
  checkpoint_here();

  std::string after = maps();
  for (size_t at = 0, end; at < before.size() || at < after.size(); at = end + 1) {
    end = before.find('\n', at);
    std::string line = before.substr(at, end - at),
                found = after.substr(at, after.find('\n', at) - at);
    if (line != found) FAIL("maps: \"%s\", not \"%s\"", found.c_str(), line.c_str());
  }
  check_filled(area + 30 * 4096, 4096, 3, "a page that became read-only");
  check_filled(moved, 4 * 4096, 8, "a moved mapping");
  SYS(mprotect(area + 8 * 4096, 4096, kRw));
  CHECK_EQ(area[8 * 4096], 0);
  CHECK(mremap(moved, 9 * 4096, 2 * 4096, 0) == moved);
  SYS(munmap(area, 64 * 4096));
  done();
}
