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

// kCollecting: after nearly every epoch all but a few are dropped, so that the collector is always
// at work beside the epochs.
enum class Story : uint8_t { kVaried, kCollecting };

Options on(const std::shared_ptr<SimDisk>& disk, Story story, Writing writing) {
  Options options;
  options.device = disk->device();
  options.access = Access::kWrite;
  options.create = Create::kIfMissing;
  options.writing = writing;
  options.segment_bytes = (story == Story::kVaried ? 256 : 192) << 10;
  return options;
}

class Scenario {
 public:
  Scenario(uint64_t seed, Story story, Known& known)
      : random_(seed), story_(story), known_(known) {}

  // Epochs, pipelined ones, branches, large ones, abandoned ones, retention; until the disk fails
  // or it is over.
  Status run(Store& store, int epochs) {
    for (int step = 0; step < epochs; ++step) {
      switch (random_() % 10) {
        case 0:
          PD_TRY(abandon(store));
          break;
        case 1:
          PD_TRY(story_ == Story::kVaried ? retain(store) : collect(store));
          break;
        default:
          PD_TRY(commit(store));
      }
      if (story_ == Story::kCollecting && random_() % 4 != 0) PD_TRY(collect(store));
    }
    return settle();
  }
  const CollectReport& collected() const { return collected_; }

 private:
  Status commit(Store& store) {
    Store::Begin begin;
    const uint64_t one_branch_in = story_ == Story::kVaried ? 6 : 24;
    if (random_() % one_branch_in == 0 && pending_.empty() && !store.epochs().empty()) {
      const auto epochs = store.epochs();
      begin.parent = epochs[random_() % epochs.size()].epoch;
    }
    if (random_() % 10 == 0) begin.contents = Contents::kEmpty;
    const auto writer = PD_TRY(store.begin_epoch(begin));
    Model model;
    if (begin.contents == Contents::kInherit) model = known_.submitted[writer->parent().value];
    if (story_ == Story::kVaried) {
      PD_TRY(testing::change_at_random(random_, random_() % 8 == 0 ? 40 : 4, *writer, model));
    } else {
      PD_TRY(change_hot_pages(*writer, model));
    }
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

  // A few pages that are soon overwritten, and now and then some that are not, so that segments are
  // left with little that is needed.
  Status change_hot_pages(EpochWriter& writer, Model& model) {
    testing::ModelWriter both(writer, model);
    for (int at = 0; at < 8; ++at) {
      PD_TRY(both.put_page(7, random_() % 32, testing::page_of(random_())));
    }
    if (random_() % 3 == 0) PD_TRY(both.share_pages(8, random_() % 32, 4, 7, random_() % 32));
    return testing::change_at_random(random_, random_() % 20 == 0 ? 10 : 1, writer, model);
  }

  // With epochs in flight.
  Status collect(Store& store) {
    std::set<uint64_t> gone;
    for (const EpochInfo& info : store.epochs()) gone.insert(info.epoch.value);
    const auto report = store.retain({4, {}});
    for (const EpochInfo& info : store.epochs()) gone.erase(info.epoch.value);
    known_.dropped.merge(gone);
    if (!report.ok()) return report.error();
    collected_.bytes_copied += report->bytes_copied;
    collected_.segments_deleted += report->segments_deleted;
    return Ok{};
  }

  std::mt19937_64 random_;
  Story story_;
  Known& known_;
  CollectReport collected_;
  std::vector<PendingEpoch> pending_;
};

// Every acknowledged epoch is there, and everything that is there is what was submitted. Forgets
// what was lost.
void check(const Store& store, Known& known, const std::string& where) {
  // What a loss of power tears is no damage: nothing that it takes was promised.
  ASSERT_TRUE(store.warnings().empty()) << where << ": " << store.warnings().front();
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
    // The newest that we know of may have been dropped for one that was still in flight for us.
    const uint64_t newest = *known.acknowledged.rbegin();
    ASSERT_TRUE(found.contains(newest) ||
                (known.dropped.contains(newest) && *found.rbegin() > newest))
        << where << ": the newest is lost";
  }
  std::erase_if(known.submitted, [&](const auto& entry) {
    return entry.first != 0 && !found.contains(entry.first);
  });
  known.acknowledged = std::move(found);
  known.dropped.clear();
}

int epochs_of(Story story) { return story == Story::kVaried ? 60 : 80; }

uint64_t operations_of(uint64_t seed, Story story, Writing writing,
                       CollectReport* collected = nullptr) {
  const auto disk = SimDisk::create(seed);
  Known known;
  const auto store = PD_ASSERT_OK(Store::open(on(disk, story, writing)));
  Scenario scenario(seed, story, known);
  PD_ASSERT_OK(scenario.run(*store, epochs_of(story)));
  check(*store, known, "undisturbed, seed " + std::to_string(seed));
  if (collected != nullptr) *collected = scenario.collected();
  return disk->operations();
}

