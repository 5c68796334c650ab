#include "kernel/crypto/certificate_authority.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <sstream>
#include <utility>

#include "kernel/base/assert.h"
#include "kernel/crypto/digest.h"

namespace heptane::crypto {

namespace {

constexpr size_t kFileBytesMax = 64 << 10;
constexpr int kRsaBitsMin = 2'048;
constexpr int kRsaBitsMax = 4'096;
constexpr size_t kCurveNameBytes = 64;

template <auto kFree>
struct Free {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using BioPointer = std::unique_ptr<BIO, Free<&BIO_free>>;
using CertificatePointer = std::unique_ptr<X509, Free<&X509_free>>;
using KeyPointer = std::unique_ptr<EVP_PKEY, Free<&EVP_PKEY_free>>;
using RequestPointer = std::unique_ptr<X509_REQ, Free<&X509_REQ_free>>;
using NumberPointer = std::unique_ptr<BIGNUM, Free<&BN_free>>;
using NamePointer = std::unique_ptr<X509_NAME, Free<&X509_NAME_free>>;
using ExtensionPointer = std::unique_ptr<X509_EXTENSION, Free<&X509_EXTENSION_free>>;

Error wrong(const std::string& what) { return {Errc::invalid_argument, what, 0}; }

BioPointer memory(std::string_view text) {
  return BioPointer(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

Result<std::string> read_file(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  if (!in || !(text << in.rdbuf())) return Error{Errc::io, file + " cannot be read", 0};
  std::string content = text.str();
  if (content.size() > kFileBytesMax) return wrong(file + ": larger than any certificate or key");
  return content;
}

// Never asks at a terminal.
int no_password(char*, int, int, void*) { return -1; }

int64_t seconds_of(const ASN1_TIME* time) {
  std::tm parts{};
  return ASN1_TIME_to_tm(time, &parts) == 1 ? static_cast<int64_t>(timegm(&parts)) : 0;
}

bool is_good_curve(const EVP_PKEY* key) {
  char name[kCurveNameBytes] = {};
  size_t length = 0;
  if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, name, sizeof name, &length) != 1) return false;
  const std::string_view curve(name, length);
  return curve == "prime256v1" || curve == "secp384r1" || curve == "secp521r1";
}

bool is_good_key(const EVP_PKEY* key) {
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA: return EVP_PKEY_get_bits(key) >= kRsaBitsMin && EVP_PKEY_get_bits(key) <= kRsaBitsMax;
    case EVP_PKEY_EC: return is_good_curve(key);
    case EVP_PKEY_ED25519: return true;
    default: return false;
  }
}

bool add_extension(X509* certificate, X509* authority, int kind, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, authority, certificate, nullptr, nullptr, 0);
  const ExtensionPointer extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool set_serial(X509* certificate, std::string_view serial) {
  std::string positive(serial);
  positive.front() = static_cast<char>((static_cast<uint8_t>(positive.front()) & 0x7f) | 0x40);
  const NumberPointer number(
      BN_bin2bn(reinterpret_cast<const unsigned char*>(positive.data()), static_cast<int>(positive.size()), nullptr));
  return number && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

bool set_subject(X509* certificate, std::string_view common_name) {
  const NamePointer name(X509_NAME_new());
  return name &&
         X509_NAME_add_entry_by_NID(name.get(), NID_commonName, MBSTRING_ASC,
                                    reinterpret_cast<const unsigned char*>(common_name.data()),
                                    static_cast<int>(common_name.size()), -1, 0) == 1 &&
         X509_set_subject_name(certificate, name.get()) == 1;
}

bool set_times(X509* certificate, int64_t from_utc_s, int64_t until_utc_s) {
  return ASN1_TIME_set(X509_getm_notBefore(certificate), from_utc_s) != nullptr &&
         ASN1_TIME_set(X509_getm_notAfter(certificate), until_utc_s) != nullptr;
}

bool add_extensions(X509* certificate, X509* authority) {
  return add_extension(certificate, authority, NID_basic_constraints, "critical,CA:FALSE") &&
         add_extension(certificate, authority, NID_key_usage, "critical,digitalSignature") &&
         add_extension(certificate, authority, NID_ext_key_usage, "clientAuth") &&
         add_extension(certificate, authority, NID_subject_key_identifier, "hash") &&
         add_extension(certificate, authority, NID_authority_key_identifier, "keyid");
}

std::string pem_of(X509* certificate) {
  const BioPointer out(BIO_new(BIO_s_mem()));
  HEPTANE_ASSERT(out && PEM_write_bio_X509(out.get(), certificate) == 1, "no memory");
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return {text, static_cast<size_t>(size)};
}

std::string hash_of(X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  HEPTANE_ASSERT(size > 0, "a certificate that was signed is encoded");
  std::string hash = digest(Hash::sha256, {reinterpret_cast<const char*>(der), static_cast<size_t>(size)});
  OPENSSL_free(der);
  return hash;
}

// Its own key signed it.
Result<RequestPointer> read_request(std::string_view pem) {
  if (pem.size() > kRequestPemBytesMax) return wrong("a certificate signing request has at most 8 KiB");
  ERR_clear_error();
  const BioPointer bio = memory(pem);
  RequestPointer request(PEM_read_bio_X509_REQ(bio.get(), nullptr, &no_password, nullptr));
  if (!request) return wrong("this is no certificate signing request in PEM");
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  if (key == nullptr || !is_good_key(key))
    return wrong("the request's key is none of RSA with 2,048 to 4,096 bits, P-256, P-384, P-521, Ed25519");
  if (X509_REQ_verify(request.get(), key) != 1) return wrong("the request is not signed by its own key");
  return request;
}

}  // namespace

struct CertificateAuthority::Keys {
  CertificatePointer certificate;
  KeyPointer key;
  int64_t not_after_utc_s = 0;
  // Ed25519 hashes by itself.
  const EVP_MD* hash() const { return EVP_PKEY_get_base_id(key.get()) == EVP_PKEY_ED25519 ? nullptr : EVP_sha256(); }
};

CertificateAuthority::CertificateAuthority(std::unique_ptr<Keys> keys) : keys_(std::move(keys)) {}
CertificateAuthority::~CertificateAuthority() = default;

Result<std::shared_ptr<const CertificateAuthority>> CertificateAuthority::load(const std::string& certificate_file,
                                                                               const std::string& key_file) {
  const Result<std::string> certificate = read_file(certificate_file);
  if (!certificate) return certificate.error();
  const Result<std::string> key = read_file(key_file);
  if (!key) return key.error();
  auto keys = std::make_unique<Keys>();
  ERR_clear_error();
  keys->certificate.reset(PEM_read_bio_X509(memory(*certificate).get(), nullptr, &no_password, nullptr));
  if (!keys->certificate) return wrong(certificate_file + ": holds no PEM certificate");
  keys->key.reset(PEM_read_bio_PrivateKey(memory(*key).get(), nullptr, &no_password, nullptr));
  if (!keys->key) return wrong(key_file + ": holds no PEM private key that is not encrypted");
  if (X509_check_ca(keys->certificate.get()) != 1)  // others are authorities by old habits, which nobody believes
    return wrong(certificate_file + ": is no authority's certificate (basicConstraints CA:TRUE)");
  if (X509_check_private_key(keys->certificate.get(), keys->key.get()) != 1)
    return wrong(key_file + ": the private key does not belong to the certificate in " + certificate_file);
  if (!is_good_key(keys->key.get()))
    return wrong(key_file + ": is none of RSA with 2,048 to 4,096 bits, P-256, P-384, P-521, Ed25519");
  keys->not_after_utc_s = seconds_of(X509_get0_notAfter(keys->certificate.get()));
  ERR_clear_error();
  return std::shared_ptr<const CertificateAuthority>(new CertificateAuthority(std::move(keys)));
}

Result<IssuedCertificate> CertificateAuthority::sign(std::string_view request_pem, const CertificateWish& wish) const {
  HEPTANE_ASSERT(wish.serial.size() == kSerialBytes, "a serial number is sixteen bytes of chance");
  const Result<RequestPointer> request = read_request(request_pem);
  if (!request) return request.error();
  const int64_t until_utc_s = std::min(wish.until_utc_s, keys_->not_after_utc_s);
  if (until_utc_s <= wish.from_utc_s) return Error{Errc::refused, "the authority's certificate is over: renew it", 0};
  const CertificatePointer certificate(X509_new());
  X509* made = certificate.get();
  const bool done = made != nullptr && X509_set_version(made, X509_VERSION_3) == 1 && set_serial(made, wish.serial) &&
                    set_times(made, wish.from_utc_s, until_utc_s) && set_subject(made, wish.common_name) &&
                    X509_set_issuer_name(made, X509_get_subject_name(keys_->certificate.get())) == 1 &&
                    X509_set_pubkey(made, X509_REQ_get0_pubkey(request->get())) == 1 &&
                    add_extensions(made, keys_->certificate.get()) &&
                    X509_sign(made, keys_->key.get(), keys_->hash()) > 0;
  ERR_clear_error();
  if (!done) return Error{Errc::internal, "the certificate could not be signed", 0};
  return IssuedCertificate{pem_of(made), hash_of(made), until_utc_s};
}

}  // namespace heptane::crypto
