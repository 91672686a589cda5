// Descriptors of memory objects: memfd, POSIX shared memory and other files on tmpfs. The content
// belongs to the object, whose pages the memory stage reads; a descriptor adds its flags and
// position.
#include "capture/file_kinds.h"

namespace perdure::capture {

Status capture_memfd(FileContext&, OpenFileEntry& entry, ObjectId memory_object) {
  object::MemFd* memfd = entry.record.mutable_memfd();
  memfd->set_memory_object(memory_object.value);
  memfd->set_offset(entry.info.position);
  return {};
}

}  // namespace perdure::capture
