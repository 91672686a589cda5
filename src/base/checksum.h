// XXH3 (64 bits) over bytes: what every stored frame and page run carries.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace perdure {

uint64_t checksum(Bytes bytes);

}  // namespace perdure
