// Reads one stream of the simulated server as a client would, out of log and archive, each record once: what is read stays read
// over restarts. One owner.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "kernel/base/disk.h"
#include "kernel/server/server.h"

namespace heptane::sim {

class StreamTail {
 public:
  using Each = std::function<void(Offset, std::string_view key, std::string_view value)>;

  explicit StreamTail(std::string stream) : stream_(std::move(stream)) {}

  // What is synced of its first partition and was not read yet, in its order. Error: it cannot be read, or ends before what was
  // read once.
  Result<void> read(server::Server& server, Disk& disk, const Each& each);
  Offset next() const { return next_; }
  const std::string& stream() const { return stream_; }

 private:
  const std::string stream_;
  Offset next_ = 0;
};

}  // namespace heptane::sim
