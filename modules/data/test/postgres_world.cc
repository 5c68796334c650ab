#include "modules/data/test/postgres_world.h"

#include "kernel/base/assert.h"
#include "modules/data/domain/sql/statement.h"

namespace heptane::data::postgres::test {

namespace {

std::string text_of(const std::vector<sql::Parameter>& parameters) {
  std::string text;
  for (const sql::Parameter& parameter : parameters) text += (text.empty() ? " (" : ", ") + parameter.value_or("NULL");
  return text.empty() ? text : text + ")";
}

class FakePrepared final : public sql::Prepared {
 public:
  FakePrepared(std::string statement, Scripted answer) : text(std::move(statement)), scripted(std::move(answer)) {}
  const std::vector<sql::Type>& parameters() const override { return scripted.parameters; }
  const std::vector<sql::Column>& columns() const override { return scripted.columns; }
  const std::string text;
  const Scripted scripted;
};

class FakeCursor final : public sql::Cursor {
 public:
  FakeCursor(FakeEngine& engine, Scripted scripted) : engine_(engine), scripted_(std::move(scripted)) {
    ++engine_.cursors;
  }
  ~FakeCursor() override { --engine_.cursors; }
  FakeCursor(const FakeCursor&) = delete;
  FakeCursor& operator=(const FakeCursor&) = delete;

  const std::vector<sql::Column>& columns() const override { return scripted_.columns; }
  sql::Outcome<std::unique_ptr<sql::Rows>> next() override {
    const size_t all = scripted_.rows.size() * scripted_.repeated;
    if (at_ >= all && scripted_.next_fails) return *scripted_.next_fails;
    if (at_ >= all) return std::unique_ptr<sql::Rows>();
    std::vector<TextRow> rows;
    for (; at_ < all && rows.size() < scripted_.rows_at_once; ++at_)
      rows.push_back(scripted_.rows[at_ % scripted_.rows.size()]);
    return std::unique_ptr<sql::Rows>(std::make_unique<TypedRows>(std::move(rows)));
  }
  uint64_t position() const override { return engine_.position; }

 private:
  FakeEngine& engine_;
  const Scripted scripted_;
  size_t at_ = 0;
};

class FakeConnection final : public sql::Connection {
 public:
  explicit FakeConnection(FakeEngine& engine) : engine_(engine) { ++engine_.connections; }
  ~FakeConnection() override { --engine_.connections; }
  FakeConnection(const FakeConnection&) = delete;
  FakeConnection& operator=(const FakeConnection&) = delete;

  void set_rights(std::function<bool(std::string_view)> may_read) override {
    HEPTANE_ASSERT(!may_read_, "rights are set once");
    may_read_ = std::move(may_read);
  }
  sql::Outcome<std::shared_ptr<sql::Prepared>> prepare(std::string_view statement) override {
    HEPTANE_ASSERT(may_read_ != nullptr, "a statement before the rights");
    const auto found = engine_.answers.find(std::string(statement));
    if (found == engine_.answers.end() || !may_read_(statement)) return sql::failure("42P01", "no such table here");
    if (found->second.prepare_fails) return *found->second.prepare_fails;
    return std::shared_ptr<sql::Prepared>(std::make_shared<FakePrepared>(std::string(statement), found->second));
  }
  sql::Outcome<std::unique_ptr<sql::Cursor>> execute(const std::shared_ptr<sql::Prepared>& prepared,
                                                     const std::vector<sql::Parameter>& parameters,
                                                     std::optional<uint64_t> as_of,
                                                     const sql::Limits& limits) override {
    const auto& fake = static_cast<const FakePrepared&>(*prepared);
    std::string line = fake.text + text_of(parameters);
    if (as_of) line += " as of " + std::to_string(*as_of);
    if (limits.time_ns_max != 0) line += " within " + std::to_string(limits.time_ns_max / 1'000'000) + " ms";
    engine_.log.push_back(line);
    if (fake.scripted.execute_fails) return *fake.scripted.execute_fails;
    return std::unique_ptr<sql::Cursor>(std::make_unique<FakeCursor>(engine_, fake.scripted));
  }
  sql::Outcome<std::unique_ptr<sql::Cursor>> export_parquet(std::string_view query, std::optional<uint64_t>,
                                                            const sql::Limits&) override {
    engine_.log.push_back("parquet " + std::string(query));
    Scripted file;
    file.columns = {{"file", sql::Type::bytea}};
    file.rows = {{"PAR1"}, {"...PAR1"}};
    return std::unique_ptr<sql::Cursor>(std::make_unique<FakeCursor>(engine_, std::move(file)));
  }
  void interrupt() override { ++engine_.interrupts; }

 private:
  FakeEngine& engine_;
  std::function<bool(std::string_view)> may_read_;
};

class FakeExchange final : public auth::SaslExchange {
 public:
  explicit FakeExchange(std::string user) : user_(std::move(user)) {}
  auth::SaslStep step(Bytes message) override {
    using Outcome = auth::SaslStep::Outcome;
    const bool right = as_text(message) == (begun_ ? "last" : "first");
    if (!right) return {Outcome::refused, "", "wrong user or password", {}};
    if (std::exchange(begun_, true)) return {Outcome::done, "v=proof", "", {{7, 1}, user_, {}}};
    return {Outcome::go_on, "challenge", "", {}};
  }

