// Standard streams: descriptors 0, 1 and 2 that lead outside the group belong to whoever runs it,
// and come from whoever restores it. So does every other way to what a standard stream leads to,
// such as a second open of the same terminal.
#include <utility>

#include "capture/file_kinds.h"

namespace perdure::capture {

void capture_outside(FileContext& context, OpenFileEntry& entry, std::string target,
                     Error refusal) {
  context.outside.push_back({&entry, std::move(target), std::move(refusal)});
}

Status resolve_outside(FileContext& context) {
  std::map<std::string, int> streams;
  for (const Outside& way : context.outside) {
    if (const std::optional<int> number = way.entry->standard_number()) {
      const auto [found, is_new] = streams.emplace(way.target, *number);
      if (!is_new && *number < found->second) found->second = *number;
    }
  }
  for (Outside& way : context.outside) {
    const auto found = streams.find(way.target);
    if (found == streams.end()) return std::move(way.refusal);
    object::StandardStream* stream = way.entry->record.mutable_standard_stream();
    stream->set_number(way.entry->standard_number().value_or(found->second));
    stream->set_description(way.target + " " + way.entry->link);
  }
  return {};
}

}  // namespace perdure::capture
