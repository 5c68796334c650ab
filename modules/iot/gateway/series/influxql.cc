#include "modules/iot/gateway/series/influxql.h"

#include <regex.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "modules/iot/gateway/series/influxql_lexer.h"
#include "modules/iot/gateway/series/time_literal.h"

namespace heptane::iot::series {

namespace {

constexpr std::pair<std::string_view, Function> kFunctions[] = {{"mean", Function::mean},
                                                                {"sum", Function::sum},
                                                                {"count", Function::count},
                                                                {"min", Function::min},
                                                                {"max", Function::max},
                                                                {"first", Function::first},
                                                                {"last", Function::last},
                                                                {"percentile", Function::percentile},
                                                                {"derivative", Function::derivative}};
// What ends a name list or begins the next clause; a bare one is no name.
constexpr std::string_view kKeywords[] = {"select", "from", "where", "group",  "by",      "order", "limit",
                                          "offset", "and",  "or",    "as",     "show",    "on",    "with",
                                          "key",    "in",   "fill",  "slimit", "soffset", "into"};

Function function_of(const Word& word) {
  if (word.kind != WordKind::name) return Function::none;
  for (const auto& [name, function] : kFunctions)
    if (word.is(name)) return function;
  return Function::none;
}

std::string_view name_of(Function function) {
  for (const auto& [name, known] : kFunctions)
    if (known == function) return name;
  return "";
}

bool is_keyword(const Word& word) {
  return std::any_of(std::begin(kKeywords), std::end(kKeywords), [&](std::string_view one) { return word.is(one); });
}

bool whole(const std::string& text, uint64_t& into) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
  return error == std::errc() && end == text.data() + text.size();
}

void add_where(std::optional<Condition>& all, Condition one) {
  if (!all) {
    all = std::move(one);
    return;
  }
  Condition both;
  both.kind = Condition::Kind::all;
  both.parts.push_back(std::move(*all));
  both.parts.push_back(std::move(one));
  all = std::move(both);
}

// Every method returns false after it has said why.
class Parser {
 public:
  Parser(std::string_view text, int64_t now_ns) : lexer_(text), now_ns_(now_ns) {}

  Result<std::vector<Statement>> run() {
    std::vector<Statement> statements;
    while (true) {
      while (sign(";")) {
      }
      if (word().kind == WordKind::end) break;
      Statement statement;
      if (!parse(statement)) return Error{Errc::invalid_argument, "error parsing query: " + why_};
      if (word().kind != WordKind::end && !word().is_sign(";")) {
        (void)expected("; or the end");
        return Error{Errc::invalid_argument, "error parsing query: " + why_};
      }
      statements.push_back(std::move(statement));
      if (statements.size() > kStatementsMax) return Error{Errc::invalid_argument, "more than 64 statements"};
    }
    if (statements.empty()) return Error{Errc::invalid_argument, "missing required parameter \"q\""};
    return statements;
  }

 private:
  const Word& word() const { return lexer_.word(); }
  bool fail(std::string why) {
    why_ = std::move(why);
    return false;
  }
  bool expected(std::string_view what) {
    const std::string found = word().kind == WordKind::end ? "the end" : std::string(word().written);
    return fail("found " + found + ", expected " + std::string(what));
  }
  bool keyword(std::string_view name) {
    if (!word().is(name)) return false;
    lexer_.next();
    return true;
  }
  bool sign(std::string_view text) {
    if (!word().is_sign(text)) return false;
    lexer_.next();
    return true;
  }
  bool need(std::string_view name) { return keyword(name) || expected(name); }
  bool need_sign(std::string_view text) { return sign(text) || expected(text); }
  bool name(std::string& into, std::string_view what) {
    if (!word().is_name() || is_keyword(word())) return expected(what);
    into = word().text;
    lexer_.next();
    return true;
  }
  bool unsigned_number(uint64_t& into) {
    if (word().kind != WordKind::number || !whole(word().text, into)) return expected("a whole number");
    lexer_.next();
    return true;
  }
  bool real_number(double& into) {
    const bool negative = sign("-");
    if (word().kind != WordKind::number) return expected("a number");
    const std::string& text = word().text;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
    if (error != std::errc() || end != text.data() + text.size()) return expected("a number");
    if (negative) into = -into;
    lexer_.next();
    return true;
  }
  bool duration(int64_t& into) {
    if (word().kind != WordKind::duration || !parse_duration(word().text, into) || into <= 0)
      return expected("a duration, as 10s");
    lexer_.next();
    return true;
  }
  bool pattern(std::shared_ptr<Pattern>& into) {
    lexer_.as_pattern();
    if (word().kind != WordKind::pattern) return expected("a pattern between slashes");
    auto made = Pattern::make(word().text);
    if (!made) return fail(made.error().message);
    into = std::move(*made);
    lexer_.next();
    return true;
  }

