#include <cstring>

#include "modules/fintech/machine/ledger/view_numbers.h"
#include "modules/fintech/machine/ledger/views.h"

namespace heptane::fintech {

namespace {

constexpr size_t kEventBytes = sizeof(Transfer);

struct FlagName {
  uint16_t flag;
  std::string_view name;
};
constexpr FlagName kTransferFlags[] = {{transfer_flags::kLinked, "linked"},
                                       {transfer_flags::kPending, "pending"},
                                       {transfer_flags::kPost, "post_pending_transfer"},
                                       {transfer_flags::kVoid, "void_pending_transfer"},
                                       {transfer_flags::kBalancingDebit, "balancing_debit"},
                                       {transfer_flags::kBalancingCredit, "balancing_credit"},
                                       {transfer_flags::kClosingDebit, "closing_debit"},
                                       {transfer_flags::kClosingCredit, "closing_credit"},
                                       {transfer_flags::kImported, "imported"}};
constexpr FlagName kAccountFlags[] = {{account_flags::kLinked, "linked"},
                                      {account_flags::kDebitsMustNotExceedCredits, "debits_must_not_exceed_credits"},
                                      {account_flags::kCreditsMustNotExceedDebits, "credits_must_not_exceed_debits"},
                                      {account_flags::kHistory, "history"},
                                      {account_flags::kImported, "imported"},
                                      {account_flags::kClosed, "closed"}};

// One JSON object. Numbers of more than 32 bits are strings of decimal digits: readers of JSON lose their last ones. The
// names and their order never change.
class Object {
 public:
  void begin() { text_ = "{"; }
  void text(std::string_view name, std::string_view value) {
    key(name);
    text_ += '"';
    text_ += value;
    text_ += '"';
  }
  void wide(std::string_view name, Uint128 value) { text(name, decimal(value)); }
  void number(std::string_view name, uint32_t value) {
    key(name);
    text_ += std::to_string(value);
  }
  void flags(std::string_view name, uint16_t flags, std::span<const FlagName> names) {
    key(name);
    char before = '[';
    for (const FlagName& known : names) {
      if ((flags & known.flag) == 0) continue;
      text_ += before;
      text_ += '"';
      text_ += known.name;
      text_ += '"';
      before = ',';
    }
    if (before == '[') text_ += '[';
    text_ += ']';
  }
  std::string_view end() { return text_ += '}'; }

 private:
  void key(std::string_view name) {
    if (text_.size() > 1) text_ += ',';
    text_ += '"';
    text_ += name;
    text_ += "\":";
  }
  std::string text_;
};

// What a note says of the events of one command.
struct Taken {
  uint16_t took = 0;
  Transfer stored;  // as far as `took` says
};

void take(ByteReader& note, Taken& taken) {
  taken.took = static_cast<uint16_t>(note.varint());
  Transfer& stored = taken.stored;
  const auto has = [&taken](Took bit) { return (taken.took & bit) != 0; };
  if (has(kTookAmount)) stored.amount = get_number(note);
  if (has(kTookDebit)) stored.debit_account_id = get_number(note);
  if (has(kTookCredit)) stored.credit_account_id = get_number(note);
  if (has(kTookLedger)) stored.ledger = static_cast<uint32_t>(note.varint());
  if (has(kTookCode)) stored.code = static_cast<uint16_t>(note.varint());
  if (has(kTookUserData128)) stored.user_data_128 = get_number(note);
  if (has(kTookUserData64)) stored.user_data_64 = note.varint();
  if (has(kTookUserData32)) stored.user_data_32 = static_cast<uint32_t>(note.varint());
}

class Rendering {
 public:
  Rendering(uint16_t number, RecordWriter& out) : number_(number), out_(out) {}

  // The events that were sent, and the note behind its form.
  void events(NoteForm form, Bytes events, ByteReader& note) {
    const auto first = note.le<uint64_t>();
    const uint64_t count = note.varint();
    const Bytes created = note.take((count + 7) / 8);
    if (note.failed() || count != events.size() / kEventBytes) return;
    for (uint64_t i = 0; i < count && !out_.full(); ++i) {
      if ((created[i / 8] & std::byte{1} << (i % 8)) == std::byte{0}) continue;
      const std::byte* event = events.data() + i * kEventBytes;
      form == NoteForm::accounts ? account(event, first + i) : transfer(event, first + i, form, note);
    }
  }

