// What a claim asks: a certificate for its request, signed on a worker, and to be made a thing by a template. Each answer goes to the
// connection that asked and to no other, whoever is subscribed, because it has the token that says whose the certificate becomes. The
// token is told here and nowhere else; the log has its SHA-256.

#include <algorithm>
#include <utility>

#include "kernel/base/crc32c.h"
#include "kernel/crypto/digest.h"
#include "modules/iot/domain/devices/provisioning_request.h"
#include "modules/iot/domain/topics/topics.h"
#include "modules/iot/gateway/devices/provisioning_json.h"
#include "modules/iot/gateway/mqtt/session.h"
#include "modules/iot/machine/provisioning/provisioning_api.h"

namespace heptane::iot::mqtt {

namespace {

constexpr std::string_view kCertificateName = "Heptane device";  // no user is called so
constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr int64_t kBackdatedSeconds = 300;  // a device's clock may be behind
constexpr size_t kTokenBytes = 32;

struct Rejection {
  int status = 0;
  std::string_view code;
  std::string_view message;  // empty: that of the error
};

Rejection rejection_of(Errc error) {
  switch (error) {
    case Errc::unauthorised: return {401, "InvalidCertificateOwnershipToken", ""};
    case Errc::not_found: return {404, "ResourceNotFound", ""};
    case Errc::exists: return {409, "ResourceAlreadyExists", ""};
    case Errc::invalid_argument:
    case Errc::too_large: return {400, "InvalidParameter", ""};
    case Errc::overloaded:
    case Errc::no_space: return {429, "Throttled", ""};
    case Errc::stale: return {403, "Forbidden", "the claim does not count any more"};
    default: return {500, "InternalFailure", ""};
  }
}

}  // namespace

bool MqttSession::is_claim() const { return device_ && device_->row.credential.is_claim(); }

// Read alone: what it may publish are requests (use_claim).
bool MqttSession::claim_may(auth::Verb verb, std::string_view topic) const {
  return verb == auth::Verb::read && devices::is_answer_of_claim(topic, device_->row.credential.templates);
}

Reason MqttSession::use_claim(const MessageView& message, uint64_t ticket) {
  const auto topic = devices::parse_provisioning_topic(message.topic);
  if (!in_force() || !topic || !devices::is_request_of_claim(*topic, device_->row.credential.templates)) {
    tell_denied(ToldKind::denied_publish, message.topic, !topic);
    return Reason::not_authorised;
  }
  ClaimRequest request;
  request.ticket = ticket;
  request.topic = message.topic;
  if (claim_request_ || !broker_.desk().may_ask(device_->row.number, context_->monotonic_ns())) {
    reject_claim(request, Errc::overloaded, "this claim asks too often");
    return Reason::success;
  }
  claim_request_ = std::make_unique<ClaimRequest>(std::move(request));
  if (topic->provision_by.empty())
    ask_for_certificate(message.payload);
  else
    ask_for_thing(topic->provision_by, message.payload);
  return Reason::success;
}

void MqttSession::ask_for_certificate(std::string_view payload) {
  ClaimRequest& request = *claim_request_;
  const auto& authority = broker_.desk().authority();
  if (!authority) return end_claim(Errc::unsupported, "the server signs no certificates: provisioning.ca_certificate");
  Result<std::string> pem = devices::read_issue_request(payload);
  if (!pem) return end_claim(pem.error().code, pem.error().message);
  auto signing = std::make_shared<ClaimSigning>();
  signing->authority = authority;
  signing->request = std::move(*pem);
  signing->serial = broker_.desk().chance(crypto::kSerialBytes);
  signing->now_s = context_->utc_ns() / kNsPerSecond;
  signing->lifetime_s = broker_.desk().certificate_s();
  signing->room = broker_.desk().begin_signing();
  if (!signing->room) return end_claim(Errc::overloaded, "too many certificates are being signed");
  request.signing = signing;
  if (context_->work(ClaimRequest::kWork, [signing] { signing->run(); })) return;
  request.signing.reset();
  end_claim(Errc::overloaded, "too many certificates are being signed");
}

// On a worker.
void ClaimSigning::run() {
  const crypto::CertificateWish wish{kCertificateName, serial, now_s - kBackdatedSeconds, now_s + lifetime_s};
  issued = authority->sign(request, wish);
}

void MqttSession::take_signed() {
  ClaimRequest& request = *claim_request_;
  const std::shared_ptr<ClaimSigning> signing = std::move(request.signing);
  if (!in_force()) return revoke();
  if (!signing->issued) {
    const bool theirs = signing->issued.error().code == Errc::invalid_argument;
    if (!theirs) return end_claim(signing->issued.error().code, signing->issued.error().message);
    return end_claim_with(
        devices::rejected_answer(400, "InvalidCertificateSigningRequest", signing->issued.error().message), false);
  }
  request.certificate = std::move(*signing->issued);
  request.token = crypto::hex(broker_.desk().chance(kTokenBytes));
  devices::IssueCertificate issue;
  issue.hash = request.certificate.hash;
  issue.token_hash = crypto::digest(crypto::Hash::sha256, request.token);
  issue.lifetime = broker_.desk().token_ns();
  issue.certificate_ends = request.certificate.not_after_utc_s * kNsPerSecond;
  submit_claim(devices::kIssueCertificate, devices::encode(issue));
}

void MqttSession::ask_for_thing(std::string_view by, std::string_view payload) {
  Result<devices::ProvisionRequest> said = devices::read_provision_request(payload);
  if (!said) return end_claim(said.error().code, said.error().message);
  devices::ProvisionThing provision;
  provision.token_hash = crypto::digest(crypto::Hash::sha256, said->token);
  provision.template_name = by;
  provision.parameters = std::move(said->parameters);
  submit_claim(devices::kProvision, devices::encode(provision));
}

void MqttSession::submit_claim(uint16_t type, Buffer payload) {
  Submission submission;
  submission.machine = devices::kProvisioningMachineId;
  submission.type = type;
  submission.payload = std::move(payload);
  submission.payload_crc = crc32c(submission.payload.view());
  submission.principal = identity_.principal;
  if (!context_->submit(last_request_ + 1, std::move(submission)))
    return end_claim(Errc::overloaded, "the server has no room");
  claim_request_->asked = ++last_request_;
}

void MqttSession::take_claim(const Reply& reply) {
  if (!in_force()) return revoke();
  if (!reply.ok()) return end_claim(*reply.error, reply.message);
  const ClaimRequest& request = *claim_request_;
  if (!request.token.empty())
    return end_claim_with(
        devices::issued_answer(request.token, devices::id_of_hash(request.certificate.hash), request.certificate.pem),
        true);
  const auto provisioned = devices::decode_provisioned(reply.payload.view());
  if (!provisioned) return end_claim(Errc::internal, "the answer is cut off");
  end_claim_with(devices::provisioned_answer(provisioned->thing, provisioned->configuration), true);
}

void MqttSession::end_claim(Errc error, std::string_view why) {
  const std::unique_ptr<ClaimRequest> request = std::move(claim_request_);
  reject_claim(*request, error, why);
  write_acks();
}

void MqttSession::end_claim_with(const std::string& payload, bool accepted) {
  const std::unique_ptr<ClaimRequest> request = std::move(claim_request_);
  answer_claim(*request, payload, accepted);
  write_acks();
}

void MqttSession::reject_claim(const ClaimRequest& request, Errc error, std::string_view why) {
  broker_.counters().refused.add();
  const Rejection rejection = rejection_of(error);
  const std::string_view message = rejection.message.empty() ? why : rejection.message;
  answer_claim(request, devices::rejected_answer(rejection.status, rejection.code, message), false);
}

// Before its acknowledgement.
void MqttSession::answer_claim(const ClaimRequest& request, const std::string& payload, bool accepted) {
  const std::string topic = request.topic + (accepted ? "/accepted" : "/rejected");
  MessageView message;
  message.qos = 1;
  message.topic = topic;
  message.payload = payload;
  if (const auto delivery = own_delivery(topic))
    outbox_.push(Broker::make_message(message, {0, 0, {}, context_->monotonic_ns()}), *delivery);
  if (request.ticket != 0) inbox_.complete(request.ticket, Reason::success);
  touched();
}

}  // namespace heptane::iot::mqtt
