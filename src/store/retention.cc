#include "store/retention.h"

#include <algorithm>

namespace perdure::store {
namespace {

void apply_rule(std::span<const EpochTime> epochs, const Retention::Rule& rule,
                std::vector<bool>& keep) {
  const uint64_t now = epochs.back().durable_ns;
  uint64_t last_interval = UINT64_MAX;
  for (size_t at = epochs.size(); at-- > 0;) {
    const uint64_t time = epochs[at].durable_ns;
    if (time > now || now - time > rule.for_ns) continue;  // a clock that was set back ages nothing
    const uint64_t interval = rule.every_ns == 0 ? at : time / rule.every_ns;
    if (interval == last_interval) continue;
    last_interval = interval;
    keep[at] = true;
  }
}

}  // namespace

std::vector<Epoch> epochs_to_drop(std::span<const EpochTime> epochs, const Retention& policy) {
  if (epochs.empty()) return {};
  std::vector<bool> keep(epochs.size());
  const size_t newest = std::min<uint64_t>(std::max<uint64_t>(policy.newest, 1), epochs.size());
  std::fill(keep.end() - static_cast<ptrdiff_t>(newest), keep.end(), true);
  for (const Retention::Rule& rule : policy.rules) apply_rule(epochs, rule, keep);
  std::vector<Epoch> drop;
  for (size_t at = 0; at < epochs.size(); ++at) {
    if (!keep[at]) drop.push_back(epochs[at].epoch);
  }
  return drop;
}

std::vector<Epoch> epochs_to_drop(std::span<const EpochInfo> epochs, const Retention& policy) {
  std::vector<EpochTime> times;
  times.reserve(epochs.size());
  for (const EpochInfo& info : epochs) times.push_back({info.epoch, info.durable_realtime_ns});
  return epochs_to_drop(std::span<const EpochTime>(times), policy);
}

}  // namespace perdure::store
