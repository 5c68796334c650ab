#include "modules/iot/test/mqtt_world.h"

#include <sstream>

#include "kernel/base/assert.h"

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

World::World(mqtt::MqttOptions options) : broker_(options) {
  machines_.add(streams_);
  machines_.add(machine_);
  run_.set_streams(&streams_);
  resident_ = resident_protocol_.open({});
  resident_context_ = std::make_unique<http::test::FakeContext>(*resident_);
  resident_context_->on_submit = [this](const Submission& submission) { return submit(submission); };
  resident_->on_open(*resident_context_);
}

World::~World() {
  for (auto& [name, client] : clients_) client.session->on_close(net::CloseReason::shutdown);
}

World::Client& World::client(const std::string& name) {
  auto found = clients_.find(name);
  if (found != clients_.end()) return found->second;
  Client made;
  made.session = protocol_.open({});
  made.context = std::make_unique<http::test::FakeContext>(*made.session);
  made.context->session_id = ++last_session_;
  made.context->on_query = [this](const QueryRequest& asked) { return query(asked); };
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

void World::settle() {
  resident_context_->hold_answers = held_;
  resident_context_->pass_time(0);
  if (held_) return;
  resident_context_->deliver();
  for (auto& [name, client] : clients_)
    if (!client.context->closed) client.context->deliver();
}

std::string World::take_output(const std::string& name) { return std::exchange(client(name).context->output, {}); }

void World::break_off(const std::string& name) {
  client(name).session->on_close(net::CloseReason::peer_reset);
  clients_.erase(name);
  settle();
}

void World::pass_time(int64_t ns) {
  now_ns_ += ns;
  resident_context_->pass_time(ns);
  for (auto& [name, client] : clients_) client.context->pass_time(ns);
  settle();
}

Reply World::submit(const Submission& submission) {
  HEPTANE_ASSERT(submission.machine == kBrokerMachineId, "a command for another machine");
  Reply refused;
  refused.error = std::exchange(refusal_, std::nullopt);
  if (refused.error) return refused;
  Command command;
  command.sequence = sequence_ + 1;
  command.time = kUtcNs + now_ns_;
  command.machine = submission.machine;
  command.type = submission.type;
  command.payload = submission.payload.view();
  run_.begin(command.sequence, command.time);
  run_.apply(machine_, command);
  Reply reply = run_.reply();
  ++commands_;
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
