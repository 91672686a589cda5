#include <fcntl.h>
#include <sys/stat.h>

#include "restore/file_kinds.h"

namespace perdure::restore {

Result<Fd> open_path_only(const object::OpenFile& record) {
  const object::FileIdentity& identity = record.path_only().identity();
  // The path is the file's own: a link at its end is what was opened.
  const bool link = (identity.mode() & S_IFMT) == S_IFLNK;
  return open_identified(identity, open_flags(record) | O_PATH | (link ? O_NOFOLLOW : 0));
}

}  // namespace perdure::restore
