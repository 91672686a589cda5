// All records of one epoch, decoded, by id: what show and diff look at. Unknown kinds and records
// that do not decode are kept as bytes.
#pragma once

#include <google/protobuf/message.h>

#include <map>
#include <memory>
#include <string>

#include "base/ids.h"
#include "base/result.h"
#include "object/memory.pb.h"
#include "store/store.h"

namespace perdure::cli {

struct StoredObject {
  ObjectId id;
  uint32_t kind = 0;  // 0: pages without a record
  std::string bytes;
  uint64_t pages = 0;
  std::unique_ptr<google::protobuf::Message> message;  // none if unknown or damaged
};

class EpochView {
 public:
  static Result<EpochView> load(const store::Store& store, Epoch epoch);

  const store::EpochInfo& info() const { return reader_->info(); }
  const store::EpochReader& reader() const { return *reader_; }
  const std::map<ObjectId, StoredObject>& objects() const { return objects_; }
  const StoredObject* find(ObjectId id) const;
  // The message of an object, if it is of this type.
  template <typename Message>
  const Message* find_as(ObjectId id) const {
    const StoredObject* object = find(id);
    return object == nullptr ? nullptr : dynamic_cast<const Message*>(object->message.get());
  }

  // "process 17 (redis-server)", "address space of process 17 (redis-server)", "open file
  // /var/log/x".
  std::string title(ObjectId id) const;
  // What lies at a page of an address space or memory object: "heap", "/usr/lib/libc.so.6",
  // "stack".
  std::string place_of_page(ObjectId memory, uint64_t page) const;

 private:
  std::string owner_of(ObjectId address_space) const;
  std::string name_of(const object::Vma& vma) const;

  std::unique_ptr<store::EpochReader> reader_;
  std::map<ObjectId, StoredObject> objects_;
};

}  // namespace perdure::cli
