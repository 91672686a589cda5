// The store on a simulated disk: the power goes at every write of a scenario, unsynced writes
// survive in parts, and what recovery finds is compared bit for bit with a model.
// PERDURE_SIM_SEEDS=N tries more seeds; a failure names its seed and its operation, and
// PERDURE_SIM_SEED=S PERDURE_SIM_CRASH=K replays just that.
#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "store/sim_device.h"
#include "store/store.h"
#include "store/testing.h"

namespace perdure::store {
namespace {

using testing::Model;
using testing::read_model;

uint64_t number_from(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);  // NOLINT: no thread changes the environment
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

// What the world knows: what every epoch held when it was submitted, and which ones were
// acknowledged.
struct Known {
  std::map<uint64_t, Model> submitted;
  std::set<uint64_t> acknowledged;
  std::set<uint64_t> dropped;  // a retention was asked to drop these; they may be there or not
};

Options on(const std::shared_ptr<SimDisk>& disk, Writing writing) {
  Options options;
  options.device = disk->device();
  options.access = Access::kWrite;
  options.create = Create::kIfMissing;
  options.writing = writing;
  options.segment_bytes = 256 << 10;
  return options;
}

class Scenario {
 public:
  Scenario(uint64_t seed, Known& known) : random_(seed), known_(known) {}

  // Epochs, pipelined ones, branches, large ones, abandoned ones, retention; until the disk fails
  // or it is over.
  Status run(Store& store, int epochs) {
    for (int step = 0; step < epochs; ++step) {
      switch (random_() % 10) {
        case 0:
          PD_TRY(abandon(store));
          break;
        case 1:
          PD_TRY(retain(store));
          break;
        default:
          PD_TRY(commit(store));
      }
    }
    return settle();
  }

 private:
  Status commit(Store& store) {
    Store::Begin begin;
    if (random_() % 6 == 0 && pending_.empty() && !store.epochs().empty()) {
      const auto epochs = store.epochs();
      begin.parent = epochs[random_() % epochs.size()].epoch;
    }
    if (random_() % 10 == 0) begin.contents = Contents::kEmpty;
    const auto writer = PD_TRY(store.begin_epoch(begin));
    Model model;
    if (begin.contents == Contents::kInherit) model = known_.submitted[writer->parent().value];
    PD_TRY(testing::change_at_random(random_, random_() % 8 == 0 ? 40 : 4, *writer, model));
    // From here on it may be found, acknowledged or not. An epoch of this number that was lost is
    // gone for good.
    known_.submitted[writer->epoch().value] = std::move(model);
    if (random_() % 2 == 0) {
      pending_.push_back(PD_TRY(writer->submit({})));
      return Ok{};
    }
    const EpochInfo info = PD_TRY(writer->commit({1, "note"}));
    PD_TRY(settle());
    known_.acknowledged.insert(info.epoch.value);
    return Ok{};
  }

  Status settle() {
    for (PendingEpoch& pending : pending_) {
      PD_TRY(pending.wait());
      known_.acknowledged.insert(pending.epoch().value);
    }
    pending_.clear();
    return Ok{};
  }

  Status abandon(Store& store) {
    const auto writer = PD_TRY(store.begin_epoch());
    Model ignored;
    return testing::change_at_random(random_, 10, *writer, ignored);
  }

  Status retain(Store& store) {
    PD_TRY(settle());
    const uint64_t keep = 2 + random_() % 6;
    const auto epochs = store.epochs();
    for (size_t at = 0; at + keep < epochs.size(); ++at) {
      known_.dropped.insert(epochs[at].epoch.value);
    }
    if (random_() % 2 == 0) {
      PD_TRY(store.retain({keep, {}}));
    } else {
      PD_TRY(store.drop(epochs_to_drop(epochs, {keep, {}})));
    }
    return Ok{};
  }