  bool parse(Statement& statement) {
    if (keyword("select")) return select(statement.select);
    if (keyword("show")) {
      statement.kind = Statement::Kind::show;
      return show(statement.show);
    }
    const bool create = word().is("create");
    if (!create && !word().is("drop")) return expected("SELECT, SHOW, CREATE or DROP");
    lexer_.next();
    statement.kind = create ? Statement::Kind::create_database : Statement::Kind::drop_database;
    return need("database") && name(statement.database, "a database's name");
  }

  bool select(Select& select) {
    do {
      if (select.columns.size() == kColumnsMax) return fail("more than 256 columns");
      if (!selected(select.columns.emplace_back())) return false;
    } while (sign(","));
    if (!need("from") || !source(select.source)) return false;
    if (keyword("where") && !where(select.where, &select)) return false;
    if (keyword("group") && !group(select)) return false;
    if (keyword("fill") && !fill(select)) return false;
    if (!order(select) || !limits(select.limit, select.offset)) return false;
    return check(select);
  }

  bool check(const Select& select) {
    const bool aggregates = select.aggregates();
    for (const Selected& one : select.columns)
      if ((one.function != Function::none) != aggregates)
        return fail("mixing aggregate and non-aggregate columns (" + one.column + ") is not supported");
    const bool windows = select.interval_ns > 0;
    if (windows && !aggregates) return fail("GROUP BY time needs an aggregate function");
    for (const Selected& one : select.columns) {
      if (one.function != Function::derivative) continue;
      if (select.columns.size() > 1) return fail("derivative must be the only column");
      if (windows != (one.inner != Function::none))
        return fail(windows ? "derivative with GROUP BY time needs an aggregate inside"
                            : "derivative of an aggregate needs GROUP BY time");
    }
    return true;
  }

  bool selected(Selected& one) {
    if (sign("*")) {
      one.all = true;
      return true;
    }
    const Function function = function_of(word());
    const std::string first = word().text;
    const bool quoted = word().kind == WordKind::quoted_name;
    if (!name(one.field, "a field, a function or *")) return false;
    one.column = one.field;
    if (!quoted && word().is_sign("(")) {
      if (function == Function::none) return fail("undefined function " + first + "()");
      if (!call(function, one)) return false;
    } else if (word().kind == WordKind::sign && !word().is_sign(",") && !word().is_sign(";")) {
      return expected("a comma, AS or FROM");
    }
    return !keyword("as") || name(one.column, "a column's name");
  }

  bool call(Function function, Selected& one) {
    one.function = function;
    one.column = name_of(function);
    lexer_.next();
    const Function inner = function_of(word());
    std::string first = word().text;
    if (!name(one.field, "a field")) return false;
    if (word().is_sign("(")) {
      const bool allowed = function == Function::derivative && inner != Function::none && inner != Function::derivative;
      if (!allowed) return fail(first + "() must not be inside " + one.column + "()");
      one.inner = inner;
      lexer_.next();
      if (!name(one.field, "a field") || !percent(inner, one) || !need_sign(")")) return false;
    }
    one.unit_ns = 0;
    if (!percent(function, one)) return false;
    if (function == Function::derivative && sign(",") && !duration(one.unit_ns)) return false;
    return need_sign(")");
  }

  bool percent(Function function, Selected& one) {
    if (function != Function::percentile) return true;
    if (!need_sign(",") || !real_number(one.percent)) return false;
    return (one.percent >= 0 && one.percent <= 100) || fail("percentile's second argument is 0 to 100");
  }

