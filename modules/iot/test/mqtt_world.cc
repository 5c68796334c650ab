#include "modules/iot/test/mqtt_world.h"

#include <cstring>
#include <sstream>

#include "kernel/base/assert.h"
#include "kernel/shard/memory_snapshot.h"
#include "kernel/streams/record_batch.h"

namespace heptane::iot::test {

namespace {

constexpr int64_t kUtcNs = int64_t{1'700'000'000} * 1'000'000'000;  // of FakeContext at its time 0

void put_word(ByteWriter& out, const std::string& word) {
  const char kind = word[0];
  const bool is_hex = std::isxdigit(static_cast<unsigned char>(kind)) != 0;
  if (is_hex) {
    for (size_t i = 0; i + 1 < word.size(); i += 2)
      out.u8(static_cast<uint8_t>(std::stoul(word.substr(i, 2), nullptr, 16)));
    return;
  }
  const auto number = static_cast<uint32_t>(std::stoul(word.substr(1)));
  if (kind == 'r' || kind == 'v') return mqtt::write_variable(out, number);
  if (kind == 'L') return out.be<uint32_t>(number);
  if (kind == 'i') return out.u8(static_cast<uint8_t>(number));
  out.be<uint16_t>(static_cast<uint16_t>(number));
}

}  // namespace

std::string bytes_of(std::string_view words) {
  ByteWriter out;
  for (size_t at = 0; at < words.size();) {
    if (words[at] == ' ') {
      ++at;
    } else if (words[at] == '\'') {
      const size_t end = words.find('\'', at + 1);
      HEPTANE_ASSERT(end != std::string_view::npos, "a text has no end");
      out.append(words.substr(at + 1, end - at - 1));
      at = end + 1;
    } else {
      const size_t end = std::min(words.find(' ', at), words.size());
      put_word(out, std::string(words.substr(at, end - at)));
      at = end;
    }
  }
  return std::string(as_text(out.view()));
}

std::string hex_of(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string hex;
  for (const char c : bytes) {
    hex += kDigits[static_cast<uint8_t>(c) >> 4];
    hex += kDigits[static_cast<uint8_t>(c) & 15];
  }
  return hex;
}

World::World(mqtt::MqttOptions options) : options_(options) {
  machines_.add(streams_);
  machines_.add(machine_);
  machines_.add(devices_);
  machines_.add(fleets_);
  machines_.add(jobs_);
  machines_.add(provisioning_);
  devices_.add_watch(jobs_);
  devices_.add_watch(provisioning_);
  machines_.add(trail_);
  trail_.others = &provisioning_;
  run_.set_streams(&streams_);
  kernel_.versions[kBrokerMachineId] = machine_.newest_version();
  start();
}

void World::start() {
  gateway_ = std::make_unique<Gateway>(options_);
  gateway_->resident = gateway_->resident_protocol.open({});
  gateway_->context = std::make_unique<http::test::FakeContext>(*gateway_->resident);
  gateway_->context->on_submit = [this](const Submission& submission) { return submit(submission); };
  gateway_->context->on_query = [this](const QueryRequest& asked) { return query(asked); };
  gateway_->context->on_read = [this](const ReadRequest& asked) { return read(asked); };
  gateway_->context->pass_time(now_ns_);
  gateway_->broker.things().set_count([this] { return devices_.things_count(); });
  gateway_->broker.presence().set_count([this] { return devices_.things_count(); });
  gateway_->broker.devices().set_count([this] { return provisioning_.credentials_count(); });
  told_jobs_ = 0;
  gateway_->resident->on_open(*gateway_->context);
  settle();
}

World::~World() {
  for (auto& [name, client] : clients_) client.session->on_close(net::CloseReason::shutdown);
}

void World::crash() {
  clients_.clear();
  gateway_.reset();
  MemorySnapshot snapshot;
  machine_.save(snapshot);
  HEPTANE_ASSERT(machine_.restore(snapshot).ok() && snapshot.at_end(), "the machine does not come back");
  start();
}

class World::Context final : public http::test::FakeContext {
 public:
  Context(net::Session& session, World& world, const std::string& fingerprint) : FakeContext(session), world_(world) {
    if (!fingerprint.empty()) facts_.emplace().client_fingerprint = fingerprint;
  }
  const net::TlsFacts* tls() const override { return facts_ ? &*facts_ : nullptr; }
  int64_t utc_ns() const override { return FakeContext::utc_ns() + world_.clock_ahead_ns_; }
  bool read(RequestId request, ReadRequest asked) override {
    if (!world_.reads_in_turn_) return FakeContext::read(request, asked);
    world_.waiting_reads_.push_back({session_id, request, world_.read(asked)});
    return true;
  }

