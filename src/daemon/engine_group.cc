#include "daemon/engine_group.h"

namespace perdure::daemon {
namespace {

class EngineGroup final : public GroupControl {
 public:
  explicit EngineGroup(std::unique_ptr<engine::Group> group) : group_(std::move(group)) {}

  Result<engine::CheckpointReport> checkpoint(const engine::CheckpointOptions& options) override {
    return group_->checkpoint(options);
  }
  Status keep_newest(uint64_t epochs) override {
    // Not retain(), which may put the work off: who asked wants to see it done.
    std::vector<Epoch> old;
    for (const store::EpochInfo& info : group_->store().epochs()) old.push_back(info.epoch);
    if (old.size() <= epochs) return Ok{};
    old.resize(old.size() - epochs);
    PD_TRY(group_->store().drop(old));
    return Ok{};
  }
  Status retain(const store::Retention& policy) override {
    PD_TRY(group_->store().retain(policy));
    return Ok{};
  }
  int durable_fd() override { return group_->durable_fd(); }
  std::vector<engine::DurableEpoch> take_durable() override { return group_->take_durable(); }
  bool disk_is_behind() const override { return group_->disk_is_behind(); }
  double slowdown() const override { return group_->slowdown(); }
  uint64_t epochs_in_flight() const override { return group_->epochs_in_flight(); }
  int next_service_ms() const override { return group_->next_service_ms(); }
  void serve() override { group_->serve(); }
  uint64_t lazy_pages_left() const override { return group_->lazy_pages_left(); }
  bool awaits_pages() const override { return group_->awaits_pages(); }
  bool save_awaits_pages() const override { return group_->save_awaits_pages(); }
  std::optional<std::string> lazy_failure() const override { return group_->lazy_failure(); }
  Status kill() override { return group_->kill(); }
  Status detach() override { return group_->detach(); }
  const std::string& name() const override { return group_->name(); }
  int end_fd() const override { return group_->end_fd(); }
  std::optional<int> wait_status() override { return group_->wait_status(); }
  int terminal_fd() const override { return group_->terminal_fd(); }
  std::vector<pid_t> processes() const override { return group_->processes(); }
  pid_t root_pid() const override { return group_->root_pid(); }

 private:
  std::unique_ptr<engine::Group> group_;
};

}  // namespace

std::unique_ptr<GroupControl> control_of(std::unique_ptr<engine::Group> group) {
  return std::make_unique<EngineGroup>(std::move(group));
}

}  // namespace perdure::daemon
