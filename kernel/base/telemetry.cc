#include "kernel/base/telemetry.h"

#include <charconv>
#include <cmath>

#include "kernel/base/assert.h"

namespace heptane {

namespace {

constexpr std::string_view kPrefix = "heptane_";
constexpr std::string_view kCounterSuffix = "_total";

bool valid_name(MetricType type, std::string_view name) {
  if (!name.starts_with(kPrefix) || name.ends_with(kCounterSuffix) != (type == MetricType::counter)) return false;
  for (const char c : name)
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_')) return false;
  return true;
}

std::string escaped(std::string_view text, bool quotes) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || (quotes && c == '"')) out += '\\';
    if (c == '\n') out += '\\';
    out += c == '\n' ? 'n' : c;
  }
  return out;
}

std::string labels_text(const Telemetry::Labels& labels) {
  if (labels.empty()) return {};
  std::string out;
  for (const auto& [name, value] : labels) {
    out += out.empty() ? '{' : ',';
    out += name + "=\"" + escaped(value, true) + '"';
  }
  return out + '}';
}

std::string number_text(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  char text[40];
  // Counts as plain digits, as far as a double tells them apart.
  const bool whole = std::abs(value) < 9007199254740992.0 && value == std::trunc(value);
  const auto end = whole ? std::to_chars(text, text + sizeof text, static_cast<int64_t>(value)).ptr
                         : std::to_chars(text, text + sizeof text, value).ptr;
  return {text, end};
}

}  // namespace

void Telemetry::add(MetricType type, std::string_view name, std::string_view help, Value value, Labels labels) {
  HEPTANE_ASSERT(valid_name(type, name) && !help.empty() && value, "a metric's name, help and value follow the rules");
  Family& family = families_.try_emplace(std::string(name), Family{type, std::string(help), {}}).first->second;
  HEPTANE_ASSERT(family.type == type && family.help == help, "a metric has one type and one help");
  const bool added = family.samples.emplace(labels_text(labels), std::move(value)).second;
  HEPTANE_ASSERT(added, "a metric is registered once for each set of labels");
}

std::string Telemetry::render() const {
  std::string out;
  for (const auto& [name, family] : families_) {
    out += "# HELP " + name + ' ' + escaped(family.help, false) + '\n';
    out += "# TYPE " + name + (family.type == MetricType::counter ? " counter\n" : " gauge\n");
    for (const auto& [labels, value] : family.samples) out += name + labels + ' ' + number_text(value()) + '\n';
  }
  return out;
}

}  // namespace heptane
