#include "memory/write_guide.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kernel/memory.h"
#include "memory/page_walk.h"
#include "memory/test_target.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

namespace perdure::memory {
namespace {

using Gate = Target::Gate;

constexpr uint64_t kBlock = uint64_t{1} << kBlockShift;

// Memory in blocks of its own.
uint8_t* map_blocks(uint64_t blocks) {
  void* map = mmap(nullptr, (blocks + 1) * kBlock, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  PD_ASSERT(map != MAP_FAILED);
  const uint64_t start = (reinterpret_cast<uint64_t>(map) + kBlock - 1) / kBlock * kBlock;
  madvise(reinterpret_cast<void*>(start), blocks * kBlock, MADV_NOHUGEPAGE);
  return reinterpret_cast<uint8_t*>(start);
}

uint64_t number_of(const void* address) { return reinterpret_cast<uint64_t>(address); }

class Guide : public testing::Test {
 protected:
  void SetUp() override {
    auto guide = WriteGuide::create();
    if (!guide.ok()) GTEST_SKIP() << "write_guide: " << guide.error().to_string();
    guide_ = std::move(*guide);
  }
  // Watches the target, whose memory starts at the address that it tells, registered as a tracker
  // would.
  void watch(Target& target, uint64_t blocks) {
    start_ = target.receive();
    uffd_ = target.take_uffd();
    ASSERT_TRUE(kernel::enable_uffd(uffd_, uint64_t{1} << 15).ok());
    ASSERT_TRUE(kernel::register_uffd_wp(uffd_, start_, blocks * kBlock).ok());
    area_ = Area{start_, start_ + blocks * kBlock, AreaKind::kAnonymous};
    auto space = guide_->watch(target.pid());
    ASSERT_TRUE(space.ok()) << space.error().to_string();
    space_ = std::move(*space);
    settle();
  }
  void settle() {
    space_->collect();
    space_->settle();
  }
  // The blocks of the watched memory that were touched since; -1 for everything.
  int touched_blocks() {
    space_->collect();
    if (space_->everything()) return -1;
    int count = 0;
    PageSet touched = space_->touched({&area_, 1}, known_);
    PageSet block;
    for (uint64_t at = area_.start; at < area_.end; at += kBlock) {
      block.clear();
      block.add_bytes(at, at + kBlock);
      count += touched.intersected(block).empty() ? 0 : 1;
    }
    return count;
  }
  bool is_touched(uint64_t block) {
    return space_->touched({&area_, 1}, known_).contains((start_ + block * kBlock) >> kPageShift);
  }

  std::unique_ptr<WriteGuide> guide_;
  std::unique_ptr<WatchedSpace> space_;
  Fd uffd_;
  uint64_t start_ = 0;
  Area area_;
  PageSet known_;  // none: whole blocks
};

TEST_F(Guide, ANewSpaceIsTouchedEverywhereUntilItIsSettled) {
  Target target([](Gate& gate) { gate.meet(number_of(map_blocks(2))); });
  target.receive();
  auto space = guide_->watch(target.pid());
  ASSERT_TRUE(space.ok());
  (*space)->collect();
  EXPECT_TRUE((*space)->everything());
  (*space)->settle();
  (*space)->collect();
  EXPECT_FALSE((*space)->everything());
}

TEST_F(Guide, AFaultTouchesItsBlockOnly) {
  Target target([](Gate& gate) {
    uint8_t* bytes = map_blocks(8);
    gate.meet(number_of(bytes));
    bytes[3 * kBlock + 5] = 1;
    bytes[7 * kBlock] = 1;
    gate.meet();
    gate.meet();
  });
  watch(target, 8);
  EXPECT_EQ(touched_blocks(), 0);
  target.step();
  EXPECT_EQ(touched_blocks(), 2);
  EXPECT_TRUE(is_touched(3));
  EXPECT_TRUE(is_touched(7));
  EXPECT_EQ(touched_blocks(), 2) << "what was not settled is told again";
  settle();
  target.step();
  EXPECT_EQ(touched_blocks(), 0);
}

// Pages with content, one in the first block, and what the target does there.
TEST_F(Guide, AFaultTouchesItsPageAloneWhereTheBlockHadPages) {
  Target target([](Gate& gate) {
    uint8_t* bytes = map_blocks(4);
    bytes[0] = 1;
    gate.meet(number_of(bytes));
    bytes[5 * kPageSize] = 1;
    bytes[7 * kPageSize] = 1;
    bytes[2 * kBlock] = 1;
    gate.meet();
    gate.meet();
  });
  watch(target, 4);
  target.step();
  known_.add(PageRun{start_ >> kPageShift, 1});
  EXPECT_EQ(touched_blocks(), 2);
  const PageSet touched = space_->touched({&area_, 1}, known_);
  EXPECT_EQ(touched.pages(), 2 + (kBlock >> kPageShift));
  EXPECT_TRUE(touched.contains((start_ >> kPageShift) + 5));
  EXPECT_TRUE(touched.contains((start_ >> kPageShift) + 7));
  EXPECT_TRUE(is_touched(2)) << "nothing was there: it may have become a huge page";
}

TEST_F(Guide, APageThatWasSeenWrittenIsToldAgainOnlyAfterAnotherFault) {
  Target target([](Gate& gate) {
    uint8_t* bytes = map_blocks(1);
    memset(bytes, 1, kBlock);
    gate.meet(number_of(bytes));
    for (int round = 0; round < 3; ++round) {
      bytes[5 * kPageSize] = 2;
      bytes[9 * kPageSize] = 2;
      gate.meet();
    }
    gate.meet();
  });
  watch(target, 1);
  const uint64_t first = start_ >> kPageShift;
  known_.add(PageRun{first, kBlock >> kPageShift});
  PageWalker walker(probe_tracker_features(""));
  const Result<Fd> pagemap = kernel::open_proc_file(target.pid(), "pagemap", O_RDONLY);
  ASSERT_TRUE(pagemap.ok());
  const auto protect = [&] {
    return walker.scan_written(*pagemap, start_, start_ + kBlock).value();
  };
  protect();
  settle();
  PageSet both;
  both.add(PageRun{first + 5, 1});
  both.add(PageRun{first + 9, 1});
  const auto told = [&] {
    space_->collect();
    return space_->touched({&area_, 1}, known_);
  };
  target.step();
  EXPECT_EQ(told(), both);
  EXPECT_EQ(protect(), both);
  PageSet one;
  one.add(PageRun{first + 5, 1});
  space_->settle_written(one);
  PageSet other;
  other.add(PageRun{first + 9, 1});
  EXPECT_EQ(told(), other);
  target.step();
  EXPECT_EQ(told(), both) << "a new fault";
  EXPECT_EQ(protect(), both);
  space_->settle_written(both);
  EXPECT_EQ(told(), other) << "of the two faults one may still be under way";
  target.step();
  space_->settle();
  EXPECT_EQ(told(), both) << "what was not collected is not forgotten";
}

TEST_F(Guide, AfterManyFaultsBlocksAreTold) {
  constexpr uint64_t kBlocks = 1 + kFaultRecords * kPageSize / kBlock;
  Target target([](Gate& gate) {
    uint8_t* bytes = map_blocks(kBlocks + 1);
    for (uint64_t block = 0; block <= kBlocks; ++block) bytes[block * kBlock] = 1;
    gate.meet(number_of(bytes));
    memset(bytes, 1, kBlocks * kBlock);
    gate.meet();
    bytes[3 * kBlock + kPageSize] = 2;
    gate.meet();
    gate.meet();
  });
  watch(target, kBlocks + 1);
  for (uint64_t block = 0; block <= kBlocks; ++block)
    known_.add(PageRun{(start_ + block * kBlock) >> kPageShift, 1});
  target.step();
  EXPECT_EQ(touched_blocks(), static_cast<int>(kBlocks));
  EXPECT_EQ(space_->touched({&area_, 1}, known_).pages(), kBlocks * (kBlock >> kPageShift));
  settle();
  EXPECT_EQ(touched_blocks(), 0);
}

TEST_F(Guide, AFaultOfTheKernelInASystemCallCounts) {
  Target target([](Gate& gate) {
    uint8_t* bytes = map_blocks(4);
    bytes[kBlock] = 1;  // the mapping has had a fault already
    int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    gate.meet(number_of(bytes));
    PD_ASSERT(::read(zero, bytes + 2 * kBlock, 100) == 100);
    gate.meet();
  });
  watch(target, 4);
  target.step();
  EXPECT_NE(touched_blocks(), 0);
  EXPECT_TRUE(is_touched(2));
}

// The same call may fault, which is recorded as a fault, and write past the page tables, which is
// not.
TEST_F(Guide, FaultsInACallAreToldFromWhatElseItDoes) {
  Target target([](Gate& gate) {
    uint8_t* bytes = map_blocks(4);
    bytes[kBlock] = 1;
    int ends[2];
    PD_ASSERT(pipe(ends) == 0);
    const int own = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
    gate.meet(number_of(bytes));
    PD_ASSERT(::write(ends[1], bytes + 2 * kBlock, 100) == 100);
    gate.meet();
    PD_ASSERT(::pwrite(own, "x", 1, static_cast<off_t>(number_of(bytes + 3 * kBlock))) == 1);
    gate.meet();
  });
  if (!kernel::find_kernel_code("asm_exc_page_fault").ok()) GTEST_SKIP() << "no kallsyms";
  watch(target, 4);
  target.step();
  EXPECT_EQ(touched_blocks(), 1);
  EXPECT_TRUE(is_touched(2));
  settle();
  target.step();
  EXPECT_EQ(touched_blocks(), -1);
}

TEST_F(Guide, DroppingUnmappingAndFreeingTouchTheirRange) {
  Target target([](Gate& gate) {
    uint8_t* bytes = map_blocks(8);
    memset(bytes, 1, 8 * kBlock);
    gate.meet(number_of(bytes));
    madvise(bytes + kBlock, kPageSize, MADV_DONTNEED);
    gate.meet();
    madvise(bytes + 2 * kBlock, kPageSize, MADV_FREE);
    gate.meet();
    munmap(bytes + 5 * kBlock, kBlock);
    gate.meet();
    (void)mmap(bytes + 5 * kBlock, kBlock, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
               0);
    gate.meet();
    mprotect(bytes + 7 * kBlock, kPageSize, PROT_NONE);
    gate.meet();
  });
  watch(target, 8);
  for (uint64_t block : {1, 2, 5, 5, 7}) {
    target.step();
    EXPECT_EQ(touched_blocks(), 1) << block;
    EXPECT_TRUE(is_touched(block));
    EXPECT_EQ(space_->mappings().empty(), block != 5) << block;
    settle();
  }
}

TEST_F(Guide, MovedMappingsTouchEverything) {
  Target target([](Gate& gate) {
    uint8_t* bytes = map_blocks(4);
    gate.meet(number_of(bytes));
    void* moved = mremap(bytes, kBlock, 2 * kBlock, MREMAP_MAYMOVE);
    gate.meet(number_of(moved));
  });
  watch(target, 4);
  target.step();
  EXPECT_EQ(touched_blocks(), -1);
}

TEST_F(Guide, AnotherProcessThatWritesTouchesItsRangeAndALookerNothing) {
  Target target([](Gate& gate) {
    uint8_t* bytes = map_blocks(4);
    memset(bytes, 1, 4 * kBlock);
    gate.meet(number_of(bytes));
    gate.meet();
  });
  watch(target, 4);
  EXPECT_FALSE(target.areas().empty());
  Fd mem = kernel::open_proc_file(target.pid(), "mem", O_RDWR).value();
  char byte = 7;
  ASSERT_EQ(pread(mem.get(), &byte, 1, static_cast<off_t>(start_)), 1);
  EXPECT_EQ(touched_blocks(), 0);
  ASSERT_EQ(pwrite(mem.get(), &byte, 1, static_cast<off_t>(start_ + kBlock)), 1);
  EXPECT_EQ(touched_blocks(), 1);
  EXPECT_TRUE(is_touched(1));
  settle();
  iovec local = {&byte, 1}, remote = {reinterpret_cast<void*>(start_ + 3 * kBlock), 1};
  ASSERT_EQ(process_vm_writev(target.pid(), &local, 1, &remote, 1, 0), 1);
  EXPECT_EQ(touched_blocks(), 1);
  EXPECT_TRUE(is_touched(3));
  settle();
  iovec two[2] = {remote, remote}, from[2] = {local, local};
  ASSERT_EQ(process_vm_writev(target.pid(), from, 2, two, 2, 0), 2);
  EXPECT_EQ(touched_blocks(), -1);
}

TEST_F(Guide, ManyCallsTouchEverything) {
  Target target([](Gate& gate) {
    uint8_t* bytes = map_blocks(1);
    gate.meet(number_of(bytes));
    for (uint64_t call = 0; call <= kLockRecords; ++call) madvise(bytes, kPageSize, MADV_DONTNEED);
    gate.meet();
    gate.meet();
  });
  watch(target, 1);
  target.step();
  EXPECT_EQ(touched_blocks(), -1);
  settle();
  target.step();
  EXPECT_EQ(touched_blocks(), 0);
}

TEST_F(Guide, AGrowingHeapTouchesNothingAndAShrinkingOneItsEnd) {
  Target target([](Gate& gate) {
    uint8_t* bytes = map_blocks(1);
    auto* old = static_cast<uint8_t*>(sbrk(0));
    gate.meet(number_of(bytes));
    PD_ASSERT(sbrk(1 << 20) == old);
    gate.meet();
    PD_ASSERT(brk(old) == 0);
    gate.meet();
  });
  watch(target, 1);
  target.step();
  EXPECT_EQ(touched_blocks(), 0);
  EXPECT_TRUE(space_->mappings().empty());
  settle();
  target.step();
  EXPECT_EQ(touched_blocks(), 0);
  EXPECT_EQ(space_->mappings().pages(), 256u);
}

TEST_F(Guide, ForksAndThreadsTouchNothing) {
  Target target([](Gate& gate) {
    uint8_t* bytes = map_blocks(2);
    bytes[0] = 1;
    gate.meet(number_of(bytes));
    pid_t child = fork();
    if (child == 0) _exit(0);
    waitpid(child, nullptr, 0);
    gate.meet();
  });
  watch(target, 2);
  target.step();
  EXPECT_EQ(touched_blocks(), 0);
}

TEST_F(Guide, OnlySoManySpacesAreWatchedAndEndedOnesGiveTheirPlaceBack) {
  std::vector<std::unique_ptr<Target>> targets;
  std::vector<std::unique_ptr<WatchedSpace>> spaces;
  for (int count = 0; count <= int{kWatchedSpacesMax}; ++count) {
    targets.push_back(std::make_unique<Target>([](Gate& gate) { gate.meet(); }));
    targets.back()->receive();
    auto space = guide_->watch(targets.back()->pid());
    if (count == int{kWatchedSpacesMax}) {
      EXPECT_FALSE(space.ok());
      EXPECT_EQ(space.error().code(), Code::kLimit);
      break;
    }
    ASSERT_TRUE(space.ok()) << space.error().to_string();
    spaces.push_back(std::move(*space));
  }
  spaces.pop_back();
  EXPECT_TRUE(guide_->watch(targets.back()->pid()).ok());
}

TEST_F(Guide, AProcessThatHasEndedIsNotWatched) {
  Target target([](Gate& gate) { gate.meet(); });
  target.receive();
  kill(target.pid(), SIGKILL);
  siginfo_t info;
  waitid(P_PID, static_cast<id_t>(target.pid()), &info, WEXITED | WNOWAIT);
  auto space = guide_->watch(target.pid());
  ASSERT_FALSE(space.ok());
  EXPECT_EQ(space.error().code(), Code::kGone);
}

}  // namespace
}  // namespace perdure::memory
