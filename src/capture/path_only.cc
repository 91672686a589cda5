// O_PATH descriptors: a place in the file tree, of whatever type.
#include "capture/file_kinds.h"

namespace perdure::capture {

Status capture_path_only(FileContext& context, OpenFileEntry& entry) {
  object::FileIdentity* identity = entry.record.mutable_path_only()->mutable_identity();
  PD_TRY(identify(context, entry, identity));
  identity->set_loose(true);
  return {};
}

}  // namespace perdure::capture
