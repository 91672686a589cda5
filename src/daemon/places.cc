#include "daemon/places.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/checksum.h"
#include "daemon/group_name.h"
#include "kernel/folder.h"

namespace perdure::daemon {
namespace {

constexpr std::string_view kNoteSuffix = ".store";

std::string value_of(const Environment& environment, const char* name) {
  const char* value = environment(name);
  return value == nullptr ? "" : value;
}

Result<std::string> store_of(const Environment& environment, bool is_root) {
  if (std::string chosen = value_of(environment, "PERDURE_STORE"); !chosen.empty()) return chosen;
  if (is_root) return std::string("/var/lib/perdure");
  if (std::string data = value_of(environment, "XDG_DATA_HOME"); data.starts_with("/")) {
    return data + "/perdure";
  }
  if (std::string home = value_of(environment, "HOME"); home.starts_with("/")) {
    return home + "/.local/share/perdure";
  }
  return Error(Code::kInvalid, "no default store: HOME is not set").with_remedy("give --store DIR");
}

std::string runtime_of(const Environment& environment, bool is_root, unsigned uid) {
  if (std::string chosen = value_of(environment, "PERDURE_RUNTIME_DIR"); !chosen.empty()) {
    return chosen;
  }
  if (is_root) return "/run/perdure";
  if (std::string runtime = value_of(environment, "XDG_RUNTIME_DIR"); runtime.starts_with("/")) {
    return runtime + "/perdure";
  }
  return fmt::format("/tmp/perdure-{}", uid);
}

// Two stores may hold groups of one name: the folder's hash tells their sockets apart.
std::string runtime_stem(std::string_view name, const std::string& directory) {
  Bytes bytes(reinterpret_cast<const uint8_t*>(directory.data()), directory.size());
  return fmt::format("{}@{:016x}", name, checksum(bytes));
}

bool same_place(const GroupPlace& a, const GroupPlace& b) { return a.directory == b.directory; }

std::string list_of(const std::vector<GroupPlace>& places) {
  std::string text;
  for (const GroupPlace& place : places) text += (text.empty() ? "" : ", ") + place.name;
  return text;
}

Error not_one(const std::vector<GroupPlace>& found, const std::string& name,
              const std::string& where) {
  if (name.empty() && found.empty()) {
    return Error(Code::kNotFound, "there is no group in " + where)
        .with_remedy("start one with `perdure run`, or name its store with --store");
  }
  if (name.empty()) {
    return Error(Code::kInvalid, "which group? There are " + list_of(found))
        .with_remedy("give its name");
  }
  if (found.empty()) {
    return Error(Code::kNotFound, "no group '" + name + "' in " + where)
        .with_remedy("`perdure ps` lists the groups; --store names another store");
  }
  return Error(Code::kInvalid, fmt::format("there are {} groups '{}': in {} and {}", found.size(),
                                           name, found[0].store, found[1].store))
      .with_remedy("say which with --store");
}

}  // namespace

Result<Places> Places::find(const Environment& environment, bool is_root, unsigned uid) {
  std::string store = PD_TRY(store_of(environment, is_root));
  return Places(kernel::canonical_path(store),
                kernel::canonical_path(runtime_of(environment, is_root, uid)));
}

GroupPlace Places::place(std::string_view name, const std::string& store) const {
  GroupPlace place;
  place.name = name;
  place.store = store.empty() ? default_store_ : kernel::canonical_path(store);
  place.directory = place.store + "/" + place.name;
  std::string stem = runtime_ + "/" + runtime_stem(name, place.directory);
  place.socket_path = stem + ".sock";
  place.note_path = stem + std::string(kNoteSuffix);
  return place;
}

Result<std::vector<GroupPlace>> Places::groups(const std::string& store) const {
  std::vector<GroupPlace> found;
  std::string folder = store.empty() ? default_store_ : kernel::canonical_path(store);
  for (const std::string& name : PD_TRY(kernel::list_folder(folder))) {
    if (check_group_name(name).ok() &&
        kernel::is_folder(std::string(folder).append("/").append(name))) {
      found.push_back(place(name, folder));
    }
  }
  if (store.empty()) add_noted("", found);
  return found;
}

// Stores that were removed by hand leave notes behind: those of groups that are gone go too.
void Places::add_noted(const std::string& wanted, std::vector<GroupPlace>& found) const {
  auto files = kernel::list_folder(runtime_);
  if (!files.ok()) return;
  for (const std::string& file : *files) {
    size_t at = file.find('@');
    if (at == std::string::npos || !file.ends_with(kNoteSuffix)) continue;
    std::string name = file.substr(0, at);
    if (!check_group_name(name).ok() || (!wanted.empty() && name != wanted)) continue;
    auto store = kernel::read_note(runtime_ + "/" + file);
    if (!store.ok() || !store->starts_with("/")) continue;
    GroupPlace noted = place(name, *store);
    if (noted.note_path != runtime_ + "/" + file) continue;
    if (!kernel::is_folder(noted.directory)) {
      forget(noted);
      continue;
    }
    bool known = std::any_of(found.begin(), found.end(),
                             [&](const GroupPlace& other) { return same_place(other, noted); });
    if (!known) found.push_back(std::move(noted));
  }
}

Result<GroupPlace> Places::find_group(const std::string& name, const std::string& store) const {
  std::vector<GroupPlace> found;
  if (name.empty()) {
    found = PD_TRY(groups(store));
  } else {
    PD_TRY(check_group_name(name));
    GroupPlace plain = place(name, store);
    if (kernel::is_folder(plain.directory)) found.push_back(std::move(plain));
    if (store.empty()) add_noted(name, found);
  }
  if (found.size() == 1) return found.front();
  return not_one(found, name, store.empty() ? default_store_ : store);
}

Status Places::announce(const GroupPlace& place) const {
  PD_TRY(kernel::make_private_folder(runtime_));
  PD_TRY(kernel::check_own_folder(runtime_));
  auto noted = kernel::read_note(place.note_path);
  if (noted.ok() && *noted == place.store) return Ok{};
  return kernel::write_note(place.note_path, place.store);
}

void Places::forget(const GroupPlace& place) const {
  // What cannot be removed is passed over by the next reader.
  (void)kernel::remove_file_if_exists(place.socket_path).ok();
  (void)kernel::remove_file_if_exists(place.note_path).ok();
}

}  // namespace perdure::daemon
