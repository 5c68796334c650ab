#include "kernel/net/tls_stream.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <utility>

#include "kernel/base/assert.h"

namespace heptane::net {

namespace {

constexpr size_t kRecordsPerWriteBytes = 64 << 10;
constexpr size_t kUnsentMaxBytes = 128 << 10;  // with more, nothing is read: a peer must take what it provokes

BIO_METHOD* stream_below_method();
int choose_alpn(SSL* ssl, const unsigned char** chosen, unsigned char* length, const unsigned char* offered,
                unsigned int offered_length, void*);

std::string last_reason() {
  const unsigned long code = ERR_peek_last_error();
  const char* text = code == 0 ? nullptr : ERR_reason_error_string(code);
  return text == nullptr ? "the connection broke off" : text;
}

std::string utf8(const X509_NAME* name) {
  BIO* out = BIO_new(BIO_s_mem());
  X509_NAME_print_ex(out, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out, &data);
  std::string text(data, static_cast<size_t>(std::max(size, 0L)));
  BIO_free(out);
  return text;
}

// Empty also when there is a zero byte in it: nobody may be taken for somebody else.
std::string last_common_name(const X509_NAME* name) {
  int at = -1;
  for (int next = at; (next = X509_NAME_get_index_by_NID(name, NID_commonName, next)) >= 0;) at = next;
  if (at < 0) return {};
  unsigned char* data = nullptr;
  const int size = ASN1_STRING_to_UTF8(&data, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
  if (size < 0) return {};
  std::string text(reinterpret_cast<char*>(data), static_cast<size_t>(size));
  OPENSSL_free(data);
  return text.find('\0') == std::string::npos ? text : std::string();
}

std::string fingerprint(const X509* certificate) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (X509_digest(certificate, EVP_sha256(), digest, &size) != 1) return {};
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (unsigned int i = 0; i < size; ++i) {
    text += kDigits[digest[i] >> 4];
    text += kDigits[digest[i] & 15];
  }
  return text;
}

// The next bytes of a gathered write: a long piece as it lies, short ones copied together into one record.
class Gather {
 public:
  Gather(std::span<const Bytes> pieces, TlsScratch& scratch) : pieces_(pieces), scratch_(scratch) {}

  Bytes next() {
    size_t filled = 0;
    while (at_ < pieces_.size() && filled < kTlsRecordBytes) {
      const Bytes rest = pieces_[at_].subspan(used_);
      const size_t part = std::min(rest.size(), kTlsRecordBytes - filled);
      advance(part);
      if (filled == 0 && part == kTlsRecordBytes) return rest.first(part);
      if (part > 0) std::memcpy(scratch_.plain.data() + filled, rest.data(), part);
      filled += part;
    }
    return Bytes(scratch_.plain).first(filled);
  }

 private:
  void advance(size_t part) {
    used_ += part;
    if (used_ < pieces_[at_].size()) return;
    used_ = 0;
    ++at_;
  }

  std::span<const Bytes> pieces_;
  TlsScratch& scratch_;
  size_t at_ = 0;
  size_t used_ = 0;
};

class TlsStream final : public Stream, public StreamEvents {
 public:
  TlsStream(std::unique_ptr<Stream> below, std::shared_ptr<TlsContext> context, std::span<const std::string_view> alpn,
            bool server)
      : below_(std::move(below)),
        context_(std::move(context)),
        ssl_(SSL_new(context_->native())),
        alpn_(alpn),
        server_(server) {
    HEPTANE_ASSERT(ssl_ != nullptr, "no memory");
    BIO* bio = BIO_new(stream_below_method());
    HEPTANE_ASSERT(bio != nullptr, "no memory");
    BIO_set_data(bio, this);
    SSL_set_bio(ssl_, bio, bio);
    SSL_set_app_data(ssl_, this);
    if (server)
      SSL_set_accept_state(ssl_);
    else
      SSL_set_connect_state(ssl_);
    below_->set_events(this);
  }
  ~TlsStream() override {
    say_goodbye();
    drain();
    SSL_free(ssl_);
  }
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  SSL* native() { return ssl_; }
  std::span<const std::string_view> alpn() const { return alpn_; }

  void set_events(StreamEvents* events) override { events_ = events; }

