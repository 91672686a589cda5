// Pacer: when the next epoch of a group that is saved periodically is due. Arithmetic only; it is
// told what happened and asks nobody.
//
// The period that the user wants is stretched where saving takes more than half of it, or, up to
// 100 ms, an eighth while processors are contended, so that the group keeps the processor, and
// postponed while the disk is behind or after failures. It is stretched, up to a second, where an
// epoch costs the program more than a fifth of it (stops, and page faults on what is protected),
// and while the store cannot give space back as fast as epochs take it. A whole epoch, such as the
// first one, says nothing of what the next ones take, and stretches nothing; several of them in a
// row do. Epochs that the wanted period would have brought and that did not come are counted as
// missed.
#pragma once

#include <cstdint>
#include <optional>

namespace perdure::daemon {

inline constexpr uint64_t kPeriodNsMin = 1'000'000;
inline constexpr uint64_t kPeriodNsMax = 24ull * 3600 * 1'000'000'000;
// The longest pause after repeated failures, unless the period itself is longer.
inline constexpr uint64_t kRetryNsMax = 1'000'000'000;

class Pacer {
 public:
  // The first epoch is due at once. 0: no more epochs.
  void set_period(uint64_t period_ns, uint64_t now_ns);
  void pause() { paused_ = true; }
  void resume(uint64_t now_ns);

  // When to save, CLOCK_MONOTONIC; nothing if never.
  std::optional<uint64_t> due_ns() const;
  // The epoch that was due was saved, with all memory or with what had changed, or could not be.
  enum class Outcome : uint8_t { kSaved, kSavedWhole, kFailed };
  // burden_ns: what it cost the program, which ran meanwhile.
  void note(Outcome outcome, uint64_t begin_ns, uint64_t end_ns, uint64_t burden_ns = 0);
  // Whether tasks have to wait for processors.
  void set_contended(bool contended) { contended_ = contended; }
  // So many times as slowly, for the sake of the store's space.
  void set_slowdown(double times) { slowdown_ = times; }
  // The disk is behind: later.
  void postpone(uint64_t now_ns);

  uint64_t period_ns() const { return period_ns_; }
  // As it is kept now: longer than wanted if saving takes too long.
  uint64_t period_now_ns() const;
  bool paused() const { return paused_; }
  uint64_t missed() const { return missed_; }

 private:
  uint64_t retry_ns() const;

  uint64_t period_ns_ = 0;
  bool paused_ = false;
  uint64_t due_ns_ = 0;
  std::optional<uint64_t> last_begin_ns_;
  double work_ns_ = 0, burden_ns_ = 0;  // of one epoch, moving averages
  Outcome last_ = Outcome::kFailed;
  bool contended_ = false;
  double slowdown_ = 1;
  int failures_ = 0;  // in a row
  uint64_t missed_ = 0;
};

}  // namespace perdure::daemon
