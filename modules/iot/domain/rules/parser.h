// Expressions of the rules' SQL into nodes, parts before wholes. One text's; any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "modules/iot/domain/rules/lexer.h"
#include "modules/iot/domain/rules/sql.h"

namespace heptane::iot::rules {

class Parser {
 public:
  explicit Parser(std::vector<Word> words) : words_(std::move(words)) {}

  const Word& word() const { return words_[next_]; }
  // Passes it when it is so.
  bool pass_keyword(std::string_view keyword);
  bool pass_sign(std::string_view sign);
  bool at_end() const { return word().kind == WordKind::end; }
  Word take() { return words_[at_end() ? next_ : next_++]; }
  size_t position() const { return next_; }
  // What was passed since a position, whatever blanks stood between.
  std::string passed_since(size_t position) const;

  Result<void> expect_sign(std::string_view sign);
  Result<void> expect_keyword(std::string_view keyword);

  // The nodes of one expression, the last one is its root. `aggregates`: they may stand in it.
  Result<Nodes> expression(const std::vector<std::string>& columns, bool aggregates = false);

 private:
  using Parsed = Result<size_t>;

  Parsed any_of();
  Parsed all_of();
  Parsed negation();
  Parsed comparison();
  Parsed sum();
  Parsed product();
  Parsed signed_one();
  Parsed primary();
  Parsed in_list(size_t value, bool negated);
  Parsed choice();
  Parsed call(const Word& name);
  Parsed aggregate(const Word& name);
  Parsed field(const Word& name);
  Result<void> path(std::vector<Node::Step>& steps);
  Parsed literal(const Word& word);
  Result<std::vector<size_t>> arguments();
  Parsed binary_chain(std::span<const std::string_view> signs, Parsed (Parser::*part)());
  Parsed logic_chain(std::string_view keyword, NodeKind kind, Parsed (Parser::*part)());
  Parsed add(Node node, const Word& word);

  std::vector<Word> words_;
  size_t next_ = 0;
  Nodes nodes_;
  uint32_t depth_ = 0;
  const std::vector<std::string>* columns_ = nullptr;
  bool aggregates_ = false;
};

// By its name in lower case; count(*) is what `records` says. nullopt: it is none.
std::optional<AggregateKind> find_aggregate(std::string_view name);

// Words that name nothing unless they are quoted.
bool is_reserved(const Word& word);

}  // namespace heptane::iot::rules
