#include "cli/json.h"

#include <gtest/gtest.h>

namespace perdure::cli {
namespace {

TEST(Json, NestsAndSeparates) {
  JsonWriter json;
  json.begin_array();
  json.begin_object()
      .key("a")
      .number(uint64_t{18446744073709551615u})
      .key("b")
      .boolean(true)
      .end_object();
  json.begin_object().end_object();
  json.end_array();
  EXPECT_EQ(json.take(),
            "[\n  {\n    \"a\": 18446744073709551615,\n    \"b\": true\n  },\n  {}\n]\n");
}

TEST(Json, EmptyRawIsNull) {
  JsonWriter json;
  json.begin_array().raw("").raw("{\"x\":1}").end_array();
  EXPECT_EQ(json.take(), "[\n  null,\n  {\"x\":1}\n]\n");
}

struct Row {
  std::string_view text;
  const char* json;
};

TEST(Json, WhateverBytesComeItIsValidText) {
  const Row table[] = {
      {"plain", "\"plain\"\n"},
      {"q\"b\\", "\"q\\\"b\\\\\"\n"},
      {std::string_view("\x00\x1f\n\x7f", 4), "\"\\u0000\\u001f\\u000a\\u007f\"\n"},
      {"Kyōto 🏯", "\"Kyōto 🏯\"\n"},
      {"\xff\xfe", "\"\\ufffd\\ufffd\"\n"},
      {"\xc3", "\"\\ufffd\"\n"},
      {"\xc0\xaf", "\"\\ufffd\\ufffd\"\n"},             // overlong
      {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"\n"},  // a surrogate
      {"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"\n"},
  };
  for (const Row& row : table) {
    JsonWriter json;
    json.string(row.text);
    EXPECT_EQ(json.take(), row.json);
  }
}

}  // namespace
}  // namespace perdure::cli