 private:
  std::string user_;
  bool begun_ = false;
};

}  // namespace

__int128 TypedRows::wide(size_t column, size_t row) const {
  __int128 value = 0;
  bool negative = false;
  for (const char c : *rows_[row][column]) {
    if (c == '-') negative = true;
    if (c >= '0' && c <= '9') value = value * 10 + (c - '0');
  }
  return negative ? -value : value;
}

sql::Outcome<std::shared_ptr<sql::Connection>> FakeEngine::connect() {
  if (connections >= connections_max) return sql::failure("53300", "too many connections");
  return std::shared_ptr<sql::Connection>(std::make_shared<FakeConnection>(*this));
}

bool FakeEngine::submit(sql::JobOwner owner, std::shared_ptr<sql::Connection> connection,
                        std::function<void(sql::Connection&)> job) {
  if (refuses_jobs) return false;
  for (const Job& waiting : jobs) HEPTANE_ASSERT(waiting.connection != connection, "two jobs of one connection");
  jobs.push_back({owner, std::move(connection), std::move(job)});
  return true;
}

std::unique_ptr<auth::SaslExchange> FakeAuthenticator::begin(std::string_view mechanism, const auth::Peer& peer) {
  HEPTANE_ASSERT(mechanism == "SCRAM-SHA-256", "another mechanism");
  return std::make_unique<FakeExchange>(peer.named);
}

std::optional<auth::Identity> FakeAuthenticator::by_certificate(const auth::Peer&) {
  if (certificate.empty()) return std::nullopt;
  return auth::Identity{{8, 1}, certificate, {}};
}

World::World(PostgresOptions given) : options(std::move(given)) {
  options.engine = &engine;
  options.random = [](size_t bytes) { return std::string(bytes, '\1'); };
}

World::~World() { end(); }

void World::open() {
  if (session_) return;
  protocol_ = std::make_unique<PostgresProtocol>(options);
  session_ = protocol_->open({});
  session_->on_open(*this);
}

void World::end() {
  if (session_) session_->on_close(net::CloseReason::peer_closed);
  session_.reset();
  while (!engine.jobs.empty()) {
    FakeEngine::Job job = std::move(engine.jobs.front());
    engine.jobs.pop_front();
    job.run(*job.connection);
  }
}

void World::send(std::string_view bytes) {
  open();
  pending += bytes;
  deliver();
}

void World::offer() {
  while (session_ && !paused && !closed && !pending.empty()) {
    const size_t consumed = session_->on_bytes(as_bytes(pending), *this);
    HEPTANE_ASSERT(consumed <= pending.size(), "consumed more than there was");
    pending.erase(0, consumed);
    if (consumed == 0) break;
  }
}

void World::deliver() {
  offer();
  while (!held_ && !engine.jobs.empty()) {
    FakeEngine::Job job = std::move(engine.jobs.front());
    engine.jobs.pop_front();
    job.run(*job.connection);
    job.run = nullptr;
    if (session_ && !closed) session_->on_worked(job.owner.request, *this);
    offer();
  }
}

void World::drain_output() {
  untaken_ = 0;
  if (std::exchange(awaits_taken_, false) && session_ && !closed) session_->on_writable(*this);
  deliver();
}

void World::pass_time(int64_t ns) {
  now_ns_ += ns;
  const auto due = timers_;
  for (const auto& [timer, at_ns] : due) {
    if (at_ns > now_ns_ || !timers_.contains(timer) || closed) continue;
    timers_.erase(timer);
    session_->on_timer(timer, *this);
  }
  deliver();
}

void World::write(Buffer bytes) {
  HEPTANE_ASSERT(!closed, "written after the end");
  output += as_text(bytes.view());
  untaken_ += bytes.size();
}

void World::close(net::CloseReason, std::string_view why) {
  if (!closed) closed = std::string(why);
}

net::SessionTimerId World::arm(int64_t delay_ns) {
  timers_[next_timer_] = now_ns_ + delay_ns;
  return next_timer_++;
}

std::string message(char type, std::string_view body) {
  ByteWriter out;
  out.u8(static_cast<uint8_t>(type));
  out.be(static_cast<uint32_t>(body.size() + kLengthBytes));
  out.append(body);
  return std::string(as_text(out.view()));
}

std::string request_message(uint32_t code, std::string_view body) {
  ByteWriter out;
  out.be(static_cast<uint32_t>(body.size() + 2 * kLengthBytes));
  out.be(code);
  out.append(body);
  return std::string(as_text(out.view()));
}

std::string startup_message(const std::vector<std::pair<std::string, std::string>>& parameters, uint32_t code) {
  std::string body;
  for (const auto& [name, value] : parameters) {
    body += name;
    body += '\0';
    body += value;
    body += '\0';
  }
  return request_message(code, body + '\0');
}

std::string query_message(std::string_view query) { return message('Q', std::string(query) + '\0'); }

namespace {

std::string printable(std::string_view text) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string shown;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n')
      shown += "\\n";
    else if (byte >= 0x20 && byte != 0x7f && c != '\\')
      shown += c;
    else
      shown += std::string("\\x") + kDigits[byte >> 4] + kDigits[byte & 15];
  }
  return shown;
}

