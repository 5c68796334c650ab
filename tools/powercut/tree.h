// The model's durable tree against real directories: writing it out, comparing it, and recording a directory as the
// beginning of a journal. Errors are messages for a person. One thread.
#pragma once

#include <string>
#include <vector>

#include "tools/powercut/platter.h"

namespace powercut {

// Starts a journal in state_path (absent or empty) with everything below root as durable.
bool prepare(const std::string& root, const std::string& state_path, bool fsync_persists_name, std::string* error);

// Writes the tree into a directory that is absent or empty.
bool write_tree(const Platter::Node& root, const std::string& out_path, std::string* error);

// Lists, one line each, where the directory differs from the tree. Empty: equal.
std::vector<std::string> compare_tree(const Platter::Node& root, const std::string& path);

}  // namespace powercut
