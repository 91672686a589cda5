#include "engine/core_file.h"

#include <elf.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/procfs.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>

#include "engine/core_segments.h"
#include "store/store.h"

namespace perdure::engine {
namespace {

using object::Vma;

constexpr uint64_t kPage = 4096;
const ObjectId kProcess(20), kLeader(21), kThread(22), kSpace(23), kShared(24), kFile(25),
    kDeleted(26), kContent(27);

class CoreFileTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/perdure-core-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder_ = name;
    store::Options options;
    options.directory = folder_ + "/store";
    options.access = store::Access::kWrite;
    options.create = store::Create::kIfMissing;
    std::filesystem::create_directory(options.directory);
    store_ = std::move(store::Store::open(std::move(options)).value());
    writer_ = std::move(store_->begin_epoch().value());
    make_graph();
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void make_graph() {
    object::Process& process = graph_.processes[kProcess];
    process.set_pid(17);
    process.set_comm("name");
    process.add_command_line("name");
    process.add_command_line("--all");
    process.set_address_space(kSpace.value);
    for (auto [id, tid] : {std::pair(kLeader, 17), std::pair(kThread, 18)}) {
      process.add_threads(id.value);
      object::Thread& thread = graph_.threads[id];
      thread.set_tid(tid);
      thread.set_registers(std::string(sizeof(elf_gregset_t), static_cast<char>(tid)));
      thread.set_signal_mask(0x40 + static_cast<uint64_t>(tid));
      thread.set_xstate(std::string(832, '\0'));
    }
    graph_.address_spaces[kSpace].set_auxv("auxiliary vector");
    graph_.open_files[kFile].mutable_regular()->mutable_identity()->set_path("/lib/x.so");
    graph_.open_files[kDeleted].mutable_regular()->set_content(kContent.value);
  }
  Vma& map(Vma::Kind kind, uint64_t first_page, uint64_t pages, ObjectId file = ObjectId(0),
           uint64_t offset_pages = 0) {
    Vma& vma = *graph_.address_spaces[kSpace].add_vmas();
    vma.set_kind(kind);
    vma.set_start(first_page * kPage);
    vma.set_end((first_page + pages) * kPage);
    vma.set_protection(PROT_READ | PROT_WRITE);
    vma.set_file(file.value);
    vma.set_offset(offset_pages * kPage);
    return vma;
  }
  // Pages filled with their value.
  void store_page(ObjectId object, uint64_t page, char value) {
    const std::string bytes(kPage, value);
    ASSERT_TRUE(
        writer_->put_pages(object, page, {reinterpret_cast<const uint8_t*>(bytes.data()), kPage})
            .ok());
  }
  const store::EpochReader& commit() {
    EXPECT_TRUE(writer_->commit({}).ok());
    reader_ = std::move(store_->read_epoch(Epoch(1)).value());
    return *reader_;
  }
  const object::Process& process() { return graph_.processes[kProcess]; }
  // "start+size:file", in pages, of each segment.
  std::string segments() {
    std::string text;
    for (const CoreSegment& segment : core_segments(graph_, process(), commit(), 2 * kPage)) {
      text += (text.empty() ? "" : " ") + std::to_string(segment.start / kPage) + "+" +
              std::to_string(segment.size / kPage) + ":" +
              std::to_string(segment.file_bytes / kPage);
    }
    return text;
  }
  std::string written(const std::string& name = "core") {
    auto report = write_core(graph_, process(), commit(), folder_ + "/" + name);
    EXPECT_TRUE(report.ok()) << report.error().message();
    std::ifstream file(folder_ + "/" + name, std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(file)), {});
    if (report.ok()) {
      EXPECT_EQ(bytes.size(), report->file_bytes);
    }
    return bytes;
  }
  template <typename T>
  static T at(const std::string& bytes, uint64_t offset) {
    T value = {};
    EXPECT_LE(offset + sizeof(T), bytes.size());
    std::memcpy(&value, bytes.data() + offset, sizeof(T));
    return value;
  }
  // The byte of the core at an address; nothing if the core has none there.
  static std::optional<char> byte_at(const std::string& core, uint64_t address) {
    auto header = at<Elf64_Ehdr>(core, 0);
    for (uint16_t number = 0; number < header.e_phnum; ++number) {
      auto load = at<Elf64_Phdr>(core, header.e_phoff + number * sizeof(Elf64_Phdr));
      if (load.p_type == PT_LOAD && address >= load.p_vaddr &&
          address < load.p_vaddr + load.p_filesz)
        return core[load.p_offset + address - load.p_vaddr];
    }
    return std::nullopt;
  }

