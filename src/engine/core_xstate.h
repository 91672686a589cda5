// The extended state of a thread as debuggers expect it in NT_X86_XSTATE. Where each part lies in
// an xsave area differs between makes of processors; debuggers (gdb up to 13 at least) know Intel's
// layout only, and later ones guess by the size. Pure, but for asking the processor.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace perdure::engine {

struct XstatePart {
  uint32_t offset = 0;
  uint32_t size = 0;  // 0: not there
};
// By the number of the state component: 2 is AVX, 5 to 7 AVX-512, 9 protection keys.
inline constexpr size_t kXstateParts = 10;
using XstateLayout = std::array<XstatePart, kXstateParts>;

// This processor's (CPUID leaf 0xd), for areas of xstate_bytes; none where it lays out areas of
// another size.
XstateLayout own_xstate_layout(size_t xstate_bytes);
// The area with its parts where Intel's processors have them. One that has them there already, or
// has parts that the layout does not tell, is returned as it is.
std::string xstate_for_debuggers(const std::string& xstate, const XstateLayout& layout);

}  // namespace perdure::engine
