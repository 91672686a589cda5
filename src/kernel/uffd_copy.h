// userfaultfd(2) for filling memory of another process that nobody touched yet.
#pragma once

#include "base/bytes.h"
#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"

namespace perdure::kernel {

// UFFDIO_REGISTER for missing pages; the range is anonymous memory without a hole. kToo: for write
// protection as well.
enum class WriteProtection : uint8_t { kNone, kToo };
Status register_uffd_missing(const Fd& uffd, RemoteAddr start, uint64_t size,
                             WriteProtection protection = WriteProtection::kNone);
Status unregister_uffd(const Fd& uffd, RemoteAddr start, uint64_t size);
// UFFDIO_COPY of whole pages that are missing. Any number of threads at once. kExists if one is
// there already.
Status copy_missing_pages(const Fd& uffd, RemoteAddr to, Bytes pages);

}  // namespace perdure::kernel
