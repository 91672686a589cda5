#include "store/recovery.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/checksum.h"
#include "store/page_read.h"

namespace perdure::store {
namespace {

constexpr size_t kHeadBytes = kFirstFrameBlock * kBlockSize;
constexpr size_t kWindowBytes = 64u << 10;

// The fixed blocks of a segment.
struct SegmentHead {
  std::optional<SegmentHeader> header;
  std::vector<Anchor> anchors;  // valid ones, the newest first
  bool all_zero = false;        // up to and with the first block of frames
};

Error newer(const std::string& file, uint32_t version) {
  return Error(Code::kNewer, file + " is of format version " + std::to_string(version) +
                                 "; this program knows version " + std::to_string(kFormatVersion))
      .with_remedy("use the version that wrote it, or a newer one");
}

Result<std::optional<SegmentHeader>> decode_segment_header(Bytes bytes, const std::string& file) {
  const auto header = load_le<SegmentHeader>(bytes.data());
  if (header.magic != kSegmentMagic) return std::optional<SegmentHeader>();
  if (header.version > kFormatVersion) return newer(file, header.version);
  const Bytes summed = bytes.first(offsetof(SegmentHeader, checksum));
  if (header.version == 0 || header.checksum != checksum(summed)) {
    return std::optional<SegmentHeader>();
  }
  return std::optional<SegmentHeader>(header);
}

std::optional<Anchor> decode_anchor(Bytes bytes, uint64_t store_id) {
  const auto anchor = load_le<Anchor>(bytes.data());
  if (anchor.magic != kAnchorMagic || anchor.store_id != store_id) return {};
  if (anchor.checksum != checksum(bytes.first(offsetof(Anchor, checksum)))) return {};
  return anchor;
}

Result<SegmentHead> read_head(const File& file) {
  std::array<uint8_t, kHeadBytes + kBlockSize> bytes{};
  PD_TRY(file.read_at(0, bytes));
  SegmentHead head;
  head.all_zero = all_zero(Bytes(bytes).subspan(kHeadBytes));
  head.header = PD_TRY(decode_segment_header(bytes, file.name()));
  if (!head.header) return head;
  for (uint32_t block = kAnchorBlock; block < kAnchorBlock + 2; ++block) {
    const Bytes at = Bytes(bytes).subspan(block * kBlockSize, sizeof(Anchor));
    if (auto anchor = decode_anchor(at, head.header->store_id)) head.anchors.push_back(*anchor);
  }
  std::sort(head.anchors.begin(), head.anchors.end(),
            [](const Anchor& a, const Anchor& b) { return a.sequence > b.sequence; });
  return head;
}

// Reads blocks through a window, because frames of small epochs follow each other closely.
class BlockWindow {
 public:
  explicit BlockWindow(const File& file) : file_(file) {}

  // The bytes from this block on, at least one block; empty at the end of the file.
  Result<Bytes> at(uint32_t block) {
    const uint64_t offset = uint64_t{block} * kBlockSize;
    if (offset < begin_ || offset + kBlockSize > begin_ + bytes_.size()) {
      bytes_.resize(kWindowBytes);
      bytes_.resize(PD_TRY(file_.read_at(offset, bytes_)));
      begin_ = offset;
    }
    const size_t skip = std::min<size_t>(offset - begin_, bytes_.size());
    return Bytes(bytes_).subspan(skip);
  }

 private:
  const File& file_;
  uint64_t begin_ = 0;
  std::vector<uint8_t> bytes_;
};

class Walk {
 public:
  Walk(Recovered& found, Thoroughness thoroughness) : found_(found), thoroughness_(thoroughness) {}

  // Walks one segment from this block on.
  Status segment(uint32_t number, uint32_t block);
  // Drops the last commit if it was not completed.
  Status finish();
  // Tells of what is damaged in front of a commit: that was written when it was durable. What was
  // torn in front of nothing, or of a commit that never happened, was promised to nobody.
  void tell_of_damage();
  bool tail_is_zero() const { return tail_is_zero_; }
  void start_from(FramePlace place, Catalog catalog) {
    found_.catalog = std::move(catalog);
    found_.catalog_place = place;
    found_.commits_since_catalog = found_.bytes_since_catalog = 0;
    last_.reset();
  }

 private:
  // The frame at this block, or nothing if there is none.
  Result<std::optional<FrameHeader>> frame_at(const File& file, FramePlace place, Bytes bytes);
  Status take(const FrameHeader& header);
  Result<bool> last_was_torn() const;
  void note_damage(FramePlace end);
  void blame_suspected(FramePlace place);

