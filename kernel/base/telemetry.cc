#include "kernel/base/telemetry.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "kernel/base/assert.h"

namespace heptane {

namespace {

constexpr std::string_view kPrefix = "heptane_";
constexpr std::string_view kProcessPrefix = "process_";
constexpr std::string_view kCounterSuffix = "_total";

bool valid_name(MetricType type, std::string_view name) {
  if (!name.starts_with(kPrefix) && !name.starts_with(kProcessPrefix)) return false;
  if (name.ends_with(kCounterSuffix) != (type == MetricType::counter)) return false;
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

const char* type_name(MetricType type) {
  switch (type) {
    case MetricType::counter: return "counter";
    case MetricType::gauge: return "gauge";
    case MetricType::histogram: return "histogram";
  }
  return "untyped";
}

// Buckets hold what is at or below their bound, each with all before it.
std::string histogram_text(const std::string& name, const Telemetry::Labels& labels, const Histogram& histogram) {
  std::string out;
  uint64_t count = 0;
  const auto bucket = [&](const std::string& bound) {
    Telemetry::Labels bounded = labels;
    bounded.emplace_back("le", bound);
    out += name + "_bucket" + labels_text(bounded) + ' ' + std::to_string(count) + '\n';
  };
  for (size_t i = 0; i < histogram.bounds().size(); ++i) {
    count += histogram.count_of(i);
    bucket(number_text(histogram.bounds()[i]));
  }
  count += histogram.count_of(histogram.bounds().size());
  bucket("+Inf");
  out += name + "_sum" + labels_text(labels) + ' ' + number_text(histogram.sum()) + '\n';
  return out + name + "_count" + labels_text(labels) + ' ' + std::to_string(count) + '\n';
}

}  // namespace

Histogram::Histogram(std::vector<double> bounds)
    : bounds_(std::move(bounds)), counts_(std::make_unique<std::atomic<uint64_t>[]>(bounds_.size() + 1)) {}

void Histogram::observe(double value) {
  const auto bucket = static_cast<size_t>(std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin());
  counts_[bucket].fetch_add(1, std::memory_order_relaxed);
  sum_.store(sum_.load(std::memory_order_relaxed) + value, std::memory_order_relaxed);
}

std::vector<double> Histogram::exponential_bounds(double first, double factor, size_t count) {
  std::vector<double> bounds;
  for (size_t i = 0; i < count; ++i, first *= factor) bounds.push_back(first);
  return bounds;
}

void Telemetry::add(MetricType type, std::string_view name, std::string_view help, Value value, Labels labels) {
  HEPTANE_ASSERT(value, "a metric has a value");
  const bool added = family(type, name, help).samples.emplace(labels_text(labels), std::move(value)).second;
  HEPTANE_ASSERT(added, "a metric is registered once for each set of labels");
}

void Telemetry::histogram(std::string_view name, std::string_view help, const Histogram& histogram, Labels labels) {
  family(MetricType::histogram, name, help).histograms.emplace_back(std::move(labels), &histogram);
}

Telemetry::Family& Telemetry::family(MetricType type, std::string_view name, std::string_view help) {
  HEPTANE_ASSERT(valid_name(type, name) && !help.empty(), "a metric's name and help follow the rules");
  Family& family = families_.try_emplace(std::string(name), Family{type, std::string(help), {}}).first->second;
  HEPTANE_ASSERT(family.type == type && family.help == help, "a metric has one type and one help");
  return family;
}

std::string Telemetry::render() const {
  std::string out;
  for (const auto& [name, family] : families_) {
    out += "# HELP " + name + ' ' + escaped(family.help, false) + '\n';
    out += "# TYPE " + name + ' ' + type_name(family.type) + '\n';
    for (const auto& [labels, value] : family.samples) out += name + labels + ' ' + number_text(value()) + '\n';
    for (const auto& [labels, histogram] : family.histograms) out += histogram_text(name, labels, *histogram);
  }
  return out;
}

}  // namespace heptane
