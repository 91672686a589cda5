#include "capture/build_id.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/bytes.h"
#include "kernel/memory.h"

namespace perdure::capture {
namespace {

constexpr size_t kSegmentsMax = 256;
constexpr size_t kNoteBytesMax = 4096;
constexpr size_t kBuildIdBytesMax = 64;
constexpr uint64_t kOffsetMax = uint64_t{1} << 62;  // so that an offset stays positive

size_t padded(size_t size) { return (size + 3) & ~size_t{3}; }

std::string find_in_notes(Bytes notes) {
  while (notes.size() >= sizeof(Elf64_Nhdr)) {
    auto header = load_le<Elf64_Nhdr>(notes.data());
    notes = notes.subspan(sizeof(Elf64_Nhdr));
    if (header.n_namesz > kNoteBytesMax || header.n_descsz > kNoteBytesMax) break;
    size_t name = padded(header.n_namesz), description = padded(header.n_descsz);
    if (name + description > notes.size()) break;
    bool gnu = header.n_namesz == 4 && std::memcmp(notes.data(), "GNU", 4) == 0;
    if (gnu && header.n_type == NT_GNU_BUILD_ID && header.n_descsz <= kBuildIdBytesMax) {
      return std::string(reinterpret_cast<const char*>(notes.data() + name), header.n_descsz);
    }
    notes = notes.subspan(name + description);
  }
  return {};
}

}  // namespace

Result<std::string> read_build_id(int file) {
  Elf64_Ehdr header{};
  MutableBytes header_bytes(reinterpret_cast<uint8_t*>(&header), sizeof(header));
  size_t got = PD_TRY(kernel::read_at(file, 0, header_bytes));
  bool elf = got == sizeof(header) && std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 &&
             header.e_ident[EI_CLASS] == ELFCLASS64 && header.e_phentsize == sizeof(Elf64_Phdr);
  if (!elf || header.e_phoff > kOffsetMax) return std::string();
  std::vector<Elf64_Phdr> segments(std::min<size_t>(header.e_phnum, kSegmentsMax));
  MutableBytes segment_bytes(reinterpret_cast<uint8_t*>(segments.data()),
                             segments.size() * sizeof(Elf64_Phdr));
  got = PD_TRY(kernel::read_at(file, header.e_phoff, segment_bytes));
  segments.resize(got / sizeof(Elf64_Phdr));
  std::vector<uint8_t> notes;
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type != PT_NOTE || segment.p_offset > kOffsetMax) continue;
    notes.resize(std::min<size_t>(segment.p_filesz, kNoteBytesMax));
    notes.resize(PD_TRY(kernel::read_at(file, segment.p_offset, notes)));
    std::string id = find_in_notes(notes);
    if (!id.empty()) return id;
  }
  return std::string();
}

}  // namespace perdure::capture
