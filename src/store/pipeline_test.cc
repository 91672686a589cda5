// Epochs in flight, as an event loop sees them.
#include <gtest/gtest.h>
#include <poll.h>

#include "store/store.h"
#include "store/testing.h"

namespace perdure::store {
namespace {

using testing::page_of;

bool readable(int fd, int timeout_ms) {
  pollfd look{fd, POLLIN, 0};
  return poll(&look, 1, timeout_ms) == 1;
}

Result<PendingEpoch> submit_page(Store& store, uint64_t page, Store::Begin begin = {}) {
  const auto writer = PD_TRY(store.begin_epoch(begin));
  PD_TRY(writer->put_pages(ObjectId(1), page, page_of(page)));
  return writer->submit({});
}

class Pipeline : public ::testing::TestWithParam<Writing> {
 protected:
  Options options() const {
    Options options = testing::options_on(disk_);
    options.writing = GetParam();
    return options;
  }
  // What settles until so many did.
  std::vector<SettledEpoch> settled(Store& store, size_t count) {
    std::vector<SettledEpoch> all;
    while (all.size() < count && readable(store.durable_fd(), 10'000)) {
      for (SettledEpoch& epoch : store.take_settled()) all.push_back(std::move(epoch));
    }
    return all;
  }

  std::shared_ptr<SimDisk> disk_ = SimDisk::create(1);
};

TEST_P(Pipeline, AnEventLoopLearnsOfEveryEpochInOrderWithoutWaiting) {
  const auto store = PD_ASSERT_OK(Store::open(options()));
  const int fd = store->durable_fd();
  for (uint64_t page = 1; page <= 100; ++page) PD_ASSERT_OK(submit_page(*store, page));
  const auto epochs = settled(*store, 100);
  ASSERT_EQ(epochs.size(), 100u);
  for (size_t at = 0; at < epochs.size(); ++at) {
    EXPECT_EQ(epochs[at].epoch, Epoch(at + 1));
    ASSERT_TRUE(epochs[at].result.ok());
    EXPECT_EQ(epochs[at].result->epoch, Epoch(at + 1));
    EXPECT_NE(epochs[at].result->durable_realtime_ns, 0u);
  }
  EXPECT_TRUE(store->take_settled().empty());
  EXPECT_FALSE(readable(fd, 0));
  EXPECT_EQ(store->in_flight().epochs, 0u);
}

TEST_P(Pipeline, ACommittedEpochIsNotAnnouncedAndOneThatWasWaitedForIs) {
  const auto store = PD_ASSERT_OK(Store::open(options()));
  store->durable_fd();
  PD_ASSERT_OK(PD_ASSERT_OK(submit_page(*store, 1)).wait());
  const auto writer = PD_ASSERT_OK(store->begin_epoch());
  PD_ASSERT_OK(writer->commit({}));
  const auto epochs = store->take_settled();
  ASSERT_EQ(epochs.size(), 1u);
  EXPECT_EQ(epochs[0].epoch, Epoch(1));
}

TEST_P(Pipeline, AFailureIsToldForEveryEpochInFlightAndTheStoreGoesOn) {
  for (const Code code : {Code::kIo, Code::kFull}) {
    disk_ = SimDisk::create(1);
    const auto store = PD_ASSERT_OK(Store::open(options()));
    store->durable_fd();
    PD_ASSERT_OK(PD_ASSERT_OK(submit_page(*store, 1)).wait());
    disk_->fail_at(disk_->operations() + 2, code);  // the second epoch's write
    uint64_t submitted = 1;
    for (uint64_t page = 2; page <= 4; ++page) {
      // With a thread, the failure may be seen while the next one is being filled.
      if (!submit_page(*store, page, {Epoch(page - 1)}).ok()) break;
      ++submitted;
    }
    const auto epochs = settled(*store, submitted);
    ASSERT_EQ(epochs.size(), submitted);
    EXPECT_TRUE(epochs[0].result.ok() && epochs[1].result.ok());
    for (size_t at = 2; at < epochs.size(); ++at) {
      EXPECT_EQ(epochs[at].result.error().code(), code);
    }
    // The epoch that the caller believes in is gone.
    EXPECT_EQ(submit_page(*store, 5, {Epoch(3)}).error().code(), Code::kNotFound);
    PD_ASSERT_OK(PD_ASSERT_OK(submit_page(*store, 6, {Epoch(2)})).wait());
    EXPECT_EQ(store->epochs().size(), 3u);
  }
}

TEST_P(Pipeline, NobodyBuildsOnALossUnknowingly) {
  const auto store = PD_ASSERT_OK(Store::open(options()));
  PD_ASSERT_OK(PD_ASSERT_OK(submit_page(*store, 1)).wait());
  disk_->fail_at(disk_->operations(), Code::kIo);
  PD_ASSERT_OK(submit_page(*store, 2));
  while (store->in_flight().epochs != 0) {
    if (GetParam() == Writing::kInline) store->take_settled();
  }
  // "On the newest" was epoch 2 for the caller, and would be epoch 1.
  EXPECT_EQ(store->begin_epoch().error().code(), Code::kIo);
  const auto writer = PD_ASSERT_OK(store->begin_epoch());
  EXPECT_EQ(writer->parent(), Epoch(1));
}

TEST_P(Pipeline, WhatIsInFlightIsCountedAndBounded) {
  const auto store = PD_ASSERT_OK(Store::open(options()));
  uint64_t most = 0;
  for (uint64_t page = 1; page <= 3 * kInFlightEpochsMax; ++page) {
    PD_ASSERT_OK(submit_page(*store, page));
    const InFlight flight = store->in_flight();
    EXPECT_GE(flight.bytes, flight.epochs * 2 * kBlockSize);
    most = std::max(most, flight.epochs);
  }
  EXPECT_LE(most, kInFlightEpochsMax);
  if (GetParam() == Writing::kInline) {
    EXPECT_GT(most, 1u);
  }
}

INSTANTIATE_TEST_SUITE_P(Writings, Pipeline, ::testing::Values(Writing::kInline, Writing::kBehind));

}  // namespace
}  // namespace perdure::store
