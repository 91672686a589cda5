// Folders and small files of our own: stores, the runtime folder, notes beside a store.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace perdure::kernel {

// Makes a folder and those above it; those made are private (0700). One that exists is left as it
// is.
Status make_private_folder(const std::string& path);
// Refuses a folder that another user owns or may write to: whoever may write there can replace what
// we put there.
Status check_own_folder(const std::string& path);
bool is_folder(const std::string& path);
bool exists(const std::string& path);
// Names in a folder, sorted, without "." and ".."; none if it does not exist. Code::kLimit beyond
// kFolderEntriesMax.
Result<std::vector<std::string>> list_folder(const std::string& path);
// Bytes on disk of the regular files directly in a folder; 0 if it does not exist.
uint64_t bytes_on_disk(const std::string& path);
// Removes a folder and everything in it. Symbolic links are removed, not followed.
Status remove_tree(const std::string& path);
Status remove_file_if_exists(const std::string& path);

// A store's folder holds segments of many MiB each, the default store one folder per group.
inline constexpr size_t kFolderEntriesMax = 1u << 20;
// What the notes written here need at most.
inline constexpr size_t kNoteBytesMax = 64 * 1024;
// The content of a small file, at most kNoteBytesMax.
Result<std::string> read_note(const std::string& path);
// Replaces a small file atomically (write beside it, then rename), mode 0600.
Status write_note(const std::string& path, const std::string& content);
// As write_note(), and on the disk when it returns: after a power cut it is the old one or the new.
Status write_lasting_note(const std::string& path, const std::string& content);

// Creates the file if it does not exist, mode 0600, and shows that it can be appended to.
Status make_private_file(const std::string& path);

// The path without ".", ".." and symbolic links as far as it exists; absolute.
std::string canonical_path(const std::string& path);

}  // namespace perdure::kernel
