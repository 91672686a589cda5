// Where things live. A store folder holds one folder per group. The runtime folder holds, per
// group, the engine's control socket and a note with the store folder's path, so that a running
// group is found by its name alone. Nothing in the runtime folder is needed for a restore.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace perdure::daemon {

struct GroupPlace {
  std::string name;
  std::string store;        // the folder of folders, canonical
  std::string directory;    // store + "/" + name: log segments, engine.log, notes
  std::string socket_path;  // the engine's control socket
  std::string note_path;    // beside it: the store's path
};

// Reads environment variables; getenv() outside tests.
using Environment = std::function<const char*(const char*)>;

class Places {
 public:
  // PERDURE_STORE, /var/lib/perdure for root, $XDG_DATA_HOME/perdure or ~/.local/share/perdure
  // otherwise; and PERDURE_RUNTIME_DIR, /run/perdure or $XDG_RUNTIME_DIR/perdure or
  // /tmp/perdure-UID.
  static Result<Places> find(const Environment& environment, bool is_root, unsigned uid);

  const std::string& default_store() const { return default_store_; }
  const std::string& runtime() const { return runtime_; }

  // The place of a group, whether it exists or not. store: empty for the default store.
  GroupPlace place(std::string_view name, const std::string& store) const;
  // Every group of one store; of the default store and all that have a note in the runtime folder
  // if store is empty.
  Result<std::vector<GroupPlace>> groups(const std::string& store) const;
  // The one group meant by a name (empty: the only one there is) and a store (empty: wherever it
  // is).
  Result<GroupPlace> find_group(const std::string& name, const std::string& store) const;

  // Makes the runtime folder and notes where the group lives.
  Status announce(const GroupPlace& place) const;
  // Forgets socket and note.
  void forget(const GroupPlace& place) const;

 private:
  Places(std::string default_store, std::string runtime)
      : default_store_(std::move(default_store)), runtime_(std::move(runtime)) {}
  // Groups that the runtime folder tells of; all if no name is wanted.
  void add_noted(const std::string& wanted, std::vector<GroupPlace>& found) const;

  std::string default_store_;
  std::string runtime_;
};

}  // namespace perdure::daemon
