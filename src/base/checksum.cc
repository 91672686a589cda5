#include "base/checksum.h"

#include <xxhash.h>

namespace perdure {

uint64_t checksum(Bytes bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

}  // namespace perdure
