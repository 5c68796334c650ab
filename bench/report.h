// What every bench prints: its settings, then rows of ours, the peer, the raw limit and the bar. Ratios count; absolute
// figures are the machine's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace heptane::bench {

struct Row {
  std::string what;
  std::string ours;
  std::string other;  // the peer or the raw limit, named
  std::string ratio;
  std::string bar;  // empty: none
  bool met = true;
  bool is_void = false;  // the machine cannot show it: the bar counts neither way
};

class Report {
 public:
  explicit Report(std::string name);
  // `key: value`, above the table.
  void setting(const std::string& key, const std::string& value);
  void row(Row row) { rows_.push_back(std::move(row)); }
  // Prints the table; true when every bar was met.
  bool print() const;

 private:
  std::string name_;
  std::vector<std::pair<std::string, std::string>> settings_;
  std::vector<Row> rows_;
};

// p in 0..1; sorts `values`. 0 when there are none.
double quantile(std::vector<double>& values, double p);
double median(std::vector<double> values);

// "2.31 M/s", "412 MB/s", "187 us", "0.93".
std::string rate(double per_second, const char* unit = "");
std::string micros(double microseconds);
std::string ratio(double value);
std::string bytes_text(uint64_t bytes);
// "1.79 M/s (1.70 M/s to 1.82 M/s)": the median, the least and the most.
std::string spread(const std::vector<double>& values, std::string (*text)(double));

int64_t now_ns();  // monotonic
// Processor seconds of this process, and of the children it has waited for.
double own_cpu_seconds();
double children_cpu_seconds();
uint64_t from_environment(const char* name, uint64_t otherwise);

}  // namespace heptane::bench
