// The store: commit of a small epoch, of a full one against plain direct writes of the same bytes,
// opening, reading. Directory: $PERDURE_BENCH_DIR, else the current one (which is to lie on the
// disk that is to be measured).
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "store/store.h"

namespace perdure::store {
namespace {

constexpr uint64_t kMiB = 1 << 20;

class Directory {
 public:
  Directory() {
    const char* parent = std::getenv("PERDURE_BENCH_DIR");  // NOLINT: one thread
    path_ = std::string(parent != nullptr ? parent : ".") + "/store-bench-XXXXXX";
    if (mkdtemp(path_.data()) == nullptr) std::abort();
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  Options options(Access access) const {
    Options options;
    options.directory = path_;
    options.access = access;
    options.create = Create::kIfMissing;
    return options;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

template <typename T>
T must(Result<T> result) {
  if (!result.ok()) {
    std::fprintf(stderr, "%s\n", result.error().to_string().c_str());
    std::abort();
  }
  return std::move(result).value();
}
void must(Status status) {
  if (!status.ok()) std::abort();
}

std::vector<uint8_t> random_bytes(size_t size) {
  std::vector<uint8_t> bytes(size);
  std::mt19937_64 random(1);
  for (size_t at = 0; at + 8 <= size; at += 8) store_le(bytes.data() + at, random());
  return bytes;
}

void put_all(EpochWriter& writer, const std::vector<uint8_t>& bytes) {
  for (size_t at = 0; at < bytes.size(); at += kMiB) {
    const size_t size = std::min<size_t>(kMiB, bytes.size() - at);
    must(writer.put_pages(ObjectId(16), at / kPageSize, Bytes(bytes).subspan(at, size)));
  }
}

// Some records and so many pages, scattered, in every epoch.
void BM_SmallEpoch(benchmark::State& state) {
  Directory directory;
  const auto store = must(Store::open(directory.options(Access::kWrite)));
  const std::vector<uint8_t> page = random_bytes(kPageSize);
  std::mt19937_64 random(2);
  const std::string record(200, 'r');
  for (auto _ : state) {
    const auto writer = must(store->begin_epoch());
    for (uint64_t id = 1; id <= 10; ++id) {
      must(writer->put_record(
          ObjectId(id), 1, Bytes(reinterpret_cast<const uint8_t*>(record.data()), record.size())));
    }
    for (int64_t at = 0; at < state.range(0); ++at) {
      must(writer->put_pages(ObjectId(16), random() % 1'000'000, page));
    }
    benchmark::DoNotOptimize(must(writer->commit({})));
  }
}
BENCHMARK(BM_SmallEpoch)
    ->Arg(1)
    ->Arg(16)
    ->Arg(256)
    ->Arg(1024)
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

// The whole life of a one-shot checkpoint of a small process: open or create, one epoch, close.
void BM_CreateAndOneEpoch(benchmark::State& state) {
  const std::vector<uint8_t> bytes = random_bytes(200 << 10);
  for (auto _ : state) {
    Directory directory;
    auto store = must(Store::open(directory.options(Access::kWrite)));
    const auto writer = must(store->begin_epoch());
    put_all(*writer, bytes);
    benchmark::DoNotOptimize(must(writer->commit({})));
  }
}
BENCHMARK(BM_CreateAndOneEpoch)->UseRealTime()->Unit(benchmark::kMicrosecond);

void BM_FullEpoch(benchmark::State& state) {
  const std::vector<uint8_t> bytes = random_bytes(state.range(0) * kMiB);
  for (auto _ : state) {
    state.PauseTiming();
    Directory directory;
    state.ResumeTiming();
    auto store = must(Store::open(directory.options(Access::kWrite)));
    const auto writer = must(store->begin_epoch());
    put_all(*writer, bytes);
    benchmark::DoNotOptimize(must(writer->commit({})));
    state.PauseTiming();
    store.reset();
    state.ResumeTiming();
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * bytes.size()));
}
BENCHMARK(BM_FullEpoch)->Arg(230)->UseRealTime()->Unit(benchmark::kMillisecond)->Iterations(8);

// What the one above is compared with: `dd oflag=direct bs=1M conv=fdatasync` of the same bytes
// into a new file.
void BM_PlainDirectWrite(benchmark::State& state) {
  const std::vector<uint8_t> bytes = random_bytes(state.range(0) * kMiB);
  void* aligned = std::aligned_alloc(kPageSize, kMiB);
  for (auto _ : state) {
    state.PauseTiming();
    Directory directory;
    state.ResumeTiming();
    const int fd =
        open((directory.path() + "/file").c_str(), O_CREAT | O_WRONLY | O_DIRECT | O_CLOEXEC, 0600);
    for (size_t at = 0; at < bytes.size(); at += kMiB) {
      std::memcpy(aligned, bytes.data() + at, kMiB);
      if (write(fd, aligned, kMiB) != static_cast<ssize_t>(kMiB)) std::abort();
    }
    fdatasync(fd);
    close(fd);
  }
  std::free(aligned);
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * bytes.size()));
}
BENCHMARK(BM_PlainDirectWrite)
    ->Arg(230)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->Iterations(8);

// A store of so many small epochs on top of a first one of 1 MiB.
void fill(const Directory& directory, int64_t epochs) {
  const auto store = must(Store::open(directory.options(Access::kWrite)));
  const std::vector<uint8_t> bytes = random_bytes(kMiB);
  std::mt19937_64 random(2);
  for (int64_t epoch = 0; epoch < epochs; ++epoch) {
    const auto writer = must(store->begin_epoch());
    if (epoch == 0) put_all(*writer, bytes);
    must(writer->put_record(ObjectId(1), 1, Bytes(bytes).first(300)));
    must(writer->put_pages(ObjectId(16), random() % 256, Bytes(bytes).first(kPageSize)));
    must(writer->commit({}));
  }
}

void BM_OpenForReading(benchmark::State& state) {
  Directory directory;
  fill(directory, state.range(0));
  for (auto _ : state)
    benchmark::DoNotOptimize(must(Store::open(directory.options(Access::kRead))));
}
BENCHMARK(BM_OpenForReading)
    ->Arg(1)
    ->Arg(100)
    ->Arg(2000)
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

void BM_OpenForWriting(benchmark::State& state) {
  Directory directory;
  fill(directory, state.range(0));
  for (auto _ : state)
    benchmark::DoNotOptimize(must(Store::open(directory.options(Access::kWrite))));
}
BENCHMARK(BM_OpenForWriting)->Arg(1)->Arg(100)->UseRealTime()->Unit(benchmark::kMicrosecond);

void BM_ReadNewestEpoch(benchmark::State& state) {
  Directory directory;
  fill(directory, state.range(0));
  const auto store = must(Store::open(directory.options(Access::kRead)));
  for (auto _ : state) {
    const auto reader = must(store->read_epoch(store->newest()->epoch));
    must(reader->for_each_record([](ObjectId, uint32_t, Bytes) -> Status { return Ok{}; }));
  }
}
BENCHMARK(BM_ReadNewestEpoch)
    ->Arg(1)
    ->Arg(100)
    ->Arg(2000)
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

void BM_ReadAllPages(benchmark::State& state) {
  Directory directory;
  const std::vector<uint8_t> bytes = random_bytes(state.range(0) * kMiB);
  {
    const auto store = must(Store::open(directory.options(Access::kWrite)));
    const auto writer = must(store->begin_epoch());
    put_all(*writer, bytes);
    must(writer->commit({}));
  }
  const auto store = must(Store::open(directory.options(Access::kRead)));
  std::vector<uint8_t> out(kMiB);
  for (auto _ : state) {
    const auto reader = must(store->read_epoch(Epoch(1)));
    for (const PageExtent& extent : reader->extents(ObjectId(16))) {
      must(reader->read_pages(extent, MutableBytes(out).first(extent.count * kPageSize)));
    }
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * bytes.size()));
}
BENCHMARK(BM_ReadAllPages)->Arg(230)->UseRealTime()->Unit(benchmark::kMillisecond);

void BM_ReadOnePage(benchmark::State& state) {
  Directory directory;
  const std::vector<uint8_t> bytes = random_bytes(64 * kMiB);
  {
    const auto store = must(Store::open(directory.options(Access::kWrite)));
    const auto writer = must(store->begin_epoch());
    put_all(*writer, bytes);
    must(writer->commit({}));
  }
  const auto store = must(Store::open(directory.options(Access::kRead)));
  const auto reader = must(store->read_epoch(Epoch(1)));
  std::vector<uint8_t> out(kPageSize);
  std::mt19937_64 random(2);
  for (auto _ : state) {
    must(reader->read_range(ObjectId(16), random() % (64 * kMiB / kPageSize), out));
  }
}
BENCHMARK(BM_ReadOnePage)->UseRealTime()->Unit(benchmark::kMicrosecond);

// A clock that runs faster, so that a policy of minutes and hours is at work within a minute.
class FastClock final : public Clock {
 public:
  explicit FastClock(uint64_t speed) : speed_(speed), begin_ns_(clock_.realtime_ns()) {}
  uint64_t monotonic_ns() const override { return clock_.monotonic_ns(); }
  uint64_t realtime_ns() const override {
    return begin_ns_ + (clock_.realtime_ns() - begin_ns_) * speed_;
  }