  // measurement, db.rp.measurement or db..measurement.
  bool source(Source& source) {
    std::string parts[3];
    size_t count = 0;
    do {
      if (count == 3) return expected("a measurement");
      const bool left_out = count == 1 && word().is_sign(".");
      if (!left_out && !name(parts[count], "a measurement")) return false;
      ++count;
    } while (sign("."));
    source.measurement = parts[count - 1];
    if (count == 3) source.database = parts[0];
    const std::string& policy = parts[count == 3 ? 1 : 0];
    if (count > 1 && !policy.empty() && policy != "autogen")
      return fail("there is no retention policy " + policy + ": autogen is the only one");
    return !word().is_sign(",") || fail("found a comma, expected one measurement");
  }

  bool group(Select& select) {
    if (!need("by")) return false;
    do {
      if (sign("*")) {
        select.by_all_tags = true;
        continue;
      }
      const bool plain = word().kind == WordKind::name;
      std::string tag;
      if (!name(tag, "a tag, time(...) or *")) return false;
      if (plain && word().is_sign("(")) {
        if (tag != "time" || select.interval_ns > 0)
          return fail("found " + tag + "(...), expected a tag or one time(...)");
        if (!windows(select)) return false;
      } else if (select.by_tags.size() == kColumnsMax) {
        return fail("more than 256 tags");
      } else {
        select.by_tags.push_back(std::move(tag));
      }
    } while (sign(","));
    return true;
  }

  bool windows(Select& select) {
    lexer_.next();
    if (!duration(select.interval_ns)) return false;
    if (sign(",")) {
      const bool negative = sign("-");
      if (!duration(select.interval_offset_ns)) return false;
      if (negative) select.interval_offset_ns = -select.interval_offset_ns;
    }
    return need_sign(")");
  }

  bool fill(Select& select) {
    if (!need_sign("(")) return false;
    if (word().kind == WordKind::number || word().is_sign("-")) {
      select.fill = Fill::number;
      return real_number(select.fill_number) && need_sign(")");
    }
    constexpr std::pair<std::string_view, Fill> kFills[] = {
        {"null", Fill::null}, {"none", Fill::none}, {"previous", Fill::previous}, {"linear", Fill::linear}};
    for (const auto& [text, fill] : kFills)
      if (keyword(text)) {
        select.fill = fill;
        return need_sign(")");
      }
    return expected("null, none, previous, linear or a number");
  }

  bool order(Select& select) {
    if (!keyword("order")) return true;
    if (!need("by") || !need("time")) return false;
    select.descending = keyword("desc");
    if (!select.descending) keyword("asc");
    return true;
  }

  bool limits(std::optional<uint64_t>& limit, uint64_t& offset) {
    uint64_t number = 0;
    if (keyword("limit")) {
      if (!unsigned_number(number)) return false;
      if (number > 0) limit = number;
    }
    return !keyword("offset") || unsigned_number(offset);
  }

  // Times bind `select`, where there is one; only beside AND at the top.
  bool where(std::optional<Condition>& into, Select* select) {
    Condition all;
    bool tags = false;
    if (!any_of(all, select, 0, tags)) return false;
    if (tags) add_where(into, std::move(all));
    return true;
  }

  bool any_of(Condition& into, Select* select, size_t depth, bool& tags) {
    if (depth > kNestingMax) return fail("parentheses nest deeper than 32");
    const bool bound_outside = std::exchange(time_bound_, false);
    if (!all_of(into, select, depth, tags)) return false;
    const bool bound = std::exchange(time_bound_, bound_outside || time_bound_);
    if (!word().is("or")) return true;
    const bool first = tags && !bound;
    Condition any;
    any.kind = Condition::Kind::any;
    any.parts.push_back(std::move(into));
    while (keyword("or")) {
      bool more = false;
      if (!all_of(any.parts.emplace_back(), nullptr, depth, more)) return false;
      if (!first || !more) return fail("time must not stand beside OR");
    }
    into = std::move(any);
    return true;
  }

  bool all_of(Condition& into, Select* select, size_t depth, bool& tags) {
    std::optional<Condition> all;
    do {
      Condition one;
      bool is_tag = false;
      if (!term(one, select, depth, is_tag)) return false;
      if (is_tag) add_where(all, std::move(one));
    } while (keyword("and"));
    tags = all.has_value();
    if (all) into = std::move(*all);
    return true;
  }

