// The types of the running kernel, as /sys/kernel/btf/vmlinux describes them: just what BPF
// programs that are written by hand need. Names are looked up all at once, because the file is 6
// MB.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace perdure::kernel {

class Btf {
 public:
  // kUnavailable if the kernel was built without CONFIG_DEBUG_INFO_BTF.
  static Result<Btf> read_kernel();
  // The same bytes from elsewhere. kCorrupt if they are no BTF.
  static Result<Btf> parse(std::vector<uint8_t> bytes);

  enum class Kind : uint8_t { kStruct = 4, kTypedef = 8, kFunction = 12 };
  // The number of a type, for attach_btf_id. kUnavailable if there is none of this name.
  Result<uint32_t> id_of(Kind kind, std::string_view name) const;
  // Bytes from the start of a structure to a member, which may lie in nameless parts of it.
  Result<uint32_t> member_offset(std::string_view structure, std::string_view member) const;
  struct Member {
    uint32_t offset = 0;  // bytes from the start of the structure
    uint32_t bytes = 0;   // as large as its type, also where it is a field of bits
  };
  // As above; the path may go on into members of the member: "context.ldt".
  Result<Member> member(std::string_view structure, std::string_view path) const;
  // How many bytes a structure has.
  Result<uint32_t> size_of(std::string_view structure) const;

 private:
  struct Type {
    uint32_t at = 0;  // offset of its description
    uint32_t name = 0;
    uint32_t info = 0;
  };
  Btf() = default;
  static Result<Btf> parse_owned(Btf btf);
  Status index();
  struct Found {
    uint32_t offset = 0;
    uint32_t type = 0;
  };
  Result<Found> find_member(uint32_t id, std::string_view member, uint32_t depth) const;
  uint32_t plain_type(uint32_t id) const;
  Result<uint32_t> bytes_of_type(uint32_t id, uint32_t depth) const;
  std::string_view string_at(uint32_t offset) const;
  bool string_is(uint32_t offset, std::string_view text) const;
  uint32_t word_at(uint32_t offset) const;

  // Whose bytes they are: the kernel's own, mapped, or a copy.
  struct Unmap {
    size_t size;
    void operator()(void* memory) const;
  };
  std::unique_ptr<void, Unmap> mapping_;
  std::vector<uint8_t> copy_;
  Bytes bytes_;
  uint32_t strings_ = 0;      // where the strings begin
  uint32_t strings_end_ = 0;  // and end
  uint32_t types_ = 0, types_end_ = 0;
  std::vector<Type> index_;  // by number; number 0 is void
};

}  // namespace perdure::kernel
