// Certificates made on the spot, and two ends of a connection in memory that passes as few bytes at a time as a test likes.
// Test support.
#pragma once

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "kernel/base/assert.h"
#include "kernel/net/net.h"
#include "kernel/net/tls_context.h"

namespace heptane::net::test {

// A temporary directory with certificate files, gone with the object.
class CertificateFiles {
 public:
  CertificateFiles() {
    std::string name = (std::filesystem::temp_directory_path() / "heptane-tls-XXXXXX").string();
    HEPTANE_ASSERT(mkdtemp(name.data()) != nullptr, "no temporary directory");
    directory_ = name;
  }
  ~CertificateFiles() { std::filesystem::remove_all(directory_); }
  CertificateFiles(const CertificateFiles&) = delete;
  CertificateFiles& operator=(const CertificateFiles&) = delete;

  std::string path(const std::string& name) const { return directory_ + "/" + name; }
  void write(const std::string& name, const std::string& text) const { std::ofstream(path(name)) << text; }

  // NAME.pem and NAME.key, signed by itself.
  void make_authority(const std::string& name) { make(name, name, name, "", 0, 86'400); }
  // Signed by an authority that was made before.
  void make_certificate(const std::string& name, const std::string& authority, const std::string& subject,
                        const std::string& alternative = "DNS:localhost,IP:127.0.0.1", int64_t begins_in_s = -3600,
                        int64_t ends_in_s = 86'400) {
    make(name, authority, subject, alternative, begins_in_s, ends_in_s);
  }
  // The key of `name` with a password, as NAME.locked.
  void lock_key(const std::string& name) const {
    FILE* in = std::fopen(path(name + ".key").c_str(), "r");
    EVP_PKEY* key = PEM_read_PrivateKey(in, nullptr, nullptr, nullptr);
    std::fclose(in);
    FILE* out = std::fopen(path(name + ".locked").c_str(), "w");
    char password[] = "secret";
    PEM_write_PKCS8PrivateKey(out, key, EVP_aes_128_cbc(), password, 6, nullptr, nullptr);
    std::fclose(out);
    EVP_PKEY_free(key);
  }

  TlsOptions options(const std::string& name) const {
    TlsOptions options;
    options.certificate_file = path(name + ".pem");
    options.key_file = path(name + ".key");
    return options;
  }

 private:
  void make(const std::string& name, const std::string& issuer, const std::string& subject,
            const std::string& alternative, int64_t begins_in_s, int64_t ends_in_s) {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* certificate = X509_new();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial_);
    X509_gmtime_adj(X509_getm_notBefore(certificate), begins_in_s);
    X509_gmtime_adj(X509_getm_notAfter(certificate), ends_in_s);
    X509_set_pubkey(certificate, key);
    X509_NAME* subject_name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(subject_name, "O", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>("Heptane"), -1,
                               -1, 0);
    X509_NAME_add_entry_by_txt(subject_name, "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(subject.data()), static_cast<int>(subject.size()),
                               -1, 0);
    X509* signer = certificate;
    EVP_PKEY* signer_key = key;
    if (issuer != name) {
      signer = load<X509>(issuer + ".pem", &PEM_read_X509);
      signer_key = load<EVP_PKEY>(issuer + ".key", &PEM_read_PrivateKey);
    }
    X509_set_issuer_name(certificate, X509_get_subject_name(signer));
    extend(certificate, signer, NID_basic_constraints, issuer == name ? "critical,CA:TRUE" : "CA:FALSE");
    if (!alternative.empty()) extend(certificate, signer, NID_subject_alt_name, alternative.c_str());
    X509_sign(certificate, signer_key, EVP_sha256());
    save(name + ".pem", [&](FILE* file) { PEM_write_X509(file, certificate); });
    save(name + ".key", [&](FILE* file) { PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr); });
    if (signer != certificate) {
      X509_free(signer);
      EVP_PKEY_free(signer_key);
    }
    X509_free(certificate);
    EVP_PKEY_free(key);
  }

  static void extend(X509* certificate, X509* signer, int kind, const char* value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, signer, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value);
    HEPTANE_ASSERT(extension != nullptr, "a bad extension");
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }

  template <class T>
  T* load(const std::string& name, T* (*read)(FILE*, T**, pem_password_cb*, void*)) const {
    FILE* file = std::fopen(path(name).c_str(), "r");
    T* object = read(file, nullptr, nullptr, nullptr);
    std::fclose(file);
    return object;
  }
  template <class Write>
  void save(const std::string& name, const Write& write) const {
    FILE* file = std::fopen(path(name).c_str(), "w");
    write(file);
    std::fclose(file);
  }

  std::string directory_;
  int serial_ = 0;
};

// Bytes from one end to the other.
struct Wire {
  std::deque<std::byte> bytes;
  size_t room_bytes = SIZE_MAX;   // more than this a writer cannot be ahead
  size_t chunk_bytes = SIZE_MAX;  // more than this no read gives
  bool finished = false;
  bool broken = false;
};

