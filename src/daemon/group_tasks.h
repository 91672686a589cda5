// What an engine begins with: a new command, a running process, a group whose engine died, or an
// epoch.
#pragma once

#include <memory>

#include "daemon/engine_process.h"
#include "daemon/group_settings.h"
#include "daemon/places.h"
#include "engine/group.h"
#include "engine/options.h"
#include "store/store.h"

namespace perdure::daemon {

// Streams that only the caller knows (a terminal, an anonymous pipe, a socket) are kept or become
// /dev/null.
enum class CallersStreams : uint8_t { kKeep, kSilence };

// The part that all share: the group's folder and its store, locked for this engine.
class StoreTask : public EngineTask {
 public:
  StoreTask(GroupPlace place, SettingsChange change)
      : place_(std::move(place)), change_(std::move(change)) {}

  GroupSettings settings() const override { return settings_; }
  void undo() override;
  // A group that ended without an epoch leaves nothing to restore: its folder goes.
  void finish() override;

 protected:
  // A group of this name with epochs is refused (Code::kExists).
  Status lock_new();
  // The group's store exists.
  Status lock_existing();
  const GroupPlace& place() const { return place_; }
  std::unique_ptr<store::Store> take_store() { return std::move(store_); }
  store::Store& store() { return *store_; }

 private:
  Status open(store::Create create);

  GroupPlace place_;
  SettingsChange change_;
  GroupSettings settings_;
  std::unique_ptr<store::Store> store_;
  bool made_folder_ = false;
};

class StartTask final : public StoreTask {
 public:
  StartTask(GroupPlace place, engine::StartOptions options, CallersStreams streams,
            SettingsChange change)
      : StoreTask(std::move(place), std::move(change)),
        options_(std::move(options)),
        streams_(streams) {}
  Status lock() override { return lock_new(); }
  Result<std::unique_ptr<GroupControl>> begin(control::Started& started) override;

 private:
  engine::StartOptions options_;
  CallersStreams streams_;
};

class AttachTask final : public StoreTask {
 public:
  AttachTask(GroupPlace place, engine::AttachOptions options, SettingsChange change)
      : StoreTask(std::move(place), std::move(change)), options_(std::move(options)) {}
  Status lock() override { return lock_new(); }
  Result<std::unique_ptr<GroupControl>> begin(control::Started& started) override;

 private:
  engine::AttachOptions options_;
};

class TakeOverTask final : public StoreTask {
 public:
  TakeOverTask(GroupPlace place, SettingsChange change = {})
      : StoreTask(std::move(place), std::move(change)) {}
  Status lock() override { return lock_existing(); }
  Result<std::unique_ptr<GroupControl>> begin(control::Started& started) override;
};

class RestoreTask final : public StoreTask {
 public:
  // source: the folder of the group whose epoch is copied first, for a restore under another name;
  // else empty.
  RestoreTask(GroupPlace place, engine::RestoreOptions options, std::string source,
              CallersStreams streams, SettingsChange change)
      : StoreTask(std::move(place), std::move(change)),
        options_(std::move(options)),
        source_(std::move(source)),
        streams_(streams) {}
  Status lock() override { return source_.empty() ? lock_existing() : lock_new(); }
  Result<std::unique_ptr<GroupControl>> begin(control::Started& started) override;

 private:
  engine::RestoreOptions options_;
  std::string source_;
  CallersStreams streams_;
};

}  // namespace perdure::daemon
