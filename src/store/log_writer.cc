#include "store/log_writer.h"

#include <zstd.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/checksum.h"
#include "store/frame.h"

namespace perdure::store {
namespace {

// A frame of pages is not begun where fewer would fit: its header costs a block.
constexpr uint64_t kSegmentTailBlocks = 9;
constexpr uint64_t kBufferTailBlocks = 17;
// At the end of each segment, for a catalog: so that epochs can be dropped when the disk is full.
constexpr uint64_t kCatalogReserveBlocks = 16;
// What is appended behind so much goes through the page cache: just as fast into allocated space
// (72 ms for 230 MiB, 83 ms direct), and a restore of what was just saved finds it in memory.
// Before that, direct: the copy would cost a small epoch more processor time than all the rest of
// writing it. And behind very much, direct again: other programs need the memory, and to free it
// while it is needed stops them (half a second at the first epoch of 10 GB, on 24).
constexpr uint64_t kDirectBytesMax = 8u << 20;
constexpr uint64_t kCachedBytesMax = uint64_t{1} << 30;
constexpr size_t kBufferBlocks = IoQueue::kBufferBytes / kBlockSize;
// Smaller payloads are not worth compressing: they take one block either way.
constexpr size_t kCompressMin = 4096;
constexpr int kZstdLevel =
    1;  // 500 MB/s on a page image; higher levels cost more time than they save space

}  // namespace

LogWriter::LogWriter(Setup setup)
    : setup_(std::move(setup)), queue_(setup_.device, setup_.thread, setup_.settled_event) {
  if (setup_.compress == Compress::kYes) {
    compressor_.reset(ZSTD_createCCtx());
    PD_ASSERT(compressor_ != nullptr);
    raw_pages_ = AlignedBuffer(kFramePagesMax * kPageSize);
    scratch_.resize(ZSTD_compressBound(kUnitPages * kPageSize));
  }
}

LogWriter::~LogWriter() = default;

void LogWriter::FreeCompressor::operator()(ZSTD_CCtx_s* context) const { ZSTD_freeCCtx(context); }

Status LogWriter::resume(FramePlace end_of_log, uint64_t anchor_sequence) {
  PD_ASSERT(!has_segment());
  std::shared_ptr<File> file =
      PD_TRY(setup_.device->open(segment_name(end_of_log.segment), FileMode::kWrite));
  const uint64_t blocks = PD_TRY(file->size()) / kBlockSize;
  segment_ = {end_of_log.segment, static_cast<uint32_t>(std::min<uint64_t>(blocks, UINT32_MAX)),
              std::move(file)};
  block_ = end_of_log.block;
  anchor_sequence_ = anchor_sequence;
  return Ok{};
}

FramePlace LogWriter::end() const { return {segment_.number, end_block()}; }

// --- pages

uint8_t* LogWriter::page_slot(uint32_t slot) {
  if (setup_.compress == Compress::kYes) return raw_pages_.data() + size_t{slot} * kPageSize;
  return buffer_.data() + fill_ + (1 + size_t{slot}) * kPageSize;
}

Status LogWriter::open_page_frame(Epoch epoch) {
  PD_TRY(reserve(kSegmentTailBlocks + kCatalogReserveBlocks, kBufferTailBlocks));
  const uint64_t in_buffer = kBufferBlocks - fill_ / kBlockSize;
  const uint64_t in_segment = segment_.blocks - kCatalogReserveBlocks - end_block();
  frame_.open = true;
  frame_.place = end();
  frame_.count = 0;
  frame_.capacity = static_cast<uint32_t>(
      std::min<uint64_t>(kFramePagesMax, std::min(in_buffer, in_segment) - 1));
  frame_epoch_ = epoch;
  return Ok{};
}

Result<MutableBytes> LogWriter::page_buffer(Epoch epoch) {
  if (!frame_.open) PD_TRY(open_page_frame(epoch));
  return room_in_frame();
}

MutableBytes LogWriter::room_in_frame() {
  if (!frame_.open) return {};
  return {page_slot(frame_.count), (frame_.capacity - frame_.count) * kPageSize};
}

Status LogWriter::make_room(Epoch epoch, uint64_t bytes) {
  const size_t front = std::min<uint64_t>(PD_TRY(page_buffer(epoch)).size(), bytes);
  const bool compresses = setup_.compress == Compress::kYes;
  AlignedBuffer& buffer = compresses ? raw_pages_ : buffer_;
  buffer.touch(static_cast<size_t>(page_slot(frame_.count) - buffer.data()) + front);
  return Ok{};
}

bool LogWriter::adopt(AlignedBuffer* buffer) {
  const bool fills_it =
      has_segment() && fill_ == 0 &&
      end_block() + kBufferBlocks + kCatalogReserveBlocks <= uint64_t{segment_.blocks};
  if (setup_.compress == Compress::kYes || frame_.open || !fills_it) return false;
  if (buffer_.valid()) queue_.give_back(std::move(buffer_));
  buffer_ = std::move(*buffer);
  return true;
}

Result<LogWriter::Placed> LogWriter::append_pages(Epoch epoch, Bytes pages) {
  PD_ASSERT(!pages.empty() && pages.size() % kPageSize == 0);
  if (!frame_.open) PD_TRY(open_page_frame(epoch));
  PD_ASSERT(frame_epoch_ == epoch);
  const auto taken = static_cast<uint32_t>(
      std::min<uint64_t>(pages.size() / kPageSize, frame_.capacity - frame_.count));
  const uint16_t flags = setup_.compress == Compress::kYes ? kExtentCompressed : 0;
  const Placed placed{
      {frame_.place.segment, frame_.place.block, static_cast<uint16_t>(frame_.count), flags},
      taken};
  for (uint32_t at = 0; at < taken; ++at) {
    uint8_t* to = page_slot(frame_.count);
    const uint8_t* from = pages.data() + size_t{at} * kPageSize;
    if (to != from) std::memmove(to, from, kPageSize);  // from may lie further on in this frame
    frame_.sums[frame_.count++] = checksum(Bytes(to, kPageSize));
  }
  if (frame_.count == frame_.capacity) {
    PD_TRY(seal_page_frame());
    if (kBufferBlocks - fill_ / kBlockSize < kBufferTailBlocks) PD_TRY(flush());
  }
  return placed;
}

// Compresses the open frame's pages behind its header block; returns their size, fills in that of
// each unit.
uint64_t LogWriter::compress_page_frame(uint8_t* frame, uint32_t* unit_bytes) {
  uint8_t* out = frame + kBlockSize;
  for (uint32_t first = 0; first < frame_.count; first += kUnitPages) {
    const size_t raw = std::min(kUnitPages, frame_.count - first) * kPageSize;
    const size_t size = ZSTD_compressCCtx(compressor_.get(), scratch_.data(), scratch_.size(),
                                          page_slot(first), raw, kZstdLevel);
    const bool worth_it = ZSTD_isError(size) == 0 && size < raw;
    std::memcpy(out, worth_it ? scratch_.data() : page_slot(first), worth_it ? size : raw);
    *unit_bytes = static_cast<uint32_t>(worth_it ? size : raw);
    out += *unit_bytes++;
  }
  return static_cast<uint64_t>(out - (frame + kBlockSize));
}

Status LogWriter::seal_page_frame() {
  if (!frame_.open) return Ok{};
  frame_.open = false;
  if (frame_.count == 0) return Ok{};
  uint8_t* const at = buffer_.data() + fill_;
  uint8_t* const table = at + sizeof(FrameHeader);
  std::memset(at, 0, kBlockSize);
  std::memcpy(table, frame_.sums, frame_.count * sizeof(uint64_t));
  FrameHeader header{};
  header.kind = static_cast<uint16_t>(FrameKind::kPages);
  header.place = frame_.place;
  header.epoch = frame_epoch_.value;
  header.pages = frame_.count;
  header.stored_bytes = frame_.count * sizeof(uint64_t);
  header.blocks = 1 + frame_.count;
  if (setup_.compress == Compress::kYes) {
    uint32_t unit_bytes[kFramePagesMax / kUnitPages + 1];
    const uint64_t bytes = compress_page_frame(at, unit_bytes);
    const uint32_t units = (frame_.count + kUnitPages - 1) / kUnitPages;
    std::memcpy(table + header.stored_bytes, unit_bytes, units * sizeof(uint32_t));
    header.flags = kFrameCompressed;
    header.stored_bytes += units * sizeof(uint32_t);
    header.blocks = static_cast<uint32_t>(1 + blocks_of(bytes));
    std::memset(at + kBlockSize + bytes, 0, (header.blocks - 1) * kBlockSize - bytes);
  }
  header.raw_bytes = header.stored_bytes;
  finish_frame(header, at);
  fill_ += header.blocks * kBlockSize;
  return Ok{};
}

// --- other frames

Result<FramePlace> LogWriter::append(FrameKind kind, Epoch epoch, Bytes payload) {
  PD_TRY(seal_page_frame());
  PD_ASSERT(payload.size() + kBlockSize <= kFrameBytesMax);
  FrameHeader header{};
  header.kind = static_cast<uint16_t>(kind);
  header.epoch = epoch.value;
  header.raw_bytes = static_cast<uint32_t>(payload.size());
  std::vector<uint8_t> compressed;
  if (setup_.compress == Compress::kYes && payload.size() >= kCompressMin) {
    compressed.resize(ZSTD_compressBound(payload.size()));
    const size_t size = ZSTD_compressCCtx(compressor_.get(), compressed.data(), compressed.size(),
                                          payload.data(), payload.size(), kZstdLevel);
    if (ZSTD_isError(size) == 0 && size < payload.size() && size >= payload.size() / 32768 + 1) {
      payload = Bytes(compressed).first(size);
      header.flags = kFrameCompressed;
    }
  }
  header.stored_bytes = static_cast<uint32_t>(payload.size());
  header.blocks = static_cast<uint32_t>(blocks_of(sizeof(FrameHeader) + payload.size()));
  const size_t size = header.blocks * kBlockSize;
  const uint64_t behind = kind == FrameKind::kCatalog ? 0 : kCatalogReserveBlocks;
  PD_TRY(reserve(header.blocks + behind, header.blocks));
  header.place = end();
  AlignedBuffer own = size > IoQueue::kBufferBytes ? AlignedBuffer(size) : AlignedBuffer();
  uint8_t* const at = own.valid() ? own.data() : buffer_.data() + fill_;
  std::memcpy(at + sizeof(FrameHeader), payload.data(), payload.size());
  std::memset(at + sizeof(FrameHeader) + payload.size(), 0,
              size - sizeof(FrameHeader) - payload.size());
  finish_frame(header, at);
  if (own.valid()) {
    queue_.write(segment_.file, uint64_t{block_} * kBlockSize, std::move(own), size);
    queue_.run_behind();
    block_ += header.blocks;
  } else {
    fill_ += size;
  }
  return header.place;
}

// The header's own fields last: everything behind it is in place.
void LogWriter::finish_frame(FrameHeader& header, uint8_t* at) {
  header.magic = kFrameMagic;
  header.store_id = setup_.store_id;
  header.payload_checksum = checksum(Bytes(at + sizeof(FrameHeader), header.stored_bytes));
  encode_frame_header(header, at);
  account(header, at);
}

void LogWriter::account(const FrameHeader& header, const uint8_t* at) {
  const uint64_t bytes = header.blocks * kBlockSize;
  appended_bytes_ += bytes;
  unsynced_.bytes += bytes;
  if (unsynced_.frames.size() > kVerifyFramesMax) return;
  unsynced_.frames.push_back({header.place, load_le<FrameHeader>(at).checksum});
}

// --- buffer and segments

Status LogWriter::reserve(uint64_t blocks, uint64_t wanted_blocks) {
  PD_ASSERT(!frame_.open);
  if (!has_segment() || end_block() + blocks > segment_.blocks) PD_TRY(begin_segment(blocks));
  if (fill_ != 0 && fill_ / kBlockSize + wanted_blocks > kBufferBlocks) PD_TRY(flush());
  if (!buffer_.valid()) buffer_ = queue_.take_buffer();
  return queue_.failure();
}

Through LogWriter::way_behind(uint64_t bytes) {
  return bytes > kDirectBytesMax && bytes <= kCachedBytesMax ? Through::kCache : Through::kDirect;
}

Status LogWriter::flush() {
  PD_TRY(seal_page_frame());
  if (fill_ == 0) return Ok{};
  queue_.write(segment_.file, uint64_t{block_} * kBlockSize, std::move(buffer_), fill_,
               way_behind(unsynced_.bytes));
  buffer_ = AlignedBuffer();
  block_ += static_cast<uint32_t>(fill_ / kBlockSize);
  // Small writes are left to whoever waits for them.
  if (fill_ >= IoQueue::kBufferBytes / 2) queue_.run_behind();
  fill_ = 0;
  return Ok{};
}

Status LogWriter::queue_sync() {
  PD_TRY(flush());
  if (has_segment()) queue_.sync(segment_.file);
  unsynced_ = {};
  unsynced_at_mark_ = {};
  return Ok{};
}

Status LogWriter::queue_anchor(FramePlace catalog, End how) {
  PD_TRY(flush());
  PD_ASSERT(has_segment());
  Anchor anchor{};
  anchor.magic = kAnchorMagic;
  anchor.store_id = setup_.store_id;
  anchor.sequence = ++anchor_sequence_;
  anchor.catalog = catalog;
  anchor.end_block = block_;
  anchor.flags = how == End::kClean ? kAnchorClean : 0;
  anchor.checksum = checksum(bytes_of(anchor).first(offsetof(Anchor, checksum)));
  AlignedBuffer block(kBlockSize);
  std::memset(block.data(), 0, kBlockSize);
  store_le(block.data(), anchor);
  const uint64_t at = kAnchorBlock + anchor_sequence_ % 2;
  queue_.write(segment_.file, at * kBlockSize, std::move(block), kBlockSize);
  return Ok{};
}

// A quarter of the store, so that a small store stays small and a large one has few files; and no
// more than this writer has written yet, because the rest of its last segment is lost if it ends
// uncleanly.
uint64_t LogWriter::next_segment_bytes(uint64_t blocks) const {
  uint64_t bytes = setup_.segment_bytes != 0 ? setup_.segment_bytes : kSegmentBytesMin;
  const uint64_t most = setup_.segment_bytes != 0 ? bytes : kSegmentBytesMax;
  const uint64_t wanted = std::min(setup_.space->allocated_bytes / 4, appended_bytes_);
  while (bytes < most && bytes < wanted) bytes *= 2;
  return std::max(bytes, (blocks + kFirstFrameBlock) * kBlockSize);
}

Result<std::shared_ptr<File>> LogWriter::create_segment(uint32_t number, uint64_t* bytes) {
  const std::string file_name = segment_name(number);
  const std::shared_ptr<File> file = PD_TRY(setup_.device->open(file_name, FileMode::kCreate));
  Status status = file->allocate(*bytes);
  // A small one may still fit.
  if (!status.ok() && status.error().code() == Code::kFull && *bytes > kSegmentBytesMin) {
    *bytes = kSegmentBytesMin;
    status = file->allocate(*bytes);
  }
  if (status.ok()) return file;
  PD_TRY(setup_.device->remove(file_name));
  return std::move(status).error();
}

Status LogWriter::begin_segment(uint64_t blocks) {
  PD_TRY(flush());
  uint64_t bytes = next_segment_bytes(blocks);
  const uint32_t number = ++setup_.space->newest_segment;
  auto file = create_segment(number, &bytes);
  if (!file.ok()) {
    if (file.error().code() != Code::kFull) return std::move(file).error();
    setup_.space->was_full = true;
    const auto left = setup_.device->free_bytes();
    const std::string have = left.ok() ? std::to_string(*left >> 20) + " MiB left, " : "";
    return Error(Code::kFull, "no space for the store in " + setup_.device->name() + ": " + have +
                                  std::to_string(bytes >> 20) + " MiB needed next")
        .with_remedy(
            "free space on that file system, or keep fewer epochs; the epochs stored so "
            "far are intact");
  }
  if ((blocks + kFirstFrameBlock) * kBlockSize > bytes) {  // the smaller one cannot hold this frame
    PD_TRY(setup_.device->remove(segment_name(number)));
    return Error(Code::kFull, "no space for the store in " + setup_.device->name())
        .with_remedy("free space on that file system, or keep fewer epochs");
  }
  if (has_segment()) queue_.sync(segment_.file);
  unsynced_.in_one_segment = unsynced_.in_one_segment && unsynced_.bytes == 0;
  segment_ = {number, static_cast<uint32_t>(bytes / kBlockSize), *file};
  begun_.push_back(number);
  setup_.space->allocated_bytes += bytes;
  block_ = kFirstFrameBlock;
  anchor_sequence_ = 0;
  return write_segment_header();
}

Status LogWriter::write_segment_header() {
  SegmentHeader header{};
  header.magic = kSegmentMagic;
  header.version = kFormatVersion;
  header.number = segment_.number;
  header.store_id = setup_.store_id;
  header.created_ns = setup_.clock->realtime_ns();
  header.catalog = catalog_;
  header.blocks = segment_.blocks;
  header.checksum = checksum(bytes_of(header).first(offsetof(SegmentHeader, checksum)));
  AlignedBuffer blocks(kFirstFrameBlock * kBlockSize);
  std::memset(blocks.data(), 0, blocks.size());
  store_le(blocks.data(), header);
  queue_.write(segment_.file, 0, std::move(blocks), kFirstFrameBlock * kBlockSize);
  queue_.sync_names();
  return Ok{};
}

// --- coming back

Result<LogWriter::Mark> LogWriter::mark() {
  PD_TRY(flush());
  begun_.clear();
  unsynced_at_mark_ = unsynced_;
  return Mark{segment_, block_, anchor_sequence_};
}

void LogWriter::drop_unqueued() {
  frame_.open = false;
  fill_ = 0;
  unsynced_ = {};
}

Status LogWriter::delete_begun() {
  while (!begun_.empty()) {
    const std::string file_name = segment_name(begun_.back());
    begun_.pop_back();
    const auto file = setup_.device->open(file_name, FileMode::kRead);
    if (file.ok()) {
      const auto size = (*file)->size();
      if (size.ok()) setup_.space->allocated_bytes -= *size;
    }
    PD_TRY(setup_.device->remove(file_name));
  }
  return Ok{};
}

Status LogWriter::rewind(const Mark& to) {
  drop_unqueued();
  const bool failed = !queue_.reset().ok();
  if (!failed) unsynced_ = std::exchange(unsynced_at_mark_, {});
  segment_ = failed ? Segment{} : to.segment;
  block_ = to.block;
  if (segment_.number == to.segment.number) anchor_sequence_ = to.anchor_sequence;
  return delete_begun();  // last: whatever comes of it, nothing is written to them any more
}

void LogWriter::start_afresh() {
  drop_unqueued();
  (void)queue_.reset();
  segment_ = {};
}

Status LogWriter::go_on_in(const Mark& end_of_other) {
  PD_TRY(queue_sync());
  segment_ = end_of_other.segment;
  block_ = end_of_other.block;
  anchor_sequence_ = end_of_other.anchor_sequence;
  begun_.clear();
  return Ok{};
}

}  // namespace perdure::store