// The scenario with a crash at one operation, then more of it with more crashes, until it lives
// through one undisturbed.
void crash_and_check(uint64_t seed, uint64_t crash, Story story, Writing writing) {
  const std::string where = "PERDURE_SIM_SEED=" + std::to_string(seed) +
                            " PERDURE_SIM_CRASH=" + std::to_string(crash) +
                            (story == Story::kVaried ? "" : " (collecting)") +
                            (writing == Writing::kInline ? "" : " (threaded)");
  const auto disk = SimDisk::create(seed * 1000003 + crash);
  std::mt19937_64 random(seed + crash);
  Known known;
  known.submitted[0];
  disk->crash_at(crash);
  for (int life = 0; life < 3; ++life) {
    {
      const auto store = Store::open(on(disk, story, writing));
      if (store.ok()) {
        if (life > 0) check(**store, known, where + " life " + std::to_string(life));
        if (::testing::Test::HasFatalFailure()) return;
        const Status status =
            Scenario(seed + life, story, known).run(**store, life == 0 ? epochs_of(story) : 5);
        ASSERT_TRUE(status.ok() || disk->crashed()) << where << ": " << status.error().to_string();
      } else {
        ASSERT_TRUE(disk->crashed()) << where << ": " << store.error().to_string();
      }
    }
    disk->power_cycle();
    if (life == 0) disk->crash_at(disk->operations() + random() % 40);
  }
  const auto store = PD_ASSERT_OK(Store::open(on(disk, story, writing)));
  check(*store, known, where + " at the end");
}

void crash_at_every_write(Story story) {
  const uint64_t first = number_from("PERDURE_SIM_SEED", 1);
  const uint64_t seeds = std::getenv("PERDURE_SIM_SEED") != nullptr
                             ? 1
                             : number_from("PERDURE_SIM_SEEDS", 2);  // NOLINT
  const uint64_t only = number_from("PERDURE_SIM_CRASH", UINT64_MAX);
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    const uint64_t operations = operations_of(seed, story, Writing::kInline);
    for (uint64_t crash = 0; crash < operations; ++crash) {
      if (only != UINT64_MAX && only != crash) continue;
      crash_and_check(seed, crash, story, Writing::kInline);
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST(StoreCrash, EveryAcknowledgedEpochSurvivesACrashAtEveryWrite) {
  crash_at_every_write(Story::kVaried);
}

TEST(StoreCrash, AndAtEveryWriteOfTheCollector) {
  CollectReport collected;
  operations_of(1, Story::kCollecting, Writing::kInline, &collected);
  // Or else this tests nothing.
  EXPECT_GT(collected.segments_deleted, 5u);
  EXPECT_GT(collected.bytes_copied, 30'000u);
  crash_at_every_write(Story::kCollecting);
}

TEST(StoreCrash, ACrashAmongPipelinedWritesLosesNothingAcknowledged) {
  const uint64_t seeds = number_from("PERDURE_SIM_SEED", 0);
  const uint64_t only = number_from("PERDURE_SIM_CRASH", UINT64_MAX);
  for (const Story story : {Story::kVaried, Story::kCollecting}) {
    for (uint64_t seed = 100; seed < 102; ++seed) {
      if (seeds != 0 && seeds != seed) continue;
      const uint64_t operations = operations_of(seed, story, Writing::kBehind);
      for (uint64_t crash = 0; crash < operations; crash += 5) {
        if (only != UINT64_MAX && only != crash) continue;
        crash_and_check(seed, crash, story, Writing::kBehind);
        if (HasFatalFailure()) return;
      }
    }
  }
}

// An operation that fails costs at most the epochs under way: the store goes on, and nothing
// acknowledged is lost.
void fail_operations(Story story) {
  for (const Code code : {Code::kIo, Code::kFull}) {
    for (uint64_t seed = 1; seed <= 2; ++seed) {
      const uint64_t operations = operations_of(seed, story, Writing::kInline);
      for (uint64_t failing = 8; failing < operations; failing += 5) {
        const std::string where =
            "seed " + std::to_string(seed) + " operation " + std::to_string(failing);
        const auto disk = SimDisk::create(seed);
        Known known;
        known.submitted[0];
        disk->fail_at(failing, code);
        {
          const auto store = PD_ASSERT_OK(Store::open(on(disk, story, Writing::kInline)));
          const Status first = Scenario(seed, story, known).run(*store, epochs_of(story));
          EXPECT_TRUE(first.ok() || first.error().code() == code) << where;
          const Status second = Scenario(seed + 1, story, known).run(*store, epochs_of(story));
          ASSERT_TRUE(second.ok()) << where << ": " << second.error().to_string();
        }
        disk->power_cycle();
        const auto store = PD_ASSERT_OK(Store::open(on(disk, story, Writing::kInline)));
        check(*store, known, where);
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

TEST(StoreCrash, AFailedOperationCostsOnlyTheEpochUnderWay) { fail_operations(Story::kVaried); }

TEST(StoreCrash, AFailedOperationOfTheCollectorCostsNothing) {
  fail_operations(Story::kCollecting);
}

}  // namespace
}  // namespace perdure::store
