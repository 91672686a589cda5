#include "kernel/proc/maps.h"

#include <sys/mman.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "base/limits.h"
#include "kernel/proc/read.h"

namespace perdure::kernel::proc {
namespace {

constexpr std::string_view kDeletedSuffix = " (deleted)";

constexpr std::pair<std::string_view, VmFlag> kFlagLetters[] = {
    {"sh", VmFlag::kShared},      {"mw", VmFlag::kMayWrite},   {"ms", VmFlag::kMayShare},
    {"gd", VmFlag::kGrowsDown},   {"pf", VmFlag::kPfnMap},     {"lo", VmFlag::kLocked},
    {"lf", VmFlag::kLockOnFault}, {"io", VmFlag::kIo},         {"sr", VmFlag::kSequential},
    {"rr", VmFlag::kRandom},      {"dc", VmFlag::kDontFork},   {"de", VmFlag::kDontExpand},
    {"ac", VmFlag::kAccounted},   {"nr", VmFlag::kNoReserve},  {"ht", VmFlag::kHugeTlb},
    {"wf", VmFlag::kWipeOnFork},  {"dd", VmFlag::kDontDump},   {"mm", VmFlag::kMixedMap},
    {"hg", VmFlag::kHugePage},    {"nh", VmFlag::kNoHugePage}, {"mg", VmFlag::kMergeable},
    {"um", VmFlag::kUffdMissing}, {"uw", VmFlag::kUffdWp},     {"ui", VmFlag::kUffdMinor},
    {"ss", VmFlag::kShadowStack}, {"sl", VmFlag::kSealed},     {"dp", VmFlag::kDroppable},
    {"sf", VmFlag::kSyncFault},
};

// Reads fields off the front of a text. Every take_ is false, and the text is as it was, if it does
// not fit.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) {}
  bool take_number(uint64_t& out, int base) {
    auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), out, base);
    if (error != std::errc()) return false;
    text_.remove_prefix(static_cast<size_t>(end - text_.data()));
    return true;
  }
  bool take(char c) {
    if (text_.empty() || text_.front() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  bool take_word(size_t size, std::string_view& out) {
    if (text_.size() < size) return false;
    out = text_.substr(0, size);
    text_.remove_prefix(size);
    return true;
  }
  void skip_spaces() {
    size_t at = text_.find_first_not_of(' ');
    text_.remove_prefix(at == std::string_view::npos ? text_.size() : at);
  }
  std::string_view rest() const { return text_; }

 private:
  std::string_view text_;
};

// Cuts the next line off `text`, without its newline.
std::string_view take_line(std::string_view& text) {
  size_t end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

// maps escapes a newline, and nothing else, as \012.
std::string unescape(std::string_view path) {
  std::string out;
  out.reserve(path.size());
  for (size_t at = 0; at < path.size(); ++at) {
    if (path.substr(at, 4) == "\\012") {
      out.push_back('\n');
      at += 3;
    } else {
      out.push_back(path[at]);
    }
  }
  return out;
}

uint32_t protection_of(std::string_view permissions) {
  return (permissions[0] == 'r' ? PROT_READ : 0u) | (permissions[1] == 'w' ? PROT_WRITE : 0u) |
         (permissions[2] == 'x' ? PROT_EXEC : 0u);
}

void set_path(std::string_view text, MapsEntry& entry) {
  if (text.ends_with(kDeletedSuffix)) {
    text.remove_suffix(kDeletedSuffix.size());
    entry.deleted = true;
  }
  entry.path = text.find('\\') == std::string_view::npos ? std::string(text) : unescape(text);
}

// "START-END PERM OFFSET MAJOR:MINOR INODE   PATH"
std::optional<MapsEntry> parse_maps_line(std::string_view line) {
  Cursor cursor(line);
  MapsEntry entry;
  std::string_view permissions;
  uint64_t major_number = 0, minor_number = 0;
  bool fits = cursor.take_number(entry.start, 16) && cursor.take('-') &&
              cursor.take_number(entry.end, 16) && cursor.take(' ') &&
              cursor.take_word(4, permissions) && cursor.take(' ') &&
              cursor.take_number(entry.offset, 16) && cursor.take(' ') &&
              cursor.take_number(major_number, 16) && cursor.take(':') &&
              cursor.take_number(minor_number, 16) && cursor.take(' ') &&
              cursor.take_number(entry.inode, 10);
  if (!fits || entry.start >= entry.end || entry.start % kPageSize || entry.end % kPageSize)
    return {};
  entry.device = makedev(static_cast<unsigned>(major_number), static_cast<unsigned>(minor_number));
  entry.protection = protection_of(permissions);
  entry.shared = permissions[3] == 's';
  cursor.skip_spaces();
  set_path(cursor.rest(), entry);
  return entry;
}

uint64_t parse_flag_letters(std::string_view letters) {
  uint64_t flags = 0;
  for (size_t at = 0; at + 2 <= letters.size(); at += 3) {
    std::string_view pair = letters.substr(at, 2);
    for (const auto& [name, flag] : kFlagLetters) {
      if (pair == name) flags |= static_cast<uint64_t>(flag);
    }
  }
  return flags;
}

Error unparsable(std::string_view file, std::string_view line) {
  return Error(Code::kInvalid, std::string(file) + " has a line that is not understood: \"" +
                                   std::string(line.substr(0, 200)) + "\"");
}

}  // namespace

Result<std::vector<MapsEntry>> parse_maps(std::string_view text) {
  std::vector<MapsEntry> entries;
  while (!text.empty()) {
    std::string_view line = take_line(text);
    std::optional<MapsEntry> entry = parse_maps_line(line);
    if (!entry) return unparsable("maps", line);
    if (entries.size() == kVmasPerProcessMax)
      return Error(Code::kLimit, "more mappings than Perdure handles");
    entries.push_back(std::move(*entry));
  }
  return entries;
}

Status parse_vm_flags(std::string_view smaps, std::vector<MapsEntry>& entries) {
  size_t next = 0;
  MapsEntry* current = nullptr;
  while (!smaps.empty()) {
    std::string_view line = take_line(smaps);
    if (line.empty()) continue;
    bool header = (line[0] >= '0' && line[0] <= '9') || (line[0] >= 'a' && line[0] <= 'f');
    if (header) {
      uint64_t start = 0;
      if (!Cursor(line).take_number(start, 16)) return unparsable("smaps", line);
      while (next < entries.size() && entries[next].start < start) ++next;
      bool known = next < entries.size() && entries[next].start == start;
      current = known ? &entries[next] : nullptr;
    } else if (current != nullptr && line.starts_with("VmFlags:")) {
      line.remove_prefix(std::min<size_t>(line.size(), 9));
      current->vm_flags = parse_flag_letters(line);
      current->has_vm_flags = true;
    } else if (current != nullptr && line.starts_with("ProtectionKey:")) {
      Cursor cursor(line.substr(14));
      uint64_t key = 0;
      cursor.skip_spaces();
      if (!cursor.take_number(key, 10)) return unparsable("smaps", line);
      current->protection_key = static_cast<uint32_t>(key);
    }
  }
  for (const MapsEntry& entry : entries) {
    if (!entry.has_vm_flags) return Error(Code::kInvalid, "smaps lacks a mapping that maps has");
  }
  return {};
}

Result<std::vector<MapsEntry>> read_maps(pid_t pid) {
  std::string text = PD_TRY(read_text(path_of(pid, "maps")));
  if (text.empty())
    return Error(Code::kGone, "pid " + std::to_string(pid) + " has no memory any more");
  return parse_maps(text);
}

Status add_vm_flags(pid_t pid, std::vector<MapsEntry>& entries) {
  std::string text = PD_TRY(read_text(path_of(pid, "smaps")));
  return parse_vm_flags(text, entries);
}

Result<std::string> read_auxv(pid_t pid) { return read_text(path_of(pid, "auxv")); }

}  // namespace perdure::kernel::proc