  bool term(Condition& into, Select* select, size_t depth, bool& tags) {
    if (sign("(")) return any_of(into, select, depth + 1, tags) && need_sign(")");
    const bool time = word().is("time");
    if (!name(into.key, "a tag or time")) return false;
    if (time) return time_test(select);
    tags = true;
    return tag_test(into);
  }

  bool tag_test(Condition& into) {
    if (word().is_sign("=~") || word().is_sign("!~")) {
      into.compare = word().is_sign("=~") ? Compare::matches : Compare::matches_not;
      return pattern_behind_sign(into.pattern);
    }
    const bool equal = word().is_sign("=");
    if (!equal && !word().is_sign("!=") && !word().is_sign("<>")) return expected("=, !=, =~ or !~ behind " + into.key);
    into.compare = equal ? Compare::equal : Compare::differs;
    lexer_.next();
    if (word().kind != WordKind::text)
      return expected("a tag's value in single quotes (conditions on fields are not supported)");
    into.value = word().text;
    lexer_.next();
    return true;
  }

  // The sign is the word at hand; what follows is read as a pattern.
  bool pattern_behind_sign(std::shared_ptr<Pattern>& into) {
    lexer_.next();
    return pattern(into);
  }

  bool time_test(Select* select) {
    if (select == nullptr) return fail("time may only be bound beside AND in a SELECT");
    const std::string compare = word().text;
    const bool known = word().kind == WordKind::sign &&
                       (compare == "=" || compare == "<" || compare == "<=" || compare == ">" || compare == ">=");
    if (!known) return expected("=, <, <=, > or >= behind time");
    lexer_.next();
    int64_t at = 0;
    if (!time_value(at)) return false;
    time_bound_ = true;
    constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
    constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
    if (compare == ">") at = at == kMax ? kMax : at + 1;
    if (compare == "<") at = at == kMin ? kMin : at - 1;
    if (compare != "<" && compare != "<=") {
      select->time.from = std::max(select->time.from, at);
      select->has_lower = true;
    }
    if (compare != ">" && compare != ">=") {
      select->time.to = std::min(select->time.to, at);
      select->has_upper = true;
    }
    return true;
  }

  // A time, and durations added to it.
  bool time_value(int64_t& at) {
    if (!time_point(at)) return false;
    while (word().is_sign("+") || word().is_sign("-")) {
      const bool minus = word().is_sign("-");
      lexer_.next();
      int64_t by = 0;
      if (!duration(by)) return false;
      if (minus ? __builtin_sub_overflow(at, by, &at) : __builtin_add_overflow(at, by, &at))
        return fail("a time beyond 64 bits of nanoseconds");
    }
    return true;
  }

