#include "modules/iot/machine/provisioning/provisioning_api.h"

namespace heptane::iot::devices {

namespace {

template <class T>
std::optional<T> whole(const ByteReader& in, T value) {
  if (!in.complete()) return std::nullopt;
  return value;
}

Buffer taken(ByteWriter& out) { return Buffer::take(out.release()); }

}  // namespace

Buffer encode(const IssueCertificate& issue) {
  ByteWriter out;
  append_text(out, issue.hash);
  append_text(out, issue.token_hash);
  out.le<LogTime>(issue.lifetime);
  out.le<LogTime>(issue.certificate_ends);
  return taken(out);
}

std::optional<IssueCertificate> decode_issue(Bytes payload) {
  ByteReader in(payload);
  IssueCertificate issue;
  issue.hash = read_text(in, kCredentialHashBytes);
  issue.token_hash = read_text(in, kCredentialHashBytes);
  issue.lifetime = in.le<LogTime>();
  issue.certificate_ends = in.le<LogTime>();
  const bool hashes = issue.hash.size() == kCredentialHashBytes && issue.token_hash.size() == kCredentialHashBytes;
  const bool times = issue.lifetime > 0 && issue.lifetime <= kTokenLifetimeMax && issue.certificate_ends > 0;
  if (!hashes || !times) in.fail();
  return whole(in, std::move(issue));
}

Buffer encode(const ProvisionThing& provision) {
  ByteWriter out;
  append_text(out, provision.token_hash);
  append_text(out, provision.template_name);
  append_parameters(out, provision.parameters);
  return taken(out);
}

std::optional<ProvisionThing> decode_provision(Bytes payload) {
  ByteReader in(payload);
  ProvisionThing provision;
  provision.token_hash = read_text(in, kCredentialHashBytes);
  provision.template_name = read_text(in, kNameLimitBytes);
  provision.parameters = read_parameters(in);
  return whole(in, std::move(provision));
}

Buffer encode(const Provisioned& provisioned) {
  ByteWriter out;
  append_text(out, provisioned.thing);
  append_text(out, provisioned.configuration);
  return taken(out);
}

std::optional<Provisioned> decode_provisioned(Bytes payload) {
  ByteReader in(payload);
  Provisioned provisioned;
  provisioned.thing = read_text(in, kNameLimitBytes);
  provisioned.configuration = read_text(in, kConfigurationBytesMax);
  return whole(in, std::move(provisioned));
}

Buffer encode(const ProvisioningTemplate& of) {
  ByteWriter out;
  append_template(out, of);
  return taken(out);
}

std::optional<ProvisioningTemplate> decode_template(Bytes payload) {
  ByteReader in(payload);
  ProvisioningTemplate of = read_template(in);
  return whole(in, std::move(of));
}

std::optional<std::vector<ProvisioningTemplate>> decode_templates(Bytes payload) {
  ByteReader in(payload);
  std::vector<ProvisioningTemplate> all;
  while (in.remaining() > 0 && !in.failed()) all.push_back(read_template(in));
  return whole(in, std::move(all));
}

Buffer encode_names_query(std::string_view after, bool alone) {
  ByteWriter out;
  append_text(out, after);
  out.u8(alone ? 1 : 0);
  return taken(out);
}

std::optional<NamesQuery> decode_names_query(Bytes payload) {
  ByteReader in(payload);
  NamesQuery query;
  query.after = read_text(in, kNameLimitBytes);
  query.alone = in.u8() != 0;
  return whole(in, std::move(query));
}

}  // namespace heptane::iot::devices
