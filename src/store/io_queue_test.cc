#include "store/io_queue.h"

#include <gtest/gtest.h>
#include <poll.h>

#include "kernel/event_files.h"
#include "store/format.h"
#include "store/sim_device.h"
#include "store/testing.h"

namespace perdure::store {
namespace {

AlignedBuffer filled(IoQueue& queue, uint8_t byte) {
  AlignedBuffer buffer = queue.take_buffer();
  std::memset(buffer.data(), byte, kBlockSize);
  return buffer;
}

class IoQueueTest : public ::testing::TestWithParam<IoQueue::Thread> {
 protected:
  std::shared_ptr<SimDisk> disk_ = SimDisk::create(1);
  std::shared_ptr<Device> device_ = disk_->device();
  std::shared_ptr<File> file_ = *device_->open("f", FileMode::kCreate);
};

TEST_P(IoQueueTest, JobsAreExecutedInOrder) {
  IoQueue queue(device_, GetParam());
  for (int at = 0; at < 100; ++at) {
    queue.write(file_, 0, filled(queue, static_cast<uint8_t>(at)), kBlockSize);
    queue.run_behind();
  }
  PD_ASSERT_OK(queue.wait(queue.now()));
  EXPECT_EQ(disk_->content("f")[0], 99);
}

TEST_P(IoQueueTest, BuffersComeBack) {
  IoQueue queue(device_, GetParam());
  for (int round = 0; round < 50; ++round) {
    for (size_t at = 0; at < IoQueue::kBuffersMax; ++at) {
      queue.write(file_, 0, queue.take_buffer(), kBlockSize);
    }
  }
  PD_ASSERT_OK(queue.wait(queue.now()));
}

TEST(AlignedBuffer, IsThereAsFarAsItWasTouchedAndKeepsItsContent) {
  constexpr size_t kBytes = size_t{64} << 20;  // too large to be memory that was used before
  AlignedBuffer buffer(kBytes);
  std::memset(buffer.data(), 7, kBlockSize);
  EXPECT_FALSE(testing::is_resident(Bytes(buffer.data(), 100 * kPageSize)));
  buffer.touch(100 * kPageSize);
  EXPECT_TRUE(testing::is_resident(Bytes(buffer.data(), 100 * kPageSize)));
  EXPECT_FALSE(testing::is_resident(Bytes(buffer.data(), kBytes)));
  EXPECT_EQ(buffer.data()[kBlockSize - 1], 7);
  buffer.touch(kBytes);
  EXPECT_TRUE(testing::is_resident(Bytes(buffer.data(), kBytes)));
}

TEST_P(IoQueueTest, NothingIsExecutedBehindAFailure) {
  IoQueue queue(device_, GetParam());
  disk_->fail_at(disk_->operations() + 1, Code::kIo);
  const auto first = queue.write(file_, 0, filled(queue, 1), kBlockSize);
  const auto second = queue.write(file_, 0, filled(queue, 2), kBlockSize);
  const auto third = queue.sync(file_);
  queue.run_behind();
  EXPECT_EQ(queue.wait(third).error().code(), Code::kIo);
  EXPECT_EQ(queue.wait(second).error().code(), Code::kIo);
  EXPECT_TRUE(queue.wait(first).ok());
  EXPECT_FALSE(queue.failure().ok());
  EXPECT_EQ(disk_->content("f")[0], 1);
  const uint64_t operations = disk_->operations();
  EXPECT_FALSE(queue.reset().ok());
  EXPECT_EQ(disk_->operations(), operations);
  EXPECT_TRUE(queue.failure().ok());
  PD_ASSERT_OK(queue.wait(queue.write(file_, 0, filled(queue, 3), kBlockSize)));
  EXPECT_EQ(disk_->content("f")[0], 3);
}

bool readable(const Fd& fd) {
  pollfd look{fd.get(), POLLIN, 0};
  return poll(&look, 1, 0) == 1;
}

TEST_P(IoQueueTest, TheEventIsRaisedBySyncsExecutedOrGivenUp) {
  const Fd event = PD_ASSERT_OK(kernel::make_eventfd(0, kernel::EventCounting::kWhole));
  IoQueue queue(device_, GetParam(), &event);
  PD_ASSERT_OK(queue.wait(queue.write(file_, 0, filled(queue, 1), kBlockSize)));
  EXPECT_FALSE(readable(event));
  PD_ASSERT_OK(queue.wait(queue.sync(file_)));
  EXPECT_TRUE(readable(event));
  kernel::lower_event(event);
  EXPECT_FALSE(readable(event));
  disk_->fail_at(disk_->operations(), Code::kIo);
  queue.write(file_, 0, filled(queue, 2), kBlockSize);
  EXPECT_EQ(queue.wait(queue.sync(file_)).error().code(), Code::kIo);
  EXPECT_TRUE(readable(event));
}

TEST_P(IoQueueTest, WhatIsInFlightIsBounded) {
  IoQueue queue(device_, GetParam());
  for (int round = 0; round < 100; ++round) {
    queue.write(file_, 0, queue.take_buffer(), IoQueue::kBufferBytes);
  }
  // Whoever takes a buffer has executed what lies more than 16 MiB back.
  EXPECT_TRUE(queue.done(queue.now() - IoQueue::kBytesMax / IoQueue::kBufferBytes - 1));
  PD_ASSERT_OK(queue.wait(queue.now()));
}

TEST_P(IoQueueTest, WhatIsLeftAtTheEndIsNotWaitedFor) {
  IoQueue queue(device_, GetParam());
  queue.write(file_, 0, filled(queue, 1), kBlockSize);
}

INSTANTIATE_TEST_SUITE_P(Threads, IoQueueTest,
                         ::testing::Values(IoQueue::Thread::kNone, IoQueue::Thread::kIfUseful));

}  // namespace
}  // namespace perdure::store
