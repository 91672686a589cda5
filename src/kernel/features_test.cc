#include "kernel/features.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include <set>
#include <string>

#include "kernel/abi/capability.h"
#include "kernel/proc/read.h"

namespace perdure::kernel {
namespace {

TEST(Features, EveryFeatureHasOneRowAndAUniqueName) {
  std::set<std::string> names;
  for (size_t i = 0; i < kFeatureCount; ++i) {
    const FeatureInfo& info = feature_info(static_cast<Feature>(i));
    EXPECT_TRUE(names.insert(info.name).second) << info.name;
    EXPECT_NE(std::string(info.consequence), "");
    EXPECT_NE(std::string(info.remedy), "");
  }
  EXPECT_EQ(names.size(), feature_table().size());
}

TEST(Features, ADisabledFeatureIsMissingAndSaysWhy) {
  const Features features = Features::create("kcmp, memfd").value();
  EXPECT_FALSE(features.has(Feature::kKcmp));
  EXPECT_FALSE(features.has(Feature::kMemfd));
  EXPECT_TRUE(features.disabled(Feature::kKcmp));
  const auto missing = features.require(Feature::kKcmp);
  ASSERT_FALSE(missing.ok());
  EXPECT_THAT(missing.error().message(), testing::HasSubstr("PERDURE_DISABLE"));
  EXPECT_NE(missing.error().remedy(), "");
}

TEST(Features, AnUnknownNameIsRefusedWithTheKnownOnes) {
  const auto features = Features::create("pagemap_scam");
  ASSERT_FALSE(features.ok());
  EXPECT_EQ(features.error().code(), Code::kInvalid);
  EXPECT_THAT(features.error().remedy(), testing::HasSubstr("pagemap_scan"));
}

TEST(Features, CapabilitiesDecideThePrivilegeFeatures) {
  const Features features = Features::create("").value();
  const Privileges privileges = read_privileges().value();
  EXPECT_EQ(features.has(Feature::kPtrace), privileges.has(abi::kCapSysPtrace));
  EXPECT_EQ(features.has(Feature::kNamespaces), privileges.has(abi::kCapSysAdmin));
  EXPECT_EQ(features.has(Feature::kRaiseLimits), privileges.has(abi::kCapSysResource));
  EXPECT_EQ(features.has(Feature::kRaisePriority), privileges.has(abi::kCapSysNice));
  if (privileges.has(abi::kCapSysAdmin)) {
    EXPECT_TRUE(features.has(Feature::kSetTid));
  }
}

// Where one is missing all other tests fail too, less clearly.
TEST(Features, NoRequiredFeatureIsMissingHere) {
  if (read_privileges().value().effective_uid != 0) GTEST_SKIP() << "needs root";
  const Features features = Features::create("").value();
  for (const FeatureInfo& info : feature_table()) {
    EXPECT_TRUE(info.need == Need::kOptional || features.has(info.feature)) << info.name;
  }
}

TEST(Features, EveryProbeLeavesNoDescriptorAndGivesTheSameAnswerAgain) {
  const auto before = proc::list_numbers("/proc/self/fd").value().size();
  const Features first = Features::create("").value();
  const Features second = Features::create("").value();
  for (const FeatureInfo& info : feature_table()) {
    EXPECT_EQ(first.has(info.feature), second.has(info.feature)) << info.name;
  }
  EXPECT_EQ(proc::list_numbers("/proc/self/fd").value().size(), before);
}

TEST(Features, DirectIoIsRefusedOnlyWhereItCannotBe) {
  EXPECT_TRUE(supports_direct_io(std::filesystem::current_path().string()).ok());
  const auto missing = supports_direct_io("/nonexistent");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code(), Code::kNotFound);
}

// Rows of docs/kernel.md look like "| `name` | ...".
TEST(Features, TheDocumentListsExactlyTheFeatures) {
  const std::string path = std::string(PERDURE_SOURCE_DIR) + "/docs/kernel.md";
  const std::string text = proc::read_text(path).value();
  std::set<std::string> listed;
  for (std::string_view line : proc::lines_of(text)) {
    if (!line.starts_with("| `")) continue;
    listed.insert(std::string(line.substr(3, line.find('`', 3) - 3)));
  }
  std::set<std::string> known;
  for (const FeatureInfo& info : feature_table()) known.insert(info.name);
  EXPECT_EQ(listed, known);
}

}  // namespace
}  // namespace perdure::kernel
