// Inherited: what an address space has from the epoch that it was restored from. The first epoch
// after a restore inherits from that epoch. Trackers do not know what the program wrote since; so
// every page is yielded once, and compared with the checksum that the epoch has of it.
//
// A page may be left out of an epoch because it is as it was restored only as long as no later
// epoch, and nothing of the one that is being made, holds another content of it: pages() are those.
#pragma once

#include <memory>

#include "base/ids.h"
#include "memory/copy.h"
#include "memory/page_set.h"
#include "store/epoch_reader.h"

namespace perdure::engine {

class Inherited {
 public:
  Inherited(std::shared_ptr<const store::EpochReader> epoch, ObjectId space);

  ObjectId space() const { return space_; }
  const memory::PageSet& pages() const { return pages_; }

  // The epoch that is being made will not have these.
  void note_erased(const memory::PageSet& pages) { pages_ = pages_.without(pages); }
  // Passes on what is not as it was restored. In ascending order, each page once; then end_pass().
  Status pass_on(uint64_t first_page, Bytes bytes, const memory::PageSink& sink);
  void end_pass();

 private:
  std::shared_ptr<const store::EpochReader> epoch_;
  ObjectId space_;
  memory::PageSet pages_;
  memory::PageSet passed_;  // on, in this pass
};

}  // namespace perdure::engine
