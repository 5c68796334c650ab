// SHA-256 (FIPS 180-4) of bytes that come piece by piece. One owner.
#pragma once

#include <array>
#include <memory>

#include "kernel/base/bytes.h"

namespace heptane::crypto {

using Sha256Digest = std::array<std::byte, 32>;

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void add(Bytes bytes);
  // Once, last.
  Sha256Digest finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace heptane::crypto
