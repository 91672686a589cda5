#include "kernel/bpf.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "base/limits.h"

namespace perdure::kernel {
namespace {

constexpr const char* kLicense = "GPL";  // the helpers that our programs use ask for it
constexpr size_t kLogBytes = 65536;

long bpf(bpf_cmd command, bpf_attr& attributes) {
  return ::syscall(SYS_bpf, command, &attributes, sizeof(attributes));
}

uint64_t pointer(const void* address) { return reinterpret_cast<uint64_t>(address); }

Error failed(const char* operation) {
  const int number = errno;
  Error error = Error::system(number, operation);
  return number == EPERM ? std::move(error) : std::move(error).with_code(Code::kUnavailable);
}

Result<Fd> load(bpf_attach_type type, uint32_t type_id, const BpfCode& code) {
  bpf_attr attributes = {};
  attributes.prog_type = BPF_PROG_TYPE_TRACING;
  attributes.expected_attach_type = type;
  attributes.attach_btf_id = type_id;
  attributes.insns = pointer(code.instructions().data());
  attributes.insn_cnt = static_cast<uint32_t>(code.instructions().size());
  attributes.license = pointer(kLicense);
  Fd program = Fd::adopt(static_cast<int>(bpf(BPF_PROG_LOAD, attributes)));
  if (program.valid() || errno == EPERM) {
    return program.valid() ? Result<Fd>(std::move(program)) : failed("load a BPF program");
  }
  // Once more, to learn what is wrong with it.
  std::string log(kLogBytes, '\0');
  attributes.log_buf = pointer(log.data());
  attributes.log_size = kLogBytes;
  attributes.log_level = 1;
  (void)bpf(BPF_PROG_LOAD, attributes);
  log.resize(std::strlen(log.c_str()));
  return Error(Code::kUnavailable, "the kernel refuses a BPF program: " + log);
}

}  // namespace

Result<BpfArray> BpfArray::create(uint32_t value_bytes, uint32_t entries, Use use) {
  PD_ASSERT(value_bytes % 8 == 0 && entries > 0);
  bpf_attr attributes = {};
  attributes.map_type = BPF_MAP_TYPE_ARRAY;
  attributes.key_size = sizeof(uint32_t);
  attributes.value_size = value_bytes;
  attributes.max_entries = entries;
  attributes.map_flags = BPF_F_MMAPABLE;
  if (use == Use::kReplaced) attributes.map_flags |= BPF_F_INNER_MAP;  // of any length
  BpfArray array;
  array.map_ = Fd::adopt(static_cast<int>(bpf(BPF_MAP_CREATE, attributes)));
  if (!array.map_.valid()) return failed("create a BPF map");
  array.value_bytes_ = value_bytes;
  const uint64_t bytes = uint64_t{value_bytes} * entries;
  array.bytes_ = (bytes + kPageSize - 1) / kPageSize * kPageSize;
  void* memory =
      ::mmap(nullptr, array.bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, array.map_.get(), 0);
  if (memory == MAP_FAILED) return failed("map a BPF map");
  array.memory_ = memory;
  return array;
}

BpfArray::BpfArray(BpfArray&& other) noexcept
    : map_(std::move(other.map_)),
      memory_(std::exchange(other.memory_, nullptr)),
      bytes_(other.bytes_),
      value_bytes_(other.value_bytes_) {}

BpfArray::~BpfArray() {
  if (memory_ != nullptr) ::munmap(memory_, bytes_);
}

void* BpfArray::at(uint32_t key) const {
  const uint64_t offset = uint64_t{key} * value_bytes_;
  PD_ASSERT(memory_ != nullptr && offset + value_bytes_ <= bytes_);
  return static_cast<char*>(memory_) + offset;
}

Result<BpfArraySlot> BpfArraySlot::create(uint32_t value_bytes) {
  const BpfArray sample = PD_TRY(BpfArray::create(value_bytes, 1, BpfArray::Use::kReplaced));
  bpf_attr attributes = {};
  attributes.map_type = BPF_MAP_TYPE_ARRAY_OF_MAPS;
  attributes.key_size = sizeof(uint32_t);
  attributes.value_size = sizeof(uint32_t);
  attributes.max_entries = 1;
  attributes.inner_map_fd = static_cast<uint32_t>(sample.map().get());
  BpfArraySlot slot;
  slot.map_ = Fd::adopt(static_cast<int>(bpf(BPF_MAP_CREATE, attributes)));
  if (!slot.map_.valid()) return failed("create a BPF map");
  return slot;
}

Status BpfArraySlot::put(const BpfArray& array) {
  const uint32_t key = 0, inner = static_cast<uint32_t>(array.map().get());
  bpf_attr attributes = {};
  attributes.map_fd = static_cast<uint32_t>(map_.get());
  attributes.key = pointer(&key);
  attributes.value = pointer(&inner);
  if (bpf(BPF_MAP_UPDATE_ELEM, attributes) == 0) return {};
  return failed("put a BPF map into another");
}

Result<BpfTable> BpfTable::create(uint32_t entries_max) {
  bpf_attr attributes = {};
  attributes.map_type = BPF_MAP_TYPE_HASH;
  attributes.key_size = sizeof(uint64_t);
  attributes.value_size = sizeof(uint64_t);
  attributes.max_entries = entries_max;
  BpfTable table;
  table.map_ = Fd::adopt(static_cast<int>(bpf(BPF_MAP_CREATE, attributes)));
  if (!table.map_.valid()) return failed("create a BPF map");
  return table;
}

Status BpfTable::add(uint64_t key, uint64_t value) {
  bpf_attr attributes = {};
  attributes.map_fd = static_cast<uint32_t>(map_.get());
  attributes.key = pointer(&key);
  attributes.value = pointer(&value);
  attributes.flags = BPF_NOEXIST;
  if (bpf(BPF_MAP_UPDATE_ELEM, attributes) == 0) return {};
  if (errno == EEXIST) return Error(Code::kExists, "the key is in the BPF map already");
  return failed("add to a BPF map");
}

void BpfTable::remove(uint64_t key) {
  bpf_attr attributes = {};
  attributes.map_fd = static_cast<uint32_t>(map_.get());
  attributes.key = pointer(&key);
  (void)bpf(BPF_MAP_DELETE_ELEM, attributes);
}

Result<Fd> load_tracepoint_program(uint32_t tracepoint_type, const BpfCode& code) {
  return load(BPF_TRACE_RAW_TP, tracepoint_type, code);
}

Result<Fd> attach_tracepoint_program(const Fd& program) {
  bpf_attr attributes = {};
  attributes.raw_tracepoint.prog_fd = static_cast<uint32_t>(program.get());
  Fd link = Fd::adopt(static_cast<int>(bpf(BPF_RAW_TRACEPOINT_OPEN, attributes)));
  if (!link.valid()) return failed("attach a BPF program to a tracepoint");
  return link;
}

namespace {

Result<Fd> link_task_program(const Fd& program, bpf_iter_link_info& which) {
  bpf_attr attributes = {};
  attributes.link_create.prog_fd = static_cast<uint32_t>(program.get());
  attributes.link_create.attach_type = BPF_TRACE_ITER;
  attributes.link_create.iter_info = pointer(&which);
  attributes.link_create.iter_info_len = sizeof(which);
  Fd link = Fd::adopt(static_cast<int>(bpf(BPF_LINK_CREATE, attributes)));
  if (!link.valid()) return failed("make a BPF iterator");
  return link;
}

}  // namespace

Result<Fd> load_task_program(uint32_t iterator_type, const BpfCode& code) {
  return load(BPF_TRACE_ITER, iterator_type, code);
}

Status run_task_program(const Fd& program, pid_t tid) {
  const Fd link = PD_TRY(link_thread_program(program, tid));
  return run_linked_program(link);
}

Result<Fd> link_thread_program(const Fd& program, pid_t tid) {
  bpf_iter_link_info which = {};
  which.task.tid = static_cast<uint32_t>(tid);
  return link_task_program(program, which);
}

Result<Fd> link_process_program(const Fd& program, pid_t pid) {
  bpf_iter_link_info which = {};
  which.task.pid = static_cast<uint32_t>(pid);
  return link_task_program(program, which);
}

Status run_linked_program(const Fd& link) {
  bpf_attr attributes = {};
  attributes.iter_create.link_fd = static_cast<uint32_t>(link.get());
  Fd iterator = Fd::adopt(static_cast<int>(bpf(BPF_ITER_CREATE, attributes)));
  if (!iterator.valid()) return failed("open a BPF iterator");
  char nothing[64];
  while (::read(iterator.get(), nothing, sizeof(nothing)) > 0) {
  }
  return {};
}

}  // namespace perdure::kernel
