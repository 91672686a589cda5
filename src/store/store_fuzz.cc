// libFuzzer: store_fuzz tests/corpus/store
#include <cstddef>
#include <cstdint>

#include "store/fuzz_entry.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  perdure::store::fuzz_store(perdure::Bytes(data, size));
  return 0;
}
