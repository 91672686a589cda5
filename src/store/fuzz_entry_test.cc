// The fuzz target's inputs, and mutations of them, in every build.
#include "store/fuzz_entry.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "store/catalog.h"
#include "store/testing.h"

namespace perdure::store {
namespace {

namespace fs = std::filesystem;
using Input = std::vector<uint8_t>;

void append(Input& out, const Input& bytes) {
  for (const uint8_t byte : bytes) out.push_back(byte);
}

// One frame in the form that the whole-segment inputs have.
Input frame(uint8_t kind, const Input& payload) {
  Input out{kind, 0, static_cast<uint8_t>(payload.size()),
            static_cast<uint8_t>(payload.size() >> 8)};
  append(out, payload);
  return out;
}

// A small store as an input: a page frame, a commit of an epoch, one based on it, a catalog.
Input sample_store() {
  EpochState state;
  ObjectState& object = state.objects[ObjectId(5)];
  object.has_record = true;
  object.record.length = 4;
  object.record.offset = kMetadataHeadBytes;
  object.pages.assign({7, 1, {1, kFirstFrameBlock, 0, 0}});
  const auto no_sink = [](const std::vector<uint8_t>&) -> Status { return Ok{}; };
  const Input index = PD_ASSERT_OK(encode_index(state, 1 << 20, no_sink));
  Input records(kMetadataHeadBytes + 4);
  Commit first;
  first.record.info.epoch = Epoch(1);
  Commit second;
  second.record.info.epoch = Epoch(2);
  second.record.depth = 1;
  second.base = {1, kFirstFrameBlock + 2};
  Catalog catalog;
  EpochRecord record = first.record;
  record.commit = second.base;
  catalog.add(record);
  Input out{129};
  append(out, frame(0, {}));
  append(out, frame(2, encode_metadata(records, index, encode_commit(first))));
  append(out, frame(2, encode_metadata(records, {}, encode_commit(second))));
  append(out, frame(3, encode_catalog(catalog)));
  append(out, frame(2, encode_metadata(records, {}, encode_commit(second))));
  return out;
}

std::vector<Input> corpus() {
  std::vector<Input> inputs{sample_store()};
  for (uint8_t which = 0; which < 6; ++which) inputs.push_back(Input(200, which));
  const fs::path directory = fs::path(PERDURE_SOURCE_DIR) / "tests" / "corpus" / "store";
  for (const auto& entry : fs::directory_iterator(directory)) {
    std::ifstream file(entry.path(), std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return inputs;
}

TEST(FuzzStore, TheCorpusIsDecodedOrRefused) {
  const auto inputs = corpus();
  EXPECT_GT(inputs.size(), 7u);
  for (const Input& input : inputs) fuzz_store(input);
}

TEST(FuzzStore, MutationsAreDecodedOrRefused) {
  std::mt19937_64 random(1);
  for (const Input& original : corpus()) {
    for (int round = 0; round < 400 && !original.empty(); ++round) {
      Input input = original;
      for (uint64_t change = random() % 4; change < 4; ++change) {
        const size_t at = random() % input.size();
        switch (random() % 4) {
          case 0:
            input[at] = static_cast<uint8_t>(random());
            break;
          case 1:
            input[at] ^= static_cast<uint8_t>(1 << random() % 8);
            break;
          case 2:
            input[at] = random() % 2 == 0 ? 0 : 255;
            break;
          default:
            input.resize(1 + random() % input.size());
        }
      }
      fuzz_store(input);
    }
  }
}

// Where an address of 8 bytes may stand, impossible ones do.
TEST(FuzzStore, ExtremeNumbersEverywhereAreDecodedOrRefused) {
  const Input original = sample_store();
  for (size_t at = 1; at + 8 <= original.size(); at += 4) {
    for (const uint64_t value :
         {uint64_t{0}, UINT64_MAX, uint64_t{1} << 63, uint64_t{UINT32_MAX}}) {
      Input input = original;
      store_le(input.data() + at, value);
      fuzz_store(input);
    }
  }
}

// Otherwise its mutations would try nothing.
TEST(FuzzStore, TheSampleIsAValidStore) {
  const Input input = sample_store();
  if (const char* target = std::getenv("PERDURE_WRITE_CORPUS")) {  // NOLINT: one thread
    std::ofstream(target, std::ios::binary)
        .write(reinterpret_cast<const char*>(input.data()),
               static_cast<std::streamsize>(input.size()));
  }
  Options options;
  options.device = fuzz_device(Bytes(input).subspan(1));
  const auto store = PD_ASSERT_OK(Store::open(options));
  ASSERT_EQ(store->epochs().size(), 2u);
  const auto reader = PD_ASSERT_OK(store->read_epoch(Epoch(2)));
  const testing::Model model = PD_ASSERT_OK(testing::read_model(*reader));
  EXPECT_EQ(model.records.at(5).second.size(), 4u);
  EXPECT_EQ(model.pages.at(5).at(7), testing::Page(kPageSize));
}

}  // namespace
}  // namespace perdure::store
