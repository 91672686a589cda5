#include <fmt/format.h>

#include "base/limits.h"
#include "cli/context.h"
#include "cli/epoch_choice.h"
#include "cli/epoch_view.h"
#include "cli/json.h"
#include "cli/open_store.h"
#include "cli/output.h"
#include "cli/record_tree.h"
#include "object/kind.h"

namespace perdure::cli {
namespace {

std::string kind_text(const StoredObject& object) {
  return object.kind == 0 ? "pages" : object::kind_name(static_cast<object::Kind>(object.kind));
}

// A record of a newer version, or none: its bytes at least.
Node tree_of_object(const StoredObject& object) {
  if (object.message != nullptr) return tree_of(*object.message);
  Node root{"", Node::Type::kObject, {}, {}};
  if (object.kind != 0) {
    std::string size = fmt::format("{} bytes that this version cannot decode", object.bytes.size());
    root.children.push_back({"record", Node::Type::kText, size, {}});
  }
  return root;
}

std::string object_text(const EpochView& view, const StoredObject& object) {
  std::string text = fmt::format("\nobject {}: {}\n", object.id.value, view.title(object.id));
  if (object.pages > 0) {
    size_t runs = view.reader().extents(object.id).size();
    text += fmt::format("  pages stored: {} ({}) in {} runs\n", count_text(object.pages),
                        bytes_text(object.pages * kPageSize), count_text(runs));
  }
  return text + tree_text(tree_of_object(object), 2);
}

void object_json(JsonWriter& json, const EpochView& view, const StoredObject& object) {
  json.begin_object().key("id").number(object.id.value).key("kind").string(kind_text(object));
  json.key("title").string(view.title(object.id)).key("pages").begin_array();
  for (const store::PageExtent& extent : view.reader().extents(object.id)) {
    json.begin_array().number(extent.first_page).number(uint64_t{extent.count}).end_array();
  }
  json.end_array().key("record");
  tree_json(tree_of_object(object), json);
  json.end_object();
}

}  // namespace

Result<int> show(const Context& context) {
  daemon::GroupPlace place = PD_TRY(the_group(context));
  auto store = PD_TRY(open_store(place));
  Epoch epoch =
      PD_TRY(choose_epoch(store->epochs(), {context.arguments.epoch, {}, {}}, 0, place.name));
  EpochView view = PD_TRY(EpochView::load(*store, epoch));
  if (context.arguments.json) {
    JsonWriter json;
    json.begin_object().key("group").string(place.name).key("epoch").number(epoch.value);
    json.key("captured_realtime_ns")
        .number(view.info().captured_realtime_ns)
        .key("objects")
        .begin_array();
    for (const auto& [id, object] : view.objects()) object_json(json, view, object);
    PD_TRY(print(json.end_array().end_object().take()));
    return 0;
  }
  uint64_t pages = 0;
  for (const auto& [id, object] : view.objects()) pages += object.pages;
  PD_TRY(
      print(fmt::format("epoch {} of group {}, captured {}: {} objects, {} pages ({})\n",
                        epoch.value, place.name, time_text(view.info().captured_realtime_ns),
                        view.objects().size(), count_text(pages), bytes_text(pages * kPageSize))));
  for (const auto& [id, object] : view.objects()) PD_TRY(print(object_text(view, object)));
  return 0;
}

}  // namespace perdure::cli