 private:
  World& world_;
  std::optional<net::TlsFacts> facts_;
};

void World::answer_reads() {
  while (!waiting_reads_.empty()) {
    const WaitingRead read = std::move(waiting_reads_.front());
    waiting_reads_.pop_front();
    for (auto& [name, client] : clients_)
      if (client.context->session_id == read.session && !client.context->closed)
        client.session->on_records(read.request, read.records, *client.context);
  }
}

World::Client& World::client(const std::string& name) {
  auto found = clients_.find(name);
  if (found != clients_.end()) return found->second;
  Client made;
  made.session = gateway_->protocol.open({});
  made.context = std::make_unique<Context>(*made.session, *this, certificates_[name]);
  made.context->session_id = ++last_session_;
  made.context->on_submit = [this](const Submission& submission) { return submit(submission); };
  made.context->on_query = [this](const QueryRequest& asked) { return query(asked); };
  made.context->on_read = [this](const ReadRequest& asked) { return read(asked); };
  made.context->pass_time(now_ns_);
  found = clients_.emplace(name, std::move(made)).first;
  found->second.session->on_open(*found->second.context);
  return found->second;
}

void World::send(const std::string& name, std::string_view bytes) {
  Client& to = client(name);
  to.context->hold_answers = held_;
  to.context->send(bytes);
  settle();
}

// An answer may ask again: of the log, of the machine, of another client.
void World::settle() {
  constexpr int kRounds = 6;
  for (int round = 0; round < kRounds; ++round) {
    gateway_->context->hold_answers = held_;
    gateway_->context->pass_time(0);
    if (held_) return;
    advance_jobs();
    gateway_->context->deliver();
    for (auto& [name, client] : clients_)
      if (!client.context->closed) client.context->deliver();
    answer_reads();
  }
}

std::string World::take_output(const std::string& name) { return std::exchange(client(name).context->output, {}); }

void World::break_off(const std::string& name) {
  client(name).session->on_close(net::CloseReason::peer_reset);
  clients_.erase(name);
  settle();
}

void World::pass_time(int64_t ns) {
  now_ns_ += ns;
  fire_timers();
  gateway_->context->pass_time(ns);
  for (auto& [name, client] : clients_) client.context->pass_time(ns);
  settle();
}

namespace {

Buffer with_status(const Buffer& answer, PublishStatus first) {
  std::vector<std::byte> bytes(answer.view().begin(), answer.view().end());
  bytes.front() = static_cast<std::byte>(first);
  return Buffer::take(std::move(bytes));
}

}  // namespace

Reply World::submit(const Submission& submission) {
  const bool to_devices = submission.machine == devices::kDevicesMachineId;
  const bool to_jobs = submission.machine == devices::kJobsMachineId;
  const bool to_provisioning = submission.machine == devices::kProvisioningMachineId;
  HEPTANE_ASSERT(to_devices || to_jobs || to_provisioning || submission.machine == kBrokerMachineId,
                 "a command for another machine");
  Reply refused;
  const bool foreign = submission.principal.id >= kFirstForeignPrincipal;
  if (foreign && !provisioning_.in_force(submission.principal)) {
    refused.error = Errc::unauthorised;
    return refused;
  }
  refused.error = to_devices ? devices_refusal_ : std::exchange(refusal_, std::nullopt);
  if (to_devices && refused.error) return refused;
  // As the shard does.
  const bool chained = submission.chain != 0 && submission.chain == broken_chain_;
  if (!refused.error && chained) refused.error = Errc::overloaded;
  if (refused.error) {
    broken_chain_ = submission.chain;
    return refused;
  }
  Command command;
  command.machine = submission.machine;
  command.type = submission.type;
  command.payload = submission.payload.view();
  command.principal = submission.principal;
  Reply reply = apply(command);
  if (command.type == kPublish && next_status_) reply.payload = with_status(reply.payload, *next_status_);
  if (command.type == kPublish) next_status_.reset();
  if (to_jobs) gateway_->broker.jobs().heard(reply);
  if (hold_after_ != 0 && command.type == hold_after_) {
    hold_after_ = 0;
    held_ = gateway_->context->hold_answers = true;
  }
  fire_timers();
  return reply;
}

StateMachine& World::machine_of(MachineId id) {
  if (id == devices::kDevicesMachineId) return devices_;
  if (id == devices::kProvisioningMachineId) return provisioning_;
  return id == devices::kJobsMachineId ? static_cast<StateMachine&>(jobs_) : machine_;
}

// As the shard tells whoever waits for the stream.
void World::advance_jobs() {
  const auto found = records_.find(jobs_.jobs().partition());
  if (found == records_.end() || found->second.size() == told_jobs_) return;
  told_jobs_ = found->second.size();
  gateway_->context->advance(found->first, static_cast<Offset>(told_jobs_));
}

Reply World::apply(const Command& asked) {
  Command command = asked;
  command.sequence = sequence_ + 1;
  command.time = kUtcNs + now_ns_ - late_ns_;
  run_.begin(command.sequence, command.time);
  run_.apply(machine_of(command.machine), command);
  Reply reply = run_.reply();
  reply.time = command.time;
  ++commands_;
  if (run_.outcome() != CommandOutcome::kept) return reply;
  reply.sequence = ++sequence_;
  if (run_.adds_to_entry()) keep_records(command);
  DigestAccumulator digest;
  run_.keep(command, 0, false, digest);
  return reply;
}

// The machine's own, whose time has come.
void World::fire_timers() {
  LogTime due = 0;
  for (TimerId id = kernel_.first_due(due); id != 0 && due <= kUtcNs + now_ns_ - late_ns_;
       id = kernel_.first_due(due)) {
    const auto at = kernel_.timers.find(id);
    const Buffer payload = Buffer::copy_of(at->second.payload);
    Command command;
    command.machine = at->second.machine;
    command.type = at->second.type;
    command.payload = payload.view();
    kernel_.disarm(id);
    apply(command);
  }
}

namespace {

// Renders into batches of one record.
class Batches final : public RecordWriter {
 public:
  Batches(std::vector<Buffer>& out, LogTime time) : out_(out), time_(time) {}
  bool wants() const override { return true; }
  bool full() const override { return false; }
  void skip() override { HEPTANE_ASSERT(false, "a record that is wanted is passed over"); }
  void add(const ViewRecord& record) override {
    ByteWriter headers;
    header(headers, "heptane.position", as_bytes("0:1/0"));
    for (const ViewHeader& one : record.headers) header(headers, one.key, one.value);
    streams::RecordBatchBuilder builder;
    builder.begin(time_ / 1'000'000);
    builder.add(time_ / 1'000'000, record.has_key, record.key, true, record.value, headers.view(),
                static_cast<uint32_t>(record.headers.size() + 1));
    out_.push_back(Buffer::copy_of(builder.finish(static_cast<Offset>(out_.size()), 0, true)));
  }

