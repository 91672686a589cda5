#include "kernel/btf.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>

#include "base/fd.h"

namespace perdure::kernel {
namespace {

constexpr const char* kPath = "/sys/kernel/btf/vmlinux";
constexpr uint16_t kMagic = 0xeb9f;
constexpr size_t kBytesMax = size_t{64} << 20;
constexpr uint32_t kNestingMax = 8;
constexpr uint32_t kDescriptionBytes = 12;  // name, info, and a size or another type's number
constexpr uint32_t kMemberBytes = 12;
constexpr uint32_t kUsualBytes = 20;  // of a type's description with its members
constexpr uint32_t kStructKind = 4, kUnionKind = 5;

// The file's header, of which later versions may have a longer one.
struct Header {
  uint16_t magic;
  uint8_t version;
  uint8_t flags;
  uint32_t length;
  uint32_t types, types_length;  // offsets are from the end of the header
  uint32_t strings, strings_length;
};
static_assert(sizeof(Header) == 24);

uint32_t kind_of(uint32_t info) { return info >> 24 & 31; }
uint32_t count_of(uint32_t info) { return info & 0xffff; }

// Bytes that follow the description of a type of this kind; nothing for an unknown kind.
std::optional<uint32_t> extra_bytes(uint32_t kind, uint32_t count) {
  switch (kind) {
    case 1:   // integer
    case 14:  // variable
    case 17:  // tag of a declaration
      return 4;
    case 3:  // array
      return 12;
    case 4:   // structure
    case 5:   // union
    case 15:  // section
    case 19:  // enumeration of 64 bits
      return kMemberBytes * count;
    case 6:   // enumeration
    case 13:  // prototype
      return 8 * count;
    case 2:   // pointer
    case 7:   // forward declaration
    case 8:   // typedef
    case 9:   // volatile
    case 10:  // const
    case 11:  // restrict
    case 12:  // function
    case 16:  // float
    case 18:  // tag of a type
      return 0;
    default:
      return std::nullopt;
  }
}

Error corrupt(const char* what) { return Error(Code::kCorrupt, std::string(kPath) + ": " + what); }

Error missing(std::string_view name) {
  return Error(Code::kUnavailable, "this kernel has no " + std::string(name));
}

}  // namespace

Result<Btf> Btf::read_kernel() {
  Fd file = Fd::adopt(::open(kPath, O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return Error::system(errno, "open", kPath).with_code(Code::kUnavailable);
  struct stat status = {};
  if (::fstat(file.get(), &status) != 0) return Error::system(errno, "look at", kPath);
  if (static_cast<uint64_t>(status.st_size) > kBytesMax) return corrupt("too long");
  const auto size = static_cast<size_t>(status.st_size);
  Btf btf;
  // Linux 6.16; a copy takes longer than all that is done with it.
  void* const mapped = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (mapped != MAP_FAILED) {
    btf.mapping_ = std::unique_ptr<void, Unmap>(mapped, Unmap{size});
    btf.bytes_ = Bytes(static_cast<const uint8_t*>(mapped), size);
    return parse_owned(std::move(btf));
  }
  std::vector<uint8_t> bytes(size);
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t count = ::read(file.get(), bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return Error::system(count < 0 ? errno : EIO, "read", kPath);
    done += static_cast<size_t>(count);
  }
  return parse(std::move(bytes));
}

void Btf::Unmap::operator()(void* memory) const { (void)::munmap(memory, size); }

Result<Btf> Btf::parse(std::vector<uint8_t> bytes) {
  Btf btf;
  btf.copy_ = std::move(bytes);
  btf.bytes_ = btf.copy_;
  return parse_owned(std::move(btf));
}

Result<Btf> Btf::parse_owned(Btf btf) {
  const Bytes bytes = btf.bytes_;
  Header header = {};
  if (bytes.size() < sizeof(header) || bytes.size() > kBytesMax) return corrupt("no header");
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.magic != kMagic || header.version != 1) return corrupt("unknown form");
  const uint64_t size = bytes.size();
  const uint64_t types = uint64_t{header.length} + header.types;
  const uint64_t strings = uint64_t{header.length} + header.strings;
  if (types + header.types_length > size || strings + header.strings_length > size ||
      header.strings_length == 0 || bytes[strings + header.strings_length - 1] != 0) {
    return corrupt("parts lie outside");
  }
  btf.types_ = static_cast<uint32_t>(types);
  btf.types_end_ = btf.types_ + header.types_length;
  btf.strings_ = static_cast<uint32_t>(strings);
  btf.strings_end_ = btf.strings_ + header.strings_length;
  PD_TRY(btf.index());
  return btf;
}

Status Btf::index() {
  index_.reserve((types_end_ - types_) / kUsualBytes);
  index_.push_back(Type());
  for (uint32_t at = types_; at < types_end_;) {
    if (types_end_ - at < kDescriptionBytes) return corrupt("a type is cut off");
    const Type type{at, word_at(at), word_at(at + 4)};
    const auto extra = extra_bytes(kind_of(type.info), count_of(type.info));
    if (!extra) return corrupt("a type of an unknown kind");
    at += kDescriptionBytes;
    if (types_end_ - at < *extra) return corrupt("a type is cut off");
    at += *extra;
    index_.push_back(type);
  }
  return {};
}

Result<uint32_t> Btf::id_of(Kind kind, std::string_view name) const {
  for (uint32_t id = 1; id < index_.size(); ++id) {
    const Type& type = index_[id];
    if (kind_of(type.info) == static_cast<uint32_t>(kind) && string_is(type.name, name)) return id;
  }
  return missing(name);
}

Result<uint32_t> Btf::member_offset(std::string_view structure, std::string_view member) const {
  const uint32_t id = PD_TRY(id_of(Kind::kStruct, structure));
  return PD_TRY(find_member(id, member, 0)).offset;
}

Result<Btf::Member> Btf::member(std::string_view structure, std::string_view path) const {
  Found found{0, PD_TRY(id_of(Kind::kStruct, structure))};
  uint32_t offset = 0;
  while (!path.empty()) {
    const size_t end = std::min(path.find('.'), path.size());
    found = PD_TRY(find_member(plain_type(found.type), path.substr(0, end), 0));
    offset += found.offset;
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return Member{offset, PD_TRY(bytes_of_type(found.type, 0))};
}

Result<uint32_t> Btf::size_of(std::string_view structure) const {
  const uint32_t id = PD_TRY(id_of(Kind::kStruct, structure));
  return bytes_of_type(id, 0);
}

Result<Btf::Found> Btf::find_member(uint32_t id, std::string_view member, uint32_t depth) const {
  if (depth > kNestingMax || id >= index_.size()) return missing(member);
  const Type& type = index_[id];
  const bool bit_fields = type.info >> 31 != 0;
  const uint32_t kind = kind_of(type.info);
  if (kind != kStructKind && kind != kUnionKind) return missing(member);
  for (uint32_t number = 0; number < count_of(type.info); ++number) {
    const uint32_t at = type.at + kDescriptionBytes + number * kMemberBytes;
    const std::string_view name = string_at(word_at(at));
    const uint32_t bits = bit_fields ? word_at(at + 8) & 0xffffff : word_at(at + 8);
    if (name == member) return Found{bits / 8, word_at(at + 4)};
    if (!name.empty()) continue;
    const auto inside = find_member(word_at(at + 4), member, depth + 1);
    if (inside.ok()) return Found{bits / 8 + inside->offset, inside->type};
  }
  return missing(member);
}

// Without typedef, const and the like around it.
uint32_t Btf::plain_type(uint32_t id) const {
  for (uint32_t depth = 0; depth < kNestingMax && id < index_.size(); ++depth) {
    const uint32_t kind = kind_of(index_[id].info);
    const bool wraps = (kind >= 8 && kind <= 11) || kind == 18;
    if (!wraps) break;
    id = word_at(index_[id].at + 8);
  }
  return id;
}

Result<uint32_t> Btf::bytes_of_type(uint32_t id, uint32_t depth) const {
  constexpr uint32_t kPointerKind = 2, kArrayKind = 3, kTypeBytesMax = 1u << 20;
  id = plain_type(id);
  if (depth > kNestingMax || id == 0 || id >= index_.size()) return corrupt("a type without size");
  const Type& type = index_[id];
  if (kind_of(type.info) == kPointerKind) return uint32_t{8};
  if (kind_of(type.info) != kArrayKind) return word_at(type.at + 8);
  const uint32_t one = PD_TRY(bytes_of_type(word_at(type.at + kDescriptionBytes), depth + 1));
  const uint64_t all = uint64_t{one} * word_at(type.at + kDescriptionBytes + 8);
  return all > kTypeBytesMax ? Result<uint32_t>(corrupt("too large a type"))
                             : Result<uint32_t>(static_cast<uint32_t>(all));
}

std::string_view Btf::string_at(uint32_t offset) const {
  if (offset >= strings_end_ - strings_) return {};
  return reinterpret_cast<const char*>(bytes_.data()) + strings_ + offset;
}

bool Btf::string_is(uint32_t offset, std::string_view text) const {
  if (strings_end_ - strings_ < text.size() + 1) return false;
  if (offset > strings_end_ - strings_ - text.size() - 1) return false;
  const uint8_t* found = bytes_.data() + strings_ + offset;
  return std::memcmp(found, text.data(), text.size()) == 0 && found[text.size()] == 0;
}

uint32_t Btf::word_at(uint32_t offset) const {
  PD_ASSERT(offset + sizeof(uint32_t) <= bytes_.size());
  uint32_t word = 0;
  std::memcpy(&word, bytes_.data() + offset, sizeof(word));
  return word;
}

}  // namespace perdure::kernel
