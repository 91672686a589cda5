// What finding and copying changed pages costs; both lie inside the stop window.
#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include <memory>

#include "memory/copy.h"
#include "memory/test_target.h"
#include "memory/tracker.h"

namespace perdure::memory {
namespace {

constexpr uint64_t kPages = 65536;  // 256 MiB

// A process of 256 MiB that writes to every `stride`-th page at each step.
std::unique_ptr<Target> writer(uint64_t stride) {
  return std::make_unique<Target>([stride](Target::Gate& gate) {
    void* map = mmap(nullptr, kPages * kPageSize, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    PD_ASSERT(map != MAP_FAILED);
    auto* bytes = static_cast<volatile uint8_t*>(map);
    for (uint64_t page = 0; page < kPages; ++page) bytes[page * kPageSize] = 1;
    for (;;) {
      gate.meet(reinterpret_cast<uint64_t>(map));
      for (uint64_t page = 0; page < kPages; page += stride) bytes[page * kPageSize] = 2;
    }
  });
}

// The argument is how many of the 65,536 pages changed since the last cut.
void CutOf256MiB(benchmark::State& state) {
  TrackerFeatures features = probe_tracker_features("");
  if (best_tracker(features) != TrackerKind::kPagemapScan) {
    state.SkipWithError("this kernel has no PAGEMAP_SCAN with asynchronous write protection");
    return;
  }
  auto target = writer(kPages / static_cast<uint64_t>(state.range(0)));
  target->receive();
  auto tracker = std::move(Tracker::create(TrackerKind::kPagemapScan, target->pid(),
                                           target->take_uffd(), features))
                     .value();
  std::vector<Area> areas = target->areas();
  PD_ASSERT(tracker->scan(areas, Mode::kCut).ok());
  for (auto _ : state) {
    state.PauseTiming();
    target->step();
    state.ResumeTiming();
    Scan scan = tracker->scan(areas, Mode::kCut).value();
    PD_ASSERT(scan.data.pages() >= static_cast<uint64_t>(state.range(0)));
  }
}
BENCHMARK(CutOf256MiB)->Arg(1)->Arg(256)->Arg(4096)->Arg(65536)->Unit(benchmark::kMicrosecond);

// Copies a quarter of the pages, in runs of the argument's length.
void CopyPages(benchmark::State& state) {
  auto target = writer(kPages);
  uint64_t first = target->receive() >> kPageShift;
  PageSet pages;
  const auto run = static_cast<uint64_t>(state.range(0));
  for (uint64_t page = 0; page < kPages; page += 4 * run) pages.add(PageRun{first + page, run});
  Copier copier = std::move(Copier::create()).value();
  for (auto _ : state) {
    Result<PageSet> unreadable = copier.copy(target->pid(), pages, [](uint64_t, Bytes bytes) {
      benchmark::DoNotOptimize(bytes.data());
      return Status();
    });
    PD_ASSERT(unreadable.ok() && unreadable->empty());
  }
  const auto bytes = static_cast<int64_t>(pages.pages() * kPageSize);
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * bytes);
}
BENCHMARK(CopyPages)->Arg(1)->Arg(16)->Arg(256)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace perdure::memory