  IoStatus handshake() override {
    if (end_ != IoStatus::ok) return tell_end();
    if (established_) return IoStatus::ok;
    ERR_clear_error();
    const int outcome = SSL_do_handshake(ssl_);
    if (outcome == 1)
      established_ = true;
    else
      look_at(outcome);
    drain();
    if (established_) return IoStatus::ok;
    return end_ == IoStatus::ok ? IoStatus::would_block : tell_end();
  }

  IoResult read_some(MutableBytes into) override {
    if (end_ == IoStatus::failed && end_told_) {
      more_ = false;
      return below_->read_some(into);
    }
    if (const IoStatus agreed = handshake(); agreed != IoStatus::ok) return {agreed, 0};
    more_ = unsent_.size() > kUnsentMaxBytes;
    if (more_) return {IoStatus::would_block, 0};
    size_t got = 0;
    bool drained = false;
    while (got < into.size() && !drained && end_ == IoStatus::ok) {
      size_t count = 0;
      ERR_clear_error();
      const int outcome = SSL_read_ex(ssl_, into.data() + got, into.size() - got, &count);
      got += count;
      if (outcome != 1) drained = look_at(outcome);
    }
    drain();
    more_ = got > 0 && !drained;
    if (got > 0) return {IoStatus::ok, got};  // an end that came with it is told by the next call
    return {end_ == IoStatus::ok ? IoStatus::would_block : tell_end(), 0};
  }

  IoResult write_some(std::span<const Bytes> pieces) override {
    if (closing_ || end_ == IoStatus::failed || end_ == IoStatus::reset) return {IoStatus::reset, 0};
    if (!established_)
      if (const IoStatus agreed = handshake(); agreed != IoStatus::ok) return {agreed, 0};
    drain();
    size_t taken = 0;
    Gather gather(pieces, context_->scratch());
    while (flushed() && !broken_) {
      const Bytes plain = gather.next();
      if (plain.empty()) break;
      if (!encrypt(plain)) return {tell_end(), 0};
      taken += plain.size();
      if (context_->scratch().records.size() >= kRecordsPerWriteBytes) drain();
    }
    drain();
    if (broken_) return {IoStatus::reset, 0};
    return {taken > 0 ? IoStatus::ok : IoStatus::would_block, taken};
  }

  bool flushed() const override { return unsent_.empty(); }
  void want_read() override {
    wants_read_ = true;
    arm();
  }
  void want_write() override {
    wants_write_ = true;
    arm();
  }
  void shutdown_write() override {
    say_goodbye();
    closing_ = true;
    drain();
  }
  const Address& local() const override { return below_->local(); }
  const Address& remote() const override { return below_->remote(); }
  std::optional<uint32_t> peer_uid() const override { return below_->peer_uid(); }
  std::string_view failure() const override { return rare_ ? std::string_view(rare_->failure) : std::string_view(); }

  const TlsFacts* tls() const override {
    if (!established_) return nullptr;
    Rare& kept = rare();
    if (kept.facts.version.empty()) kept.facts = facts();
    return &kept.facts;
  }

  // StreamEvents: of the stream below. Neither handler destroys this stream.
  void on_readable() override {
    read_armed_ = false;
    if (!std::exchange(wants_read_, false)) return;
    if (events_ != nullptr) events_->on_readable();
  }
  void on_writable() override {
    write_armed_ = false;
    drain();
    const bool writable = flushed() && std::exchange(wants_write_, false);
    const bool readable = flushed() && more_ && std::exchange(wants_read_, false);
    arm();
    if (writable && events_ != nullptr) events_->on_writable();
    if (readable && events_ != nullptr) events_->on_readable();
  }

  // The BIO's side: what OpenSSL wants of the stream below.
  IoResult fetch(MutableBytes into) {
    const IoResult result = below_->read_some(into);
    if (result.status != IoStatus::ok && result.status != IoStatus::would_block) below_end_ = result.status;
    return result;
  }
  void put(Bytes record) {
    std::vector<std::byte>& out = flushed() ? context_->scratch().records : unsent_;
    out.insert(out.end(), record.begin(), record.end());
  }
  bool ended_below() const { return below_end_ == IoStatus::closed; }

 private:
  // What few streams have.
  struct Rare {
    TlsFacts facts;
    std::string failure;
  };
  Rare& rare() const {
    if (!rare_) rare_ = std::make_unique<Rare>();
    return *rare_;
  }

