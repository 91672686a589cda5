#include "store/catalog.h"

#include <gtest/gtest.h>

namespace perdure::store {
namespace {

EpochRecord record_of(uint64_t epoch, const std::string& note) {
  EpochRecord record;
  record.info.epoch = Epoch(epoch);
  record.info.parent = Epoch(epoch - 1);
  record.info.captured_realtime_ns = 5;
  record.info.durable_realtime_ns = 6;
  record.info.bytes_written = 7;
  record.info.records_changed = 8;
  record.info.pages_changed = 9;
  record.info.note = note;
  record.commit = {1, 4};
  record.depth = 2;
  record.chain_bytes = 11;
  return record;
}

void expect_same(const EpochInfo& a, const EpochInfo& b) {
  EXPECT_EQ(a.epoch, b.epoch);
  EXPECT_EQ(a.parent, b.parent);
  EXPECT_EQ(a.captured_realtime_ns, b.captured_realtime_ns);
  EXPECT_EQ(a.durable_realtime_ns, b.durable_realtime_ns);
  EXPECT_EQ(a.bytes_written, b.bytes_written);
  EXPECT_EQ(a.records_changed, b.records_changed);
  EXPECT_EQ(a.pages_changed, b.pages_changed);
  EXPECT_EQ(a.note, b.note);
}

TEST(Catalog, ACommitIsReadAsItWasWritten) {
  Commit commit{record_of(3, "note"), {1, 9}, {{1, 5}, {2, 6}}, {{{1, 7}, 42}}};
  const auto back = decode_commit(encode_commit(commit));
  ASSERT_TRUE(back.ok());
  expect_same(back->record.info, commit.record.info);
  EXPECT_EQ(back->record.depth, 2u);
  EXPECT_EQ(back->record.chain_bytes, 11u);
  EXPECT_EQ(back->base, commit.base);
  EXPECT_EQ(back->index_frames, commit.index_frames);
  ASSERT_EQ(back->verify.size(), 1u);
  EXPECT_EQ(back->verify[0].header_checksum, 42u);
}

TEST(Catalog, ACatalogIsReadAsItWasWritten) {
  Catalog catalog;
  catalog.sequence = 77;
  for (uint64_t epoch = 1; epoch < 100; ++epoch) {
    catalog.add(record_of(epoch, std::string(epoch, 'n')));
  }
  const auto back = decode_catalog(encode_catalog(catalog));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->sequence, 77u);
  EXPECT_EQ(back->next_epoch, Epoch(100));
  ASSERT_EQ(back->epochs.size(), 99u);
  for (size_t at = 0; at < 99; ++at) expect_same(back->epochs[at].info, catalog.epochs[at].info);
  EXPECT_EQ(back->find(Epoch(50))->info.note.size(), 50u);
  EXPECT_EQ(back->find(Epoch(100)), nullptr);
}

TEST(Catalog, EveryTruncationIsRefusedOrHarmless) {
  Catalog catalog;
  for (uint64_t epoch = 1; epoch < 5; ++epoch)
    catalog.add(record_of(epoch, "a note of a few words"));
  const std::vector<uint8_t> bytes = encode_catalog(catalog);
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(decode_catalog(Bytes(bytes).first(size)).error().code(), Code::kCorrupt) << size;
  }
  Commit commit{record_of(3, "note"), {1, 9}, {{1, 5}}, {{{1, 7}, 42}}};
  const std::vector<uint8_t> body = encode_commit(commit);
  for (size_t size = 0; size + 8 <= body.size(); ++size) {  // the last bytes are padding
    EXPECT_FALSE(decode_commit(Bytes(body).first(size)).ok()) << size;
  }
}

TEST(Catalog, EpochsOutOfOrderAreRefused) {
  Catalog catalog;
  catalog.add(record_of(1, ""));
  catalog.add(record_of(2, ""));
  std::vector<uint8_t> bytes = encode_catalog(catalog);
  store_le(bytes.data() + sizeof(CatalogHead), uint64_t{2});
  EXPECT_EQ(decode_catalog(bytes).error().code(), Code::kCorrupt);
}

TEST(Catalog, AFullIndexHasNoBaseAndADeltaHasOne) {
  Commit commit{record_of(3, ""), {}, {}, {}};
  EXPECT_EQ(decode_commit(encode_commit(commit)).error().code(), Code::kCorrupt);
  commit.record.depth = 0;
  EXPECT_TRUE(decode_commit(encode_commit(commit)).ok());
}

TEST(Catalog, MetadataSectionsAreFound) {
  std::vector<uint8_t> records(kMetadataHeadBytes);
  records.push_back(1);
  const std::vector<uint8_t> index{2, 2}, commit{3, 3, 3};
  const std::vector<uint8_t> payload = encode_metadata(records, index, commit);
  const auto sections = decode_metadata(payload);
  ASSERT_TRUE(sections.ok());
  EXPECT_EQ(std::vector<uint8_t>(sections->index.begin(), sections->index.end()), index);
  EXPECT_EQ(std::vector<uint8_t>(sections->commit.begin(), sections->commit.end()), commit);
  EXPECT_EQ(decode_metadata(Bytes(payload).first(20)).error().code(), Code::kCorrupt);
}

}  // namespace
}  // namespace perdure::store
