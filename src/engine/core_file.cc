// Layout: ELF header, program headers, notes, then the segments' bytes from the next page on. With
// more segments than e_phnum can count, a section header holds the number (elf(5), PN_XNUM).
#include "engine/core_file.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/limits.h"
#include "engine/core_notes.h"
#include "engine/core_segments.h"
#include "kernel/file.h"
#include "kernel/proc/maps.h"

namespace perdure::engine {
namespace {

constexpr uint64_t kPagesAtOnce = 256;

// This kernel's vdso, mapped into every process. The records do not hold it; a debugger needs it to
// find its way out of a call that was made through it.
Bytes own_vdso() {
  auto entries = kernel::proc::read_maps(::getpid());
  if (!entries.ok()) return {};
  for (const kernel::proc::MapsEntry& entry : *entries) {
    if (entry.path != "[vdso]") continue;
    return {reinterpret_cast<const uint8_t*>(entry.start), entry.end - entry.start};
  }
  return {};
}

// Only where the same kernel saved the epoch.
Bytes vdso_of(const object::Group& group) {
  struct utsname names;
  if (::uname(&names) != 0 || group.kernel_release() != names.release) return {};
  return own_vdso();
}

uint32_t flags_of(uint32_t protection) {
  return ((protection & PROT_READ) != 0 ? PF_R : 0u) |
         ((protection & PROT_WRITE) != 0 ? PF_W : 0u) | ((protection & PROT_EXEC) != 0 ? PF_X : 0u);
}

uint64_t page_aligned(uint64_t bytes) { return (bytes + kPageSize - 1) & ~(kPageSize - 1); }

class CoreWriter {
 public:
  CoreWriter(const object::Graph& graph, const object::Process& process,
             const store::EpochReader& reader)
      : reader_(reader),
        vdso_(vdso_of(graph.group)),
        notes_(core_notes(graph, process)),
        segments_(core_segments(graph, process, reader, vdso_.size())),
        buffer_(kPagesAtOnce * kPageSize) {
    report_.threads = static_cast<uint64_t>(process.threads_size());
  }

  Result<CoreReport> write(int file) {
    const std::string head = headers();
    PD_TRY(kernel::write_at(file, 0, bytes_of_text(head)));
    uint64_t offset = page_aligned(head.size());
    report_.stored_bytes = offset;
    for (const CoreSegment& segment : segments_) {
      PD_TRY(write_segment(file, offset, segment));
      offset += segment.file_bytes;
    }
    PD_TRY(kernel::truncate_file(file, offset));
    report_.file_bytes = offset;
    return report_;
  }

 private:
  static Bytes bytes_of_text(const std::string& text) {
    return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
  }
  template <typename T>
  static void append(std::string& out, const T& value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }

  std::string headers() const {
    const size_t count = segments_.size() + 1;
    const bool many = count >= PN_XNUM;
    const uint64_t notes_at =
        sizeof(Elf64_Ehdr) + count * sizeof(Elf64_Phdr) + (many ? sizeof(Elf64_Shdr) : 0);
    std::string out;
    append(out, file_header(count));
    append(out, Elf64_Phdr{PT_NOTE, 0, notes_at, 0, 0, notes_.size(), 0, 4});
    uint64_t offset = page_aligned(notes_at + notes_.size());
    for (const CoreSegment& segment : segments_) {
      append(out, Elf64_Phdr{PT_LOAD, flags_of(segment.protection), offset, segment.start, 0,
                             segment.file_bytes, segment.size, kPageSize});
      offset += segment.file_bytes;
    }
    if (many) {
      Elf64_Shdr numbers = {};
      numbers.sh_info = static_cast<Elf64_Word>(count);
      append(out, numbers);
    }
    return out + notes_;
  }

  static Elf64_Ehdr file_header(size_t count) {
    Elf64_Ehdr header = {};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_type = ET_CORE;
    header.e_machine = EM_X86_64;
    header.e_version = EV_CURRENT;
    header.e_phoff = sizeof(Elf64_Ehdr);
    header.e_ehsize = sizeof(Elf64_Ehdr);
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = static_cast<Elf64_Half>(std::min<size_t>(count, PN_XNUM));
    if (count >= PN_XNUM) {
      header.e_shoff = sizeof(Elf64_Ehdr) + count * sizeof(Elf64_Phdr);
      header.e_shentsize = sizeof(Elf64_Shdr);
      header.e_shnum = 1;
    }
    return header;
  }

  Status write_segment(int file, uint64_t offset, const CoreSegment& segment) {
    if (segment.source == CoreSegment::Source::kVdso) {
      report_.stored_bytes += vdso_.size();
      return kernel::write_at(file, offset, vdso_);
    }
    if (segment.source == CoreSegment::Source::kNothing) return {};
    const uint64_t pages = segment.file_bytes >> kPageShift;
    for (const store::PageExtent& extent :
         reader_.extents(segment.object, segment.first_page, pages)) {
      for (uint64_t first = extent.first_page; first < extent.end(); first += kPagesAtOnce) {
        const auto part = extent.clipped(first, std::min(extent.end(), first + kPagesAtOnce));
        MutableBytes bytes = MutableBytes(buffer_).first(part.count * kPageSize);
        PD_TRY(reader_.read_pages(part, bytes));
        PD_TRY(kernel::write_at(
            file, offset + ((part.first_page - segment.first_page) << kPageShift), bytes));
        report_.stored_bytes += bytes.size();
      }
    }
    return {};
  }

  const store::EpochReader& reader_;
  const Bytes vdso_;
  const std::string notes_;
  const std::vector<CoreSegment> segments_;
  std::vector<uint8_t> buffer_;
  CoreReport report_;
};

}  // namespace

Result<object::Graph> load_graph(const store::EpochReader& reader) {
  object::Graph graph;
  PD_TRY(reader.for_each_record(
      [&graph](ObjectId id, uint32_t kind, Bytes bytes) { return graph.add(id, kind, bytes); }));
  PD_TRY(graph.check());
  return graph;
}

Status check_has_memory(const object::Process& process) {
  if (process.state() != object::Process::ZOMBIE && process.address_space() != 0) return {};
  return Error(Code::kInvalid, "process " + std::to_string(process.pid()) + " (" + process.comm() +
                                   ") had ended and has no memory left");
}

Result<CoreReport> write_core(const object::Graph& graph, const object::Process& process,
                              const store::EpochReader& reader, const std::string& path) {
  PD_TRY(check_has_memory(process));
  const std::string part = path + ".part-" + std::to_string(::getpid());
  Fd file = PD_TRY(kernel::open_file(part, O_WRONLY | O_CREAT | O_EXCL, 0600));
  Result<CoreReport> report = CoreWriter(graph, process, reader).write(file.get());
  Status placed = report.ok() ? kernel::rename_path(part, path) : Status();
  if (report.ok() && placed.ok()) return report;
  (void)kernel::unlink_path(part).ok();
  if (!placed.ok()) return std::move(placed).error();
  return std::move(report).error().within("write " + path);
}

}  // namespace perdure::engine