  // An outcome that is no success; true: only more bytes help.
  bool look_at(int outcome) {
    const int error = SSL_get_error(ssl_, outcome);
    if (error == SSL_ERROR_WANT_READ) return true;
    if (error == SSL_ERROR_ZERO_RETURN) {
      end_ = IoStatus::closed;
    } else if (below_end_ != IoStatus::ok) {
      // For a client an end without close_notify may be somebody else's doing: what was said cannot be taken as all.
      end_ = IoStatus::reset;
    } else {
      end_ = IoStatus::failed;
      rare().failure = "TLS: " + last_reason();
      const long verified = SSL_get_verify_result(ssl_);
      if (verified != X509_V_OK) rare().failure += std::string(" (") + X509_verify_cert_error_string(verified) + ")";
    }
    return false;
  }

  IoStatus tell_end() {
    end_told_ = true;
    return end_ == IoStatus::ok ? IoStatus::would_block : end_;
  }

  bool encrypt(Bytes plain) {
    size_t written = 0;
    ERR_clear_error();
    const int outcome = SSL_write_ex(ssl_, plain.data(), plain.size(), &written);
    if (outcome == 1 && written == plain.size()) return true;
    if (look_at(outcome)) end_ = IoStatus::failed;  // the BIO takes everything and nothing is renegotiated
    return false;
  }

  void say_goodbye() {
    if (!established_ || closing_ || broken_ || end_ == IoStatus::failed || end_ == IoStatus::reset) return;
    ERR_clear_error();
    SSL_shutdown(ssl_);
  }

  // Gives records to the stream below; what it does not take waits in unsent_.
  void drain() {
    std::vector<std::byte>& fresh = context_->scratch().records;
    const bool waited = !flushed();
    const Bytes out = waited ? Bytes(unsent_) : Bytes(fresh);
    size_t sent = 0;
    while (sent < out.size() && !broken_) {
      const Bytes rest = out.subspan(sent);
      const IoResult result = below_->write_some({&rest, 1});
      if (result.status == IoStatus::would_block) break;
      broken_ = result.status != IoStatus::ok;
      sent += result.bytes;
    }
    if (broken_) sent = out.size();
    if (waited)
      forget_sent(sent);
    else
      unsent_.assign(out.begin() + static_cast<std::ptrdiff_t>(sent), out.end());
    fresh.clear();
    if (!flushed()) arm();
    if (flushed() && closing_ && !std::exchange(shut_, true)) below_->shutdown_write();
  }

  void forget_sent(size_t sent) {
    unsent_.erase(unsent_.begin(), unsent_.begin() + static_cast<std::ptrdiff_t>(sent));
    if (unsent_.empty()) unsent_ = {};
  }

  // What is inside already raises no event of the stream below but for its being writable.
  void arm() {
    const bool read = wants_read_ && !more_;
    const bool write = wants_write_ || !flushed() || (wants_read_ && more_);
    if (read && !std::exchange(read_armed_, true)) below_->want_read();
    if (write && !std::exchange(write_armed_, true)) below_->want_write();
  }

  TlsFacts facts() const {
    TlsFacts facts;
    facts.version = SSL_get_version(ssl_);
    if (const char* name = SSL_get_servername(ssl_, TLSEXT_NAMETYPE_host_name)) facts.server_name = name;
    const unsigned char* protocol = nullptr;
    unsigned int size = 0;
    SSL_get0_alpn_selected(ssl_, &protocol, &size);
    if (size > 0) facts.alpn.assign(reinterpret_cast<const char*>(protocol), size);
    const X509* certificate = server_ ? SSL_get0_peer_certificate(ssl_) : nullptr;
    if (certificate == nullptr || SSL_get_verify_result(ssl_) != X509_V_OK) return facts;
    facts.client_subject = utf8(X509_get_subject_name(certificate));
    facts.client_common_name = last_common_name(X509_get_subject_name(certificate));
    facts.client_fingerprint = fingerprint(certificate);
    return facts;
  }

