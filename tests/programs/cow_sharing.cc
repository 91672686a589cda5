// Pages that fork() left shared between parent and child stay shared (not twice in memory) and are
// still copied on write.
#include <sys/mman.h>

#include "support/program.h"

static constexpr size_t kPages = 1024, kSize = kPages * 4096;

// Sums one field of smaps over the mapping at an address, kB.
static long smaps_kb(const void* address, const char* key) {
  FILE* smaps = fopen("/proc/self/smaps", "re");
  char line[600];
  long sum = 0;
  bool inside = false;
  while (fgets(line, sizeof line, smaps)) {
    unsigned long start, end;
    long kb;
    char name[64];
    auto wanted = reinterpret_cast<unsigned long>(address);
    if (sscanf(line, "%lx-%lx ", &start, &end) == 2 && strchr(line, ' ') > strchr(line, '-'))
      inside = start < wanted + kSize && wanted < end;
    else if (inside && sscanf(line, "%63[^:]: %ld kB", name, &kb) == 2 && strcmp(name, key) == 0)
      sum += kb;
  }
  fclose(smaps);
  return sum;
}

static void check_content(const uint8_t* memory, const uint8_t* model, size_t from,
                          const char* who) {
  for (size_t i = from; i < kSize; ++i)
    if (memory[i] != model[i])
      FAIL("%s differs at byte %zu: 0x%02x, not 0x%02x", who, i, memory[i], model[i]);
}

int main() {
  constexpr size_t kWritten = 100;  // pages that the child has written
  auto* memory = static_cast<uint8_t*>(
      mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  auto* model = static_cast<uint8_t*>(malloc(kSize));
  madvise(memory, kSize, MADV_NOHUGEPAGE);
  fill(memory, kSize, 1);
  memcpy(model, memory, kSize);
  pid_t child = SYS(fork());
  if (child == 0) {
    for (size_t page = 0; page < kWritten; ++page) memory[page * 4096] = model[page * 4096] = 0xcc;
    mark("child-wrote");
    await_mark("parent-measured");
    check_content(memory, model, 0, "the child's memory");
    memory[kSize - 1] = 0x11;
    _exit(0);
  }
  await_mark("child-wrote");
  long shared = smaps_kb(memory, "Shared_Dirty") + smaps_kb(memory, "Shared_Clean");
  CHECK_EQ(shared, (kPages - kWritten) * 4);
  checkpoint_here();

  check_content(memory, model, 0, "the parent's memory");
  long shared_after = smaps_kb(memory, "Shared_Dirty") + smaps_kb(memory, "Shared_Clean");
  if (shared_after < shared)
    FAIL("only %ld of %ld kB are still shared with the child", shared_after, shared);
  mark("parent-measured");
  memory[kSize - 2] = model[kSize - 2] = 0x22;
  check_child(child);
  check_content(memory, model, 0, "the parent's memory at the end");
  done();
}