  bool time_point(int64_t& at) {
    if (keyword("now")) {
      at = now_ns_;
      return need_sign("(") && need_sign(")");
    }
    const bool negative = sign("-");
    if (word().kind == WordKind::number) {
      uint64_t number = 0;
      if (!whole(word().text, number) || number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
        return expected("a time");
      at = static_cast<int64_t>(number);
    } else if (word().kind == WordKind::duration) {
      if (!parse_duration(word().text, at)) return expected("a time");
    } else if (word().kind == WordKind::text && !negative) {
      const auto time = parse_time(word().text);
      if (!time) return expected("a time, as '2026-11-29T18:00:00Z'");
      at = *time;
    } else {
      return expected("a time");
    }
    if (negative) at = -at;
    lexer_.next();
    return true;
  }

  bool show(Show& show) {
    if (!show_kind(show.kind)) return false;
    if (show.kind == ShowKind::databases) return true;
    if (keyword("on") && !name(show.source.database, "a database's name")) return false;
    if (show.kind == ShowKind::policies) return true;
    if (show.kind != ShowKind::measurements && keyword("from")) {
      const std::string on = show.source.database;
      if (!source(show.source)) return false;
      if (show.source.database.empty()) show.source.database = on;
    }
    if (show.kind == ShowKind::tag_values && !with_key(show)) return false;
    if (show.kind == ShowKind::measurements && keyword("with") && !with_measurement(show)) return false;
    if (show.kind != ShowKind::field_keys && keyword("where") && !where(show.where, nullptr)) return false;
    return limits(show.limit, show.offset);
  }

  bool show_kind(ShowKind& kind) {
    if (keyword("databases")) return kind = ShowKind::databases, true;
    if (keyword("retention")) return kind = ShowKind::policies, need("policies");
    if (keyword("measurements")) return kind = ShowKind::measurements, true;
    if (keyword("series")) return kind = ShowKind::series, true;
    if (keyword("field")) return kind = ShowKind::field_keys, need("keys");
    if (!keyword("tag")) return expected("DATABASES, RETENTION, MEASUREMENTS, SERIES, TAG or FIELD");
    kind = word().is("values") ? ShowKind::tag_values : ShowKind::tag_keys;
    return keyword("values") || keyword("keys") || expected("KEYS or VALUES");
  }

  bool with_key(Show& show) {
    if (!need("with") || !need("key")) return false;
    Condition& condition = show.with.emplace();
    if (word().is_sign("=~") || word().is_sign("!~")) {
      condition.compare = word().is_sign("=~") ? Compare::matches : Compare::matches_not;
      return pattern_behind_sign(condition.pattern);
    }
    if (keyword("in")) return key_list(condition);
    condition.compare = word().is_sign("!=") ? Compare::differs : Compare::equal;
    if (!sign("=") && !sign("!=")) return expected("=, !=, =~, !~ or IN");
    return name(condition.value, "a tag's key");
  }

  bool with_measurement(Show& show) {
    if (!need("measurement")) return false;
    Condition& condition = show.with.emplace();
    if (word().is_sign("=~")) {
      condition.compare = Compare::matches;
      return pattern_behind_sign(condition.pattern);
    }
    return sign("=") ? name(condition.value, "a measurement") : expected("= or =~");
  }

  bool key_list(Condition& condition) {
    condition.kind = Condition::Kind::any;
    if (!need_sign("(")) return false;
    do {
      if (condition.parts.size() == kColumnsMax) return fail("more than 256 keys");
      if (!name(condition.parts.emplace_back().value, "a tag's key")) return false;
    } while (sign(","));
    return need_sign(")");
  }

  Lexer lexer_;
  int64_t now_ns_;
  bool time_bound_ = false;
  std::string why_;
};

bool compares(const Condition& condition, const std::string& value) {
  switch (condition.compare) {
    case Compare::equal: return value == condition.value;
    case Compare::differs: return value != condition.value;
    case Compare::matches: return condition.pattern->matches(value);
    case Compare::matches_not: return !condition.pattern->matches(value);
  }
  return false;
}

template <class Test>
bool holds_by(const Condition& condition, const Test& test) {
  const auto part = [&](const Condition& one) { return holds_by(one, test); };
  if (condition.kind == Condition::Kind::all) return std::all_of(condition.parts.begin(), condition.parts.end(), part);
  if (condition.kind == Condition::Kind::any) return std::any_of(condition.parts.begin(), condition.parts.end(), part);
  return test(condition);
}

bool is_quantifier(char at) { return at == '*' || at == '+' || at == '?'; }

// A pattern into what POSIX knows (`\d`), and why it is refused. The compiler copies what a + repeats, each copy with those within
// it, so that nested ones double its work: none are let through.
class PatternReader {
 public:
  explicit PatternReader(const std::string& text) : text_(text) {}

  // Why it is refused; empty: it is not.
  std::string run(std::string& out) {
    while (at_ < text_.size() && why_.empty()) step(out);
    return why_;
  }

 private:
  void step(std::string& out) {
    const char at = text_[at_];
    if (at == '{' || at == '\0') return refuse("{ in a pattern is not supported: write it as \\{");
    if (at == '\\' && at_ + 1 < text_.size()) return escape(out);
    if (at == '[') return bracket(out);
    if (is_quantifier(at)) return quantifier(out);
    if (at == '(') groups_.push_back(false);
    behind_ = Behind::one;
    if (at == ')' && !groups_.empty()) close();
    out += text_[at_++];
  }
  void refuse(std::string_view why) { why_ = why; }

  void escape(std::string& out) {
    const char letter = text_[at_ + 1];
    if (letter >= '0' && letter <= '9') return refuse("a back reference in a pattern is not supported");
    if (letter == 'd')
      out += "[0-9]";
    else
      out.append("\\").append(1, letter);
    at_ += 2;
    behind_ = Behind::one;
  }