  // What another machine made: the note says it all.
  void port_transfers(ByteReader& note) {
    while (note.remaining() > 0 && !out_.full()) {
      Transfer t{};
      const auto took = static_cast<uint16_t>(note.varint());
      t.id = get_number(note);
      t.debit_account_id = get_number(note);
      t.credit_account_id = get_number(note);
      t.amount = get_number(note);
      t.pending_id = get_number(note);
      t.user_data_128 = get_number(note);
      t.user_data_64 = note.varint();
      t.user_data_32 = static_cast<uint32_t>(note.varint());
      t.timeout = static_cast<uint32_t>(note.varint());
      t.ledger = static_cast<uint32_t>(note.varint());
      t.code = static_cast<uint16_t>(note.varint());
      t.flags = static_cast<uint16_t>(note.varint());
      t.timestamp = note.le<uint64_t>();
      if (note.failed()) return;
      records_of(t, took);
    }
  }

  void port_accounts(ByteReader& note) {
    while (note.remaining() > 0 && !out_.full()) {
      Account a{};
      a.id = get_number(note);
      a.user_data_128 = get_number(note);
      a.user_data_64 = note.varint();
      a.user_data_32 = static_cast<uint32_t>(note.varint());
      a.reserved = static_cast<uint32_t>(note.varint());
      a.ledger = static_cast<uint32_t>(note.varint());
      a.code = static_cast<uint16_t>(note.varint());
      a.flags = static_cast<uint16_t>(note.varint());
      a.timestamp = note.le<uint64_t>();
      if (note.failed()) return;
      account_record(a);
    }
  }

  void expiry(ByteReader& note) {
    const auto timestamp = note.le<uint64_t>();
    while (note.remaining() > 0 && !note.failed() && !out_.full()) {
      const Uint128 pending = get_number(note);
      const uint8_t sides = note.u8();
      if ((sides & 1) != 0) turned("reopened", get_number(note), pending, timestamp);
      if ((sides & 2) != 0) turned("reopened", get_number(note), pending, timestamp);
    }
  }

 private:
  bool of_transfers() const { return number_ == kTransfersView.number; }
  // False: the record is counted, its text is not asked for.
  bool wanted() {
    if (out_.wants()) return true;
    out_.skip();
    return false;
  }
  void put(Uint128 id) {
    const std::string key = decimal(id);
    out_.add({as_bytes(key), true, as_bytes(json_.end())});
  }

  void account(const std::byte* event, uint64_t timestamp) {
    Account sent;
    std::memcpy(&sent, event, sizeof sent);
    if (!sent.has(account_flags::kImported)) sent.timestamp = timestamp;
    account_record(sent);
  }

  void account_record(const Account& sent) {
    if (of_transfers() || !wanted()) return;
    json_.begin();
    json_.text("event", "created");
    json_.wide("id", sent.id);
    json_.wide("user_data_128", sent.user_data_128);
    json_.wide("user_data_64", sent.user_data_64);
    json_.number("user_data_32", sent.user_data_32);
    json_.number("ledger", sent.ledger);
    json_.number("code", sent.code);
    json_.flags("flags", sent.flags, kAccountFlags);
    json_.wide("timestamp", sent.timestamp);
    if (sent.reserved != 0) json_.number("owner", sent.reserved);
    put(sent.id);
  }

  // An account closed, or opened again.
  void turned(std::string_view what, Uint128 account, Uint128 transfer, uint64_t timestamp) {
    if (of_transfers() || !wanted()) return;
    json_.begin();
    json_.text("event", what);
    json_.wide("id", account);
    json_.wide("transfer_id", transfer);
    json_.wide("timestamp", timestamp);
    put(account);
  }

  void transfer(const std::byte* event, uint64_t timestamp, NoteForm form, ByteReader& note) {
    Taken taken;
    std::memcpy(&taken.stored, event, sizeof taken.stored);
    Transfer& stored = taken.stored;
    if (!stored.has(transfer_flags::kImported)) stored.timestamp = timestamp;
    constexpr uint16_t kTakes = transfer_flags::kPost | transfer_flags::kVoid | transfer_flags::kBalancingDebit |
                                transfer_flags::kBalancingCredit;
    if (form == NoteForm::chain || stored.has(kTakes)) take(note, taken);
    records_of(stored, taken.took);
  }

