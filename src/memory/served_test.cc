// A tracker of a process whose pages a pager still brings: what it tells in each cut, with what the
// pager's book says is missing, is what the process holds.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <random>
#include <thread>

#include "kernel/memory.h"
#include "kernel/uffd_copy.h"
#include "memory/pager.h"
#include "memory/pending_book.h"
#include "memory/test_target.h"
#include "memory/tracker.h"

namespace perdure::memory {
namespace {

using Gate = Target::Gate;

constexpr uint64_t kPages = 600;
constexpr int kAccess = PROT_READ | PROT_WRITE;

uint64_t saved_value(uint64_t page) { return page * 0x9e3779b97f4a7c15 + 1; }

class Saved final : public PageSource {
 public:
  Status stream(uint64_t first_page, MutableBytes out) override { return read(first_page, out); }
  Status read(uint64_t first_page, MutableBytes out) override {
    std::memset(out.data(), 0, out.size());
    for (uint64_t at = 0; at < out.size() / kPageSize; ++at) {
      const uint64_t value = saved_value(first_page + at);
      std::memcpy(out.data() + at * kPageSize, &value, sizeof(value));
    }
    return {};
  }
};

// One change of a few pages.
void change(uint8_t* memory, std::mt19937_64& random) {
  const uint64_t first = random() % kPages, count = std::min(1 + random() % 12, kPages - first);
  uint8_t* const at = memory + first * kPageSize;
  const uint64_t size = count * kPageSize, value = random();
  switch (random() % 6) {
    case 0:
      madvise(at, size, MADV_DONTNEED);
      break;
    case 1:
      (void)mmap(at, size, kAccess, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
      break;
    case 2: {
      volatile uint8_t touched = at[size - 1];
      (void)touched;
      break;
    }
    case 3:
      mprotect(at, size, PROT_READ);
      mprotect(at, size, kAccess);
      break;
    default:
      for (uint64_t page = 0; page < count; ++page)
        std::memcpy(at + page * kPageSize, &value, sizeof(value));
  }
}

class Served : public testing::TestWithParam<uint64_t> {
 protected:
  void SetUp() override {
    features_ = probe_tracker_features("");
    if (best_tracker(features_) != TrackerKind::kPagemapScan) GTEST_SKIP() << "no pagemap_scan";
    memory_ = static_cast<uint8_t*>(
        mmap(nullptr, kPages * kPageSize, kAccess, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    first_ = reinterpret_cast<uint64_t>(memory_) >> kPageShift;
    for (uint64_t page = 0; page < kPages; page += page % 100 < 50 ? 1 : 3)
      saved_.add({first_ + page, 1});
    words_ = std::make_unique<PendingBook::Word[]>(PendingBook::words_for(saved_));
    book_ = std::make_shared<PendingBook>(saved_, words_.get());
    for (const PageRun& run : saved_.runs()) {
      for (uint64_t page = run.first; page < run.end(); ++page) epoch_[page] = saved_value(page);
    }
    target_ = std::make_unique<Target>([this](Gate& gate) {
      std::mt19937_64 random(GetParam());
      // Serves system calls, too.
      Fd serving = Fd::adopt(static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK)));
      gate.meet(static_cast<uint64_t>(serving.get()));
      serving.reset();
      for (;;) {
        for (uint64_t times = 1 + random() % 4; times > 0; --times) change(memory_, random);
        gate.meet();
      }
    });
    serve();
    tracker_ =
        Tracker::create(TrackerKind::kPagemapScan, target_->pid(), target_->take_uffd(), features_)
            .value();
    ASSERT_TRUE(tracker_->inherit(saved_));
  }
  void serve() {
    Pager::Space space;
    const int number = static_cast<int>(target_->receive());
    const Fd pidfd = Fd::adopt(pidfd_open(target_->pid(), 0));
    space.uffd = Fd::adopt(pidfd_getfd(pidfd.get(), number, 0));
    ASSERT_TRUE(kernel::enable_uffd_serving(space.uffd, kernel::Placing::kProtected).ok());
    ASSERT_TRUE(kernel::register_uffd_missing(space.uffd, RemoteAddr(first_ << kPageShift),
                                              kPages * kPageSize, kernel::WriteProtection::kToo)
                    .ok());
    space.pages = saved_;
    space.source = std::make_shared<Saved>();
    space.book = book_;
    Pager::Options options;
    options.fill_delay_ms = 0;
    options.placing = kernel::Placing::kProtected;
    options.state = &state_;
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    keeper_ = Fd::adopt(ends[0]);
    options.keeper = Fd::adopt(ends[1]);
    std::vector<Pager::Space> spaces;
    spaces.push_back(std::move(space));
    pager_ =
        Pager::create(std::move(spaces), ReadAhead::create().value(), std::move(options), &left_)
            .value();
    thread_ = std::thread([this] { ended_ = pager_->run(); });
  }
  void TearDown() override {
    if (!thread_.joinable()) return;
    target_.reset();
    keeper_.reset();
    thread_.join();
    EXPECT_TRUE(ended_.ok()) << ended_.error().to_string();
    munmap(memory_, kPages * kPageSize);
  }

  std::vector<Area> areas() const {
    return target_->areas(first_ << kPageShift, (first_ + kPages) << kPageShift);
  }
  uint64_t held_by_process(uint64_t page) const {
    uint64_t value = 0;
    // Not through /proc/PID/mem: a read there does not wait for a page.
    iovec local{&value, sizeof(value)};
    iovec remote{reinterpret_cast<void*>(page << kPageShift), sizeof(value)};
    PD_ASSERT(process_vm_readv(target_->pid(), &local, 1, &remote, 1, 0) == sizeof(value));
    return value;
  }
  void cut() {
    while (state_.turns % 2 != 0) std::this_thread::yield();
    PageSet missing = book_->pending();
    missing_pages_ += missing.pages();
    tracker_->set_missing(missing);
    const Scan scan = tracker_->scan(areas(), Mode::kCut).value();
    for (const PageRun& run : scan.absent.runs()) {
      for (uint64_t page = run.first; page < run.end(); ++page) epoch_.erase(page);
    }
    for (const PageRun& run : scan.data.runs()) {
      for (uint64_t page = run.first; page < run.end(); ++page)
        epoch_[page] = held_by_process(page);
    }
    yielded_pages_ += scan.data.pages();
  }
  void expect_truth(int step) const {
    for (uint64_t page = first_; page < first_ + kPages; ++page) {
      const auto stored = epoch_.find(page);
      ASSERT_EQ(stored == epoch_.end() ? 0 : stored->second, held_by_process(page))
          << "page " << page - first_ << " after step " << step;
    }
  }

  TrackerFeatures features_;
  uint8_t* memory_ = nullptr;
  uint64_t first_ = 0;
  PageSet saved_;
  std::unique_ptr<PendingBook::Word[]> words_;
  std::shared_ptr<PendingBook> book_;
  PendingState state_;
  Fd keeper_;
  std::unique_ptr<Target> target_;
  std::unique_ptr<Pager> pager_;
  std::atomic<uint64_t> left_ = 0;
  std::thread thread_;
  Status ended_;
  std::unique_ptr<Tracker> tracker_;
  std::map<uint64_t, uint64_t> epoch_;  // by page: how its content begins
  uint64_t missing_pages_ = 0, yielded_pages_ = 0;
};

// Looking at the truth brings pages, so that most cuts are made without it.
TEST_P(Served, EveryCutIsWhatTheProcessHolds) {
  for (int step = 0; step < 60; ++step) {
    target_->step();
    if (step == 20) pager_->begin_fill();
    if (step % 3 == 0) {
      const Scan scan = tracker_->scan(areas(), Mode::kPrecopy).value();
      tracker_->give_back(scan.data);  // as if none could be copied
    }
    cut();
    if (step % 20 == 19) expect_truth(step);
  }
  EXPECT_GT(missing_pages_, 0u);
  EXPECT_FALSE(state_.strayed);
}

TEST_P(Served, WhatComesUnchangedIsNotYielded) {
  cut();
  EXPECT_EQ(missing_pages_, saved_.pages());
  pager_->begin_fill();
  while (left_ > 0) std::this_thread::yield();
  cut();
  EXPECT_EQ(missing_pages_, saved_.pages());
  EXPECT_EQ(yielded_pages_, 0u);
  expect_truth(0);
}

INSTANTIATE_TEST_SUITE_P(Seeds, Served, testing::Range<uint64_t>(1, 9));

}  // namespace
}  // namespace perdure::memory
