// What TLS needs of files: certificate chain, private key, CAs, and the rules. Loaded as a whole or not at all; an error names
// the file and what is wrong with it. TLS 1.2 and 1.3 only, 1.2 with forward secrecy and AEAD; no renegotiation, no compression,
// no resumption: connections live long, and every one proves anew who it is, so that a reload is the whole truth.
//
// A context never changes. Reloading (TlsCredentials) makes another: connections that exist keep theirs.
// The I/O thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/clock.h"
#include "kernel/base/result.h"

struct ssl_ctx_st;

namespace heptane::net {

enum class ClientCertificates : uint8_t { none, optional, required };
enum class TlsVersion : uint8_t { v1_2, v1_3 };

// Of a listener. All files are PEM.
struct TlsOptions {
  std::string certificate_file;  // the server's own first, then the intermediate ones
  std::string key_file;          // not encrypted
  std::string client_ca_file;    // who may sign clients' certificates
  ClientCertificates client_certificates = ClientCertificates::none;
  TlsVersion min_version = TlsVersion::v1_2;
};

// Of an outbound connection. The peer's certificate is always verified, and its name.
struct TlsClientOptions {
  std::string ca_file;           // empty: the system's
  std::string certificate_file;  // shown when the peer asks; empty: none
  std::string key_file;
  TlsVersion min_version = TlsVersion::v1_2;
};

constexpr size_t kTlsRecordBytes = 16 << 10;

// Shared by the streams of a context: nothing stays in it between two calls.
struct TlsScratch {
  std::array<std::byte, kTlsRecordBytes> plain;  // small pieces become one record
  std::vector<std::byte> records;                // encrypted, on their way to the stream below
};

class TlsContext {
 public:
  // `utc_ns`: a certificate that is not valid then is refused.
  static Result<std::shared_ptr<TlsContext>> server(const TlsOptions& options, int64_t utc_ns);
  static Result<std::shared_ptr<TlsContext>> client(const TlsClientOptions& options, int64_t utc_ns);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  ssl_ctx_st* native() const { return native_; }
  TlsScratch& scratch() { return *scratch_; }
  int64_t not_after_utc_s() const { return not_after_utc_s_; }  // the certificate's; 0 = there is none

 private:
  TlsContext();

  ssl_ctx_st* native_;
  std::unique_ptr<TlsScratch> scratch_ = std::make_unique<TlsScratch>();
  int64_t not_after_utc_s_ = 0;
};

// A listener's context, replaced when the files are read again.
class TlsCredentials {
 public:
  static Result<std::shared_ptr<TlsCredentials>> load(TlsOptions options, Clock& clock);

  // On an error everything stays as it was.
  Result<void> reload();
  const std::shared_ptr<TlsContext>& current() const { return current_; }
  const TlsOptions& options() const { return options_; }

 private:
  TlsCredentials(TlsOptions options, Clock& clock) : options_(std::move(options)), clock_(clock) {}

  const TlsOptions options_;
  Clock& clock_;
  std::shared_ptr<TlsContext> current_;
};

}  // namespace heptane::net
