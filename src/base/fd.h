// Fd: the one owner of a file descriptor. Move-only; closed in one place; never converts to int or
// bool by itself.
#pragma once

#include <utility>

namespace perdure {

class Fd {
 public:
  Fd() = default;
  static Fd adopt(int number) { return Fd(number); }
  Fd(Fd&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      number_ = std::exchange(other.number_, -1);
    }
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  bool valid() const { return number_ >= 0; }
  int get() const { return number_; }
  // Gives the number up without closing it.
  int release() { return std::exchange(number_, -1); }
  void reset();

 private:
  explicit Fd(int number) : number_(number) {}
  int number_ = -1;
};

}  // namespace perdure
