// Everything a program may do to memory whose pages have not come back yet after a restore:
// reading, writing, copying by fork, moving, dropping, unmapping, splitting, system calls, many
// threads.

// test: trackers lazy

#include <sys/mman.h>

#include <thread>
#include <vector>

#include "support/program.h"

static constexpr size_t kPage = 4096;
static constexpr size_t kPages = 512;  // of each region

static uint8_t* map_pages(size_t pages) {
  void* address =
      mmap(nullptr, pages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(address != MAP_FAILED);
  return static_cast<uint8_t*>(address);
}

// Each region lies apart from the others, so that it stays a mapping of its own.
static uint8_t* map_region() {
  uint8_t* address = map_pages(kPages + 2);
  SYS(mprotect(address, kPage, PROT_NONE));
  SYS(mprotect(address + (kPages + 1) * kPage, kPage, PROT_NONE));
  return address + kPage;
}

static uint64_t value_of(uint64_t seed, size_t page) { return test::mix(seed * 1'000'003 + page); }

static void stamp(uint8_t* region, size_t from, size_t to, uint64_t seed) {
  for (size_t page = from; page < to; ++page) {
    uint64_t value = value_of(seed, page);
    memcpy(region + page * kPage, &value, 8);
    memcpy(region + page * kPage + kPage - 8, &value, 8);
  }
}

static void check_page(const uint8_t* at, uint64_t expected, const char* what, size_t page) {
  uint64_t first, last;
  memcpy(&first, at, 8);
  memcpy(&last, at + kPage - 8, 8);
  if (first != expected || last != expected)
    FAIL("%s: page %zu holds %lx and %lx, not %lx", what, page, first, last, expected);
}

static void verify(const uint8_t* region, size_t from, size_t to, uint64_t seed, const char* what,
                   size_t shift = 0) {
  for (size_t page = from; page < to; ++page)
    check_page(region + page * kPage, value_of(seed, page + shift), what, page);
}

static void verify_zero(const uint8_t* region, size_t from, size_t to, const char* what) {
  for (size_t page = from; page < to; ++page) check_page(region + page * kPage, 0, what, page);
}

// A child, and a child of it, each with a copy of its own.
static void fork_and_write(uint8_t* region, uint64_t seed) {
  pid_t pid = SYS(fork());
  if (pid == 0) {
    verify(region, 0, 8, seed, "the child's copy");
    stamp(region, 100, 110, seed + 50);
    pid_t inner = SYS(fork());
    if (inner == 0) {
      verify(region, 100, 110, seed + 50, "the grandchild's copy");
      verify(region, 110, kPages, seed, "the grandchild's copy");
      _exit(0);
    }
    SYS(madvise(region + 200 * kPage, 50 * kPage, MADV_DONTNEED));
    verify_zero(region, 200, 250, "what the child dropped");
    verify(region, 250, kPages, seed, "the child's copy");
    check_child(inner);
    _exit(0);
  }
  stamp(region, 300, 310, seed + 60);
  check_child(pid);
  verify(region, 0, 300, seed, "the parent's copy");
  verify(region, 300, 310, seed + 60, "the parent's copy");
  verify(region, 310, kPages, seed, "the parent's copy");
  stamp(region, 0, kPages, seed);
}

// The region at a new place, grown; its second half back at the old one.
static void move(uint8_t* region, uint64_t seed) {
  uint8_t* target = map_pages(2 * kPages);
  void* moved = mremap(region, kPages / 2 * kPage, kPages * kPage, MREMAP_MAYMOVE | MREMAP_FIXED,
                       target + 10 * kPage);
  CHECK(moved != MAP_FAILED);
  uint8_t* at = static_cast<uint8_t*>(moved);
  verify(at, 3, kPages / 2, seed, "what was moved");
  verify_zero(at, kPages / 2, kPages, "what grew");
  verify(region, kPages / 2, kPages, seed, "what stayed");
  verify(at, 0, 3, seed, "what was moved");
  CHECK(mremap(at, kPages / 2 * kPage, kPages / 2 * kPage, MREMAP_MAYMOVE | MREMAP_FIXED, region) ==
        region);
  verify(region, 0, kPages, seed, "what came back");
  SYS(munmap(target, 2 * kPages * kPage));
}

// The old place stays mapped, empty.
static void move_pages_only(uint8_t* region, uint64_t seed) {
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
  void* moved =
      mremap(region, kPages * kPage, kPages * kPage, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, nullptr);
  CHECK(moved != MAP_FAILED);
  verify_zero(region, 5, 20, "the old place");
  verify(static_cast<uint8_t*>(moved), 0, kPages, seed, "the new place");
  SYS(munmap(moved, kPages * kPage));
  stamp(region, 0, kPages, seed);
}

static void drop_and_unmap(uint8_t* region, uint64_t seed) {
  SYS(madvise(region + 50 * kPage, 100 * kPage, MADV_DONTNEED));
  SYS(munmap(region + 200 * kPage, 20 * kPage));
  CHECK(mmap(region + 200 * kPage, 20 * kPage, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == region + 200 * kPage);
  CHECK(mmap(region + 300 * kPage, 20 * kPage, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == region + 300 * kPage);
  pause_ms(2);
  verify(region, 0, 50, seed, "before what was dropped");
  verify_zero(region, 50, 150, "what was dropped");
  verify(region, 150, 200, seed, "behind what was dropped");
  verify_zero(region, 200, 220, "what was mapped anew");
  verify_zero(region, 300, 320, "what was mapped over");
  verify(region, 320, kPages, seed, "behind what was mapped over");
  SYS(madvise(region, kPages * kPage, MADV_DONTNEED));
  verify_zero(region, 0, kPages, "what was dropped at last");
  stamp(region, 0, kPages, seed);
}

static void split(uint8_t* region, uint64_t seed) {
  for (size_t page = 7; page < kPages; page += 61)
    SYS(mprotect(region + page * kPage, kPage, PROT_READ));
  verify(region, 0, kPages, seed, "what was split");
  SYS(mprotect(region, kPages * kPage, PROT_READ | PROT_WRITE));
}

// The kernel touches the pages, not the program.
static void system_calls(uint8_t* region, uint64_t seed) {
  int ends[2];
  SYS(pipe(ends));
  uint8_t copy[2 * kPage];
  for (size_t page = 11; page + 2 < kPages; page += 100) {
    CHECK_EQ(write(ends[1], region + page * kPage, 2 * kPage), 2 * kPage);
    CHECK_EQ(read(ends[0], copy, 2 * kPage), 2 * kPage);
    check_page(copy, value_of(seed, page), "what a call read", page);
    check_page(copy + kPage, value_of(seed, page + 1), "what a call read", page + 1);
    CHECK_EQ(write(ends[1], copy, 2 * kPage), 2 * kPage);
    CHECK_EQ(read(ends[0], region + (page + 3) * kPage + 100, 16), 16);
    check_page(region + (page + 3) * kPage, value_of(seed, page + 3), "beside a call", page + 3);
    CHECK_EQ(memcmp(region + (page + 3) * kPage + 100, copy, 16), 0);
    memset(region + (page + 3) * kPage + 100, 0, 16);
    while (read(ends[0], copy, sizeof copy - 16) == (ssize_t)sizeof copy - 16) break;
  }
  close(ends[0]);
  close(ends[1]);
}

static void touch_together(uint8_t* region, uint64_t seed) {
  std::vector<std::thread> threads;
  for (int which = 0; which < 4; ++which) {
    threads.emplace_back([=] {
      for (size_t i = 0; i < kPages; ++i) {
        size_t page = (i * 37 + which * 11) % kPages;
        check_page(region + page * kPage, value_of(seed, page), "seen by threads", page);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

int main() {
  using Deed = void (*)(uint8_t*, uint64_t);
  constexpr Deed kDeeds[] = {fork_and_write, move,         move_pages_only, drop_and_unmap,
                             split,          system_calls, touch_together};
  constexpr size_t kCount = sizeof kDeeds / sizeof *kDeeds;
  uint8_t* regions[kCount];
  uint8_t* untouched = map_region();
  stamp(untouched, 0, kPages, 1000);
  for (size_t i = 0; i < kCount; ++i) {
    regions[i] = map_region();
    stamp(regions[i], 0, kPages, i + 1);
  }
  for (size_t round = 0; round < 3; ++round) {
    checkpoint_here();
    // Another one first each time, for the pages arrive meanwhile.
    for (size_t i = 0; i < kCount; ++i) {
      size_t which = (i + 3 * round) % kCount;
      kDeeds[which](regions[which], which + 1);
    }
    for (size_t i = 0; i < kCount; ++i) verify(regions[i], 0, kPages, i + 1, "at the end");
  }
  verify(untouched, 0, kPages, 1000, "what was not touched");
  done();
}