  std::unique_ptr<Stream> below_;
  std::shared_ptr<TlsContext> context_;
  SSL* ssl_;
  std::span<const std::string_view> alpn_;
  StreamEvents* events_ = nullptr;
  std::vector<std::byte> unsent_;  // records that the stream below did not take
  mutable std::unique_ptr<Rare> rare_;
  IoStatus end_ = IoStatus::ok;        // of what can be read
  IoStatus below_end_ = IoStatus::ok;  // of the stream below
  const bool server_;
  bool established_ = false;
  bool end_told_ = false;
  bool broken_ = false;   // nothing can be written any more
  bool closing_ = false;  // our side is shut
  bool shut_ = false;     // and that of the stream below
  bool more_ = false;     // there may be bytes inside that raise no event
  bool wants_read_ = false;
  bool wants_write_ = false;
  bool read_armed_ = false;
  bool write_armed_ = false;
};

int bio_write(BIO* bio, const char* data, size_t size, size_t* written) {
  static_cast<TlsStream*>(BIO_get_data(bio))->put({reinterpret_cast<const std::byte*>(data), size});
  *written = size;
  return 1;
}

int bio_read(BIO* bio, char* data, size_t size, size_t* count) {
  BIO_clear_retry_flags(bio);
  const IoResult result = static_cast<TlsStream*>(BIO_get_data(bio))->fetch({reinterpret_cast<std::byte*>(data), size});
  *count = result.bytes;
  if (result.status == IoStatus::would_block) BIO_set_retry_read(bio);
  return result.status == IoStatus::ok ? 1 : 0;
}

long bio_control(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_FLUSH) return 1;
  if (command == BIO_CTRL_EOF) return static_cast<TlsStream*>(BIO_get_data(bio))->ended_below() ? 1 : 0;
  return 0;
}

int bio_create(BIO* bio) {
  BIO_set_init(bio, 1);
  return 1;
}

// Lives as long as the process.
BIO_METHOD* stream_below_method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
    HEPTANE_ASSERT(made != nullptr, "no memory");
    BIO_meth_set_write_ex(made, &bio_write);
    BIO_meth_set_read_ex(made, &bio_read);
    BIO_meth_set_ctrl(made, &bio_control);
    BIO_meth_set_create(made, &bio_create);
    return made;
  }();
  return method;
}

// The first of ours that the client offers.
int choose_alpn(SSL* ssl, const unsigned char** chosen, unsigned char* length, const unsigned char* offered,
                unsigned int offered_length, void*) {
  const auto* stream = static_cast<const TlsStream*>(SSL_get_app_data(ssl));
  if (stream->alpn().empty()) return SSL_TLSEXT_ERR_NOACK;
  for (const std::string_view ours : stream->alpn()) {
    for (unsigned int at = 0; at < offered_length; at += 1U + offered[at]) {
      if (std::string_view(reinterpret_cast<const char*>(offered) + at + 1, offered[at]) != ours) continue;
      *chosen = offered + at + 1;
      *length = offered[at];
      return SSL_TLSEXT_ERR_OK;
    }
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

}  // namespace

std::unique_ptr<Stream> make_tls_server_stream(std::unique_ptr<Stream> below, std::shared_ptr<TlsContext> context,
                                               std::span<const std::string_view> alpn) {
  SSL_CTX_set_alpn_select_cb(context->native(), &choose_alpn, nullptr);
  return std::make_unique<TlsStream>(std::move(below), std::move(context), alpn, true);
}

std::unique_ptr<Stream> make_tls_client_stream(std::unique_ptr<Stream> below, std::shared_ptr<TlsContext> context,
                                               const std::string& server_name, std::span<const std::string_view> alpn) {
  auto stream = std::make_unique<TlsStream>(std::move(below), std::move(context), alpn, false);
  SSL* ssl = stream->native();
  X509_VERIFY_PARAM* rules = SSL_get0_param(ssl);
  if (X509_VERIFY_PARAM_set1_ip_asc(rules, server_name.c_str()) != 1) {
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    const bool named =
        SSL_set1_host(ssl, server_name.c_str()) == 1 && SSL_set_tlsext_host_name(ssl, server_name.c_str()) == 1;
    HEPTANE_ASSERT(named, "no memory");
  }
  std::string offer;
  for (const std::string_view protocol : alpn) {
    offer += static_cast<char>(protocol.size());
    offer += protocol;
  }
  if (!offer.empty())
    SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(offer.data()),
                        static_cast<unsigned int>(offer.size()));
  return stream;
}

}  // namespace heptane::net
