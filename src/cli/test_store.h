// For tests: a real store with one group, in a folder of its own that goes with the test.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <memory>
#include <string>

#include "kernel/folder.h"
#include "object/kind.h"
#include "store/store.h"

namespace perdure::cli {

class StoreTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/perdure-store-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    base_ = name;
    store::Options options;
    options.directory = base_ + "/g";
    options.access = store::Access::kWrite;
    options.create = store::Create::kIfMissing;
    auto opened = store::Store::open(options);
    ASSERT_TRUE(opened.ok()) << opened.error().to_string();
    store_ = std::move(*opened);
  }
  void TearDown() override {
    store_.reset();
    EXPECT_TRUE(kernel::remove_tree(base_).ok());
  }

  static void put(store::EpochWriter& writer, ObjectId id, object::Kind kind,
                  const std::string& bytes) {
    Bytes record(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    ASSERT_TRUE(writer.put_record(id, static_cast<uint32_t>(kind), record).ok());
  }
  static void put(store::EpochWriter& writer, ObjectId id, object::Kind kind,
                  const google::protobuf::Message& message) {
    put(writer, id, kind, message.SerializeAsString());
  }

  std::unique_ptr<store::Store> store_;

 private:
  std::string base_;
};

}  // namespace perdure::cli
