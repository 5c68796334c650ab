#include "modules/fintech/gateway/http/ledger_schemas.h"

#include <initializer_list>
#include <string>
#include <vector>

#include "modules/fintech/gateway/http/ledger_json.h"

namespace heptane::fintech::ledger_http {

namespace {

constexpr const char* kDigits = R"({"type":"string","pattern":"^[0-9]+$"})";
// As it is taken: as text, or as a number where that is exact.
constexpr const char* kAnyDigits = R"({"type":["string","integer"],"pattern":"^[0-9]+$","minimum":0})";
constexpr const char* kInteger = R"({"type":"integer","minimum":0})";
constexpr const char* kAmount = R"({"type":"string","pattern":"^[0-9]+([.][0-9]+)?$"})";
constexpr const char* kText = R"({"type":"string"})";

struct Member {
  std::string name;
  std::string schema;
  bool optional = false;
};
using Members = std::vector<Member>;

std::string object(const Members& members) {
  std::string properties;
  std::string required;
  for (const Member& member : members) {
    properties += (properties.empty() ? "\"" : ",\"") + member.name + "\":" + member.schema;
    if (!member.optional) required += (required.empty() ? "\"" : ",\"") + member.name + "\"";
  }
  return R"({"type":"object","additionalProperties":false,"required":[)" + required + R"(],"properties":{)" +
         properties + "}}";
}

std::string array_of(std::string_view items, const std::string& bounds = "") {
  return R"({"type":"array",)" + bounds + R"("items":)" + std::string(items) + "}";
}

std::string list(const char* name, std::string_view items) { return object({{name, array_of(items)}}); }

std::string flags(const std::vector<FlagName>& names) {
  std::string known;
  for (const FlagName& name : names) known += (known.empty() ? "\"" : ",\"") + std::string(name.name) + "\"";
  return array_of(R"({"type":"string","enum":[)" + known + "]}");
}

// With the asset's scale, and in its smallest units.
void add_amounts(Members& members, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    members.push_back({name, kAmount});
    members.push_back({std::string(name) + "_raw", kDigits});
  }
}

void add_user_data(Members& members) {
  members.insert(
      members.end(),
      {{"user_data_128", kDigits}, {"user_data_64", kDigits}, {"user_data_32", kInteger}, {"timestamp", kDigits}});
}

void add_new_user_data(Members& members) {
  for (const char* name : {"user_data_128", "user_data_64", "user_data_32", "timestamp"})
    members.push_back({name, kAnyDigits, true});
}

std::string new_list(const char* name, const Members& members) {
  return object({{name, array_of(object(members), R"("minItems":1,"maxItems":8189,)")}});
}

std::string make_account() {
  Members members{{"id", kDigits},
                  {"ledger", kInteger},
                  {"asset", kText, true},
                  {"code", kInteger},
                  {"flags", flags(account_flag_names())},
                  {"owner", kInteger, true}};
  add_amounts(members, {"debits_pending", "debits_posted", "credits_pending", "credits_posted"});
  add_user_data(members);
  return object(members);
}

std::string make_transfer() {
  Members members{{"id", kDigits},
                  {"debit_account_id", kDigits},
                  {"credit_account_id", kDigits},
                  {"pending_id", kDigits, true},
                  {"timeout", kInteger, true},
                  {"ledger", kInteger},
                  {"asset", kText, true},
                  {"code", kInteger},
                  {"flags", flags(transfer_flag_names())}};
  add_amounts(members, {"amount"});
  add_user_data(members);
  return object(members);
}

std::string make_balances() {
  Members row{{"timestamp", kDigits}};
  add_amounts(row, {"debits_pending", "debits_posted", "credits_pending", "credits_posted"});
  return list("balances", object(row));
}

std::string make_statement() {
  Members row{{"transfer", std::string(transfer_schema())}};
  add_amounts(row, {"debits_posted", "credits_posted"});
  return object(
      {{"account", std::string(account_schema())}, {"rows", array_of(object(row))}, {"next_page", kText, true}});
}

std::string make_totals() {
  Members row{{"ledger", kInteger}, {"asset", kText, true}, {"accounts", kInteger}};
  add_amounts(row, {"debits_pending", "debits_posted", "credits_pending", "credits_posted"});
  return list("ledgers", object(row));
}

std::string make_new_accounts() {
  Members members{{"id", kAnyDigits},
                  {"ledger", kInteger, true},
                  {"asset", kText, true},
                  {"code", kInteger, true},
                  {"flags", flags(account_flag_names()), true}};
  add_new_user_data(members);
  return new_list("accounts", members);
}

std::string make_new_transfers() {
  Members members{{"id", kAnyDigits},
                  {"debit_account_id", kAnyDigits, true},
                  {"credit_account_id", kAnyDigits, true},
                  {"pending_id", kAnyDigits, true},
                  {"timeout", kInteger, true},
                  {"ledger", kInteger, true},
                  {"asset", kText, true},
                  {"code", kInteger, true},
                  {"flags", flags(transfer_flag_names()), true},
                  {"amount", kAmount, true},
                  {"amount_raw", kAnyDigits, true}};
  add_new_user_data(members);
  return new_list("transfers", members);
}

}  // namespace

std::string_view account_schema() {
  static const std::string schema = make_account();
  return schema;
}
std::string_view transfer_schema() {
  static const std::string schema = make_transfer();
  return schema;
}
std::string_view accounts_schema() {
  static const std::string schema = list("accounts", account_schema());
  return schema;
}
std::string_view transfers_schema() {
  static const std::string schema = list("transfers", transfer_schema());
  return schema;
}
std::string_view balances_schema() {
  static const std::string schema = make_balances();
  return schema;
}
std::string_view statement_schema() {
  static const std::string schema = make_statement();
  return schema;
}
std::string_view totals_schema() {
  static const std::string schema = make_totals();
  return schema;
}
std::string_view new_accounts_schema() {
  static const std::string schema = make_new_accounts();
  return schema;
}
std::string_view new_transfers_schema() {
  static const std::string schema = make_new_transfers();
  return schema;
}

}  // namespace heptane::fintech::ledger_http
