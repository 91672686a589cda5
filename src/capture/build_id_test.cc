#include "capture/build_id.h"

#include <elf.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <vector>

#include "base/fd.h"

namespace perdure::capture {
namespace {

Fd file_of(const void* bytes, size_t size) {
  Fd file = Fd::adopt(memfd_create("elf", MFD_CLOEXEC));
  EXPECT_EQ(write(file.get(), bytes, size), static_cast<ssize_t>(size));
  return file;
}

// An ELF file with one note segment that holds a build id of four bytes.
struct Image {
  Elf64_Ehdr header{};
  Elf64_Phdr segment{};
  Elf64_Nhdr other{5, 4, 1};
  char other_name[8] = "xxxx";
  char other_text[4] = {};
  Elf64_Nhdr note{4, 4, NT_GNU_BUILD_ID};
  char name[4] = "GNU";
  char id[4] = {'a', 'b', 'c', 'd'};
  Image() {
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_phoff = offsetof(Image, segment);
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = 1;
    segment.p_type = PT_NOTE;
    segment.p_offset = offsetof(Image, other);
    segment.p_filesz = sizeof(Image) - offsetof(Image, other);
  }
};

TEST(ReadBuildId, FindsItBehindAnotherNote) {
  Image image;
  EXPECT_EQ(read_build_id(file_of(&image, sizeof(image)).get()).value(), "abcd");
}

TEST(ReadBuildId, IsEmptyForOtherFiles) {
  EXPECT_EQ(read_build_id(file_of("", 0).get()).value(), "");
  EXPECT_EQ(read_build_id(file_of("#!/bin/sh\n", 10).get()).value(), "");
  Image without;
  without.segment.p_type = PT_LOAD;
  EXPECT_EQ(read_build_id(file_of(&without, sizeof(without)).get()).value(), "");
}

TEST(ReadBuildId, SurvivesAnyDamage) {
  std::mt19937 random(5);
  for (int round = 0; round < 3000; ++round) {
    Image image;
    auto* bytes = reinterpret_cast<uint8_t*>(&image);
    for (unsigned change = 1 + random() % 4; change > 0; --change) {
      bytes[4 + random() % (sizeof(image) - 4)] =
          static_cast<uint8_t>(random() % 2 ? 0xff : random());
    }
    size_t size = random() % 4 ? sizeof(image) : random() % sizeof(image);
    auto id = read_build_id(file_of(&image, size).get());
    ASSERT_TRUE(id.ok());
    EXPECT_LE(id->size(), 64u);
  }
}

}  // namespace
}  // namespace perdure::capture
