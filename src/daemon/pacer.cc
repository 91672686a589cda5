#include "daemon/pacer.h"

#include <algorithm>
#include <utility>

namespace perdure::daemon {
namespace {

// Of the period, that saving may take.
constexpr double kWorkShareMax = 0.5;
// While processors are contended; but nobody is to lose more than this for the sake of others.
constexpr double kContendedShareMax = 0.125;
constexpr uint64_t kContendedNsMax = 100'000'000;
// Of the period, that an epoch may cost the program; and how long the period gets at most for that.
// A machine on which page faults are dear could else slow a program to a fraction.
constexpr double kBurdenShareMax = 0.2;
constexpr double kBurdenedNsMax = 1e9;
// The same for the store's space.
constexpr double kSlowedNsMax = 1e9;
// Weight of the newest epoch in the average: a few epochs decide, one does not.
constexpr double kNewest = 0.2;
constexpr int kDoublingsMax = 20;

}  // namespace

void Pacer::set_period(uint64_t period_ns, uint64_t now_ns) {
  period_ns_ = period_ns == 0 ? 0 : std::clamp(period_ns, kPeriodNsMin, kPeriodNsMax);
  resume(now_ns);
}

void Pacer::resume(uint64_t now_ns) {
  paused_ = false;
  due_ns_ = now_ns;
  last_begin_ns_.reset();
}

std::optional<uint64_t> Pacer::due_ns() const {
  if (period_ns_ == 0 || paused_) return std::nullopt;
  return due_ns_;
}

uint64_t Pacer::period_now_ns() const {
  const auto half = static_cast<uint64_t>(work_ns_ / kWorkShareMax);
  const auto eighth = static_cast<uint64_t>(work_ns_ / kContendedShareMax);
  const double burdened = std::min(burden_ns_ / kBurdenShareMax, kBurdenedNsMax);
  const double slowed = std::min(static_cast<double>(period_ns_) * slowdown_, kSlowedNsMax);
  return std::max({period_ns_, half, contended_ ? std::min(eighth, kContendedNsMax) : 0,
                   static_cast<uint64_t>(burdened), static_cast<uint64_t>(slowed)});
}

uint64_t Pacer::retry_ns() const {
  const uint64_t longest = std::max(kRetryNsMax, period_ns_);
  const uint64_t wanted = period_now_ns() << std::min(failures_, kDoublingsMax);
  return std::min(longest, wanted);
}

void Pacer::note(Outcome outcome, uint64_t begin_ns, uint64_t end_ns, uint64_t burden_ns) {
  if (last_begin_ns_ && begin_ns > *last_begin_ns_) {
    const uint64_t periods = (begin_ns - *last_begin_ns_ + period_ns_ / 2) / period_ns_;
    if (periods > 1) missed_ += periods - 1;
  }
  last_begin_ns_ = begin_ns;
  const Outcome before = std::exchange(last_, outcome);
  if (outcome == Outcome::kFailed) {
    ++missed_;
    ++failures_;
    due_ns_ = end_ns + retry_ns();
    return;
  }
  failures_ = 0;
  if (outcome == Outcome::kSaved || before == Outcome::kSavedWhole) {
    work_ns_ += kNewest * (static_cast<double>(end_ns - begin_ns) - work_ns_);
    burden_ns_ += kNewest * (static_cast<double>(burden_ns) - burden_ns_);
  }
  // On the grid of the period where that is possible, so that lateness does not add up.
  due_ns_ += period_now_ns();
  if (due_ns_ < end_ns) due_ns_ = end_ns;
}

void Pacer::postpone(uint64_t now_ns) {
  if (!last_begin_ns_) {  // the very first: what follows is counted from it
    last_begin_ns_ = now_ns;
    ++missed_;
  }
  due_ns_ = now_ns + period_now_ns();
}

}  // namespace perdure::daemon
