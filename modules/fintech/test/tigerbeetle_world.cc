#include "modules/fintech/test/tigerbeetle_world.h"

#include <algorithm>

#include "kernel/base/aegis128l.h"
#include "kernel/base/assert.h"
#include "modules/fintech/domain/ledger/account_checks.h"
#include "modules/fintech/domain/ledger/transfer_checks.h"

namespace heptane::fintech::test {

using namespace tigerbeetle;

namespace {

TigerbeetleOptions options_with(net::Quotas* quotas) {
  TigerbeetleOptions options;
  options.quotas = quotas;
  return options;
}

}  // namespace

World::World(net::Quotas* quotas) : protocol_(options_with(quotas)), session_(protocol_.open({})), context_(*session_) {
  machines_.add(streams_);
  machines_.add(auth_);
  machines_.add(machine_);
  use_version(machine_.newest_version());
  run_.set_streams(&streams_);
  context_.on_submit = [this](const Submission& submission) { return submit(submission); };
  context_.on_query = [this](const QueryRequest& asked) { return query(asked); };
  session_->on_open(context_);
}

std::string World::send(std::string_view bytes) {
  context_.output.clear();
  context_.send(bytes);
  return context_.output;
}

Reply World::submit(const Submission& submission) {
  HEPTANE_ASSERT(submission.machine == kLedgerMachineId, "a command for another machine");
  submitted.push_back(submission.type);
  if (no_room && !machine_.relieves(submission.type)) {
    Reply refused;
    refused.error = no_room;
    return refused;
  }
  Command command;
  command.sequence = sequence_ + 1;
  command.time = now += 1000;
  command.machine = submission.machine;
  command.type = submission.type;
  command.payload = submission.payload.view();
  run_.begin(command.sequence, command.time);
  run_.apply(machine_, command);
  Reply reply = run_.reply();
  if (run_.outcome() != CommandOutcome::kept) return reply;
  ++sequence_;
  DigestAccumulator digest;
  run_.keep(command, 0, false, digest);
  return reply;
}

Reply World::query(const QueryRequest& asked) const {
  Reply reply;
  machine_.query({asked.type, asked.payload.view(), {}}, reply);
  return reply;
}

// The client's side.

namespace {

std::string sum(std::string_view bytes) {
  const Aegis128lTag tag = aegis128l_checksum(as_bytes(bytes));
  return std::string(as_text(tag));
}

template <class T>
T field(std::string_view message, size_t at) {
  T value;
  std::memcpy(&value, message.data() + at, sizeof value);
  return value;
}

template <class T>
void set(std::string& message, size_t at, T value) {
  std::memcpy(message.data() + at, &value, sizeof value);
}

bool zeros(std::string_view message, size_t begin, size_t end) {
  return message.substr(begin, end - begin).find_first_not_of('\0') == std::string_view::npos;
}

std::string number(Uint128 value) {
  if (value == kUint128Max) return "max";
  HEPTANE_ASSERT(value >> 64 == 0, "a test keeps to small numbers");
  return std::to_string(static_cast<uint64_t>(value));
}

template <const auto& kTable>
std::string_view status_name(uint32_t status) {
  for (const auto& check : kTable)
    if (static_cast<uint32_t>(check.status) == status) return check.name;
  return status == 0xFFFFFFFF ? "created" : "?";
}

// What a row may have beside what every row has: so one byte that should be zero fails the transcript.
std::string field_text(std::string_view name, Uint128 value) {
  return value == 0 ? std::string() : " " + std::string(name) + " " + number(value);
}
template <class Row>
std::string user_data_text(const Row& row) {
  return field_text("user_data_128", row.user_data_128) + field_text("user_data_64", row.user_data_64) +
         field_text("user_data_32", row.user_data_32);
}

std::string row_text(const Account& a) {
  return "account " + number(a.id) + " debits " + number(a.debits_pending) + "+" + number(a.debits_posted) +
         " credits " + number(a.credits_pending) + "+" + number(a.credits_posted) + " ledger " +
         std::to_string(a.ledger) + " code " + std::to_string(a.code) + " flags " + std::to_string(a.flags) + " at " +
         std::to_string(a.timestamp) + user_data_text(a) + field_text("reserved", a.reserved);
}
std::string row_text(const Transfer& t) {
  return "transfer " + number(t.id) + " from " + number(t.debit_account_id) + " to " + number(t.credit_account_id) +
         " amount " + number(t.amount) + " pending " + number(t.pending_id) + " timeout " + std::to_string(t.timeout) +
         " ledger " + std::to_string(t.ledger) + " code " + std::to_string(t.code) + " flags " +
         std::to_string(t.flags) + " at " + std::to_string(t.timestamp) + user_data_text(t);
}
std::string row_text(const AccountBalance& b) {
  return "balance debits " + number(b.debits_pending) + "+" + number(b.debits_posted) + " credits " +
         number(b.credits_pending) + "+" + number(b.credits_posted) + " at " + std::to_string(b.timestamp) +
         (std::ranges::all_of(b.reserved, [](auto byte) { return byte == decltype(byte){}; }) ? "" : " reserved");
}

template <class Row, class Text>
std::string rows_text(std::string_view body, Text text) {
  const auto batches = MultiBatch::parse(as_bytes(body), sizeof(Row));
  HEPTANE_ASSERT(batches.has_value(), "the client cannot read the batches");
  std::string out;
  batches->visit([&](Bytes batch) {
    out += "<   batch\n";
    for (; !batch.empty(); batch = batch.subspan(sizeof(Row))) {
      Row row;
      std::memcpy(&row, batch.data(), sizeof row);
      out += "<     " + text(row) + "\n";
    }
  });
  return out;
}

template <const auto& kTable>
std::string result_text(const CreateResult& result) {
  HEPTANE_ASSERT(result.reserved == 0 && result.timestamp != 0, "a result that the client does not take");
  return std::string(status_name<kTable>(result.status)) + " at " + std::to_string(result.timestamp);
}

std::string body_text(uint8_t operation, std::string_view body) {
  const auto of_row = [](const auto& row) { return row_text(row); };
  switch (operation) {
    case kRegisterOperation:
      HEPTANE_ASSERT(body.size() == 64 && zeros(body, 4, 64), "a register result that the client does not take");
      return "<   batch_size_limit " + std::to_string(field<uint32_t>(body, 0)) + "\n";
    case 140:
    case 144: return rows_text<Account>(body, of_row);
    case 141:
    case 142:
    case 145: return rows_text<Transfer>(body, of_row);
    case 143: return rows_text<AccountBalance>(body, of_row);
    case 146: return rows_text<CreateResult>(body, result_text<kAccountChecks>);
    case 147: return rows_text<CreateResult>(body, result_text<kTransferChecks>);
    default: return "<   ?\n";
  }
}

// What src/vsr/client.zig and message_header.zig assert.
void check_reply(std::string_view message, const Client& client, std::string_view asked) {
  HEPTANE_ASSERT(field<uint32_t>(message, 108) == client.release, "reply.release");
  HEPTANE_ASSERT(message.substr(128, 16) == asked.substr(0, 16) && zeros(message, 144, 160), "request_checksum");
  HEPTANE_ASSERT(!zeros(message, 160, 176) && zeros(message, 176, 192), "context");
  HEPTANE_ASSERT(field<Uint128>(message, 192) == client.id, "client");
  HEPTANE_ASSERT(field<uint64_t>(message, 208) == field<uint64_t>(message, 216), "op is not commit");
  HEPTANE_ASSERT(field<uint64_t>(message, 216) > 0 && field<uint64_t>(message, 224) > 0, "commit, timestamp");
  HEPTANE_ASSERT(field<uint32_t>(message, 232) == field<uint32_t>(asked, 192), "request");
  HEPTANE_ASSERT(message[236] == asked[196] && zeros(message, 237, 256), "operation, reserved");
}

}  // namespace

void put(std::string& message, size_t at, std::string_view bytes) { message.replace(at, bytes.size(), bytes); }

void seal(std::string& message) {
  put(message, 32, sum(std::string_view(message).substr(256)));
  put(message, 0, sum(std::string_view(message).substr(16, 240)));
}

std::string Client::message(uint8_t operation, Bytes body) const {
  std::string out(256, '\0');
  out += as_text(body);
  set(out, 96, static_cast<uint32_t>(out.size()));
  set(out, 108, release);
  out[114] = static_cast<char>(WireCommand::request);
  set(out, 160, id);
  set(out, 176, session);
  set(out, 192, request);
  out[196] = static_cast<char>(operation);
  seal(out);
  return out;
}

std::string Client::ping(uint64_t timestamp) const {
  std::string out(256, '\0');
  set(out, 96, uint32_t{256});
  set(out, 108, release);
  out[114] = static_cast<char>(WireCommand::ping_client);
  set(out, 128, id);
  set(out, 144, timestamp);
  set(out, 152, session);
  seal(out);
  return out;
}

std::string describe(std::string_view bytes, const Client& client, std::string_view asked) {
  std::string out;
  while (!bytes.empty()) {
    HEPTANE_ASSERT(bytes.size() >= 256, "half a header");
    const auto size = field<uint32_t>(bytes, 96);
    HEPTANE_ASSERT(size >= 256 && size <= bytes.size(), "wrong size");
    const std::string_view message = bytes.substr(0, size);
    bytes.remove_prefix(size);
    HEPTANE_ASSERT(message.substr(0, 16) == sum(message.substr(16, 240)), "header checksum");
    HEPTANE_ASSERT(message.substr(32, 16) == sum(message.substr(256)), "body checksum");
    HEPTANE_ASSERT(zeros(message, 16, 32) && zeros(message, 48, 96), "padding, nonce or cluster");
    HEPTANE_ASSERT(zeros(message, 100, 108) && zeros(message, 112, 114) && zeros(message, 115, 128), "frame");
    const auto command = static_cast<WireCommand>(message[114]);
    if (command == WireCommand::reply) {
      check_reply(message, client, asked);
      out += "< reply to request " + std::to_string(field<uint32_t>(message, 232)) + ": commit " +
             std::to_string(field<uint64_t>(message, 216)) + ", timestamp " +
             std::to_string(field<uint64_t>(message, 224)) + "\n";
      out += body_text(static_cast<uint8_t>(message[236]), message.substr(256));
    } else if (command == WireCommand::pong_client) {
      HEPTANE_ASSERT(size == 256 && field<uint32_t>(message, 108) != 0 && zeros(message, 136, 256), "pong");
      out += "< pong of " + std::to_string(field<uint64_t>(message, 128)) + "\n";
    } else if (command == WireCommand::eviction) {
      HEPTANE_ASSERT(size == 256 && field<uint32_t>(message, 108) != 0 && zeros(message, 144, 255), "eviction");
      out += "< eviction of client " + number(field<Uint128>(message, 128)) + ": reason " +
             std::to_string(static_cast<int>(message[255])) + "\n";
    } else {
      out += "< ?\n";
    }
  }
  return out;
}

}  // namespace heptane::fintech::test
