#include "kernel/file_images.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "kernel/bpf_code.h"
#include "kernel/file.h"
#include "kernel/shared_memory.h"
#include "kernel/socket.h"

namespace perdure::kernel {
namespace {

using Register = BpfRegister;
using Math = BpfMath;
using Size = BpfSize;
using Test = BpfTest;

constexpr const char* kIteratorFunction = "bpf_iter_task_file";
constexpr uint32_t kFilesMax = 4096;

// Words of a value.
enum Word : uint8_t {
  kNumber,
  kFile,
  kFlags,
  kPosition,
  kOwner,
  kOwnerSignal,
  kInodeAt,
  kInode,
  kSize,
  kChangedSeconds,
  kChangedNanoseconds,
  kMode,
  kSpecial,
  kLocks,
  kSuperBlockAt,
  kDevice,
  kMagic,
  kSocketAt,
  kSockAt,
  kFamily,
  kFilter,
  kTableOwnerAt,
  kTableAt,
  kExecBitsAt,
  kExecBits,
  // Of Unix sockets only; of others what was there before.
  kSockType,
  kSockState,
  kShutdown,
  kQueued,
  kPeerAt,
  kPeerSocketAt,
  kPeerInode,
  kPathAt,
  kPathInodeAt,
  kPathInode,
  kPathSuperBlockAt,
  kPathDevice,
  kAddressAt,
  kAddressBytes,
  kAddress,
  kWords = kAddress + 16,
};
using Value = std::array<uint64_t, kWords>;

enum class From : uint8_t { kFile, kTask, kWord };

struct Step {
  From from;
  Word base;  // kWord: it holds the address
  const char* structure;
  const char* member;
  Word to;
};

// A socket's private_data is its struct socket; of other files it leads anywhere, and what is read
// there means nothing.
constexpr Step kSteps[] = {
    {From::kFile, kFile, "file", "f_flags", kFlags},
    {From::kFile, kFile, "file", "f_pos", kPosition},
    {From::kFile, kFile, "file", "f_inode", kInodeAt},
    {From::kWord, kInodeAt, "inode", "i_ino", kInode},
    {From::kWord, kInodeAt, "inode", "i_size", kSize},
    {From::kWord, kInodeAt, "inode", "i_mode", kMode},
    {From::kWord, kInodeAt, "inode", "i_rdev", kSpecial},
    {From::kWord, kInodeAt, "inode", "i_flctx", kLocks},
    {From::kWord, kInodeAt, "inode", "i_sb", kSuperBlockAt},
    {From::kWord, kSuperBlockAt, "super_block", "s_dev", kDevice},
    {From::kWord, kSuperBlockAt, "super_block", "s_magic", kMagic},
    {From::kFile, kFile, "file", "private_data", kSocketAt},
    {From::kWord, kSocketAt, "socket", "sk", kSockAt},
    {From::kWord, kSockAt, "sock", "__sk_common.skc_family", kFamily},
    {From::kWord, kSockAt, "sock", "sk_filter", kFilter},
    {From::kTask, kFile, "task_struct", "files", kTableOwnerAt},
    {From::kWord, kTableOwnerAt, "files_struct", "fdt", kTableAt},
    {From::kWord, kTableAt, "fdtable", "close_on_exec", kExecBitsAt},
};
// A timespec64 until Linux 6.10.
constexpr Step kChangeSteps[] = {
    {From::kWord, kInodeAt, "inode", "i_ctime_sec", kChangedSeconds},
    {From::kWord, kInodeAt, "inode", "i_ctime_nsec", kChangedNanoseconds},
};
// Beside the nanoseconds is whether somebody has asked for the time (I_CTIME_QUERIED, Linux 6.13).
constexpr uint64_t kNanosecondsMask = 0x3fffffff;
// A structure within the file until Linux 6.11, a pointer to one that is made when it is needed
// since.
constexpr Step kOwnerInside[] = {
    {From::kFile, kFile, "file", "f_owner.pid", kOwner},
    {From::kFile, kFile, "file", "f_owner.signum", kOwnerSignal},
};
constexpr Step kOwnerOutside = {From::kFile, kFile, "file", "f_owner", kOwner};

// A peer that was closed has no struct socket any more. A bound socket has a path, as those have
// that were accepted from it, and an address.
constexpr Step kUnixSteps[] = {
    {From::kWord, kSockAt, "sock", "sk_type", kSockType},
    {From::kWord, kSockAt, "sock", "__sk_common.skc_state", kSockState},
    {From::kWord, kSockAt, "sock", "sk_shutdown", kShutdown},
    {From::kWord, kSockAt, "sock", "sk_receive_queue.qlen", kQueued},
    {From::kWord, kSockAt, "unix_sock", "peer", kPeerAt},
    {From::kWord, kPeerAt, "sock", "sk_socket", kPeerSocketAt},
    {From::kWord, kPeerSocketAt, "socket_alloc", "vfs_inode.i_ino", kPeerInode},
    {From::kWord, kSockAt, "unix_sock", "path.dentry", kPathAt},
    {From::kWord, kPathAt, "dentry", "d_inode", kPathInodeAt},
    {From::kWord, kPathInodeAt, "inode", "i_ino", kPathInode},
    {From::kWord, kPathAt, "dentry", "d_sb", kPathSuperBlockAt},
    {From::kWord, kPathSuperBlockAt, "super_block", "s_dev", kPathDevice},
    {From::kWord, kSockAt, "unix_sock", "addr", kAddressAt},
    {From::kWord, kAddressAt, "unix_address", "len", kAddressBytes},
};
constexpr int32_t kAddressBytesMask = 127;  // sockaddr_un has 110
static_assert(sizeof(sockaddr_un) <= kAddressBytesMask);
static_assert((kWords - kAddress) * sizeof(uint64_t) > kAddressBytesMask);

constexpr Register kTaskRegister = Register::k6, kFileRegister = Register::k7,
                   kValue = Register::k8, kDescriptor = Register::k9;
constexpr int16_t kKey = -8;

int16_t at(Word word) { return static_cast<int16_t>(word * sizeof(uint64_t)); }

// To the word: as many bytes as r2 says from the address in r3.
void read_to(BpfCode& code, Word to) {
  code.copy(Register::k1, kValue);
  code.calculate(Math::kAdd, Register::k1, at(to));
  code.call(BPF_FUNC_probe_read_kernel);  // zeros where there is nothing
}

Status add_step(BpfCode& code, const Btf& btf, const Step& step) {
  const Btf::Member member = PD_TRY(btf.member(step.structure, step.member));
  if (member.bytes > sizeof(uint64_t)) return Error(Code::kUnavailable, "a field is too large");
  switch (step.from) {
    case From::kFile:
      code.copy(Register::k3, kFileRegister);
      break;
    case From::kTask:
      code.copy(Register::k3, kTaskRegister);
      break;
    case From::kWord:
      code.load(Size::k64, Register::k3, kValue, at(step.base));
      break;
  }
  code.calculate(Math::kAdd, Register::k3, static_cast<int32_t>(member.offset));
  code.set(Register::k2, static_cast<int32_t>(member.bytes));
  read_to(code, step.to);
  return {};
}

// The word of the bits that says what is closed in execve(2).
void read_exec_bits(BpfCode& code) {
  code.load(Size::k64, Register::k3, kValue, at(kExecBitsAt));
  code.copy(Register::k1, kDescriptor);
  code.calculate(Math::kShiftRight, Register::k1, 6);
  code.calculate(Math::kShiftLeft, Register::k1, 3);
  code.calculate(Math::kAdd, Register::k3, Register::k1);
  code.set(Register::k2, sizeof(uint64_t));
  read_to(code, kExecBits);
}

bool knows(const Btf& btf, std::span<const Step> steps) {
  return std::all_of(steps.begin(), steps.end(), [&btf](const Step& step) {
    return btf.member(step.structure, step.member).ok();
  });
}

bool knows_streams(const Btf& btf) {
  return btf.member_offset("unix_address", "name").ok() && knows(btf, kUnixSteps);
}

Status add_stream_steps(BpfCode& code, const Btf& btf) {
  BpfCode::Label other;
  code.load(Size::k64, Register::k1, kValue, at(kFamily));
  code.jump_if(Register::k1, Test::kNotEqual, AF_UNIX, other);
  for (const Step& step : kUnixSteps) PD_TRY(add_step(code, btf, step));
  code.load(Size::k64, Register::k3, kValue, at(kAddressAt));
  code.calculate(Math::kAdd, Register::k3,
                 static_cast<int32_t>(PD_TRY(btf.member_offset("unix_address", "name"))));
  code.load(Size::k64, Register::k2, kValue, at(kAddressBytes));
  code.calculate(Math::kAnd, Register::k2, kAddressBytesMask);
  read_to(code, kAddress);
  code.place(other);
  return {};
}

Result<BpfCode> make_program(const Btf& btf, const Fd& count, const Fd& values) {
  // bpf_iter__task_file, bpf_iter_meta
  constexpr int16_t kMeta = 0, kTaskAt = 8, kNumberAt = 16, kFileAt = 24, kSequence = 16;
  BpfCode code;
  BpfCode::Label out;
  code.load(Size::k64, kTaskRegister, Register::k1, kTaskAt);
  code.jump_if(kTaskRegister, Test::kEqual, 0, out);
  code.load(Size::k64, kFileRegister, Register::k1, kFileAt);
  code.jump_if(kFileRegister, Test::kEqual, 0, out);
  code.load(Size::k32, kDescriptor, Register::k1, kNumberAt);
  code.load(Size::k64, Register::k2, Register::k1, kMeta);
  code.load(Size::k64, Register::k2, Register::k2, kSequence);
  code.store(Size::k64, Register::kStackEnd, kKey - 8, Register::k2);
  code.store(Size::k64, Register::kStackEnd, kKey, 0);
  code.find_value(kValue, count, kKey, out);
  code.load(Size::k64, Register::k2, Register::kStackEnd, kKey - 8);
  code.store(Size::k32, Register::kStackEnd, kKey, Register::k2);
  code.calculate(Math::kAdd, Register::k2, 1);
  code.store(Size::k64, kValue, 0, Register::k2);
  code.find_value(kValue, values, kKey, out);
  code.store(Size::k64, kValue, at(kNumber), kDescriptor);
  code.store(Size::k64, kValue, at(kFile), kFileRegister);
  for (const Step& step : kSteps) PD_TRY(add_step(code, btf, step));
  if (knows(btf, kChangeSteps)) {
    for (const Step& step : kChangeSteps) PD_TRY(add_step(code, btf, step));
  }
  if (btf.member("file", kOwnerInside[0].member).ok()) {
    for (const Step& step : kOwnerInside) PD_TRY(add_step(code, btf, step));
  } else {
    PD_TRY(add_step(code, btf, kOwnerOutside));
  }
  read_exec_bits(code);
  if (knows_streams(btf)) PD_TRY(add_stream_steps(code, btf));
  code.place(out);
  code.exit_with(0);
  return code;
}

std::optional<UnixSocketInfo> stream_of(const Value& value) {
  constexpr uint64_t kEstablished = 1;  // include/net/tcp_states.h
  if (value[kSockType] != SOCK_STREAM || value[kSockState] != kEstablished) return std::nullopt;
  UnixSocketInfo info;
  info.type = SOCK_STREAM;
  info.state = kEstablished;
  info.shutdown = static_cast<uint8_t>(value[kShutdown]);
  info.bytes_waiting = info.waiting_count = static_cast<uint32_t>(value[kQueued]);
  info.has_peer = value[kPeerAt] != 0;
  info.peer_inode = static_cast<uint32_t>(value[kPeerInode]);
  info.has_file = value[kPathAt] != 0;
  info.file_inode = static_cast<uint32_t>(value[kPathInode]);
  info.file_device = static_cast<uint32_t>(value[kPathDevice]);
  if (value[kAddressAt] == 0) return info;
  if (value[kAddressBytes] > sizeof(sockaddr_un)) return std::nullopt;
  info.address.assign(reinterpret_cast<const char*>(&value[kAddress]), value[kAddressBytes]);
  return info;
}

FileImage image_of(const Value& value) {
  FileImage image;
  image.fd = static_cast<int>(value[kNumber]);
  image.close_on_exec = (value[kExecBits] >> (value[kNumber] % 64) & 1) != 0;
  image.file = value[kFile];
  image.flags = static_cast<uint32_t>(value[kFlags]) & ~static_cast<uint32_t>(O_CLOEXEC);
  image.position = value[kPosition];
  image.owned = value[kOwner] != 0 || value[kOwnerSignal] != 0;
  image.locks = value[kLocks] != 0;
  image.inode = value[kInode];
  image.size = value[kSize];
  image.ctime_ns = static_cast<int64_t>(value[kChangedSeconds]) * 1'000'000'000 +
                   static_cast<int64_t>(value[kChangedNanoseconds] & kNanosecondsMask);
  image.mode = static_cast<mode_t>(value[kMode]);
  // MKDEV of linux/kdev_t.h.
  image.device = makedev(value[kDevice] >> 20, value[kDevice] & 0xfffff);
  image.magic = value[kMagic];
  image.special = makedev(value[kSpecial] >> 20, value[kSpecial] & 0xfffff);
  if (S_ISSOCK(image.mode)) {
    image.family = static_cast<uint16_t>(value[kFamily]);
    image.has_filter = value[kFilter] != 0;
  }
  return image;
}

}  // namespace

Result<std::unique_ptr<FileImages>> FileImages::create(const Btf& btf) {
  BpfArray count = PD_TRY(BpfArray::create(sizeof(uint64_t), 1));
  BpfArray values = PD_TRY(BpfArray::create(sizeof(Value), kFilesMax));
  std::unique_ptr<FileImages> images(
      new FileImages(std::move(count), std::move(values)));  // NOLINT
  PD_TRY(images->load(btf));
  PD_TRY(images->try_on_ourselves());
  images->tells_ctime_ = knows(btf, kChangeSteps);
  if (!images->try_ctime_on_ourselves().ok()) images->tells_ctime_ = false;
  images->tells_streams_ = knows_streams(btf);
  if (!images->try_sockets_on_ourselves().ok()) images->tells_streams_ = false;
  return images;
}

Status FileImages::load(const Btf& btf) {
  const uint32_t iterator = PD_TRY(btf.id_of(Btf::Kind::kFunction, kIteratorFunction));
  const BpfCode code = PD_TRY(make_program(btf, count_.map(), values_.map()));
  program_ = PD_TRY(load_task_program(iterator, code));
  return {};
}

Status FileImages::try_on_ourselves() {
  const Error wrong(Code::kUnavailable, "an image of a file does not show what is there");
  const FileImage* const found = PD_TRY(own_image(program_.get()));
  if (!found->close_on_exec) return wrong;
  const struct stat file = PD_TRY(stat_fd(program_.get()));
  if (file.st_ino != found->inode || (file.st_mode & S_IFMT) != (found->mode & S_IFMT))
    return wrong;
  return {};
}

Status FileImages::try_ctime_on_ourselves() {
  const Fd memory = PD_TRY(make_memfd("perdure-try"));
  PD_TRY(truncate_file(memory.get(), 1));
  const FileImage* const found = PD_TRY(own_image(memory.get()));
  const struct stat file = PD_TRY(stat_fd(memory.get()));
  if (found->ctime_ns != ctime_ns_of(file))
    return Error(Code::kUnavailable, "an image of a file does not show when it changed");
  return {};
}

// A pair of which one end has been sent something.
Status FileImages::try_sockets_on_ourselves() {
  const Error wrong(Code::kUnavailable, "an image of a socket does not show what is there");
  const auto pair = PD_TRY(make_socket_pair(SOCK_STREAM));
  PD_TRY(send_message(pair.first.get(), {"x", {}, {}}));
  const struct stat file = PD_TRY(stat_fd(pair.first.get()));
  const FileImage* const image = PD_TRY(own_image(pair.second.get()));
  if (!image->unix_stream) return wrong;
  const UnixSocketInfo& info = *image->unix_stream;
  if (!info.has_peer || info.peer_inode != static_cast<uint32_t>(file.st_ino)) return wrong;
  if (info.shutdown != 0 || info.bytes_waiting != 1 || !info.address.empty()) return wrong;
  return {};
}

Result<const FileImage*> FileImages::own_image(int fd) {
  const std::span<const FileImage> own = PD_TRY(look(::getpid()));
  const auto found =
      std::find_if(own.begin(), own.end(), [fd](const FileImage& image) { return image.fd == fd; });
  if (found == own.end()) return Error(Code::kUnavailable, "an image of files does not show all");
  return &*found;
}

Result<std::span<const FileImage>> FileImages::look(pid_t pid) {
  auto [link, added] = links_.try_emplace(pid);
  if (added) {
    Result<Fd> made = link_thread_program(program_, pid);
    if (!made.ok()) {
      links_.erase(link);
      return std::move(made).error();
    }
    link->second = std::move(*made);
  }
  auto* count = static_cast<uint8_t*>(count_.at(0));
  store_le<uint64_t>(count, 0);
  PD_TRY(run_linked_program(link->second));
  const uint64_t files = load_le<uint64_t>(count);
  if (files > kFilesMax) return Error(Code::kLimit, "too many open files for an image");
  images_.clear();
  for (uint32_t i = 0; i < files; ++i) {
    const auto value = load_le<Value>(static_cast<const uint8_t*>(values_.at(i)));
    images_.push_back(image_of(value));
    if (!tells_ctime_) images_.back().ctime_ns = 0;
    if (tells_streams_ && images_.back().family == AF_UNIX)
      images_.back().unix_stream = stream_of(value);
  }
  return std::span<const FileImage>(images_);
}

}  // namespace perdure::kernel
