// Stores that earlier versions wrote stay readable: tests/golden/store-* hold small ones, each with
// its content as text. PERDURE_WRITE_GOLDEN=DIRECTORY makes new ones there (for a new format
// version; existing ones are never rewritten).
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "base/checksum.h"
#include "store/store.h"
#include "store/testing.h"

namespace perdure::store {
namespace {

namespace fs = std::filesystem;

fs::path golden_directory() { return fs::path(PERDURE_SOURCE_DIR) / "tests" / "golden"; }

// Everything that a store holds, as lines of text.
std::string content_of(const Store& store) {
  std::ostringstream out;
  for (const EpochInfo& info : store.epochs()) {
    out << "epoch " << info.epoch.value << " parent " << info.parent.value << " captured "
        << info.captured_realtime_ns << " note " << info.note << "\n";
    const auto reader = PD_ASSERT_OK(store.read_epoch(info.epoch));
    const auto model = PD_ASSERT_OK(testing::read_model(*reader));
    for (const auto& [object, record] : model.records) {
      out << "  record " << object << " kind " << record.first << " bytes " << record.second.size()
          << " sum " << std::hex << checksum(testing::bytes_of_text(record.second)) << std::dec
          << "\n";
    }
    for (const auto& [object, pages] : model.pages) {
      for (const auto& [page, bytes] : pages) {
        out << "  page " << object << " " << page << " sum " << std::hex << checksum(bytes)
            << std::dec << "\n";
      }
    }
  }
  return out.str();
}

class FixedClock final : public Clock {
 public:
  uint64_t monotonic_ns() const override { return 1; }
  uint64_t realtime_ns() const override { return 1'700'000'000'000'000'000; }
};

// A few epochs with a branch, an abandoned one, erased and shared pages, and a chain of indexes.
void write_golden(const fs::path& directory, CompressionKind compression) {
  const FixedClock clock;
  Options options;
  options.directory = directory;
  options.access = Access::kWrite;
  options.create = Create::kIfMissing;
  options.compression = compression;
  options.segment_bytes = 256 << 10;
  options.clock = &clock;
  {
    const auto store = PD_ASSERT_OK(Store::open(options));
    std::mt19937_64 random(1);
    std::map<uint64_t, testing::Model> models;
    for (uint64_t epoch = 1; epoch <= 10; ++epoch) {
      Store::Begin begin;
      if (epoch == 8) begin.parent = Epoch(4);
      if (epoch == 9) {
        testing::Model ignored;
        const auto abandoned = PD_ASSERT_OK(store->begin_epoch());
        PD_ASSERT_OK(testing::change_at_random(random, 3, *abandoned, ignored));
      }
      const auto writer = PD_ASSERT_OK(store->begin_epoch(begin));
      testing::Model model = models[writer->parent().value];
      PD_ASSERT_OK(testing::change_at_random(random, 3, *writer, model));
      PD_ASSERT_OK(writer->commit({epoch * 1000, "note " + std::to_string(epoch)}));
      models[epoch] = model;
    }
  }
  fs::remove(directory / "lock");
  options.access = Access::kRead;
  const auto store = PD_ASSERT_OK(Store::open(options));
  std::ofstream(directory.string() + ".txt") << content_of(*store);
}

std::string text_of(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(Golden, EveryReleasedFormatStaysReadable) {
  if (const char* target = std::getenv("PERDURE_WRITE_GOLDEN")) {  // NOLINT: one thread
    write_golden(fs::path(target) / "store-v1-plain", CompressionKind::kNone);
    write_golden(fs::path(target) / "store-v1-zstd", CompressionKind::kZstd);
  }
  int stores = 0;
  for (const auto& entry : fs::directory_iterator(golden_directory())) {
    const std::string name = entry.path().filename();
    if (!entry.is_directory() || name.rfind("store-", 0) != 0) continue;
    SCOPED_TRACE(name);
    ++stores;
    testing::TemporaryDirectory directory;
    fs::copy(entry.path(), directory.path());
    Options options;
    options.directory = directory.path();
    const std::string expected = text_of(entry.path().string() + ".txt");
    EXPECT_EQ(content_of(*PD_ASSERT_OK(Store::open(options))), expected);
    options.access = Access::kWrite;
    {
      const auto store = PD_ASSERT_OK(Store::open(options));
      const auto writer = PD_ASSERT_OK(store->begin_epoch());
      PD_ASSERT_OK(writer->put_pages(ObjectId(1), 1, testing::page_of(1)));
      PD_ASSERT_OK(writer->commit({}));
      PD_ASSERT_OK(store->drop({store->newest()->epoch}));
      EXPECT_EQ(content_of(*store), expected);
    }
    EXPECT_TRUE(PD_ASSERT_OK(PD_ASSERT_OK(Store::open(options))->scrub({})).damage.empty());
  }
  EXPECT_GE(stores, 2);
}

}  // namespace
}  // namespace perdure::store
