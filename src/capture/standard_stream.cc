// Standard streams: descriptors 0, 1 and 2 that lead outside the group belong to whoever runs it,
// and come from whoever restores it. So does every other way to what a standard stream leads to,
// such as a second open of the same terminal.
#include <iterator>
#include <set>
#include <utility>

#include "capture/file_kinds.h"

namespace perdure::capture {

void capture_outside(FileContext& context, OpenFileEntry& entry, std::string target,
                     Error refusal) {
  context.outside.push_back({&entry, std::move(target), std::move(refusal)});
}

namespace {

// The standard numbers of a description, ascending.
std::set<int> standard_numbers(const OpenFileEntry& entry) {
  std::set<int> numbers;
  for (const FileUser& user : entry.users) {
    if (user.fd <= 2) numbers.insert(user.fd);
  }
  return numbers;
}

// One description of a terminal often is input and output. Whoever restores may have two: the
// descriptors 0 then get a record of their own.
void split_input(FileContext& context, const OpenFileEntry& entry) {
  const ObjectId input = context.ids.id_of("input:" + std::to_string(entry.id.value));
  for (size_t i = 0; i < context.out.processes.size(); ++i) {
    for (Descriptor& descriptor : context.out.processes[i].fds) {
      if (descriptor.fd == 0 && descriptor.file == entry.id) descriptor.file = input;
    }
  }
  object::OpenFile& record = context.out.files[input];
  record = entry.record;
  record.mutable_standard_stream()->set_number(0);
}

void record_stream(FileContext& context, const Outside& way, int number) {
  OpenFileEntry& entry = *way.entry;
  object::StandardStream* stream = entry.record.mutable_standard_stream();
  stream->set_description(way.target + " " + entry.link);
  stream->set_number(number);
  const std::set<int> numbers = standard_numbers(entry);
  if (numbers.empty()) return;
  const bool both = numbers.count(0) != 0 && numbers.size() > 1;
  stream->set_number(both ? *std::next(numbers.begin()) : *numbers.begin());
  if (both && entry.readable() && entry.writable()) split_input(context, entry);
}

}  // namespace

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
    record_stream(context, way, found->second);
  }
  return {};
}

}  // namespace perdure::capture
