#include "cli/open_store.h"

namespace perdure::cli {

Result<std::unique_ptr<store::Store>> open_store(const daemon::GroupPlace& place) {
  store::Options options;
  options.directory = place.directory;
  return store::Store::open(std::move(options));
}

}  // namespace perdure::cli
