// LogWriter: lays frames out at the end of the log. Pages are copied and hashed into a frame of a
// megabyte that grows in place in the write buffer; frames follow each other without gaps, so that
// a small epoch is one write. Invariants: at most one frame of pages is open; a frame never crosses
// its buffer (unless it has its own) or its segment; what is queued for segment N is queued to be
// synced before anything of segment N+1 is.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "store/format.h"
#include "store/io_queue.h"
#include "store/page_map.h"

struct ZSTD_CCtx_s;

namespace perdure::store {

enum class Compress : uint8_t { kNo, kYes };

// What all who write segments of one store share, on whatever thread.
struct LogSpace {
  std::atomic<uint32_t> newest_segment = 0;   // the highest number in use; the next one is higher
  std::atomic<uint64_t> allocated_bytes = 0;  // by all segments: sizes the next one
  std::atomic<bool> was_full = false;         // a segment could not be made
};

class LogWriter {
 public:
  struct Setup {
    std::shared_ptr<Device> device;
    const Clock* clock = nullptr;
    uint64_t store_id = 0;
    Compress compress = Compress::kNo;
    std::shared_ptr<LogSpace> space = std::make_shared<LogSpace>();
    uint64_t segment_bytes = 0;  // 0: by the size of the store
    IoQueue::Thread thread = IoQueue::Thread::kIfUseful;
    const Fd* settled_event = nullptr;  // see IoQueue
  };
  explicit LogWriter(Setup setup);
  ~LogWriter();

  // Goes on in an existing segment, at a block behind which nothing was ever written.
  Status resume(FramePlace end, uint64_t anchor_sequence);
  // Begins a new segment, with room for at least so many blocks.
  Status begin_segment(uint64_t blocks);
  bool has_segment() const { return segment_.file != nullptr; }

  struct Placed {
    Location location;
    uint32_t count = 0;
  };
  // Stores a front part of these pages (at least one) together.
  Result<Placed> append_pages(Epoch epoch, Bytes pages);
  // Where append_pages() would put the next pages: it copies nothing if it is given them from
  // there.
  Result<MutableBytes> page_buffer(Epoch epoch);
  // The room that is left in the open frame of pages; empty if none is open.
  MutableBytes room_in_frame();
  // Has the system give the memory for so many bytes of pages there, if there is room for them.
  Status make_room(Epoch epoch, uint64_t bytes);
  // Makes this the write buffer if a frame of pages that begins at its front would fill it: pages
  // that lie there already are not copied. False: the buffer is still the caller's.
  bool adopt(AlignedBuffer* buffer);
  Result<FramePlace> append(FrameKind kind, Epoch epoch, Bytes payload);

  // Ends the open frame of pages.
  Status flush_pages() { return seal_page_frame(); }
  // Hands what there is to the queue.
  Status flush();
  // How bytes are written that lie behind so many which were not synced yet.
  static Through way_behind(uint64_t bytes);
  // Queues a sync of all frames so far.
  Status queue_sync();
  // Queues an anchor (not synced) that names this catalog.
  enum class End : uint8_t { kOpen, kClean };
  Status queue_anchor(FramePlace catalog, End end);

  // What was appended since the last queue_sync().
  struct Unsynced {
    std::vector<VerifyEntry> frames;  // to verify; not all of them if they are many
    uint64_t bytes = 0;
    bool in_one_segment = true;
  };
  const Unsynced& unsynced() const { return unsynced_; }
  // Bytes of all frames so far.
  uint64_t appended_bytes() const { return appended_bytes_; }

  struct Segment {
    uint32_t number = 0;
    uint32_t blocks = 0;
    std::shared_ptr<File> file;
  };
  // A place in a segment that is being written.
  struct Mark {
    Segment segment;
    uint32_t block = 0;
    uint64_t anchor_sequence = 0;
  };
  // Where the next frame will be written; nothing is waiting to be queued.
  Mark place() const { return {segment_, block_, anchor_sequence_}; }
  // The place to come back to; an earlier one is forgotten.
  Result<Mark> mark();
  // Drops what was appended since the mark: segments that were begun are deleted. Nothing of it may
  // be committed. What is queued is executed first; after a failure of the queue, which is
  // forgotten here, the log goes on in a new segment.
  Status rewind(const Mark& mark);
  // Drops what is not queued yet and forgets a failure of the queue; the log goes on in a new
  // segment.
  void start_afresh();
  // Goes on in a segment of another LogWriter of this store, which is gone; all of that segment is
  // durable, and what was appended here is queued to be synced.
  Status go_on_in(const Mark& end_of_other);
  // The segments begun since the mark.
  const std::vector<uint32_t>& begun() const { return begun_; }

  IoQueue& queue() { return queue_; }
  const IoQueue& queue() const { return queue_; }
  // Where the next frame will lie, if it fits there.
  FramePlace end() const;
  // The next frame will lie in this segment or a later one.
  uint32_t first_segment() const {
    return has_segment() ? segment_.number : setup_.space->newest_segment + 1;
  }
  const std::shared_ptr<LogSpace>& space() const { return setup_.space; }
  // The catalog that headers of new segments name.
  void set_catalog(FramePlace catalog) { catalog_ = catalog; }

 private:
  struct PageFrame {
    bool open = false;
    FramePlace place;
    uint32_t count = 0;
    uint32_t capacity = 0;
    uint64_t sums[kFramePagesMax];
  };

  void drop_unqueued();
  Status delete_begun();
  Status open_page_frame(Epoch epoch);
  Status seal_page_frame();
  uint64_t compress_page_frame(uint8_t* frame, uint32_t* unit_bytes);
  uint8_t* page_slot(uint32_t slot);
  // Room for this many blocks in a row in segment and buffer, none of it used yet.
  Status reserve(uint64_t blocks, uint64_t wanted_blocks);
  Result<std::shared_ptr<File>> create_segment(uint32_t number, uint64_t* bytes);
  Status write_segment_header();
  uint64_t next_segment_bytes(uint64_t blocks) const;
  void finish_frame(FrameHeader& header, uint8_t* at);
  void account(const FrameHeader& header, const uint8_t* at);
  uint32_t end_block() const { return block_ + static_cast<uint32_t>(fill_ / kBlockSize); }

  Setup setup_;
  IoQueue queue_;
  Segment segment_;
  std::vector<uint32_t> begun_;
  FramePlace catalog_;
  uint64_t anchor_sequence_ = 0;

  AlignedBuffer buffer_;
  uint32_t block_ = 0;  // where the buffer begins in the segment
  size_t fill_ = 0;     // bytes of whole frames in the buffer

  PageFrame frame_;
  Epoch frame_epoch_;
  struct FreeCompressor {
    void operator()(ZSTD_CCtx_s* context) const;
  };
  std::unique_ptr<ZSTD_CCtx_s, FreeCompressor> compressor_;
  AlignedBuffer raw_pages_;  // compressing: the pages of the open frame
  std::vector<uint8_t> scratch_;

  Unsynced unsynced_;
  Unsynced unsynced_at_mark_;  // of that, what lies before the mark
  uint64_t appended_bytes_ = 0;
};

}  // namespace perdure::store
