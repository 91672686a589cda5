// What madvise() and mlock() said about ranges, as /proc/self/smaps shows it.
#include <sys/mman.h>

#include <string>

#include "support/program.h"

static constexpr size_t kSize = 16 * 4096;
struct Case {
  const char* name;
  int advice;
  const char* flag;
  char* memory;
};
static Case cases[] = {
    {"sequential", MADV_SEQUENTIAL, "sr", nullptr},
    {"random", MADV_RANDOM, "rr", nullptr},
    {"don't fork", MADV_DONTFORK, "dc", nullptr},
    {"wipe on fork", MADV_WIPEONFORK, "wf", nullptr},
    {"don't dump", MADV_DONTDUMP, "dd", nullptr},
    {"huge pages", MADV_HUGEPAGE, "hg", nullptr},
    {"no huge pages", MADV_NOHUGEPAGE, "nh", nullptr},
    {"mergeable", MADV_MERGEABLE, "mg", nullptr},
};

// The VmFlags of the mapping that starts at an address.
static std::string flags_of(const void* address) {
  FILE* smaps = fopen("/proc/self/smaps", "re");
  char line[600], flags[200] = {};
  bool inside = false;
  while (fgets(line, sizeof line, smaps)) {
    unsigned long start = 0, end = 0;
    if (sscanf(line, "%lx-%lx ", &start, &end) == 2 && strchr(line, '-') < strchr(line, ' '))
      inside = start <= reinterpret_cast<unsigned long>(address) &&
               reinterpret_cast<unsigned long>(address) < end;
    if (inside && sscanf(line, "VmFlags: %199[^\n]", flags) == 1) break;
  }
  fclose(smaps);
  return std::string(" ") + flags + " ";
}
static bool has(const void* address, const char* flag) {
  return flags_of(address).find(std::string(" ") + flag + " ") != std::string::npos;
}

static char* map(int flags) {
  // Guard pages around each range keep the kernel from merging neighbours.
  char* area = static_cast<char*>(
      mmap(nullptr, kSize + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  void* inner = mmap(area + 4096, kSize, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | flags, -1, 0);
  CHECK(inner != MAP_FAILED);
  fill(inner, kSize, reinterpret_cast<uint64_t>(inner));
  return static_cast<char*>(inner);
}

int main() {
  for (Case& c : cases) {
    c.memory = map(0);
    if (madvise(c.memory, kSize, c.advice) != 0) c.memory = nullptr;  // this kernel lacks it
    if (c.memory && !has(c.memory, c.flag)) c.memory = nullptr;
  }
  char *locked = map(0), *on_fault = map(0), *no_reserve = map(MAP_NORESERVE);
  SYS(mlock(locked, kSize));
  SYS(mlock2(on_fault, kSize, MLOCK_ONFAULT));
  CHECK(has(locked, "lo") && has(on_fault, "lf") && has(no_reserve, "nr"));
  checkpoint_here();

  for (Case& c : cases) {
    if (!c.memory) continue;
    if (!has(c.memory, c.flag))
      FAIL("%s: flag %s is missing in \"%s\"", c.name, c.flag, flags_of(c.memory).c_str());
    check_filled(c.memory, kSize, reinterpret_cast<uint64_t>(c.memory), c.name);
  }
  if (!has(locked, "lo") || has(locked, "lf"))
    FAIL("mlock is lost: \"%s\"", flags_of(locked).c_str());
  if (!has(on_fault, "lf")) FAIL("MLOCK_ONFAULT is lost: \"%s\"", flags_of(on_fault).c_str());
  if (!has(no_reserve, "nr")) FAIL("MAP_NORESERVE is lost: \"%s\"", flags_of(no_reserve).c_str());
  CHECK(!has(no_reserve, "lo") && !has(no_reserve, "dd"));
  check_filled(locked, kSize, reinterpret_cast<uint64_t>(locked), "locked memory");
  done();
}
