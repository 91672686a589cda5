#include "cli/epoch_note.h"

#include <gtest/gtest.h>

namespace perdure::cli {
namespace {

constexpr const char* kNote =
    R"({"stop_us":812,"command":"a \"stop_us\":5,}{","timing":{"stop":7,"total_us":9},"total_us":2000})";

TEST(EpochNote, NumbersAreThoseOfTheTopLevel) {
  EXPECT_EQ(note_number(kNote, "stop_us"), 812u);
  EXPECT_EQ(note_number(kNote, "total_us"), 2000u);
  EXPECT_EQ(note_number(kNote, "stop"), std::nullopt);
  EXPECT_EQ(note_number(kNote, "command"), std::nullopt);
}

TEST(EpochNote, ObjectsComeWhole) {
  EXPECT_EQ(note_object(kNote, "timing"), "{\"stop\":7,\"total_us\":9}");
  EXPECT_EQ(note_object(kNote, "stop_us"), "");
}

TEST(EpochNote, ForeignNotesHoldNothing) {
  for (const char* note : {"", "{", "hello", "{\"stop_us\":", "\"stop_us\":3", "{\"stop_us\":-1}",
                           "{\"timing\":{\"a\":"}) {
    EXPECT_EQ(note_number(note, "stop_us"), std::nullopt) << note;
    EXPECT_EQ(note_object(note, "timing"), "") << note;
  }
}

}  // namespace
}  // namespace perdure::cli