  // Of one transfer: itself, or what became of its accounts.
  void records_of(const Transfer& stored, uint16_t took) {
    if (of_transfers()) return transfer_record(stored);
    const auto turn = [&](bool when, std::string_view what, Uint128 account) {
      if (when) turned(what, account, stored.id, stored.timestamp);
    };
    turn(stored.has(transfer_flags::kClosingDebit), "closed", stored.debit_account_id);
    turn(stored.has(transfer_flags::kClosingCredit), "closed", stored.credit_account_id);
    turn((took & kReopenedDebit) != 0, "reopened", stored.debit_account_id);
    turn((took & kReopenedCredit) != 0, "reopened", stored.credit_account_id);
  }

  void transfer_record(const Transfer& stored) {
    if (!wanted()) return;
    json_.begin();
    json_.wide("id", stored.id);
    json_.wide("debit_account_id", stored.debit_account_id);
    json_.wide("credit_account_id", stored.credit_account_id);
    json_.wide("amount", stored.amount);
    json_.wide("pending_id", stored.pending_id);
    json_.wide("user_data_128", stored.user_data_128);
    json_.wide("user_data_64", stored.user_data_64);
    json_.number("user_data_32", stored.user_data_32);
    json_.number("timeout", stored.timeout);
    json_.number("ledger", stored.ledger);
    json_.number("code", stored.code);
    json_.flags("flags", stored.flags, kTransferFlags);
    json_.wide("timestamp", stored.timestamp);
    put(stored.id);
  }

  const uint16_t number_;
  RecordWriter& out_;
  Object json_;
};

// What was sent: bytes of the entry, or made out of them.
struct Body {
  Bytes events;
  std::vector<std::byte> made;
};

// The transfers of a transaction's operation, as the machine links them.
Body body_of_chain(Bytes payload) {
  Body body;
  const Result<std::vector<ScaledTransfer>> asked = decode_transfers(payload);
  if (!asked) return body;
  for (const ScaledTransfer& each : *asked) {
    Transfer transfer = each.transfer;
    if (&each != &asked->back())
      transfer.flags |= transfer_flags::kLinked;
    else
      transfer.flags &= static_cast<uint16_t>(~transfer_flags::kLinked);
    const auto* bytes = reinterpret_cast<const std::byte*>(&transfer);
    body.made.insert(body.made.end(), bytes, bytes + sizeof transfer);
  }
  body.events = body.made;
  return body;
}

// The bodies of the commands that create something, in their order: each has a note, and nothing else has, but for expiry.
std::vector<Body> created_bodies(const LoggedCommand& logged) {
  std::vector<Body> bodies;
  for (const Command& command : commands_for(logged.command, kLedgerMachineId)) {
    if (is_transfer_all(command.type)) {
      bodies.push_back(body_of_chain(command.payload));
      continue;
    }
    const OperationRow* row = operation_of(command.type);
    if (row == nullptr || !row->creates || command.payload.size() < Caller::kBytes) continue;
    const std::optional<MultiBatch> batches = parse_body(*row, command.payload.subspan(Caller::kBytes));
    bodies.push_back(
        {batches ? command.payload.subspan(Caller::kBytes, batches->elements() * kEventBytes) : Bytes{}, {}});
  }
  return bodies;
}

}  // namespace

void render_view(const LoggedCommand& logged, uint16_t number, RecordWriter& out) {
  const std::vector<Body> bodies = created_bodies(logged);
  Rendering rendering(number, out);
  size_t next = 0;
  for (const Bytes result : logged.results) {
    ByteReader note(result);
    const auto form = static_cast<NoteForm>(note.u8());
    if (form == NoteForm::expiry) {
      rendering.expiry(note);
      continue;
    }
    if (form == NoteForm::port_transfers || form == NoteForm::port_accounts) {
      form == NoteForm::port_transfers ? rendering.port_transfers(note) : rendering.port_accounts(note);
      continue;
    }
    if (next == bodies.size()) return;
    const Bytes body = bodies[next++].events;
    if (form != NoteForm::nothing) rendering.events(form, body, note);
  }
}

}  // namespace heptane::fintech
