#include "daemon/group_tasks.h"

#include <fmt/format.h>

#include <chrono>
#include <thread>

#include "daemon/copy_epoch.h"
#include "daemon/engine_group.h"
#include "kernel/daemonize.h"
#include "kernel/folder.h"

namespace perdure::daemon {
namespace {

Status settle_streams(CallersStreams streams) {
  if (streams == CallersStreams::kKeep) return Ok{};
  for (int number = 0; number <= 2; ++number) {
    if (kernel::is_callers_own(number)) PD_TRY(kernel::silence(number));
  }
  return Ok{};
}

Error name_in_use(const GroupPlace& place, const std::string& why) {
  return Error(Code::kExists, "the name " + place.name + " is in use: " + why)
      .with_remedy(
          fmt::format("choose another with --name, or `perdure rm {}`, or `perdure restore {}`",
                      place.name, place.name));
}

}  // namespace

// Settings change only once the lock is held; what they say of the store must be known before.
Status StoreTask::open(store::Create create) {
  settings_ = read_settings(place_.directory);
  store::Options options;
  options.directory = place_.directory;
  options.access = store::Access::kWrite;
  options.create = create;
  options.compression = change_.compression.value_or(settings_.compression);
  store_ = PD_TRY(store::Store::open(std::move(options)));
  settings_ = PD_TRY(change_settings(place_.directory, change_));
  return Ok{};
}

Status StoreTask::lock_new() {
  made_folder_ = !kernel::is_folder(place_.directory);
  PD_TRY(kernel::make_private_folder(place_.directory));
  Status opened = open(store::Create::kIfMissing);
  if (!opened.ok()) {
    if (opened.error().code() == Code::kBusy) return name_in_use(place_, "the group is running");
    undo();
    return opened;
  }
  size_t epochs = store_->epochs().size();
  if (epochs == 0) return Ok{};
  store_.reset();
  return name_in_use(
      place_, fmt::format("there is a group with {} epoch{}", epochs, epochs == 1 ? "" : "s"));
}

// An engine that was killed holds the lock until it is gone, a matter of milliseconds; a living one
// listens.
Status StoreTask::lock_existing() {
  constexpr std::chrono::milliseconds kDyingTime{2000}, kLookAgain{2};
  auto until = std::chrono::steady_clock::now() + kDyingTime;
  for (;;) {
    Status opened = open(store::Create::kNever);
    if (opened.ok() || opened.error().code() != Code::kBusy) return opened;
    if (Client::is_held(place_) || std::chrono::steady_clock::now() > until) break;
    std::this_thread::sleep_for(kLookAgain);
  }
  return Error(Code::kBusy, "group " + place_.name + " is running: its engine holds the store")
      .with_remedy("`perdure ps` shows it; `perdure kill " + place_.name + "` ends it");
}

void StoreTask::undo() {
  store_.reset();
  if (made_folder_) (void)kernel::remove_tree(place_.directory).ok();
}

void StoreTask::finish() {
  store_.reset();
  store::Options options;
  options.directory = place_.directory;
  auto left = store::Store::open(std::move(options));
  if (left.ok() && (*left)->epochs().empty()) {
    left->reset();
    (void)kernel::remove_tree(place_.directory).ok();
  }
}

Result<std::unique_ptr<GroupControl>> StartTask::begin(control::Started&) {
  PD_TRY(settle_streams(streams_));
  return control_of(PD_TRY(engine::Group::start(options_, take_store())));
}

Result<std::unique_ptr<GroupControl>> AttachTask::begin(control::Started&) {
  return control_of(PD_TRY(engine::Group::attach(options_, take_store())));
}

Result<std::unique_ptr<GroupControl>> TakeOverTask::begin(control::Started&) {
  return control_of(PD_TRY(engine::Group::take_over(take_store())));
}

Result<std::unique_ptr<GroupControl>> RestoreTask::begin(control::Started& started) {
  if (!source_.empty()) options_.epoch = PD_TRY(copy_epoch(source_, options_.epoch, store()));
  PD_TRY(settle_streams(streams_));
  options_.saved_periodically = settings().every_ns != 0;
  auto group = PD_TRY(engine::Group::restore(options_, take_store()));
  started.set_restored(true);
  if (const auto& report = group->restore_report()) {
    started.set_epoch(report->epoch.value);
    started.set_total_us(report->total_us);
    started.set_pages(report->pages);
    started.set_lazy_pages(report->lazy_pages);
    started.set_timing_json(report->timing_json);
  }
  return control_of(std::move(group));
}

}  // namespace perdure::daemon
