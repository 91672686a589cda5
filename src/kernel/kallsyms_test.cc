#include "kernel/kallsyms.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

namespace perdure::kernel {
namespace {

class Kallsyms : public testing::Test {
 protected:
  Kallsyms() : path_("kallsyms_test." + std::to_string(getpid())) {}
  ~Kallsyms() override { std::remove(path_.c_str()); }
  Result<CodeRange> find(const std::string& text, std::string_view name) {
    std::ofstream(path_) << text;
    return find_kernel_code(name, path_);
  }
  std::string path_;
};

TEST_F(Kallsyms, AFunctionEndsWhereTheNextOneBegins) {
  const std::string text =
      "ffffffff81000c00 T first\nffffffff81000c60 T wanted\nffffffff81000c60 t alias\n"
      "ffffffff81000c90 T next\nffffffffa0000000 t wanted_too\t[module]\n";
  const Result<CodeRange> range = find(text, "wanted");
  ASSERT_TRUE(range.ok());
  EXPECT_EQ(range->start, 0xffffffff81000c60u);
  EXPECT_EQ(range->end, 0xffffffff81000c90u);
  EXPECT_TRUE(range->contains(0xffffffff81000c60));
  EXPECT_FALSE(range->contains(0xffffffff81000c90));
}

TEST_F(Kallsyms, WhatIsNotToldIsUnavailable) {
  const std::string hidden = "0000000000000000 T wanted\n0000000000000000 T next\n";
  for (const std::string& text : {std::string(), std::string("no line\n\n1 T"), hidden}) {
    const Result<CodeRange> range = find(text, "wanted");
    ASSERT_FALSE(range.ok());
    EXPECT_EQ(range.error().code(), Code::kUnavailable);
  }
  EXPECT_FALSE(find_kernel_code("wanted", "/nowhere").ok());
}

}  // namespace
}  // namespace perdure::kernel
