// Little-endian access to bytes, whatever their alignment. Formats on disk and on the wire go
// through these.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

namespace perdure {

static_assert(std::endian::native == std::endian::little,
              "formats are little-endian; add byte swaps to port");

using Bytes = std::span<const uint8_t>;
using MutableBytes = std::span<uint8_t>;

template <typename T>
requires std::is_trivially_copyable_v<T> T load_le(const uint8_t* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

template <typename T>
requires std::is_trivially_copyable_v<T>
void store_le(uint8_t* to, T value) { std::memcpy(to, &value, sizeof(T)); }

template <typename T>
requires std::is_trivially_copyable_v<T> Bytes bytes_of(const T& value) {
  return Bytes(reinterpret_cast<const uint8_t*>(&value), sizeof(T));
}

// True if every byte is zero.
inline bool all_zero(Bytes bytes) {
  size_t at = 0;
  for (; at + 32 <= bytes.size(); at += 32) {
    uint64_t words[4];
    std::memcpy(words, bytes.data() + at, sizeof(words));
    if ((words[0] | words[1] | words[2] | words[3]) != 0) return false;
  }
  for (; at < bytes.size(); ++at) {
    if (bytes[at] != 0) return false;
  }
  return true;
}

}  // namespace perdure
