// Every limit, with its reason.
#pragma once

#include <cstddef>
#include <cstdint>

namespace perdure {

// The unit of memory tracking and storage: x86-64's base page.
inline constexpr uint64_t kPageSize = 4096;
inline constexpr uint64_t kPageShift = 12;

// pid_max on 64-bit Linux is at most 2^22 (proc(5)); a group larger than this is a fork bomb.
inline constexpr size_t kProcessesMax = 32768;
inline constexpr size_t kThreadsMax = 131072;
// fs.nr_open's default: 1024 * 1024 (proc(5)).
inline constexpr size_t kFdsPerProcessMax = 1048576;
// vm.max_map_count's default is 65530; databases raise it to 262144.
inline constexpr size_t kVmasPerProcessMax = 1048576;

// One record is one object; the largest are address spaces with many vmas.
inline constexpr size_t kRecordBytesMax = 64u << 20;

}  // namespace perdure
