// Regular files: by path and identity. One without a name (removed while open, or O_TMPFILE) and
// one on tmpfs is a memory object, whose content is saved.
#include <string_view>

#include "capture/file_kinds.h"
#include "kernel/file.h"

namespace perdure::capture {
namespace {

// Shared memory of the C library (shm_open(3)); other files on tmpfs are memory only if they are
// open for writing.
constexpr std::string_view kSharedMemoryFolder = "/dev/shm/";

MemoryObjects::Tmpfs tmpfs_rule(const OpenFileEntry& entry) {
  const bool shared = entry.link.compare(0, kSharedMemoryFolder.size(), kSharedMemoryFolder) == 0;
  return shared || entry.writable() ? MemoryObjects::Tmpfs::kAsMemory
                                    : MemoryObjects::Tmpfs::kAsFile;
}

}  // namespace

Status capture_regular_file(FileContext& context, OpenFileEntry& entry) {
  const std::string place =
      entry.duplicate.valid() ? kernel::path_of_fd(entry.duplicate.get()) : entry.proc_path();
  Result<ObjectId> memory =
      context.memory.add_seen(entry.file, place, entry.link, tmpfs_rule(entry));
  if (!memory.ok()) return std::move(memory).error().within(entry.where);
  const MemoryEntry* found = context.memory.find(*memory);
  if (found != nullptr && found->record.kind() != object::MemoryObject::DELETED_FILE) {
    return capture_memfd(context, entry, *memory);
  }
  object::RegularFile* regular = entry.record.mutable_regular();
  regular->set_offset(entry.info.position);
  if (found != nullptr) {
    *regular->mutable_identity() = identity_of(entry.file, entry.link);
    regular->set_deleted(true);
    regular->set_content(memory->value);
    return {};
  }
  object::FileIdentity* identity = regular->mutable_identity();
  PD_TRY(identify(context, entry, identity));
  if (!entry.writable() || identity->is_virtual()) {
    identity->set_loose(true);
    return {};
  }
  identity->set_checked(true);
  if (context.options.checksum_files) {
    identity->set_checksum(PD_TRY_WITHIN(
        entry.where, checksum_of_file(entry.proc_path(), entry.file, context.options.checksums)));
  }
  return {};
}

}  // namespace perdure::capture