  Recovered& found_;
  Thoroughness thoroughness_;
  std::optional<Commit> last_;          // the last commit behind the last catalog
  uint32_t damaged_at_ = 0;             // block; 0: no damage where the walk is
  std::vector<std::string> suspected_;  // damage with no commit behind it so far
  std::vector<std::string> damage_;     // in front of the last commit or catalog
  bool tail_is_zero_ = true;
};

Result<std::optional<FrameHeader>> Walk::frame_at(const File& file, FramePlace place, Bytes bytes) {
  auto header = decode_frame_header(bytes, place, found_.store_id, file.name());
  if (!header.ok()) {
    if (header.error().code() == Code::kNewer) return std::move(header).error();
    return std::optional<FrameHeader>();
  }
  const Status taken = take(*header);
  if (taken.ok()) return std::optional<FrameHeader>(*header);
  if (taken.error().code() != Code::kCorrupt) return taken.error();
  return std::optional<FrameHeader>();
}

Status Walk::take(const FrameHeader& header) {
  found_.bytes_since_catalog += header.blocks * kBlockSize;
  if (header.kind == static_cast<uint16_t>(FrameKind::kCommit)) {
    const Frame frame = PD_TRY(found_.files->read_metadata(header.place));
    Commit commit = PD_TRY(read_commit(frame));
    blame_suspected(header.place);
    found_.catalog.add(commit.record);
    ++found_.commits_since_catalog;
    last_ = std::move(commit);
  } else if (header.kind == static_cast<uint16_t>(FrameKind::kCatalog)) {
    const Frame frame = PD_TRY(found_.files->read_frame(header.place, FrameKind::kCatalog));
    Catalog catalog = PD_TRY(decode_catalog(frame.payload));
    // It may supersede what a crash left: what was torn in front of a commit that it does not list.
    if (!damage_.empty() && last_ && catalog.find(last_->record.info.epoch) == nullptr &&
        PD_TRY(last_was_torn())) {
      damage_.clear();
    }
    blame_suspected(header.place);
    start_from(header.place, std::move(catalog));
  }
  return Ok{};
}

void Walk::note_damage(FramePlace end) {
  if (damaged_at_ == 0) return;
  suspected_.push_back(segment_name(end.segment) + " is damaged from byte " +
                       std::to_string(uint64_t{damaged_at_} * kBlockSize) + " to byte " +
                       std::to_string(uint64_t{end.block} * kBlockSize) +
                       "; an epoch that was stored there is lost");
  damaged_at_ = 0;
}

void Walk::blame_suspected(FramePlace place) {
  note_damage(place);
  tell_of_damage();
  damage_ = std::exchange(suspected_, {});
}

void Walk::tell_of_damage() {
  for (std::string& text : std::exchange(damage_, {})) found_.warnings.push_back(std::move(text));
}

Status Walk::segment(uint32_t number, uint32_t block) {
  const std::shared_ptr<File> file = PD_TRY(found_.files->open(number));
  BlockWindow window(*file);
  tail_is_zero_ = true;
  found_.end = {number, block};
  suspected_.clear();
  damaged_at_ = 0;
  for (;;) {
    const Bytes bytes = PD_TRY(window.at(block));
    if (bytes.size() < kBlockSize) return Ok{};
    const auto header = PD_TRY(frame_at(*file, {number, block}, bytes));
    if (header) {
      note_damage({number, block});
      block += header->blocks;
      found_.end = {number, block};
      continue;
    }
    if (tail_is_zero_ && all_zero(bytes.first(kBlockSize))) return Ok{};
    tail_is_zero_ = false;
    if (thoroughness_ == Thoroughness::kReader) return Ok{};
    if (damaged_at_ == 0) damaged_at_ = block;
    ++block;  // behind damage: look at every block
  }
}

// Whether something is missing that the last commit needs and that was not synced before it.
Result<bool> Walk::last_was_torn() const {
  for (const VerifyEntry& entry : last_->verify) {
    const Status status = verify_frame(*found_.files, entry);
    if (status.ok()) continue;
    if (status.error().code() != Code::kCorrupt) return status.error();
    return true;
  }
  return false;
}

Status Walk::finish() {
  if (!last_ || !PD_TRY(last_was_torn())) return Ok{};
  const Epoch lost = last_->record.info.epoch;
  std::erase_if(found_.catalog.epochs,
                [&](const EpochRecord& record) { return record.info.epoch == lost; });
  --found_.commits_since_catalog;
  damage_.clear();
  return Ok{};
}

Status find_segments(Device& device, Recovered& found) {
  bool foreign = false;
  std::string example;
  for (const std::string& name : PD_TRY(device.list())) {
    if (const uint32_t number = segment_number(name)) {
      found.segments.push_back(number);
    } else if (name != "lock") {
      foreign = true;
      example = name;
    }
  }
  std::sort(found.segments.begin(), found.segments.end());
  if (found.segments.empty() && foreign) {
    return Error(Code::kInvalid,
                 device.name() + " is not a store: it holds other files (" + example + ")")
        .with_remedy("name an empty or a new directory");
  }
  return Ok{};
}

// The newest segment whose header is valid tells the store's id and where to begin.
Result<std::optional<SegmentHead>> find_newest_head(const SegmentSet& files, Recovered& found) {
  std::optional<SegmentHead> newest;
  bool damaged = false;
  std::string file_name;
  for (auto at = found.segments.rbegin(); at != found.segments.rend() && !newest; ++at) {
    const std::shared_ptr<File> file = PD_TRY(files.open(*at));
    SegmentHead head = PD_TRY(read_head(*file));
    if (head.header && head.header->number == *at) {
      newest = std::move(head);
    } else if (head.all_zero) {
      found.unwritten.push_back(*at);
    } else {
      damaged = true;
      file_name = file->name();
    }
  }
  if (!newest && damaged) return corrupt(file_name, 0, "no segment has a valid header");
  return newest;
}

Status walk_all(const SegmentHead& head, Recovered& found, Walk& walk) {
  std::vector<FramePlace> hints;
  for (const Anchor& anchor : head.anchors) hints.push_back(anchor.catalog);
  hints.push_back(head.header->catalog);
  FramePlace begin{found.segments.front(), kFirstFrameBlock};
  for (const FramePlace& hint : hints) {
    if (hint.none()) continue;
    const auto frame = found.files->read_frame(hint, FrameKind::kCatalog);
    if (!frame.ok()) continue;  // never durable, or gone with its segment
    auto catalog = decode_catalog(frame->payload);
    if (!catalog.ok()) continue;
    walk.start_from(hint, *std::move(catalog));
    begin = {hint.segment, hint.block + frame->header.blocks};
    break;
  }
  for (const uint32_t number : found.segments) {
    if (number < begin.segment) continue;
    PD_TRY(walk.segment(number, number == begin.segment ? begin.block : kFirstFrameBlock));
  }
  return Ok{};
}

// The log of a store that was closed cleanly ends where its anchor says, or something is lost.
void check_end(const Anchor& anchor, bool tail_is_zero, Recovered& found) {
  found.clean = tail_is_zero && found.end.block == anchor.end_block;
  if (found.end.block < anchor.end_block) {
    found.warnings.push_back(place_name(found.end) + ": the log is damaged up to byte " +
                             std::to_string(uint64_t{anchor.end_block} * kBlockSize) +
                             "; epochs that were stored there are lost");
  }
}

Status verify_page_frame(const SegmentSet& segments, FramePlace place) {
  const auto table = PD_TRY(segments.read_page_table(place));
  const bool compressed = (table->header.flags & kFrameCompressed) != 0;
  const PageExtent all{
      0,
      table->header.pages,
      {place.segment, place.block, 0, compressed ? kExtentCompressed : uint16_t{0}}};
  std::vector<uint8_t> pages(all.count * kPageSize);
  return read_extent(segments, all, pages);
}

}  // namespace

Status verify_frame(const SegmentSet& segments, const VerifyEntry& entry) {
  const std::shared_ptr<File> file = PD_TRY(segments.open(entry.place.segment));
  std::array<uint8_t, sizeof(FrameHeader)> bytes;
  const uint64_t offset = uint64_t{entry.place.block} * kBlockSize;
  const size_t got = PD_TRY(file->read_at(offset, bytes));
  const FrameHeader header = PD_TRY(
      decode_frame_header(Bytes(bytes).first(got), entry.place, segments.store_id(), file->name()));
  if (header.checksum != entry.header_checksum)
    return corrupt(file->name(), offset, "a stale frame");
  if (header.kind == static_cast<uint16_t>(FrameKind::kPages)) {
    return verify_page_frame(segments, entry.place);
  }
  PD_TRY(segments.read_frame(entry.place, static_cast<FrameKind>(header.kind)));
  return Ok{};
}

Result<Recovered> recover(const std::shared_ptr<Device>& device, Thoroughness thoroughness) {
  Recovered found;
  PD_TRY(find_segments(*device, found));
  SegmentSet any_id(device, 0);
  const auto head = PD_TRY(find_newest_head(any_id, found));
  if (!head) return found;
  found.store_id = head->header->store_id;
  found.files = std::make_shared<SegmentSet>(device, found.store_id);
  // Where the log was closed cleanly, nobody is writing behind its end.
  const bool closed = head->header->number == found.segments.back() && !head->anchors.empty() &&
                      (head->anchors.front().flags & kAnchorClean) != 0;
  Walk walk(found, closed ? Thoroughness::kWriter : thoroughness);
  PD_TRY(walk_all(*head, found, walk));
  if (!head->anchors.empty()) found.anchor_sequence = head->anchors.front().sequence;
  if (closed) check_end(head->anchors.front(), walk.tail_is_zero(), found);
  if (closed) walk.tell_of_damage();
  if (!found.clean) PD_TRY(walk.finish());
  walk.tell_of_damage();
  for (const uint32_t number : found.segments) {
    const std::shared_ptr<File> file = PD_TRY(found.files->open(number));
    found.allocated_bytes += PD_TRY(file->size());
  }
  return found;
}

}  // namespace perdure::store
