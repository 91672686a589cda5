#include "store/index.h"

#include <gtest/gtest.h>

#include <random>

namespace perdure::store {
namespace {

const FramePlace kSelf{3, 40};

Location at(uint32_t block, uint16_t slot) { return {1, block, slot, 0}; }

// Everything about a state, comparable.
using Flat =
    std::map<uint64_t,
             std::tuple<bool, uint32_t, FramePlace, uint32_t, std::map<uint64_t, uint64_t>>>;

Flat flat_of(const EpochState& state) {
  Flat out;
  for (const auto& [object, entry] : state.objects) {
    std::map<uint64_t, uint64_t> pages;
    for (const PageExtent& extent : entry.pages.extents()) {
      for (uint32_t page = 0; page < extent.count; ++page) {
        pages[extent.first_page + page] = extent.location.advanced(page).byte_offset();
      }
    }
    out[object.value] = {entry.has_record, entry.kind, entry.record.frame, entry.record.offset,
                         pages};
  }
  return out;
}

void change(std::mt19937_64& random, Delta& delta) {
  for (int step = 0; step < 20; ++step) {
    ObjectDelta& object = delta.objects[ObjectId(1 + random() % 8)];
    switch (random() % 4) {
      case 0:
        object = {};
        object.forget = true;
        break;
      case 1:
        object.has_record = true;
        object.kind = static_cast<uint32_t>(random() % 5);
        object.record = {
            {2, static_cast<uint32_t>(4 + random() % 9)}, static_cast<uint32_t>(random() % 99), 7};
        break;
      case 2: {
        const uint64_t first = random() % 3000, count = 1 + random() % 900;
        object.pages.erase(first, count);
        object.erased.add(first, count);
        break;
      }
      default:
        object.pages.assign(
            {random() % 3000, static_cast<uint32_t>(1 + random() % 100),
             at(static_cast<uint32_t>(4 + random() % 9), static_cast<uint16_t>(random() % 100))});
    }
  }
}

// Encodes in pieces of a few bytes and decodes again.
template <typename... Args>
EpochState decoded(EpochState base, const Args&... args) {
  std::vector<std::vector<uint8_t>> pieces;
  const IndexSink sink = [&](std::vector<uint8_t> piece) -> Status {
    pieces.push_back(std::move(piece));
    return Ok{};
  };
  auto last = encode_index(args..., 256, sink);
  EXPECT_TRUE(last.ok());
  pieces.push_back(*last);
  for (const auto& piece : pieces) EXPECT_TRUE(decode_index(piece, kSelf, base).ok());
  return base;
}

TEST(Index, ADeltaDecodesToWhatItWasAppliedTo) {
  std::mt19937_64 random(1);
  EpochState state;
  for (int round = 0; round < 200; ++round) {
    Delta delta;
    change(random, delta);
    const EpochState base = state;
    apply(delta, state);
    ASSERT_EQ(flat_of(decoded(base, delta, &base)), flat_of(state));
    ASSERT_EQ(flat_of(decoded(base, delta, static_cast<const EpochState*>(nullptr))),
              flat_of(state));
    ASSERT_EQ(flat_of(decoded(EpochState{}, state)), flat_of(state));
  }
}

TEST(Index, TheDifferenceOfTwoStatesTurnsOneIntoTheOther) {
  std::mt19937_64 random(2);
  EpochState state;
  for (int round = 0; round < 200; ++round) {
    EpochState next = state;
    Delta delta;
    change(random, delta);
    apply(delta, next);
    EpochState made = state;
    apply(difference(state, next), made);
    ASSERT_EQ(flat_of(made), flat_of(next));
    EXPECT_TRUE(difference(next, made).objects.empty());
    state = std::move(next);
  }
}

TEST(Index, ARecordWithoutAFrameLiesInTheFrameOfTheIndex) {
  Delta delta;
  delta.objects[ObjectId(5)].has_record = true;
  const EpochState state = decoded(EpochState{}, delta, static_cast<const EpochState*>(nullptr));
  EXPECT_EQ(state.objects.at(ObjectId(5)).record.frame, kSelf);
}

TEST(Index, ImpossibleEntriesAreRefused) {
  IndexEntry entry{};
  entry.object = 1;
  PageExtent extent{1, 1, at(4, 0)};
  const auto decode = [&] {
    std::vector<uint8_t> bytes(sizeof(entry) + sizeof(extent));
    store_le(bytes.data(), entry);
    store_le(bytes.data() + sizeof(entry), extent);
    EpochState state;
    return decode_index(bytes, kSelf, state);
  };
  entry.extents = 1;
  EXPECT_TRUE(decode().ok());
  extent.count = 0;
  EXPECT_EQ(decode().error().code(), Code::kCorrupt);
  extent = {1, 1, at(4, 255)};
  EXPECT_EQ(decode().error().code(), Code::kCorrupt);
  extent = {kPagesEnd, 1, at(4, 0)};
  EXPECT_EQ(decode().error().code(), Code::kCorrupt);
  extent = {1, 1, at(3, 0)};
  EXPECT_EQ(decode().error().code(), Code::kCorrupt);
  extent = {1, 1, at(4, 0)};
  entry.extents = 2;
  EXPECT_EQ(decode().error().code(), Code::kCorrupt);
  entry.extents = 1;
  entry.object = 0;
  EXPECT_EQ(decode().error().code(), Code::kCorrupt);
}

}  // namespace
}  // namespace perdure::store
