#include "store/store.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/assert.h"
#include "kernel/device_file.h"
#include "store/recovery.h"
#include "store/store_impl.h"

namespace perdure::store {
namespace {

// A writer may delete a segment between a reader's listing and opening it; a few fresh looks see a
// state without it.
constexpr int kReaderAttempts = 5;
// An epoch that lies in more segments than this takes more descriptors than a process usually has.
constexpr size_t kUsualSegments = 256;

// Has no state; a writer may outlive the Store that it came from.
const SystemClock kSystemClock;

Error no_store(const Device& device) {
  return Error(Code::kNotFound, "there is no store in " + device.name())
      .with_remedy("check the directory; an engine creates the store at its first checkpoint");
}

bool may_be_deleted(const Error& error) {
  return error.code() == Code::kCorrupt || error.code() == Code::kNotFound;
}

Result<Recovered> recover_for_writing(const std::shared_ptr<Device>& device, Create create,
                                      std::unique_ptr<DeviceLock>* lock) {
  if (create == Create::kIfMissing) PD_TRY(device->create());
  const auto names = device->list();
  if (!names.ok() && names.error().code() == Code::kNotFound) return no_store(*device);
  if (!names.ok()) return names.error();
  // Before the lock makes a file in what may not be ours.
  const bool any_segment = std::any_of(names->begin(), names->end(), [](const std::string& name) {
    return segment_number(name) != 0;
  });
  if (any_segment || names->empty()) *lock = PD_TRY(device->lock());
  Recovered found = PD_TRY(recover(device, Thoroughness::kWriter));
  if (found.store_id == 0 && create == Create::kNever) return no_store(*device);
  if (*lock == nullptr) *lock = PD_TRY(device->lock());
  return found;
}

Status open_for_writing(Options& options, Store::Impl& impl) {
  WriterCore::Setup setup;
  setup.found = PD_TRY(recover_for_writing(impl.device, options.create, &setup.lock));
  impl.warnings = setup.found.warnings;
  setup.device = impl.device;
  setup.clock = impl.clock;
  setup.segment_bytes = options.segment_bytes;
  setup.thread =
      options.writing == Writing::kInline ? IoQueue::Thread::kNone : IoQueue::Thread::kIfUseful;
  setup.compress = options.compression == CompressionKind::kZstd ? Compress::kYes : Compress::kNo;
  impl.core = PD_TRY(WriterCore::create(std::move(setup)));
  return Ok{};
}

Error read_only() { return Error(Code::kInvalid, "this store was opened for reading"); }

}  // namespace

Result<Recovered> recover_for_reading(const std::shared_ptr<Device>& device) {
  for (int attempt = 1;; ++attempt) {
    auto found = recover(device, Thoroughness::kReader);
    if (found.ok() && found->store_id == 0) return no_store(*device);
    if (found.ok() || !may_be_deleted(found.error()) || attempt == kReaderAttempts) return found;
  }
}

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::open(Options options) {
  auto impl = std::make_unique<Impl>();
  impl->device =
      options.device ? options.device : std::shared_ptr<Device>(linux_device(options.directory));
  impl->clock = options.clock != nullptr ? options.clock : &kSystemClock;
  if (options.access == Access::kWrite) {
    PD_TRY(open_for_writing(options, *impl));
  } else {
    Recovered found = PD_TRY(recover_for_reading(impl->device));
    impl->warnings = std::move(found.warnings);
    impl->read_catalog = std::move(found.catalog);
    impl->files = std::move(found.files);
  }
  return std::unique_ptr<Store>(new Store(std::move(impl)));  // NOLINT: private constructor
}

Result<std::unique_ptr<EpochWriter>> Store::begin_epoch(Begin begin) {
  if (!impl_->core) return read_only();
  Epoch parent;
  const Epoch epoch = PD_TRY(impl_->core->begin(begin.parent, begin.contents, &parent));
  return std::make_unique<EpochWriter>(impl_->core, epoch, parent);
}

int Store::durable_fd() { return impl_->core ? impl_->core->durable_fd() : -1; }

std::vector<SettledEpoch> Store::take_settled() {
  if (!impl_->core) return {};
  return impl_->core->take_settled();
}

InFlight Store::in_flight() const {
  if (!impl_->core) return {};
  impl_->core->settle_done();
  return impl_->core->in_flight();
}

std::vector<EpochInfo> Store::epochs() const {
  std::vector<EpochInfo> out;
  for (const EpochRecord& record : impl_->catalog().epochs) out.push_back(record.info);
  return out;
}

std::optional<EpochInfo> Store::newest() const {
  const Catalog& catalog = impl_->catalog();
  if (catalog.epochs.empty()) return {};
  return catalog.epochs.back().info;
}

Result<std::unique_ptr<EpochReader>> Store::read_epoch(Epoch epoch) const {
  const EpochRecord* record = PD_TRY(impl_->readable_catalog())->find(epoch);
  if (record == nullptr) {
    return Error(Code::kNotFound,
                 "there is no epoch " + std::to_string(epoch.value) + " in " + name())
        .with_remedy("`perdure log` lists the epochs");
  }
  // A set of its own, opened now: what this epoch needs stays readable when segments are deleted.
  auto files = std::make_shared<SegmentSet>(impl_->device, impl_->segments()->store_id(),
                                            SegmentSet::Keep::kAll);
  const std::string what = "epoch " + std::to_string(epoch.value) + " of " + name();
  auto state =
      std::make_shared<EpochState>(PD_TRY_WITHIN(what, read_state(*files, record->commit)));
  const std::vector<uint32_t> segments = segments_of(*state);
  if (segments.size() > kUsualSegments) kernel::allow_descriptors(segments.size());
  for (const uint32_t segment : segments) PD_TRY_WITHIN(what, files->open(segment));
  return std::make_unique<EpochReader>(record->info, std::move(state), std::move(files));
}

Status Store::refresh() {
  if (impl_->core) return Ok{};
  Recovered found = PD_TRY(recover_for_reading(impl_->device));
  impl_->read_catalog = std::move(found.catalog);
  impl_->files = std::move(found.files);
  return Ok{};
}

const std::vector<std::string>& Store::warnings() const { return impl_->warnings; }

const std::string& Store::name() const { return impl_->device->name(); }

std::vector<uint32_t> segments_of(const EpochState& state) {
  std::set<uint32_t> numbers;
  for (const auto& [object, entry] : state.objects) {
    if (entry.has_record) numbers.insert(entry.record.frame.segment);
    for (const PageMap::Slot& slot : entry.pages.slots()) {
      for (const PageExtent& extent : *slot.chunk) numbers.insert(extent.location.segment);
    }
  }
  return {numbers.begin(), numbers.end()};
}

}  // namespace perdure::store