std::string take_text(ByteReader& reader) {
  const std::string_view rest = as_text(reader.rest());
  const size_t end = rest.find('\0');
  HEPTANE_ASSERT(end != std::string_view::npos, "a text that does not end");
  reader.skip(end + 1);
  return std::string(rest.substr(0, end));
}

std::string report_line(ByteReader& reader) {
  std::string line;
  for (uint8_t field = reader.u8(); field != 0; field = reader.u8()) {
    const std::string value = take_text(reader);
    if (field == 'S' || field == 'C' || field == 'M') line += " " + printable(value);
    if (field == 'H') line += " (" + value + ")";
    if (field == 'P') line += " at " + value;
  }
  return line;
}

std::string row_line(ByteReader& reader) {
  std::string line;
  const auto columns = reader.be<uint16_t>();
  for (uint16_t i = 0; i < columns; ++i) {
    const auto length = reader.be<int32_t>();
    line += i == 0 ? " " : " | ";
    line += length < 0 ? "NULL" : printable(as_text(reader.take(static_cast<size_t>(length))));
  }
  return line;
}

std::string description_line(ByteReader& reader) {
  std::string line;
  const auto columns = reader.be<uint16_t>();
  for (uint16_t i = 0; i < columns; ++i) {
    line += " " + take_text(reader);
    reader.skip(6);
    line += ":" + std::to_string(reader.be<uint32_t>());
    const auto length = reader.be<int16_t>();
    const auto modifier = reader.be<int32_t>();
    line += length == -1 ? "" : "/" + std::to_string(length);
    if (modifier != -1) line += "(" + std::to_string(modifier) + ")";
    if (reader.be<int16_t>() == kBinaryFormat) line += ":binary";
  }
  return line;
}

std::string authentication_line(ByteReader& reader) {
  const auto what = reader.be<int32_t>();
  if (what == 0) return " ok";
  if (what == 10) {
    const std::string mechanism = take_text(reader);
    return " sasl " + mechanism + take_text(reader);  // the list ends with an empty one
  }
  return (what == 11 ? " sasl goes on " : " sasl final ") + printable(as_text(reader.take(reader.remaining())));
}

template <class T>
std::string numbers_line(ByteReader& reader) {
  std::string line;
  const auto count = reader.be<uint16_t>();
  for (uint16_t i = 0; i < count; ++i) line += " " + std::to_string(reader.be<T>());
  return line;
}

std::string message_line(char type, ByteReader& reader) {
  switch (type) {
    case 'R': return authentication_line(reader);
    case 'S': {
      const std::string name = take_text(reader);
      return " " + name + "=" + take_text(reader);
    }
    case 'K': {
      const auto process_id = reader.be<uint32_t>();
      return " " + std::to_string(process_id) + " " + std::to_string(reader.be<uint32_t>());
    }
    case 'Z': return std::string(" ") + static_cast<char>(reader.u8());
    case 'E':
    case 'N': return report_line(reader);
    case 'C': return " " + take_text(reader);
    case 'T': return description_line(reader);
    case 'D': return row_line(reader);
    case 't': return numbers_line<uint32_t>(reader);
    case 'H': {
      const uint8_t format = reader.u8();
      return " " + std::to_string(format) + numbers_line<int16_t>(reader);
    }
    case 'd': return " " + printable(as_text(reader.take(reader.remaining())));
    case 'v': {
      std::string line = " " + std::to_string(reader.be<int32_t>());
      const auto count = reader.be<int32_t>();
      for (int32_t i = 0; i < count; ++i) line += " " + take_text(reader);
      return line;
    }
    default: return "";
  }
}

}  // namespace

std::vector<std::string> lines_of(std::string_view output) {
  std::vector<std::string> lines;
  ByteReader reader(as_bytes(output));
  while (reader.remaining() > 0) {
    const char type = static_cast<char>(reader.u8());
    const bool alone = type == 'N' && (reader.remaining() < kLengthBytes || reader.rest()[0] != std::byte{0});
    if (alone) {  // the answer to a request for encryption
      lines.emplace_back("byte N");
      continue;
    }
    const auto length = reader.be<uint32_t>();
    HEPTANE_ASSERT(!reader.failed() && length >= kLengthBytes && length - kLengthBytes <= reader.remaining(),
                   "a broken answer");
    ByteReader body(reader.take(length - kLengthBytes));
    std::string line = type + message_line(type, body);
    HEPTANE_ASSERT(body.complete(), "an answer longer than it should be");
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace heptane::data::postgres::test
