#include "restore/lazy_space.h"

#include "base/bytes.h"

namespace perdure::restore {
namespace {

constexpr size_t kHeadBytes = 8, kRunBytes = 16;

void put(std::string* bytes, uint64_t value) {
  const Bytes raw = bytes_of(value);
  bytes->append(raw.begin(), raw.end());
}

}  // namespace

std::string encode_lazy_space(const LazySpace& space) {
  std::string bytes;
  put(&bytes, space.space.value);
  for (const memory::PageRun& run : space.ranges) {
    put(&bytes, run.first);
    put(&bytes, run.count);
  }
  return bytes;
}

Result<LazySpace> decode_lazy_space(const std::string& bytes) {
  if (bytes.size() < kHeadBytes || (bytes.size() - kHeadBytes) % kRunBytes != 0)
    return Error(Code::kInternal, "the engine's message about an address space is cut short");
  const auto* raw = reinterpret_cast<const uint8_t*>(bytes.data());
  LazySpace space;
  space.space = ObjectId(load_le<uint64_t>(raw));
  for (size_t at = kHeadBytes; at < bytes.size(); at += kRunBytes) {
    space.ranges.push_back({load_le<uint64_t>(raw + at), load_le<uint64_t>(raw + at + 8)});
  }
  return space;
}

}  // namespace perdure::restore
