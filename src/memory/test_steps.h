// For tests: memory of a child process that is changed in every way that there is, at random.
#pragma once

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "memory/guide_state.h"
#include "memory/test_target.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

namespace perdure::memory {

inline constexpr size_t kBlock = size_t{1} << kBlockShift;
inline constexpr size_t kBlocks = 10;
inline constexpr size_t kPagesOfBlock = kBlock / kPageSize;
inline constexpr int kAccess = PROT_READ | PROT_WRITE;

inline uint8_t* map_arena() {
  void* map = mmap(nullptr, (kBlocks + 1) * kBlock, kAccess, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  PD_ASSERT(map != MAP_FAILED);
  const uint64_t start = (reinterpret_cast<uint64_t>(map) + kBlock - 1) / kBlock * kBlock;
  return reinterpret_cast<uint8_t*>(start);
}

// Some pages in one block or across the border of two.
struct Piece {
  uint8_t* at;
  size_t size;
};
inline Piece random_piece(std::mt19937& random, uint8_t* arena) {
  const size_t block = random() % kBlocks;
  const size_t first = block * kPagesOfBlock + (random() % 2 ? random() % 16 : 500 + random() % 12);
  const size_t count = std::min<size_t>(1 + random() % 20, kBlocks * kPagesOfBlock - first);
  return {arena + first * kPageSize, count * kPageSize};
}

// Where memory can be written; elsewhere without a signal.
inline void write_by_pipe(uint8_t* to, uint64_t value) {
  int ends[2];
  PD_ASSERT(pipe(ends) == 0);
  PD_ASSERT(::write(ends[1], &value, sizeof(value)) == sizeof(value));
  (void)!::read(ends[0], to, sizeof(value));
  close(ends[0]);
  close(ends[1]);
}

// Writes where memory can be written: the kernel does it, so that there is no signal elsewhere.
inline void write_some(std::mt19937& random, const Piece& piece, int zero) {
  for (size_t at = 0; at < piece.size; at += kPageSize) {
    uint8_t* to = piece.at + at + random() % 4000;
    (void)!::read(zero, to, 8);  // faults in the kernel
    const uint64_t value = random();
    iovec from = {const_cast<uint64_t*>(&value), sizeof(value)}, there = {to, sizeof(value)};
    (void)!process_vm_readv(getpid(), &from, 1, &there, 1, 0);
    write_by_pipe(to, value);
  }
}

// By the processor itself, from a thread of its own at times. Only pages that can be written.
inline void write_plainly(std::mt19937& random, const Piece& piece) {
  unsigned char resident[64];
  if (mincore(piece.at, piece.size, resident) != 0) return;
  mprotect(piece.at, piece.size, kAccess);
  madvise(piece.at, piece.size, MADV_GUARD_REMOVE);
  const auto write = [&random, piece] {
    for (size_t at = 0; at < piece.size; at += kPageSize) {
      *reinterpret_cast<volatile uint8_t*>(piece.at + at + random() % 4096) =
          static_cast<uint8_t>(random());
    }
  };
  if (random() % 4 == 0) {
    std::thread(write).join();
  } else {
    write();
  }
}

struct Files {
  int zero = -1;
  int direct = -1;  // of 64 pages, O_DIRECT; -1: not possible here
};

inline void step(std::mt19937& random, uint8_t* arena, const Files& files) {
  const Piece piece = random_piece(random, arena);
  const Piece other = random_piece(random, arena);
  uint8_t* const block = arena + random() % kBlocks * kBlock;
  constexpr int kFresh = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  switch (random() % 40) {
    case 0:
      (void)mmap(piece.at, piece.size, kAccess, kFresh, -1, 0);
      break;
    case 1:
      (void)mmap(piece.at, piece.size, kAccess, kFresh | MAP_POPULATE, -1, 0);
      break;
    case 2:
      munmap(piece.at, piece.size);
      (void)mmap(piece.at, piece.size, kAccess, kFresh, -1, 0);
      break;
    case 3:
      madvise(piece.at, piece.size, MADV_DONTNEED);
      break;
    case 4:
      madvise(piece.at, piece.size, MADV_FREE);
      break;
    case 5:
      madvise(piece.at, piece.size, MADV_PAGEOUT);
      break;
    case 6:
      mprotect(piece.at, piece.size, random() % 2 ? PROT_NONE : PROT_READ);
      break;
    case 7:
      if (random() % 4 == 0) munmap(piece.at, piece.size);
      break;
    case 8:
      if (other.at + piece.size <= piece.at || piece.at + piece.size <= other.at) {
        (void)mremap(piece.at, piece.size, piece.size, MREMAP_MAYMOVE | MREMAP_FIXED, other.at);
      }
      break;
    case 9:
      madvise(piece.at, piece.size, MADV_GUARD_INSTALL);
      break;
    case 10:
      madvise(piece.at, piece.size, MADV_GUARD_REMOVE);
      break;
    case 11:
      madvise(block, kBlock, random() % 2 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
      break;
    case 12:
      madvise(block, kBlock, MADV_COLLAPSE);
      break;
    case 13:
      (void)madvise(piece.at, piece.size, 23);  // MADV_POPULATE_WRITE
      break;
    case 14: {
      const pid_t child = fork();
      if (child == 0) _exit(0);
      if (random() % 2) write_plainly(random, piece);
      waitpid(child, nullptr, 0);
      break;
    }
    case 15:
      (void)!pread(files.direct, piece.at, piece.size, 0);
      break;
    case 16: {
      iovec parts[2] = {{piece.at, kPageSize}, {other.at, kPageSize}};
      (void)!preadv(files.direct, parts, 2, static_cast<off_t>(random() % 32 * kPageSize));
      break;
    }
    case 17:
      // Makes the page writable without a fault, so that the write after it is none either.
      syscall(SYS_futex, piece.at, FUTEX_WAKE, 1, nullptr, nullptr, 0);
      write_by_pipe(piece.at + 8, random());
      break;
    case 18: {
      iovec parts[2] = {{piece.at, piece.size}, {other.at, other.size}};
      const int self = static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0));
      syscall(SYS_process_madvise, self, parts, 2, MADV_DONTNEED, 0);
      close(self);
      break;
    }
    case 19:
    case 20:
      write_some(random, piece, files.zero);
      break;
    default:
      write_plainly(random, piece);
  }
}

// What the test itself does to the target's memory, from outside.
inline void step_outside(std::mt19937& random, pid_t pid, uint64_t arena) {
  const Piece piece = random_piece(random, reinterpret_cast<uint8_t*>(arena));
  const Piece other = random_piece(random, reinterpret_cast<uint8_t*>(arena));
  uint64_t value = random();
  if (random() % 2 == 0) {
    Fd mem = kernel::open_proc_file(pid, "mem", O_RDWR).value();
    (void)!pwrite(mem.get(), &value, sizeof(value), reinterpret_cast<off_t>(piece.at) + 16);
    return;
  }
  iovec local[2] = {{&value, sizeof(value)}, {&value, sizeof(value)}};
  iovec remote[2] = {{piece.at + 4, sizeof(value)}, {other.at + 8, sizeof(value)}};
  const size_t count = 1 + random() % 2;
  (void)!process_vm_writev(pid, local, count, remote, count, 0);
}

inline Fd direct_file() {
  std::string path = "guided_test." + std::to_string(getpid());
  Fd file = Fd::adopt(open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  std::vector<uint8_t> content(64 * kPageSize);
  for (size_t at = 0; at < content.size(); ++at) content[at] = static_cast<uint8_t>(at / 97 + 1);
  PD_ASSERT(write(file.get(), content.data(), content.size()) > 0 && fsync(file.get()) == 0);
  Fd direct = Fd::adopt(open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
  unlink(path.c_str());
  return direct;
}

// The same pages each time, but for some, and at times none in a block for a while.
inline void heat(std::mt19937& random, uint8_t* arena, size_t round) {
  for (size_t block = 0; block < kBlocks; ++block) {
    if ((round / 12 + block) % 4 == 0) continue;
    for (const size_t page : {1, 2, 5, 9, 501}) {
      if (random() % 16 != 0) write_by_pipe(arena + block * kBlock + page * kPageSize, random());
    }
  }
}

// What a child does for ever: so many steps, then it meets the test. The arena has some pages in
// each block at the start, and the test is told where it is.
inline void change_at_random(Target::Gate& gate, unsigned seed, const Files& files, int steps,
                             bool heats = false) {
  std::mt19937 random(seed);
  uint8_t* arena = map_arena();
  for (size_t block = 0; block < kBlocks; ++block) {
    memset(arena + block * kBlock, static_cast<int>(block), 24 * kPageSize);
  }
  gate.meet(reinterpret_cast<uint64_t>(arena));
  for (size_t round = 0;; ++round) {
    if (heats) heat(random, arena, round);
    for (int at = 0; at < steps; ++at) step(random, arena, files);
    gate.meet();
  }
}

// PERDURE_TEST_STEPS for more of them.
inline int steps_wanted() {
  const char* text = std::getenv("PERDURE_TEST_STEPS");
  return text == nullptr ? 100 : std::atoi(text);
}

}  // namespace perdure::memory