  // A bracket ends at the ] that is not its first; [: :], [. .] and [= =] within are passed over.
  void bracket(std::string& out) {
    const size_t begin = at_++;
    if (at_ < text_.size() && text_[at_] == '^') ++at_;
    if (at_ < text_.size() && text_[at_] == ']') ++at_;
    while (at_ < text_.size() && text_[at_] != ']') {
      if (text_[at_] == '\\') return refuse("a backslash between [ and ] in a pattern is not supported");
      if (text_[at_] == '\0') return refuse("a zero in a pattern is not supported");
      const char kind = text_[at_] == '[' && at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
      const bool named = kind == ':' || kind == '.' || kind == '=';
      const size_t end = named ? text_.find(std::string{kind, ']'}, at_ + 2) : std::string::npos;
      at_ = end == std::string::npos ? at_ + 1 : end + 2;
    }
    if (at_ < text_.size()) ++at_;
    out.append(text_, begin, at_ - begin);
    behind_ = Behind::one;
  }

  void quantifier(std::string& out) {
    if (behind_ == Behind::repeated)
      return refuse("a *, + or ? behind another, or behind a group that has one, is not supported in a pattern");
    if (!groups_.empty()) groups_.back() = true;
    behind_ = Behind::repeated;
    out += text_[at_++];
  }

  void close() {
    const bool repeats = groups_.back();
    groups_.pop_back();
    if (repeats && !groups_.empty()) groups_.back() = true;
    if (repeats) behind_ = Behind::repeated;
  }

  enum class Behind : uint8_t { one, repeated };  // what a quantifier would be for

  const std::string& text_;
  size_t at_ = 0;
  Behind behind_ = Behind::one;
  std::vector<bool> groups_;  // that are open: whether they have a quantifier
  std::string why_;
};

}  // namespace

struct Pattern::Compiled {
  regex_t regex{};
  bool made = false;
  ~Compiled() {
    if (made) ::regfree(&regex);
  }
};

Pattern::Pattern() = default;
Pattern::~Pattern() = default;

Result<std::shared_ptr<Pattern>> Pattern::make(const std::string& text) {
  if (text.size() > kPatternBytesMax) return Error{Errc::invalid_argument, "a pattern is longer than 256 bytes"};
  constexpr std::string_view kIgnoringCase = "(?i)";
  std::shared_ptr<Pattern> made(new Pattern);
  made->ignores_case_ = text.starts_with(kIgnoringCase);
  const std::string rest = made->ignores_case_ ? text.substr(kIgnoringCase.size()) : text;
  if (std::string why = PatternReader(rest).run(made->text_); !why.empty())
    return Error{Errc::invalid_argument, std::move(why)};
  return made;
}

Result<void> Pattern::compile() {
  if (compiled_) return {};
  auto compiled = std::make_unique<Compiled>();
  const int flags = REG_EXTENDED | REG_NOSUB | (ignores_case_ ? REG_ICASE : 0);
  compiled->made = ::regcomp(&compiled->regex, text_.c_str(), flags) == 0;
  if (!compiled->made) return Error{Errc::invalid_argument, "invalid pattern /" + text_ + "/"};
  compiled_ = std::move(compiled);
  return {};
}

bool Pattern::matches(const std::string& text) const {
  return compiled_ && ::regexec(&compiled_->regex, text.c_str(), 0, nullptr, 0) == 0;
}

Result<void> compile_patterns(const Condition& condition) {
  if (condition.pattern) HEPTANE_TRY(condition.pattern->compile());
  for (const Condition& part : condition.parts) HEPTANE_TRY(compile_patterns(part));
  return {};
}

bool holds(const Condition& condition, const std::vector<std::pair<std::string, std::string>>& tags) {
  return holds_by(condition, [&](const Condition& test) {
    const auto found = std::find_if(tags.begin(), tags.end(), [&](const auto& tag) { return tag.first == test.key; });
    return compares(test, found == tags.end() ? std::string() : found->second);
  });
}

bool key_holds(const Condition& condition, const std::string& key) {
  return holds_by(condition, [&](const Condition& test) { return compares(test, key); });
}

Result<std::vector<Statement>> parse_influxql(std::string_view text, int64_t now_ns) {
  if (text.size() > kQueryBytesMax) return Error{Errc::invalid_argument, "the query is longer than 16,384 bytes"};
  return Parser(text, now_ns).run();
}

}  // namespace heptane::iot::series