  std::mt19937_64 random_;
  Known& known_;
  std::vector<PendingEpoch> pending_;
};

// Every acknowledged epoch is there, and everything that is there is what was submitted. Forgets
// what was lost.
void check(const Store& store, Known& known, const std::string& where) {
  std::set<uint64_t> found;
  for (const EpochInfo& info : store.epochs()) {
    const uint64_t epoch = info.epoch.value;
    found.insert(epoch);
    ASSERT_TRUE(known.submitted.contains(epoch))
        << where << ": epoch " << epoch << " out of nowhere";
    const auto reader = store.read_epoch(info.epoch);
    ASSERT_TRUE(reader.ok()) << where << ": " << reader.error().to_string();
    const auto model = read_model(**reader);
    ASSERT_TRUE(model.ok()) << where << ": " << model.error().to_string();
    ASSERT_TRUE(*model == known.submitted[epoch]) << where << ": epoch " << epoch << " differs";
  }
  for (const uint64_t epoch : known.acknowledged) {
    ASSERT_TRUE(found.contains(epoch) || known.dropped.contains(epoch))
        << where << ": acknowledged epoch " << epoch << " is lost";
  }
  if (!known.acknowledged.empty()) {
    ASSERT_TRUE(found.contains(*known.acknowledged.rbegin())) << where << ": the newest is lost";
  }
  std::erase_if(known.submitted, [&](const auto& entry) {
    return entry.first != 0 && !found.contains(entry.first);
  });
  known.acknowledged = std::move(found);
  known.dropped.clear();
}

constexpr int kEpochs = 60;

uint64_t operations_of(uint64_t seed, Writing writing) {
  const auto disk = SimDisk::create(seed);
  Known known;
  const auto store = PD_ASSERT_OK(Store::open(on(disk, writing)));
  PD_ASSERT_OK(Scenario(seed, known).run(*store, kEpochs));
  return disk->operations();
}

// The scenario with a crash at one operation, then more of it with more crashes, until it lives
// through one undisturbed.
void crash_and_check(uint64_t seed, uint64_t crash, Writing writing) {
  const std::string where = "PERDURE_SIM_SEED=" + std::to_string(seed) +
                            " PERDURE_SIM_CRASH=" + std::to_string(crash) +
                            (writing == Writing::kInline ? "" : " (threaded)");
  const auto disk = SimDisk::create(seed * 1000003 + crash);
  std::mt19937_64 random(seed + crash);
  Known known;
  known.submitted[0];
  disk->crash_at(crash);
  for (int life = 0; life < 3; ++life) {
    {
      const auto store = Store::open(on(disk, writing));
      if (store.ok()) {
        if (life > 0) check(**store, known, where + " life " + std::to_string(life));
        if (::testing::Test::HasFatalFailure()) return;
        const Status status = Scenario(seed + life, known).run(**store, life == 0 ? kEpochs : 5);
        ASSERT_TRUE(status.ok() || disk->crashed()) << where << ": " << status.error().to_string();
      } else {
        ASSERT_TRUE(disk->crashed()) << where << ": " << store.error().to_string();
      }
    }
    disk->power_cycle();
    if (life == 0) disk->crash_at(disk->operations() + random() % 40);
  }
  const auto store = PD_ASSERT_OK(Store::open(on(disk, writing)));
  check(*store, known, where + " at the end");
}

TEST(StoreCrash, EveryAcknowledgedEpochSurvivesACrashAtEveryWrite) {
  const uint64_t first = number_from("PERDURE_SIM_SEED", 1);
  const uint64_t seeds = std::getenv("PERDURE_SIM_SEED") != nullptr
                             ? 1
                             : number_from("PERDURE_SIM_SEEDS", 2);  // NOLINT
  const uint64_t only = number_from("PERDURE_SIM_CRASH", UINT64_MAX);
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    const uint64_t operations = operations_of(seed, Writing::kInline);
    for (uint64_t crash = 0; crash < operations; ++crash) {
      if (only != UINT64_MAX && only != crash) continue;
      crash_and_check(seed, crash, Writing::kInline);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(StoreCrash, ACrashAmongPipelinedWritesLosesNothingAcknowledged) {
  for (uint64_t seed = 100; seed < 102; ++seed) {
    const uint64_t operations = operations_of(seed, Writing::kBehind);
    for (uint64_t crash = 0; crash < operations; crash += 5) {
      crash_and_check(seed, crash, Writing::kBehind);
      if (HasFatalFailure()) return;
    }
  }
}

// An operation that fails costs at most the epochs under way: the store goes on, and nothing
// acknowledged is lost.
TEST(StoreCrash, AFailedOperationCostsOnlyTheEpochUnderWay) {
  for (const Code code : {Code::kIo, Code::kFull}) {
    for (uint64_t seed = 1; seed <= 2; ++seed) {
      const uint64_t operations = operations_of(seed, Writing::kInline);
      for (uint64_t failing = 8; failing < operations; failing += 5) {
        const std::string where =
            "seed " + std::to_string(seed) + " operation " + std::to_string(failing);
        const auto disk = SimDisk::create(seed);
        Known known;
        known.submitted[0];
        disk->fail_at(failing, code);
        {
          const auto store = PD_ASSERT_OK(Store::open(on(disk, Writing::kInline)));
          const Status first = Scenario(seed, known).run(*store, kEpochs);
          EXPECT_TRUE(first.ok() || first.error().code() == code) << where;
          const Status second = Scenario(seed + 1, known).run(*store, kEpochs);
          ASSERT_TRUE(second.ok()) << where << ": " << second.error().to_string();
        }
        disk->power_cycle();
        const auto store = PD_ASSERT_OK(Store::open(on(disk, Writing::kInline)));
        check(*store, known, where);
        if (HasFatalFailure()) return;
      }
    }
  }
}

}  // namespace
}  // namespace perdure::store
