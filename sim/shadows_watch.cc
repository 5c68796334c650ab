#include "sim/shadows_watch.h"

#include <charconv>

#include "modules/iot/machine/devices/shadow_api.h"
#include "sim/mqtt_listener.h"

namespace heptane::sim {

namespace {

using http::JsonDocument;
using http::JsonValue;

constexpr std::string_view kThings = "$aws/things/";
constexpr int64_t kConflict = 409;
constexpr int64_t kNotFound = 404;

std::optional<uint64_t> number_at(std::string_view& text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return number;
}

uint64_t version_in(const JsonValue& root) {
  const auto version = root.find("version");
  return version ? static_cast<uint64_t>(version->integer().value_or(0)) : 0;
}

std::optional<ShadowToken> token_in(const JsonValue& root) {
  const auto token = root.find("clientToken");
  return token ? parse_token(token->text()) : std::nullopt;
}

}  // namespace

std::string token_text(const ShadowToken& token) {
  std::string text = "c" + std::to_string(token.client) + "." + std::to_string(token.number);
  return token.version ? text + "v" + std::to_string(*token.version) : text;
}

std::optional<ShadowToken> parse_token(std::string_view text) {
  if (!text.starts_with('c')) return std::nullopt;
  text.remove_prefix(1);
  const auto client = number_at(text);
  if (!client || !text.starts_with('.')) return std::nullopt;
  text.remove_prefix(1);
  const auto number = number_at(text);
  if (!number) return std::nullopt;
  ShadowToken token{static_cast<uint32_t>(*client), static_cast<uint32_t>(*number), {}};
  if (text.empty()) return token;
  if (!text.starts_with('v')) return std::nullopt;
  text.remove_prefix(1);
  token.version = number_at(text);
  return token.version && text.empty() ? std::optional(token) : std::nullopt;
}

ShadowsWatch::Section ShadowsWatch::section_of(const std::optional<JsonValue>& state, std::string_view name) {
  Section section;
  const auto found = state ? state->find(name) : std::nullopt;
  for (auto one = found ? found->first() : std::nullopt; one; one = one->next())
    section[std::string(one->name())] = one->raw();
  return section;
}

void ShadowsWatch::patch(Section& section, const std::optional<JsonValue>& state, std::string_view name) {
  const auto found = state ? state->find(name) : std::nullopt;
  if (!found) return;
  if (found->type() == http::JsonType::null) return section.clear();
  for (auto one = found->first(); one; one = one->next()) {
    if (one->type() == http::JsonType::null)
      section.erase(std::string(one->name()));
    else
      section[std::string(one->name())] = one->raw();
  }
}

ShadowsWatch::Section ShadowsWatch::difference(const Document& document) {
  Section out;
  for (const auto& [name, value] : document.desired) {
    const auto is = document.reported.find(name);
    if (is == document.reported.end() || is->second != value) out[name] = value;
  }
  return out;
}

bool ShadowsWatch::is_document(const Document& document, JsonValue root) const {
  const auto state = root.find("state");
  return version_in(root) == document.version && section_of(state, "desired") == document.desired &&
         section_of(state, "reported") == document.reported;
}

uint64_t ShadowsWatch::version_of(const std::string& shadow) const {
  const auto found = documents_.find(shadow);
  return found == documents_.end() ? 0 : found->second.version;
}

// False: nothing is known any more.
bool ShadowsWatch::catch_up(server::Server& server, Disk& disk, Checker& checker, bool damaged) {
  if (checker.lost_tail_allowed()) blind_ = true;
  if (blind_) return false;
  const Result<void> done = tail_.read(server, disk, [&](Offset, std::string_view topic, std::string_view payload) {
    std::string heard = SimMqttListener::heard(topic, payload);
    if (known_answers_.insert(heard).second) answers_.push_back(std::move(heard));
    if (!checker.failed()) take(topic, payload, checker);
  });
  if (!done && !damaged) checker.fail(done.error().message);
  blind_ = !done;
  return done.ok() && !checker.failed();
}

void ShadowsWatch::audit(server::Server& server, const iot::devices::DevicesMachine& machine, Disk& disk,
                         Checker& checker, bool damaged) {
  if (!catch_up(server, disk, checker, damaged)) return;
  compare_acknowledged(checker);
  if (!deltas_.empty() || !currents_.empty()) checker.fail("an update of a shadow was told in part");
  compare_machine(machine, checker);
  ++counts_.audits;
}

bool ShadowsWatch::has_ended(server::Server& server, Disk& disk, Checker& checker) {
  return !catch_up(server, disk, checker, false) || all_answered();
}

bool ShadowsWatch::all_answered() const {
  for (size_t client = 0; client < acknowledged.size(); ++client)
    for (uint32_t number = 1; number <= acknowledged[client]; ++number)
      if (client >= answered_.size() || !answered_[client].contains(number)) return false;
  return true;
}

void ShadowsWatch::compare_acknowledged(Checker& checker) const {
  if (!all_answered()) checker.fail("a request of a shadow was acknowledged, and its answer is not in iot.shadows");
}

// What is told, record by record.

void ShadowsWatch::take(std::string_view topic, std::string_view payload, Checker& checker) {
  const auto parsed = JsonDocument::parse(std::string(payload));
  const size_t answer = topic.rfind('/');
  const size_t operation = topic.rfind('/', answer - 1);
  if (!parsed || !topic.starts_with(kThings))
    return checker.fail("iot.shadows holds what is no answer: " + std::string(topic));
  const JsonValue root = (*parsed)->root();
  // THING/shadow or THING/shadow/name/NAME
  const std::string shadow(topic.substr(kThings.size(), operation - kThings.size()));
  const std::string_view what = topic.substr(operation + 1);
  const auto token = token_in(root);
  if (token && (what.ends_with("accepted") || what.ends_with("rejected"))) note_answer(*token);
  const bool between = deltas_.contains(shadow) || currents_.contains(shadow);
  if (between && what != "update/documents" && what != "update/accepted")
    return checker.fail("between a delta and its accepted comes " + std::string(what) + " of " + shadow);
  if (what == "update/delta") return take_delta(shadow, root);
  if (what == "update/documents") return take_documents(shadow, root, checker);
  if (what == "update/accepted") return take_update(shadow, root, checker);
  if (what == "get/accepted") return take_document(shadow, root, checker);
  if (what == "delete/accepted") return take_deletion(shadow, root, checker);
  take_rejection(shadow, what.substr(0, what.find('/')), root, checker);
}

void ShadowsWatch::note_answer(const ShadowToken& token) {
  if (answered_.size() <= token.client) answered_.resize(token.client + 1);
  answered_[token.client].insert(token.number);
}

void ShadowsWatch::take_delta(const std::string& shadow, JsonValue root) {
  ++counts_.deltas;
  Section state;
  const auto said = root.find("state");
  for (auto one = said ? said->first() : std::nullopt; one; one = one->next())
    state[std::string(one->name())] = one->raw();
  deltas_[shadow] = {version_in(root), std::move(state)};
}

void ShadowsWatch::take_documents(const std::string& shadow, JsonValue root, Checker& checker) {
  const Document& document = documents_[shadow];
  const auto current = root.find("current");
  const auto previous = root.find("previous");
  const bool right = previous.has_value() == document.there && (!previous || is_document(document, *previous));
  if (!current || !right) return checker.fail("what was before an update of " + shadow + " is not so");
  const auto state = current->find("state");
  currents_[shadow] = {version_in(*current), true, section_of(state, "desired"), section_of(state, "reported")};
}

void ShadowsWatch::take_document(const std::string& shadow, JsonValue root, Checker& checker) {
  const Document& document = documents_[shadow];
  const Section delta = section_of(root.find("state"), "delta");
  if (!document.there || !is_document(document, root) || delta != difference(document))
    checker.fail("the shadow " + shadow + " was got otherwise than at version " + std::to_string(document.version));
}

void ShadowsWatch::take_deletion(const std::string& shadow, JsonValue root, Checker& checker) {
  Document& document = documents_[shadow];
  const auto token = token_in(root);
  const bool names_another = token && token->version && *token->version != document.version;
  if (!document.there || version_in(root) != document.version || names_another)
    checker.fail("a deletion of " + shadow + " was accepted at version " + std::to_string(document.version));
  document = {document.version, false};
  ++counts_.deleted;
}

void ShadowsWatch::take_update(const std::string& shadow, JsonValue root, Checker& checker) {
  Document& document = documents_[shadow];
  const std::string text =
      "of " + shadow + ", version " + std::to_string(version_in(root)) + " behind " + std::to_string(document.version);
  const auto token = token_in(root);
  if (version_in(root) != document.version + 1) return checker.fail("an update was accepted " + text);
  if (token && token->version && *token->version != document.version)
    return checker.fail("an update was accepted that named version " + std::to_string(*token->version) + ", " + text);
  ++document.version;
  document.there = true;
  patch(document.desired, root.find("state"), "desired");
  patch(document.reported, root.find("state"), "reported");
  const Section delta = difference(document);
  const auto told = deltas_.find(shadow);
  const bool right_delta =
      told == deltas_.end() ? delta.empty() : told->second.version == document.version && told->second.state == delta;
  if (!right_delta) return checker.fail("no delta, or another one, came before the accepted " + text);
  const auto current = currents_.find(shadow);
  if (current == currents_.end() || current->second.version != document.version ||
      current->second.desired != document.desired || current->second.reported != document.reported)
    return checker.fail("other documents came before the accepted " + text);
  deltas_.erase(shadow);
  currents_.erase(shadow);
  ++counts_.updates;
}

void ShadowsWatch::take_rejection(const std::string& shadow, std::string_view operation, JsonValue root,
                                  Checker& checker) {
  const Document& document = documents_[shadow];
  const auto code = root.find("code");
  const auto token = token_in(root);
  const int64_t number = code ? code->integer().value_or(0) : 0;
  ++counts_.rejected;
  const bool conflicts = token && token->version && *token->version != document.version;
  const bool missing = operation != "update" && !document.there;
  constexpr int64_t kTooMany = 429;
  const bool right = number == kConflict ? conflicts : number == kNotFound ? missing : number == kTooMany;
  if (number == kConflict) ++counts_.conflicts;
  if (!right)
    checker.fail("a request of " + shadow + " was rejected with " + std::to_string(number) + " at version " +
                 std::to_string(document.version));
}

void ShadowsWatch::compare_machine(const iot::devices::DevicesMachine& machine, Checker& checker) const {
  for (const auto& [shadow, document] : documents_) {
    const size_t slash = shadow.find('/');
    const size_t named = shadow.find("/name/");
    const std::string name = named == std::string::npos ? "" : shadow.substr(named + 6);
    Reply reply;
    const Buffer query = iot::devices::encode_shadow_query(shadow.substr(0, slash), name, 1);
    machine.query({iot::devices::kQueryShadow, query.view(), {}}, reply);
    const auto parsed = JsonDocument::parse(std::string(as_text(reply.payload.view())));
    const bool there = reply.ok() && reply.numbers[0] == 200;
    if (!parsed || there != document.there || (there && !is_document(document, (*parsed)->root())))
      return checker.fail("the shadow " + shadow + " is after a start another one than at version " +
                          std::to_string(document.version));
  }
}

}  // namespace heptane::sim
