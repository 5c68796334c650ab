// `heptane user`, `heptane token`, `heptane role`: who may do what, over the admin listener. A password is read from the
// terminal without echo, or from a pipe; it never stands on a command line, where every process could read it.
#include <termios.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "kernel/cli/command.h"
#include "kernel/cli/http_client.h"
#include "kernel/net/http/json.h"
#include "kernel/net/http/json_writer.h"

namespace heptane::cli {

namespace {

struct AuthArguments {
  std::string server = kDefaultServer;
  std::string name;
  std::string role;
  std::string owner;
  std::vector<std::string> roles;
  std::vector<std::string> allow;
  int64_t expires_in_s = 0;
  bool certificate = false;
  bool no_password = false;
  bool json = false;
};

int failed(const Error& error) {
  std::cerr << "heptane: " << error.message << "\n";
  return error.code == Errc::closed ? kRefused : kFailed;
}

int usage(const std::string& why) {
  std::cerr << "heptane: " << why << "\n";
  return kUsage;
}

std::string escaped(const std::string& name) { return HttpClient::escaped(name); }

class EchoOff {
 public:
  EchoOff() : terminal_(::isatty(STDIN_FILENO) == 1 && ::tcgetattr(STDIN_FILENO, &before_) == 0) {
    if (!terminal_) return;
    termios silent = before_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
  }
  ~EchoOff() {
    if (terminal_) ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
  }
  EchoOff(const EchoOff&) = delete;
  EchoOff& operator=(const EchoOff&) = delete;
  bool terminal() const { return terminal_; }

