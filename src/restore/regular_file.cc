#include "kernel/file.h"
#include "restore/file_kinds.h"

namespace perdure::restore {

// A removed file lives on as a memory object; each of its descriptions is another open of it.
Result<Fd> open_regular_file(const FileMaker& maker, const object::OpenFile& record) {
  const object::RegularFile& regular = record.regular();
  Fd file;
  if (regular.deleted()) {
    const int content = PD_TRY(maker.memory(ObjectId(regular.content())));
    file = PD_TRY(kernel::open_file(kernel::path_of_fd(content), reopen_flags(record)));
  } else {
    file = PD_TRY(open_identified(regular.identity(), open_flags(record)));
  }
  if (regular.offset() != 0) PD_TRY(kernel::seek(file.get(), regular.offset()));
  return file;
}

}  // namespace perdure::restore
