#include "kernel/net/tls_context.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>
#include <sstream>
#include <utility>

#include "kernel/base/assert.h"

namespace heptane::net {

namespace {

constexpr size_t kPemBytesMax = 4 << 20;
constexpr char kCiphersOf12[] = "ECDHE+AESGCM:ECDHE+CHACHA20";

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

std::string reason() {
  const unsigned long code = ERR_peek_last_error();
  const char* text = code == 0 ? nullptr : ERR_reason_error_string(code);
  return text == nullptr ? "no reason given" : text;
}

Error wrong(const std::string& file, const std::string& what) {
  return {Errc::invalid_argument, "TLS: " + file + ": " + what};
}

Result<std::string> read_pem(const std::string& file, const char* what) {
  if (file.empty()) return Error{Errc::invalid_argument, std::string("TLS: no file is named for the ") + what};
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  if (!in || !(text << in.rdbuf()))
    return Error{Errc::io, "TLS: " + file + ": the " + what + " cannot be read: " + std::strerror(errno)};
  std::string content = text.str();
  if (content.size() > kPemBytesMax) return wrong(file, "larger than any " + std::string(what));
  return content;
}

BioPointer memory(const std::string& text) {
  return BioPointer(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// All certificates of a file, at least one.
Result<std::vector<CertificatePointer>> read_certificates(const std::string& file, const char* what) {
  const Result<std::string> text = read_pem(file, what);
  if (!text) return text.error();
  const BioPointer bio = memory(*text);
  std::vector<CertificatePointer> certificates;
  ERR_clear_error();
  while (X509* next = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) certificates.emplace_back(next);
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  if (!at_end) return wrong(file, "a certificate in it is damaged (" + reason() + ")");
  if (certificates.empty()) return wrong(file, std::string("holds no PEM certificate; the ") + what + " is expected");
  return certificates;
}

// Asked only when the key is encrypted.
int no_password(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

Result<KeyPointer> read_key(const std::string& file) {
  const Result<std::string> text = read_pem(file, "private key");
  if (!text) return text.error();
  const BioPointer bio = memory(*text);
  bool encrypted = false;
  ERR_clear_error();
  KeyPointer key(PEM_read_bio_PrivateKey(bio.get(), nullptr, &no_password, &encrypted));
  if (key) return key;
  if (encrypted)
    return wrong(file, "the private key is encrypted: store it decrypted (openssl pkey -in FILE -out FILE), mode 0600");
  return wrong(file, "holds no PEM private key (" + reason() + ")");
}

int64_t seconds_of(const ASN1_TIME* time) {
  std::tm parts{};
  return ASN1_TIME_to_tm(time, &parts) == 1 ? static_cast<int64_t>(timegm(&parts)) : 0;
}

std::string date_text(int64_t utc_s) {
  const std::time_t seconds = utc_s;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text;
}

// Returns the last second of its validity.
Result<int64_t> check_dates(const X509* certificate, const std::string& file, int64_t utc_ns) {
  const int64_t now_s = utc_ns / 1'000'000'000;
  const int64_t begin_s = seconds_of(X509_get0_notBefore(certificate));
  const int64_t end_s = seconds_of(X509_get0_notAfter(certificate));
  if (now_s > end_s) return wrong(file, "the certificate expired on " + date_text(end_s) + ": renew it");
  if (now_s < begin_s)
    return wrong(file,
                 "the certificate is not valid before " + date_text(begin_s) + ": is this machine's clock right?");
  return end_s;
}

// Returns the last second of the certificate's validity.
Result<int64_t> use_identity(SSL_CTX* context, const std::string& certificate_file, const std::string& key_file,
                             int64_t utc_ns) {
  Result<std::vector<CertificatePointer>> chain = read_certificates(certificate_file, "certificate");
  if (!chain) return chain.error();
  X509* own = chain->front().get();
  const Result<int64_t> end_s = check_dates(own, certificate_file, utc_ns);
  if (!end_s) return end_s.error();
  const Result<KeyPointer> key = read_key(key_file);
  if (!key) return key.error();
  if (X509_check_private_key(own, key->get()) != 1)
    return wrong(key_file, "the private key does not belong to the certificate in " + certificate_file);
  ERR_clear_error();
  if (SSL_CTX_use_certificate(context, own) != 1) return wrong(certificate_file, "is not accepted: " + reason());
  if (SSL_CTX_use_PrivateKey(context, key->get()) != 1) return wrong(key_file, "is not accepted: " + reason());
  for (size_t i = 1; i < chain->size(); ++i)
    if (SSL_CTX_add1_chain_cert(context, (*chain)[i].get()) != 1)
      return wrong(certificate_file, "its chain is not accepted: " + reason());
  return end_s;
}

Result<void> trust(SSL_CTX* context, const std::string& ca_file, bool tell_clients) {
  const Result<std::vector<CertificatePointer>> authorities = read_certificates(ca_file, "CA file");
  if (!authorities) return authorities.error();
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  for (const CertificatePointer& authority : *authorities) {
    if (X509_STORE_add_cert(store, authority.get()) != 1) return wrong(ca_file, "is not accepted: " + reason());
    if (tell_clients) SSL_CTX_add_client_CA(context, authority.get());
  }
  // What stands in the file is trusted, also an intermediate authority without its root.
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN);
  return {};
}

void set_rules(SSL_CTX* context, TlsVersion min_version) {
  SSL_CTX_set_min_proto_version(context, min_version == TlsVersion::v1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  // An idle connection gives its buffers back. Reading ahead: a record costs one read of the stream below, not two.
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(context, 1);
  HEPTANE_ASSERT(SSL_CTX_set_cipher_list(context, kCiphersOf12) == 1, "OpenSSL has none of the ciphers");
}

}  // namespace

TlsContext::TlsContext() : native_(SSL_CTX_new(TLS_method())) { HEPTANE_ASSERT(native_ != nullptr, "no memory"); }

TlsContext::~TlsContext() { SSL_CTX_free(native_); }

Result<std::shared_ptr<TlsContext>> TlsContext::server(const TlsOptions& options, int64_t utc_ns) {
  std::shared_ptr<TlsContext> context(new TlsContext());
  SSL_CTX* native = context->native_;
  set_rules(native, options.min_version);
  // Our protocols say where a message ends: a client that just goes is no attack, and what it asked for is answered.
  SSL_CTX_set_options(native, SSL_OP_IGNORE_UNEXPECTED_EOF);
  const Result<int64_t> end_s = use_identity(native, options.certificate_file, options.key_file, utc_ns);
  if (!end_s) return end_s.error();
  context->not_after_utc_s_ = *end_s;
  if (options.client_certificates == ClientCertificates::none) return context;
  if (options.client_ca_file.empty())
    return Error{Errc::invalid_argument,
                 "TLS: client certificates are asked for: name the file of the CAs that sign them"};
  HEPTANE_TRY(trust(native, options.client_ca_file, true));
  const bool required = options.client_certificates == ClientCertificates::required;
  SSL_CTX_set_verify(native, SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nullptr);
  return context;
}

Result<std::shared_ptr<TlsContext>> TlsContext::client(const TlsClientOptions& options, int64_t utc_ns) {
  std::shared_ptr<TlsContext> context(new TlsContext());
  SSL_CTX* native = context->native_;
  set_rules(native, options.min_version);
  if (!options.ca_file.empty()) {
    HEPTANE_TRY(trust(native, options.ca_file, false));
  } else if (SSL_CTX_set_default_verify_paths(native) != 1) {
    return Error{Errc::io, "TLS: the system's CAs cannot be read: install ca-certificates or name a CA file"};
  }
  SSL_CTX_set_verify(native, SSL_VERIFY_PEER, nullptr);
  if (options.certificate_file.empty()) return context;
  const Result<int64_t> end_s = use_identity(native, options.certificate_file, options.key_file, utc_ns);
  if (!end_s) return end_s.error();
  context->not_after_utc_s_ = *end_s;
  return context;
}

Result<std::shared_ptr<TlsCredentials>> TlsCredentials::load(TlsOptions options, Clock& clock) {
  std::shared_ptr<TlsCredentials> credentials(new TlsCredentials(std::move(options), clock));
  HEPTANE_TRY(credentials->reload());
  return credentials;
}

Result<void> TlsCredentials::reload() {
  Result<std::shared_ptr<TlsContext>> context = TlsContext::server(options_, clock_.utc_ns());
  if (!context) return context.error();
  current_ = std::move(*context);
  return {};
}

}  // namespace heptane::net
