#include "cli/epoch_view.h"

#include <fmt/format.h>

#include "base/limits.h"
#include "cli/field_text.h"
#include "object/file.pb.h"
#include "object/kind.h"
#include "object/process.pb.h"

namespace perdure::cli {
namespace {

std::unique_ptr<google::protobuf::Message> empty_message(uint32_t kind) {
  switch (static_cast<object::Kind>(kind)) {
    case object::Kind::kGroup:
      return std::make_unique<object::Group>();
    case object::Kind::kProcess:
      return std::make_unique<object::Process>();
    case object::Kind::kThread:
      return std::make_unique<object::Thread>();
    case object::Kind::kAddressSpace:
      return std::make_unique<object::AddressSpace>();
    case object::Kind::kMemoryObject:
      return std::make_unique<object::MemoryObject>();
    case object::Kind::kOpenFile:
      return std::make_unique<object::OpenFile>();
    case object::Kind::kPipeBuffer:
      return std::make_unique<object::PipeBuffer>();
    case object::Kind::kPty:
      return std::make_unique<object::Pty>();
  }
  return nullptr;
}

StoredObject decode(ObjectId id, uint32_t kind, Bytes bytes) {
  StoredObject object;
  object.id = id;
  object.kind = kind;
  object.bytes.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  object.message = empty_message(kind);
  if (object.message != nullptr && !object.message->ParseFromString(object.bytes))
    object.message.reset();
  return object;
}

std::string process_title(const object::Process& process) {
  return fmt::format("process {} ({})", process.pid(), process.comm());
}

std::string file_target(const object::OpenFile& file) {
  switch (file.kind_case()) {
    case object::OpenFile::kRegular:
      return file.regular().identity().path();
    case object::OpenFile::kDirectory:
      return file.directory().identity().path();
    case object::OpenFile::kPathOnly:
      return file.path_only().identity().path();
    case object::OpenFile::kDevice:
      return file.device().path();
    case object::OpenFile::kPipe:
      return file.pipe().fifo_path().empty() ? "pipe" : file.pipe().fifo_path();
    case object::OpenFile::kEventfd:
      return "eventfd";
    case object::OpenFile::kEpoll:
      return "epoll";
    case object::OpenFile::kTimerfd:
      return "timerfd";
    case object::OpenFile::kSignalfd:
      return "signalfd";
    case object::OpenFile::kMemfd:
      return "memory object";
    case object::OpenFile::kStandardStream:
      return "standard stream " + file.standard_stream().description();
    case object::OpenFile::kPty:
      return file.pty().master() ? "pty master" : "pty";
    case object::OpenFile::kUnixSocket: {
      std::string address = bytes_text_of("UnixSocket.address", file.unix_socket().address());
      return address == "\"\"" ? "unix socket" : "unix socket " + address;
    }
    case object::OpenFile::kTcpListener:
      return fmt::format("tcp listener on port {}", file.tcp_listener().port());
    case object::OpenFile::KIND_NOT_SET:
      break;
  }
  return "";
}

}  // namespace

Result<EpochView> EpochView::load(const store::Store& store, Epoch epoch) {
  EpochView view;
  view.reader_ = PD_TRY(store.read_epoch(epoch));
  PD_TRY(view.reader_->for_each_record([&view](ObjectId id, uint32_t kind, Bytes bytes) -> Status {
    view.objects_[id] = decode(id, kind, bytes);
    return Ok{};
  }));
  for (const store::ObjectSummary& summary : view.reader_->objects()) {
    StoredObject& object = view.objects_[summary.object];
    object.id = summary.object;
    object.pages = summary.pages;
  }
  return view;
}

const StoredObject* EpochView::find(ObjectId id) const {
  auto at = objects_.find(id);
  return at == objects_.end() ? nullptr : &at->second;
}

std::string EpochView::owner_of(ObjectId address_space) const {
  for (const auto& [id, object] : objects_) {
    const auto* process = dynamic_cast<const object::Process*>(object.message.get());
    if (process != nullptr && process->address_space() == address_space.value)
      return process_title(*process);
  }
  return "";
}

std::string EpochView::title(ObjectId id) const {
  const StoredObject* object = find(id);
  if (object == nullptr) return "nothing";
  std::string kind =
      object->kind == 0 ? "pages" : object::kind_name(static_cast<object::Kind>(object->kind));
  if (const auto* process = find_as<object::Process>(id)) return process_title(*process);
  if (const auto* thread = find_as<object::Thread>(id)) {
    return fmt::format("thread {} ({})", thread->tid(), thread->comm());
  }
  if (const auto* file = find_as<object::OpenFile>(id)) {
    std::string target = file_target(*file);
    return target.empty() ? kind : kind + " " + target;
  }
  if (const auto* memory = find_as<object::MemoryObject>(id)) {
    return fmt::format("{} {} {}", kind, object::MemoryObject::Kind_Name(memory->kind()),
                       memory->name());
  }
  if (find_as<object::AddressSpace>(id) != nullptr) {
    std::string owner = owner_of(id);
    return owner.empty() ? kind : kind + " of " + owner;
  }
  if (const auto* group = find_as<object::Group>(id)) return kind + " " + group->name();
  return kind;
}

std::string EpochView::name_of(const object::Vma& vma) const {
  if (vma.stack()) return "stack";
  if (vma.heap()) return "heap";
  ObjectId file(vma.file());
  if (const auto* open = find_as<object::OpenFile>(file)) return file_target(*open);
  if (const auto* memory = find_as<object::MemoryObject>(file)) {
    return memory->name().empty() ? "shared memory" : memory->name();
  }
  return vma.kind() == object::Vma::ANONYMOUS ? "anonymous" : object::Vma::Kind_Name(vma.kind());
}

std::string EpochView::place_of_page(ObjectId memory, uint64_t page) const {
  const auto* space = find_as<object::AddressSpace>(memory);
  if (space == nullptr) return "";
  uint64_t address = page << kPageShift;
  for (const object::Vma& vma : space->vmas()) {
    if (address >= vma.start() && address < vma.end()) return name_of(vma);
  }
  return "unmapped";
}

}  // namespace perdure::cli
