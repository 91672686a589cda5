// Parking: what is put into an epoch while the group stands still, to be done when it runs again.
// Pages are read or copied into buffers that were made and touched before; nothing else happens to
// them yet: no hash, no compression, no index, no file. Invariants: orders are done in the order in
// which they came; the bytes of an order stay where they are until it was done.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "store/epoch_writer.h"
#include "store/io_queue.h"

namespace perdure::store {

class Parking {
 public:
  enum class What : uint8_t { kPut, kErase, kShare };
  struct Order {
    What what = What::kPut;
    Zeros zeros = Zeros::kAbsent;
    ObjectId object;
    uint64_t first_page = 0;
    uint64_t count = 0;
    const uint8_t* bytes = nullptr;  // kPut
    ObjectId source;                 // kShare
    uint64_t source_first_page = 0;
  };

  explicit Parking(IoQueue& queue) : queue_(queue) {}
  ~Parking() { clear(); }
  Parking(const Parking&) = delete;
  Parking& operator=(const Parking&) = delete;

  // Before the window: buffers for so many bytes of pages, and their orders.
  void make_room(uint64_t bytes);

  // The window begins. front: room in the open frame of pages, which is used first; may be empty.
  void open(MutableBytes front);
  bool is_open() const { return open_; }

  // Where the next pages are put without a copy; at least one page.
  MutableBytes room();
  void put(ObjectId object, uint64_t first_page, Bytes pages, Zeros zeros);
  void add(const Order& order) { orders_.push_back(order); }
  uint64_t bytes() const { return bytes_; }

  // Behind the window.
  const std::vector<Order>& orders() const { return orders_; }
  // The buffer of which these bytes are the first page; null if they are not.
  AlignedBuffer* buffer_begun_by(const uint8_t* bytes);
  // Forgets the orders and gives the buffers back.
  void clear();

 private:
  void put_in_a_row(ObjectId object, uint64_t first_page, Bytes pages, Zeros zeros);

  IoQueue& queue_;
  bool open_ = false;
  std::vector<AlignedBuffer> buffers_;
  size_t used_ = 0;       // of them
  size_t looked_at_ = 0;  // by buffer_begun_by()
  MutableBytes room_;
  uint64_t bytes_ = 0;
  std::vector<Order> orders_;
};

}  // namespace perdure::store
