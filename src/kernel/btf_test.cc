#include "kernel/btf.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace perdure::kernel {
namespace {

// A description of: 1 an integer "int"; 2 a structure "pair" of "first" at 0 and a nameless
// structure at 8; 3 that structure, with "second" at 4; 4 a typedef "pair_t".
std::vector<uint8_t> small_kernel() {
  const std::string strings("\0int\0pair\0first\0second\0pair_t\0", 30);
  const uint32_t name_int = 1, name_pair = 5, name_first = 10, name_second = 16, name_typedef = 23;
  const std::vector<uint32_t> types = {
      name_int,
      1u << 24,
      4,
      32,  // 1
      name_pair,
      4u << 24 | 2,
      16,
      name_first,
      1,
      0,
      0,
      3,
      64,  // 2
      0,
      4u << 24 | 1,
      8,
      name_second,
      1,
      32,  // 3
      name_typedef,
      8u << 24,
      2,  // 4
  };
  const auto types_bytes = static_cast<uint32_t>(types.size() * 4);
  const uint32_t header[6] = {0x0001eb9f,  24,          0,
                              types_bytes, types_bytes, static_cast<uint32_t>(strings.size())};
  std::vector<uint8_t> bytes(sizeof(header) + types_bytes + strings.size());
  std::memcpy(bytes.data(), header, sizeof(header));
  std::memcpy(bytes.data() + sizeof(header), types.data(), types_bytes);
  std::memcpy(bytes.data() + sizeof(header) + types_bytes, strings.data(), strings.size());
  return bytes;
}

TEST(Btf, FindsTypesAndMembersAlsoInNamelessParts) {
  auto btf = Btf::parse(small_kernel());
  ASSERT_TRUE(btf.ok()) << btf.error().to_string();
  EXPECT_EQ(btf->id_of(Btf::Kind::kStruct, "pair").value(), 2u);
  EXPECT_EQ(btf->id_of(Btf::Kind::kTypedef, "pair_t").value(), 4u);
  EXPECT_EQ(btf->member_offset("pair", "first").value(), 0u);
  EXPECT_EQ(btf->member_offset("pair", "second").value(), 12u);
}

TEST(Btf, SaysWhatIsMissing) {
  auto btf = Btf::parse(small_kernel());
  ASSERT_TRUE(btf.ok());
  EXPECT_EQ(btf->id_of(Btf::Kind::kFunction, "pair").error().code(), Code::kUnavailable);
  auto third = btf->member_offset("pair", "third");
  ASSERT_FALSE(third.ok());
  EXPECT_NE(third.error().message().find("third"), std::string::npos);
}

TEST(Btf, BytesThatAreCutOffAreAnError) {
  const std::vector<uint8_t> whole = small_kernel();
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(Btf::parse({whole.begin(), whole.begin() + static_cast<long>(size)}).ok()) << size;
  }
}

TEST(Btf, AnyByteThatIsWrongIsSurvived) {
  const std::vector<uint8_t> whole = small_kernel();
  for (size_t at = 0; at < whole.size(); ++at) {
    for (uint8_t wrong : {0x00, 0x01, 0x7f, 0xff}) {
      std::vector<uint8_t> bytes = whole;
      bytes[at] = wrong;
      auto btf = Btf::parse(bytes);
      if (btf.ok()) (void)btf->member_offset("pair", "second");
    }
  }
}

TEST(Btf, TheRunningKernelKnowsItsTasks) {
  auto btf = Btf::read_kernel();
  if (!btf.ok()) GTEST_SKIP() << "btf: " << btf.error().to_string();
  EXPECT_TRUE(btf->member_offset("task_struct", "mm").ok());
  EXPECT_TRUE(btf->id_of(Btf::Kind::kFunction, "schedule").ok());
}

}  // namespace
}  // namespace perdure::kernel
