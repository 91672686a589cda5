#include "restore/opened_files.h"

#include <span>

namespace perdure::restore {
namespace {

void put(std::string* bytes, uint64_t value) {
  bytes->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void put_map(std::string* bytes, const std::map<ObjectId, int>& map) {
  put(bytes, map.size());
  for (const auto& [id, fd] : map) {
    put(bytes, id.value);
    put(bytes, static_cast<uint64_t>(fd));
  }
}

class Reader {
 public:
  explicit Reader(const std::string& bytes) : bytes_(bytes) {}
  uint64_t take() {
    if (at_ + 8 > bytes_.size()) {
      failed_ = true;
      return 0;
    }
    const uint64_t value = load_le<uint64_t>(reinterpret_cast<const uint8_t*>(bytes_.data()) + at_);
    at_ += 8;
    return value;
  }
  void take_map(std::map<ObjectId, int>* map) {
    for (uint64_t count = take(); count > 0 && !failed_; --count) {
      const ObjectId id(take());
      (*map)[id] = static_cast<int>(take());
    }
  }
  bool complete() const { return !failed_ && at_ == bytes_.size(); }

 private:
  const std::string& bytes_;
  size_t at_ = 0;
  bool failed_ = false;
};

}  // namespace

std::string encode_answer(const BuilderAnswer& answer) {
  std::string bytes;
  put(&bytes, static_cast<uint64_t>(answer.opened.first));
  put(&bytes, static_cast<uint64_t>(static_cast<int64_t>(answer.opened.terminal)));
  put_map(&bytes, answer.opened.files);
  put_map(&bytes, answer.opened.memory);
  put_map(&bytes, answer.opened.ptys);
  put(&bytes, answer.roots.size());
  for (pid_t pid : answer.roots) put(&bytes, static_cast<uint64_t>(pid));
  return bytes;
}

Result<BuilderAnswer> decode_answer(const std::string& bytes) {
  BuilderAnswer answer;
  Reader reader(bytes);
  answer.opened.first = static_cast<int>(reader.take());
  answer.opened.terminal = static_cast<int>(static_cast<int64_t>(reader.take()));
  reader.take_map(&answer.opened.files);
  reader.take_map(&answer.opened.memory);
  reader.take_map(&answer.opened.ptys);
  const uint64_t roots = reader.take();
  for (uint64_t i = 0; i < roots && i < bytes.size(); ++i)
    answer.roots.push_back(static_cast<pid_t>(reader.take()));
  if (!reader.complete()) return Error(Code::kInternal, "the builder's answer is cut short");
  return answer;
}

}  // namespace perdure::restore
