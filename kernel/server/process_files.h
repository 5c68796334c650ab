// Files of /proc, whose size nobody knows before they are read. Any thread.
#pragma once

#include <string>

namespace heptane::server {

// What can be read of it, at most 64 MiB; nothing where it is not there.
std::string read_whole(const char* path);
std::string read_whole(int descriptor);  // from its beginning

}  // namespace heptane::server
