// The store: commit of a small epoch, of a full one against plain direct writes of the same bytes,
// opening, reading. Directory: $PERDURE_BENCH_DIR, else the current one (which is to lie on the
// disk that is to be measured).
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
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

}  // namespace
}  // namespace perdure::store
