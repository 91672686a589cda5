#include "store/parking.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "store/format.h"

namespace perdure::store {
namespace {

// The block before the pages is that of their frame's header: a full buffer becomes a frame as it
// is.
constexpr size_t kRoomBytes = IoQueue::kBufferBytes - kBlockSize;
// A window erases and shares as well.
constexpr size_t kOrdersBeside = 256;

}  // namespace

void Parking::make_room(uint64_t bytes) {
  PD_ASSERT(!open_);
  while (buffers_.size() * kRoomBytes < bytes) {
    buffers_.push_back(queue_.take_spare());
    buffers_.back().touch(IoQueue::kBufferBytes);
  }
  orders_.reserve(bytes / kPageSize + kOrdersBeside);
}

void Parking::open(MutableBytes front) {
  PD_ASSERT(!open_ && orders_.empty());
  open_ = true;
  room_ = front;
}

MutableBytes Parking::room() {
  PD_ASSERT(open_);
  if (room_.empty()) {
    if (used_ == buffers_.size()) buffers_.push_back(queue_.take_spare());
    room_ = MutableBytes(buffers_[used_++].data() + kBlockSize, kRoomBytes);
  }
  return room_;
}

void Parking::put(ObjectId object, uint64_t first_page, Bytes pages, Zeros zeros) {
  while (!pages.empty()) {
    const size_t size = std::min(pages.size(), room().size());
    put_in_a_row(object, first_page, pages.first(size), zeros);
    first_page += size / kPageSize;
    pages = pages.subspan(size);
  }
}

void Parking::put_in_a_row(ObjectId object, uint64_t first_page, Bytes pages, Zeros zeros) {
  // They may lie further on in this buffer.
  if (pages.data() != room_.data()) std::memmove(room_.data(), pages.data(), pages.size());
  Order order;
  order.zeros = zeros;
  order.object = object;
  order.first_page = first_page;
  order.count = pages.size() / kPageSize;
  order.bytes = room_.data();
  orders_.push_back(order);
  room_ = room_.subspan(pages.size());
  bytes_ += pages.size();
}

AlignedBuffer* Parking::buffer_begun_by(const uint8_t* bytes) {
  while (looked_at_ < used_ && !buffers_[looked_at_].valid()) ++looked_at_;
  for (size_t at = looked_at_; at < used_; ++at) {
    if (buffers_[at].valid() && buffers_[at].data() + kBlockSize == bytes) return &buffers_[at];
  }
  return nullptr;
}

void Parking::clear() {
  for (AlignedBuffer& buffer : buffers_) {
    if (buffer.valid()) queue_.give_back(std::move(buffer));
  }
  buffers_.clear();
  orders_.clear();
  used_ = looked_at_ = bytes_ = 0;
  room_ = {};
  open_ = false;
}

}  // namespace perdure::store
