#include "kernel/auth/api.h"

#include <algorithm>

#include "kernel/shard/kernel_state.h"
#include "kernel/shard/transact.h"

namespace heptane::auth {

namespace {

constexpr size_t kMinTextBytes = 2;
constexpr size_t kVerifierKeyBytes[] = {32, 64};

class Writer {
 public:
  // Longer than any text that is let in here: the command is then refused.
  Writer& text(std::string_view whole) {
    const std::string_view text = whole.substr(0, UINT16_MAX);
    out_.le<uint16_t>(static_cast<uint16_t>(text.size()));
    out_.append(text);
    return *this;
  }
  Writer& flag(bool value) {
    out_.u8(value ? 1 : 0);
    return *this;
  }
  template <class T>
  Writer& number(T value) {
    out_.le<T>(value);
    return *this;
  }
  Writer& verifiers(const Verifiers& verifiers) {
    for (const Verifier& verifier : verifiers)
      text(verifier.salt).number(verifier.iterations).text(verifier.stored_key).text(verifier.server_key);
    return *this;
  }
  Buffer take() { return Buffer::take(out_.release()); }

 private:
  ByteWriter out_;
};

std::string_view text(ByteReader& reader) { return as_text(reader.take(reader.le<uint16_t>())); }

Verifiers verifiers(ByteReader& reader) {
  Verifiers read;
  for (Verifier& verifier : read) {
    verifier.salt = text(reader);
    verifier.iterations = reader.le<uint32_t>();
    verifier.stored_key = text(reader);
    verifier.server_key = text(reader);
  }
  return read;
}

template <class T>
Result<T> checked(const ByteReader& reader, T command) {
  if (!reader.complete()) return Error{Errc::invalid_argument, "the command's bytes do not add up"};
  return command;
}

}  // namespace

Buffer encode(const CreateUser& command) {
  Writer out;
  out.text(command.name).flag(command.certificate).verifiers(command.verifiers);
  out.number(static_cast<uint16_t>(command.roles.size()));
  for (const std::string_view role : command.roles) out.text(role);
  return out.take();
}

Result<CreateUser> decode_create_user(Bytes payload) {
  ByteReader reader(payload);
  CreateUser command;
  command.name = text(reader);
  command.certificate = reader.u8() != 0;
  command.verifiers = verifiers(reader);
  const auto count = reader.le<uint16_t>();
  if (!reader.fits(count, kMinTextBytes)) reader.fail();
  for (uint16_t i = 0; i < count && !reader.failed(); ++i) command.roles.push_back(text(reader));
  return checked(reader, std::move(command));
}

Buffer encode(const AlterUser& command) { return Writer().text(command.name).flag(command.certificate).take(); }

Result<AlterUser> decode_alter_user(Bytes payload) {
  ByteReader reader(payload);
  AlterUser command;
  command.name = text(reader);
  command.certificate = reader.u8() != 0;
  return checked(reader, command);
}

Buffer encode(const Named& command) { return Writer().text(command.name).take(); }

Result<Named> decode_named(Bytes payload) {
  ByteReader reader(payload);
  const Named command{text(reader)};
  return checked(reader, command);
}

Buffer encode(const SetPassword& command) { return Writer().text(command.name).verifiers(command.verifiers).take(); }

Result<SetPassword> decode_set_password(Bytes payload) {
  ByteReader reader(payload);
  SetPassword command;
  command.name = text(reader);
  command.verifiers = verifiers(reader);
  return checked(reader, std::move(command));
}

Buffer encode(const IssueToken& command) {
  return Writer().text(command.hash).text(command.owner).text(command.name).number(command.lifetime_ns).take();
}

Result<IssueToken> decode_issue_token(Bytes payload) {
  ByteReader reader(payload);
  IssueToken command;
  command.hash = text(reader);
  command.owner = text(reader);
  command.name = text(reader);
  command.lifetime_ns = reader.le<int64_t>();
  return checked(reader, command);
}

Buffer encode(const CreateRole& command) {
  Writer out;
  out.text(command.name).number(static_cast<uint16_t>(command.permissions.size()));
  for (const Permission& permission : command.permissions)
    out.text(permission.module).text(permission.pattern).number(permission.verbs);
  return out.take();
}

Result<CreateRole> decode_create_role(Bytes payload) {
  ByteReader reader(payload);
  CreateRole command;
  command.name = text(reader);
  const auto count = reader.le<uint16_t>();
  if (!reader.fits(count, 2 * kMinTextBytes + 1)) reader.fail();
  for (uint16_t i = 0; i < count && !reader.failed(); ++i) {
    Permission& permission = command.permissions.emplace_back();
    permission.module = text(reader);
    permission.pattern = text(reader);
    permission.verbs = reader.u8();
  }
  return checked(reader, std::move(command));
}

Buffer encode(const Grant& command) { return Writer().text(command.user).text(command.role).take(); }

Result<Grant> decode_grant(Bytes payload) {
  ByteReader reader(payload);
  Grant command;
  command.user = text(reader);
  command.role = text(reader);
  return checked(reader, command);
}

Buffer encode(const Bootstrap& command) {
  return Writer().text(command.user).text(command.hash).text(command.probe_key).number(command.lifetime_ns).take();
}

Result<Bootstrap> decode_bootstrap(Bytes payload) {
  ByteReader reader(payload);
  Bootstrap command;
  command.user = text(reader);
  command.hash = text(reader);
  command.probe_key = text(reader);
  command.lifetime_ns = reader.le<int64_t>();
  return checked(reader, command);
}

Buffer encode(const Report& command) {
  Writer out;
  out.number(command.others).number(static_cast<uint16_t>(command.rows.size()));
  for (const ReportRow& row : command.rows)
    out.number(static_cast<uint8_t>(row.incident)).text(row.who).text(row.from).text(row.what).number(row.count);
  return out.take();
}

Result<Report> decode_report(Bytes payload) {
  ByteReader reader(payload);
  Report command;
  command.others = reader.le<uint64_t>();
  const auto count = reader.le<uint16_t>();
  if (count > kReportRowsLimit) reader.fail();
  for (uint16_t i = 0; i < count && !reader.failed(); ++i) {
    ReportRow& row = command.rows.emplace_back();
    row.incident = static_cast<Incident>(reader.u8());
    row.who = text(reader);
    row.from = text(reader);
    row.what = text(reader);
    row.count = reader.le<uint64_t>();
    const size_t longest = std::max({row.who.size(), row.from.size(), row.what.size()});
    if (longest > kReportTextLimitBytes) reader.fail();
  }
  return checked(reader, std::move(command));
}

Buffer encode(const Note& command) {
  return Writer().text(command.action).text(command.on).text(command.detail).text(command.outcome).take();
}

Result<Note> decode_note(Bytes payload) {
  ByteReader reader(payload);
  Note command;
  for (std::string_view* part : {&command.action, &command.on, &command.detail, &command.outcome}) {
    *part = text(reader);
    if (part->size() > kReportTextLimitBytes) reader.fail();
  }
  return checked(reader, command);
}

bool valid_verifiers(const Verifiers& verifiers) {
  for (size_t i = 0; i < verifiers.size(); ++i) {
    const Verifier& verifier = verifiers[i];
    if (verifier.salt.empty() || verifier.salt.size() > kSaltLimitBytes) return false;
    if (verifier.iterations < kIterationsMin || verifier.iterations > kIterationsMax) return false;
    if (verifier.stored_key.size() != kVerifierKeyBytes[i] || verifier.server_key.size() != kVerifierKeyBytes[i])
      return false;
  }
  return true;
}

bool holds_secrets(MachineId machine, CommandType type, Bytes payload) {
  if (machine == machine_ids::kAuth)
    return type == kCreateUser || type == kSetPassword || type == kIssueToken || type == kBootstrap;
  if (machine != machine_ids::kKernel || type != kTransact) return false;
  const Result<std::vector<Operation>> operations = decode_transact(payload);
  if (!operations) return true;  // nobody knows what is in it
  for (const Operation& operation : *operations)
    if (holds_secrets(operation.machine, operation.type, {})) return true;
  return false;
}

}  // namespace heptane::auth
