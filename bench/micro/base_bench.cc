// What every stored page goes through: the zero test and the checksum.
#include <benchmark/benchmark.h>

#include <vector>

#include "base/checksum.h"

namespace perdure {
namespace {

std::vector<uint8_t> noise(size_t size) {
  std::vector<uint8_t> bytes(size);
  uint32_t state = 1;
  for (uint8_t& byte : bytes) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<uint8_t>(state >> 24);
  }
  return bytes;
}

void Checksum(benchmark::State& state) {
  std::vector<uint8_t> bytes = noise(static_cast<size_t>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(checksum(bytes));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(Checksum)->Arg(4096)->Arg(1 << 20);

void ZeroTestOfZeroPage(benchmark::State& state) {
  std::vector<uint8_t> page(4096, 0);
  for (auto _ : state) benchmark::DoNotOptimize(all_zero(page));
  state.SetBytesProcessed(state.iterations() * 4096);
}
BENCHMARK(ZeroTestOfZeroPage);

void ZeroTestOfFullPage(benchmark::State& state) {
  std::vector<uint8_t> page = noise(4096);
  for (auto _ : state) benchmark::DoNotOptimize(all_zero(page));
}
BENCHMARK(ZeroTestOfFullPage);

}  // namespace
}  // namespace perdure