class WireStream final : public Stream {
 public:
  WireStream(std::shared_ptr<Wire> in, std::shared_ptr<Wire> out) : in_(std::move(in)), out_(std::move(out)) {}
  ~WireStream() override { out_->finished = true; }
  WireStream(const WireStream&) = delete;
  WireStream& operator=(const WireStream&) = delete;

  void set_events(StreamEvents* events) override { events_ = events; }
  IoResult read_some(MutableBytes into) override {
    if (in_->broken) return {IoStatus::reset, 0};
    if (in_->bytes.empty()) return {in_->finished ? IoStatus::closed : IoStatus::would_block, 0};
    const size_t count = std::min({into.size(), in_->bytes.size(), in_->chunk_bytes});
    std::copy_n(in_->bytes.begin(), count, into.begin());
    in_->bytes.erase(in_->bytes.begin(), in_->bytes.begin() + static_cast<std::ptrdiff_t>(count));
    return {IoStatus::ok, count};
  }
  IoResult write_some(std::span<const Bytes> pieces) override {
    if (out_->broken || out_->finished) return {IoStatus::reset, 0};
    size_t taken = 0;
    for (const Bytes& piece : pieces)
      for (const std::byte byte : piece) {
        if (out_->bytes.size() >= out_->room_bytes) return {taken > 0 ? IoStatus::ok : IoStatus::would_block, taken};
        out_->bytes.push_back(byte);
        ++taken;
      }
    return {IoStatus::ok, taken};
  }
  void want_read() override { wants_read_ = true; }
  void want_write() override { wants_write_ = true; }
  void shutdown_write() override { out_->finished = true; }
  const Address& local() const override { return address_; }
  const Address& remote() const override { return address_; }

  // Raises what is due; true when something was.
  bool step() {
    const bool readable = wants_read_ && (in_->broken || in_->finished || !in_->bytes.empty());
    const bool writable = wants_write_ && (out_->broken || out_->finished || out_->bytes.size() < out_->room_bytes);
    if (readable) wants_read_ = false;
    if (writable) wants_write_ = false;
    if (readable) events_->on_readable();
    if (writable) events_->on_writable();
    return readable || writable;
  }

 private:
  std::shared_ptr<Wire> in_;
  std::shared_ptr<Wire> out_;
  StreamEvents* events_ = nullptr;
  Address address_{"127.0.0.1", 1};
  bool wants_read_ = false;
  bool wants_write_ = false;
};

// One user of a stream: shakes hands, sends what it is told to, keeps what it gets.
class Party final : public StreamEvents {
 public:
  Party(std::unique_ptr<Stream> stream, WireStream& wire) : stream_(std::move(stream)), wire_(wire) {
    stream_->set_events(this);
    go_on();
  }

  std::string to_send;
  std::string got;
  IoStatus end = IoStatus::ok;  // of what it can read
  bool agreed = false;
  bool reads = true;
  Stream& stream() { return *stream_; }
  void end_output() { stream_->shutdown_write(); }
  void drop() { stream_.reset(); }

  bool step() { return stream_ != nullptr && wire_.step(); }
  void on_readable() override {
    read_armed_ = false;
    go_on();
  }
  void on_writable() override {
    write_armed_ = false;
    go_on();
  }

  void go_on() {
    if (!agreed && end == IoStatus::ok) shake();
    if (!agreed) return;
    send();
    receive();
  }

 private:
  void shake() {
    const IoStatus status = stream_->handshake();
    agreed = status == IoStatus::ok;
    if (status == IoStatus::would_block)
      arm_read();
    else if (!agreed)
      end = status;
  }
  void send() {
    while (!to_send.empty() && !write_armed_) {
      // In pieces, as the loop gathers them.
      const Bytes all = as_bytes(to_send);
      const size_t first = std::min<size_t>(all.size(), 5);
      const std::array<Bytes, 2> pieces = {all.first(first), all.subspan(first)};
      const IoResult result = stream_->write_some(pieces);
      to_send.erase(0, result.bytes);
      if (result.status == IoStatus::would_block || !to_send.empty()) {
        write_armed_ = true;
        stream_->want_write();
      }
      if (result.status == IoStatus::reset || result.status == IoStatus::failed) return to_send.clear();
    }
  }
  void receive() {
    std::array<std::byte, 10'000> buffer;
    while (reads && end == IoStatus::ok) {
      const IoResult result = stream_->read_some(buffer);
      if (result.status == IoStatus::would_block) return arm_read();
      if (result.status != IoStatus::ok) {
        end = result.status;
        return;
      }
      got += as_text(Bytes(buffer).first(result.bytes));
      if (result.bytes < buffer.size()) return arm_read();
    }
  }
  void arm_read() {
    if (!std::exchange(read_armed_, true)) stream_->want_read();
  }

  std::unique_ptr<Stream> stream_;
  WireStream& wire_;
  bool read_armed_ = false;
  bool write_armed_ = false;
};

}  // namespace heptane::net::test
