#include "kernel/crypto/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "kernel/base/assert.h"

namespace heptane::crypto {

namespace {

const EVP_MD* algorithm(Hash hash) { return hash == Hash::sha256 ? EVP_sha256() : EVP_sha512(); }

const unsigned char* octets(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }
unsigned char* octets(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

}  // namespace

std::string digest(Hash hash, std::string_view message) {
  std::string out(hash_bytes(hash), '\0');
  const int done = EVP_Digest(message.data(), message.size(), octets(out), nullptr, algorithm(hash), nullptr);
  HEPTANE_ASSERT(done == 1, "SHA-2 is in every OpenSSL");
  return out;
}

std::string hmac(Hash hash, std::string_view key, std::string_view message) {
  std::string out(hash_bytes(hash), '\0');
  // An empty key needs an address all the same.
  const void* secret = key.empty() ? "" : key.data();
  const unsigned char* done = HMAC(algorithm(hash), secret, static_cast<int>(key.size()), octets(message),
                                   message.size(), octets(out), nullptr);
  HEPTANE_ASSERT(done != nullptr, "HMAC is in every OpenSSL");
  return out;
}

std::string pbkdf2(Hash hash, std::string_view password, std::string_view salt, uint32_t iterations) {
  std::string out(hash_bytes(hash), '\0');
  const int done =
      PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()), octets(salt), static_cast<int>(salt.size()),
                        static_cast<int>(iterations), algorithm(hash), static_cast<int>(out.size()), octets(out));
  HEPTANE_ASSERT(done == 1, "PBKDF2 is in every OpenSSL");
  return out;
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    out += kDigits[static_cast<uint8_t>(c) >> 4];
    out += kDigits[static_cast<uint8_t>(c) & 15];
  }
  return out;
}

}  // namespace heptane::crypto