 private:
  termios before_{};
  bool terminal_;
};

// One line of standard input; asked for twice on a terminal.
Result<std::string> read_password() {
  const EchoOff quiet;
  const auto line = [&](const char* prompt) {
    if (quiet.terminal()) std::cerr << prompt << std::flush;
    std::string text;
    std::getline(std::cin, text);
    if (text.ends_with('\r')) text.pop_back();
    if (quiet.terminal()) std::cerr << "\n";
    return text;
  };
  std::string password = line("Password: ");
  if (password.empty())
    return Error{Errc::invalid_argument, "a password is read from standard input: there is none", 0};
  if (quiet.terminal() && line("The same again: ") != password)
    return Error{Errc::invalid_argument, "the two are different", 0};
  return password;
}

std::string text_of(const http::JsonValue& object, std::string_view name) {
  const auto value = object.find(name);
  return std::string(value ? value->text() : "");
}

std::string list_of(const http::JsonValue& object, std::string_view name) {
  std::string list;
  const auto array = object.find(name);
  for (auto item = array ? array->first() : std::nullopt; item; item = item->next()) {
    if (!list.empty()) list += ',';
    list += item->text();
  }
  return list;
}

bool is_true(const http::JsonValue& object, std::string_view name) {
  const auto value = object.find(name);
  return value && value->boolean();
}

void print_user(const http::JsonValue& user) {
  std::string proof = is_true(user, "password") ? "password" : "";
  if (is_true(user, "certificate")) proof += proof.empty() ? "certificate" : ",certificate";
  std::printf("%-32s %-22s %s\n", text_of(user, "name").c_str(), proof.empty() ? "-" : proof.c_str(),
              list_of(user, "roles").c_str());
}

void print_token(const http::JsonValue& token) {
  const auto expires = token.find("expires_ms");
  const std::string end = expires && expires->integer() ? std::to_string(*expires->integer()) : "never";
  std::printf("%-18s %-24s %-24s %s%s\n", text_of(token, "id").c_str(), text_of(token, "name").c_str(),
              text_of(token, "owner").c_str(), end.c_str(), is_true(token, "one_time") ? " (one-time)" : "");
}

void print_role(const http::JsonValue& role) {
  const std::string name = text_of(role, "name") + (is_true(role, "built_in") ? " (built in)" : "");
  const auto permissions = role.find("permissions");
  for (auto item = permissions ? permissions->first() : std::nullopt; item; item = item->next())
    std::printf("%-32s %s:%s=%s\n", name.c_str(), text_of(*item, "module").c_str(), text_of(*item, "pattern").c_str(),
                list_of(*item, "verbs").c_str());
}

int list(const AuthArguments& arguments, const std::string& what, const std::string& headline,
         void (*print)(const http::JsonValue&)) {
  HttpClient client(arguments.server);
  Result<std::string> answer = client.call("GET", "/api/v1/" + what);
  if (!answer) return failed(answer.error());
  if (arguments.json) {
    std::cout << *answer << (answer->ends_with('\n') ? "" : "\n");
    return kOk;
  }
  const auto document = http::JsonDocument::parse(std::move(*answer));
  if (!document) return failed(document.error());
  std::printf("%s\n", headline.c_str());
  const auto items = (*document)->root().find(what);
  for (auto item = items ? items->first() : std::nullopt; item; item = item->next()) print(*item);
  return kOk;
}

int change(const AuthArguments& arguments, std::string_view method, const std::string& path, std::string body) {
  HttpClient client(arguments.server);
  HttpRequestOptions options;
  options.body = std::move(body);
  const Result<std::string> answer = client.call(method, path, options);
  if (!answer) return failed(answer.error());
  if (arguments.json) std::cout << *answer << (answer->ends_with('\n') ? "" : "\n");
  return kOk;
}

int user_add(const AuthArguments& arguments) {
  http::JsonWriter out;
  out.begin_object().key("name").text(arguments.name).key("certificate").boolean(arguments.certificate);
  if (!arguments.no_password) {
    const Result<std::string> password = read_password();
    if (!password) return usage(password.error().message);
    out.key("password").text(*password);
  }
  out.key("roles").begin_array();
  for (const std::string& role : arguments.roles) out.text(role);
  out.end_array().end_object();
  return change(arguments, "POST", "/api/v1/users", out.take());
}

int user_passwd(const AuthArguments& arguments) {
  const Result<std::string> password = read_password();
  if (!password) return usage(password.error().message);
  http::JsonWriter out;
  out.begin_object().key("password").text(*password).end_object();
  return change(arguments, "PUT", "/api/v1/users/" + escaped(arguments.name) + "/password", out.take());
}

int user_grant(const AuthArguments& arguments) {
  http::JsonWriter out;
  out.begin_object().key("role").text(arguments.role).end_object();
  return change(arguments, "POST", "/api/v1/users/" + escaped(arguments.name) + "/roles", out.take());
}

int user_revoke(const AuthArguments& arguments) {
  return change(arguments, "DELETE", "/api/v1/users/" + escaped(arguments.name) + "/roles/" + escaped(arguments.role),
                "");
}

int remove(const AuthArguments& arguments, const std::string& what) {
  return change(arguments, "DELETE", "/api/v1/" + what + '/' + escaped(arguments.name), "");
}

// The secret alone on standard output, so that a script can take it.
int token_create(const AuthArguments& arguments) {
  http::JsonWriter out;
  out.begin_object().key("name").text(arguments.name);
  if (!arguments.owner.empty()) out.key("owner").text(arguments.owner);
  if (arguments.expires_in_s > 0) out.key("expires_in_s").number(arguments.expires_in_s);
  out.end_object();
  HttpClient client(arguments.server);
  HttpRequestOptions options;
  options.body = out.take();
  Result<std::string> answer = client.call("POST", "/api/v1/tokens", options);
  if (!answer) return failed(answer.error());
  if (arguments.json) {
    std::cout << *answer << (answer->ends_with('\n') ? "" : "\n");
    return kOk;
  }
  const auto document = http::JsonDocument::parse(std::move(*answer));
  if (!document) return failed(document.error());
  std::cout << text_of((*document)->root(), "token") << "\n";
  std::cerr << "Token " << text_of((*document)->root(), "id") << "; its secret is shown once.\n";
  return kOk;
}

// MODULE:PATTERN=VERB,VERB
bool write_permission(http::JsonWriter& out, const std::string& text) {
  const size_t colon = text.find(':');
  const size_t equals = text.rfind('=');
  if (colon == std::string::npos || equals == std::string::npos || equals < colon) return false;
  out.begin_object().key("module").text(text.substr(0, colon));
  out.key("pattern").text(text.substr(colon + 1, equals - colon - 1)).key("verbs").begin_array();
  std::istringstream verbs(text.substr(equals + 1));
  for (std::string verb; std::getline(verbs, verb, ',');) out.text(verb);
  out.end_array().end_object();
  return true;
}

int role_add(const AuthArguments& arguments) {
  http::JsonWriter out;
  out.begin_object().key("name").text(arguments.name).key("permissions").begin_array();
  for (const std::string& permission : arguments.allow)
    if (!write_permission(out, permission))
      return usage("--allow " + permission + ": say MODULE:PATTERN=VERBS, for example streams:orders-*=read,write");
  out.end_array().end_object();
  return change(arguments, "POST", "/api/v1/roles", out.take());
}

using Arguments = std::shared_ptr<AuthArguments>;

CLI::App* part(CLI::App& command, const char* name, const char* help, const Arguments& arguments, Context& context,
               std::function<int()> run) {
  CLI::App* added = command.add_subcommand(name, help);
  added->add_option("--server", arguments->server, "The admin listener")->capture_default_str();
  added->add_flag("--json", arguments->json, "Print the server's answer");
  added->callback([&context, run = std::move(run)] { context.exit_code = run(); });
  return added;
}

void named(CLI::App* part, const Arguments& arguments, const char* option, const char* help) {
  part->add_option(option, arguments->name, help)->required();
}

}  // namespace

void add_user(CLI::App& app, Context& context) {
  const auto arguments = std::make_shared<AuthArguments>();
  CLI::App* command = app.add_subcommand("user", "Users of a running server; a token comes from HEPTANE_TOKEN.");
  command->require_subcommand(1);
  CLI::App* add = part(*command, "add", "A new user; the password comes from standard input.", arguments, context,
                       [arguments] { return user_add(*arguments); });
  named(add, arguments, "name", "Its name");
  add->add_option("--role", arguments->roles, "A role it has; may be repeated");
  add->add_flag("--certificate", arguments->certificate, "A client certificate with its name is proof enough");
  add->add_flag("--no-password", arguments->no_password, "Without a password: for tokens or a certificate");
  CLI::App* passwd = part(*command, "passwd", "Another password, from standard input.", arguments, context,
                          [arguments] { return user_passwd(*arguments); });
  named(passwd, arguments, "name", "The user");
  CLI::App* rm = part(*command, "rm", "Deletes a user and its tokens.", arguments, context,
                      [arguments] { return remove(*arguments, "users"); });
  named(rm, arguments, "name", "The user");
  part(*command, "ls", "All users with their roles.", arguments, context, [arguments] {
    return list(*arguments, "users", "user                             proof                  roles", print_user);
  });
  CLI::App* grant = part(*command, "grant", "Gives a role to a user.", arguments, context,
                         [arguments] { return user_grant(*arguments); });
  CLI::App* revoke = part(*command, "revoke", "Takes a role from a user.", arguments, context,
                          [arguments] { return user_revoke(*arguments); });
  for (CLI::App* both : {grant, revoke}) {
    named(both, arguments, "name", "The user");
    both->add_option("role", arguments->role, "The role")->required();
  }
}

void add_token(CLI::App& app, Context& context) {
  const auto arguments = std::make_shared<AuthArguments>();
  CLI::App* command = app.add_subcommand("token", "API tokens of a running server.");
  command->require_subcommand(1);
  CLI::App* create = part(*command, "create", "A new token; its secret is printed once.", arguments, context,
                          [arguments] { return token_create(*arguments); });
  named(create, arguments, "name", "What it is for");
  create->add_option("--owner", arguments->owner, "The user that it acts as; oneself if absent");
  create->add_option("--expires-in", arguments->expires_in_s, "Seconds until it ends; never if absent")
      ->check(CLI::PositiveNumber);
  CLI::App* rm = part(*command, "rm", "Revokes a token.", arguments, context,
                      [arguments] { return remove(*arguments, "tokens"); });
  named(rm, arguments, "id", "Its id");
  part(*command, "ls", "Tokens: one's own, or all for administrators.", arguments, context, [arguments] {
    return list(*arguments, "tokens",
                "token              name                     owner                    expires (ms)", print_token);
  });
}

void add_role(CLI::App& app, Context& context) {
  const auto arguments = std::make_shared<AuthArguments>();
  CLI::App* command = app.add_subcommand("role", "Roles of a running server: what their users may do.");
  command->require_subcommand(1);
  CLI::App* add =
      part(*command, "add", "A new role.", arguments, context, [arguments] { return role_add(*arguments); });
  named(add, arguments, "name", "Its name");
  add->add_option("--allow", arguments->allow, "MODULE:PATTERN=VERBS, for example streams:orders-*=read,write")
      ->required();
  CLI::App* rm = part(*command, "rm", "Deletes a role that nobody has.", arguments, context,
                      [arguments] { return remove(*arguments, "roles"); });
  named(rm, arguments, "name", "The role");
  part(*command, "ls", "All roles with their permissions.", arguments, context,
       [arguments] { return list(*arguments, "roles", "role                             permission", print_role); });
}

}  // namespace heptane::cli