 private:
  SystemClock clock_;
  uint64_t speed_;
  uint64_t begin_ns_;
};

uint64_t number_in(const char* file, const std::string& word) {
  std::ifstream in(file);
  std::string line;
  while (in >> line) {
    if (line == word && in >> line) return std::strtoull(line.c_str(), nullptr, 10);
  }
  return 0;
}
uint64_t written_bytes() { return number_in("/proc/self/io", "write_bytes:"); }
uint64_t resident_kib() { return number_in("/proc/self/status", "VmRSS:"); }
double processor_seconds() {
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  return static_cast<double>(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
         static_cast<double>(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6;
}
double microseconds_at(std::vector<uint64_t>& times_ns, double share) {
  if (times_ns.empty()) return 0;
  std::sort(times_ns.begin(), times_ns.end());
  const auto at = static_cast<size_t>(static_cast<double>(times_ns.size() - 1) * share);
  return static_cast<double>(times_ns[at]) / 1000;
}

// An engine's day: an epoch every 10 ms, of a record and so many KiB of scattered pages of 64 MiB,
// with the usual retention, more slowly when the store asks for it; nothing is waited for but the
// disk's word.
class HundredHertz {
 public:
  HundredHertz(Store& store, int64_t kib) : store_(store), pages_(kib / 4) {
    next_ns_ = first_ns_ = clock_.monotonic_ns();
  }

  void epoch() {
    next_ns_ += static_cast<uint64_t>(1e7 * store_.in_flight().slowdown);
    while (wait_until(next_ns_)) settle();
    const uint64_t begin_ns = clock_.monotonic_ns();
    const auto writer = must(store_.begin_epoch());
    must(writer->put_record(ObjectId(1), 1, Bytes(page_).first(2000)));
    for (int64_t at = 0; at < pages_; ++at) {
      must(writer->put_pages(ObjectId(16), random_() % 16384, page_));
    }
    must(writer->submit({begin_ns, std::string(300, 'n')}));
    const uint64_t retain_ns = clock_.monotonic_ns();
    fill_ns.push_back(retain_ns - begin_ns);
    copied += must(store_.retain(policy_)).bytes_copied;
    retain_times_ns.push_back(clock_.monotonic_ns() - retain_ns);
    began_[writer->epoch()] = begin_ns;
  }
  void settle() {
    for (const SettledEpoch& epoch : store_.take_settled()) {
      written += must(epoch.result).bytes_written;
      durable_ns.push_back(clock_.monotonic_ns() - began_[epoch.epoch]);
      began_.erase(epoch.epoch);
    }
  }

  // By how much all epochs came later than every 10 ms, because the store asked for it.
  double late_s() const {
    return static_cast<double>(next_ns_ - first_ns_ - fill_ns.size() * 10'000'000) * 1e-9;
  }

  std::vector<uint64_t> fill_ns, retain_times_ns, durable_ns;
  uint64_t written = 0, copied = 0;

 private:
  // True if the disk has spoken, false if it is time.
  bool wait_until(uint64_t time_ns) {
    const uint64_t now_ns = clock_.monotonic_ns();
    const uint64_t left_ns = time_ns - std::min(time_ns, now_ns);
    const timespec timeout{0, static_cast<long>(std::min<uint64_t>(left_ns, 999'999'999))};
    pollfd look{store_.durable_fd(), POLLIN, 0};
    return ppoll(&look, 1, &timeout, nullptr) == 1;
  }

  SystemClock clock_;
  Store& store_;
  int64_t pages_;
  const Retention policy_ = must(parse_retention("all:1s,1/s:1m,1/m:1h,1/h:7d"));
  const std::vector<uint8_t> page_ = random_bytes(kPageSize);
  std::mt19937_64 random_{2};
  std::map<Epoch, uint64_t> began_;
  uint64_t next_ns_, first_ns_;
};

// Arguments: KiB an epoch, speed of the clock.
void BM_HundredHertz(benchmark::State& state) {
  Directory directory;
  const FastClock clock(static_cast<uint64_t>(state.range(1)));
  Options options = directory.options(Access::kWrite);
  options.clock = &clock;
  const auto store = must(Store::open(options));
  HundredHertz loop(*store, state.range(0));
  const uint64_t io_before = written_bytes();
  const double processor_before = processor_seconds();
  int64_t epochs = 0;
  uint64_t space_max = 0;
  const int64_t part = std::max<int64_t>(static_cast<int64_t>(state.max_iterations) / 4, 1);
  for (auto _ : state) {
    loop.epoch();
    if (epochs % 20 == 0) space_max = std::max(space_max, must(store->space()).allocated_bytes);
    if (++epochs % part == 0) {
      state.counters["rss_mb_" + std::to_string(epochs / part)] =
          static_cast<double>(resident_kib()) / 1024;
    }
  }
  const auto count = static_cast<double>(epochs);
  state.counters["cpu_us"] = (processor_seconds() - processor_before) / count * 1e6;
  state.counters["late_s"] = loop.late_s();
  while (store->in_flight().epochs != 0) loop.settle();
  state.counters["amplification"] =
      static_cast<double>(written_bytes() - io_before) / static_cast<double>(loop.written);
  state.counters["copied_mb"] = static_cast<double>(loop.copied) / kMiB;
  state.counters["space_mb"] = static_cast<double>(must(store->space()).allocated_bytes) / kMiB;
  state.counters["space_max_mb"] = static_cast<double>(space_max) / kMiB;
  state.counters["kept"] = static_cast<double>(store->epochs().size());
  state.counters["live_mb"] = static_cast<double>(must(store->drop({})).live_bytes) / kMiB;
  state.counters["durable_p50_us"] = microseconds_at(loop.durable_ns, 0.5);
  state.counters["durable_p99_us"] = microseconds_at(loop.durable_ns, 0.99);
  state.counters["fill_p50_us"] = microseconds_at(loop.fill_ns, 0.5);
  state.counters["fill_p99_us"] = microseconds_at(loop.fill_ns, 0.99);
  state.counters["retain_p50_us"] = microseconds_at(loop.retain_times_ns, 0.5);
  state.counters["retain_p99_us"] = microseconds_at(loop.retain_times_ns, 0.99);
  state.counters["retain_max_us"] = microseconds_at(loop.retain_times_ns, 1);
}
BENCHMARK(BM_HundredHertz)
    ->Args({20, 1})
    ->Args({1024, 1})
    ->Args({4096, 1})
    ->Args({1024, 20})
    ->Iterations(1000)
    ->UseRealTime();
// Twenty minutes of retention in one, and whether memory grows.
BENCHMARK(BM_HundredHertz)->Args({1024, 20})->Iterations(6000)->UseRealTime();

}  // namespace
}  // namespace perdure::store
