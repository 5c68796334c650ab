// An authority that signs certificates for the clients of one installation (RFC 5280), and the requests that it signs (PKCS #10,
// RFC 2986). What a request says of its subject is not believed: the certificate says what the authority says. Chance and time come
// from the caller. Signing costs a millisecond or so with RSA: a worker's. Immutable once read; any thread. Its key leaves it never.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "kernel/base/result.h"

namespace heptane::crypto {

constexpr size_t kRequestPemBytesMax = 8 << 10;
constexpr size_t kSerialBytes = 16;

struct IssuedCertificate {
  std::string pem;
  std::string hash;             // SHA-256 of its DER, 32 bytes
  int64_t not_after_utc_s = 0;  // its last second
};

// What a certificate is to say.
struct CertificateWish {
  std::string_view common_name;  // at most 64 bytes of ASCII
  std::string_view serial;       // kSerialBytes of chance
  int64_t from_utc_s = 0;
  int64_t until_utc_s = 0;  // at most the authority's own end
};

class CertificateAuthority {
 public:
  // PEM files. Errors name the file: io, invalid_argument (no authority's certificate, an encrypted, a weak or another's key).
  static Result<std::shared_ptr<const CertificateAuthority>> load(const std::string& certificate_file,
                                                                  const std::string& key_file);
  ~CertificateAuthority();
  CertificateAuthority(const CertificateAuthority&) = delete;
  CertificateAuthority& operator=(const CertificateAuthority&) = delete;

  // For TLS clients alone. Errors: invalid_argument: the request is malformed, is not signed by its own key, or its key is none
  // of RSA with 2,048 to 4,096 bits, P-256, P-384, P-521 and Ed25519; refused: the authority is over.
  Result<IssuedCertificate> sign(std::string_view request_pem, const CertificateWish& wish) const;

 private:
  struct Keys;
  explicit CertificateAuthority(std::unique_ptr<Keys> keys);
  std::unique_ptr<Keys> keys_;
};

}  // namespace heptane::crypto
