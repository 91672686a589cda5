// One input for all decoders of the store. The first byte chooses: a raw decoder, or a whole
// segment whose frames carry the input as payload under valid checksums, so that what is behind the
// checksums is tried too.
#pragma once

#include <memory>

#include "base/bytes.h"
#include "store/device.h"

namespace perdure::store {

// Returns normally whatever the bytes are.
void fuzz_store(Bytes input);

// The disk that an input of the second sort (without its first byte) stands for: one segment of
// frames. A frame is a byte of kind, one of flags, two of length, and the payload; a frame of pages
// without a payload is a valid one of zeros.
std::shared_ptr<Device> fuzz_device(Bytes input);

}  // namespace perdure::store
