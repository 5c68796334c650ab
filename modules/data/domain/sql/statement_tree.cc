#include "modules/data/domain/sql/statement_tree.h"

#include <charconv>
#include <map>

#include "modules/data/domain/sql/names.h"

namespace heptane::data::sql {

namespace {

// A text of the tree, its escapes undone; those of code points are below U+0020 and become a space.
std::string take_text(std::string_view tree, size_t& at) {
  std::string out;
  for (++at; at < tree.size() && tree[at] != '"'; ++at) {
    if (tree[at] != '\\') {
      out += tree[at];
      continue;
    }
    const char escaped = ++at < tree.size() ? tree[at] : '"';
    if (escaped == 'u') at += 4;
    out += escaped == 'n' || escaped == 't' || escaped == 'r' || escaped == 'b' || escaped == 'f' || escaped == 'u'
               ? ' '
               : escaped;
  }
  ++at;
  return out;
}

struct Object {
  bool array = false;
  std::string key;                           // whose value comes next
  std::map<std::string, std::string> texts;  // members that are texts or bare words
  bool table_function = false;               // it is the `function` of one
  bool at_clause = false;
  bool query = false;  // it has one
};

class TreeReader {
 public:
  explicit TreeReader(std::string_view tree) : tree_(tree) {}

  NamedThings read() {
    while (at_ < tree_.size()) step();
    return std::move(found_);
  }

 private:
  void step() {
    const char c = tree_[at_];
    if (c == '{' || c == '[') return open(c == '[');
    if (c == '}' || c == ']') return close();
    if (c == '"') return text();
    if (c == ',' || c == ':' || c == ' ') {
      ++at_;
      return;
    }
    word();
  }

  void open(bool array) {
    Object object;
    object.array = array;
    if (!stack_.empty()) {
      Object& parent = stack_.back();
      object.table_function = parent.key == "function" && parent.texts["type"] == "TABLE_FUNCTION";
      if (parent.key == "at_clause") parent.at_clause = true;
      if (parent.key == "query") parent.query = true;
      if (stack_.size() == 2 && parent.array) ++found_.statements;
    }
    if (!stack_.empty()) stack_.back().key.clear();
    stack_.push_back(std::move(object));
    ++at_;
  }

  void close() {
    ++at_;
    if (stack_.empty()) return;
    Object object = std::move(stack_.back());
    stack_.pop_back();
    if (!object.array) note(object);
  }

  void text() {
    std::string value = take_text(tree_, at_);
    if (stack_.empty() || stack_.back().array) return;
    Object& object = stack_.back();
    if (object.key.empty() && at_ < tree_.size() && tree_[at_] == ':') {
      object.key = std::move(value);
      return;
    }
    object.texts[object.key] = std::move(value);
    object.key.clear();
  }

  void word() {
    const size_t end = std::min(tree_.find_first_of(",}] ", at_), tree_.size());
    const std::string_view value = tree_.substr(at_, end - at_);
    at_ = end;
    if (stack_.empty() || stack_.back().array) return;
    Object& object = stack_.back();
    if (object.key == "query_location") object.texts[object.key] = value;
    object.key.clear();
  }

  void note(Object& object) {
    const std::string& type = object.texts["type"];
    if (type == "BASE_TABLE") note_table(object);
    if (type == "SHOW_REF" && !object.query) found_.shown.insert(object.texts["table_name"]);
    if (object.texts.contains("function_name")) note_function(object);
    for (const char* name : {"key", "cte_name", "ctename"})
      if (object.texts.contains(name)) found_.common.insert(folded(object.texts[name]));
  }

  void note_function(Object& object) {
    const std::string name = folded(object.texts["function_name"]);
    (object.table_function ? found_.table_functions : found_.functions).insert(name);
    if (!object.texts["schema"].empty() || !object.texts["catalog"].empty()) found_.qualified.insert(name);
  }

  void note_table(Object& object) {
    NamedTable table{object.texts["catalog_name"], object.texts["schema_name"], object.texts["table_name"], 0,
                     object.at_clause};
    const std::string& location = object.texts["query_location"];
    std::from_chars(location.data(), location.data() + location.size(), table.position);
    found_.tables.push_back(std::move(table));
  }

  std::string_view tree_;
  size_t at_ = 0;
  std::vector<Object> stack_;
  NamedThings found_;
};

}  // namespace

NamedThings named_things(std::string_view tree) { return TreeReader(tree).read(); }

}  // namespace heptane::data::sql
