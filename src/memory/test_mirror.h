// For tests: a mirror of the private memory of a process, kept by the rules of Tracker and compared
// with the truth.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "kernel/abi/pagemap.h"
#include "kernel/memory.h"
#include "kernel/proc/maps.h"
#include "memory/copy.h"
#include "memory/test_target.h"
#include "memory/tracker.h"

namespace perdure::memory {

class Mirror {
 public:
  Mirror() : copier_(Copier::create().value()) {}

  // What the engine does with a scan: erase, then copy. kPrecopy: unreadable pages go back to the
  // tracker.
  void apply(pid_t pid, const Scan& scan, Tracker* give_back_to = nullptr) {
    for (const PageRun& run : scan.absent.runs()) {
      for (uint64_t page = run.first; page < run.end(); ++page) pages_.erase(page);
    }
    Result<PageSet> unreadable = copier_.copy(pid, scan.data, sink());
    ASSERT_TRUE(unreadable.ok()) << unreadable.error().to_string();
    if (give_back_to != nullptr) {
      give_back_to->give_back(*unreadable);
    } else {
      EXPECT_TRUE(unreadable->empty());
    }
    guard_ = scan.guard;
  }

  // What it does after a cut.
  void apply_hot(Tracker* tracker) {
    const Status status = tracker->pass_on_hot(sink());
    ASSERT_TRUE(status.ok()) << status.error().to_string();
    tracker->learn(1024);
  }

  // Compares every page of the process's private mappings that lie in [start, end) with the mirror.
  void expect_equal(pid_t pid, uint64_t start = 0, uint64_t end = ~uint64_t{0}) const {
    auto entries = kernel::proc::read_maps(pid);
    ASSERT_TRUE(entries.ok());
    Fd mem = kernel::open_proc_file(pid, "mem", O_RDONLY).value();
    PageSet mapped;
    for (const auto& entry : *entries) {
      if (entry.shared || entry.path.starts_with("[v") || entry.end <= start || entry.start >= end)
        continue;
      mapped.add_bytes(entry.start, entry.end);
      expect_entry(pid, mem, entry, std::max(start, entry.start), std::min(end, entry.end));
    }
    for (const auto& [page, bytes] : pages_) {
      bool inside = page << kPageShift >= start && page << kPageShift < end;
      if (inside && !mapped.contains(page) && !testing::Test::HasFailure())
        ADD_FAILURE() << "page " << std::hex << page << " is not mapped any more";
    }
  }
  uint64_t copied_pages() const { return copied_; }
  size_t size() const { return pages_.size(); }

 private:
  PageSink sink() {
    return [this](uint64_t first, Bytes bytes) -> Status {
      for (size_t at = 0; at < bytes.size(); at += kPageSize) {
        Bytes page = bytes.subspan(at, kPageSize);
        copied_ += 1;
        if (all_zero(page)) {
          pages_.erase(first + at / kPageSize);
        } else {
          pages_[first + at / kPageSize].assign(page.begin(), page.end());
        }
      }
      return {};
    };
  }
  static constexpr uint64_t kThere =
      kernel::abi::kEntryPresent | kernel::abi::kEntrySwapped | kernel::abi::kEntryGuard;
  static std::vector<uint64_t> pagemap_of(pid_t pid, uint64_t start, uint64_t end) {
    const Fd pagemap = kernel::open_proc_file(pid, "pagemap", O_RDONLY).value();
    std::vector<uint64_t> entries((end - start) >> kPageShift);
    for (size_t at = 0; at < entries.size();) {
      at +=
          kernel::read_pagemap(pagemap, (start >> kPageShift) + at, std::span(entries).subspan(at))
              .value();
    }
    return entries;
  }
  void expect_entry(pid_t pid, const Fd& mem, const kernel::proc::MapsEntry& entry, uint64_t start,
                    uint64_t end) const {
    std::vector<uint8_t> actual(kPageSize), expected(kPageSize);
    Fd file;
    if (entry.path.starts_with('/')) {
      std::string link = "/proc/" + std::to_string(getpid()) + "/root" + entry.path;
      file = Fd::adopt(open(link.c_str(), O_RDONLY | O_CLOEXEC));
    }
    const std::vector<uint64_t> entries = pagemap_of(pid, start, end);
    for (uint64_t at = start; at < end; at += kPageSize) {
      uint64_t page = at >> kPageShift;
      const uint64_t bits = entries[(at - start) >> kPageShift];
      // To read a page that is not there may fill it, which no guide tells of the tracker's own
      // process.
      const bool untouched = entry.path.empty() && (bits & kThere) == 0;
      std::fill(actual.begin(), actual.end(), 0);
      Result<size_t> got = untouched ? Result<size_t>(kPageSize)
                                     : kernel::read_process_mem(mem, RemoteAddr(at), actual);
      auto stored = pages_.find(page);
      if (!got.ok()) {  // a guard page, or beyond the end of the file
        EXPECT_TRUE(stored == pages_.end())
            << "page " << std::hex << page << " is not readable, yet stored";
        bool file_end = entry.path.starts_with('/');
        EXPECT_TRUE(file_end || guard_.contains(page)) << std::hex << page;
        continue;
      }
      std::fill(expected.begin(), expected.end(), 0);
      if (stored != pages_.end()) {
        expected = stored->second;
      } else if (file.valid()) {
        (void)kernel::read_at(file.get(), entry.offset + (at - entry.start), expected);
      }
      if (actual != expected) {
        ADD_FAILURE() << "page " << std::hex << page << " of " << entry.path
                      << " differs; stored: " << (stored != pages_.end());
        return;
      }
    }
  }

  Copier copier_;
  std::map<uint64_t, std::vector<uint8_t>> pages_;
  PageSet guard_;
  uint64_t copied_ = 0;
};

}  // namespace perdure::memory
