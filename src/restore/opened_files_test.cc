#include "restore/opened_files.h"

#include <gtest/gtest.h>

namespace perdure::restore {
namespace {

TEST(OpenedFiles, AnswerComesBackAsItWas) {
  BuilderAnswer answer;
  answer.opened.first = 500;
  answer.opened.files[ObjectId(7)] = 501;
  answer.opened.memory[ObjectId(8)] = 502;
  answer.opened.ptys[ObjectId(9)] = 503;
  answer.roots = {2, 3};
  BuilderAnswer copy = decode_answer(encode_answer(answer)).value();
  EXPECT_EQ(copy.opened.first, 500);
  EXPECT_EQ(copy.opened.terminal, -1);
  EXPECT_EQ(copy.opened.files, answer.opened.files);
  EXPECT_EQ(copy.opened.memory, answer.opened.memory);
  EXPECT_EQ(copy.opened.ptys, answer.opened.ptys);
  EXPECT_EQ(copy.roots, answer.roots);
}

TEST(OpenedFiles, AnswerCutShortIsAnError) {
  std::string bytes = encode_answer(BuilderAnswer());
  bytes.pop_back();
  EXPECT_FALSE(decode_answer(bytes).ok());
}

}  // namespace
}  // namespace perdure::restore
