#include "bench/mqtt_tls.h"

#include <openssl/ssl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace heptane::bench {

namespace {

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "bench: %s\n", why.c_str());
  std::exit(1);
}

void ask(SSL* connection, const ByteWriter& packet, const char* what) {
  const Bytes bytes = packet.view();
  if (SSL_write(connection, bytes.data(), static_cast<int>(bytes.size())) != static_cast<int>(bytes.size()))
    give_up(std::string("the broker closes a client over TLS at its ") + what);
  std::array<std::byte, 64> answer;
  const int count = SSL_read(connection, answer.data(), static_cast<int>(answer.size()));
  if (count < 4 || (static_cast<uint8_t>(answer[static_cast<size_t>(count) - 1]) & 0x80) != 0)
    give_up(std::string("the broker refuses a client over TLS at its ") + what);
}

}  // namespace

void make_tls_files(const std::string& directory) {
  const std::string command =
      "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost -keyout "
      "'" +
      directory + "/tls.key' -out '" + directory + "/tls.crt' 2> /dev/null && chmod 600 '" + directory + "/tls.key'";
  const int status = std::system(command.c_str());
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) give_up("openssl makes no certificate");
}

struct MqttTlsClients::Parts {
  SSL_CTX* context = nullptr;
  std::vector<SSL*> connections;
};

MqttTlsClients::MqttTlsClients() : parts_(std::make_unique<Parts>()) {
  parts_->context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_min_proto_version(parts_->context, TLS1_3_VERSION);
  SSL_CTX_set_mode(parts_->context, SSL_MODE_RELEASE_BUFFERS);
}

MqttTlsClients::~MqttTlsClients() {
  for (SSL* connection : parts_->connections) {
    const int fd = SSL_get_fd(connection);
    SSL_free(connection);
    ::close(fd);
  }
  SSL_CTX_free(parts_->context);
}

void MqttTlsClients::connect(uint16_t port, const MqttLogin& login, const std::string& filter) {
  SSL* connection = SSL_new(parts_->context);
  parts_->connections.push_back(connection);
  SSL_set_fd(connection, open_mqtt_socket(port));
  if (SSL_connect(connection) != 1) give_up("a TLS handshake with the broker fails");
  ask(connection, encode_mqtt_connect(login), "CONNECT");
  ask(connection, encode_mqtt_subscribe(filter, 0), "SUBSCRIBE");
}

}  // namespace heptane::bench
