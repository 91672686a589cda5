#include "object/id_table.h"

#include <gtest/gtest.h>

#include "object/kind.h"

namespace perdure::object {
namespace {

TEST(IdTable, KeyKeepsItsIdWhileItIsUsed) {
  IdTable table(kFirstFreeObjectId);
  ObjectId pipe = table.id_of("pipe:1");
  table.forget_unused();
  EXPECT_EQ(table.id_of("pipe:1"), pipe);
  table.forget_unused();
  EXPECT_EQ(table.find("pipe:1"), pipe);
}

TEST(IdTable, KeyThatComesBackIsAnotherObject) {
  IdTable table(kFirstFreeObjectId);
  ObjectId first = table.id_of("pipe:1");
  table.forget_unused();
  table.forget_unused();
  EXPECT_EQ(table.find("pipe:1"), ObjectId());
  EXPECT_NE(table.id_of("pipe:1"), first);
}

TEST(IdTable, BoundIdIsNeverGivenOutAgain) {
  IdTable table(kFirstFreeObjectId);
  table.bind("a", ObjectId(100));
  EXPECT_EQ(table.id_of("a"), ObjectId(100));
  EXPECT_EQ(table.id_of("b"), ObjectId(101));
}

}  // namespace
}  // namespace perdure::object