  std::string folder_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<store::EpochWriter> writer_;
  std::unique_ptr<store::EpochReader> reader_;
  object::Graph graph_;
};

TEST_F(CoreFileTest, AnonymousMemoryIsOneSegmentUpToItsLastStoredPage) {
  map(Vma::ANONYMOUS, 100, 50);
  store_page(kSpace, 103, 'a');
  store_page(kSpace, 120, 'b');
  EXPECT_EQ(segments(), "100+50:21");
}

TEST_F(CoreFileTest, LargeHolesAreNotInTheFile) {
  map(Vma::ANONYMOUS, 1000, 1'000'000);
  store_page(kSpace, 5000, 'a');
  store_page(kSpace, 5100, 'b');
  store_page(kSpace, 900'000, 'c');
  EXPECT_EQ(segments(), "1000+4000:0 5000+895000:101 900000+101000:1");
}

TEST_F(CoreFileTest, MemoryWithoutPagesHasSizeOnly) {
  map(Vma::ANONYMOUS, 100, 50);
  map(Vma::VVAR, 200, 4);
  map(Vma::VDSO, 204, 2);
  EXPECT_EQ(segments(), "100+50:0 204+2:2");
}

TEST_F(CoreFileTest, AnotherKernelsVdsoIsLeftOut) {
  map(Vma::VDSO, 204, 3);
  EXPECT_EQ(segments(), "204+3:0");
}

TEST_F(CoreFileTest, OnlyWrittenPagesOfAFileAreThere) {
  map(Vma::FILE_PRIVATE, 100, 10, kFile);
  store_page(kSpace, 102, 'a');
  store_page(kSpace, 103, 'b');
  store_page(kSpace, 109, 'c');
  EXPECT_EQ(segments(), "100+2:0 102+2:2 104+5:0 109+1:1");
}

TEST_F(CoreFileTest, ADeletedFilesContentComesFromTheEpoch) {
  map(Vma::FILE_PRIVATE, 100, 4, kDeleted, 7);
  store_page(kSpace, 101, 'w');
  store_page(kContent, 7, 'p');
  store_page(kContent, 8, 'q');
  store_page(kContent, 9, 'r');
  const std::string core = written();
  EXPECT_EQ(byte_at(core, 100 * kPage), 'p');
  EXPECT_EQ(byte_at(core, 101 * kPage), 'w');
  EXPECT_EQ(byte_at(core, 102 * kPage), 'r');
  EXPECT_EQ(byte_at(core, 103 * kPage), '\0');
}

TEST_F(CoreFileTest, MemoryThatTheProgramExcludesHasSizeOnly) {
  map(Vma::ANONYMOUS, 100, 4).set_dont_dump(true);
  map(Vma::FILE_PRIVATE, 200, 4, kDeleted, 7).set_dont_dump(true);
  map(Vma::VVAR, 300, 2).set_dont_dump(true);
  map(Vma::ANONYMOUS, 400, 4);
  store_page(kSpace, 101, 's');
  store_page(kSpace, 201, 's');
  store_page(kContent, 8, 's');
  store_page(kSpace, 401, 'a');
  EXPECT_EQ(segments(), "100+4:0 200+4:0 400+4:2");
}

TEST_F(CoreFileTest, EveryByteIsWhereItsAddressSays) {
  map(Vma::ANONYMOUS, 100, 50);
  map(Vma::MEMORY_SHARED, 500, 8, kShared, 2);
  store_page(kSpace, 103, 'a');
  store_page(kSpace, 149, 'b');
  store_page(kShared, 2, 'c');
  store_page(kShared, 5, 'd');
  const std::string core = written();
  EXPECT_EQ(byte_at(core, 103 * kPage), 'a');
  EXPECT_EQ(byte_at(core, 150 * kPage - 1), 'b');
  EXPECT_EQ(byte_at(core, 120 * kPage), '\0');
  EXPECT_EQ(byte_at(core, 500 * kPage), 'c');
  EXPECT_EQ(byte_at(core, 503 * kPage + 7), 'd');
  EXPECT_EQ(byte_at(core, 504 * kPage), std::nullopt);
}

TEST_F(CoreFileTest, NotesTellTheProcessAndEachThread) {
  map(Vma::FILE_PRIVATE, 100, 10, kFile, 3);
  map(Vma::FILE_PRIVATE, 200, 10, kDeleted);
  const std::string core = written();
  auto header = at<Elf64_Ehdr>(core, 0);
  auto notes = at<Elf64_Phdr>(core, header.e_phoff);
  ASSERT_EQ(notes.p_type, PT_NOTE);
  std::vector<std::pair<uint32_t, std::string>> found;
  for (uint64_t offset = notes.p_offset; offset < notes.p_offset + notes.p_filesz;) {
    auto note = at<Elf64_Nhdr>(core, offset);
    uint64_t data = offset + sizeof(note) + (note.n_namesz + 3) / 4 * 4;
    found.emplace_back(note.n_type, core.substr(data, note.n_descsz));
    offset = data + (note.n_descsz + 3) / 4 * 4;
  }
  std::vector<uint32_t> types;
  for (const auto& [type, data] : found) types.push_back(type);
  EXPECT_EQ(types, (std::vector<uint32_t>{NT_PRSTATUS, NT_PRPSINFO, NT_AUXV, NT_FILE, NT_FPREGSET,
                                          NT_X86_XSTATE, NT_PRSTATUS, NT_FPREGSET, NT_X86_XSTATE}));
  auto status = at<elf_prstatus>(found[6].second, 0);
  EXPECT_EQ(status.pr_pid, 18);
  EXPECT_EQ(status.pr_sighold, 0x40u + 18);
  EXPECT_EQ(status.pr_reg[0], 0x1212121212121212u);
  EXPECT_STREQ(at<elf_prpsinfo>(found[1].second, 0).pr_psargs, "name --all");
  EXPECT_EQ(found[2].second, "auxiliary vector");
  const std::string& files = found[3].second;
  EXPECT_EQ(at<uint64_t>(files, 0), 1u);
  EXPECT_EQ(at<uint64_t>(files, 16), 100 * kPage);
  EXPECT_EQ(at<uint64_t>(files, 32), 3u);
  EXPECT_STREQ(files.c_str() + 40, "/lib/x.so");
}

TEST_F(CoreFileTest, MoreSegmentsThanTheHeaderCountsAreCountedElsewhere) {
  for (uint64_t page = 0; page < 70'000; ++page) map(Vma::ANONYMOUS, 100 + page * 2, 1);
  const std::string core = written();
  auto header = at<Elf64_Ehdr>(core, 0);
  EXPECT_EQ(header.e_phnum, PN_XNUM);
  EXPECT_EQ(header.e_shnum, 1);
  EXPECT_EQ(at<Elf64_Shdr>(core, header.e_shoff).sh_info, 70'001u);
  EXPECT_EQ(at<Elf64_Phdr>(core, header.e_phoff + 70'000 * sizeof(Elf64_Phdr)).p_vaddr,
            (100 + 69'999 * 2) * kPage);
}

TEST_F(CoreFileTest, OnlyTheOwnerMayReadIt) {
  written();
  struct stat file = {};
  ASSERT_EQ(::stat((folder_ + "/core").c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);
}

TEST_F(CoreFileTest, AProcessThatHadEndedIsRefused) {
  graph_.processes[kProcess].set_state(object::Process::ZOMBIE);
  auto report = write_core(graph_, process(), commit(), folder_ + "/core");
  ASSERT_FALSE(report.ok());
  EXPECT_NE(report.error().message().find("17 (name)"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/core"));
}

}  // namespace
}  // namespace perdure::engine
