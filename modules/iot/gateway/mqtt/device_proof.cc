// How a device proves who it is: by the fingerprint of its certificate, which TLS has verified, or by a token. The machine is asked
// whose it is; CONNECT and what came behind it wait.

#include <algorithm>

#include "kernel/crypto/digest.h"
#include "kernel/net/peer.h"
#include "modules/iot/gateway/mqtt/session.h"

namespace heptane::iot::mqtt {

namespace {

constexpr Fault kUnknown{Reason::not_authorised, "a client must say who it is"};
constexpr int64_t kLookAtEndNs = int64_t{3'600} * 1'000'000'000;
constexpr Fault kWrongToken{Reason::bad_user_or_password, "authentication failed"};

}  // namespace

Fault MqttSession::ask_by_certificate(const Frame& frame) {
  const net::TlsFacts* tls = context_->tls();
  const auto hash = tls == nullptr ? std::nullopt : devices::hash_of_id(tls->client_fingerprint);
  return hash ? ask_device(devices::CredentialKind::certificate, *hash, frame) : kUnknown;
}

Fault MqttSession::ask_by_token(const Connect& packet, const Frame& frame) {
  const std::string hash = crypto::digest(crypto::Hash::sha256, *packet.password);
  return ask_device(devices::CredentialKind::token, hash, frame);
}

Fault MqttSession::ask_device(devices::CredentialKind kind, const std::string& hash, const Frame& frame) {
  if (!broker_.devices().any()) return kind == devices::CredentialKind::token ? kWrongToken : kUnknown;
  QueryRequest query;
  query.machine = devices::kProvisioningMachineId;
  query.type = devices::kQueryProof;
  query.payload = devices::encode_proof_query(kind, hash, context_->utc_ns());
  if (!context_->query(last_request_ + 1, std::move(query))) return {Reason::server_busy, "the server has no room"};
  greeting_ = std::make_unique<Greeting>();
  greeting_->device_asked = ++last_request_;
  greeting_->packet = std::string(as_text(frame.body));
  context_->pause_input(paused_ = true);
  return {};
}

// CONNECT goes on where it stopped.
void MqttSession::take_device(const Reply& reply) {
  const std::string body = std::move(greeting_->packet);
  greeting_->device_asked = 0;
  Frame frame;
  frame.type = PacketType::connect;
  frame.body = as_bytes(body);
  Connect packet;
  ConnectStage stage{};
  const Fault fault = decode_connect(frame, packet, stage);
  if (fault) return refuse_connect(stage, packet.version, fault);  // it was well-formed before
  if (!reply.ok()) return refuse_connect(stage, packet.version, {Reason::server_busy, "the server has no room"});
  const std::string_view user = user_without_sdk(packet.user.value_or(""));
  auto row = reply.numbers[0] == 1 ? devices::decode_credential_row(reply.payload.view()) : std::nullopt;
  const bool right = row && (user.empty() || user == row->credential.thing);
  if (!right) {
    broker_.options().rules->note_failed(user, context_->remote().host, "mqtt device");
    return refuse_connect(stage, packet.version, user.empty() ? kUnknown : kWrongToken);
  }
  identity_ = {row->principal(), row->credential.holder(), {}};
  device_ = std::make_unique<DeviceProof>(DeviceProof{std::move(*row), 0});
  arm_expiry();
  admit(packet);
  if (!closed_ && framed_ && flush_timer_ == 0) flush_timer_ = context_->arm(0);
}

// A timer knows nothing of a clock that is set: it looks again now and then.
void MqttSession::arm_expiry() {
  if (device_->expiry != 0) context_->cancel(std::exchange(device_->expiry, 0));
  const LogTime expires = device_->row.credential.expires;
  if (expires == 0) return;
  device_->expiry = context_->arm(std::clamp<int64_t>(expires - context_->utc_ns(), 0, kLookAtEndNs));
}

bool MqttSession::credential_is_over() const {
  const LogTime expires = device_ ? device_->row.credential.expires : 0;
  return expires != 0 && context_->utc_ns() >= expires;
}

void MqttSession::take_expiry() {
  device_->expiry = 0;
  if (credential_is_over()) return credential_gone();
  arm_expiry();
}

void MqttSession::credential_changed(const devices::CredentialRow& row) {
  if (closed_ || !device_ || device_->row.number != row.number) return;
  if (row.credential.state != devices::CredentialState::active) return credential_gone();
  device_->row.credential.expires = row.credential.expires;
  arm_expiry();
}

// One that waits for its session hears of it when the session is there.
void MqttSession::credential_gone() {
  if (closed_ || !device_) return;
  revoked_ = true;
  if (connected_) revoke();
}

}  // namespace heptane::iot::mqtt
