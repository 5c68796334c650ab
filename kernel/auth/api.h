// Commands of the auth machine (machine_ids::kAuth). No command holds a password or a token: gateways make verifiers and
// hashes out of them. Payloads are little-endian; views point into the payload. Every kept command is also an event in the
// stream `audit`.
#pragma once

#include <string_view>
#include <vector>

#include "kernel/auth/directory.h"

namespace heptane::auth {

constexpr size_t kReportRowsLimit = 64;
constexpr size_t kReportTextLimitBytes = 255;

enum AuthCommand : CommandType {
  kCreateUser = 1,    // CreateUser; reply numbers: id, version. Refused: exists, invalid_argument, not_found (a role),
                      // overloaded (a bound)
  kAlterUser = 2,     // AlterUser; reply numbers: id, version. Refused: not_found
  kDeleteUser = 3,    // Named; its tokens go with it. Refused: not_found, refused (the last administrator)
  kSetPassword = 4,   // SetPassword; reply numbers: id, version. Refused: not_found, invalid_argument
  kIssueToken = 5,    // IssueToken; reply numbers: expiry or 0. Refused: not_found, exists, overloaded
  kRevokeToken = 6,   // Named: the token's id. Refused: not_found
  kCreateRole = 7,    // CreateRole. Refused: exists, invalid_argument, overloaded
  kDeleteRole = 8,    // Named. Refused: not_found, refused (built in, or somebody has it)
  kGrant = 9,         // Grant. Refused: not_found, exists, overloaded
  kRevoke = 10,       // Grant. Refused: not_found, refused (the last administrator)
  kBootstrap = 11,    // Bootstrap: the first administrator and a one-time token. Refused: exists (there is one)
  kReport = 12,       // Report: denied requests and failed authentications, counted. From the kernel itself alone
  kExpireToken = 13,  // Named: the token's id; the timer of its expiry
  kNote = 14,         // Note: what was done elsewhere and belongs into the audit trail. Not inside a transaction, where
                      // a client could write one. Refused: unsupported, invalid_argument
};

struct CreateUser {
  std::string_view name;
  bool certificate = false;
  Verifiers verifiers;  // none: without a password
  std::vector<std::string_view> roles;
};
struct AlterUser {
  std::string_view name;
  bool certificate = false;
};
struct Named {
  std::string_view name;
};
struct SetPassword {
  std::string_view name;
  Verifiers verifiers;
};
struct IssueToken {
  std::string_view hash;
  std::string_view owner;
  std::string_view name;
  LogTime lifetime_ns = 0;  // 0 = for ever
};
struct CreateRole {
  std::string_view name;
  Role permissions;
};
struct Grant {
  std::string_view user;
  std::string_view role;
};
struct Bootstrap {
  std::string_view user;
  std::string_view hash;
  std::string_view probe_key;
  LogTime lifetime_ns = 0;
};

struct Note {
  std::string_view action;  // `upgrade.activate`; each at most kReportTextLimitBytes
  std::string_view on;
  std::string_view detail;
  std::string_view outcome;  // `done`, `failed`
};

enum class Incident : uint8_t { failed_authentication = 1, denied = 2 };
struct ReportRow {
  Incident incident = Incident::denied;
  std::string who;   // the principal, or the name that somebody said
  std::string from;  // the remote address
  std::string what;  // `kafka SCRAM-SHA-256`, or `streams:orders write`
  uint64_t count = 0;
};
struct Report {
  std::vector<ReportRow> rows;
  uint64_t others = 0;  // incidents that found no room in a row
};

Buffer encode(const CreateUser& command);
Buffer encode(const AlterUser& command);
Buffer encode(const Named& command);
Buffer encode(const SetPassword& command);
Buffer encode(const IssueToken& command);
Buffer encode(const CreateRole& command);
Buffer encode(const Grant& command);
Buffer encode(const Bootstrap& command);
Buffer encode(const Report& command);
Buffer encode(const Note& command);
Result<CreateUser> decode_create_user(Bytes payload);
Result<AlterUser> decode_alter_user(Bytes payload);
Result<Named> decode_named(Bytes payload);
Result<SetPassword> decode_set_password(Bytes payload);
Result<IssueToken> decode_issue_token(Bytes payload);
Result<CreateRole> decode_create_role(Bytes payload);
Result<Grant> decode_grant(Bytes payload);
Result<Bootstrap> decode_bootstrap(Bytes payload);
Result<Report> decode_report(Bytes payload);
Result<Note> decode_note(Bytes payload);

// Both verifiers are there and have the sizes of their hashes.
bool valid_verifiers(const Verifiers& verifiers);

// The command's payload holds verifiers or hashes: dumps of the log leave it out. Also for a transaction with such a part.
bool holds_secrets(MachineId machine, CommandType type, Bytes payload);

}  // namespace heptane::auth
