// Directories: by path, with the position that the file system gave (an opaque number that it takes
// back).
#include "capture/file_kinds.h"

namespace perdure::capture {

Status capture_directory(FileContext& context, OpenFileEntry& entry) {
  if (entry.file.st_nlink == 0) {
    return refuse(entry, "removed folder " + entry.link, "let the program close it");
  }
  object::Directory* directory = entry.record.mutable_directory();
  directory->set_offset(entry.info.position);
  PD_TRY(identify(context, entry, directory->mutable_identity()));
  directory->mutable_identity()->set_loose(true);
  return {};
}

}  // namespace perdure::capture
