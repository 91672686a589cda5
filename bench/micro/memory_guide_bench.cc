// What a guide gains in a cut, and what its programs cost every page fault of the machine.
#include <benchmark/benchmark.h>
#include <sys/mman.h>
#include <time.h>

#include <memory>

#include "memory/test_target.h"
#include "memory/tracker.h"
#include "memory/write_guide.h"

namespace perdure::memory {
namespace {

constexpr uint64_t kPagesOfGiB = uint64_t{1} << (30 - kPageShift);

volatile uint8_t* map_pages(uint64_t pages) {
  void* map =
      mmap(nullptr, pages * kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  PD_ASSERT(map != MAP_FAILED && madvise(map, pages * kPageSize, MADV_NOHUGEPAGE) == 0);
  return static_cast<volatile uint8_t*>(map);
}

// Arguments: GiB of 4 KiB pages; how many of them change between two cuts; how far apart they lie
// (0: evenly over all); whether a guide may be used.
void CutOfLargeProcess(benchmark::State& state) {
  TrackerFeatures features = probe_tracker_features("");
  features.guided_pages_min = 0;
  LazyGuide guide(state.range(3) != 0 ? LazyGuide::Use::kAllowed : LazyGuide::Use::kForbidden);
  if (best_tracker(features) != TrackerKind::kPagemapScan ||
      (state.range(3) != 0 && guide.get() == nullptr)) {
    state.SkipWithError("this kernel has no PAGEMAP_SCAN, or no write_guide");
    return;
  }
  const uint64_t pages = static_cast<uint64_t>(state.range(0)) * kPagesOfGiB;
  const auto dirty = static_cast<uint64_t>(state.range(1));
  const uint64_t stride = state.range(2) == 0 ? pages / dirty : 1;
  Target target([=](Target::Gate& gate) {
    volatile uint8_t* const bytes = map_pages(pages);
    for (uint64_t page = 0; page < pages; ++page) bytes[page * kPageSize] = 1;
    for (;;) {
      gate.meet();
      for (uint64_t page = 0; page < dirty; ++page) bytes[page * stride * kPageSize] = 2;
    }
  });
  target.receive();
  auto tracker = std::move(Tracker::create(TrackerKind::kPagemapScan, target.pid(),
                                           target.take_uffd(), features, &guide))
                     .value();
  const std::vector<Area> areas = target.areas();
  PD_ASSERT(tracker->scan(areas, Mode::kPrecopy).ok());
  PD_ASSERT(tracker->scan(areas, Mode::kCut).ok());
  uint64_t looked = 0;
  for (auto _ : state) {
    state.PauseTiming();
    target.step();
    state.ResumeTiming();
    Scan scan = tracker->scan(areas, Mode::kCut).value();
    PD_ASSERT(scan.data.pages() >= dirty);
    looked = scan.looked_pages;
  }
  state.counters["looked_pages"] = static_cast<double>(looked);
}
BENCHMARK(CutOfLargeProcess)
    ->ArgNames({"GiB", "dirty", "together", "guided"})
    ->ArgsProduct({{1, 10}, {1, 256, 4096, 16384}, {0, 1}, {0, 1}})
    ->Unit(benchmark::kMicrosecond)
    ->Iterations(60);

// First touches of memory, in processor time. The argument: 0 without a guide, 1 with a guide that
// watches another process, 2 with one that watches this one.
void Fault(benchmark::State& state) {
  std::unique_ptr<WriteGuide> guide;
  std::unique_ptr<WatchedSpace> space;
  Target other([](Target::Gate& gate) { gate.meet(); });
  other.receive();
  if (state.range(0) > 0) {
    auto made = WriteGuide::create();
    if (!made.ok()) {
      state.SkipWithError("no write_guide");
      return;
    }
    guide = std::move(*made);
    space = guide->watch(state.range(0) == 1 ? other.pid() : getpid()).value();
  }
  constexpr uint64_t kPages = 32768;
  volatile uint8_t* const bytes = map_pages(kPages);
  for (auto _ : state) {
    for (uint64_t page = 0; page < kPages; ++page) bytes[page * kPageSize] = 1;
    state.PauseTiming();
    madvise(const_cast<uint8_t*>(bytes), kPages * kPageSize, MADV_DONTNEED);
    if (space != nullptr) {
      space->collect();
      space->settle();
    }
    state.ResumeTiming();
  }
  munmap(const_cast<uint8_t*>(bytes), kPages * kPageSize);
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kPages));
}
BENCHMARK(Fault)->ArgName("watched")->DenseRange(0, 2)->Iterations(8)->Repetitions(5);

// Taking the lock of the address space: the argument as above.
void MapAndUnmap(benchmark::State& state) {
  std::unique_ptr<WriteGuide> guide;
  std::unique_ptr<WatchedSpace> space;
  Target other([](Target::Gate& gate) { gate.meet(); });
  other.receive();
  if (state.range(0) > 0) {
    auto made = WriteGuide::create();
    if (!made.ok()) {
      state.SkipWithError("no write_guide");
      return;
    }
    guide = std::move(*made);
    space = guide->watch(state.range(0) == 1 ? other.pid() : getpid()).value();
  }
  for (auto _ : state) {
    void* map = mmap(nullptr, kPageSize, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(map, kPageSize);
  }
}
BENCHMARK(MapAndUnmap)->ArgName("watched")->DenseRange(0, 2)->Repetitions(5);

void MakeGuide(benchmark::State& state) {
  for (auto _ : state) {
    if (!WriteGuide::create().ok()) state.SkipWithError("no write_guide");
  }
}
BENCHMARK(MakeGuide)->Unit(benchmark::kMillisecond)->Iterations(10);

}  // namespace
}  // namespace perdure::memory
