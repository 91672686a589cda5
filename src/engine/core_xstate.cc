#include "engine/core_xstate.h"

#include <cpuid.h>

#include <algorithm>

#include "base/bytes.h"

namespace perdure::engine {
namespace {

// Intel's manual, volume 1, chapter 13; linux/arch/x86/include/asm/fpu/types.h.
constexpr uint32_t kHeaderEnd = 576;
constexpr uint32_t kEnabledAt =
    464;  // where ptrace(2) tells XCR0, among the unused bytes of FXSAVE
constexpr XstateLayout kIntel = {{{},
                                  {},
                                  {576, 256},
                                  {960, 64},
                                  {1024, 64},
                                  {1088, 64},
                                  {1152, 512},
                                  {1664, 1024},
                                  {},
                                  {2688, 8}}};
constexpr uint32_t kXsaveLeaf = 0xd;

bool has(uint64_t enabled, size_t part) { return (enabled >> part & 1) != 0; }

// Whether the parts can be moved, and must be.
bool must_move(uint64_t enabled, const XstateLayout& layout, size_t bytes) {
  if (enabled >> kXstateParts != 0) return false;  // only Intel's processors have those
  bool moved = false;
  for (size_t part = 2; part < kXstateParts; ++part) {
    if (!has(enabled, part)) continue;
    const XstatePart& from = layout[part];
    if (from.size == 0 || from.size != kIntel[part].size) return false;
    if (from.offset < kHeaderEnd || from.offset + from.size > bytes) return false;
    moved = moved || from.offset != kIntel[part].offset;
  }
  return moved;
}

}  // namespace

XstateLayout own_xstate_layout(size_t xstate_bytes) {
  XstateLayout layout;
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
  // EBX of subleaf 0: the size of an area with what is enabled now.
  if (__get_cpuid_count(kXsaveLeaf, 0, &eax, &ebx, &ecx, &edx) == 0) return layout;
  if (ebx != xstate_bytes) return layout;
  for (uint32_t part = 2; part < kXstateParts; ++part) {
    if (__get_cpuid_count(kXsaveLeaf, part, &eax, &ebx, &ecx, &edx) == 0) continue;
    layout[part] = {ebx, eax};
  }
  return layout;
}

std::string xstate_for_debuggers(const std::string& xstate, const XstateLayout& layout) {
  if (xstate.size() < kHeaderEnd) return xstate;
  const auto* bytes = reinterpret_cast<const uint8_t*>(xstate.data());
  const uint64_t enabled = load_le<uint64_t>(bytes + kEnabledAt);
  if (!must_move(enabled, layout, xstate.size())) return xstate;
  std::string moved = xstate.substr(0, kHeaderEnd);
  for (size_t part = 2; part < kXstateParts; ++part) {
    if (!has(enabled, part)) continue;
    const XstatePart& to = kIntel[part];
    moved.resize(std::max<size_t>(moved.size(), to.offset + to.size));
    moved.replace(to.offset, to.size, xstate, layout[part].offset, to.size);
  }
  return moved;
}

}  // namespace perdure::engine
