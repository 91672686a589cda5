#include <fmt/format.h>

#include "base/limits.h"
#include "cli/context.h"
#include "cli/epoch_choice.h"
#include "cli/epoch_diff.h"
#include "cli/json.h"
#include "cli/open_store.h"
#include "cli/output.h"

namespace perdure::cli {
namespace {

// Without --all: what a person reads.
constexpr size_t kRangesShown = 12;
constexpr size_t kFieldsShown = 40;

const char* what_text(ObjectChange::What what) {
  switch (what) {
    case ObjectChange::What::kAdded:
      return "added";
    case ObjectChange::What::kRemoved:
      return "removed";
    case ObjectChange::What::kChanged:
      return "changed";
  }
  return "";
}

std::string or_unset(const std::string& text) { return text.empty() ? "(not set)" : text; }

std::string range_text(const PageRange& range) {
  uint64_t begin = range.first << kPageShift, end = (range.first + range.count) << kPageShift;
  return fmt::format("    {:#x}-{:#x}  {}  {}\n", begin, end, bytes_text(range.count * kPageSize),
                     range.place);
}

std::string change_text(const ObjectChange& change, size_t fields_max, size_t ranges_max) {
  std::string text =
      fmt::format("{} {} (object {})\n", what_text(change.what), change.title, change.id.value);
  for (size_t at = 0; at < change.fields.size() && at < fields_max; ++at) {
    const FieldChange& field = change.fields[at];
    text +=
        fmt::format("  {}: {} -> {}\n", field.path, or_unset(field.before), or_unset(field.after));
  }
  if (change.fields.size() > fields_max) {
    text += fmt::format("  and {} fields more (--all)\n", change.fields.size() - fields_max);
  }
  if (change.page_count == 0) return text;
  text += fmt::format("  {} pages differ, {}\n", count_text(change.page_count),
                      bytes_text(change.page_count * kPageSize));
  for (size_t at = 0; at < change.pages.size() && at < ranges_max; ++at)
    text += range_text(change.pages[at]);
  if (change.pages.size() > ranges_max) {
    text += fmt::format("    and {} ranges more (--all)\n", change.pages.size() - ranges_max);
  }
  return text;
}

void change_json(JsonWriter& json, const ObjectChange& change) {
  json.begin_object().key("id").number(change.id.value).key("what").string(what_text(change.what));
  json.key("title").string(change.title).key("fields").begin_array();
  for (const FieldChange& field : change.fields) {
    json.begin_object().key("path").string(field.path).key("before").string(field.before);
    json.key("after").string(field.after).end_object();
  }
  json.end_array().key("pages_changed").number(change.page_count).key("ranges").begin_array();
  for (const PageRange& range : change.pages) {
    json.begin_object().key("first_page").number(range.first).key("pages").number(range.count);
    json.key("place").string(range.place).end_object();
  }
  json.end_array().end_object();
}

}  // namespace

Result<int> diff(const Context& context) {
  const Arguments& arguments = context.arguments;
  daemon::GroupPlace place = PD_TRY(the_group(context));
  auto store = PD_TRY(open_store(place));
  std::vector<store::EpochInfo> epochs = store->epochs();
  Epoch first = PD_TRY(choose_epoch(epochs, {arguments.epoch, {}, {}}, 0, place.name));
  Epoch second = PD_TRY(choose_epoch(epochs, {arguments.other_epoch, {}, {}}, 0, place.name));
  EpochView before = PD_TRY(EpochView::load(*store, first));
  EpochView after = PD_TRY(EpochView::load(*store, second));
  auto changes = PD_TRY(compare_epochs(before, after));
  if (arguments.json) {
    JsonWriter json;
    json.begin_object()
        .key("group")
        .string(place.name)
        .key("from")
        .number(first.value)
        .key("to")
        .number(second.value);
    json.key("changes").begin_array();
    for (const ObjectChange& change : changes) change_json(json, change);
    PD_TRY(print(json.end_array().end_object().take()));
    return 0;
  }
  if (changes.empty())
    PD_TRY(print(fmt::format("epochs {} and {} are the same\n", first.value, second.value)));
  size_t fields = arguments.all ? SIZE_MAX : kFieldsShown,
         ranges = arguments.all ? SIZE_MAX : kRangesShown;
  for (const ObjectChange& change : changes) PD_TRY(print(change_text(change, fields, ranges)));
  return 0;
}

}  // namespace perdure::cli
