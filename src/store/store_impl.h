// What a Store is inside: a reader's view (catalog and files), and a WriterCore if it was opened
// for writing.
#pragma once

#include <memory>

#include "store/catalog.h"
#include "store/store.h"
#include "store/writer_core.h"

namespace perdure::store {

class Store::Impl {
 public:
  std::shared_ptr<Device> device;
  const Clock* clock = nullptr;
  std::shared_ptr<WriterCore> core;   // null: opened for reading
  Catalog read_catalog;               // opened for reading
  std::shared_ptr<SegmentSet> files;  // opened for reading

  std::vector<std::string> warnings;

  // Settles what is durable by now.
  const Catalog& catalog() const {
    if (!core) return read_catalog;
    core->settle_done();
    return core->catalog();
  }
  // The same, and everything that it names can be read.
  Result<const Catalog*> readable_catalog() const {
    if (core) PD_TRY(core->settle_places());
    return &catalog();
  }
  const std::shared_ptr<SegmentSet>& segments() const { return core ? core->files() : files; }
};

// Looks again where a writer has deleted what was to be read.
Result<Recovered> recover_for_reading(const std::shared_ptr<Device>& device);

// The segments that an epoch's state refers to.
std::vector<uint32_t> segments_of(const EpochState& state);

}  // namespace perdure::store
