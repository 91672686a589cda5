// Helpers of the store's tests: directories that go away, and a model of what a store must hold.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "store/sim_device.h"
#include "store/store.h"

namespace perdure::store::testing {

// The value of a result; an error ends the test program with its message.
template <typename T>
typename Result<T>::Value take_ok(Result<T> result, const char* expression, const char* file,
                                  int line) {
  if (!result.ok()) {
    ADD_FAILURE_AT(file, line) << expression << ": " << result.error().to_string();
    std::abort();
  }
  return std::move(result).value();
}
#define PD_ASSERT_OK(...) \
  ::perdure::store::testing::take_ok((__VA_ARGS__), #__VA_ARGS__, __FILE__, __LINE__)

class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(const std::string& parent = "/tmp") {
    std::string pattern = parent + "/store-test-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) std::abort();
    path_ = pattern;
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

using Page = std::vector<uint8_t>;

// Whether memory is there for all of these bytes, which begin at a page.
inline bool is_resident(Bytes bytes) {
  std::vector<unsigned char> pages((bytes.size() + kPageSize - 1) / kPageSize);
  void* const start = const_cast<uint8_t*>(bytes.data());
  if (::mincore(start, bytes.size(), pages.data()) != 0) std::abort();
  return std::all_of(pages.begin(), pages.end(),
                     [](unsigned char page) { return (page & 1) != 0; });
}

inline Bytes bytes_of_text(const std::string& text) {
  return Bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

// A store on this disk, for writing, in small segments.
inline Options options_on(const std::shared_ptr<SimDisk>& disk,
                          uint64_t segment_bytes = 256 << 10) {
  Options options;
  options.device = disk->device();
  options.access = Access::kWrite;
  options.create = Create::kIfMissing;
  options.writing = Writing::kInline;
  options.segment_bytes = segment_bytes;
  return options;
}

// A page that no other seed gives; compressible by half.
inline Page page_of(uint64_t seed) {
  Page page(kPageSize);
  std::mt19937_64 random(seed);
  for (size_t at = 0; at < kPageSize; at += 16) store_le(page.data() + at, random());
  return page;
}

// What an epoch holds: records by object, pages by object and number.
struct Model {
  std::map<uint64_t, std::pair<uint32_t, std::string>> records;
  std::map<uint64_t, std::map<uint64_t, Page>> pages;

  bool operator==(const Model&) const = default;
};

// Everything in an epoch, read and checked.
inline Result<Model> read_model(const EpochReader& reader) {
  Model model;
  PD_TRY(reader.for_each_record([&](ObjectId object, uint32_t kind, Bytes record) -> Status {
    model.records[object.value] = {kind, std::string(record.begin(), record.end())};
    return Ok{};
  }));
  for (const ObjectSummary& object : reader.objects()) {
    for (const PageExtent& extent : reader.extents(object.object)) {
      Page bytes(extent.count * kPageSize);
      PD_TRY(reader.read_pages(extent, bytes));
      for (uint32_t at = 0; at < extent.count; ++at) {
        model.pages[object.object.value][extent.first_page + at] =
            Page(bytes.begin() + at * kPageSize, bytes.begin() + (at + 1) * kPageSize);
      }
    }
  }
  return model;
}

// Does the same to a writer and to a model.
class ModelWriter {
 public:
  ModelWriter(EpochWriter& writer, Model& model) : writer_(writer), model_(model) {}

  Status put_record(uint64_t object, uint32_t kind, const std::string& text) {
    PD_TRY(writer_.put_record(ObjectId(object), kind, bytes_of_text(text)));
    model_.records[object] = {kind, text};
    return Ok{};
  }
  Status put_page(uint64_t object, uint64_t page, const Page& bytes) {
    PD_TRY(writer_.put_pages(ObjectId(object), page, bytes));
    if (all_zero(bytes)) return erase_in_model(object, page, 1);
    model_.pages[object][page] = bytes;
    return Ok{};
  }
  Status erase_pages(uint64_t object, uint64_t first, uint64_t count) {
    PD_TRY(writer_.erase_pages(ObjectId(object), first, count));
    return erase_in_model(object, first, count);
  }
  Status erase_object(uint64_t object) {
    PD_TRY(writer_.erase_object(ObjectId(object)));
    model_.records.erase(object);
    model_.pages.erase(object);
    return Ok{};
  }
  Status share_pages(uint64_t object, uint64_t first, uint64_t count, uint64_t source,
                     uint64_t source_first) {
    PD_TRY(writer_.share_pages(ObjectId(object), first, count, ObjectId(source), source_first));
    const std::map<uint64_t, Page> from = model_.pages[source];
    PD_TRY(erase_in_model(object, first, count));
    for (const auto& [page, bytes] : from) {
      if (page < source_first || page >= source_first + count) continue;
      model_.pages[object][page - source_first + first] = bytes;
    }
    drop_if_empty(object);
    drop_if_empty(source);
    return Ok{};
  }

 private:
  void drop_if_empty(uint64_t object) {
    if (model_.pages[object].empty()) model_.pages.erase(object);
  }
  Status erase_in_model(uint64_t object, uint64_t first, uint64_t count) {
    auto& pages = model_.pages[object];
    pages.erase(pages.lower_bound(first), pages.lower_bound(first + count));
    drop_if_empty(object);
    return Ok{};
  }

  EpochWriter& writer_;
  Model& model_;
};

// A random change of about `steps` operations over a few objects.
inline Status change_at_random(std::mt19937_64& random, int steps, EpochWriter& writer,
                               Model& model) {
  ModelWriter both(writer, model);
  const auto below = [&](uint64_t limit) { return random() % limit; };
  for (int step = 0; step < steps; ++step) {
    const uint64_t object = 1 + below(6);
    switch (below(12)) {
      case 0:
        PD_TRY(both.erase_object(object));
        break;
      case 1:
        PD_TRY(both.erase_pages(object, below(2000), below(600)));
        break;
      case 2:
        PD_TRY(both.share_pages(object, below(1500), 1 + below(800), 1 + below(6), below(1500)));
        break;
      case 3:
        PD_TRY(both.put_page(object, below(2000), Page(kPageSize)));
        break;
      case 4:
      case 5:
      case 6:
        PD_TRY(both.put_record(object, static_cast<uint32_t>(below(9)),
                               std::string(below(3000), static_cast<char>('a' + below(26)))));
        break;
      default:
        for (uint64_t page = below(2000), end = page + below(12); page < end; ++page) {
          PD_TRY(both.put_page(object, page, page_of(random())));
        }
    }
  }
  return Ok{};
}

}  // namespace perdure::store::testing
