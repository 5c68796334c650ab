#include "kernel/crypto/sha256.h"

#include <openssl/evp.h>

#include "kernel/base/assert.h"

namespace heptane::crypto {

struct Sha256::Context {
  EVP_MD_CTX* md = EVP_MD_CTX_new();
  Context() = default;
  ~Context() { EVP_MD_CTX_free(md); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  const bool ready = context_->md != nullptr && EVP_DigestInit_ex(context_->md, EVP_sha256(), nullptr) == 1;
  HEPTANE_ASSERT(ready, "SHA-256 is in every OpenSSL");
}

Sha256::~Sha256() = default;

void Sha256::add(Bytes bytes) {
  const int done = EVP_DigestUpdate(context_->md, bytes.data(), bytes.size());
  HEPTANE_ASSERT(done == 1, "SHA-256 takes any bytes");
}

Sha256Digest Sha256::finish() {
  Sha256Digest digest;
  const int done = EVP_DigestFinal_ex(context_->md, reinterpret_cast<unsigned char*>(digest.data()), nullptr);
  HEPTANE_ASSERT(done == 1, "a digest is finished once");
  return digest;
}

}  // namespace heptane::crypto