 private:
  static void header(ByteWriter& out, std::string_view key, Bytes value) {
    out.zigzag(static_cast<int64_t>(key.size()));
    out.append(key);
    out.zigzag(static_cast<int64_t>(value.size()));
    out.append(value);
  }
  std::vector<Buffer>& out_;
  const LogTime time_;
};

}  // namespace

// As the kernel renders them: out of the command and what the machine noted.
void World::keep_records(const Command& command) {
  ByteWriter extensions;
  run_.append_additions(extensions, 0, 0);
  LoggedCommand logged;
  logged.command = command;
  for (const log::ViewRun& run : run_.view_runs()) {
    logged.results = log::results_of(extensions.view(), run.machine);
    std::vector<Buffer>& records = records_[run.partition];
    const size_t before = records.size();
    Batches out(records, command.time);
    if (run.machine == devices::kDevicesMachineId)
      devices::render_shadows(logged, run.view, out);
    else if (run.machine == devices::kJobsMachineId)
      devices::render_jobs(logged, run.view, out);
    else
      render_views(logged, run.view, out);
    HEPTANE_ASSERT(records.size() - before == run.count, "a view has another number of records than was counted");
  }
}

std::vector<std::string> World::records(std::string_view stream) const {
  std::vector<std::string> values;
  const auto partition = streams_.find_partition(stream, 0);
  const auto found = partition ? records_.find(*partition) : records_.end();
  if (found == records_.end()) return values;
  for (const Buffer& batch : found->second)
    (void)streams::for_each_record(batch.view(), [&](const streams::RecordView& record) {
      values.push_back(std::string(as_text(record.key)) + ' ' + std::string(as_text(record.value)));
    });
  return values;
}

Reply World::declare(const StreamDeclaration& declaration) {
  Command command;
  command.machine = kBrokerMachineId;
  command.type = kDeclareStream;
  const Buffer payload = encode(declaration);
  command.payload = payload.view();
  Reply reply = apply(command);
  if (reply.ok() && !reply.repeated) broker().declared().take(reply.payload.view());
  return reply;
}

Reply World::create_things(const std::vector<std::string>& names) {
  std::vector<devices::Thing> things;
  for (const std::string& name : names) things.emplace_back().name = name;
  Command command;
  command.machine = devices::kDevicesMachineId;
  command.type = devices::kCreateThings;
  const Buffer payload = devices::encode_things(things);
  command.payload = payload.view();
  Reply reply = apply(command);
  broker().things().created(payload, reply);
  return reply;
}

Reply World::provision(CommandType type, const Buffer& payload) {
  Command command;
  command.machine = devices::kProvisioningMachineId;
  command.type = type;
  command.payload = payload.view();
  Reply reply = apply(command);
  if (type == devices::kChangeCredential) broker().devices().changed(reply);
  if (type == devices::kDropCredential) broker().devices().dropped(payload, reply);
  return reply;
}

std::vector<std::string> World::events() const {
  std::vector<std::string> values;
  const auto partition = streams_.find_partition(kEventsStream, 0);
  const auto found = partition ? records_.find(*partition) : records_.end();
  if (found == records_.end()) return values;
  for (const Buffer& batch : found->second)
    (void)streams::for_each_record(
        batch.view(), [&](const streams::RecordView& record) { values.emplace_back(as_text(record.value)); });
  return values;
}

net::RecordsRead World::read(const ReadRequest& asked) const {
  ++reads_;
  net::RecordsRead read;
  read.partition = asked.partition;
  read.offset = asked.offset;
  read.log_start = log_start_;
  const auto found = records_.find(asked.partition);
  static const std::vector<Buffer> kNone;
  const std::vector<Buffer>& records = found == records_.end() ? kNone : found->second;
  read.durable_end = static_cast<Offset>(records.size());
  if (asked.offset < log_start_ || asked.offset >= read.durable_end) {
    read.error = Errc::invalid_argument;
    return read;
  }
  constexpr size_t kBatches = 10;
  for (auto at = static_cast<size_t>(asked.offset); at < records.size() && read.batches.size() < kBatches; ++at)
    read.batches.push_back(records[at]);
  return read;
}

Reply World::query(const QueryRequest& asked) const {
  Reply reply;
  if (asked.type == kQueryRetained && refused_reads_ > 0) {
    --refused_reads_;
    reply.error = Errc::overloaded;
    return reply;
  }
  if (refused_query_ && refused_query_->first == asked.type) {
    reply.error = std::exchange(refused_query_, std::nullopt)->second;
    return reply;
  }
  const StateMachine* machine = &machine_;
  if (asked.machine == devices::kDevicesMachineId) machine = &devices_;
  if (asked.machine == devices::kJobsMachineId) machine = &jobs_;
  if (asked.machine == devices::kProvisioningMachineId) machine = &provisioning_;
  machine->query({asked.type, asked.payload.view(), {}}, reply);
  return reply;
}

std::string World::run(std::string_view transcript) {
  std::istringstream lines{std::string(transcript)};
  std::string line;
  for (size_t number = 1; std::getline(lines, line); ++number) {
    if (line.starts_with('#')) continue;
    while (!line.empty() && line.back() == ' ') line.pop_back();
    if (line.empty()) continue;
    const std::string wrong = step(line);
    if (!wrong.empty()) return "line " + std::to_string(number) + ": " + line + "\n" + wrong;
  }
  for (auto& [name, client] : clients_)
    if (!client.context->output.empty()) return name + " was sent more: " + hex_of(client.context->output);
  return {};
}

std::string World::step(const std::string& line) {
  if (line == "hold" || line == "deliver") {
    hold(line == "hold");
    settle();
    return {};
  }
  if (line == "crash") {
    crash();
    return {};
  }
  if (line.starts_with("pass ")) {
    pass_time(std::stoll(line.substr(5)) * 1'000'000'000);
    return {};
  }
  const size_t name_end = line.find_first_of("<> ");
  const std::string name = line.substr(0, name_end);
  const std::string_view rest = std::string_view(line).substr(name_end + 1);
  if (line[name_end] == '>') {
    send(name, bytes_of(rest));
    return {};
  }
  if (line[name_end] == '<') {
    const std::string got = take_output(name);
    return got == bytes_of(rest) ? std::string() : "got " + hex_of(got) + " wanted " + hex_of(bytes_of(rest));
  }
  if (rest == "gone") {
    break_off(name);
    return {};
  }
  if (rest == "closed") {
    if (!client(name).context->closed) return "it is open";
    return take_output(name).empty() ? (clients_.erase(name), std::string()) : std::string("it was sent more");
  }
  return "no such step";
}

}  // namespace heptane::iot::test
