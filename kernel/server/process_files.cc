#include "kernel/server/process_files.h"

#include <fcntl.h>
#include <unistd.h>

namespace heptane::server {

namespace {
constexpr size_t kPieceBytes = size_t{64} << 10;
constexpr size_t kBytesMax = size_t{64} << 20;
}  // namespace

std::string read_whole(const char* path) {
  const int descriptor = ::open(path, O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return {};
  std::string text = read_whole(descriptor);
  ::close(descriptor);
  return text;
}

std::string read_whole(int descriptor) {
  std::string text;
  while (text.size() < kBytesMax) {
    const size_t have = text.size();
    text.resize(have + kPieceBytes);
    const ssize_t got = ::pread(descriptor, text.data() + have, kPieceBytes, static_cast<off_t>(have));
    text.resize(have + static_cast<size_t>(got > 0 ? got : 0));
    if (got <= 0) break;
  }
  return text;
}

}  // namespace heptane::server
